/* The libevent loop: signals, timers, orderly stop. Called by every main.c. */
#include "common/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

static void
on_signal(evutil_socket_t sig, short what, void *ctx)
{
	struct loop *loop = ctx;

	(void)sig;
	(void)what;
	if (loop->stopping)
		return;
	loop->stopping = true;
	if (loop->on_stop != NULL)
		loop->on_stop(loop->ctx);
	else
		loop_stop(loop, 0);
}

int
loop_init(struct loop *loop, void (*on_stop)(void *ctx), void *ctx)
{
	*loop = (struct loop){.on_stop = on_stop, .ctx = ctx};

	struct event_config *config = event_config_new();
	if (config == NULL)
		return -ENOMEM;
	/* Only epoll: the sandbox allows no other. Changes stay unbatched, so a descriptor number used again is seen
	 * right. */
	(void)event_config_avoid_method(config, "select");
	(void)event_config_avoid_method(config, "poll");
	(void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	if (loop->base == NULL)
		return -ENOMEM;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN); /* a terminal that closes does not end an agent */
	loop->sigterm = evsignal_new(loop->base, SIGTERM, on_signal, loop);
	loop->sigint = evsignal_new(loop->base, SIGINT, on_signal, loop);
	if (loop->sigterm == NULL || loop->sigint == NULL || event_add(loop->sigterm, NULL) != 0 ||
	    event_add(loop->sigint, NULL) != 0) {
		loop_done(loop);
		return -ENOMEM;
	}
	return 0;
}

int
loop_run(struct loop *loop)
{
	if (event_base_dispatch(loop->base) < 0)
		return 1;
	return loop->exit_code;
}

void
loop_stop(struct loop *loop, int exit_code)
{
	loop->stopping = true;
	loop->exit_code = exit_code;
	(void)event_base_loopbreak(loop->base);
}

void
loop_done(struct loop *loop)
{
	if (loop->sigterm != NULL)
		event_free(loop->sigterm);
	if (loop->sigint != NULL)
		event_free(loop->sigint);
	if (loop->base != NULL)
		event_base_free(loop->base);
	*loop = (struct loop){0};
}

struct event *
loop_timer_new(struct loop *loop, event_callback_fn cb, void *ctx)
{
	return evtimer_new(loop->base, cb, ctx);
}

void
loop_timer_arm(struct event *timer, uint64_t ms)
{
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	(void)evtimer_add(timer, &tv);
}
