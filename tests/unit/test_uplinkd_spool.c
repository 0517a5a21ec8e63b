/* The spool's promises one by one, on the simulated disk; the seeded crash runs are in test_uplinkd_spool_crash.c. */
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

static void
reopen(struct fixture *f)
{
	spool_close(f->spool);
	f->spool = NULL;
	assert_int_equal(spool_open(&f->conf, &f->io, &f->spool), 0);
}

static int
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

static int
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

static void
fill(uint8_t *out, uint64_t epoch, uint64_t sequence)
{
	memset(out, (int)(sequence % 251), PAYLOAD);
	memcpy(out, &epoch, sizeof(epoch));
	memcpy(out + 8, &sequence, sizeof(sequence));
}

static int
append(struct fixture *f, uint64_t epoch, uint64_t sequence)
{
	uint8_t payload[PAYLOAD];

	fill(payload, epoch, sequence);
	return spool_append(
	    f->spool, &(struct spool_record){
			  .epoch = epoch, .sequence = sequence, .type = 5, .bytes = payload, .len = sizeof(payload)});
}

/* Records first..last in groups of `group`, all committed. */
static void
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
static uint64_t
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

static uint64_t
lost(struct fixture *f)
{
	const struct spool_losses *losses;

	assert_int_equal(spool_losses(f->spool, &losses), 0);
	return spool_losses_events(losses);
}

/* The simulated file of the n-th segment by name, or the state file. */
static struct sim_inode *
file_of(struct fixture *f, const char *name)
{
	int at = sim_find(&f->sim->cache, name);

	assert_true(at >= 0);
	return &f->sim->inodes[f->sim->cache.entries[at].inode];
}

static void
records_come_out_as_they_went_in(void **state)
{
	struct fixture *f = *state;
	bool got[201] = {false};

	store(f, EPOCH, 1, 200, 7);
	assert_int_equal(spool_backlog_events(f->spool), 200);
	assert_int_equal(spool_backlog_bytes(f->spool), 200 * PAYLOAD);
	assert_int_equal(drain(f, EPOCH, got, 200), 200);
	assert_int_equal(spool_backlog_events(f->spool), 0);
	reopen(f);
	assert_int_equal(drain(f, EPOCH, got, 200), 0);
}

static void
package_closes_at_events_and_at_bytes(void **state)
{
	struct fixture *f = *state;
	struct spool_limits limits = {.max_events = 30, .max_bytes = 10000000};

	store(f, EPOCH, 1, 100, 10);
	assert_int_equal(spool_read(f->spool, spool_frontier(f->spool), &limits, &f->package), 0);
	assert_int_equal(f->package.events, 30);
	limits = (struct spool_limits){.max_events = 1000, .max_bytes = 10 * PAYLOAD + 1};
	assert_int_equal(spool_read(f->spool, spool_frontier(f->spool), &limits, &f->package), 0);
	assert_int_equal(f->package.events, 10);
	/* One record is taken, however small the limit. */
	limits.max_bytes = 1;
	assert_int_equal(spool_read(f->spool, spool_frontier(f->spool), &limits, &f->package), 0);
	assert_int_equal(f->package.events, 1);
}

static void
nothing_is_readable_before_its_commit(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(append(f, EPOCH, 1), 0);
	assert_int_equal(spool_durable(f->spool, EPOCH), 0);
	assert_int_equal(spool_read(f->spool, spool_frontier(f->spool), &all, &f->package), 0);
	assert_int_equal(f->package.events, 0);
	assert_int_equal(spool_commit(f->spool), 0);
	assert_int_equal(spool_durable(f->spool, EPOCH), 1);
	assert_int_equal(spool_read(f->spool, spool_frontier(f->spool), &all, &f->package), 0);
	assert_int_equal(f->package.events, 1);
}

