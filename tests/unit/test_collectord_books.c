/* The books: what a killed run left is stated by the next one, exactly once. A kill is books_close(): the file stays as
 * it is. */
#include <fcntl.h>
#include <unistd.h>

#include "collectord/books.h"
#include "collectord_feed.h"
#include "proto/event.pb-c.h"

struct fixture {
	char path[32];
	int dirfd;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	(void)snprintf(f->path, sizeof(f->path), "/tmp/picket-books-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->dirfd = open(f->path, O_RDONLY | O_DIRECTORY);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	(void)unlinkat(f->dirfd, "books", 0);
	(void)close(f->dirfd);
	(void)rmdir(f->path);
	free(f);
	return 0;
}

static struct books *
start_boot(void **state, uint64_t epoch, const char *boot)
{
	struct fixture *f = *state;
	struct books *b;

	assert_int_equal(books_open(f->dirfd, boot, epoch, &b), 0);
	return b;
}

static struct books *
start(void **state, uint64_t epoch)
{
	return start_boot(state, epoch, "boot-1");
}

static void
ignore(uint32_t first, uint32_t last, void *ctx)
{
	(void)first;
	(void)last;
	(void)ctx;
}

/* Read and finish the serials first..last. */
static void
work(struct books *b, struct serials *s, uint32_t first, uint32_t last)
{
	for (uint32_t i = first; i <= last; i++) {
		books_read(b, i);
		serials_seen(s, i, ignore, NULL);
	}
}

static void
begin(struct books *b, struct serials *s, uint32_t base)
{
	serials_start(s, base);
	books_started(b, base, 0);
}

static void
expect_loss(struct books *b, Picket__V1__LossStage stage, uint64_t first, uint64_t last, uint64_t events)
{
	struct books_loss *loss = books_owed(b);

	assert_non_null(loss);
	assert_int_equal(loss->stage, stage);
	assert_int_equal(loss->first_serial, first);
	assert_int_equal(loss->last_serial, last);
	assert_int_equal(loss->events, events);
	books_settled(loss);
}

#define RESTART PICKET__V1__LOSS_STAGE__LOSS_STAGE_RESTART

static void
what_was_not_durable_is_missing_and_nothing_else(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};

	begin(b, &s, 100);
	work(b, &s, 100, 149);
	books_mark(b, 50, &s, 0);
	work(b, &s, 150, 179);
	books_mark(b, 80, &s, 0);
	work(b, &s, 180, 184);
	books_close(b);

	b = start(state, 20);
	assert_int_equal(books_prior(b, 0), 10);
	assert_int_equal(books_prior(b, 1), 0);
	assert_int_equal(books_resolve(b, 10, 50, false), 35);
	expect_loss(b, RESTART, 150, 184, 35);
	assert_null(books_owed(b));
	assert_int_equal(books_prior(b, 0), 0);
	books_close(b);
}

static void
everything_durable_is_no_loss(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};

	begin(b, &s, 100);
	work(b, &s, 100, 149);
	books_mark(b, 50, &s, 0);
	books_close(b);
	b = start(state, 20);
	assert_int_equal(books_resolve(b, 10, 50, false), 0);
	assert_null(books_owed(b));
	books_close(b);
}

static void
an_acknowledged_sequence_counts_even_when_uplinkd_forgot_it(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};

	begin(b, &s, 100);
	work(b, &s, 100, 149);
	books_mark(b, 50, &s, 0);
	books_acked(b, 50);
	work(b, &s, 150, 151);
	books_close(b);
	b = start(state, 20);
	assert_int_equal(books_resolve(b, 10, 0, false), 2);
	expect_loss(b, RESTART, 150, 151, 2);
	books_close(b);
}

static void
an_event_in_the_middle_of_its_records_is_missing(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};

	begin(b, &s, 100);
	work(b, &s, 100, 109);
	books_read(b, 110); /* its first record */
	work(b, &s, 111, 112);
	books_mark(b, 12, &s, 0);
	books_close(b);
	b = start(state, 20);
	assert_int_equal(books_resolve(b, 10, 12, false), 1);
	expect_loss(b, RESTART, 110, 110, 1);
	books_close(b);
}

static void
an_event_that_came_whole_to_the_next_run_is_not_missing(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};
	uint32_t base;

	begin(b, &s, 100);
	work(b, &s, 100, 109);
	work(b, &s, 111, 111);
	books_mark(b, 11, &s, 0);
	books_close(b);

	b = start(state, 20);
	assert_true(books_base(b, &base));
	assert_int_equal(base, 112);
	begin(b, &s, base);
	books_early(b, 110, 1);
	assert_int_equal(books_resolve(b, 10, 11, false), 0);
	books_close(b);

	/* That run dies before its first event is durable: then the early one is missing after all, stated by the
	 * third. */
	b = start(state, 30);
	assert_int_equal(books_resolve(b, 20, 0, false), 1);
	expect_loss(b, RESTART, 110, 110, 1);
	books_close(b);
}

