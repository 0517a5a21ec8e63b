/* What agentd may still do once it is confined: nothing privileged, no network, no program. Called by main.c. */
#include <linux/netlink.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "agentd/agentd.h"

/* Beside what every daemon needs (common/sandbox_seccomp.c). */
static const struct sandbox_call calls[] = {
    /* EventsRequest: a pair whose ends go to collectord and to picketctl */
    {SCMP_SYS(socketpair), {{SANDBOX_EQ, 0, AF_UNIX, 0}}},
    /*
     * The host's addresses for the server, asked again each minute because they change (getifaddrs). rtnetlink reaches
     * no other host, and without CAP_NET_ADMIN it changes nothing here.
     */
    {SCMP_SYS(socket), {{SANDBOX_EQ, 0, AF_NETLINK, 0}, {SANDBOX_EQ, 2, NETLINK_ROUTE, 0}}},
    {SCMP_SYS(bind), {{SANDBOX_ANY, 0, 0, 0}}},
    SANDBOX_END,
};

int
agt_confine(struct agentd *a)
{
	char state_dir[512]; /* bytes: StateDirectory and our name */
	const struct sandbox_path paths[] = {{state_dir, SANDBOX_WRITE}, {NULL, SANDBOX_READ}};
	const struct sandbox sandbox = {.calls = calls, .paths = paths, .inet = false};
	const struct privs privs = {.uid = a->conf.general.agentd_uid, .gid = a->conf.general.gid};

	(void)snprintf(state_dir, sizeof(state_dir), "%s/%s", a->conf.general.state_dir, a->daemon.name);
	return daemon_confine(&a->daemon, &privs, &sandbox);
}
