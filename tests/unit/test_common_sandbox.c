/* sandbox: what is listed works, what is fatal kills, what is unknown answers ENOSYS, files outside the table stay
 * closed. In children. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/privs.h"
#include "common/sandbox.h"
#include "tests/unit/child.h"

static char dir[] = "/tmp/picket-sandbox-XXXXXX";
static char outside[] = "/tmp/picket-outside-XXXXXX";

static const struct sandbox_call no_calls[] = {SANDBOX_END};
static const struct sandbox_call inet_calls[] = {
    {SCMP_SYS(socket), {{SANDBOX_EQ, 0, AF_INET, 0}, {SANDBOX_MASK, 1, SOCK_STREAM, 0xf}}},
    SANDBOX_END,
};
static const struct sandbox_path no_paths[] = {{NULL, 0}};
static struct sandbox_path read_paths[] = {{dir, SANDBOX_READ}, {NULL, 0}};
static struct sandbox_path write_paths[] = {{dir, SANDBOX_WRITE}, {NULL, 0}};

static const struct sandbox closed = {.calls = no_calls, .paths = no_paths};
static const struct sandbox reading = {.calls = no_calls, .paths = read_paths};
static const struct sandbox writing = {.calls = no_calls, .paths = write_paths};
static const struct sandbox inet = {.calls = inet_calls, .inet = true};

static int
make_dirs(void **state)
{
	char path[64];
	AUTO_FD int fd = -1;

	(void)state;
	if (mkdtemp(dir) == NULL || mkdtemp(outside) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 || write(fd, "content", 7) != 7;
}

static int
remove_dirs(void **state)
{
	static const char *const names[] = {"file", "other", "moved"};
	char path[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
		(void)snprintf(path, sizeof(path), "%s/%s", outside, names[i]);
		(void)unlink(path);
	}
	return rmdir(dir) < 0 || rmdir(outside) < 0;
}

/* Returns the Landlock ABI in force. */
static int
enter(const struct sandbox *sandbox)
{
	char err[256] = "";
	int abi = -1, r;

	r = sandbox_enter(sandbox, &abi, err, sizeof(err));
	if (r < 0)
		(void)dprintf(STDERR_FILENO, "sandbox_enter: %d %s\n", r, err);
	CHILD_CHECK(r == 0);
	return abi;
}

/* ---- system calls ---- */

static int
do_daemon_things(const void *ctx)
{
	struct sockaddr_un nowhere = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/picket.sock"};
	struct rlimit limit;
	char *memory;
	int fd;

	enter(ctx);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(connect(fd, (const struct sockaddr *)&nowhere, sizeof(nowhere)) == -1 && errno != ENOSYS);
	CHILD_CHECK(close(fd) == 0);
	memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHILD_CHECK(memory != MAP_FAILED);
	CHILD_CHECK(mprotect(memory, 4096, PROT_READ) == 0);
	CHILD_CHECK(munmap(memory, 1 << 20) == 0);
	CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	memory = malloc(1 << 22);
	CHILD_CHECK(memory != NULL);
	free(memory);
	return 0;
}

static void
what_a_daemon_needs_works(void **state)
{
	(void)state;
	assert_child_passes(do_daemon_things, &closed);
	assert_child_passes(do_daemon_things, &inet);
}

struct fatal {
	const char *name;
	long nr, arg0;
};

static int
make_fatal_call(const void *ctx)
{
	const struct fatal *call = ctx;

	enter(&closed);
	(void)syscall(call->nr, call->arg0, 0, 0, 0, 0, 0);
	return 0;
}

