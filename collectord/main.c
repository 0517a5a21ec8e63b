/* collectord: from the kernel's audit records to events. The start-up checklist; no logic. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectord/collectord.h"
#include "collectord/replay.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/notify.h"

static const char usage_extra[] = "or:    collectord --replay FILE [--output ndjson|proto|none] [--stats]\n";

/* Returns 0 or a negative errno. */
static int
read_boot_id(char *id, size_t size)
{
	AUTO_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, id, size - 1) : -1;

	if (n <= 0)
		return -errno;
	id[n] = '\0';
	id[strcspn(id, "\n")] = '\0';
	return 0;
}

static int
init(struct collectord *c)
{
	int r = books_open(c->daemon.state_fd, c->boot_id, c->epoch, &c->books);

	if (r < 0) {
		log_error("start.failed", KV_STR("file", "books"), KV_ERRNO(r));
		return r;
	}
	r = col_stream_init(c);
	if (r == 0)
		r = col_live_init(c);
	if (r == 0)
		r = col_restart_init(c);
	if (r == 0)
		r = col_stop_init(c);
	if (r == 0)
		r = col_peers_init(c);
	if (r < 0) {
		log_error("start.failed", KV_ERRNO(r));
		return r;
	}
	return 0;
}

static void
done(struct collectord *c)
{
	col_peers_done(c);
	col_restart_done(c);
	col_live_done(c);
	col_stream_done(c);
	col_stop_done(c);
	loop_done(&c->loop);
	books_close(c->books);
}

static int
run(struct collectord *c, int argc, char **argv)
{
	const struct daemon_conf *conf = &c->conf.common;
	int exit_code, r;

	if (daemon_start(&c->daemon, argc, argv, &exit_code) != 0)
		return exit_code;
	if (read_boot_id(c->boot_id, sizeof(c->boot_id)) < 0)
		return DAEMON_EXIT_START;
	r = col_live_prepare(c);
	if (r < 0)
		return r == -EPERM ? DAEMON_EXIT_SANDBOX : DAEMON_EXIT_START;
	if (daemon_state_dir(&c->daemon, conf->collectord_uid, conf->gid) < 0)
		return DAEMON_EXIT_START;
	/* The loop's own descriptors, too, cannot be made in the sandbox. */
	if (loop_init(&c->loop, col_stop, c) < 0)
		return DAEMON_EXIT_START;
	if (col_confine(c) < 0)
		return DAEMON_EXIT_SANDBOX;
	c->epoch = wall_now_ns();
	exit_code = init(c) < 0 ? DAEMON_EXIT_START : DAEMON_EXIT_OK;
	if (exit_code == DAEMON_EXIT_OK) {
		notify_send("READY=1");
		exit_code = loop_run(&c->loop);
	}
	done(c);
	return exit_code;
}

int
main(int argc, char **argv)
{
	struct collectord *c;
	int exit_code;

	if (col_replay_wanted(argc, argv))
		return col_replay_main(argc, argv);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return DAEMON_EXIT_START;
	c->spare_fd = c->handed_fd = -1;
	c->daemon = (struct daemon){
	    .name = "collectord", .keys = col_conf_keys, .conf = &c->conf.common, .usage_extra = usage_extra};
	exit_code = run(c, argc, argv);
	conf_done(col_conf_keys, &c->conf);
	free(c);
	return exit_code;
}
