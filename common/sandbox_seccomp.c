/*
 * System calls by table: seccomp through libseccomp.
 * Never falls back to a weaker filter, never logs. Called by sandbox_enter() only.
 *
 * Three kinds of calls: allowed (here for every daemon, beside it the daemon's own table), fatal (nothing a daemon does
 * ends there, so whoever gets there is an intruder), and the rest, which answers ENOSYS so that a newer libc takes its
 * older way.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/sandbox_internal.h"

/* Arguments that seccomp sees. */
#define MAX_ARGS 6u

/* clang-format off */
#define CALL(name) {.nr = SCMP_SYS(name)}
/* Argument n of the call, an int, is v. */
#define ARG(n, v) {SANDBOX_EQ, (n), (uint64_t)(v), 0}
/* None of the bits m is set in argument n. */
#define ARG_WITHOUT(n, m) {SANDBOX_MASK, (n), 0, (m)}
/* The pointer in argument n is NULL. */
#define ARG_NULL(n) {SANDBOX_MASK, (n), 0, UINT64_MAX}
/* clang-format on */

/* What the loop, the sockets, the log, state files and libc need; the same for every daemon. */
static const struct sandbox_call base_calls[] = {
    /* loop: made before the sandbox, used in it */
    CALL(epoll_ctl),
    CALL(epoll_wait),
    CALL(epoll_pwait),
    CALL(epoll_pwait2),
    CALL(eventfd2),
    CALL(timerfd_settime),
    CALL(poll),
    CALL(ppoll),

    /* signals; abort() is added with our own pid */
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(sigaltstack),

    /* memory: nothing becomes executable any more */
    CALL(brk),
    {SCMP_SYS(mmap), {ARG_WITHOUT(2, PROT_EXEC)}},
    {SCMP_SYS(mprotect), {ARG_WITHOUT(2, PROT_EXEC)}},
    CALL(munmap),
    CALL(mremap),
    CALL(madvise),

    /* files: where is Landlock's business */
    CALL(openat),
    CALL(close),
    CALL(read),
    CALL(readv),
    CALL(pread64),
    CALL(write),
    CALL(writev),
    CALL(pwrite64),
    CALL(lseek),
    CALL(fstat),
    CALL(newfstatat),
    CALL(fchmod),
    CALL(fcntl),
    CALL(fsync),
    CALL(fdatasync),
    CALL(ftruncate),
    CALL(renameat),
    CALL(renameat2), /* renameat(3) where the machine has no renameat(2) */
    CALL(unlinkat),
    {SCMP_SYS(ioctl), {ARG(1, FIONREAD)}}, /* libevent */
    {SCMP_SYS(ioctl), {ARG(1, TCGETS)}},   /* isatty(3) by stdio */

    /* Unix sockets */
    {SCMP_SYS(socket), {ARG(0, AF_UNIX)}},
    CALL(connect),
    CALL(accept4),
    CALL(shutdown),
    CALL(getsockname),
    CALL(getpeername),
    CALL(sendto),
    CALL(sendmsg),
    CALL(recvfrom),
    CALL(recvmsg),
    {SCMP_SYS(getsockopt), {ARG(1, SOL_SOCKET)}},
    {SCMP_SYS(setsockopt), {ARG(1, SOL_SOCKET), ARG(2, SO_SNDBUF)}},
    {SCMP_SYS(setsockopt), {ARG(1, SOL_SOCKET), ARG(2, SO_RCVBUF)}},
    {SCMP_SYS(setsockopt), {ARG(1, SOL_SOCKET), ARG(2, SO_PASSCRED)}},

    /* clocks, random numbers, locks */
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(gettimeofday),
    CALL(time),
    CALL(getrandom),
    CALL(futex),
    CALL(set_robust_list),
    CALL(rseq),
    CALL(sched_yield),
    CALL(sched_getaffinity),
    CALL(restart_syscall),

    /* who and where am I */
    CALL(getpid),
    CALL(gettid),
    CALL(getuid),
    CALL(geteuid),
    CALL(getgid),
    CALL(getegid),
    CALL(getrusage),
    CALL(getrlimit),
    {SCMP_SYS(prlimit64), {ARG(0, 0), ARG_NULL(2)}}, /* reads our own, sets nothing */
    CALL(uname),
    CALL(sysinfo),

    CALL(exit),
    CALL(exit_group),
    SANDBOX_END,
};

