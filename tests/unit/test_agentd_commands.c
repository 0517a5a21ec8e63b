/* Server commands: executed once, also across restarts; refused when late, malformed, unknown or for another agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/commands.h"
#include "common/pb.h"

#define AGENT "11111111-2222-4333-8444-555555555555"
#define DONE PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_DONE
#define REFUSED PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_REFUSED
#define EXPIRED PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_EXPIRED

static struct agt_commands commands;
static Picket__V1__Command command;
static Picket__V1__ReleaseCommand release_command;
static Picket__V1__CommandStatus status;
static char text[AGT_RESULT_BYTES];

static int
set_up(void **state)
{
	(void)state;
	memset(&commands, 0, sizeof(commands));
	picket__v1__command__init(&command);
	picket__v1__release_command__init(&release_command);
	command.id = pb_str("c-1");
	command.agent_id = pb_str(AGENT);
	command.issued_ms = 1000;
	command.kind_case = PICKET__V1__COMMAND__KIND_RELEASE;
	command.release = &release_command;
	return 0;
}

static enum agt_command_verdict
check(uint64_t now_ms)
{
	return agt_command_check(&commands, &command, AGENT, now_ms, &status, text, sizeof(text));
}

static void
execute(const char *id, uint64_t issued_ms, const char *result)
{
	(void)agt_commands_begin(&commands, id, issued_ms);
	agt_commands_finish(&commands, id, DONE, result, 2000);
}

/* As after a restart: only what was stored is known. */
static void
restart(void)
{
	char *stored = agt_commands_format(&commands);

	assert_non_null(stored);
	memset(&commands, 0, sizeof(commands));
	assert_int_equal(agt_commands_parse(&commands, stored), 0);
	free(stored);
}

static void
a_new_command_is_executed(void **state)
{
	(void)state;
	assert_int_equal(check(2000), AGT_COMMAND_EXECUTE);
}

static void
the_second_time_it_is_answered_from_memory(void **state)
{
	const struct agt_command_record *record;

	(void)state;
	execute("c-1", 1000, "released 100%");
	assert_int_equal(check(3000), AGT_COMMAND_REPEAT);
	restart();
	assert_int_equal(check(3000), AGT_COMMAND_REPEAT);
	record = agt_commands_find(&commands, "c-1");
	assert_int_equal(record->status, DONE);
	assert_int_equal(record->time_ms, 2000);
	assert_int_equal(record->issued_ms, 1000);
	assert_string_equal(record->text, "released 100%");
}

static void
what_was_executed_stays_so_after_its_time(void **state)
{
	(void)state;
	command.expires_ms = 2500;
	execute("c-1", 1000, "");
	assert_int_equal(check(9000), AGT_COMMAND_REPEAT);
}

static void
while_it_is_executed_it_is_not_executed_again(void **state)
{
	(void)state;
	(void)agt_commands_begin(&commands, "c-1", 1000);
	assert_int_equal(check(2000), AGT_COMMAND_RUNNING);
}

static void
what_a_crash_interrupted_is_executed_when_it_comes_again(void **state)
{
	(void)state;
	(void)agt_commands_begin(&commands, "c-1", 1000);
	restart();
	assert_int_equal(check(2000), AGT_COMMAND_EXECUTE);
}

static void
a_late_command_is_expired_and_not_executed(void **state)
{
	(void)state;
	command.expires_ms = 2000;
	assert_int_equal(check(2000), AGT_COMMAND_EXECUTE);
	assert_int_equal(check(2001), AGT_COMMAND_REFUSE);
	assert_int_equal(status, EXPIRED);
}

static void
a_command_for_another_agent_is_refused(void **state)
{
	(void)state;
	command.agent_id = pb_str("another");
	assert_int_equal(check(2000), AGT_COMMAND_REFUSE);
	assert_int_equal(status, REFUSED);
	assert_non_null(strstr(text, "another agent"));
	command.agent_id = pb_str("");
	assert_int_equal(check(2000), AGT_COMMAND_REFUSE);
	/* Even when its id is that of one that was executed. */
	execute("c-1", 1000, "");
	assert_int_equal(check(2000), AGT_COMMAND_REFUSE);
}

static void
a_command_of_no_kind_is_refused(void **state)
{
	(void)state;
	command.kind_case = PICKET__V1__COMMAND__KIND__NOT_SET;
	assert_int_equal(check(2000), AGT_COMMAND_REFUSE);
	assert_int_equal(status, REFUSED);
}

