/*
 * One iptables table through libiptc: chains PICKET-IN, PICKET-OUT and PICKET-FWD, reached by a jump in front of INPUT,
 * OUTPUT and FORWARD. Never looks at foreign rules beyond jumps to our chains, never waits. Holds no state, so that two
 * families can be worked on by two threads. Called by iptc.c.
 */
#include "isolatord/iptc_table.h"

#include <errno.h>
#include <libiptc/libiptc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "isolatord/iptc_entry.h"

/* Chains of ours start so, in every version of Picket: what an older or newer one left is found and removed. */
#define OWN_PREFIX "PICKET-"

/*
 * Times that a commit is done again because somebody else changed the table between reading and writing. Each redo
 * needs another change in a window of milliseconds; more than this is an attack or a bug and must be reported.
 */
#define COMMIT_TRIES 20u

/* Bytes of "picket 0123456789abcdef", the comment that names the generation of the rules. */
#define COMMENT_BYTES 32u

static const struct {
	enum rule_chain chain;
	const char *own, *hook;
} chains[] = {
    {RULE_IN, OWN_PREFIX "IN", "INPUT"},
    {RULE_OUT, OWN_PREFIX "OUT", "OUTPUT"},
    {RULE_FORWARD, OWN_PREFIX "FWD", "FORWARD"},
};

void
iptc_describe(struct backend_report *report, const struct iptc_place *p, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(report->detail, sizeof(report->detail), "iptables %s %s: ", p->family->name, p->table);

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < sizeof(report->detail))
		(void)vsnprintf(report->detail + n, sizeof(report->detail) - (size_t)n, fmt, ap);
	va_end(ap);
}

static bool
is_own(const char *chain)
{
	return strncmp(chain, OWN_PREFIX, sizeof(OWN_PREFIX) - 1) == 0;
}

/* ---- taking our rules out of a table in memory ---- */

static const char *
find_own_chain(const struct iptc_family *f, struct xtc_handle *h)
{
	const char *chain = f->first_chain(h);

	while (chain != NULL && !is_own(chain))
		chain = f->next_chain(h);
	return chain;
}

/* Removes every jump to a chain of ours from one chain. Returns how many there were, or -1. */
static int
strip_jumps(const struct iptc_family *f, struct xtc_handle *h, const char *chain)
{
	const void *e = f->first_rule(chain, h);
	unsigned int at = 0;
	int removed = 0;

	while (e != NULL) {
		const char *target = f->target(e, h);

		if (target == NULL || !is_own(target)) {
			e = f->next_rule(e, h);
			at++;
			continue;
		}
		if (!f->delete_rule(chain, at, h))
			return -1;
		removed++;
		e = f->first_rule(chain, h);
		at = 0;
	}
	return removed;
}

/* Returns 1 when something was removed, 0 when nothing of ours was there, or -1 with errno. */
static int
strip(const struct iptc_family *f, struct xtc_handle *h)
{
	char own[XT_TABLE_MAXNAMELEN];
	const char *chain;
	int changed = 0;

	for (chain = f->first_chain(h); chain != NULL; chain = f->next_chain(h)) {
		int removed = is_own(chain) ? 0 : strip_jumps(f, h, chain);

		if (removed < 0)
			return -1;
		changed |= removed > 0;
	}
	for (chain = f->first_chain(h); chain != NULL; chain = f->next_chain(h)) {
		if (is_own(chain) && !f->flush_chain(chain, h))
			return -1;
	}
	while ((chain = find_own_chain(f, h)) != NULL) {
		(void)snprintf(own, sizeof(own), "%s", chain); /* the name goes with the chain */
		if (!f->delete_chain(own, h))
			return -1;
		changed = 1;
	}
	return changed;
}

/* ---- putting them in ---- */

static bool
rule_is_at(const struct rule *rule, const struct iptc_place *p, enum rule_chain chain)
{
	return rule->chain == chain && rule->family == p->family->family;
}

static enum rule_verdict
verdict_at(const struct rule *rule, const struct iptc_place *p)
{
	return p->drop_only ? ruleset_drop_only(rule->verdict) : rule->verdict;
}

/* The last rule of a chain carries the comment, and the jump to it. */
static const char *
comment_at(const struct rule *rule, const char *comment)
{
	return rule->why == RULE_WHY_REST || rule->why == RULE_WHY_TRANSIT ? comment : NULL;
}

static void
write_comment(char buf[COMMENT_BYTES], const struct ruleset *rules)
{
	(void)snprintf(buf, COMMENT_BYTES, "picket %016llx", (unsigned long long)rules->generation);
}

