/* The spool on a disk that rots, is cut, or fails at any single operation: what is lost is one record at most, and
 * counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "uplinkd_spool_fixture.h"

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
