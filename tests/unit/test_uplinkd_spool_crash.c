/*
 * The spool on a simulated disk: seeded runs of a producer, a server and a spool that crashes anywhere, also while it
 * recovers.
 *
 * Oracle: a record that was acknowledged to the producer is at the server once everything is drained, or falls into a
 * loss that the spool reported; nothing arrives that was not sent; within an epoch nothing new arrives behind something
 * newer (a server may keep one high-water mark per epoch). SPOOL_RUNS in the environment sets the number of seeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "uplinkd/spool.h"
#include "uplinkd_spool_sim.h"

#define EPOCHS 12
#define SEQUENCES 512
#define EPOCH_BASE 1000u

static const struct spool_conf conf = {.segment_bytes = 8192, .max_payload = 400, .max_bytes = 64 * 8192};

/* What the test knows of one record. */
enum { SENT = 1, ACKED = 2, AT_SERVER = 4 };

struct world {
	struct sim *sim;
	struct spool_io io;
	struct spool *spool;
	struct spool_conf conf;
	uint64_t seed;
	/* the producer */
	uint32_t epoch;
	uint64_t acked, sent; /* sequences of the epoch */
	/* everything */
	uint8_t what[EPOCHS][SEQUENCES];
	uint64_t newest[EPOCHS]; /* at the server */
	struct spool_loss losses[256];
	size_t n_losses;
	struct spool_package package;
	uint64_t crashes;
};

static void
broken(const struct world *w, const char *what, uint64_t epoch, uint64_t sequence)
{
	fail_msg("seed %llu: %s: epoch %llu sequence %llu after %llu crashes", (unsigned long long)w->seed, what,
	    (unsigned long long)epoch, (unsigned long long)sequence, (unsigned long long)w->crashes);
}

/* The payload of a record: its name and bytes that follow from it. */
static size_t
make_payload(uint64_t epoch, uint64_t sequence, uint8_t *out)
{
	uint64_t x = (epoch * 31 + sequence) * UINT64_C(0x9E3779B97F4A7C15);
	size_t len = 18 + (x >> 32) % 200;

	out[0] = (uint8_t)epoch;
	out[1] = (uint8_t)sequence;
	out[2] = (uint8_t)(sequence >> 8);
	out[3] = (uint8_t)(len - 4);
	for (size_t i = 4; i < len; i++)
		out[i] = (uint8_t)(x >> (i % 56));
	return len;
}

static void
reopen(struct world *w)
{
	/* A crash while recovering: up to three times, then it is let through. */
	for (int attempt = 0;; attempt++) {
		if (attempt < 3 && sim_one_in(w->sim, 3))
			w->sim->crash_at = w->sim->ops + 1 + sim_random(w->sim) % 24;
		w->spool = NULL;
		if (spool_open(&w->conf, &w->io, &w->spool) == 0 && !w->sim->dead)
			break;
		spool_close(w->spool);
		if (!w->sim->dead && w->sim->fail_sync_one_in == 0)
			broken(w, "cannot open", 0, 0);
		w->crashes++;
		if (sim_one_in(w->sim, 2))
			sim_power_cut(w->sim);
		else
			sim_kill(w->sim);
	}
	/* Still to come, or already passed: the caller sets a new one. */
	w->sim->crash_at = 0;
}

/* What a producer does when its link to the spool is new. */
static void
resume(struct world *w)
{
	uint64_t durable = spool_durable(w->spool, EPOCH_BASE + w->epoch);

	/* Not yet written again, because the disk failed: then the spool says so, and still has them. */
	if (durable < w->acked && spool_open_events(w->spool) > 0)
		durable = w->acked;
	if (durable < w->acked)
		broken(w, "acknowledged record is not known any more", w->epoch, w->acked);
	if (durable > 0 && !(w->what[w->epoch][durable] & SENT))
		broken(w, "knows a record that was never sent", w->epoch, durable);
	for (uint64_t s = w->acked + 1; s <= durable; s++)
		w->what[w->epoch][s] |= ACKED;
	w->acked = w->sent = durable;
}