static void
an_id_that_is_none_is_refused(void **state)
{
	(void)state;
	command.id = pb_str("");
	assert_int_equal(check(2000), AGT_COMMAND_REFUSE);
	command.id = pb_str("two words");
	assert_int_equal(check(2000), AGT_COMMAND_REFUSE);
	command.id = pb_bytes("a\0b", 3);
	assert_int_equal(check(2000), AGT_COMMAND_REFUSE);
	command.id = pb_str("12345678901234567890123456789012345678901234567890123456789012345");
	assert_int_equal(check(2000), AGT_COMMAND_REFUSE);
}

static void
what_is_older_than_the_memory_is_not_executed_again(void **state)
{
	char id[32];

	(void)state;
	for (unsigned int i = 0; i < AGT_COMMANDS + 10; i++) {
		(void)snprintf(id, sizeof(id), "old-%u", i);
		execute(id, 1000 + i, "");
	}
	assert_int_equal(commands.n, AGT_COMMANDS);
	restart();
	command.id = pb_str("old-0");
	command.issued_ms = 1000;
	assert_int_equal(check(2000), AGT_COMMAND_REFUSE);
	assert_int_equal(status, EXPIRED);
	command.id = pb_str("fresh");
	command.issued_ms = 1010;
	assert_int_equal(check(2000), AGT_COMMAND_EXECUTE);
	assert_int_equal(commands.floor_ms, 1009);
}

static void
the_memory_survives_odd_texts_and_ids(void **state)
{
	(void)state;
	execute("floor", 5, "");
	execute("b", 6, "two\nlines");
	restart();
	assert_non_null(agt_commands_find(&commands, "floor"));
	assert_string_equal(agt_commands_find(&commands, "floor")->text, "");
	assert_string_equal(agt_commands_find(&commands, "b")->text, "two lines");
}

static void
damaged_lines_of_the_memory_are_skipped(void **state)
{
	(void)state;
	assert_int_equal(agt_commands_parse(&commands, "floor 7\nnonsense\na 99 1 2 x\nb 0 1 2 x\nc 1 1 2 fine\n"), 3);
	assert_int_equal(commands.n, 1);
	assert_string_equal(commands.record[0].id, "c");
	assert_int_equal(commands.floor_ms, 7);
}

static void
the_id_is_found_in_what_does_not_unpack(void **state)
{
	uint8_t packed[256];
	char id[LIM_ID_BYTES + 1];
	size_t len = picket__v1__command__pack(&command, packed);
	/* A kind of the future: field 31, empty. */
	const uint8_t future[] = {0xfa, 0x01, 0x00};

	(void)state;
	memcpy(packed + len, future, sizeof(future));
	assert_int_equal(agt_command_id(packed, len + sizeof(future), id, sizeof(id)), 0);
	assert_string_equal(id, "c-1");
	/* The same in front of it. */
	memmove(packed + sizeof(future), packed, len);
	memcpy(packed, future, sizeof(future));
	assert_int_equal(agt_command_id(packed, len + sizeof(future), id, sizeof(id)), 0);
	assert_string_equal(id, "c-1");
}

static void
garbage_has_no_id_and_harms_nothing(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {{"", 0}, {"\x0a", 1}, {"\x0a\x05zz", 4}, {"\x0a\x00", 2}, {"\x0a\x02\x01\x02", 4}, {"\x0b\x01", 2},
	    {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11}, {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
	    {"\x11\x01\x02", 3}, {"\x15\x01", 2}, {"\x10\x80", 2}};
	char id[LIM_ID_BYTES + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
		    agt_command_id((const uint8_t *)cases[i].bytes, cases[i].len, id, sizeof(id)), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_new_command_is_executed, set_up),
	    cmocka_unit_test_setup(the_second_time_it_is_answered_from_memory, set_up),
	    cmocka_unit_test_setup(what_was_executed_stays_so_after_its_time, set_up),
	    cmocka_unit_test_setup(while_it_is_executed_it_is_not_executed_again, set_up),
	    cmocka_unit_test_setup(what_a_crash_interrupted_is_executed_when_it_comes_again, set_up),
	    cmocka_unit_test_setup(a_late_command_is_expired_and_not_executed, set_up),
	    cmocka_unit_test_setup(a_command_for_another_agent_is_refused, set_up),
	    cmocka_unit_test_setup(a_command_of_no_kind_is_refused, set_up),
	    cmocka_unit_test_setup(an_id_that_is_none_is_refused, set_up),
	    cmocka_unit_test_setup(what_is_older_than_the_memory_is_not_executed_again, set_up),
	    cmocka_unit_test_setup(the_memory_survives_odd_texts_and_ids, set_up),
	    cmocka_unit_test_setup(damaged_lines_of_the_memory_are_skipped, set_up),
	    cmocka_unit_test_setup(the_id_is_found_in_what_does_not_unpack, set_up),
	    cmocka_unit_test_setup(garbage_has_no_id_and_harms_nothing, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
