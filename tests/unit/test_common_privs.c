/* privs: after the drop exactly what was wanted is left, and there is no way back. Every case runs in a child. */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/privs.h"
#include "tests/unit/child.h"

#define TEST_UID 60580
#define TEST_GID 60580
#define TEST_GROUP 60599

static const struct privs unprivileged = {.uid = TEST_UID, .gid = TEST_GID};
static const struct privs reader = {
    .uid = TEST_UID,
    .gid = TEST_GID,
    .groups = {TEST_GROUP},
    .n_groups = 1,
    .caps = PRIVS_CAP(CAP_AUDIT_READ) | PRIVS_CAP(CAP_DAC_READ_SEARCH),
    .dumpable = true,
};
static const struct privs root_with_net_admin = {.uid = 0, .gid = TEST_GID, .caps = PRIVS_CAP(CAP_NET_ADMIN)};

/* A container's root may lack what the daemons keep on a host. */
static bool
has_caps(uint64_t caps)
{
	for (unsigned int cap = 0; cap < 64; cap++)
		if ((caps & PRIVS_CAP(cap)) != 0 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 1)
			return false;
	return true;
}

#define skip_unless_full_root()                                                                                        \
	do {                                                                                                           \
		skip_unless_root();                                                                                    \
		if (!has_caps(reader.caps | root_with_net_admin.caps | PRIVS_CAP(CAP_AUDIT_CONTROL) |                  \
			      PRIVS_CAP(CAP_SETPCAP)))                                                                 \
			skip_because("this root lacks capabilities that the test keeps");                              \
	} while (0)

/* The hexadecimal or decimal number behind NAME: in /proc/<pid>/status. */
static uint64_t
status_number(const char *name, int base)
{
	char path[64], line[512];
	AUTO_FILE FILE *f = NULL;
	size_t len = strlen(name);

	(void)snprintf(path, sizeof(path), "/proc/%d/status", getpid());
	f = fopen(path, "re");
	CHILD_CHECK(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, len) == 0 && line[len] == ':')
			return strtoull(line + len + 1, NULL, base);
	CHILD_CHECK(!"name is in the status file");
	return 0;
}

static void
drop(const struct privs *want)
{
	char err[256] = "";
	int r = privs_drop(want, err, sizeof(err));

	if (r < 0)
		(void)dprintf(STDERR_FILENO, "privs_drop: %d %s\n", r, err);
	CHILD_CHECK(r == 0);
}

static int
drop_and_look(const void *ctx)
{
	const struct privs *want = ctx;
	char err[256] = "";

	drop(want);
	CHILD_CHECK(status_number("CapPrm", 16) == want->caps);
	CHILD_CHECK(status_number("CapEff", 16) == want->caps);
	CHILD_CHECK(status_number("CapBnd", 16) == want->caps);
	CHILD_CHECK(status_number("CapInh", 16) == 0);
	CHILD_CHECK(status_number("CapAmb", 16) == 0);
	CHILD_CHECK(status_number("NoNewPrivs", 10) == 1);
	CHILD_CHECK(status_number("Uid", 10) == want->uid);
	CHILD_CHECK(status_number("Gid", 10) == want->gid);
	CHILD_CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == want->dumpable);
	CHILD_CHECK(umask(0) == 0077);
	CHILD_CHECK(privs_prove(want, err, sizeof(err)) == 0);
	return 0;
}

static void
exactly_the_wanted_capabilities_are_left(void **state)
{
	(void)state;
	skip_unless_full_root();
	assert_child_passes(drop_and_look, &unprivileged);
	assert_child_passes(drop_and_look, &reader);
	assert_child_passes(drop_and_look, &root_with_net_admin);
}

static int
drop_and_try_setuid(const void *ctx)
{
	drop(ctx);
	CHILD_CHECK(setuid(0) == -1 && errno == EPERM);
	CHILD_CHECK(setgid(0) == -1 && errno == EPERM);
	CHILD_CHECK(setresuid(0, 0, 0) == -1 && errno == EPERM);
	return 0;
}