static void
fatal_calls_kill(void **state)
{
	static const struct fatal calls[] = {
	    {"execve", SYS_execve, 0},
	    {"execveat", SYS_execveat, -1},
	    {"ptrace", SYS_ptrace, 0},
	    {"process_vm_readv", SYS_process_vm_readv, 0},
	    {"mount", SYS_mount, 0},
	    {"pivot_root", SYS_pivot_root, 0},
	    {"chroot", SYS_chroot, 0},
	    {"unshare", SYS_unshare, 0},
	    {"setns", SYS_setns, -1},
	    {"setuid", SYS_setuid, 60580},
	    {"capset", SYS_capset, 0},
	    {"finit_module", SYS_finit_module, -1},
	    {"bpf", SYS_bpf, -1},
	    {"perf_event_open", SYS_perf_event_open, 0},
	    {"userfaultfd", SYS_userfaultfd, 0},
	    {"io_uring_setup", SYS_io_uring_setup, 0},
	    {"keyctl", SYS_keyctl, -1},
	    {"reboot", SYS_reboot, 0},
	    {"socket AF_INET", SYS_socket, AF_INET},
	    {"socket AF_INET6", SYS_socket, AF_INET6},
	    {"socket AF_NETLINK", SYS_socket, AF_NETLINK},
	    {"socket AF_PACKET", SYS_socket, AF_PACKET},
	    {"socket AF_VSOCK", SYS_socket, AF_VSOCK},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		int status = child_run(make_fatal_call, &calls[i]);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s did not kill: status %#x", calls[i].name, (unsigned int)status);
	}
}

static int
make_unknown_calls(const void *ctx)
{
	enter(ctx);
	CHILD_CHECK(syscall(SYS_times, NULL) == -1 && errno == ENOSYS);
	CHILD_CHECK(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
	CHILD_CHECK(syscall(100000) == -1 && errno == ENOSYS);
	CHILD_CHECK(syscall(SYS_kill, getpid(), 0) == -1 && errno == ENOSYS);
	CHILD_CHECK(fork() == -1 && errno == ENOSYS);
	CHILD_CHECK(sandbox_probe("unknown-syscall") == 0);
	return 0;
}

static void
unknown_calls_answer_enosys(void **state)
{
	(void)state;
	assert_child_passes(make_unknown_calls, &closed);
	assert_child_passes(make_unknown_calls, &inet);
}

static int
make_memory_executable(const void *ctx)
{
	void *memory;

	enter(ctx);
	CHILD_CHECK(
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	CHILD_CHECK(errno == ENOSYS);
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHILD_CHECK(memory != MAP_FAILED);
	CHILD_CHECK(mprotect(memory, 4096, PROT_READ | PROT_EXEC) == -1 && errno == ENOSYS);
	return 0;
}

static void
memory_cannot_become_executable(void **state)
{
	(void)state;
	assert_child_passes(make_memory_executable, &closed);
}

static int
open_listed_socket(const void *ctx)
{
	enter(ctx);
	CHILD_CHECK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
	/* The family is listed, this type is not: refused, not fatal. */
	CHILD_CHECK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) == -1 && errno == ENOSYS);
	return 0;
}

static int
open_unlisted_socket(const void *ctx)
{
	enter(ctx);
	return socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
}

static void
a_row_of_the_table_opens_one_family_and_the_others_still_kill(void **state)
{
	(void)state;
	assert_child_passes(open_listed_socket, &inet);
	assert_child_killed_by(SIGSYS, open_unlisted_socket, &inet);
}

/* A row without a condition lifts the one of the base list, a repeated row is harmless, a row the machine lacks is
 * skipped. */
static int
use_odd_table(const void *ctx)
{
	static const struct sandbox_call calls[] = {
	    {.nr = SCMP_SYS(getsockopt)},
	    {.nr = SCMP_SYS(read)},
	    {SCMP_SYS(read), {{SANDBOX_EQ, 0, 3, 0}}},
	    {.nr = SCMP_SYS(times)},
	    {.nr = SCMP_SYS(times)},
	    {SCMP_SYS(clone), {{SANDBOX_MASK, 0, CLONE_THREAD, CLONE_THREAD}}},
	    {SCMP_SYS(socketpair), {{SANDBOX_EQ, 0, AF_UNIX, 0}}},
	    {.nr = SCMP_SYS(arm_fadvise64_64)},
	    SANDBOX_END,
	};
	static const struct sandbox sandbox = {.calls = calls, .paths = no_paths};
	int pair[2], value = 0;
	socklen_t len = sizeof(value);
	char byte;

	(void)ctx;
	enter(&sandbox);
	CHILD_CHECK(syscall(SYS_times, NULL) != -1);
	CHILD_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	CHILD_CHECK(getsockopt(pair[0], IPPROTO_TCP, 1, &value, &len) == -1 && errno != ENOSYS);
	CHILD_CHECK(read(pair[0], &byte, 1) == -1 && errno == EAGAIN);
	CHILD_CHECK(fork() == -1 && errno == ENOSYS);
	return 0;
}

