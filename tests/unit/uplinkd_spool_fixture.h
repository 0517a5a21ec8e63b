/* What the test programs of the spool share: a spool on a simulated disk, records that name themselves. Included by one
 * test program at a time. */
#ifndef PICKET_TEST_SPOOL_FIXTURE_H
#define PICKET_TEST_SPOOL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "uplinkd/spool.h"
#include "uplinkd_spool_sim.h"

#define EPOCH UINT64_C(1700000000000000001)
#define SEGMENT 8192u

static const struct spool_conf conf = {.segment_bytes = SEGMENT, .max_payload = 1000, .max_bytes = 40 * SEGMENT};
static const struct spool_limits all = {.max_events = 100000, .max_bytes = 10000000};

struct fixture {
	struct sim *sim;
	struct spool_io io;
	struct spool_conf conf;
	struct spool *spool;
	struct spool_package package;
};

static inline void
reopen(struct fixture *f)
{
	spool_close(f->spool);
	f->spool = NULL;
	assert_int_equal(spool_open(&f->conf, &f->io, &f->spool), 0);
}

static inline int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->sim = sim_new(1);
	f->io = sim_io(f->sim);
	f->conf = conf;
	reopen(f);
	*state = f;
	return 0;
}

static inline int
teardown(void **state)
{
	struct fixture *f = *state;

	spool_close(f->spool);
	spool_package_done(&f->package);
	sim_free(f->sim);
	free(f);
	return 0;
}

/* 100 bytes that name epoch and sequence. */
#define PAYLOAD 100u

static inline void
fill(uint8_t *out, uint64_t epoch, uint64_t sequence)
{
	memset(out, (int)(sequence % 251), PAYLOAD);
	memcpy(out, &epoch, sizeof(epoch));
	memcpy(out + 8, &sequence, sizeof(sequence));
}

static inline int
append(struct fixture *f, uint64_t epoch, uint64_t sequence)
{
	uint8_t payload[PAYLOAD];

	fill(payload, epoch, sequence);
	return spool_append(
	    f->spool, &(struct spool_record){
			  .epoch = epoch, .sequence = sequence, .type = 5, .bytes = payload, .len = sizeof(payload)});
}

/* Records first..last in groups of `group`, all committed. */
static inline void
store(struct fixture *f, uint64_t epoch, uint64_t first, uint64_t last, uint32_t group)
{
	for (uint64_t s = first; s <= last; s++) {
		assert_int_equal(append(f, epoch, s), 0);
		if (spool_open_events(f->spool) == group)
			assert_int_equal(spool_commit(f->spool), 0);
	}
	assert_int_equal(spool_commit(f->spool), 0);
}

/* Everything that waits, acknowledged; marks what came in got[1..max] and asserts order and content. Returns how many.
 */
static inline uint64_t
drain(struct fixture *f, uint64_t epoch, bool *got, uint64_t max)
{
	uint64_t n = 0, last = 0;

	do {
		assert_int_equal(spool_read(f->spool, spool_frontier(f->spool), &all, &f->package), 0);
		for (uint32_t i = 0; i < f->package.events; i++) {
			uint8_t expect[PAYLOAD];
			uint64_t sequence;

			memcpy(&sequence, f->package.bytes + i * PAYLOAD + 8, sizeof(sequence));
			fill(expect, epoch, sequence);
			assert_memory_equal(f->package.bytes + i * PAYLOAD, expect, PAYLOAD);
			assert_true(sequence > last && sequence <= max);
			last = sequence;
			got[sequence] = true;
			n++;
		}
		assert_int_equal(spool_ack(f->spool, &f->package), 0);
	} while (f->package.end.ordinal != f->package.start.ordinal);
	return n;
}

static inline uint64_t
lost(struct fixture *f)
{
	const struct spool_losses *losses;

	assert_int_equal(spool_losses(f->spool, &losses), 0);
	return spool_losses_events(losses);
}

/* The simulated file of the n-th segment by name, or the state file. */
static inline struct sim_inode *
file_of(struct fixture *f, const char *name)
{
	int at = sim_find(&f->sim->cache, name);

	assert_true(at >= 0);
	return &f->sim->inodes[f->sim->cache.entries[at].inode];
}

#endif
