/* The spool's promises one by one, on the simulated disk. Damage: test_uplinkd_spool_damage.c; seeded crashes:
 * test_uplinkd_spool_crash.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "uplinkd_spool_fixture.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