static void
setuid_0_fails_after_the_drop(void **state)
{
	(void)state;
	skip_unless_full_root();
	assert_child_passes(drop_and_try_setuid, &unprivileged);
	assert_child_passes(drop_and_try_setuid, &reader);
}

static int
drop_and_list_groups(const void *ctx)
{
	const struct privs *want = ctx;
	gid_t groups[16];

	drop(want);
	CHILD_CHECK(getgroups(16, groups) == (int)want->n_groups);
	for (size_t i = 0; i < want->n_groups; i++)
		CHILD_CHECK(groups[i] == want->groups[i]);
	return 0;
}

static void
groups_of_root_are_gone(void **state)
{
	(void)state;
	skip_unless_full_root();
	assert_child_passes(drop_and_list_groups, &unprivileged);
	assert_child_passes(drop_and_list_groups, &reader);
}

/* Without the securebits, exec as uid 0 would fill permitted from the bounding set and setuid(0) would fill effective.
 */
static int
stay_root_and_exec(const void *ctx)
{
	drop(ctx);
	CHILD_CHECK(setuid(0) == 0);
	CHILD_CHECK(status_number("CapEff", 16) == PRIVS_CAP(CAP_NET_ADMIN));
	(void)execl("/bin/sh", "sh", "-c",
	    "while read -r key value; do case $key in CapPrm:|CapEff:) [ $((0x$value)) = 0 ] || exit 1; esac; done < "
	    "/proc/self/status",
	    (char *)NULL);
	return CHILD_FAILED;
}

static void
uid_0_gives_nothing_back_at_exec_or_setuid(void **state)
{
	(void)state;
	skip_unless_full_root();
	assert_child_passes(stay_root_and_exec, &root_with_net_admin);
}

static void
become_target(const struct privs *want)
{
	CHILD_CHECK(setgroups(want->n_groups, want->groups) == 0);
	CHILD_CHECK(setresgid(want->gid, want->gid, want->gid) == 0);
	CHILD_CHECK(setresuid(want->uid, want->uid, want->uid) == 0);
}

/* What systemd does for User= with AmbientCapabilities=, short of the exec: capabilities in permitted, another uid. */
static int
start_as_target_with_caps(const void *ctx)
{
	const struct privs *want = ctx;
	char err[256] = "";

	CHILD_CHECK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
	become_target(want);
	drop(want);
	CHILD_CHECK(status_number("CapPrm", 16) == want->caps);
	CHILD_CHECK(status_number("CapEff", 16) == want->caps);
	CHILD_CHECK(privs_prove(want, err, sizeof(err)) == 0);
	return 0;
}

static int
start_as_target_without_caps(const void *ctx)
{
	const struct privs *want = ctx;
	char err[256] = "";
	int r;

	become_target(want);
	r = privs_drop(want, err, sizeof(err));
	if (want->caps == 0) {
		CHILD_CHECK(r == 0);
		CHILD_CHECK(privs_prove(want, err, sizeof(err)) == 0);
		return 0;
	}
	CHILD_CHECK(r == -EPERM);
	CHILD_CHECK(strstr(err, "AmbientCapabilities=") != NULL);
	return 0;
}

static void
the_target_itself_may_start_with_what_it_needs(void **state)
{
	(void)state;
	skip_unless_full_root();
	assert_child_passes(start_as_target_with_caps, &reader);
	assert_child_passes(start_as_target_without_caps, &unprivileged);
}

static void
a_missing_capability_is_an_error(void **state)
{
	(void)state;
	skip_unless_full_root();
	assert_child_passes(start_as_target_without_caps, &reader);
}

static int
start_with_foreign_group(const void *ctx)
{
	struct privs set_up = *(const struct privs *)ctx;
	char err[256] = "";

	set_up.groups[0] = 4;
	set_up.n_groups = 1;
	become_target(&set_up);
	CHILD_CHECK(privs_drop(ctx, err, sizeof(err)) == -EPERM);
	CHILD_CHECK(strstr(err, "supplementary group 4") != NULL);
	return 0;
}

