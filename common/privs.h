/* Groups, gid, uid and capabilities: drop, then prove it. */
#ifndef PICKET_COMMON_PRIVS_H
#define PICKET_COMMON_PRIVS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct privs {
	uid_t uid; /* 0: stay root, with `caps` only */
	gid_t gid;
	gid_t groups[4]; /* supplementary */
	size_t n_groups;
	uint64_t caps; /* bit N: CAP_N kept, permitted and effective */
	bool dumpable; /* may leave a core; false for a process that holds keys or passwords */
};

#define PRIVS_CAP(n) (UINT64_C(1) << (n))

/*
 * privs_drop - become what `want` says: groups, gid, uid, bounding set, permitted, effective; ambient and inheritable
 * empty; no_new_privs; umask 0077; securebits locked so that uid 0 means nothing any more. Call while there is one
 * thread.
 * @err: on failure one line: what was refused and what to do.
 * Started as root: any target. Started as the target uid already (systemd User= with AmbientCapabilities=): keeps only
 * `caps`, and a wanted capability that is missing is an error. Started as anyone else: -EPERM "must be started as
 * root". Returns 0 or a negative errno.
 */
int privs_drop(const struct privs *want, char *err, size_t err_size);

/*
 * privs_prove - look again, through other calls than the drop used: /proc/self/status, getresuid, setuid(0) fails,
 * no_new_privs. Returns 0, or -EPERM with the first thing that is not as wanted in err.
 */
int privs_prove(const struct privs *want, char *err, size_t err_size);

#endif