static void
crash_and_recover(struct world *w)
{
	spool_close(w->spool);
	w->spool = NULL;
	w->crashes++;
	if (sim_one_in(w->sim, 2))
		sim_power_cut(w->sim);
	else
		sim_kill(w->sim);
	reopen(w);
	if (sim_one_in(w->sim, 4) && w->epoch + 1 < EPOCHS) {
		/* The producer died as well: another run of it. */
		w->epoch++;
		w->acked = w->sent = 0;
	}
	resume(w);
}

static void
produce(struct world *w)
{
	uint64_t n = 1 + sim_random(w->sim) % 12;
	uint8_t payload[512];

	for (uint64_t i = 0; i < n && w->sent + 1 < SEQUENCES; i++) {
		struct spool_record record = {
		    .epoch = EPOCH_BASE + w->epoch, .sequence = w->sent + 1, .type = 1, .bytes = payload};
		int r;

		record.len = make_payload(record.epoch, record.sequence, payload);
		r = spool_append(w->spool, &record);
		if (r == -ENOBUFS)
			break;
		if (r < 0)
			broken(w, "append refused", w->epoch, w->sent + 1);
		w->sent++;
		w->what[w->epoch][w->sent] |= SENT;
	}
	if (sim_one_in(w->sim, 4))
		return;
	if (spool_commit(w->spool) == 0 && !w->sim->dead) {
		for (uint64_t s = w->acked + 1; s <= w->sent; s++)
			w->what[w->epoch][s] |= ACKED;
		w->acked = w->sent;
	}
}

static void
server_takes(struct world *w, const struct spool_package *package)
{
	const uint8_t *p = package->bytes, *end = package->bytes + package->len;
	uint8_t expect[512];

	for (uint32_t i = 0; i < package->events; i++) {
		uint64_t sequence, e;
		size_t len;

		if (end - p < 4)
			broken(w, "package is cut", 0, 0);
		sequence = p[1] | (uint64_t)p[2] << 8;
		e = (uint8_t)(p[0] - (uint8_t)EPOCH_BASE);
		len = make_payload(EPOCH_BASE + e, sequence, expect);
		if ((size_t)(end - p) < len || memcmp(p, expect, len) != 0 || e >= EPOCHS ||
		    !(w->what[e][sequence] & SENT))
			broken(w, "invented or damaged", e, sequence);
		if (!(w->what[e][sequence] & AT_SERVER) && sequence < w->newest[e])
			broken(w, "new record behind a newer one", e, sequence);
		if (sequence > w->newest[e])
			w->newest[e] = sequence;
		w->what[e][sequence] |= AT_SERVER;
		p += len;
	}
	if (p != end)
		broken(w, "package is longer than its records", 0, 0);
}

static bool
same_loss(const struct spool_loss *a, const struct spool_loss *b)
{
	return a->epoch == b->epoch && a->events == b->events && a->first_sequence == b->first_sequence &&
	       a->last_sequence == b->last_sequence && a->reason == b->reason;
}

static void
server_takes_losses(struct world *w)
{
	const struct spool_losses *losses;
	uint64_t last = 0;

	if (!spool_has_losses(w->spool) || spool_losses(w->spool, &losses) < 0 || w->sim->dead)
		return;
	for (uint32_t i = 0; i < losses->n; i++) {
		const struct spool_loss *l = &losses->list[i];
		bool known = false;

		if (l->own_sequence == 0)
			continue;
		last = l->own_sequence > last ? l->own_sequence : last;
		for (size_t k = 0; k < w->n_losses; k++) {
			if (w->losses[k].own_sequence != l->own_sequence)
				continue;
			if (!same_loss(&w->losses[k], l))
				broken(w, "loss changed after it was sent", l->epoch, l->own_sequence);
			known = true;
		}
		if (!known) {
			assert(w->n_losses < 256);
			w->losses[w->n_losses++] = *l;
		}
	}
	if (!sim_one_in(w->sim, 3))
		(void)spool_losses_acked(w->spool, last);
}

