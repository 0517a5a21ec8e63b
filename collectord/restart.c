/*
 * What runs before this one left open: asks uplinkd how much of each it has, and makes losses of the rest. Never claims
 * an event that uplinkd has. Called by peers.c; the arithmetic is books.c.
 */
#include <errno.h>

#include "collectord/collectord.h"
#include "common/log.h"
#include "proto/envelope.pb-c.h"
#include "proto/telemetry.pb-c.h"

/*
 * Milliseconds after the source was opened until the sums are done: events that were under way when the run before died
 * may still come whole. The kernel writes the records of an event within microseconds; a second is for a machine under
 * load.
 */
#define SETTLE_MS 1000u

/* Milliseconds after which no source is waited for: Behavior_Detection is stopped, or agentd away. */
#define NO_SOURCE_MS 10000u

/* Milliseconds between two looks. */
#define LOOK_MS 500u

static bool
is_settled(const struct collectord *c)
{
	struct mono_ms now = mono_now();

	if (c->source != NULL)
		return mono_since(c->started, now) >= SETTLE_MS;
	return mono_since(c->born, now) >= NO_SOURCE_MS;
}

static struct col_answer *
find_answer(struct collectord *c, uint64_t epoch)
{
	for (size_t i = 0; i < BOOKS_RUNS; i++)
		if (c->answers[i].epoch == epoch)
			return &c->answers[i];
	return NULL;
}

static void
resolve(struct collectord *c, struct col_answer *answer)
{
	uint64_t missing = books_resolve(c->books, answer->epoch, answer->sequence, false);

	c->counters.lost_restart += missing;
	log_notice("restart.resolved", KV_U64("epoch", answer->epoch), KV_U64("durable", answer->sequence),
	    KV_U64("missing", missing));
	answer->epoch = 0;
}

static void
ask(struct collectord *c, struct ipc_link *link)
{
	uint64_t epoch;

	for (size_t i = 0; (epoch = books_prior(c->books, i)) != 0; i++) {
		Picket__V1__ResumeQuery query = PICKET__V1__RESUME_QUERY__INIT;

		query.epoch = epoch;
		if (ipc_send(link, PICKET__V1__MSG__MSG_RESUME_QUERY, (uint32_t)i + 1, &query.base, NULL, 0) < 0)
			return;
	}
	c->asked = true;
}

/*
 * Asks late, not when the link opens: what the dead run had sent last may still wait to be read or to reach the disk,
 * and an answer that leaves it out would have it counted as lost. The oldest run is settled first: a later one may have
 * seen what it lost.
 */
static void
on_restart_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct collectord *c = ctx;
	struct ipc_link *link = ipc_client_link(c->uplinkd);
	struct col_answer *answer;
	uint64_t epoch;

	(void)fd;
	(void)what;
	while (is_settled(c) && (epoch = books_prior(c->books, 0)) != 0) {
		answer = find_answer(c, epoch);
		if (answer == NULL) {
			if (link != NULL && !c->asked)
				ask(c, link);
			break;
		}
		resolve(c, answer);
		col_stream_losses(c);
		col_peers_changed(c);
	}
	if (books_prior(c->books, 0) != 0)
		loop_timer_arm(c->restart_timer, LOOK_MS);
}

int
col_restart_init(struct collectord *c)
{
	c->born = mono_now();
	c->restart_timer = loop_timer_new(&c->loop, on_restart_timer, c);
	return c->restart_timer != NULL ? 0 : -ENOMEM;
}

void
col_restart_done(struct collectord *c)
{
	if (c->restart_timer != NULL)
		event_free(c->restart_timer);
}

void
col_restart_link(struct collectord *c)
{
	c->asked = false;
	loop_timer_arm(c->restart_timer, 0);
}

void
col_restart_answer(struct collectord *c, uint64_t epoch, uint64_t sequence)
{
	struct col_answer *answer = find_answer(c, epoch);

	if (answer == NULL)
		answer = find_answer(c, 0);
	if (answer == NULL || epoch == 0)
		return;
	*answer = (struct col_answer){epoch, sequence};
	loop_timer_arm(c->restart_timer, 0);
}
