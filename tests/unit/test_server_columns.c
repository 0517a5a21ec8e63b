/* Columns read from packed events: what the generated code packs comes out, and nothing an event holds can break the
 * text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/pb.h"
#include "proto/event.pb-c.h"
#include "server/columns.h"

static struct columns columns;

static void
read_message(Picket__V1__Event *event)
{
	size_t len;
	uint8_t *data = pb_pack_new(&event->base, &len);

	assert_non_null(data);
	columns_read(data, len, &columns);
	free(data);
}

static const char *
text_of(const struct text *text)
{
	static char buf[COLUMNS_PATH_BYTES + 1];

	memcpy(buf, text->buf, text->len);
	buf[text->len] = '\0';
	return buf;
}

static void
expect_summary(Picket__V1__Event *event, const char *summary)
{
	read_message(event);
	assert_false(columns.malformed);
	assert_string_equal(text_of(&columns.summary), summary);
}

static void
a_process_event_fills_every_column(void **state)
{
	Picket__V1__Event event = PICKET__V1__EVENT__INIT;
	Picket__V1__Process process = PICKET__V1__PROCESS__INIT;
	Picket__V1__ProcessStart start = PICKET__V1__PROCESS_START__INIT;
	ProtobufCBinaryData args[] = {pb_str("ls"), pb_str("-l"), pb_str("/tmp/a b")};

	(void)state;
	process.pid = 4294967295u;
	process.ppid = 2;
	process.uid = 1000;
	process.executable = pb_str("/usr/bin/ls");
	start.args = args;
	start.n_args = 3;
	event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS;
	event.time_ms = UINT64_C(1700000000123);
	event.serial = 77;
	event.process = &process;
	event.detail_case = PICKET__V1__EVENT__DETAIL_PROCESS_START;
	event.process_start = &start;
	expect_summary(&event, "ls -l /tmp/a b");
	assert_true(columns.time_ms == UINT64_C(1700000000123));
	assert_int_equal(columns.serial, 77);
	assert_true(columns.has_process);
	assert_true(columns.pid == 4294967295u);
	assert_int_equal(columns.ppid, 2);
	assert_int_equal(columns.uid, 1000);
	assert_string_equal(text_of(&columns.executable), "/usr/bin/ls");
}

static void
process_ends_say_code_or_signal(void **state)
{
	Picket__V1__Event event = PICKET__V1__EVENT__INIT;
	Picket__V1__ProcessEnd end = PICKET__V1__PROCESS_END__INIT;

	(void)state;
	event.detail_case = PICKET__V1__EVENT__DETAIL_PROCESS_END;
	event.process_end = &end;
	expect_summary(&event, "exit 0");
	end.exit_code = 3;
	expect_summary(&event, "exit 3");
	end.signal = 9;
	expect_summary(&event, "signal 9");
}

static void
connections_say_the_other_end(void **state)
{
	static const uint8_t v4[] = {10, 0, 0, 5}, v6[16] = {[15] = 1};
	Picket__V1__Event event = PICKET__V1__EVENT__INIT;
	Picket__V1__Connection connection = PICKET__V1__CONNECTION__INIT;
	Picket__V1__Endpoint remote = PICKET__V1__ENDPOINT__INIT;

	(void)state;
	event.detail_case = PICKET__V1__EVENT__DETAIL_CONNECTION;
	event.connection = &connection;
	connection.direction = PICKET__V1__NET_DIRECTION__NET_DIRECTION_OUTBOUND;
	connection.remote = &remote;
	remote.address = pb_bytes(v4, sizeof(v4));
	remote.port = 443;
	expect_summary(&event, "to 10.0.0.5:443");
	connection.direction = PICKET__V1__NET_DIRECTION__NET_DIRECTION_INBOUND;
	remote.address = pb_bytes(v6, sizeof(v6));
	expect_summary(&event, "from [::1]:443");
	remote.path = pb_bytes("\0abstract", 9);
	expect_summary(&event, "from ?abstract");
}

static void
the_other_details_have_a_summary(void **state)
{
	static const uint8_t v4[] = {0, 0, 0, 0};
	Picket__V1__Event event = PICKET__V1__EVENT__INIT;
	Picket__V1__PortListen port = PICKET__V1__PORT_LISTEN__INIT;
	Picket__V1__Endpoint local = PICKET__V1__ENDPOINT__INIT;
	Picket__V1__FileChange file = PICKET__V1__FILE_CHANGE__INIT;
	Picket__V1__Module module = PICKET__V1__MODULE__INIT;
	Picket__V1__Logon logon = PICKET__V1__LOGON__INIT;
	Picket__V1__Loss loss = PICKET__V1__LOSS__INIT;

	(void)state;
	local.address = pb_bytes(v4, sizeof(v4));
	local.port = 80;
	port.local = &local;
	event.detail_case = PICKET__V1__EVENT__DETAIL_PORT_LISTEN;
	event.port_listen = &port;
	expect_summary(&event, "0.0.0.0:80");

	file.action = PICKET__V1__FILE_ACTION__FILE_ACTION_RENAME;
	file.path = pb_str("/a");
	file.target_path = pb_str("/b");
	event.detail_case = PICKET__V1__EVENT__DETAIL_FILE_CHANGE;
	event.file_change = &file;
	expect_summary(&event, "rename /a -> /b");

	module.name = pb_str("ext4");
	module.unload = 1;
	event.detail_case = PICKET__V1__EVENT__DETAIL_MODULE;
	event.module = &module;
	expect_summary(&event, "unload ext4");

	logon.action = PICKET__V1__LOGON_ACTION__LOGON_ACTION_AUTHENTICATION;
	logon.account = pb_str("root");
	logon.remote_host = pb_str("10.1.1.1");
	event.detail_case = PICKET__V1__EVENT__DETAIL_LOGON;
	event.logon = &logon;
	expect_summary(&event, "authentication root from 10.1.1.1");

	loss.events = 12;
	loss.detail = pb_str("queue full");
	event.detail_case = PICKET__V1__EVENT__DETAIL_LOSS;
	event.loss = &loss;
	expect_summary(&event, "12 events lost queue full");
}

static void
text_is_valid_utf8_without_control_characters(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"plain", "plain"}, {"tab\tnewline\n\x1b[31m\x7f", "tab?newline??[31m?"},
	    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"}, {"\xff\xfe", "??"},
	    {"\xc3", "?"}, {"\xc3(", "?("}, {"\xc0\xaf", "??"}, /* overlong */
	    {"\xed\xa0\x80", "???"},                            /* surrogate */
	    {"\xf4\x90\x80\x80", "????"},                       /* above U+10FFFF */
	    {"\xe2\x82", "??"},                                 /* cut off */
	};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(
		    text_copy(buf, sizeof(buf), (const uint8_t *)cases[i].in, strlen(cases[i].in)), cases[i].out);
}

