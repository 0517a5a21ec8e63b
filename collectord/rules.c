/*
 * Builds, loads and removes audit rules. Never touches a rule without our key. Called by main.c (build) and live.c.
 * What each rule costs the system is why there are few of them, each for several calls: the kernel walks the list at
 * the end of every call.
 */
#include "collectord/rules.h"

#include <errno.h>
#include <libaudit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectord/calls.h"
#include "common/cleanup.h"

/* Rules of ours at most: the table below for two machines, and four programs of our own for each. */
#define MAX_RULES 64u

/* Rules of ours that may be found in the kernel: also those of an older version. */
#define MAX_FOUND 256u

/* One rule: the calls it is for, by name, and what else must hold. */
struct rule_row {
	const char *key;
	const char *calls[12];
	const char *fields[4];
};

/* O_WRONLY | O_RDWR | O_CREAT | O_TRUNC: any of them. */
#define WRITES "01103"

static const struct rule_row rows[] = {
    /* clang-format off */
	{"picket-exec", {"execve", "execveat"}, {NULL}},
	{"picket-exit", {"exit_group"}, {NULL}},
	/* filetype: devices, pipes and directories are opened for writing all the time and are no files */
	{"picket-open", {"openat"}, {"a2&" WRITES, "filetype=file"}},
	{"picket-open", {"open"}, {"a1&" WRITES, "filetype=file"}},
	{"picket-open", {"openat2", "creat", "truncate", "truncate64"}, {"filetype=file"}},
	{"picket-file", {"rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "link", "linkat", "symlink", "symlinkat"}, {NULL}},
	{"picket-mode", {"chmod", "fchmod", "fchmodat", "fchmodat2"}, {NULL}},
	{"picket-module", {"init_module", "finit_module", "delete_module"}, {NULL}},
	{"picket-listen", {"listen"}, {"success=1"}},
	/* i386 only: 2 to 5 are bind, connect, listen and accept, 18 is accept4 (linux/net.h) */
	{"picket-net", {"socketcall"}, {"a0>=2", "a0<=5"}},
	{"picket-net", {"socketcall"}, {"a0=18"}},
    /* clang-format on */
};

/* Calls with an address. Inet: AF_INET (2) to AF_INET6 (10), which leaves out AF_UNIX and AF_NETLINK. */
static const struct rule_row inet_rows[] = {
    {"picket-net", {"connect", "accept", "accept4", "bind"}, {"saddr_fam>=2", "saddr_fam<=10"}},
};
static const struct rule_row unix_rows[] = {
    {"picket-net", {"connect", "accept", "accept4", "bind"}, {"saddr_fam>=1", "saddr_fam<=10"}},
};

struct rules {
	size_t n;
	struct audit_rule_data *items[MAX_RULES];
};

/* Rules of ours as the kernel has them. */
struct found {
	size_t n;
	bool blind;
	struct audit_rule_data *items[MAX_FOUND];
};

/* ---- building ---- */

static int
add_field(struct audit_rule_data **rule, const char *text)
{
	char pair[512]; /* libaudit cuts it in place */

	if (snprintf(pair, sizeof(pair), "%s", text) >= (int)sizeof(pair))
		return -EINVAL;
	return audit_rule_fieldpair_data(rule, pair, AUDIT_FILTER_EXIT) == 0 ? 0 : -EINVAL;
}

/* Mark a call in the rule's mask. Calls that libaudit does not know yet are set by number; ones the machine does not
 * have are left out. */
static void
add_call(struct audit_rule_data *rule, const struct call *call, bool is_32bit)
{
#if defined(__x86_64__)
	int nr = is_32bit ? call->i386 : call->x86_64;
#elif defined(__aarch64__)
	int nr = is_32bit ? -1 : call->aarch64;
#else
#error "say here which column of calls_table this machine has"
#endif

	if (nr < 0)
		return;
	(void)audit_rule_syscallbyname_data(rule, call->name);
	rule->mask[AUDIT_WORD(nr)] |= AUDIT_BIT(nr);
}

static bool
has_calls(const struct audit_rule_data *rule)
{
	for (size_t i = 0; i < AUDIT_BITMASK_SIZE; i++)
		if (rule->mask[i] != 0)
			return true;
	return false;
}

/* Finish a rule: key, then into the list. Takes the rule over. */
static int
keep_rule(struct rules *rules, struct audit_rule_data *rule, uint32_t action, const char *key)
{
	char text[64];
	int r;

	(void)snprintf(text, sizeof(text), "key=%s", key);
	r = add_field(&rule, text);
	if (r < 0 || rules->n == MAX_RULES) {
		free(rule);
		return r < 0 ? r : -E2BIG;
	}
	rule->flags = AUDIT_FILTER_EXIT;
	rule->action = action;
	rules->items[rules->n++] = rule;
	return 0;
}

static int
build_row(struct rules *rules, const struct rule_row *row, bool is_32bit)
{
	struct audit_rule_data *rule = audit_rule_create_data();
	int r;

	if (rule == NULL)
		return -ENOMEM;
	r = add_field(&rule, is_32bit ? "arch=b32" : "arch=b64");
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(row->calls) && row->calls[i] != NULL; i++)
		add_call(rule, calls_by_name(row->calls[i]), is_32bit);
	if (r < 0 || !has_calls(rule)) {
		free(rule);
		return r;
	}
	for (size_t i = 0; i < ARRAY_LEN(row->fields) && row->fields[i] != NULL; i++) {
		r = add_field(&rule, row->fields[i]);
		if (r < 0) {
			free(rule);
			return r;
		}
	}
	return keep_rule(rules, rule, AUDIT_ALWAYS, row->key);
}

/*
 * What our own programs do is not reported: by user and program, both, so that nobody escapes by taking the user alone.
 * The rule names only the calls that our rules are for and stands behind the administrator's rules.
 */
static int
build_self(struct rules *rules, const struct rules_self *self, bool is_32bit)
{
	struct audit_rule_data *rule = audit_rule_create_data();
	char text[512];
	int r;

	if (rule == NULL)
		return -ENOMEM;
	r = add_field(&rule, is_32bit ? "arch=b32" : "arch=b64");
	for (const struct call *call = calls_table; r == 0 && call->name != NULL; call++)
		if (call->kind != CALL_SOCKETCALL)
			add_call(rule, call, is_32bit);
	(void)snprintf(text, sizeof(text), "uid=%u", self->uid);
	if (r == 0)
		r = add_field(&rule, text);
	(void)snprintf(text, sizeof(text), "exe=%s", self->exe);
	if (r == 0)
		r = add_field(&rule, text);
	if (r < 0) {
		free(rule);
		return r;
	}
	return keep_rule(rules, rule, AUDIT_NEVER, RULES_KEY_PREFIX "self");
}

static int
build_all(struct rules *rules, const struct rules_conf *conf, bool is_32bit, char *err, size_t err_size)
{
	const struct rule_row *net = conf->unix_sockets ? unix_rows : inet_rows;
	int r;

	for (size_t i = 0; i < conf->n_self; i++) {
		r = build_self(rules, &conf->self[i], is_32bit);
		if (r < 0) {
			(void)snprintf(err, err_size, "audit rule for %s: %s", conf->self[i].exe, strerror(-r));
			return r;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(rows) + 1; i++) {
		const struct rule_row *row = i < ARRAY_LEN(rows) ? &rows[i] : net;

		r = build_row(rules, row, is_32bit);
		if (r < 0) {
			(void)snprintf(err, err_size, "audit rule %s: libaudit refuses it", row->key);
			return r;
		}
	}
	return 0;
}

struct rules *
rules_new(const struct rules_conf *conf, char *err, size_t err_size)
{
	struct rules *rules = calloc(1, sizeof(*rules));

	if (rules == NULL) {
		(void)snprintf(err, err_size, "out of memory");
		return NULL;
	}
	if (build_all(rules, conf, false, err, err_size) < 0
#if defined(__x86_64__)
	    || build_all(rules, conf, true, err, err_size) < 0
#endif
	) {
		rules_free(rules);
		return NULL;
	}
	return rules;
}

void
rules_free(struct rules *rules)
{
	if (rules == NULL)
		return;
	for (size_t i = 0; i < rules->n; i++)
		free(rules->items[i]);
	free(rules);
}

size_t
rules_count(const struct rules *rules)
{
	return rules->n;
}

/* ---- the kernel's list ---- */

/* Fields whose value is the length of a text in buf. */
static bool
has_text(uint32_t field)
{
	switch (field) {
	case AUDIT_SUBJ_USER:
	case AUDIT_SUBJ_ROLE:
	case AUDIT_SUBJ_TYPE:
	case AUDIT_SUBJ_SEN:
	case AUDIT_SUBJ_CLR:
	case AUDIT_OBJ_USER:
	case AUDIT_OBJ_ROLE:
	case AUDIT_OBJ_TYPE:
	case AUDIT_OBJ_LEV_LOW:
	case AUDIT_OBJ_LEV_HIGH:
	case AUDIT_WATCH:
	case AUDIT_DIR:
	case AUDIT_FILTERKEY:
	case AUDIT_EXE:
		return true;
	default:
		return false;
	}
}

static bool
is_ours(const struct audit_rule_data *rule)
{
	size_t at = 0, prefix = sizeof(RULES_KEY_PREFIX) - 1;

	for (uint32_t i = 0; i < rule->field_count; i++) {
		if (!has_text(rule->fields[i]))
			continue;
		if (rule->values[i] > rule->buflen - at)
			return false;
		if (rule->fields[i] == AUDIT_FILTERKEY && rule->values[i] >= prefix &&
		    memcmp(rule->buf + at, RULES_KEY_PREFIX, prefix) == 0)
			return true;
		at += rule->values[i];
	}
	return false;
}

/* -a never,task without a condition: no task forked from now on is audited. */
static bool
is_blinding(const struct audit_rule_data *rule)
{
	return (rule->flags & ~AUDIT_FILTER_PREPEND) == AUDIT_FILTER_TASK && rule->action == AUDIT_NEVER &&
	       rule->field_count == 0;
}

static int
take_rule(const struct audit_rule_data *rule, size_t len, void *ctx)
{
	struct found *f = ctx;
	struct audit_rule_data *copy;

	(void)len;
	f->blind = f->blind || is_blinding(rule);
	if (!is_ours(rule) || f->n == MAX_FOUND)
		return 0;
	copy = malloc(audit_rule_bytes(rule));
	if (copy == NULL)
		return -ENOMEM;
	(void)memcpy(copy, rule, audit_rule_bytes(rule));
	f->items[f->n++] = copy;
	return 0;
}

static void
free_found(struct found *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->items[i]);
	f->n = 0;
}

static bool
same_rule(const struct audit_rule_data *a, const struct audit_rule_data *b)
{
	return a->flags == b->flags && a->action == b->action && a->field_count == b->field_count &&
	       a->buflen == b->buflen && memcmp(a->mask, b->mask, sizeof(a->mask)) == 0 &&
	       memcmp(a->fields, b->fields, a->field_count * sizeof(a->fields[0])) == 0 &&
	       memcmp(a->values, b->values, a->field_count * sizeof(a->values[0])) == 0 &&
	       memcmp(a->fieldflags, b->fieldflags, a->field_count * sizeof(a->fieldflags[0])) == 0 &&
	       memcmp(a->buf, b->buf, a->buflen) == 0;
}

static bool
is_wanted(const struct rules *rules, const struct audit_rule_data *rule)
{
	for (size_t i = 0; i < rules->n; i++)
		if (same_rule(rules->items[i], rule))
			return true;
	return false;
}

static bool
is_in_place(const struct found *f, const struct audit_rule_data *rule)
{
	for (size_t i = 0; i < f->n; i++)
		if (same_rule(f->items[i], rule))
			return true;
	return false;
}

int
rules_load(const struct rules *rules, struct audit_ctl *ctl, struct rules_result *ret)
{
	struct found f = {0};
	int r = audit_ctl_rules(ctl, take_rule, &f);

	*ret = (struct rules_result){0};
	if (r < 0) {
		free_found(&f);
		return r;
	}
	ret->blind = f.blind;
	for (size_t i = 0; i < f.n; i++)
		if (!is_wanted(rules, f.items[i]) && audit_ctl_rule(ctl, AUDIT_DEL_RULE, f.items[i]) == 0)
			ret->removed++;
	for (size_t i = 0; i < rules->n; i++) {
		if (is_in_place(&f, rules->items[i])) {
			ret->kept++;
			continue;
		}
		r = audit_ctl_rule(ctl, AUDIT_ADD_RULE, rules->items[i]);
		if (r == 0) {
			ret->added++;
		} else {
			ret->refused++;
			ret->error = r;
		}
	}
	free_found(&f);
	return ret->added + ret->kept > 0 ? 0 : ret->error;
}

int
rules_unload(struct audit_ctl *ctl)
{
	struct found f = {0};
	int r = audit_ctl_rules(ctl, take_rule, &f), removed = 0;

	for (size_t i = 0; r == 0 && i < f.n; i++) {
		r = audit_ctl_rule(ctl, AUDIT_DEL_RULE, f.items[i]);
		if (r == 0 || r == -ENOENT) {
			removed++;
			r = 0;
		}
	}
	free_found(&f);
	return r < 0 ? r : removed;
}