static void
what_is_sent_again_is_stored_once(void **state)
{
	struct fixture *f = *state;
	bool got[21] = {false};

	store(f, EPOCH, 1, 10, 5);
	reopen(f);
	for (uint64_t s = 3; s <= 10; s++)
		assert_int_equal(append(f, EPOCH, s), 1);
	store(f, EPOCH, 11, 20, 5);
	assert_int_equal(append(f, EPOCH, 20), 1);
	assert_int_equal(drain(f, EPOCH, got, 20), 20);
	assert_int_equal(spool_stats(f->spool)->duplicates, 9);
}

static void
last_sequence_of_the_last_eight_epochs_survives_restart_and_delivery(void **state)
{
	struct fixture *f = *state;
	bool got[200] = {false};

	for (uint64_t e = 0; e < SPOOL_EPOCHS + 4; e++)
		store(f, EPOCH + e, 1, 10 + e, 4);
	assert_int_equal(spool_read(f->spool, spool_frontier(f->spool), &all, &f->package), 0);
	assert_int_equal(spool_ack(f->spool, &f->package), 0);
	(void)got;
	for (int round = 0; round < 3; round++) {
		for (uint64_t e = 4; e < SPOOL_EPOCHS + 4; e++)
			assert_int_equal(spool_durable(f->spool, EPOCH + e), 10 + e);
		assert_int_equal(spool_durable(f->spool, EPOCH), 0);
		assert_int_equal(spool_durable(f->spool, 12345), 0);
		sim_power_cut(f->sim);
		reopen(f);
	}
}

static void
bad_records_are_refused_and_change_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t large[2000] = {0};

	assert_int_equal(append(f, 0, 1), -EINVAL);
	assert_int_equal(append(f, EPOCH, 0), -EINVAL);
	assert_int_equal(
	    spool_append(f->spool, &(struct spool_record){.epoch = EPOCH, .sequence = 1, .bytes = large, .len = 1001}),
	    -EMSGSIZE);
	assert_int_equal(spool_stats(f->spool)->oversize, 1);
	assert_int_equal(spool_open_events(f->spool), 0);
	assert_int_equal(spool_commit(f->spool), 0);
	assert_int_equal(spool_backlog_events(f->spool), 0);
}

static void
full_group_asks_for_a_commit(void **state)
{
	struct fixture *f = *state;
	uint64_t s = 1;
	int r;

	while ((r = append(f, EPOCH, s)) == 0)
		s++;
	assert_int_equal(r, -ENOBUFS);
	assert_int_equal(spool_commit(f->spool), 0);
	assert_int_equal(append(f, EPOCH, s), 0);
	assert_int_equal(spool_durable(f->spool, EPOCH), s - 1);
}

static void
failed_fdatasync_is_never_repeated_on_the_same_file(void **state)
{
	struct fixture *f = *state;
	bool got[41] = {false};

	store(f, EPOCH, 1, 10, 5);
	for (uint64_t s = 11; s <= 20; s++)
		assert_int_equal(append(f, EPOCH, s), 0);
	/* The write is the next operation, its fdatasync the one after it. */
	f->sim->fail_at = f->sim->ops + 2;
	f->sim->fail_errno = EIO;
	assert_int_equal(spool_commit(f->spool), 0);
	assert_int_equal(spool_stats(f->spool)->sync_failures, 1);
	/* Had it stayed in the first file, the simulated disk would lose it here, as Linux would. */
	sim_power_cut(f->sim);
	reopen(f);
	assert_int_equal(spool_durable(f->spool, EPOCH), 20);
	store(f, EPOCH, 21, 40, 5);
	assert_int_equal(drain(f, EPOCH, got, 40), 40);
}

static void
disk_that_fails_twice_keeps_the_group_open(void **state)
{
	struct fixture *f = *state;
	bool got[11] = {false};

	for (uint64_t s = 1; s <= 10; s++)
		assert_int_equal(append(f, EPOCH, s), 0);
	f->sim->fail_sync_one_in = 1;
	assert_true(spool_commit(f->spool) < 0);
	assert_int_equal(spool_durable(f->spool, EPOCH), 0);
	assert_int_equal(spool_open_events(f->spool), 10);
	f->sim->fail_sync_one_in = 0;
	assert_int_equal(spool_commit(f->spool), 0);
	assert_int_equal(drain(f, EPOCH, got, 10), 10);
}