static void
a_cut_never_splits_a_character(void **state)
{
	char buf[4];

	(void)state;
	assert_string_equal(text_copy(buf, sizeof(buf), (const uint8_t *)"ab\xc3\xa4", 4), "ab");
	assert_string_equal(text_copy(buf, sizeof(buf), (const uint8_t *)"abcd", 4), "abc");
}

static void
damaged_bytes_are_marked_and_keep_what_was_read(void **state)
{
	/* type 1, time 5, then a process of which the length is a lie */
	static const uint8_t cut[] = {0x08, 1, 0x10, 5, 0x32, 50, 1};
	/* a process whose inside is not protobuf */
	static const uint8_t inner[] = {0x10, 5, 0x32, 2, 0x0b, 0xff};

	(void)state;
	columns_read(cut, sizeof(cut), &columns);
	assert_true(columns.malformed);
	assert_int_equal(columns.time_ms, 5);
	columns_read(inner, sizeof(inner), &columns);
	assert_true(columns.malformed);
	columns_read(NULL, 0, &columns);
	assert_false(columns.malformed);
	assert_false(columns.has_process);
}

static void
an_overlong_command_line_is_cut_to_the_column(void **state)
{
	static char arg[COLUMNS_SUMMARY_BYTES * 4];
	Picket__V1__Event event = PICKET__V1__EVENT__INIT;
	Picket__V1__ProcessStart start = PICKET__V1__PROCESS_START__INIT;
	ProtobufCBinaryData args[] = {pb_bytes(arg, sizeof(arg)), pb_str("last")};

	(void)state;
	memset(arg, 'x', sizeof(arg));
	start.args = args;
	start.n_args = 2;
	event.detail_case = PICKET__V1__EVENT__DETAIL_PROCESS_START;
	event.process_start = &start;
	read_message(&event);
	assert_false(columns.malformed);
	assert_int_equal(columns.summary.len, COLUMNS_SUMMARY_BYTES);
}

static void
no_bytes_make_it_read_too_far(void **state)
{
	/* Random insides for every kind of event; the sanitizer looks on. The seed is fixed: a failure can be repeated.
	 */
	uint64_t random = 88172645463325252u;

	(void)state;
	for (size_t i = 0; i < 20000; i++) {
		uint8_t bytes[64];
		size_t len = 1 + i % sizeof(bytes);
		uint8_t *copy;

		for (size_t j = 0; j < len; j++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			bytes[j] = (uint8_t)random;
		}
		/* Lead into a process or a detail, with a length that fits. */
		if (len > 6) {
			static const uint8_t tags[][2] = {{0x32, 0}, {0x82, 1}, {0x8a, 1}, {0x92, 1}, {0x9a, 1},
			    {0xa2, 1}, {0xaa, 1}, {0xb2, 1}, {0xba, 1}};
			const uint8_t *tag = tags[i % 9];
			size_t n = tag[1] != 0 ? 2 : 1;

			memcpy(bytes, tag, n);
			bytes[n] = (uint8_t)(len - n - 1);
		}
		copy = malloc(len);
		assert_non_null(copy);
		memcpy(copy, bytes, len);
		columns_read(copy, len, &columns);
		assert_true(columns.summary.len <= COLUMNS_SUMMARY_BYTES);
		assert_true(columns.executable.len <= COLUMNS_PATH_BYTES);
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_process_event_fills_every_column),
	    cmocka_unit_test(process_ends_say_code_or_signal),
	    cmocka_unit_test(connections_say_the_other_end),
	    cmocka_unit_test(the_other_details_have_a_summary),
	    cmocka_unit_test(text_is_valid_utf8_without_control_characters),
	    cmocka_unit_test(a_cut_never_splits_a_character),
	    cmocka_unit_test(damaged_bytes_are_marked_and_keep_what_was_read),
	    cmocka_unit_test(an_overlong_command_line_is_cut_to_the_column),
	    cmocka_unit_test(no_bytes_make_it_read_too_far),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
