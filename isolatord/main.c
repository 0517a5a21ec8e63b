/* isolatord's start-up, step by step. No logic: what it does is in the other files of this folder. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/version.h"
#include "isolatord/cut.h"
#include "isolatord/isolatord.h"

static struct isolatord isolatord = {
    .daemon = {.name = "isolatord",
	.keys = iso_conf_keys,
	.conf = &isolatord.conf.general,
	.check = iso_conf_check,
	.usage_extra =
	    "  --release             forget the order, take all rules out and exit; works with every daemon dead\n"
	    "  --apply-and-exit      put the rules of the kept order in and exit (at boot, before the network)\n",
	.state_fd = -1},
    .mode = ISO_RUN,
};

/* Takes our own options out of the command line; the shared ones are daemon_start()'s. */
static int
take_mode(int argc, char **argv, enum iso_mode *ret_mode)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (i > 0 && strcmp(argv[i], "--release") == 0)
			*ret_mode = ISO_RELEASE;
		else if (i > 0 && strcmp(argv[i], "--apply-and-exit") == 0)
			*ret_mode = ISO_APPLY_AND_EXIT;
		else
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	return n;
}

/* Opened by root, because the runtime directory is root's. */
static int
open_listener(const struct isolatord *iso)
{
	char path[256]; /* bytes: longer than a socket's path may be */
	int fd;

	(void)daemon_socket_path(&iso->conf.general, iso->daemon.name, path, sizeof(path));
	fd = ipc_listen_open(path, 0660, iso->conf.general.gid);
	if (fd == -EADDRINUSE)
		log_error("start.failed", KV_STR("socket", path), KV_ERRNO(fd),
		    KV_STR("remedy", "another isolatord runs: stop it"));
	else if (fd < 0)
		log_error("start.failed", KV_STR("socket", path), KV_ERRNO(fd),
		    KV_STR("remedy", "run as root; RuntimeDirectory must exist and be root's"));
	return fd;
}

/* Which boot this is: a deadline on CLOCK_BOOTTIME belongs to it. Without it every start counts as a new boot, which
 * never shortens a deadline. */
static void
read_boot_id(uint8_t *ret_id)
{
	char text[STORE_BOOT_ID_BYTES * 3]; /* 32 hex digits and hyphens */
	AUTO_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
	size_t digits = 0;

	for (ssize_t i = 0; i < n && digits < STORE_BOOT_ID_BYTES * 2u; i++) {
		const char *hex = "0123456789abcdef", *at = text[i] != '\0' ? strchr(hex, text[i]) : NULL;

		if (at == NULL)
			continue;
		ret_id[digits / 2u] = (uint8_t)(ret_id[digits / 2u] << 4 | (at - hex));
		digits++;
	}
}

/* A one-shot run ends when its outcome is there. */
static void
on_change(void *ctx)
{
	struct isolatord *iso = ctx;

	if (iso->mode == ISO_RUN)
		iso_peers_on_change(iso);
	else if (engine_is_settled(&iso->engine))
		loop_stop(&iso->loop, 0);
}

/* What needs root or a path: descriptors of the packet filter, of sock_diag, of the clocks. */
static int
open_engine(struct isolatord *iso)
{
	struct engine_conf conf = {.loop = &iso->loop, .on_change = on_change, .ctx = iso};
	char err[1]; /* checked by daemon_start() already */

	iso->n_management = (size_t)iso_conf_management(&iso->conf, iso->management, err, sizeof(err));
	conf.kept.rules = (struct ruleset_options){.uplink_uid = iso->conf.general.uplinkd_uid,
	    .management = iso->management,
	    .n_management = iso->n_management};
	conf.kept.state_fd = iso->daemon.state_fd;
	read_boot_id(conf.kept.boot_id);
	conf.diag_fd = cut_open();
	if (conf.diag_fd < 0)
		log_warning("cut.unavailable", KV_ERRNO(conf.diag_fd));
	conf.backend = iptc_open();
	if (conf.backend == NULL || loop_init(&iso->loop, NULL, NULL) < 0)
		return -ENOMEM;
	return engine_init(&iso->engine, &conf);
}

/* Returns the exit code. */
static int
run_once(struct isolatord *iso)
{
	struct iso_order release = {0};
	struct engine_status status;

	if (iso->mode == ISO_RELEASE)
		(void)engine_order(&iso->engine, &release, NULL, 0, NULL, 0);
	else
		engine_start(&iso->engine);
	if (!engine_is_settled(&iso->engine))
		(void)loop_run(&iso->loop);
	engine_status(&iso->engine, &status);
	log_info("once.done", KV_STR("state", fsm_state_name(status.state)), KV_STR("detail", status.detail));
	if (iso->mode == ISO_RELEASE)
		return status.state == FSM_RELEASED && status.detail[0] == '\0' ? DAEMON_EXIT_OK : DAEMON_EXIT_START;
	return status.state == FSM_RELEASED || status.state == FSM_ISOLATED ? DAEMON_EXIT_OK : DAEMON_EXIT_START;
}

static int
run_daemon(struct isolatord *iso, int listener)
{
	int code;

	if (iso_peers_start(iso, listener) < 0)
		return DAEMON_EXIT_START;
	engine_start(&iso->engine);
	log_info(
	    "start.ready", KV_STR("version", picket_version), KV_STR("backend", iso->engine.conf.backend->ops->name));
	notify_send("READY=1");
	code = loop_run(&iso->loop);
	notify_send("STOPPING=1");
	log_info("stop", KV_I64("code", code));
	iso_peers_stop(iso);
	return code;
}

int
main(int argc, char **argv)
{
	struct isolatord *iso = &isolatord;
	int code = DAEMON_EXIT_START;
	AUTO_FD int listener = -1;

	argc = take_mode(argc, argv, &iso->mode);
	if (daemon_start(&iso->daemon, argc, argv, &code) != 0)
		return code;
	if (iso->mode == ISO_RELEASE && iso_release_by_daemon(iso, &code) == 0)
		return code;
	if (iso->mode == ISO_RUN && (listener = open_listener(iso)) < 0)
		return DAEMON_EXIT_START;
	if (daemon_state_dir(&iso->daemon, 0, iso->conf.general.gid) < 0 || open_engine(iso) < 0)
		return DAEMON_EXIT_START;
	if (iso_confine(iso) < 0)
		return DAEMON_EXIT_SANDBOX;

	code = iso->mode == ISO_RUN ? run_daemon(iso, STEAL_FD(listener)) : run_once(iso);

	engine_done(&iso->engine);
	iso->engine.conf.backend->ops->close(iso->engine.conf.backend);
	loop_done(&iso->loop);
	conf_done(iso_conf_keys, &iso->conf);
	return code;
}