/* Fatal, and no daemon's table can allow them. */
static const int kill_calls[] = {
    /* another program, another process */
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(kcmp),
    /* another view of the file system */
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    /* another identity */
    SCMP_SYS(setuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setreuid),
    SCMP_SYS(setregid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setresgid),
    SCMP_SYS(setfsuid),
    SCMP_SYS(setfsgid),
    SCMP_SYS(setgroups),
    SCMP_SYS(capset),
    SCMP_SYS(personality),
    /* code in the kernel, and its favourite ways in */
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(modify_ldt),
    /* the machine */
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(acct),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
};

/* A call that libseccomp does not know for this machine has a negative number, and so has SANDBOX_END. */
static bool
call_exists(int nr)
{
	return nr >= 0;
}

static bool
call_is_fatal(int nr)
{
	for (size_t i = 0; i < ARRAY_LEN(kill_calls); i++)
		if (kill_calls[i] == nr)
			return true;
	return false;
}

/* Returns 0 or a negative errno of libseccomp. */
static int
add_call(scmp_filter_ctx filter, const struct sandbox_call *call)
{
	struct scmp_arg_cmp args[ARRAY_LEN(call->cond)];
	unsigned int n = 0;

	for (size_t i = 0; i < ARRAY_LEN(call->cond); i++) {
		const struct sandbox_cond *cond = &call->cond[i];

		if (cond->match == SANDBOX_ANY)
			continue;
		if (cond->arg >= MAX_ARGS)
			return -EINVAL;
		/* An int sits in the low half; what is in the high half is up to the compiler. */
		if (cond->match == SANDBOX_EQ)
			args[n++] = SCMP_CMP64(cond->arg, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)cond->value);
		else
			args[n++] = SCMP_CMP64(cond->arg, SCMP_CMP_MASKED_EQ, cond->mask, cond->value);
	}
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call->nr, n, args);
}

static int
add_calls(scmp_filter_ctx filter, const struct sandbox_call *calls)
{
	for (const struct sandbox_call *call = calls; call != NULL && call->nr != -1; call++) {
		int r;

		if (!call_exists(call->nr))
			continue;
		r = call_is_fatal(call->nr) ? -EACCES : add_call(filter, call);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool
call_allows_family(const struct sandbox_call *call, unsigned int family)
{
	for (size_t i = 0; i < ARRAY_LEN(call->cond); i++) {
		const struct sandbox_cond *cond = &call->cond[i];

		if (cond->arg != 0)
			continue;
		if (cond->match == SANDBOX_EQ && (uint32_t)cond->value != family)
			return false;
		if (cond->match == SANDBOX_MASK && (family & cond->mask) != cond->value)
			return false;
	}
	return true;
}

static bool
list_allows_family(const struct sandbox_call *calls, unsigned int family)
{
	for (const struct sandbox_call *call = calls; call != NULL && call->nr != -1; call++)
		if (call->nr == SCMP_SYS(socket) && call_allows_family(call, family))
			return true;
	return false;
}

/* socket() of a family that no row names is fatal. Beyond AF_MAX there is none: ENOSYS. */
static int
kill_foreign_sockets(scmp_filter_ctx filter, const struct sandbox_call *calls)
{
	for (unsigned int family = 0; family < AF_MAX; family++) {
		int r;

		if (list_allows_family(base_calls, family) || list_allows_family(calls, family))
			continue;
		r = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 1,
		    SCMP_A0_64(SCMP_CMP_MASKED_EQ, UINT32_MAX, family));
		if (r < 0)
			return r;
	}
	return 0;
}

static int
kill_fatal_calls(scmp_filter_ctx filter)
{
	for (size_t i = 0; i < ARRAY_LEN(kill_calls); i++) {
		int r =
		    call_exists(kill_calls[i]) ? seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, kill_calls[i], 0) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

/* abort(3) and assert(3) send a signal to themselves: to this process only. */
static int
allow_abort(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	    SCMP_A0_64(SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)getpid()));
}