static void
a_group_that_is_not_wanted_is_an_error(void **state)
{
	(void)state;
	skip_unless_full_root();
	assert_child_passes(start_with_foreign_group, &unprivileged);
}

static int
start_as_nobody(const void *ctx)
{
	char err[256] = "";

	CHILD_CHECK(setresuid(65534, 65534, 65534) == 0);
	CHILD_CHECK(privs_drop(ctx, err, sizeof(err)) == -EPERM);
	CHILD_CHECK(strstr(err, "must be started as root") != NULL);
	return 0;
}

static void
anyone_else_is_sent_away(void **state)
{
	(void)state;
	skip_unless_full_root();
	assert_child_passes(start_as_nobody, &unprivileged);
	assert_child_passes(start_as_nobody, &root_with_net_admin);
}

static int
drop_when_already_absent(const void *ctx)
{
	CHILD_CHECK(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0) == 0);
	return drop_and_look(ctx);
}

static void
a_capability_absent_from_the_bounding_set_is_no_error(void **state)
{
	(void)state;
	skip_unless_root();
	assert_child_passes(drop_when_already_absent, &unprivileged);
}

static int
prove_without_drop(const void *ctx)
{
	char err[256] = "";

	CHILD_CHECK(privs_prove(ctx, err, sizeof(err)) == -EPERM);
	CHILD_CHECK(err[0] != '\0');
	return 0;
}

/* Each differs from what drop_then_prove_other() became in one thing. */
static const struct privs not_reader[] = {
    {.uid = TEST_UID + 1, .gid = TEST_GID, .groups = {TEST_GROUP}, .n_groups = 1, .caps = PRIVS_CAP(CAP_AUDIT_READ)},
    {.uid = TEST_UID, .gid = TEST_GID + 1, .groups = {TEST_GROUP}, .n_groups = 1, .caps = PRIVS_CAP(CAP_AUDIT_READ)},
    {.uid = TEST_UID, .gid = TEST_GID, .groups = {TEST_GROUP}, .n_groups = 0, .caps = PRIVS_CAP(CAP_AUDIT_READ)},
    {.uid = TEST_UID, .gid = TEST_GID, .groups = {TEST_GROUP, 5}, .n_groups = 2, .caps = PRIVS_CAP(CAP_AUDIT_READ)},
    {.uid = TEST_UID, .gid = TEST_GID, .groups = {TEST_GROUP}, .n_groups = 1, .caps = 0},
    {.uid = TEST_UID, .gid = TEST_GID, .groups = {TEST_GROUP}, .n_groups = 1, .caps = PRIVS_CAP(CAP_AUDIT_CONTROL)},
};

static int
drop_then_prove_other(const void *ctx)
{
	static const struct privs reader_only = {
	    .uid = TEST_UID, .gid = TEST_GID, .groups = {TEST_GROUP}, .n_groups = 1, .caps = PRIVS_CAP(CAP_AUDIT_READ)};

	drop(&reader_only);
	return prove_without_drop(ctx);
}

static void
the_proof_fails_on_each_difference(void **state)
{
	(void)state;
	skip_unless_full_root();
	assert_child_passes(prove_without_drop, &unprivileged);
	assert_child_passes(prove_without_drop, &root_with_net_admin);
	for (size_t i = 0; i < ARRAY_LEN(not_reader); i++)
		assert_child_passes(drop_then_prove_other, &not_reader[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exactly_the_wanted_capabilities_are_left),
	    cmocka_unit_test(setuid_0_fails_after_the_drop),
	    cmocka_unit_test(groups_of_root_are_gone),
	    cmocka_unit_test(uid_0_gives_nothing_back_at_exec_or_setuid),
	    cmocka_unit_test(the_target_itself_may_start_with_what_it_needs),
	    cmocka_unit_test(a_missing_capability_is_an_error),
	    cmocka_unit_test(a_group_that_is_not_wanted_is_an_error),
	    cmocka_unit_test(anyone_else_is_sent_away),
	    cmocka_unit_test(a_capability_absent_from_the_bounding_set_is_no_error),
	    cmocka_unit_test(the_proof_fails_on_each_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