static void
rows_may_widen_repeat_or_name_what_the_machine_lacks(void **state)
{
	(void)state;
	assert_child_passes(use_odd_table, NULL);
}

static void *
set_flag(void *flag)
{
	*(bool *)flag = true;
	return NULL;
}

static int
start_thread(const void *ctx)
{
	static const struct sandbox_call calls[] = {
	    {SCMP_SYS(clone), {{SANDBOX_MASK, 0, CLONE_THREAD, CLONE_THREAD}}},
	    SANDBOX_END,
	};
	static const struct sandbox sandbox = {.calls = calls, .paths = no_paths};
	static bool ran;
	pthread_t thread;

	(void)ctx;
	enter(&sandbox);
	CHILD_CHECK(pthread_create(&thread, NULL, set_flag, &ran) == 0);
	CHILD_CHECK(pthread_join(thread, NULL) == 0);
	CHILD_CHECK(ran);
	return 0;
}

static void
a_table_that_names_clone_for_threads_gets_threads(void **state)
{
	(void)state;
	assert_child_passes(start_thread, NULL);
}

static int
allow_fatal_call(const void *ctx)
{
	static const struct sandbox_call calls[] = {{.nr = SCMP_SYS(bpf)}, SANDBOX_END};
	static const struct sandbox sandbox = {.calls = calls, .paths = no_paths};
	char err[256] = "";

	(void)ctx;
	CHILD_CHECK(sandbox_enter(&sandbox, NULL, err, sizeof(err)) == -EACCES);
	CHILD_CHECK(strstr(err, "fatal call") != NULL);
	return 0;
}

static void
no_table_can_allow_a_fatal_call(void **state)
{
	(void)state;
	assert_child_passes(allow_fatal_call, NULL);
}

static int
install_after_filters_were_forbidden(const void *ctx)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	char err[256] = "";

	CHILD_CHECK(filter != NULL);
	CHILD_CHECK(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(seccomp), 0) == 0);
	CHILD_CHECK(seccomp_load(filter) == 0);
	seccomp_release(filter);
	CHILD_CHECK(sandbox_enter(ctx, NULL, err, sizeof(err)) < 0);
	CHILD_CHECK(err[0] != '\0');
	return 0;
}

static void
a_filter_that_cannot_be_loaded_is_an_error(void **state)
{
	(void)state;
	assert_child_passes(install_after_filters_were_forbidden, &closed);
}

static int
enter_and_abort(const void *ctx)
{
	(void)signal(SIGABRT, SIG_DFL);
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	enter(ctx);
	abort();
}

static void
abort_still_ends_the_process_with_sigabrt(void **state)
{
	(void)state;
	assert_child_killed_by(SIGABRT, enter_and_abort, &closed);
}

#ifdef __x86_64__
/* getpid through the 32-bit entry: number 20 there, writev here. With or without a sandbox. */
static int
call_through_int80(const void *ctx)
{
	long result;

	if (ctx != NULL)
		enter(ctx);
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
	return result < 0;
}

static int
call_through_x32(const void *ctx)
{
	enter(ctx);
	(void)syscall(0x40000000L | SYS_getpid);
	return 0;
}
#endif

static void
another_architecture_kills(void **state)
{
	(void)state;
#ifdef __x86_64__
	assert_child_killed_by(SIGSYS, call_through_x32, &closed);
	if (WIFSIGNALED(child_run(call_through_int80, NULL)))
		skip_because("this kernel has no 32-bit entry");
	assert_child_killed_by(SIGSYS, call_through_int80, &closed);
#else
	skip_because("no second architecture to call through");
#endif
}

/* ---- files ---- */

static bool
has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
}

#define skip_unless_landlock()                                                                                         \
	do {                                                                                                           \
		if (!has_landlock())                                                                                   \
			skip_because("this kernel has no Landlock");                                                   \
	} while (0)

static int
open_in(const char *where, const char *name, int flags)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s", where, name);
	return open(path, flags | O_CLOEXEC, 0600);
}