/* Every record is delivered or in the account, and the account names them. */
static void
assert_balanced(struct fixture *f, uint64_t epoch, uint64_t n)
{
	bool got[2001] = {false};
	uint64_t delivered = drain(f, epoch, got, n);
	const struct spool_losses *losses;

	assert_true(delivered < n);
	assert_int_equal(delivered + lost(f), n);
	assert_int_equal(spool_losses(f->spool, &losses), 0);
	assert_int_equal(losses->n, 1);
	assert_int_equal(losses->list[0].epoch, epoch);
	assert_int_equal(losses->list[0].first_sequence, 1);
	assert_int_equal(losses->list[0].last_sequence, n - delivered);
	assert_int_equal(losses->list[0].own_sequence, 1);
	assert_false(losses->list[0].upper_bound);
	/* Oldest first. */
	for (uint64_t s = 1; s <= n; s++)
		assert_int_equal(got[s], s > n - delivered);
	/* The account survives until the server has it. */
	reopen(f);
	assert_int_equal(lost(f), n - delivered);
	assert_int_equal(spool_losses_acked(f->spool, 1), 0);
	reopen(f);
	assert_false(spool_has_losses(f->spool));
}

static void
size_cap_drops_oldest_and_counts_exactly(void **state)
{
	struct fixture *f = *state;

	f->conf.max_bytes = 5 * SEGMENT;
	reopen(f);
	store(f, EPOCH, 1, 2000, 9);
	assert_true(spool_disk_bytes(f->spool) <= f->conf.max_bytes);
	assert_true(spool_stats(f->spool)->dropped_size > 0);
	assert_balanced(f, EPOCH, 2000);
}

static void
full_disk_drops_oldest_and_counts_exactly(void **state)
{
	struct fixture *f = *state;

	f->sim->capacity = 6 * SEGMENT;
	store(f, EPOCH, 1, 2000, 9);
	assert_true(spool_stats(f->spool)->dropped_full > 0);
	assert_balanced(f, EPOCH, 2000);
}

static void
age_cap_drops_what_is_too_old_and_only_that(void **state)
{
	struct fixture *f = *state;
	bool got[301] = {false};

	f->conf.max_age_ms = 3600000;
	reopen(f);
	store(f, EPOCH, 1, 200, 9);
	f->sim->now_ms += 3000000;
	spool_trim(f->spool);
	assert_int_equal(spool_backlog_events(f->spool), 200);
	store(f, EPOCH, 201, 300, 9);
	f->sim->now_ms += 1200000;
	spool_trim(f->spool);
	/* Whole segments only: the one that holds both ages stays. */
	assert_true(spool_stats(f->spool)->dropped_age > 100 && spool_stats(f->spool)->dropped_age <= 200);
	assert_int_equal(drain(f, EPOCH, got, 300) + lost(f), 300);
	for (uint64_t s = 201; s <= 300; s++)
		assert_true(got[s]);
}

static void
age_cap_reaches_the_segment_being_written(void **state)
{
	struct fixture *f = *state;
	bool got[11] = {false};

	f->conf.max_age_ms = 3600000;
	reopen(f);
	store(f, EPOCH, 1, 10, 9);
	f->sim->now_ms += 4000000;
	spool_trim(f->spool);
	assert_int_equal(spool_stats(f->spool)->dropped_age, 10);
	assert_int_equal(drain(f, EPOCH, got, 10), 0);
	assert_int_equal(lost(f), 10);
}

