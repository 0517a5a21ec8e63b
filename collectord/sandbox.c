/* What collectord may do once it runs: its user, two capabilities, its system calls, one directory. Called by main.c.
 */
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <seccomp.h>
#include <stdio.h>

#include "collectord/collectord.h"

static const struct sandbox_call calls[] = {
    /* records from the kernel, in batches; the sockets were made before the sandbox: no netlink socket can be made in
       it */
    {.nr = SCMP_SYS(recvmmsg)},
    SANDBOX_END,
};

int
col_confine(struct collectord *c)
{
	char state[256];
	const struct sandbox_path paths[] = {{state, SANDBOX_WRITE}, {NULL, 0}};
	const struct sandbox sandbox = {.calls = calls, .paths = paths};
	const struct privs privs = {
	    .uid = c->conf.common.collectord_uid,
	    .gid = c->conf.common.gid,
	    /* CONTROL: rules, settings, registration; READ: joining the multicast group, which a second source will
	       need */
	    .caps = PRIVS_CAP(CAP_AUDIT_CONTROL) | PRIVS_CAP(CAP_AUDIT_READ),
	};

	(void)snprintf(state, sizeof(state), "%s/collectord", c->conf.common.state_dir);
	return daemon_confine(&c->daemon, &privs, &sandbox);
}