static int
read_allowed_path(const void *ctx)
{
	char text[8] = "";
	int fd;

	CHILD_CHECK(enter(ctx) > 0);
	fd = open_in(dir, "file", O_RDONLY);
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(read(fd, text, sizeof(text)) == 7 && memcmp(text, "content", 7) == 0);
	CHILD_CHECK(open_in(outside, ".", O_RDONLY) == -1 && errno == EACCES);
	CHILD_CHECK(open("/etc/passwd", O_RDONLY | O_CLOEXEC) == -1 && errno == EACCES);
	CHILD_CHECK(open_in(dir, "../../etc/passwd", O_RDONLY) == -1 && errno == EACCES);
	return 0;
}

static void
only_the_listed_path_can_be_read(void **state)
{
	(void)state;
	skip_unless_landlock();
	assert_child_passes(read_allowed_path, &reading);
	assert_child_passes(read_allowed_path, &writing);
}

static int
write_to_read_path(const void *ctx)
{
	CHILD_CHECK(enter(ctx) > 0);
	CHILD_CHECK(open_in(dir, "file", O_WRONLY) == -1 && errno == EACCES);
	CHILD_CHECK(open_in(dir, "other", O_WRONLY | O_CREAT) == -1 && errno == EACCES);
	return 0;
}

static void
a_path_for_reading_cannot_be_written(void **state)
{
	(void)state;
	skip_unless_landlock();
	assert_child_passes(write_to_read_path, &reading);
}