static void
a_run_that_was_never_asked_about_keeps_its_place(void **state)
{
	struct books *b;
	struct serials s = {0};
	uint32_t base = 100;

	for (uint64_t epoch = 1; epoch <= 5; epoch++) {
		b = start(state, epoch);
		if (epoch > 1) {
			assert_true(books_base(b, &base));
			assert_int_equal(base, 100 + (epoch - 1) * 10);
		}
		begin(b, &s, base);
		work(b, &s, base, base + 9);
		books_mark(b, 10, &s, 0);
		books_close(b);
	}
	b = start(state, 6);
	for (uint64_t epoch = 1; epoch <= 5; epoch++) {
		assert_int_equal(books_prior(b, epoch - 1), epoch);
	}
	assert_int_equal(books_resolve(b, 1, 10, false), 0);
	assert_int_equal(books_resolve(b, 2, 0, false), 10);
	expect_loss(b, RESTART, 110, 119, 10);
	assert_int_equal(books_prior(b, 0), 3);
	books_close(b);
}

static void
too_many_open_runs_cost_exactness_and_not_the_account(void **state)
{
	struct books *b = NULL;
	struct serials s = {0};
	struct books_loss *loss;
	uint64_t epoch;

	for (epoch = 1; epoch <= BOOKS_RUNS; epoch++) {
		b = start(state, epoch);
		begin(b, &s, (uint32_t)epoch * 100);
		work(b, &s, (uint32_t)epoch * 100, (uint32_t)epoch * 100 + 9);
		books_mark(b, 10, &s, 0);
		books_close(b);
	}
	b = start(state, epoch);
	assert_int_equal(books_prior(b, 0), 2); /* the first gave way */
	/* Its loss is owed by the second, with the first's epoch, as an upper bound: nobody could be asked. */
	assert_int_equal(books_resolve(b, 2, 10, false), 0);
	loss = books_owed(b);
	assert_non_null(loss);
	assert_int_equal(loss->epoch, 1);
	assert_int_equal(loss->events, 10);
	assert_int_equal(loss->upper_bound, 1);
	books_close(b);
}

static void
a_loss_that_was_not_delivered_is_owed_by_the_next_run(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};
	struct books_loss *loss;

	begin(b, &s, 100);
	work(b, &s, 100, 109);
	for (uint32_t i = 0; i < 5; i++)
		books_dropped(b, 105 + i);
	books_mark(b, 5, &s, 0);
	loss = books_owed(b);
	assert_int_equal(loss->events, 5);
	loss->sequence = 6; /* queued, and never acknowledged */
	books_close(b);

	b = start(state, 20);
	assert_int_equal(books_resolve(b, 10, 5, false), 0);
	expect_loss(b, PICKET__V1__LOSS_STAGE__LOSS_STAGE_QUEUE, 105, 109, 5);
	assert_null(books_owed(b));
	books_close(b);
}

static void
a_loss_that_was_delivered_is_not_said_again(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};

	begin(b, &s, 100);
	books_dropped(b, 105);
	books_owed(b)->sequence = 6;
	books_mark(b, 6, &s, 0);
	books_close(b);
	b = start(state, 20);
	assert_int_equal(books_resolve(b, 10, 6, false), 0);
	assert_null(books_owed(b));
	books_close(b);
}

static void
a_hole_that_the_run_stated_itself_is_not_counted_twice(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};
	const struct books_loss hole = {
	    .stage = PICKET__V1__LOSS_STAGE__LOSS_STAGE_SERIAL, .events = 5, .first_serial = 110, .last_serial = 114};

	begin(b, &s, 100);
	work(b, &s, 100, 109);
	work(b, &s, 115, 119);
	books_mark(b, 15, &s, 0); /* the hole is still open here */
	books_owe(b, &hole);
	books_owed(b)->sequence = 16; /* queued and lost */
	books_close(b);
	b = start(state, 20);
	assert_int_equal(books_resolve(b, 10, 15, false), 0);
	expect_loss(b, PICKET__V1__LOSS_STAGE__LOSS_STAGE_SERIAL, 110, 114, 5);
	assert_null(books_owed(b));
	books_close(b);
}

static void
what_the_kernel_dropped_between_the_last_durable_batch_and_the_next_run_is_stated(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};

	begin(b, &s, 100);
	work(b, &s, 100, 109);
	books_mark(b, 10, &s, 3);
	books_close(b);
	b = start(state, 20);
	serials_start(&s, 110);
	books_started(b, 110, 8);
	assert_int_equal(books_resolve(b, 10, 10, false), 0);
	expect_loss(b, PICKET__V1__LOSS_STAGE__LOSS_STAGE_KERNEL, 0, 0, 5);
	books_close(b);
}

