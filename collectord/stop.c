/*
 * The orderly stop: close the source, put the kernel back, let uplinkd take what is queued. A kill at any point of it
 * is like any other kill. Called by the loop on SIGTERM, and by stream.c when something was acknowledged.
 */
#include <errno.h>

#include "collectord/collectord.h"
#include "common/log.h"
#include "common/notify.h"

/* Milliseconds that an orderly stop waits for uplinkd to acknowledge what is queued. */
#define STOP_MS 2000u

static void
on_stop_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct collectord *c = ctx;

	(void)fd;
	(void)what;
	log_warning("stop.unsent", KV_U64("events", queue_events(c->queue)),
	    KV_STR("what", "uplinkd did not take them in time: the next start states them as lost"));
	loop_stop(&c->loop, DAEMON_EXIT_OK);
}

int
col_stop_init(struct collectord *c)
{
	c->stop_timer = loop_timer_new(&c->loop, on_stop_timer, c);
	return c->stop_timer != NULL ? 0 : -ENOMEM;
}

void
col_stop_done(struct collectord *c)
{
	if (c->stop_timer != NULL)
		event_free(c->stop_timer);
}

void
col_stop_check(struct collectord *c)
{
	if (queue_events(c->queue) > 0 || books_owed(c->books) != NULL)
		return;
	books_finish(c->books);
	loop_stop(&c->loop, DAEMON_EXIT_OK);
}

void
col_stop(void *ctx)
{
	struct collectord *c = ctx;

	notify_send("STOPPING=1");
	c->stopping = true;
	col_live_want(c, false);
	col_stream_flush(c);
	loop_timer_arm(c->stop_timer, STOP_MS);
	col_stop_check(c);
}
