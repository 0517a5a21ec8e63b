/*
 * The iptables backend: own chains PICKET-IN, PICKET-OUT and PICKET-FWD in table `filter`, reached by a jump in front
 * of INPUT, OUTPUT and FORWARD, and a copy of them in table `security`, which is traversed later and survives a flush
 * of `filter`; it cannot reject, only drop.
 *
 * One table of one family changes atomically. IPv6 goes first, then IPv4, one after the other: between them lie some
 * milliseconds in which only IPv6 is cut. Never waits, never looks at foreign rules beyond jumps to our chains. Called
 * by engine.c through backend.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <libiptc/libiptc.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "isolatord/backend.h"
#include "isolatord/iptc_entry.h"
#include "isolatord/iptc_family.h"

/* What iptables(8) locks. It is created as iptables does, for the case that nobody has used iptables since boot. */
#define LOCK_PATH "/run/xtables.lock"

/* Chains of ours start so, in every version of Picket: what an older or newer one left is found and removed. */
#define OWN_PREFIX "PICKET-"

/*
 * Times that a commit is done again because somebody else changed the table between reading and writing. Each redo
 * needs another change in a window of milliseconds; more than this is an attack or a bug and must be reported.
 */
#define COMMIT_TRIES 20u

/* Bytes of /proc/net/ip_tables_names: five tables of at most 32 bytes. */
#define NAMES_BYTES 256u

static const struct iptc_family *const families[] = {&iptc_v6, &iptc_v4};
static const char *const table_names[] = {"filter", "security"};

enum { TABLE_FILTER, TABLE_SECURITY, TABLES = ARRAY_LEN(table_names), FAMILIES = ARRAY_LEN(families) };

static const struct {
	enum rule_chain chain;
	const char *own, *hook;
} chains[] = {
    {RULE_IN, OWN_PREFIX "IN", "INPUT"},
    {RULE_OUT, OWN_PREFIX "OUT", "OUTPUT"},
    {RULE_FORWARD, OWN_PREFIX "FWD", "FORWARD"},
};

struct iptc {
	struct backend base;
	int lock_fd;            /* -1: no lock file to be had */
	int info_fd[FAMILIES];  /* raw sockets to ask for number and size of the rules; -1: no such family on this host
				 */
	int names_fd[FAMILIES]; /* tables that exist; -1: unknown */
	bool known[FAMILIES][TABLES]; /* info[] is of the last good verify */
	struct ipt_getinfo info[FAMILIES][TABLES];
};

/* One table of one family. */
struct place {
	const struct iptc_family *family;
	size_t f, t;
	const char *table;
	char comment[32]; /* "picket 0123456789abcdef": names the generation of the rules */
};

static struct iptc *
iptc_of(struct backend *b)
{
	return (struct iptc *)(void *)b;
}

static void
place_init(struct place *p, size_t f, size_t t, const struct ruleset *rules)
{
	memset(p, 0, sizeof(*p));
	p->family = families[f];
	p->f = f;
	p->t = t;
	p->table = table_names[t];
	if (rules != NULL)
		(void)snprintf(p->comment, sizeof(p->comment), "picket %016llx", (unsigned long long)rules->generation);
}

__attribute__((format(printf, 3, 4))) static void
describe(struct backend_report *report, const struct place *p, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(report->detail, sizeof(report->detail), "iptables %s %s: ", p->family->name, p->table);

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < sizeof(report->detail))
		(void)vsnprintf(report->detail + n, sizeof(report->detail) - (size_t)n, fmt, ap);
	va_end(ap);
}