static void
an_orderly_stop_leaves_nothing_to_ask(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};
	uint32_t base;

	begin(b, &s, 100);
	work(b, &s, 100, 109);
	books_stopped(b);
	books_finish(b);
	books_close(b);
	b = start(state, 20);
	assert_int_equal(books_prior(b, 0), 0);
	assert_false(books_base(b, &base));
	books_close(b);
}

static void
a_source_that_was_closed_in_order_leaves_no_gap_behind_it(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};
	uint32_t base;

	begin(b, &s, 100);
	work(b, &s, 100, 109);
	books_stopped(b); /* told to stop collecting, then killed with events in the queue */
	books_close(b);
	b = start(state, 20);
	assert_false(books_base(b, &base));
	assert_int_equal(books_resolve(b, 10, 0, false), 10);
	expect_loss(b, RESTART, 100, 109, 10);
	books_close(b);
}

static void
another_boot_voids_the_books(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};
	struct audit_status kernel = {.backlog_limit = 64};

	begin(b, &s, 100);
	work(b, &s, 100, 109);
	books_kernel_save(b, &kernel);
	books_close(b);
	b = start_boot(state, 20, "boot-2");
	assert_int_equal(books_prior(b, 0), 0);
	assert_false(books_kernel(b, &kernel));
	books_close(b);
}

static void
a_file_of_another_layout_is_emptied(void **state)
{
	struct fixture *f = *state;
	int fd = openat(f->dirfd, "books", O_RDWR | O_CREAT, 0600);
	struct books *b;

	assert_int_equal(write(fd, "garbage that is no books file at all", 36), 36);
	(void)close(fd);
	b = start(state, 10);
	assert_int_equal(books_prior(b, 0), 0);
	books_close(b);
}

static void
the_kernels_own_settings_survive_a_kill(void **state)
{
	struct books *b = start(state, 10);
	struct audit_status kernel = {.backlog_limit = 64, .backlog_wait_time = 15000}, read = {0};

	books_kernel_save(b, &kernel);
	books_close(b);
	b = start(state, 20);
	assert_true(books_kernel(b, &read));
	assert_int_equal(read.backlog_limit, 64);
	assert_int_equal(read.backlog_wait_time, 15000);
	books_kernel_save(b, NULL);
	assert_false(books_kernel(b, &read));
	books_close(b);
}

static void
marks_outlast_more_batches_than_are_kept(void **state)
{
	struct books *b = start(state, 10);
	struct serials s = {0};

	begin(b, &s, 0);
	for (uint32_t i = 0; i < 5 * BOOKS_MARKS; i++) {
		work(b, &s, i, i);
		books_mark(b, i + 1, &s, 0);
	}
	books_close(b);
	b = start(state, 20);
	assert_int_equal(books_resolve(b, 10, 5 * BOOKS_MARKS - QUEUE_BATCHES, false), QUEUE_BATCHES);
	expect_loss(b, RESTART, 5 * BOOKS_MARKS - QUEUE_BATCHES, 5 * BOOKS_MARKS - 1, QUEUE_BATCHES);
	books_close(b);
}

static void
more_losses_than_rows_are_merged_and_none_is_forgotten(void **state)
{
	struct books *b = start(state, 10);
	uint64_t sum = 0;
	struct books_loss *loss;

	for (uint64_t i = 0; i < 3 * BOOKS_OWED; i++)
		books_owe(b, &(struct books_loss){
				 .stage = RESTART, .events = 2, .first_serial = i * 10, .last_serial = i * 10 + 1});
	while ((loss = books_owed(b)) != NULL) {
		sum += loss->events;
		books_settled(loss);
	}
	assert_int_equal(sum, 2 * 3 * BOOKS_OWED);
	books_close(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_was_not_durable_is_missing_and_nothing_else),
	    TEST(everything_durable_is_no_loss),
	    TEST(an_acknowledged_sequence_counts_even_when_uplinkd_forgot_it),
	    TEST(an_event_in_the_middle_of_its_records_is_missing),
	    TEST(an_event_that_came_whole_to_the_next_run_is_not_missing),
	    TEST(a_run_that_was_never_asked_about_keeps_its_place),
	    TEST(too_many_open_runs_cost_exactness_and_not_the_account),
	    TEST(a_loss_that_was_not_delivered_is_owed_by_the_next_run),
	    TEST(a_loss_that_was_delivered_is_not_said_again),
	    TEST(a_hole_that_the_run_stated_itself_is_not_counted_twice),
	    TEST(what_the_kernel_dropped_between_the_last_durable_batch_and_the_next_run_is_stated),
	    TEST(an_orderly_stop_leaves_nothing_to_ask),
	    TEST(a_source_that_was_closed_in_order_leaves_no_gap_behind_it),
	    TEST(another_boot_voids_the_books),
	    TEST(a_file_of_another_layout_is_emptied),
	    TEST(the_kernels_own_settings_survive_a_kill),
	    TEST(marks_outlast_more_batches_than_are_kept),
	    TEST(more_losses_than_rows_are_merged_and_none_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