static void
package_that_was_dropped_meanwhile_is_not_acknowledged(void **state)
{
	struct fixture *f = *state;
	const struct spool_losses *losses;
	const struct spool_limits ten = {.max_events = 10, .max_bytes = 100000};
	struct spool_package late = {0};

	f->conf.max_bytes = 5 * SEGMENT;
	reopen(f);
	store(f, EPOCH, 1, 100, 9);
	assert_int_equal(spool_read(f->spool, spool_frontier(f->spool), &ten, &late), 0);
	spool_sending(f->spool);
	store(f, EPOCH, 101, 500, 9);
	assert_false(spool_is_current(f->spool, &late));
	assert_int_equal(spool_ack(f->spool, &late), -ESTALE);
	/* Whether the server got them is not known, and the account says so. */
	assert_int_equal(spool_losses(f->spool, &losses), 0);
	assert_true(losses->list[0].upper_bound);
	spool_package_done(&late);
}

static void
package_given_up_is_counted_once(void **state)
{
	struct fixture *f = *state;
	const struct spool_limits ten = {.max_events = 10, .max_bytes = 100000};
	const struct spool_losses *losses;
	bool got[101] = {false};

	store(f, EPOCH, 1, 100, 9);
	assert_int_equal(spool_read(f->spool, spool_frontier(f->spool), &ten, &f->package), 0);
	spool_give_up(f->spool, &f->package);
	assert_int_equal(spool_ack(f->spool, &f->package), 0);
	assert_int_equal(spool_losses(f->spool, &losses), 0);
	assert_int_equal(losses->n, 1);
	assert_int_equal(losses->list[0].reason, SPOOL_REASON_REFUSED);
	assert_int_equal(losses->list[0].events, 10);
	assert_int_equal(losses->list[0].last_sequence, 10);
	assert_int_equal(drain(f, EPOCH, got, 100), 90);
}

static void
opening_costs_the_same_with_a_large_backlog(void **state)
{
	struct fixture *f = *state;
	uint64_t few, many, before;

	store(f, EPOCH, 1, 100, 10);
	before = f->sim->ops;
	reopen(f);
	few = f->sim->ops - before;
	store(f, EPOCH, 101, 1500, 10);
	before = f->sim->ops;
	reopen(f);
	many = f->sim->ops - before;
	assert_true(many <= few + 4);
	assert_int_equal(spool_backlog_events(f->spool), 1500);
}

/* ---- damage ---- */

/* What a start after damage must give: all of 1..n but at most `max_missing`, and as many in the account. */
static void
assert_survives(struct fixture *f, uint64_t n, uint64_t max_missing, const char *what, size_t at)
{
	bool got[101] = {false};
	uint64_t delivered;

	reopen(f);
	delivered = drain(f, EPOCH, got, n);
	if (delivered + max_missing < n || delivered + lost(f) != n)
		fail_msg("%s at %zu: %u of %u delivered, %u accounted for", what, at, (unsigned)delivered, (unsigned)n,
		    (unsigned)lost(f));
}

static void
copy_disk(struct sim_bytes *to, const struct sim_bytes *from)
{
	sim_bytes_resize(to, 0);
	sim_bytes_write(to, 0, from->p, from->len);
}

/* Put the disk back to a state in which 24 records wait, in groups of 6, all on disk. */
static struct sim *
make_disk(struct fixture *f)
{
	store(f, EPOCH, 1, 24, 6);
	spool_close(f->spool);
	f->spool = NULL;
	return f->sim;
}

static struct sim *
clone_disk(const struct sim *from)
{
	struct sim *sim = sim_new(7);

	sim->cache = sim->platter = from->cache;
	for (int i = 0; i < SIM_INODES; i++) {
		sim->inodes[i].used = from->inodes[i].used;
		if (from->inodes[i].cache.len == 0)
			continue;
		copy_disk(&sim->inodes[i].cache, &from->inodes[i].cache);
		copy_disk(&sim->inodes[i].platter, &from->inodes[i].cache);
	}
	return sim;
}

/* Open a copy of the disk, damaged by the caller before. */
static void
use_disk(struct fixture *f, struct sim *sim)
{
	spool_close(f->spool);
	f->spool = NULL;
	if (f->sim != NULL)
		sim_free(f->sim);
	f->sim = sim;
	f->io = sim_io(sim);
}

