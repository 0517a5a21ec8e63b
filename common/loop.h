/* The event loop that every daemon shares: libevent, signals, timers, orderly stop. */
#ifndef PICKET_COMMON_LOOP_H
#define PICKET_COMMON_LOOP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct loop {
	struct event_base *base;
	struct event *sigterm, *sigint;
	void (*on_stop)(void *ctx); /* once, on the first SIGTERM or SIGINT; must lead to loop_stop() */
	void *ctx;
	bool stopping;
	int exit_code;
};

/*
 * loop_init - an epoll loop; SIGPIPE and SIGHUP are ignored; SIGTERM and SIGINT call on_stop once (NULL: loop_stop() at
 * once). Returns 0 or -ENOMEM. Free with loop_done().
 */
int loop_init(struct loop *loop, void (*on_stop)(void *ctx), void *ctx);

/* loop_run - until loop_stop(). Returns the exit code given to it. */
int loop_run(struct loop *loop);

void loop_stop(struct loop *loop, int exit_code);
void loop_done(struct loop *loop);

/* loop_timer_new - a timer that is not armed yet; free with event_free(). NULL when out of memory. */
struct event *loop_timer_new(struct loop *loop, event_callback_fn cb, void *ctx);

/* Arm once, `ms` from now (0: next turn of the loop). Arming again moves it. */
void loop_timer_arm(struct event *timer, uint64_t ms);

#endif
