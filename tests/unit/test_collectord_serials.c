/* The window over serials: what never came is reported, once, and nothing that came is. */
#include "collectord/serials.h"
#include "collectord_feed.h"

struct runs {
	size_t n;
	struct {
		uint32_t first, last;
	} items[64];
};

static void
report(uint32_t first, uint32_t last, void *ctx)
{
	struct runs *r = ctx;

	assert_true(r->n < 64);
	r->items[r->n].first = first;
	r->items[r->n++].last = last;
}

static void
expect_run(const struct runs *r, size_t i, uint32_t first, uint32_t last)
{
	assert_true(i < r->n);
	assert_int_equal(r->items[i].first, first);
	assert_int_equal(r->items[i].last, last);
}

static void
disorder_within_the_window_is_no_loss(void **state)
{
	struct serials s = {0};
	struct runs r = {0};

	(void)state;
	serials_start(&s, 100);
	for (uint32_t i = 100; i < 20100; i += 2) {
		serials_seen(&s, i + 1, report, &r);
		serials_seen(&s, i, report, &r);
	}
	serials_settle_all(&s, report, &r);
	assert_int_equal(r.n, 0);
	assert_int_equal(s.late, 0);
}

static void
a_hole_is_reported_when_the_window_has_passed(void **state)
{
	struct serials s = {0};
	struct runs r = {0};

	(void)state;
	serials_start(&s, 0);
	for (uint32_t i = 0; i < 10000; i++)
		if (i < 50 || i > 59)
			serials_seen(&s, i, report, &r);
	assert_int_equal(r.n, 1);
	expect_run(&r, 0, 50, 59);
}

static void
a_hole_is_reported_between_one_and_two_ticks_later(void **state)
{
	struct serials s = {0};
	struct runs r = {0};

	(void)state;
	serials_start(&s, 10);
	serials_seen(&s, 10, report, &r);
	serials_seen(&s, 13, report, &r);
	serials_tick(&s, report, &r);
	assert_int_equal(r.n, 0);
	serials_tick(&s, report, &r);
	assert_int_equal(r.n, 1);
	expect_run(&r, 0, 11, 12);
	serials_tick(&s, report, &r);
	assert_int_equal(r.n, 1);
	serials_seen(&s, 11, report, &r);
	assert_int_equal(s.late, 1);
}

static void
serials_before_the_start_are_not_late(void **state)
{
	struct serials s = {0};
	struct runs r = {0};

	(void)state;
	serials_start(&s, 10);
	serials_seen(&s, 7, report, &r);
	assert_int_equal(s.late, 0);
	assert_int_equal(r.n, 0);
}

static void
a_jump_of_millions_is_one_run_and_takes_no_time(void **state)
{
	struct serials s = {0};
	struct runs r = {0};

	(void)state;
	serials_start(&s, 5);
	serials_seen(&s, 5, report, &r);
	serials_seen(&s, 500000000, report, &r);
	serials_tick(&s, report, &r);
	serials_tick(&s, report, &r);
	assert_int_equal(r.n, 1);
	expect_run(&r, 0, 6, 499999999);
}

static void
the_wrap_of_32_bits_is_no_hole(void **state)
{
	struct serials s = {0};
	struct runs r = {0};

	(void)state;
	serials_start(&s, UINT32_MAX - 100);
	for (uint32_t i = UINT32_MAX - 100; i != 5000; i++)
		if (i != 3)
			serials_seen(&s, i, report, &r);
	serials_settle_all(&s, report, &r);
	assert_int_equal(r.n, 1);
	expect_run(&r, 0, 3, 3);
}

static void
a_run_cut_by_the_window_is_reported_as_one(void **state)
{
	struct serials s = {0};
	struct runs r = {0};

	(void)state;
	serials_start(&s, 0);
	serials_seen(&s, 0, report, &r);
	/* Each step moves the window into the middle of the hole. */
	serials_seen(&s, SERIALS_WINDOW + 100, report, &r);
	serials_seen(&s, SERIALS_WINDOW + 200, report, &r);
	assert_int_equal(r.n, 0);
	serials_settle_all(&s, report, &r);
	assert_int_equal(r.n, 2);
	expect_run(&r, 0, 1, SERIALS_WINDOW + 99);
	expect_run(&r, 1, SERIALS_WINDOW + 101, SERIALS_WINDOW + 199);
}

static void
a_snapshot_knows_what_was_dealt_with(void **state)
{
	struct serials s = {0};
	struct serials_snapshot snap;
	struct runs r = {0};

	(void)state;
	serials_start(&s, 100);
	serials_seen(&s, 100, report, &r);
	serials_seen(&s, 102, report, &r);
	serials_snapshot(&s, &snap);
	serials_seen(&s, 101, report, &r);
	assert_true(serials_snapshot_has(&snap, 99));
	assert_true(serials_snapshot_has(&snap, 100));
	assert_false(serials_snapshot_has(&snap, 101));
	assert_true(serials_snapshot_has(&snap, 102));
	assert_false(serials_snapshot_has(&snap, 103));
	assert_false(serials_snapshot_has(&snap, 103 + SERIALS_WINDOW));
}

/* Against a plain list: random order, random holes. */
static void
random_streams_are_reported_exactly(void **state)
{
	enum { N = 30000 };
	static uint8_t came[N], reported[N];
	static uint32_t order[N];

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct serials s = {0};
		struct runs r = {0};
		uint32_t n = 0, base = feed_random() * 3u;

		(void)memset(reported, 0, sizeof(reported));
		for (uint32_t i = 0; i < N; i++) {
			came[i] = feed_random() % 100 != 0 || i == N - 1;
			if (came[i])
				order[n++] = i;
		}
		for (uint32_t i = 0; i + 64 < n; i++) {
			uint32_t j = i + feed_random() % 64, t = order[i];

			order[i] = order[j];
			order[j] = t;
		}
		serials_start(&s, base);
		for (uint32_t i = 0; i < n; i++) {
			r.n = 0;
			serials_seen(&s, base + order[i], report, &r);
			if (i % 1000 == 999)
				serials_tick(&s, report, &r);
			for (size_t k = 0; k < r.n; k++)
				for (uint32_t x = r.items[k].first; x != r.items[k].last + 1; x++)
					reported[x - base]++;
		}
		for (uint32_t i = 0; i < N - 2 * SERIALS_WINDOW; i++)
			assert_int_equal(reported[i], came[i] ? 0 : 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(disorder_within_the_window_is_no_loss),
	    cmocka_unit_test(a_hole_is_reported_when_the_window_has_passed),
	    cmocka_unit_test(a_hole_is_reported_between_one_and_two_ticks_later),
	    cmocka_unit_test(serials_before_the_start_are_not_late),
	    cmocka_unit_test(a_jump_of_millions_is_one_run_and_takes_no_time),
	    cmocka_unit_test(the_wrap_of_32_bits_is_no_hole),
	    cmocka_unit_test(a_run_cut_by_the_window_is_reported_as_one),
	    cmocka_unit_test(a_snapshot_knows_what_was_dealt_with),
	    cmocka_unit_test(random_streams_are_reported_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