static int
work_in_write_path(const void *ctx)
{
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    outsidefd = open(outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

	CHILD_CHECK(mkdirat(dirfd, "sub", 0700) == 0);
	CHILD_CHECK(enter(ctx) > 0);
	fd = open_in(dir, "other", O_WRONLY | O_CREAT | O_EXCL);
	CHILD_CHECK(fd >= 0 && write(fd, "x", 1) == 1 && ftruncate(fd, 0) == 0 && close(fd) == 0);
	CHILD_CHECK(renameat(dirfd, "other", dirfd, "sub/other") == 0);
	CHILD_CHECK(renameat(dirfd, "sub/other", dirfd, "moved") == 0);
	CHILD_CHECK(unlinkat(dirfd, "sub", AT_REMOVEDIR) == 0);
	/* A descriptor from before the sandbox is no way out. */
	CHILD_CHECK(renameat(dirfd, "moved", outsidefd, "moved") == -1 && (errno == EXDEV || errno == EACCES));
	CHILD_CHECK(openat(outsidefd, "other", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) == -1 && errno == EACCES);
	CHILD_CHECK(unlinkat(dirfd, "moved", 0) == 0);
	return 0;
}

static void
a_path_for_writing_takes_create_rename_and_remove(void **state)
{
	(void)state;
	skip_unless_landlock();
	assert_child_passes(work_in_write_path, &writing);
}

static int
read_listed_file(const void *ctx)
{
	char path[64];
	const struct sandbox_path paths[] = {{path, SANDBOX_WRITE}, {NULL, 0}};
	const struct sandbox sandbox = {.calls = no_calls, .paths = paths};

	(void)ctx;
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	CHILD_CHECK(enter(&sandbox) > 0);
	CHILD_CHECK(open_in(dir, "file", O_RDWR) >= 0);
	CHILD_CHECK(open_in(dir, ".", O_RDONLY) == -1 && errno == EACCES);
	return 0;
}

static void
a_single_file_can_be_listed(void **state)
{
	(void)state;
	skip_unless_landlock();
	assert_child_passes(read_listed_file, NULL);
}

static int
list_missing_path(const void *ctx)
{
	static const struct sandbox_path paths[] = {{"/nonexistent/state", SANDBOX_READ}, {NULL, 0}};
	static const struct sandbox sandbox = {.calls = no_calls, .paths = paths};
	char err[256] = "";

	(void)ctx;
	CHILD_CHECK(sandbox_enter(&sandbox, NULL, err, sizeof(err)) == -ENOENT);
	CHILD_CHECK(strstr(err, "/nonexistent/state") != NULL);
	return 0;
}

static void
a_missing_path_is_named_in_the_error(void **state)
{
	(void)state;
	skip_unless_landlock();
	assert_child_passes(list_missing_path, NULL);
}

static int
open_shadow_as_root_without_caps(const void *ctx)
{
	static const struct privs root = {.uid = 0, .gid = 0};
	char err[256] = "";

	CHILD_CHECK(privs_drop(&root, err, sizeof(err)) == 0);
	CHILD_CHECK(open("/etc/shadow", O_RDONLY | O_CLOEXEC) >= 0); /* root owns it: the mode alone would let it in */
	enter(ctx);
	CHILD_CHECK(open("/etc/shadow", O_RDONLY | O_CLOEXEC) == -1 && errno == EACCES);
	CHILD_CHECK(sandbox_probe("open-etc-shadow") == 0);
	return 0;
}

static void
etc_shadow_stays_closed_even_to_its_owner(void **state)
{
	(void)state;
	skip_unless_root();
	skip_unless_landlock();
	assert_child_passes(open_shadow_as_root_without_caps, &closed);
}

static int
connect_tcp(const void *ctx)
{
	const struct sandbox *sandbox = ctx;
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    abi, r;
	socklen_t len = sizeof(addr);

	/* A port that is bound and does not listen refuses by itself. */
	CHILD_CHECK(bind(probe, (const struct sockaddr *)&addr, sizeof(addr)) == 0);
	CHILD_CHECK(getsockname(probe, (struct sockaddr *)&addr, &len) == 0);
	abi = enter(sandbox);
	r = connect(fd, (const struct sockaddr *)&addr, sizeof(addr));
	CHILD_CHECK(r == -1 && errno == (abi >= 4 && !sandbox->inet ? EACCES : ECONNREFUSED));
	return 0;
}

static void
an_inet_socket_from_elsewhere_connects_only_with_inet(void **state)
{
	(void)state;
	skip_unless_landlock();
	assert_child_passes(connect_tcp, &closed);
	assert_child_passes(connect_tcp, &inet);
}

/* ---- probes ---- */

static int
probe_without_sandbox(const void *ctx)
{
	return sandbox_probe(ctx) == 1 ? 0 : 1;
}

static int
probe_in_sandbox(const void *ctx)
{
	static const struct privs nobody = {.uid = 60580, .gid = 60580};
	char err[256] = "";

	CHILD_CHECK(privs_drop(&nobody, err, sizeof(err)) == 0);
	enter(&closed);
	return sandbox_probe(ctx);
}

static void
probes_tell_a_sandbox_from_none(void **state)
{
	static const char *const fatal[] = {"execve", "ptrace", "mount", "inet-socket"};
	static const char *const refused[] = {"open-etc-shadow", "unknown-syscall"};

	(void)state;
	skip_unless_root();
	for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
		assert_child_killed_by(SIGSYS, probe_in_sandbox, fatal[i]);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		assert_child_passes(probe_in_sandbox, refused[i]);
		assert_child_passes(probe_without_sandbox, refused[i]);
	}
	assert_child_passes(probe_without_sandbox, "inet-socket");
	assert_child_passes(probe_without_sandbox, "ptrace");
	assert_int_equal(sandbox_probe("no-such-probe"), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_a_daemon_needs_works),
	    cmocka_unit_test(fatal_calls_kill),
	    cmocka_unit_test(unknown_calls_answer_enosys),
	    cmocka_unit_test(memory_cannot_become_executable),
	    cmocka_unit_test(a_row_of_the_table_opens_one_family_and_the_others_still_kill),
	    cmocka_unit_test(rows_may_widen_repeat_or_name_what_the_machine_lacks),
	    cmocka_unit_test(a_table_that_names_clone_for_threads_gets_threads),
	    cmocka_unit_test(no_table_can_allow_a_fatal_call),
	    cmocka_unit_test(a_filter_that_cannot_be_loaded_is_an_error),
	    cmocka_unit_test(abort_still_ends_the_process_with_sigabrt),
	    cmocka_unit_test(another_architecture_kills),
	    cmocka_unit_test(only_the_listed_path_can_be_read),
	    cmocka_unit_test(a_path_for_reading_cannot_be_written),
	    cmocka_unit_test(a_path_for_writing_takes_create_rename_and_remove),
	    cmocka_unit_test(a_single_file_can_be_listed),
	    cmocka_unit_test(a_missing_path_is_named_in_the_error),
	    cmocka_unit_test(etc_shadow_stays_closed_even_to_its_owner),
	    cmocka_unit_test(an_inet_socket_from_elsewhere_connects_only_with_inet),
	    cmocka_unit_test(probes_tell_a_sandbox_from_none),
	};

	return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