static void
every_bit_flip_of_a_segment_costs_at_most_its_record(void **state)
{
	struct fixture *f = *state;
	struct sim *original = make_disk(f);
	const char *name = "0000000000000001.seg";
	size_t used = SPOOL_HEADER_BYTES + 24 * (SPOOL_FRAME_BYTES + PAYLOAD) + 4 * SPOOL_FRAME_BYTES;

	f->sim = NULL;
	for (size_t bit = 0; bit < used * 8; bit++) {
		struct sim *sim = clone_disk(original);

		use_disk(f, sim);
		file_of(f, name)->cache.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_survives(f, 24, bit / 8 < SPOOL_HEADER_BYTES ? 0 : 1, "bit flip", bit);
	}
	sim_free(original);
}

static void
every_truncation_of_a_segment_keeps_what_is_before_it(void **state)
{
	struct fixture *f = *state;
	struct sim *original = make_disk(f);
	size_t used = SPOOL_HEADER_BYTES + 24 * (SPOOL_FRAME_BYTES + PAYLOAD) + 4 * SPOOL_FRAME_BYTES;

	f->sim = NULL;
	for (size_t len = SPOOL_HEADER_COPY; len <= used; len++) {
		size_t frames = len > SPOOL_HEADER_BYTES ? len - SPOOL_HEADER_BYTES : 0;
		/* A COMMIT follows each sixth record. */
		size_t groups = frames / (6 * (SPOOL_FRAME_BYTES + PAYLOAD) + SPOOL_FRAME_BYTES);
		size_t rest =
		    frames % (6 * (SPOOL_FRAME_BYTES + PAYLOAD) + SPOOL_FRAME_BYTES) / (SPOOL_FRAME_BYTES + PAYLOAD);
		bool got[25] = {false};

		use_disk(f, clone_disk(original));
		sim_bytes_resize(&file_of(f, "0000000000000001.seg")->cache, len);
		reopen(f);
		assert_int_equal(drain(f, EPOCH, got, 24), groups * 6 + rest);
		/* And it goes on behind them. */
		store(f, EPOCH, 25, 26, 6);
	}
	sim_free(original);
}

static void
every_bit_flip_of_the_state_file_loses_nothing(void **state)
{
	struct fixture *f = *state;
	bool got[25] = {false};
	const struct spool_limits ten = {.max_events = 10, .max_bytes = 100000};
	struct sim *original;
	size_t len;

	/* Both slots in use. */
	store(f, EPOCH, 1, 24, 6);
	assert_int_equal(spool_read(f->spool, spool_frontier(f->spool), &ten, &f->package), 0);
	assert_int_equal(spool_ack(f->spool, &f->package), 0);
	reopen(f);
	spool_close(f->spool);
	f->spool = NULL;
	original = f->sim;
	f->sim = NULL;
	len = 2 * 4096;
	for (size_t bit = 0; bit < len * 8; bit += 3) {
		uint64_t n;

		use_disk(f, clone_disk(original));
		file_of(f, "state")->cache.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		reopen(f);
		n = drain(f, EPOCH, got, 24);
		/* All of it again at worst. */
		assert_true(n == 14 || n == 24);
		assert_int_equal(lost(f), 0);
	}
	sim_free(original);
}

static void
lost_state_file_delivers_again_from_the_oldest(void **state)
{
	struct fixture *f = *state;
	bool got[25] = {false};

	store(f, EPOCH, 1, 24, 6);
	spool_close(f->spool);
	f->spool = NULL;
	memset(file_of(f, "state")->cache.p, 0xff, 8192);
	reopen(f);
	assert_int_equal(spool_stats(f->spool)->state_lost, 1);
	assert_int_equal(drain(f, EPOCH, got, 24), 24);
}

