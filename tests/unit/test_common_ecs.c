/* Events for people: valid JSON whatever the bytes, a way back to the bytes, a line that cannot drive a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the above first */
#include <cmocka.h>

#include "common/ecs.h"
#include "common/pb.h"

static Picket__V1__Event event;
static Picket__V1__Process process;
static Picket__V1__ProcessStart start;
static ProtobufCBinaryData args[3];

static int
set_up(void **state)
{
	(void)state;
	picket__v1__event__init(&event);
	picket__v1__process__init(&process);
	picket__v1__process_start__init(&start);
	event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS;
	event.time_ms = UINT64_C(1795492574373);
	event.serial = 7;
	event.process = &process;
	event.detail_case = PICKET__V1__EVENT__DETAIL_PROCESS_START;
	event.process_start = &start;
	process.pid = 123;
	process.auid = process.session = UINT32_MAX;
	process.executable = pb_str("/usr/bin/ls");
	start.args = args;
	return 0;
}

/* The line; static. */
static const char *
write_event(void)
{
	static char text[16384];
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	assert_int_equal(ecs_write(out, &event, NULL), 0);
	(void)fclose(out);
	assert_int_equal(text[strlen(text) - 1], '\n');
	return text;
}

static void
set_args(const char *a, size_t a_len)
{
	args[0] = pb_str("ls");
	args[1] = pb_bytes(a, a_len);
	start.n_args = start.argc = 2;
}

static void
expect_part(const char *want)
{
	const char *text = write_event();

	if (strstr(text, want) == NULL)
		fail_msg("%s is not in %s", want, text);
}

static void
names_are_those_of_ecs(void **state)
{
	(void)state;
	set_args("-l", 2);
	expect_part("{\"@timestamp\":\"2026-11-24T03:56:14.373Z\",");
	expect_part(
	    "\"event\":{\"kind\":\"event\",\"category\":[\"process\"],\"type\":[\"start\"],\"action\":\"exec\"");
	expect_part("\"executable\":\"/usr/bin/ls\"");
	expect_part("\"args\":[\"ls\",\"-l\"],\"args_count\":2,\"command_line\":\"ls -l\"");
	expect_part("\"picket\":{\"event_type\":\"process\",\"serial\":7}");
}

static void
control_characters_and_quotes_are_escaped(void **state)
{
	(void)state;
	set_args("a\"b\\c\n\t\x01\x7f\0z", 11);
	expect_part("\"a\\\"b\\\\c\\u000a\\u0009\\u0001\\u007f\\u0000z\"");
}

static void
utf8_stays_and_other_bytes_become_private_characters(void **state)
{
	(void)state;
	set_args("Gr\xc3\xbc\xc3\x9f\xe4\xb8\x96\xf0\x9f\x98\x80", 13);
	expect_part("\"Gr\xc3\xbc\xc3\x9f\xe4\xb8\x96\xf0\x9f\x98\x80\"");
	set_args("\xff\xc3(\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xe4\xb8", 14);
	expect_part("\"\\uefff\\uefc3(\\uefc0\\uefaf\\uefed\\uefa0\\uef80\\ueff4\\uef90\\uef80\\uef80\\uefe4\\uefb8\"");
}

static void
the_private_characters_themselves_are_written_as_bytes(void **state)
{
	(void)state;
	set_args("\xee\xbe\x80", 3); /* U+EF80: would be taken for the byte 0x80 */
	expect_part("\"\\uefee\\uefbe\\uef80\"");
	set_args("\xee\xbd\xbf", 3); /* U+EF7F is no such character */
	expect_part("\"\xee\xbd\xbf\"");
}

