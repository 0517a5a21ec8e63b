/*
 * Puts the two halves of the sandbox together and probes them.
 * Never loosens anything, never logs. sandbox_enter() is called once by every daemon's main(); sandbox_probe() by
 * --sandbox-probe.
 */
#include "common/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/sandbox_internal.h"

int
sandbox_enter(const struct sandbox *sandbox, int *ret_landlock_abi, char *err, size_t err_size)
{
	int abi = 0, r;

	/* Both halves need it when there is no CAP_SYS_ADMIN; privs_drop() has set it already. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		r = -errno;
		(void)snprintf(err, err_size, "no_new_privs: %s", strerror(-r));
		return r;
	}
	r = sandbox_landlock(sandbox, &abi, err, err_size);
	if (r < 0)
		return r;
	r = sandbox_seccomp(sandbox, err, err_size);
	if (r < 0)
		return r;
	if (ret_landlock_abi != NULL)
		*ret_landlock_abi = abi;
	return 0;
}

/* ---- probes: each returns 0 when the call was refused, 1 when it went through ---- */

static int
probe_execve(void)
{
	char *const argv[] = {(char[]){"false"}, NULL};
	char *const envp[] = {NULL};

	/* When it goes through, this process becomes one that exits with 1, which is this function's result for that.
	 */
	(void)execve("/bin/false", argv, envp);
	return 0;
}

static int
probe_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}

static int
probe_mount(void)
{
	return mount("none", "/proc", "tmpfs", MS_RDONLY, NULL) == 0;
}

static int
probe_inet_socket(void)
{
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0;
}

static int
probe_open_etc_shadow(void)
{
	AUTO_FD int fd = open("/etc/shadow", O_RDONLY | O_CLOEXEC);

	return fd >= 0;
}

/* times(2): harmless, works without any privilege outside a sandbox, and stands on no list. */
static int
probe_unknown_syscall(void)
{
	return !(syscall(SYS_times, NULL) == -1 && errno == ENOSYS);
}

static const struct {
	const char *name;
	int (*run)(void);
} probes[] = {
    {"execve", probe_execve},
    {"ptrace", probe_ptrace},
    {"mount", probe_mount},
    {"inet-socket", probe_inet_socket},
    {"open-etc-shadow", probe_open_etc_shadow},
    {"unknown-syscall", probe_unknown_syscall},
};

int
sandbox_probe(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		if (strcmp(probes[i].name, name) == 0)
			return probes[i].run();
	return -EINVAL;
}