/* The table does not exist in this kernel, or the family not on this host. */
static bool
is_absent(int error)
{
	return error == ENOENT || error == ENOPROTOOPT || error == EAFNOSUPPORT || error == EPROTONOSUPPORT;
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
rule_is_at(const struct rule *rule, const struct place *p, enum rule_chain chain)
{
	return rule->chain == chain && rule->family == p->family->family;
}

static enum rule_verdict
verdict_at(const struct rule *rule, const struct place *p)
{
	return p->t == TABLE_SECURITY ? ruleset_drop_only(rule->verdict) : rule->verdict;
}

/* The last rule of a chain carries the comment, and the jump to it. */
static const char *
comment_at(const struct rule *rule, const struct place *p)
{
	return rule->why == RULE_WHY_REST || rule->why == RULE_WHY_TRANSIT ? p->comment : NULL;
}

/* Returns true, or false with errno. */
static bool
fill(const struct place *p, struct xtc_handle *h, const struct ruleset *rules)
{
	struct iptc_entry e;

	for (size_t c = 0; c < ARRAY_LEN(chains); c++) {
		if (!p->family->create_chain(chains[c].own, h))
			return false;
	}
	for (size_t c = 0; c < ARRAY_LEN(chains); c++) {
		for (size_t i = 0; i < rules->n; i++) {
			const struct rule *rule = &rules->rules[i];

			if (!rule_is_at(rule, p, chains[c].chain))
				continue;
			iptc_entry_rule(&e, rule, verdict_at(rule, p), comment_at(rule, p));
			if (!p->family->append(chains[c].own, e.bytes, h))
				return false;
		}
		iptc_entry_jump(&e, p->family->family, chains[c].own, p->comment);
		if (!p->family->insert(chains[c].hook, e.bytes, 0, h))
			return false;
	}
	return true;
}

/* Read, change, write; once. Returns 0 or a negative errno. */
static int
change_once(const struct place *p, const struct ruleset *rules)
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

/* Rules NULL: takes ours out. */
static int
change(const struct place *p, const struct ruleset *rules, struct backend_report *report)
{
	int r = -EAGAIN;

	for (unsigned int i = 0; i < COMMIT_TRIES && r == -EAGAIN; i++) {
		r = change_once(p, rules);
		report->retries += r == -EAGAIN;
	}
	if (r < 0)
		describe(report, p, "%s", p->family->strerror(-r));
	return r;
}

/* ---- comparing ---- */

/* Returns the number of the first rule that is not as it should be (from 1), or 0. */
static unsigned int
compare_chain(const struct place *p, struct xtc_handle *h, const struct ruleset *rules, size_t c)
{
	const struct iptc_family *f = p->family;
	const void *have = f->first_rule(chains[c].own, h);
	struct iptc_entry want;
	unsigned int nr = 1;

	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *rule = &rules->rules[i];

		if (!rule_is_at(rule, p, chains[c].chain))
			continue;
		iptc_entry_rule(&want, rule, verdict_at(rule, p), comment_at(rule, p));
		if (have == NULL || !iptc_entry_equal(&want, have, f->target(have, h)))
			return nr;
		have = f->next_rule(have, h);
		nr++;
	}
	return have != NULL ? nr : 0;
}

/* Returns 0, or -ENOENT with detail. */
static int
compare_table(const struct place *p, struct xtc_handle *h, const struct ruleset *rules, struct backend_report *report)
{
	const struct iptc_family *f = p->family;
	struct iptc_entry jump;

	for (size_t c = 0; c < ARRAY_LEN(chains); c++) {
		const void *first;
		unsigned int nr;

		if (!f->is_chain(chains[c].own, h)) {
			describe(report, p, "chain %s is missing", chains[c].own);
			return -ENOENT;
		}
		nr = compare_chain(p, h, rules, c);
		if (nr != 0) {
			describe(report, p, "rule %u of %s is missing or changed", nr, chains[c].own);
			return -ENOENT;
		}
		first = f->first_rule(chains[c].hook, h);
		iptc_entry_jump(&jump, f->family, chains[c].own, p->comment);
		if (first == NULL || !iptc_entry_equal(&jump, first, f->target(first, h))) {
			describe(report, p, "%s does not start with the jump to %s", chains[c].hook, chains[c].own);
			return -ENOENT;
		}
	}
	return 0;
}

/* Rules NULL: nothing of ours may be there. Returns 0, -ENOENT with detail, or another negative errno. */
static int
verify_table(const struct place *p, const struct ruleset *rules, struct backend_report *report)
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
			describe(report, p, "chain %s is there", own);
	}
	p->family->done(h);
	return r;
}

/* ---- what exists ---- */

/* Reading a table makes the kernel create it. So a table that nobody has used yet is left alone: nothing of ours can be
 * in it. */
static bool
table_exists(const struct iptc *iptc, const struct place *p)
{
	char names[NAMES_BYTES + 1];
	ssize_t n;

	if (iptc->names_fd[p->f] < 0)
		return true;
	n = pread(iptc->names_fd[p->f], names, NAMES_BYTES, 0);
	if (n < 0)
		return true;
	names[n] = '\0';
	for (char *save = NULL, *name = strtok_r(names, "\n", &save); name; name = strtok_r(NULL, "\n", &save)) {
		if (strcmp(name, p->table) == 0)
			return true;
	}
	return false;
}

static int
read_info(const struct iptc *iptc, const struct place *p, struct ipt_getinfo *ret)
{
	socklen_t len = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	strncpy(ret->name, p->table, sizeof(ret->name) - 1);
	if (iptc->info_fd[p->f] < 0)
		return -EAFNOSUPPORT;
	return getsockopt(iptc->info_fd[p->f], p->family->level, p->family->so_info, ret, &len) == 0 ? 0 : -errno;
}

/* ---- the interface ---- */