static void
missing_segment_is_counted_and_passed(void **state)
{
	struct fixture *f = *state;
	bool got[201] = {false};
	const struct spool_losses *losses;

	store(f, EPOCH, 1, 200, 10);
	spool_close(f->spool);
	f->spool = NULL;
	sim_dir_remove(&f->sim->cache, sim_find(&f->sim->cache, "0000000000000002.seg"));
	reopen(f);
	assert_int_equal(drain(f, EPOCH, got, 200) + lost(f), 200);
	assert_int_equal(spool_losses(f->spool, &losses), 0);
	assert_int_equal(losses->n, 1);
	assert_int_equal(losses->list[0].reason, SPOOL_REASON_MISSING);
	assert_true(got[losses->list[0].first_sequence - 1] && !got[losses->list[0].first_sequence]);
	assert_true(!got[losses->list[0].last_sequence] && got[losses->list[0].last_sequence + 1]);
}

static void
segment_with_a_destroyed_header_is_counted_and_passed(void **state)
{
	struct fixture *f = *state;
	bool got[201] = {false};

	store(f, EPOCH, 1, 200, 10);
	spool_close(f->spool);
	f->spool = NULL;
	memset(file_of(f, "0000000000000002.seg")->cache.p, 0, SPOOL_HEADER_BYTES);
	reopen(f);
	assert_int_equal(drain(f, EPOCH, got, 200) + lost(f), 200);
	assert_true(got[1] && got[200] && lost(f) > 0);
}

static void
payload_that_looks_like_frames_is_never_taken_for_frames(void **state)
{
	struct fixture *f = *state;
	struct spool_frame fake = {
	    .kind = SPOOL_KIND_EVENT, .type = 1, .length = 4, .index = 5, .epoch = EPOCH, .sequence = 77};
	uint8_t payload[200];
	struct sim_inode *segment;

	/* What a user could write who knows everything but the salt. */
	memset(payload, 0, sizeof(payload));
	for (size_t at = 0; at + SPOOL_FRAME_BYTES + 4 <= sizeof(payload); at += SPOOL_FRAME_BYTES + 4)
		spool_frame_encode(&fake, 0, payload + at);
	assert_int_equal(spool_append(f->spool,
			     &(struct spool_record){
				 .epoch = EPOCH, .sequence = 1, .type = 1, .bytes = payload, .len = sizeof(payload)}),
	    0);
	assert_int_equal(append(f, EPOCH, 2), 0);
	assert_int_equal(spool_commit(f->spool), 0);
	/* The header of the first frame is damaged: the scan searches inside its payload. */
	segment = file_of(f, "0000000000000001.seg");
	segment->cache.p[SPOOL_HEADER_BYTES + 20] ^= 1;
	reopen(f);
	assert_int_equal(spool_read(f->spool, spool_frontier(f->spool), &all, &f->package), 0);
	assert_int_equal(f->package.events, 1);
	assert_int_equal(f->package.len, PAYLOAD);
}

/* ---- every single operation ---- */

/* Store, deliver half, drop, restart. Returns false when the crash came. */
static void
scenario(struct fixture *f, uint64_t *acked, uint64_t *at_server)
{
	const struct spool_limits some = {.max_events = 25, .max_bytes = 100000};

	for (uint64_t s = 1; s <= 60 && !f->sim->dead; s++) {
		(void)append(f, EPOCH, s);
		if (s % 6 != 0)
			continue;
		if (spool_commit(f->spool) == 0 && !f->sim->dead)
			*acked = s;
		if (s % 30 == 0 && spool_read(f->spool, spool_frontier(f->spool), &some, &f->package) == 0 &&
		    !f->sim->dead) {
			for (uint32_t i = 0; i < f->package.events; i++)
				memcpy(at_server, f->package.bytes + i * PAYLOAD + 8, sizeof(*at_server));
			(void)spool_ack(f->spool, &f->package);
		}
	}
}

