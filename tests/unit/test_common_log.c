/* Log lines: what comes from outside cannot forge one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

static void
plain_values_stay_bare(void **state)
{
	char buf[256];

	(void)state;
	const struct log_kv kvs[] = {KV_STR("a", "word"), KV_U64("n", 7), KV_I64("m", -3)};
	(void)log_format(buf, sizeof(buf), "some.event", kvs, 3);
	assert_string_equal(buf, "some.event a=word n=7 m=-3");
}

static void
hostile_value_cannot_forge_a_line_or_a_key(void **state)
{
	char buf[256];

	(void)state;
	const struct log_kv kvs[] = {KV_STR("v", "x\nerror: y=\"z\" \x1b[2J\\")};
	(void)log_format(buf, sizeof(buf), "e", kvs, 1);
	assert_string_equal(buf, "e v=\"x\\x0aerror: y=\\\"z\\\" \\x1b[2J\\\\\"");
	assert_null(strchr(buf, '\n'));
}

static void
long_value_is_cut_and_says_so(void **state)
{
	char value[2000], buf[4096];

	(void)state;
	memset(value, 'a', sizeof(value));
	const struct log_kv kvs[] = {KV_BYTES("v", value, sizeof(value))};
	size_t len = log_format(buf, sizeof(buf), "e", kvs, 1);
	assert_true(len < 600);
	assert_string_equal(buf + len - 4, "...\"");
}

static void
line_that_does_not_fit_is_cut_at_the_buffer(void **state)
{
	char buf[10];

	(void)state;
	const struct log_kv kvs[] = {KV_STR("key", "value")};
	assert_int_equal(log_format(buf, sizeof(buf), "event.name", kvs, 1), 9);
	assert_string_equal(buf, "event.nam");
}

static void
repeated_event_is_limited_and_the_rest_is_counted_elsewhere_not_written(void **state)
{
	char path[] = "/tmp/picket-log-XXXXXX", buf[8192];
	int fd = mkstemp(path), lines = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(log_open("test", path, LOG_LEVEL_INFO), 0);
	for (int i = 0; i < 100; i++)
		log_info("storm.event", KV_I64("i", i));
	log_debug("not.wanted", KV_I64("i", 1));
	ssize_t n = read(fd, buf, sizeof(buf));
	assert_true(n > 0);
	for (ssize_t i = 0; i < n; i++)
		lines += buf[i] == '\n';
	assert_int_equal(lines, 10);
	(void)unlink(path);
	(void)close(fd);
}

static void
unknown_level_is_refused(void **state)
{
	enum log_level level = LOG_LEVEL_ERROR;

	(void)state;
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(level, LOG_LEVEL_ERROR);
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plain_values_stay_bare),
	    cmocka_unit_test(hostile_value_cannot_forge_a_line_or_a_key),
	    cmocka_unit_test(long_value_is_cut_and_says_so),
	    cmocka_unit_test(line_that_does_not_fit_is_cut_at_the_buffer),
	    cmocka_unit_test(repeated_event_is_limited_and_the_rest_is_counted_elsewhere_not_written),
	    cmocka_unit_test(unknown_level_is_refused),
	};

	return cmocka_run_group_tests_name("common_log", tests, NULL, NULL);
}