static int
on_lock(struct backend *b)
{
	const struct iptc *iptc = iptc_of(b);

	if (iptc->lock_fd < 0)
		return 0;
	return flock(iptc->lock_fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK ? 0 : -EAGAIN;
}

static void
on_unlock(struct backend *b)
{
	const struct iptc *iptc = iptc_of(b);

	if (iptc->lock_fd >= 0)
		(void)flock(iptc->lock_fd, LOCK_UN);
}

/*
 * What an absent table means for a host that is to be isolated: IPv6 that the host does not have needs no rules;
 * without `security` the cut holds but a flush opens it for a moment; anything else is a failure. Returns 0 or the
 * error.
 */
static int
judge_absence(const struct iptc *iptc, const struct place *p, int error, struct backend_report *report)
{
	if (!is_absent(-error))
		return error;
	if (iptc->info_fd[p->f] < 0)
		return 0;
	if (p->t == TABLE_SECURITY) {
		(void)snprintf(report->uncovered, sizeof(report->uncovered),
		    "iptables %s: this kernel has no table security: after a flush of filter the host is open until "
		    "the "
		    "rules are put back",
		    p->family->name);
		return 0;
	}
	describe(report, p,
	    "this kernel has no such table: load the module %s_tables (and %s), or use a kernel with "
	    "CONFIG_NETFILTER_XTABLES_LEGACY",
	    p->family->family == AF_INET ? "ip" : "ip6",
	    p->family->family == AF_INET ? "iptable_filter" : "ip6table_filter");
	return error;
}

static int
on_apply(struct backend *b, const struct ruleset *rules, struct backend_report *report)
{
	struct iptc *iptc = iptc_of(b);
	int r, ret = 0;

	memset(report, 0, sizeof(*report));
	memset(iptc->known, 0, sizeof(iptc->known));
	/* The table that cuts first, in both families; then its copy. One that fails does not keep the others from
	 * cutting what they can. */
	for (size_t t = 0; t < TABLES; t++) {
		for (size_t f = 0; f < FAMILIES; f++) {
			struct place p;

			place_init(&p, f, t, rules);
			r = change(&p, rules, report);
			if (r < 0)
				r = judge_absence(iptc, &p, r, report);
			if (r < 0 && ret == 0)
				ret = r;
		}
	}
	if (ret == 0)
		report->detail[0] = '\0';
	return ret;
}

static int
on_verify(struct backend *b, const struct ruleset *rules, struct backend_report *report)
{
	struct iptc *iptc = iptc_of(b);
	struct ipt_getinfo info;
	int r;

	memset(report, 0, sizeof(*report));
	memset(iptc->known, 0, sizeof(iptc->known));
	for (size_t f = 0; f < FAMILIES; f++) {
		for (size_t t = 0; t < TABLES; t++) {
			struct place p;
			bool informed;

			place_init(&p, f, t, rules);
			if (rules == NULL && !table_exists(iptc, &p))
				continue;
			/* Before the comparison, so that a change during it is seen next time. */
			informed = read_info(iptc, &p, &info) == 0;
			r = verify_table(&p, rules, report);
			if (r < 0 && report->detail[0] == '\0')
				r = rules == NULL && is_absent(-r) ? 0 : judge_absence(iptc, &p, r, report);
			if (r < 0) {
				if (report->detail[0] == '\0')
					describe(report, &p, "%s", p.family->strerror(-r));
				return r;
			}
			iptc->known[f][t] = informed;
			iptc->info[f][t] = info;
		}
	}
	return 0;
}

static bool
on_changed(struct backend *b)
{
	const struct iptc *iptc = iptc_of(b);
	struct ipt_getinfo info;

	for (size_t f = 0; f < FAMILIES; f++) {
		for (size_t t = 0; t < TABLES; t++) {
			struct place p;

			place_init(&p, f, t, NULL);
			if (read_info(iptc, &p, &info) < 0) {
				if (iptc->known[f][t])
					return true;
			} else if (!iptc->known[f][t] || memcmp(&info, &iptc->info[f][t], sizeof(info)) != 0) {
				return true;
			}
		}
	}
	return false;
}

static int
on_remove(struct backend *b, struct backend_report *report)
{
	struct iptc *iptc = iptc_of(b);
	int r, ret = 0;

	memset(report, 0, sizeof(*report));
	memset(iptc->known, 0, sizeof(iptc->known));
	for (size_t f = 0; f < FAMILIES; f++) {
		for (size_t t = 0; t < TABLES; t++) {
			struct place p;

			place_init(&p, f, t, NULL);
			if (!table_exists(iptc, &p))
				continue;
			r = change(&p, NULL, report);
			if (r < 0 && !is_absent(-r) && ret == 0)
				ret = r;
		}
	}
	if (ret == 0)
		report->detail[0] = '\0';
	return ret;
}

static void
on_close(struct backend *b)
{
	struct iptc *iptc = iptc_of(b);
	int fds[] = {iptc->lock_fd, iptc->info_fd[0], iptc->info_fd[1], iptc->names_fd[0], iptc->names_fd[1]};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		cleanup_fd(&fds[i]);
	free(iptc);
}

static const struct backend_ops ops = {
    .name = "iptables",
    .lock = on_lock,
    .unlock = on_unlock,
    .apply = on_apply,
    .verify = on_verify,
    .changed = on_changed,
    .remove = on_remove,
    .close = on_close,
};

struct backend *
iptc_open(void)
{
	static const char *const names[] = {"/proc/self/net/ip6_tables_names", "/proc/self/net/ip_tables_names"};
	struct iptc *iptc = calloc(1, sizeof(*iptc));

	if (iptc == NULL)
		return NULL;
	iptc->base.ops = &ops;
	iptc->lock_fd = open(LOCK_PATH, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	for (size_t f = 0; f < FAMILIES; f++) {
		iptc->info_fd[f] = socket(families[f]->family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
		iptc->names_fd[f] = open(names[f], O_RDONLY | O_CLOEXEC);
	}
	return &iptc->base;
}