static void
utf8_characters_are_recognised_exactly(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} rows[] = {{"a", 1}, {"\xc2\x80", 2}, {"\xdf\xbf", 2}, {"\xe0\xa0\x80", 3}, {"\xed\x9f\xbf", 3},
	    {"\xee\x80\x80", 3}, {"\xf0\x90\x80\x80", 4}, {"\xf4\x8f\xbf\xbf", 4}, {"\x80", 0}, {"\xc1\xbf", 0},
	    {"\xe0\x9f\xbf", 0}, {"\xed\xa0\x80", 0}, {"\xf0\x8f\xbf\xbf", 0}, {"\xf4\x90\x80\x80", 0},
	    {"\xf5\x80\x80\x80", 0}, {"\xc3", 0}, {"\xe4\xb8", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(ecs_utf8_length((const uint8_t *)rows[i].text, strlen(rows[i].text)), rows[i].len);
}

static void
dates_are_right_over_leap_years(void **state)
{
	static const struct {
		uint64_t time_ms;
		const char *text;
	} rows[] = {{0, "1970-01-01T00:00:00.000Z"}, {UINT64_C(951782399999), "2000-02-28T23:59:59.999Z"},
	    {UINT64_C(951782400000), "2000-02-29T00:00:00.000Z"}, {UINT64_C(1709251199000), "2024-02-29T23:59:59.000Z"},
	    {UINT64_C(4107542400000), "2100-03-01T00:00:00.000Z"},
	    {UINT64_C(1798761599001), "2026-12-31T23:59:59.001Z"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		event.time_ms = rows[i].time_ms;
		expect_part(rows[i].text);
	}
}

static void
numbers_that_have_no_name_are_written_all_the_same(void **state)
{
	(void)state;
	event.type = (Picket__V1__EventType)99;
	event.outcome = (Picket__V1__Outcome)99;
	event.error = 4000;
	event.detail_case = PICKET__V1__EVENT__DETAIL__NOT_SET;
	expect_part("\"event_type\":\"unknown\"");
	expect_part("\"code\":\"4000\"");
}

static void
a_summary_cannot_drive_a_terminal(void **state)
{
	char line[256];
	size_t n;

	(void)state;
	set_args("\x1b[31m\r\n\t\"\\\x9b\xc2\x9bok\xff", 16);
	n = ecs_summary(line, sizeof(line), &event);
	assert_int_equal(n, strlen(line));
	for (size_t i = 0; i < n; i++)
		assert_true((unsigned char)line[i] >= 0x20 && (unsigned char)line[i] < 0x7f);
	assert_non_null(strstr(line, "\\x1b[31m\\x0d\\n\\t\\\"\\\\\\x9b\\xc2\\x9bok\\xff"));
}

static void
a_summary_is_readable(void **state)
{
	char line[256];

	(void)state;
	set_args("/tmp/a b", 8);
	(void)ecs_summary(line, sizeof(line), &event);
	assert_string_equal(line, "process    pid 123 uid 0  /usr/bin/ls \"/tmp/a b\"");
	event.error = 2;
	(void)ecs_summary(line, sizeof(line), &event);
	assert_string_equal(line, "process    pid 123 uid 0  /usr/bin/ls \"/tmp/a b\"  failed: ENOENT");
}

static void
a_summary_that_does_not_fit_is_cut_and_says_so(void **state)
{
	static char large[5000];
	char line[64];

	(void)state;
	(void)memset(large, 'x', sizeof(large));
	set_args(large, sizeof(large));
	for (size_t size = 0; size <= sizeof(line); size++) {
		(void)memset(line, '#', sizeof(line));
		assert_true(ecs_summary(line, size, &event) < sizeof(line));
		if (size > 0)
			assert_true(strlen(line) < size);
		if (size > 10)
			assert_string_equal(line + strlen(line) - 3, "...");
		for (size_t i = size; i < sizeof(line); i++)
			assert_int_equal(line[i], '#');
	}
}

static void
notices_have_their_names_and_fields(void **state)
{
	Picket__V1__Security security = PICKET__V1__SECURITY__INIT;
	Picket__V1__AccountChange account = PICKET__V1__ACCOUNT_CHANGE__INIT;
	char line[256];

	(void)state;
	event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_SECURITY;
	event.detail_case = PICKET__V1__EVENT__DETAIL_SECURITY;
	event.security = &security;
	security.kind = PICKET__V1__SECURITY_KIND__SECURITY_KIND_ACCESS;
	security.record_type = pb_str("AVC");
	security.permissions = pb_str("read");
	security.denied = 1;
	assert_non_null(
	    strstr(write_event(), "\"security\":{\"record_type\":\"AVC\",\"denied\":true,\"permissions\":\"read\"}"));
	assert_non_null(strstr(write_event(), "\"action\":\"access-decision\""));
	(void)ecs_summary(line, sizeof(line), &event);
	assert_string_equal(line, "security   pid 123 uid 0  AVC denied read  /usr/bin/ls");

	event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_ACCOUNT;
	event.detail_case = PICKET__V1__EVENT__DETAIL_ACCOUNT_CHANGE;
	event.account_change = &account;
	account.action = PICKET__V1__ACCOUNT_ACTION__ACCOUNT_ACTION_USER_ADD;
	account.account = pb_str("a\nb");
	assert_non_null(strstr(write_event(), "\"target\":{\"name\":\"a\\u000ab\"}"));
	(void)ecs_summary(line, sizeof(line), &event);
	assert_string_equal(line, "account    pid 123 uid 0  add user \"a\\nb\"");
	account.action = 999; /* a number from outside */
	(void)write_event();
	(void)ecs_summary(line, sizeof(line), &event);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(names_are_those_of_ecs, set_up),
	    cmocka_unit_test_setup(control_characters_and_quotes_are_escaped, set_up),
	    cmocka_unit_test_setup(utf8_stays_and_other_bytes_become_private_characters, set_up),
	    cmocka_unit_test_setup(the_private_characters_themselves_are_written_as_bytes, set_up),
	    cmocka_unit_test_setup(utf8_characters_are_recognised_exactly, set_up),
	    cmocka_unit_test_setup(dates_are_right_over_leap_years, set_up),
	    cmocka_unit_test_setup(numbers_that_have_no_name_are_written_all_the_same, set_up),
	    cmocka_unit_test_setup(a_summary_cannot_drive_a_terminal, set_up),
	    cmocka_unit_test_setup(a_summary_is_readable, set_up),
	    cmocka_unit_test_setup(notices_have_their_names_and_fields, set_up),
	    cmocka_unit_test_setup(a_summary_that_does_not_fit_is_cut_and_says_so, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
