/* Exclusion rules: what is a mask, ids that are never given twice, what is stored comes back. (That UseMDR keeps them
 * from applying is push.c's and shown end to end.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/exclusions.h"
#include "agentd/tasks.h"

static struct agt_exclusions exclusions;
static char err[AGT_TEXT_BYTES];

static int
set_up(void **state)
{
	(void)state;
	agt_exclusions_init(&exclusions);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	agt_exclusions_done(&exclusions);
	return 0;
}

static int
add(const char *mask)
{
	return agt_exclusions_add(&exclusions, mask, strlen(mask), err, sizeof(err));
}

static void
masks_that_are_and_are_not(void **state)
{
	static const char *const good[] = {
	    "/usr/bin/backup", "/usr/bin/*", "/opt/**", "**/node", "/a/?at", "/with space/x", "/opt/\xc3\xa9t\xc3\xa9"};
	static const char *const bad[] = {"", "usr/bin/x", "*", "**", "/**", "/*", "/", "/*/**/?", "/a/***",
	    "/new\nline", "/tab\tx", "/del\x7f", "*/x"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (add(good[i]) != AGT_EXIT_OK)
			fail_msg("refused %s: %s", good[i], err);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (add(bad[i]) != AGT_EXIT_ARGUMENT)
			fail_msg("accepted %s", bad[i]);
	assert_int_equal(exclusions.n, sizeof(good) / sizeof(good[0]));
	assert_int_equal(agt_exclusions_add(&exclusions, "/a\0b", 4, err, sizeof(err)), AGT_EXIT_ARGUMENT);
}

static void
a_mask_is_there_once(void **state)
{
	(void)state;
	assert_int_equal(add("/usr/bin/x"), AGT_EXIT_OK);
	assert_int_equal(add("/usr/bin/x"), AGT_EXIT_ARGUMENT);
	assert_non_null(strstr(err, "rule 1"));
}

static void
ids_are_never_given_twice(void **state)
{
	(void)state;
	(void)add("/a/1");
	(void)add("/a/2");
	assert_int_equal(agt_exclusions_remove(&exclusions, 2, err, sizeof(err)), AGT_EXIT_OK);
	(void)add("/a/3");
	assert_int_equal(exclusions.rule[1].id, 3);
	assert_int_equal(agt_exclusions_remove(&exclusions, 2, err, sizeof(err)), AGT_EXIT_ARGUMENT);
	assert_non_null(strstr(err, "no exclusion 2"));
}

static void
what_is_stored_comes_back_with_its_ids(void **state)
{
	char *text, *again;

	(void)state;
	(void)add("/a/1");
	(void)add("/with space/**");
	(void)add("/a/3");
	(void)agt_exclusions_remove(&exclusions, 3, err, sizeof(err));
	(void)agt_exclusions_remove(&exclusions, 1, err, sizeof(err));
	text = agt_exclusions_format(&exclusions);
	assert_string_equal(text, "next 4\n2 /with space/**\n");
	agt_exclusions_done(&exclusions);
	assert_int_equal(agt_exclusions_parse(&exclusions, text, err, sizeof(err)), 0);
	again = agt_exclusions_format(&exclusions);
	assert_string_equal(text, again);
	free(text);
	free(again);
}

static void
a_damaged_file_is_used_as_far_as_it_goes(void **state)
{
	(void)state;
	assert_int_equal(
	    agt_exclusions_parse(&exclusions, "next 9\nx /a\n3 /good\n4 relative\n0 /zero\n", err, sizeof(err)),
	    -EINVAL);
	assert_int_equal(exclusions.n, 1);
	assert_int_equal(exclusions.rule[0].id, 3);
	assert_int_equal(exclusions.next_id, 9);
	assert_non_null(strstr(err, "x /a"));
}

static void
number_and_size_of_rules_are_capped(void **state)
{
	char mask[AGT_MASK_BYTES + 1];

	(void)state;
	for (unsigned int i = 0; i < AGT_EXCLUSIONS; i++) {
		(void)snprintf(mask, sizeof(mask), "/x/%u", i);
		assert_int_equal(add(mask), AGT_EXIT_OK);
	}
	assert_int_equal(add("/one/more"), AGT_EXIT_OTHER);
	agt_exclusions_done(&exclusions);
	memset(mask, 'a', sizeof(mask));
	mask[0] = '/';
	assert_int_equal(agt_exclusions_add(&exclusions, mask, AGT_MASK_BYTES, err, sizeof(err)), AGT_EXIT_ARGUMENT);
	for (unsigned int i = 0; i < AGT_MASKS_BYTES / AGT_MASK_BYTES; i++) {
		(void)snprintf(mask, 6, "/%04u", i);
		mask[5] = 'b';
		assert_int_equal(
		    agt_exclusions_add(&exclusions, mask, AGT_MASK_BYTES - 1, err, sizeof(err)), AGT_EXIT_OK);
	}
	mask[1] = 'z';
	assert_int_equal(agt_exclusions_add(&exclusions, mask, AGT_MASK_BYTES - 1, err, sizeof(err)), AGT_EXIT_OTHER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(masks_that_are_and_are_not, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_mask_is_there_once, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(ids_are_never_given_twice, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_is_stored_comes_back_with_its_ids, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_damaged_file_is_used_as_far_as_it_goes, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(number_and_size_of_rules_are_capped, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