#ifdef PICKET_DEBUG
/*
 * Debug build: a call that is on no list is reported on stderr and then answers ENOSYS as in a release. The kernel
 * cannot deliver the trap while SIGSYS is blocked, so calls that libc tries with all signals blocked answer ENOSYS
 * directly.
 */
#define UNKNOWN_CALL SCMP_ACT_TRAP

/* Numbers with a name in the report: the highest number of x86_64 and aarch64 is below it. */
#define NAMED_CALLS 512
static char *call_names[NAMED_CALLS];

static void
put(const char *text)
{
	ssize_t n = write(STDERR_FILENO, text, strlen(text));

	(void)n;
}

static void
on_sigsys(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	unsigned int nr = (unsigned int)info->si_syscall;
	char digits[12];
	size_t at = sizeof(digits) - 1;
	int saved = errno;

	(void)sig;
	digits[at] = '\0';
	do
		digits[--at] = (char)('0' + nr % 10);
	while ((nr /= 10) != 0 && at > 0);
	nr = (unsigned int)info->si_syscall;
	put("sandbox.unknown_call nr=");
	put(digits + at);
	put(" name=");
	put(nr < NAMED_CALLS && call_names[nr] != NULL ? call_names[nr] : "?");
	put("\n");
#if defined(__x86_64__)
	uc->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
#elif defined(__aarch64__)
	uc->uc_mcontext.regs[0] = (unsigned long long)-ENOSYS;
#else
#error "say here where this machine has the result of a system call"
#endif
	errno = saved;
}

static int
prepare_unknown_calls(scmp_filter_ctx filter)
{
	struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
	int r;

	for (int nr = 0; nr < NAMED_CALLS; nr++)
		if (call_names[nr] == NULL)
			call_names[nr] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
	r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (r == 0 && sigaction(SIGSYS, &action, NULL) < 0)
		r = -errno;
	return r;
}
#else
#define UNKNOWN_CALL SCMP_ACT_ERRNO(ENOSYS)

static int
prepare_unknown_calls(scmp_filter_ctx filter)
{
	(void)filter;
	return 0;
}
#endif

static int
build_filter(scmp_filter_ctx filter, const struct sandbox_call *calls, const char **ret_step)
{
	int r;

	*ret_step = "attributes";
	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r < 0)
		return r;
	*ret_step = "list of fatal calls";
	r = kill_fatal_calls(filter);
	if (r == 0)
		r = kill_foreign_sockets(filter, calls);
	if (r < 0)
		return r;
	*ret_step = "list of every daemon's calls";
	r = add_calls(filter, base_calls);
	if (r == 0)
		r = allow_abort(filter);
	if (r < 0)
		return r;
	*ret_step = "the daemon's table (does it name a fatal call?)";
	r = add_calls(filter, calls);
	if (r < 0)
		return r;
	*ret_step = "unknown calls";
	r = prepare_unknown_calls(filter);
	if (r < 0)
		return r;
	*ret_step = "loading; the kernel needs CONFIG_SECCOMP_FILTER";
	return seccomp_load(filter);
}

int
sandbox_seccomp(const struct sandbox *sandbox, char *err, size_t err_size)
{
	const char *step = NULL;
	scmp_filter_ctx filter;
	int r;

	filter = seccomp_init(UNKNOWN_CALL);
	if (filter == NULL) {
		(void)snprintf(err, err_size, "seccomp: out of memory");
		return -ENOMEM;
	}
	r = build_filter(filter, sandbox->calls, &step);
	seccomp_release(filter);
	if (r < 0)
		(void)snprintf(err, err_size, "seccomp: %s: %s", step, strerror(-r));
	return r;
}
