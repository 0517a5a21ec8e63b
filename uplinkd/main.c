/* uplinkd's start-up, step by step. No logic: what it does is in the other files of this folder. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/version.h"
#include "uplinkd/names.h"
#include "uplinkd/uplinkd.h"

/* Bytes of a spool segment: bounds what one damaged header costs, and what is read at start. */
#define SEGMENT_BYTES MIB(8)

static struct uplinkd uplinkd = {
    .daemon = {.name = "uplinkd", .keys = upl_conf_keys, .conf = &uplinkd.conf.general, .state_fd = -1},
    .spool_fd = -1,
    .link_state = "waiting for agentd",
};

/* Opened by root, because the runtime directory is root's. */
static int
open_listener(const struct uplinkd *u)
{
	char path[256]; /* bytes: longer than a socket's path may be */
	int fd;

	(void)daemon_socket_path(&u->conf.general, u->daemon.name, path, sizeof(path));
	fd = ipc_listen_open(path, 0660, u->conf.general.gid);
	if (fd == -EADDRINUSE)
		log_error("start.failed", KV_STR("socket", path), KV_ERRNO(fd),
		    KV_STR("remedy", "another uplinkd runs: stop it"));
	else if (fd < 0)
		log_error("start.failed", KV_STR("socket", path), KV_ERRNO(fd),
		    KV_STR("remedy", "run as root; RuntimeDirectory must exist and be root's"));
	return fd;
}

/* The spool's own directory, so that nothing else in the state directory can be taken for a part of it. */
static int
open_spool_dir(struct uplinkd *u)
{
	int fd, r = 0;

	if (mkdirat(u->daemon.state_fd, "spool", 0700) < 0 && errno != EEXIST)
		r = -errno;
	fd = r < 0 ? -1 : openat(u->daemon.state_fd, "spool", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r == 0 && (fd < 0 || fchown(fd, u->conf.general.uplinkd_uid, u->conf.general.gid) < 0))
		r = -errno;
	if (r < 0)
		log_error("start.failed", KV_STR("directory", "spool"), KV_ERRNO(r),
		    KV_STR("remedy", "StateDirectory/uplinkd must be writable for uplinkd's user"));
	u->spool_fd = fd;
	return r;
}

static int
load_certificates(struct uplinkd *u)
{
	const struct tls_files files = {.server = u->conf.server_certificate,
	    .client = u->conf.client_certificate,
	    .client_key = u->conf.client_key};
	int r = tls_load(u->daemon.state_fd, &files, u->conf.general.uplinkd_uid, &u->tls);

	if (r < 0)
		log_error("start.failed", KV_ERRNO(r), KV_STR("remedy", "more memory"));
	else
		log_info("tls.loaded", KV_STR("server_certificate", u->tls.server_state),
		    KV_STR("client_certificate", u->tls.client_state));
	return r;
}

static int
open_spool(struct uplinkd *u)
{
	const struct spool_conf conf = {
	    .segment_bytes = SEGMENT_BYTES,
	    .max_payload = LIM_IPC_RECORD_BYTES,
	    .max_bytes = u->conf.spool_bytes,
	    .max_age_ms = u->conf.spool_age_ms,
	};
	const struct spool_stats *stats;
	int r;

	u->spool_io = spool_io_disk(u->spool_fd);
	r = spool_open(&conf, &u->spool_io, &u->spool);
	if (r < 0) {
		log_error("start.failed", KV_STR("directory", "spool"), KV_ERRNO(r),
		    KV_STR("remedy",
			"repair the disk, or move StateDirectory/uplinkd/spool away: what is in it is then not sent"));
		return r;
	}
	stats = spool_stats(u->spool);
	log_info("spool.open", KV_U64("events", spool_backlog_events(u->spool)),
	    KV_U64("bytes", spool_backlog_bytes(u->spool)), KV_U64("torn", stats->torn),
	    KV_U64("missing", stats->dropped_missing), KV_U64("state_lost", stats->state_lost));
	return 0;
}

int
main(int argc, char **argv)
{
	struct uplinkd *u = &uplinkd;
	int code = DAEMON_EXIT_START;
	AUTO_FD int listener = -1;

	if (daemon_start(&u->daemon, argc, argv, &code) != 0)
		return code;
	listener = open_listener(u);
	if (listener < 0 || daemon_state_dir(&u->daemon, u->conf.general.uplinkd_uid, u->conf.general.gid) < 0 ||
	    open_spool_dir(u) < 0 || load_certificates(u) < 0)
		return DAEMON_EXIT_START;
	if (http_global_init() < 0 || loop_init(&u->loop, NULL, NULL) < 0)
		return DAEMON_EXIT_START;
	if (upl_confine(u) < 0)
		return DAEMON_EXIT_SANDBOX;

	if (open_spool(u) < 0)
		return DAEMON_EXIT_START;
	u->http = http_new(&u->loop);
	if (u->http == NULL || upl_status_start(u) < 0 || upl_names_start(u) < 0 || upl_ingest_start(u) < 0 ||
	    upl_delivery_start(u) < 0 || upl_sync_start(u) < 0 || upl_peers_start(u, STEAL_FD(listener)) < 0)
		return DAEMON_EXIT_START;
	log_info("start.ready", KV_STR("version", picket_version));
	notify_send("READY=1");
	code = loop_run(&u->loop);
	notify_send("STOPPING=1");
	log_info("stop.done", KV_I64("code", code));

	upl_sync_stop(u);
	upl_delivery_stop(u);
	upl_ingest_stop(u);
	upl_names_stop(u);
	upl_peers_stop(u);
	upl_status_stop(u);
	http_free(u->http);
	tls_done(&u->tls);
	upl_settings_done(&u->settings);
	spool_close(u->spool);
	loop_done(&u->loop);
	conf_done(upl_conf_keys, &u->conf);
	return code;
}