/* Returns true, or false with errno. */
static bool
fill(const struct iptc_place *p, struct xtc_handle *h, const struct ruleset *rules)
{
	char comment[COMMENT_BYTES];
	struct iptc_entry e;

	write_comment(comment, rules);
	for (size_t c = 0; c < ARRAY_LEN(chains); c++) {
		if (!p->family->create_chain(chains[c].own, h))
			return false;
	}
	for (size_t c = 0; c < ARRAY_LEN(chains); c++) {
		for (size_t i = 0; i < rules->n; i++) {
			const struct rule *rule = &rules->rules[i];

			if (!rule_is_at(rule, p, chains[c].chain))
				continue;
			iptc_entry_rule(&e, rule, verdict_at(rule, p), comment_at(rule, comment));
			if (!p->family->append(chains[c].own, e.bytes, h))
				return false;
		}
		iptc_entry_jump(&e, p->family->family, chains[c].own, comment);
		if (!p->family->insert(chains[c].hook, e.bytes, 0, h))
			return false;
	}
	return true;
}

/* Read, change, write; once. Returns 0 or a negative errno. */
static int
change_once(const struct iptc_place *p, const struct ruleset *rules)
{
	struct xtc_handle *h = p->family->init(p->table);
	int stripped, r = 0;

	if (h == NULL)
		return -errno;
	stripped = strip(p->family, h);
	if (stripped < 0)
		r = -errno;
	else if (rules != NULL && !fill(p, h, rules))
		r = -errno;
	else if ((rules != NULL || stripped > 0) && !p->family->commit(h))
		r = -errno;
	p->family->done(h);
	return r;
}

int
iptc_table_change(const struct iptc_place *p, const struct ruleset *rules, struct backend_report *report)
{
	int r = -EAGAIN;

	for (unsigned int i = 0; i < COMMIT_TRIES && r == -EAGAIN; i++) {
		r = change_once(p, rules);
		report->retries += r == -EAGAIN;
	}
	if (r < 0)
		iptc_describe(report, p, "%s", p->family->strerror(-r));
	return r;
}

/* ---- comparing ---- */

/* Returns the number of the first rule that is not as it should be (from 1), or 0. */
static unsigned int
compare_chain(
    const struct iptc_place *p, struct xtc_handle *h, const struct ruleset *rules, size_t c, const char *comment)
{
	const struct iptc_family *f = p->family;
	const void *have = f->first_rule(chains[c].own, h);
	struct iptc_entry want;
	unsigned int nr = 1;

	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *rule = &rules->rules[i];

		if (!rule_is_at(rule, p, chains[c].chain))
			continue;
		iptc_entry_rule(&want, rule, verdict_at(rule, p), comment_at(rule, comment));
		if (have == NULL || !iptc_entry_equal(&want, have, f->target(have, h)))
			return nr;
		have = f->next_rule(have, h);
		nr++;
	}
	return have != NULL ? nr : 0;
}

/* Returns 0, or -ENOENT with detail. */
static int
compare_table(
    const struct iptc_place *p, struct xtc_handle *h, const struct ruleset *rules, struct backend_report *report)
{
	const struct iptc_family *f = p->family;
	char comment[COMMENT_BYTES];
	struct iptc_entry jump;

	write_comment(comment, rules);
	for (size_t c = 0; c < ARRAY_LEN(chains); c++) {
		const void *first;
		unsigned int nr;

		if (!f->is_chain(chains[c].own, h)) {
			iptc_describe(report, p, "chain %s is missing", chains[c].own);
			return -ENOENT;
		}
		nr = compare_chain(p, h, rules, c, comment);
		if (nr != 0) {
			iptc_describe(report, p, "rule %u of %s is missing or changed", nr, chains[c].own);
			return -ENOENT;
		}
		first = f->first_rule(chains[c].hook, h);
		iptc_entry_jump(&jump, f->family, chains[c].own, comment);
		if (first == NULL || !iptc_entry_equal(&jump, first, f->target(first, h))) {
			iptc_describe(
			    report, p, "%s does not start with the jump to %s", chains[c].hook, chains[c].own);
			return -ENOENT;
		}
	}
	return 0;
}

int
iptc_table_verify(const struct iptc_place *p, const struct ruleset *rules, struct backend_report *report)
{
	struct xtc_handle *h = p->family->init(p->table);
	const char *own;
	int r;

	if (h == NULL)
		return -errno;
	if (rules != NULL) {
		r = compare_table(p, h, rules, report);
	} else {
		own = find_own_chain(p->family, h);
		r = own != NULL ? -ENOENT : 0;
		if (own != NULL)
			iptc_describe(report, p, "chain %s is there", own);
	}
	p->family->done(h);
	return r;
}