static bool
deliver(struct world *w)
{
	struct spool_limits limits = {
	    .max_events = 1 + (uint32_t)(sim_random(w->sim) % 20), .max_bytes = 200 + sim_random(w->sim) % 2000};

	server_takes_losses(w);
	if (spool_read(w->spool, spool_frontier(w->spool), &limits, &w->package) < 0 || w->sim->dead)
		return false;
	spool_sending(w->spool);
	server_takes(w, &w->package);
	/* The reply may be lost. */
	if (sim_one_in(w->sim, 4))
		return true;
	(void)spool_ack(w->spool, &w->package);
	return w->package.events > 0 || w->package.end.ordinal != w->package.start.ordinal;
}

static void
check_books(struct world *w)
{
	uint64_t missing = 0, reported = 0;

	for (uint64_t e = 0; e < EPOCHS; e++) {
		for (uint64_t s = 1; s < SEQUENCES; s++) {
			bool covered = false;

			if (!(w->what[e][s] & ACKED) || (w->what[e][s] & AT_SERVER))
				continue;
			missing++;
			for (size_t k = 0; k < w->n_losses && !covered; k++) {
				const struct spool_loss *l = &w->losses[k];

				covered =
				    l->epoch == 0 ||
				    (l->epoch == EPOCH_BASE + e &&
					(l->first_sequence == 0 || (l->first_sequence <= s && s <= l->last_sequence)));
			}
			if (!covered)
				broken(w, "acknowledged record is lost and no loss covers it", e, s);
		}
	}
	for (size_t k = 0; k < w->n_losses; k++)
		reported += w->losses[k].events;
	if (missing > reported)
		broken(w, "more is missing than was reported", missing, reported);
	if (w->conf.max_bytes == conf.max_bytes && w->sim->capacity == 0 && reported > 0)
		broken(w, "a loss was reported although there was room", 0, reported);
}

static void
run_seed(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	uint64_t steps;

	assert(w != NULL);
	w->seed = seed;
	w->sim = sim_new(seed);
	w->io = sim_io(w->sim);
	w->conf = conf;
	w->sim->reorder = seed % 2;
	if (seed % 5 == 1)
		w->conf.max_bytes = 4 * 8192;
	if (seed % 5 == 2)
		w->sim->capacity = 6 * 8192;
	if (seed % 7 == 3)
		w->sim->fail_sync_one_in = 20;
	reopen(w);
	steps = 10 + sim_random(w->sim) % 60;
	w->sim->crash_at = w->sim->ops + 1 + sim_random(w->sim) % 100;
	for (uint64_t i = 0; i < steps; i++) {
		if (w->seed % 5 == 1 || w->seed % 5 == 2 ? sim_one_in(w->sim, 8) : sim_one_in(w->sim, 3))
			(void)deliver(w);
		else
			produce(w);
		if (w->sim->dead) {
			crash_and_recover(w);
			w->sim->crash_at = w->sim->ops + 1 + sim_random(w->sim) % 100;
		}
	}
	w->sim->crash_at = 0;
	w->sim->fail_sync_one_in = 0;
	crash_and_recover(w);
	while (deliver(w) || spool_has_losses(w->spool) || spool_backlog_events(w->spool) > 0)
		;
	check_books(w);
	spool_package_done(&w->package);
	spool_close(w->spool);
	sim_free(w->sim);
	free(w);
}

static void
acknowledged_records_survive_every_crash(void **state)
{
	const char *runs = getenv("SPOOL_RUNS");
	const char *first = getenv("SPOOL_SEED");
	uint64_t n = runs != NULL ? strtoull(runs, NULL, 10) : 10000;
	uint64_t seed = first != NULL ? strtoull(first, NULL, 10) : 1;

	(void)state;
	for (uint64_t i = 0; i < n; i++)
		run_seed(seed + i);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(acknowledged_records_survive_every_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