static void
crash_at_every_operation_loses_nothing_acknowledged(void **state)
{
	struct fixture *f = *state;
	uint64_t operations = 0;

	for (uint64_t n = 1; operations == 0 || n <= operations; n++) {
		for (int power = 0; power < 2; power++) {
			uint64_t acked = 0, at_server = 0, first_ops;
			bool got[61] = {false};

			use_disk(f, sim_new(n));
			first_ops = f->sim->ops;
			reopen(f);
			f->sim->crash_at = operations == 0 ? 0 : f->sim->ops + n;
			scenario(f, &acked, &at_server);
			if (operations == 0)
				operations = f->sim->ops - first_ops;
			spool_close(f->spool);
			f->spool = NULL;
			if (power)
				sim_power_cut(f->sim);
			else
				sim_kill(f->sim);
			reopen(f);
			assert_true(spool_durable(f->spool, EPOCH) >= acked);
			(void)drain(f, EPOCH, got, 60);
			for (uint64_t s = at_server + 1; s <= acked; s++)
				assert_true(got[s]);
			assert_int_equal(lost(f), 0);
		}
	}
	assert_true(operations > 50);
}

static void
error_of_every_operation_loses_nothing_acknowledged(void **state)
{
	static const int errors[] = {EIO, ENOSPC, EDQUOT, EFBIG, EROFS, EMFILE};
	struct fixture *f = *state;

	for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
		for (uint64_t n = 1; n <= 160; n++) {
			uint64_t acked = 0, at_server = 0, missing = 0;
			bool got[61] = {false};

			use_disk(f, sim_new(n));
			reopen(f);
			f->sim->fail_at = f->sim->ops + n;
			f->sim->fail_errno = errors[e];
			scenario(f, &acked, &at_server);
			f->sim->fail_at = 0;
			spool_close(f->spool);
			f->spool = NULL;
			sim_power_cut(f->sim);
			reopen(f);
			assert_true(spool_durable(f->spool, EPOCH) >= acked);
			(void)drain(f, EPOCH, got, 60);
			for (uint64_t s = at_server + 1; s <= acked; s++)
				missing += !got[s];
			/* A disk that says it is full may cost the oldest records, but not their account. */
			if (errors[e] == ENOSPC || errors[e] == EDQUOT)
				assert_true(missing <= lost(f));
			else
				assert_int_equal(missing + lost(f), 0);
		}
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(records_come_out_as_they_went_in),
	    TEST(package_closes_at_events_and_at_bytes),
	    TEST(nothing_is_readable_before_its_commit),
	    TEST(what_is_sent_again_is_stored_once),
	    TEST(last_sequence_of_the_last_eight_epochs_survives_restart_and_delivery),
	    TEST(bad_records_are_refused_and_change_nothing),
	    TEST(full_group_asks_for_a_commit),
	    TEST(failed_fdatasync_is_never_repeated_on_the_same_file),
	    TEST(disk_that_fails_twice_keeps_the_group_open),
	    TEST(size_cap_drops_oldest_and_counts_exactly),
	    TEST(full_disk_drops_oldest_and_counts_exactly),
	    TEST(age_cap_drops_what_is_too_old_and_only_that),
	    TEST(age_cap_reaches_the_segment_being_written),
	    TEST(package_that_was_dropped_meanwhile_is_not_acknowledged),
	    TEST(package_given_up_is_counted_once),
	    TEST(opening_costs_the_same_with_a_large_backlog),
	    TEST(every_bit_flip_of_a_segment_costs_at_most_its_record),
	    TEST(every_truncation_of_a_segment_keeps_what_is_before_it),
	    TEST(every_bit_flip_of_the_state_file_loses_nothing),
	    TEST(lost_state_file_delivers_again_from_the_oldest),
	    TEST(missing_segment_is_counted_and_passed),
	    TEST(segment_with_a_destroyed_header_is_counted_and_passed),
	    TEST(payload_that_looks_like_frames_is_never_taken_for_frames),
	    TEST(crash_at_every_operation_loses_nothing_acknowledged),
	    TEST(error_of_every_operation_loses_nothing_acknowledged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
