/* What isolatord may still do once it is confined: the packet filter, its own file, its socket. Called by main.c. */
#include <libiptc/libiptc.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "isolatord/isolatord.h"

/* Socket options of the packet filter: 64 and 65 in both directions and both families (IPT_SO_* equals IP6T_SO_*). */
#define SO_INFO_OR_REPLACE IPT_BASE_CTL
#define SO_ENTRIES_OR_COUNTERS (IPT_BASE_CTL + 1)

_Static_assert(IPT_SO_GET_INFO == SO_INFO_OR_REPLACE && IPT_SO_SET_REPLACE == SO_INFO_OR_REPLACE, "ip_tables.h");
_Static_assert(IPT_SO_GET_ENTRIES == SO_ENTRIES_OR_COUNTERS, "ip_tables.h");
_Static_assert(IPT_SO_SET_ADD_COUNTERS == SO_ENTRIES_OR_COUNTERS, "ip_tables.h");

#define ARG(n, v)                                                                                                      \
	{                                                                                                              \
		SANDBOX_EQ, (n), (uint64_t)(v), 0                                                                      \
	}
#define FILTER_CALL(call, level, option)                                                                               \
	{                                                                                                              \
		SCMP_SYS(call),                                                                                        \
		{                                                                                                      \
			ARG(1, level), ARG(2, option)                                                                  \
		}                                                                                                      \
	}

/* Beside what every daemon needs (common/sandbox_seccomp.c). */
static const struct sandbox_call calls[] = {
    /* libiptc opens a raw socket for each transaction and never sends on it */
    {SCMP_SYS(socket), {ARG(0, AF_INET), ARG(1, SOCK_RAW), ARG(2, IPPROTO_RAW)}},
    {SCMP_SYS(socket), {ARG(0, AF_INET6), ARG(1, SOCK_RAW), ARG(2, IPPROTO_RAW)}},
    FILTER_CALL(getsockopt, IPPROTO_IP, SO_INFO_OR_REPLACE),
    FILTER_CALL(getsockopt, IPPROTO_IP, SO_ENTRIES_OR_COUNTERS),
    FILTER_CALL(setsockopt, IPPROTO_IP, SO_INFO_OR_REPLACE),
    FILTER_CALL(setsockopt, IPPROTO_IP, SO_ENTRIES_OR_COUNTERS),
    FILTER_CALL(getsockopt, IPPROTO_IPV6, SO_INFO_OR_REPLACE),
    FILTER_CALL(getsockopt, IPPROTO_IPV6, SO_ENTRIES_OR_COUNTERS),
    FILTER_CALL(setsockopt, IPPROTO_IPV6, SO_INFO_OR_REPLACE),
    FILTER_CALL(setsockopt, IPPROTO_IPV6, SO_ENTRIES_OR_COUNTERS),
    /* a second thread for the second family, never a process */
    {SCMP_SYS(clone), {{SANDBOX_MASK, 0, CLONE_THREAD, CLONE_THREAD}}},
    /* /run/xtables.lock, opened before */
    {SCMP_SYS(flock), {{SANDBOX_ANY, 0, 0, 0}}},
    SANDBOX_END,
};

int
iso_confine(struct isolatord *iso)
{
	char state_dir[512]; /* bytes: StateDirectory and our name */
	const struct sandbox_path paths[] = {{state_dir, SANDBOX_WRITE}, {NULL, SANDBOX_READ}};
	const struct sandbox sandbox = {.calls = calls, .paths = paths, .inet = false};
	const struct privs privs = {
	    .uid = 0, /* owns /run/xtables.lock; without CAP_DAC_OVERRIDE it reads and writes only what is root's */
	    .gid = iso->conf.general.gid,
	    .caps = PRIVS_CAP(CAP_NET_ADMIN) | PRIVS_CAP(CAP_NET_RAW), /* RAW: libiptc opens a raw socket */
	};

	(void)snprintf(state_dir, sizeof(state_dir), "%s/%s", iso->conf.general.state_dir, iso->daemon.name);
	return daemon_confine(&iso->daemon, &privs, &sandbox);
}
