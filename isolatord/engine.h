/*
 * Carries out what fsm.h decides: keeps the order, drives the backend, cuts sockets, counts the deadline, and says when
 * something has changed. Knows nothing about messages.
 */
#ifndef PICKET_ISOLATORD_ENGINE_H
#define PICKET_ISOLATORD_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/loop.h"
#include "isolatord/backend.h"
#include "isolatord/fsm.h"
#include "isolatord/kept.h"

/* Bytes of the sentence in a status: a backend's, and what to do about it. */
#define ENGINE_DETAIL_BYTES (BACKEND_DETAIL_BYTES + 512u)

/* Counters since start, as reported to agentd. */
struct engine_stats {
	uint64_t orders, orders_refused, applies, removals, verifications, heals, commit_retries, lock_timeouts;
	uint64_t sockets_closed, sockets_spared, last_apply_ms;
};

/* What the engine is made of; borrowed for its life. */
struct engine_conf {
	struct loop *loop;
	struct backend *backend;
	struct kept_conf kept;
	int diag_fd;                  /* from cut_open(), or -1 */
	void (*on_change)(void *ctx); /* state, heals or detail are not what they were; may ask engine_status() */
	void *ctx;
};

struct engine {
	struct engine_conf conf;
	enum fsm_state state;
	struct kept kept;
	struct event *tick;
	struct event *deadline;
	int deadline_fd; /* timerfd on CLOCK_BOOTTIME */
	bool locked;
	bool waiting; /* for the backend's lock */
	struct mono_ms waiting_since;
	struct mono_ms compared; /* the last full comparison */
	struct backend_report report;
	struct engine_stats stats;
};

struct engine_status {
	enum fsm_state state;
	const struct iso_order *order; /* borrowed until the loop turns; off when nothing is ordered */
	uint64_t since_ms, until_ms;   /* wall clock; 0: no such moment */
	uint64_t generation;
	char detail[ENGINE_DETAIL_BYTES];
};

/* engine_init - returns 0, or a negative errno after logging it. Free with engine_done(), also after a failure. */
int engine_init(struct engine *e, const struct engine_conf *conf);

/*
 * engine_start - reconcile the kernel with what was kept. Call once, after the sandbox; or engine_order() with an order
 * to release instead, which forgets what was kept without looking at it.
 */
void engine_start(struct engine *e);

/*
 * engine_order - take an order: keep it, then begin to carry it out. The outcome shows in the status once
 * engine_is_settled().
 * @order:  from iso_order_decode(); the engine takes over what it owns, whatever the result.
 * @packed: the message it came from, kept on disk; copied.
 * @why:    on failure one sentence; nothing has changed then.
 * Returns 0 or a negative errno.
 */
int engine_order(
    struct engine *e, struct iso_order *order, const uint8_t *packed, size_t packed_len, char *why, size_t why_size);

/* engine_is_settled - is nothing under way? Then the status is the outcome of the last order. */
bool engine_is_settled(const struct engine *e);

void engine_status(const struct engine *e, struct engine_status *ret);

/* Leaves rules and file as they are: isolation outlives the daemon. */
void engine_done(struct engine *e);

#endif
