/*
 * isolatord --release while an isolatord runs: the rules would come back if they were taken out behind its back, so it
 * is asked to do it. Blocks, and belongs to the one-shot program only. Called by main.c.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/pb.h"
#include "isolatord/isolatord.h"
#include "proto/envelope.pb-c.h"
#include "proto/isolation.pb-c.h"

/* Milliseconds for the daemon's answer: it waits for the packet filter's lock for at most two seconds. */
#define ANSWER_MS 10000u

static bool
is_released(const uint8_t *data, size_t len)
{
	struct pb_arena *arena = NULL;
	const char *why;
	const Picket__V1__IsolationResult *result = (const void *)pb_unpack(
	    &picket__v1__isolation_result__descriptor, data, len, KEPT_UNPACK_BYTES, &arena, &why);
	bool released = result != NULL && result->accepted && result->status != NULL &&
			result->status->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_RELEASED;

	if (!released)
		log_error("release.failed", KV_STR("by", "the running isolatord"),
		    KV_BYTES("why", result != NULL && result->status != NULL ? result->status->detail.data : NULL,
			result != NULL && result->status != NULL ? result->status->detail.len : 0));
	pb_arena_free(arena);
	return released;
}

int
iso_release_by_daemon(const struct isolatord *iso, int *ret_exit)
{
	Picket__V1__IsolationOrder order = PICKET__V1__ISOLATION_ORDER__INIT;
	AUTO_FREE uint8_t *data = NULL;
	AUTO_FD int fd = -1;
	char path[256]; /* bytes: longer than a socket's path may be */
	size_t len;
	int r;

	fd = ipc_call_connect(
	    daemon_socket_path(&iso->conf.general, iso->daemon.name, path, sizeof(path)), "isolatord", ANSWER_MS);
	if (fd < 0)
		return fd;
	order.origin = PICKET__V1__ISOLATION_ORIGIN__ISOLATION_ORIGIN_LOCAL;
	order.command_id = pb_str("isolatord --release");
	r = ipc_call(fd, PICKET__V1__MSG__MSG_ISOLATION_ORDER, &order.base, ANSWER_MS, &data, &len, NULL);
	if (r < 0)
		return r;
	*ret_exit =
	    r == PICKET__V1__MSG__MSG_ISOLATION_RESULT && is_released(data, len) ? DAEMON_EXIT_OK : DAEMON_EXIT_START;
	return 0;
}
