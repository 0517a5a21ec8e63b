/*
 * Drops groups, gid, uid and capabilities, then proves it.
 * Never logs, never exits, never raises anything. Called once by every daemon's main(), after the privileged
 * descriptors are open.
 *
 * The securebits come first: with NO_SETUID_FIXUP the change of uid leaves the capability sets alone, so that one
 * capset(2) at the end says exactly what remains; with NOROOT uid 0 is a number like any other. All of them are locked,
 * so nothing later can undo it.
 */
#include "common/privs.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Capabilities are numbered below this: two 32-bit words in capset(2). */
#define CAP_BITS 64u

/* Supplementary groups of a process that somebody else set up: more is not a service account. */
#define MAX_GROUPS 64

/* Everything that gives uid 0 or an exec capabilities back, locked. */
#define SECUREBITS                                                                                                     \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |               \
	    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

/* Write the reason and return -code. */
__attribute__((format(printf, 4, 5))) static int
refuse(int code, char *err, size_t err_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(err, err_size, format, args);
	va_end(args);
	return -code;
}

/* The same for a system call that failed: errno is the code. */
static int
refuse_call(char *err, size_t err_size, const char *what, const char *remedy)
{
	int code = errno;

	return refuse(code, err, err_size, "%s: %s; %s", what, strerror(code), remedy);
}

static int
caps_get(uint64_t *ret_effective, uint64_t *ret_permitted)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	*ret_effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	*ret_permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	return 0;
}

/* Permitted and effective become `caps`, inheritable becomes empty. */
static int
caps_set(uint64_t caps)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	data[0].effective = data[0].permitted = (uint32_t)caps;
	data[1].effective = data[1].permitted = (uint32_t)(caps >> 32);
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* Take what is there and not in `caps` out of the bounding set; what is absent already needs nothing. */
static int
drop_bounding_set(uint64_t caps)
{
	for (unsigned long cap = 0; cap < CAP_BITS; cap++) {
		int present = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (present < 0)
			break; /* EINVAL: the kernel's last capability is behind us */
		if (present == 1 && (caps & PRIVS_CAP(cap)) == 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	}
	return 0;
}

/* Started as root: every step is allowed, so each failure is an error. */
static int
drop_from_root(const struct privs *want, char *err, size_t err_size)
{
	int r;

	if (setgroups(want->n_groups, want->groups) < 0)
		return refuse_call(err, err_size, "setgroups", "start with CAP_SETGID");
	if (setresgid(want->gid, want->gid, want->gid) < 0)
		return refuse_call(err, err_size, "setresgid", "start with CAP_SETGID");
	r = drop_bounding_set(want->caps);
	if (r < 0)
		return refuse(-r, err, err_size, "capability bounding set: %s; start with CAP_SETPCAP", strerror(-r));
	if (prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0) < 0)
		return refuse_call(err, err_size, "securebits", "start with CAP_SETPCAP");
	if (setresuid(want->uid, want->uid, want->uid) < 0)
		return refuse_call(err, err_size, "setresuid", "start with CAP_SETUID");
	return 0;
}

static bool
group_among(const gid_t *groups, int n, gid_t gid)
{
	for (int i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

/* All groups that are wanted and no other. systemd adds the primary group to the list, which is fine. */
static int
check_groups(const struct privs *want, char *err, size_t err_size)
{
	gid_t groups[MAX_GROUPS];
	int n;

	n = getgroups(MAX_GROUPS, groups);
	if (n < 0)
		return refuse_call(err, err_size, "getgroups", "remove groups from the service account");
	for (int i = 0; i < n; i++)
		if (groups[i] != want->gid && !group_among(want->groups, (int)want->n_groups, groups[i]))
			return refuse(EPERM, err, err_size,
			    "supplementary group %u is not wanted; remove the service account from it",
			    (unsigned int)groups[i]);
	for (size_t i = 0; i < want->n_groups; i++)
		if (want->groups[i] != want->gid && !group_among(groups, n, want->groups[i]))
			return refuse(EPERM, err, err_size,
			    "supplementary group %u is missing; add it to SupplementaryGroups=",
			    (unsigned int)want->groups[i]);
	return 0;
}

/* Started as the target: ids can only be checked, the bounding set only be shrunk when the supervisor left us the right
 * to. */
static int
drop_from_target(const struct privs *want, char *err, size_t err_size)
{
	int r;

	if (setresuid(want->uid, want->uid, want->uid) < 0)
		return refuse_call(err, err_size, "setresuid", "start as root or as the service account");
	if (setresgid(want->gid, want->gid, want->gid) < 0)
		return refuse_call(
		    err, err_size, "setresgid", "start with the group of [General] (Group= of the unit)");
	r = check_groups(want, err, err_size);
	if (r < 0)
		return r;
	r = drop_bounding_set(want->caps);
	if (r < 0 && r != -EPERM)
		return refuse(-r, err, err_size, "capability bounding set: %s", strerror(-r));
	if (r == 0 && prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0) < 0 && errno != EPERM)
		return refuse_call(err, err_size, "securebits", "remove SecureBits= of the unit");
	return 0;
}

/* Ids are as wanted; now only `caps` remain and no exec adds any. */
static int
drop_caps(const struct privs *want, char *err, size_t err_size)
{
	uint64_t effective = 0, permitted = 0, missing;
	int r;

	r = caps_get(&effective, &permitted);
	if (r < 0)
		return refuse(-r, err, err_size, "capget: %s", strerror(-r));
	missing = want->caps & ~permitted;
	if (missing != 0)
		return refuse(EPERM, err, err_size,
		    "capabilities %#" PRIx64 " are missing; start as root or add them to AmbientCapabilities=",
		    missing);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return refuse_call(err, err_size, "ambient capabilities", "Linux 4.3 or later is needed");
	r = caps_set(want->caps);
	if (r < 0)
		return refuse(-r, err, err_size, "capset: %s", strerror(-r));
	return 0;
}

int
privs_drop(const struct privs *want, char *err, size_t err_size)
{
	uid_t uid = geteuid();
	int r;

	if (uid == 0)
		r = drop_from_root(want, err, err_size);
	else if (uid == want->uid)
		r = drop_from_target(want, err, err_size);
	else
		r = refuse(EPERM, err, err_size, "must be started as root (or as uid %u)", (unsigned int)want->uid);
	if (r < 0)
		return r;
	r = drop_caps(want, err, err_size);
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return refuse_call(err, err_size, "no_new_privs", "Linux 3.5 or later is needed");
	/* The kernel turns it off at a change of uid; a wish for core dumps turns it on again. */
	if (prctl(PR_SET_DUMPABLE, want->dumpable ? 1 : 0, 0, 0, 0) < 0)
		return refuse_call(err, err_size, "dumpable", "report this");
	(void)umask(0077);
	return 0;
}

/* ---- proof ---- */

/* The value of a line "NAME:\t..." of a status file, or NULL. */
static const char *
status_value(const char *status, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = status; line != NULL; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (strncmp(line, name, len) == 0 && line[len] == ':')
			return line + len + 1;
	}
	return NULL;
}

