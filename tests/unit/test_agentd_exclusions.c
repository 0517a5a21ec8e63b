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
#include "common/pb.h"

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
add_bytes(const void *mask, size_t len)
{
	Picket__V1__Exclusion rule = PICKET__V1__EXCLUSION__INIT;

	rule.process_path = pb_bytes(mask, len);
	return agt_exclusions_add(&exclusions, &rule, err, sizeof(err));
}

static int
add(const char *mask)
{
	return add_bytes(mask, strlen(mask));
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
	assert_int_equal(add_bytes("/a\0b", 4), AGT_EXIT_ARGUMENT);
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
	assert_int_equal(exclusions.rule[1]->id, 3);
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
	assert_int_equal(exclusions.rule[0]->id, 3);
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
	assert_int_equal(add_bytes(mask, AGT_MASK_BYTES), AGT_EXIT_ARGUMENT);
	for (unsigned int i = 0; i < AGT_RULES_BYTES / (AGT_MASK_BYTES + 2); i++) {
		(void)snprintf(mask, 6, "/%04u", i);
		mask[5] = 'b';
		assert_int_equal(add_bytes(mask, AGT_MASK_BYTES - 1), AGT_EXIT_OK);
	}
	mask[1] = 'z';
	assert_int_equal(add_bytes(mask, AGT_MASK_BYTES - 1), AGT_EXIT_OTHER);
}

static uint8_t md5[16] = {0x00, 0xab}, sha256[32] = {0xff};
static Picket__V1__EventType types[] = {
    PICKET__V1__EVENT_TYPE__EVENT_TYPE_FILECHANGE, PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS};

/* A rule with every criterion. */
static Picket__V1__Exclusion
full_rule(void)
{
	Picket__V1__Exclusion rule = PICKET__V1__EXCLUSION__INIT;

	rule.process_path = pb_str("/usr/bin/a b");
	rule.command_line = pb_str("--x=1 y");
	rule.user = pb_str("0");
	rule.image_md5 = pb_bytes(md5, sizeof(md5));
	rule.image_sha256 = pb_bytes(sha256, sizeof(sha256));
	rule.file_path = pb_str("/tmp/**");
	rule.event_types = types;
	rule.n_event_types = 2;
	return rule;
}

static void
every_criterion_is_stored_and_comes_back(void **state)
{
	Picket__V1__Exclusion rule = full_rule(), file = PICKET__V1__EXCLUSION__INIT;
	char *text, *again;

	(void)state;
	file.file_path = pb_str("/var/cache/*");
	assert_int_equal(agt_exclusions_add(&exclusions, &rule, err, sizeof(err)), AGT_EXIT_OK);
	assert_int_equal(agt_exclusions_add(&exclusions, &file, err, sizeof(err)), AGT_EXIT_OK);
	text = agt_exclusions_format(&exclusions);
	assert_string_equal(text, "next 3\n1 process_path=/usr/bin/a b\tcommand_line=--x=1 y\tuser=0\t"
				  "image_md5=00ab0000000000000000000000000000\t"
				  "image_sha256=ff00000000000000000000000000000000000000000000000000000000000000\t"
				  "file_path=/tmp/**\tevent_types=5,1\n2 file_path=/var/cache/*\n");
	agt_exclusions_done(&exclusions);
	assert_int_equal(agt_exclusions_parse(&exclusions, text, err, sizeof(err)), 0);
	assert_int_equal(agt_exclusions_add(&exclusions, &rule, err, sizeof(err)), AGT_EXIT_ARGUMENT); /* there */
	rule.n_event_types = 1;
	assert_int_equal(agt_exclusions_add(&exclusions, &rule, err, sizeof(err)), AGT_EXIT_OK);
	assert_int_equal(agt_exclusions_remove(&exclusions, 3, err, sizeof(err)), AGT_EXIT_OK);
	again = agt_exclusions_format(&exclusions);
	assert_int_equal(strncmp(again, "next 4\n", 7), 0);
	assert_string_equal(text + 7, again + 7);
	free(text);
	free(again);
}

static void
a_rule_that_lost_a_criterion_is_not_used(void **state)
{
	static const char *const lines[] = {"1 process_path=/a\tcommand_lin=x\n", "1 process_path=/a\tuser=\n",
	    "1 process_path=/a\tuser=root\n", "1 process_path=/a\timage_md5=00\n", "1 process_path=/a\timage_md5=0g\n",
	    "1 process_path=/a\tevent_types=\n", "1 process_path=/a\tevent_types=1,\n",
	    "1 process_path=/a\tevent_types=99\n", "1 process_path=/a\tprocess_path=/b\n", "1 event_types=1\n", "1 \n"};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (agt_exclusions_parse(&exclusions, lines[i], err, sizeof(err)) != -EINVAL || exclusions.n != 0)
			fail_msg("%s", lines[i]);
	}
}

static void
bad_criteria_are_refused_by_name(void **state)
{
	static uint8_t text[AGT_COMMAND_LINE_BYTES + 1];
	static Picket__V1__EventType loss[] = {PICKET__V1__EVENT_TYPE__EVENT_TYPE_LOSS};
	Picket__V1__Exclusion rule;

	(void)state;
	memset(text, 'x', sizeof(text));
#define REFUSED(field, value, word)                                                                                    \
	do {                                                                                                           \
		rule = full_rule();                                                                                    \
		rule.field = (value);                                                                                  \
		assert_int_equal(agt_exclusions_add(&exclusions, &rule, err, sizeof(err)), AGT_EXIT_ARGUMENT);         \
		assert_non_null(strstr(err, word));                                                                    \
	} while (0)
	REFUSED(command_line, pb_bytes(text, sizeof(text)), "command line");
	REFUSED(command_line, pb_str("a\tb"), "command line");
	REFUSED(user, pb_str("root"), "user");
	REFUSED(user, pb_str("4294967295"), "user");
	REFUSED(user, pb_str("18446744073709551616"), "user");
	REFUSED(image_md5, pb_bytes(text, 15), "MD5");
	REFUSED(image_sha256, pb_bytes(text, 33), "SHA-256");
	REFUSED(file_path, pb_str("/**"), "file path");
	REFUSED(file_path, pb_str("tmp"), "file path");
	REFUSED(event_types, loss, "event types");
}

static void
managed_detection_suspends_what_names_a_process(void **state)
{
	Picket__V1__Exclusion rule = full_rule(), file = PICKET__V1__EXCLUSION__INIT;
	static Picket__V1__Exclusion rows[AGT_EXCLUSIONS], *ptr[AGT_EXCLUSIONS];

	(void)state;
	file.file_path = pb_str("/var/cache/*");
	(void)agt_exclusions_add(&exclusions, &rule, err, sizeof(err));
	(void)agt_exclusions_add(&exclusions, &file, err, sizeof(err));
	assert_int_equal(agt_exclusions_rows(&exclusions, false, true, rows, ptr), 2);
	assert_true(ptr[0]->in_force && ptr[1]->in_force);
	assert_int_equal(agt_exclusions_rows(&exclusions, true, false, rows, ptr), 2);
	assert_true(!ptr[0]->in_force && ptr[1]->in_force);
	assert_int_equal(agt_exclusions_rows(&exclusions, true, true, rows, ptr), 1);
	assert_int_equal(ptr[0]->id, 2);
	assert_true(pb_equals(ptr[0]->file_path, "/var/cache/*"));
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
	    cmocka_unit_test_setup_teardown(every_criterion_is_stored_and_comes_back, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_rule_that_lost_a_criterion_is_not_used, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(bad_criteria_are_refused_by_name, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(managed_detection_suspends_what_names_a_process, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
