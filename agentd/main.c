/* agentd's start-up, step by step. No logic: what it does is in the other files of this folder. */
#include <errno.h>
#include <stdlib.h>

#include "agentd/agentd.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/version.h"

static struct agentd agentd = {
    .daemon = {.name = "agentd", .keys = agt_conf_keys, .conf = &agentd.conf.general, .state_fd = -1},
    .kept = {.fd = -1},
};

/* Opened by root, because the runtime directory is root's. */
static int
open_listener(const struct agentd *a)
{
	char path[256]; /* bytes: longer than a socket's path may be */
	int fd;

	(void)daemon_socket_path(&a->conf.general, a->daemon.name, path, sizeof(path));
	fd = ipc_listen_open(path, 0660, a->conf.general.gid);
	if (fd == -EADDRINUSE)
		log_error("start.failed", KV_STR("socket", path), KV_ERRNO(fd),
		    KV_STR("remedy", "another agentd runs: stop it"));
	else if (fd < 0)
		log_error("start.failed", KV_STR("socket", path), KV_ERRNO(fd),
		    KV_STR("remedy", "run as root; RuntimeDirectory must exist and be root's"));
	return fd;
}

static int
load_identity(struct agentd *a)
{
	int r = agt_id_load(a->daemon.state_fd, a->agent_id);

	if (r < 0)
		log_error("start.failed", KV_STR("file", "agent-id"), KV_ERRNO(r),
		    KV_STR("remedy", "remove it to become a new agent, or put a UUID in it"));
	return r;
}

int
main(int argc, char **argv)
{
	struct agentd *a = &agentd;
	int code = DAEMON_EXIT_START;
	AUTO_FD int listener = -1;

	if (daemon_start(&a->daemon, argc, argv, &code) != 0)
		return code;
	listener = open_listener(a);
	if (listener < 0 || daemon_state_dir(&a->daemon, a->conf.general.agentd_uid, a->conf.general.gid) < 0)
		return DAEMON_EXIT_START;
	agt_host_os(&a->host);
	if (loop_init(&a->loop, NULL, NULL) < 0)
		return DAEMON_EXIT_START;
	if (agt_confine(a) < 0)
		return DAEMON_EXIT_SANDBOX;

	if (load_identity(a) < 0)
		return DAEMON_EXIT_START;
	(void)agt_host_refresh(&a->host);
	agt_store_load(a);
	if (agt_peers_start(a, STEAL_FD(listener)) < 0 || agt_isolate_start(a) < 0)
		return DAEMON_EXIT_START;
	log_info("start.ready", KV_STR("version", picket_version), KV_STR("agent_id", a->agent_id));
	notify_send("READY=1");
	code = loop_run(&a->loop);
	notify_send("STOPPING=1");
	log_info("stop.done", KV_I64("code", code));

	agt_peers_stop(a);
	agt_isolate_stop(a);
	agt_exclusions_done(&a->exclusions);
	loop_done(&a->loop);
	conf_done(agt_conf_keys, &a->conf);
	return code;
}