/* All four ids of a Uid or Gid line are `id`. */
static int
prove_ids(const char *status, const char *name, unsigned int id, char *err, size_t err_size)
{
	const char *at = status_value(status, name);

	for (int i = 0; i < 4; i++) {
		char *end = NULL;

		if (at == NULL || strtoul(at, &end, 10) != id || end == at)
			return refuse(EPERM, err, err_size, "%s is not %u in all four places", name, id);
		at = end;
	}
	return 0;
}

/* The set of a Cap line has nothing beyond `most` and everything in `least`. */
static int
prove_set(const char *status, const char *name, uint64_t least, uint64_t most, char *err, size_t err_size)
{
	const char *at = status_value(status, name);
	uint64_t set;

	if (at == NULL)
		return refuse(EPERM, err, err_size, "/proc/self/status has no %s", name);
	set = strtoull(at, NULL, 16);
	if ((set & ~most) != 0 || (set & least) != least)
		return refuse(EPERM, err, err_size, "%s is %#" PRIx64 ", wanted %#" PRIx64, name, set, most);
	return 0;
}

static int
prove_status(const struct privs *want, char *err, size_t err_size)
{
	char status[8192] = "";
	AUTO_FILE FILE *f = NULL;
	const char *nnp;
	uint64_t bounding;
	int securebits, r;

	f = fopen("/proc/self/status", "re");
	if (f == NULL || fread(status, 1, sizeof(status) - 1, f) == 0)
		return refuse(EPERM, err, err_size, "/proc/self/status cannot be read; mount /proc");
	/* Whoever came without CAP_SETPCAP could neither lock the securebits nor shrink the bounding set; no_new_privs
	 * makes it useless. */
	securebits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	bounding = securebits == SECUREBITS ? want->caps : UINT64_MAX;
	if (want->uid == 0 && securebits != SECUREBITS)
		return refuse(
		    EPERM, err, err_size, "securebits are %#x, wanted %#x", (unsigned int)securebits, SECUREBITS);
	r = prove_ids(status, "Uid", want->uid, err, err_size);
	if (r == 0)
		r = prove_ids(status, "Gid", want->gid, err, err_size);
	if (r == 0)
		r = prove_set(status, "CapInh", 0, 0, err, err_size);
	if (r == 0)
		r = prove_set(status, "CapPrm", want->caps, want->caps, err, err_size);
	if (r == 0)
		r = prove_set(status, "CapEff", want->caps, want->caps, err, err_size);
	if (r == 0)
		r = prove_set(status, "CapBnd", 0, bounding, err, err_size);
	if (r == 0)
		r = prove_set(status, "CapAmb", 0, 0, err, err_size);
	nnp = status_value(status, "NoNewPrivs");
	if (r == 0 && (nnp == NULL || strtoul(nnp, NULL, 10) != 1))
		r = refuse(EPERM, err, err_size, "no_new_privs is not set");
	return r;
}

/* What must not work any more does not work: the process is ended by the caller when one of these succeeds. */
static int
prove_no_way_back(const struct privs *want, char *err, size_t err_size)
{
	uid_t ruid, euid, suid;

	if (getresuid(&ruid, &euid, &suid) < 0 || ruid != want->uid || euid != want->uid || suid != want->uid)
		return refuse(EPERM, err, err_size, "getresuid does not say %u", (unsigned int)want->uid);
	if (want->uid != 0 && setuid(0) == 0)
		return refuse(EPERM, err, err_size, "setuid(0) works after the drop");
	if (want->gid != 0 && setgid(0) == 0)
		return refuse(EPERM, err, err_size, "setgid(0) works after the drop");
	for (unsigned int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if ((want->caps & PRIVS_CAP(cap)) == 0 && caps_set(want->caps | PRIVS_CAP(cap)) == 0)
			return refuse(EPERM, err, err_size, "capability %u came back after the drop", cap);
	return 0;
}

int
privs_prove(const struct privs *want, char *err, size_t err_size)
{
	int r;

	r = prove_status(want, err, err_size);
	if (r == 0)
		r = check_groups(want, err, err_size);
	if (r == 0)
		r = prove_no_way_back(want, err, err_size);
	return r;
}
