/*
 * The audit rules that Picket needs: built from the table of system calls before the sandbox is entered (libaudit asks
 * the kernel what it can), loaded and removed later. They carry a key of their own and stand behind the administrator's
 * rules, of which none is touched; a rule that is already there is kept as it is, so that a restart leaves no gap.
 */
#ifndef PICKET_COLLECTORD_RULES_H
#define PICKET_COLLECTORD_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectord/audit_ctl.h"

/* What the keys of our audit rules begin with. */
#define RULES_KEY_PREFIX "picket-"

/* A program whose own doings are kept out of the stream. */
struct rules_self {
	uint32_t uid;
	const char *exe; /* absolute path */
};

struct rules_conf {
	bool unix_sockets; /* connections and listeners of AF_UNIX too */
	const struct rules_self *self;
	size_t n_self;
};

struct rules;

/*
 * rules_new - build the rules.
 * @err: on failure one line.
 * Returns NULL when libaudit refuses one or memory is out; free with rules_free().
 */
struct rules *rules_new(const struct rules_conf *conf, char *err, size_t err_size);
void rules_free(struct rules *rules);

/* How many there are. */
size_t rules_count(const struct rules *rules);

struct rules_result {
	size_t added, kept, removed; /* rules of ours: new, found in place, stale ones taken out */
	size_t refused;              /* that the kernel does not take */
	int error;                   /* the last refusal: negative errno */
	bool blind; /* an administrator's rule (-a never,task) switches off system call auditing altogether */
};

/*
 * rules_load - have exactly our rules in force, beside all others.
 * Returns 0 when at least one rule is in force, or a negative errno: -EPERM when audit is locked (auditctl -e 2).
 */
int rules_load(const struct rules *rules, struct audit_ctl *ctl, struct rules_result *ret);

/* rules_unload - remove every rule with our key. Returns how many, or a negative errno. */
int rules_unload(struct audit_ctl *ctl);

#endif
