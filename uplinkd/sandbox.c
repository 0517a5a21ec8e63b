/* What uplinkd may still do once it is confined: its state directory, name look-ups, outgoing TCP. No capability.
 * Called by main.c. */
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "uplinkd/uplinkd.h"

/* SOCK_STREAM and friends without their flags. */
#define SOCK_KIND 0xfu

/* Beside what every daemon needs (common/sandbox_seccomp.c). bind and listen are missing: nobody connects to uplinkd by
 * inet. */
static const struct sandbox_call calls[] = {
    /* TCP to the server or proxy, UDP to a name server */
    {SCMP_SYS(socket), {{SANDBOX_EQ, 0, AF_INET, 0}, {SANDBOX_MASK, 1, SOCK_STREAM, SOCK_KIND}}},
    {SCMP_SYS(socket), {{SANDBOX_EQ, 0, AF_INET6, 0}, {SANDBOX_MASK, 1, SOCK_STREAM, SOCK_KIND}}},
    {SCMP_SYS(socket), {{SANDBOX_EQ, 0, AF_INET, 0}, {SANDBOX_MASK, 1, SOCK_DGRAM, SOCK_KIND}}},
    {SCMP_SYS(socket), {{SANDBOX_EQ, 0, AF_INET6, 0}, {SANDBOX_MASK, 1, SOCK_DGRAM, SOCK_KIND}}},
    /* getaddrinfo asks rtnetlink which address families there are; without bind it gets no answer and assumes both */
    {SCMP_SYS(socket), {{SANDBOX_EQ, 0, AF_NETLINK, 0}, {SANDBOX_EQ, 2, NETLINK_ROUTE, 0}}},
    /* TCP_NODELAY, keep-alive, SO_LINGER, IP_RECVERR: options of our own sockets need no list */
    {SCMP_SYS(setsockopt), {{SANDBOX_ANY, 0, 0, 0}}},
    {SCMP_SYS(getsockopt), {{SANDBOX_ANY, 0, 0, 0}}},
    {SCMP_SYS(sendmmsg), {{SANDBOX_ANY, 0, 0, 0}}},
    {SCMP_SYS(recvmmsg), {{SANDBOX_ANY, 0, 0, 0}}},
    /* name look-ups run in a thread; clone3 answers ENOSYS and glibc takes clone */
    {SCMP_SYS(clone), {{SANDBOX_MASK, 0, CLONE_VM | CLONE_THREAD, CLONE_VM | CLONE_THREAD}}},
    {SCMP_SYS(socketpair), {{SANDBOX_EQ, 0, AF_UNIX, 0}}},
    /* spool: reserve blocks, list the directory */
    {SCMP_SYS(fallocate), {{SANDBOX_ANY, 0, 0, 0}}},
    {SCMP_SYS(getdents64), {{SANDBOX_ANY, 0, 0, 0}}},
    SANDBOX_END,
};

/* What name look-ups read; those that exist on this host. */
static const char *const resolver_files[] = {
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/services",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
};

int
upl_confine(struct uplinkd *u)
{
	const struct rlimit no_core = {0, 0};
	struct sandbox_path paths[ARRAY_LEN(resolver_files) + 2];
	char state_dir[512]; /* bytes: StateDirectory and our name */
	const struct sandbox sandbox = {.calls = calls, .paths = paths, .inet = true};
	const struct privs privs = {.uid = u->conf.general.uplinkd_uid, .gid = u->conf.general.gid};
	size_t n = 0;

	(void)snprintf(state_dir, sizeof(state_dir), "%s/%s", u->conf.general.state_dir, u->daemon.name);
	paths[n++] = (struct sandbox_path){state_dir, SANDBOX_WRITE};
	for (size_t i = 0; i < ARRAY_LEN(resolver_files); i++)
		if (access(resolver_files[i], F_OK) == 0)
			paths[n++] = (struct sandbox_path){resolver_files[i], SANDBOX_READ};
	paths[n] = (struct sandbox_path){NULL, SANDBOX_READ};
	/* The key of the client certificate is in memory: no core dump, no debugger of the same user. */
	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return daemon_confine(&u->daemon, &privs, &sandbox);
}
