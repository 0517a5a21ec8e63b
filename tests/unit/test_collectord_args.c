/* Arguments of an execve: whole, in parts, over the cap, with something missing. */
#include "collectord/args.h"
#include "collectord_feed.h"
#include "common/limits.h"

static void
add(struct args *a, const char *body)
{
	size_t len = strlen(body);
	uint8_t *p = feed_padded(body, len);

	args_add(a, (struct slice){p, len});
	free(p);
}

static void
expect(const struct args *a, size_t i, const char *want)
{
	struct slice s = args_get(a, i);

	assert_int_equal(s.len, strlen(want));
	assert_memory_equal(s.data, want, s.len);
}

static void
whole_arguments_of_every_form_are_kept(void **state)
{
	struct args a = {0};

	(void)state;
	add(&a, "argc=5 a0=\"ls\" a1=2F612062 a2=\"\" a3=\"(null)\" a4=0A");
	assert_true(args_complete(&a));
	assert_int_equal(a.n, 5);
	expect(&a, 0, "ls");
	expect(&a, 1, "/a b");
	expect(&a, 2, "");
	expect(&a, 3, "(null)");
	expect(&a, 4, "\n");
	args_free(&a);
}

static void
parts_are_joined_over_records(void **state)
{
	struct args a = {0};

	(void)state;
	add(&a, "argc=3 a0=\"true\" a1_len=12 a1[0]=414243");
	add(&a, "  a1[1]=444546 a2=\"end\"");
	assert_true(args_complete(&a));
	expect(&a, 1, "ABCDEF");
	expect(&a, 2, "end");
	args_free(&a);
}

static void
quoted_parts_are_joined(void **state)
{
	struct args a = {0};

	(void)state;
	add(&a, "argc=2 a0=\"true\" a1_len=6 a1[0]=\"abc\"");
	add(&a, "  a1[1]=\"def\"");
	assert_true(args_complete(&a));
	expect(&a, 1, "abcdef");
	args_free(&a);
}

static void
a_missing_record_is_noticed(void **state)
{
	static const char *const cases[][2] = {
	    {"argc=3 a0=\"x\" a1=\"y\"", NULL},                      /* the last argument */
	    {"argc=3 a0=\"x\"", "a2=\"z\""},                         /* one in between */
	    {"argc=2 a0=\"x\" a1_len=8 a1[0]=4142", NULL},           /* the rest of a split one */
	    {"argc=3 a0=\"x\" a1_len=8 a1[0]=4142", "a2=\"z\""},     /* the same, and others behind it */
	    {"argc=2 a0=\"x\" a1_len=12 a1[0]=4142", " a1[2]=4344"}, /* a part in between */
	    {"argc=2 a0=\"x\"", " a1[1]=4142"},                      /* the first part */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct args a = {0};

		add(&a, cases[i][0]);
		if (cases[i][1] != NULL)
			add(&a, cases[i][1]);
		assert_false(args_complete(&a));
		args_free(&a);
	}
}

static void
the_cap_counts_what_the_event_will_need(void **state)
{
	struct args a = {0};
	char body[64];

	(void)state;
	add(&a, "argc=1000000");
	for (unsigned int i = 0; i < 1000000 && !a.truncated; i++) {
		(void)snprintf(body, sizeof(body), "a%u=\"x\"", i);
		add(&a, body);
	}
	assert_true(a.truncated);
	assert_false(args_complete(&a));
	assert_true(a.cost <= LIM_EVENT_ARGS_BYTES);
	assert_int_equal(a.n, LIM_EVENT_ARGS_BYTES / 3); /* tag, length, one byte */
	args_free(&a);
}

static void
the_longest_argument_of_linux_fits_and_a_longer_sum_is_cut(void **state)
{
	struct args a = {0};
	static char body[15100];

	(void)state;
	add(&a, "argc=3 a0=\"true\" a1_len=262142");
	for (size_t done = 0, part = 0; done < 131071; part++) {
		size_t n = 131071 - done < 7000 ? 131071 - done : 7000;
		int len = snprintf(body, sizeof(body), " a1[%zu]=", part);

		for (size_t i = 0; i < n; i++)
			len += snprintf(body + len, sizeof(body) - (size_t)len, "42");
		add(&a, body);
		done += n;
	}
	assert_int_equal(a.n, 2);
	assert_int_equal(args_get(&a, 1).len, 131071);
	assert_false(a.truncated);
	/* 16,384 bytes and frames are left. */
	body[0] = '\0';
	(void)memset(body, 'x', 15000);
	(void)memcpy(body, "a2=\"", 4);
	body[15000] = '"';
	body[15001] = '\0';
	add(&a, body);
	assert_true(args_complete(&a));
	add(&a, "a3=\"overfloooooooooooooooooooooooooooooooooooooooooooooooooooooooooow\"");
	for (int i = 4; i < 100; i++) {
		char more[128];

		(void)snprintf(more, sizeof(more),
		    "a%d=\"0123456789012345678901234567890123456789012345678901234567890123456789\"", i);
		add(&a, more);
	}
	assert_true(a.truncated);
	assert_true(a.cost <= LIM_EVENT_ARGS_BYTES);
	args_free(&a);
}

static void
reset_gives_large_buffers_back(void **state)
{
	struct args a = {0};
	char body[128];

	(void)state;
	for (unsigned int i = 0; i < 2000; i++) {
		(void)snprintf(body, sizeof(body), "a%u=\"xxxxxxxxxxxxxxxx\"", i);
		add(&a, body);
	}
	args_reset(&a);
	assert_int_equal(a.size, 0);
	assert_int_equal(a.n, 0);
	add(&a, "argc=1 a0=\"again\"");
	assert_true(args_complete(&a));
	args_free(&a);
}

static void
names_that_only_look_like_arguments_are_ignored(void **state)
{
	struct args a = {0};

	(void)state;
	add(&a, "argc=1 a0=\"x\" a=\"y\" ab=\"z\" a1x=\"q\" a1[=\"q\" a1[0=\"q\" a1[0]x=\"q\" arch=c000003e");
	assert_int_equal(a.n, 1);
	assert_true(args_complete(&a));
	args_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole_arguments_of_every_form_are_kept),
	    cmocka_unit_test(parts_are_joined_over_records),
	    cmocka_unit_test(quoted_parts_are_joined),
	    cmocka_unit_test(a_missing_record_is_noticed),
	    cmocka_unit_test(the_cap_counts_what_the_event_will_need),
	    cmocka_unit_test(the_longest_argument_of_linux_fits_and_a_longer_sum_is_cut),
	    cmocka_unit_test(reset_gives_large_buffers_back),
	    cmocka_unit_test(names_that_only_look_like_arguments_are_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
