/* The dependency rule, what a lost daemon does to a task, and what survives a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agentd/tasks.h"

#define BD AGT_TASK_BEHAVIOR_DETECTION
#define KATA AGT_TASK_KATAEDR

static struct agt_tasks tasks;
static struct agt_facts facts;
static char why[AGT_TEXT_BYTES];

static int
set_up(void **state)
{
	(void)state;
	agt_tasks_init(&tasks, 1000);
	facts = (struct agt_facts){.open = {true, true, true}};
	why[0] = '\0';
	return 0;
}

static const char *
reason(enum agt_task task)
{
	return agt_tasks_reason(&tasks, task, &facts, why, sizeof(why));
}

/* Both daemons get what is in force. */
static void
tell_all(void)
{
	agt_tasks_told(&tasks, AGT_COLLECTORD, facts.open[AGT_COLLECTORD], &facts, 2000);
	agt_tasks_told(&tasks, AGT_UPLINKD, facts.open[AGT_UPLINKD], &facts, 2000);
}

static void
start_both(void)
{
	assert_int_equal(agt_tasks_start(&tasks, KATA, &facts, true, 1500, why, sizeof(why)), AGT_EXIT_OK);
	tell_all();
	assert_int_equal(tasks.task[BD].state, AGT_STATE_STARTED);
	assert_int_equal(tasks.task[KATA].state, AGT_STATE_STARTED);
}

static void
kataedr_is_refused_without_behavior_detection_and_says_what_to_do(void **state)
{
	(void)state;
	assert_int_equal(agt_tasks_start(&tasks, KATA, &facts, false, 1500, why, sizeof(why)), AGT_EXIT_STATE);
	assert_string_equal(why, "KATAEDR needs Behavior_Detection, which is stopped: start it first, or use "
				 "--with-dependencies");
	assert_int_equal(tasks.task[KATA].state, AGT_STATE_STOPPED);
	assert_false(tasks.save);
}

static void
kataedr_is_refused_while_behavior_detection_only_starts(void **state)
{
	(void)state;
	facts.open[AGT_COLLECTORD] = false;
	assert_int_equal(agt_tasks_start(&tasks, BD, &facts, false, 1500, why, sizeof(why)), AGT_EXIT_OK);
	tell_all();
	assert_int_equal(tasks.task[BD].state, AGT_STATE_STARTING);
	assert_int_equal(agt_tasks_start(&tasks, KATA, &facts, false, 1500, why, sizeof(why)), AGT_EXIT_STATE);
	assert_non_null(strstr(why, "starting (collectord is not connected)"));
}

static void
with_dependencies_starts_both(void **state)
{
	(void)state;
	start_both();
	assert_true(tasks.save);
	assert_int_equal(tasks.task[KATA].since_ms, 2000);
	assert_string_equal(reason(KATA), "");
	assert_string_equal(reason(BD), "");
}

static void
behavior_detection_is_starting_until_collectord_is_told(void **state)
{
	(void)state;
	facts.open[AGT_COLLECTORD] = false;
	(void)agt_tasks_start(&tasks, BD, &facts, false, 1500, why, sizeof(why));
	tell_all();
	assert_int_equal(tasks.task[BD].state, AGT_STATE_STARTING);
	assert_string_equal(reason(BD), "collectord is not connected");
	facts.open[AGT_COLLECTORD] = true;
	tell_all();
	assert_int_equal(tasks.task[BD].state, AGT_STATE_STARTED);
	assert_string_equal(reason(BD), "");
}

static void
lost_daemon_leaves_its_task_started_with_a_reason(void **state)
{
	(void)state;
	start_both();
	facts.open[AGT_COLLECTORD] = false;
	tell_all();
	assert_int_equal(tasks.task[BD].state, AGT_STATE_STARTED);
	assert_string_equal(reason(BD), "collectord is not connected");
	assert_string_equal(reason(KATA), "telemetry suspended: collectord is not connected");
	facts.open[AGT_UPLINKD] = false;
	assert_string_equal(reason(KATA), "uplinkd is not connected; telemetry suspended: collectord is not connected");
}

static void
kataedr_stays_started_when_behavior_detection_stops(void **state)
{
	(void)state;
	start_both();
	tasks.tell = false;
	agt_tasks_stop(&tasks, BD, 3000);
	assert_int_equal(tasks.task[BD].state, AGT_STATE_STOPPING);
	tell_all();
	assert_int_equal(tasks.task[BD].state, AGT_STATE_STOPPED);
	assert_int_equal(tasks.task[KATA].state, AGT_STATE_STARTED);
	assert_string_equal(reason(KATA), "telemetry suspended: Behavior_Detection is stopped");
	assert_true(tasks.tell);
	(void)agt_tasks_start(&tasks, BD, &facts, false, 4000, why, sizeof(why));
	tell_all();
	assert_string_equal(reason(KATA), "");
}

static void
starting_a_started_task_again_changes_nothing(void **state)
{
	(void)state;
	start_both();
	tasks.save = tasks.tell = false;
	assert_int_equal(agt_tasks_start(&tasks, KATA, &facts, false, 9000, why, sizeof(why)), AGT_EXIT_OK);
	agt_tasks_stop(&tasks, BD, 9000);
	tell_all();
	/* Started already: its missing dependency is a reason, not a refusal. */
	assert_int_equal(agt_tasks_start(&tasks, KATA, &facts, false, 9000, why, sizeof(why)), AGT_EXIT_OK);
	assert_int_equal(tasks.task[KATA].since_ms, 2000);
}

static void
missing_client_certificate_refuses_with_its_reason(void **state)
{
	(void)state;
	facts.wants_certificate = true;
	(void)snprintf(facts.certificate, sizeof(facts.certificate), "%s", "client.pem: No such file");
	assert_int_equal(agt_tasks_start(&tasks, KATA, &facts, true, 1500, why, sizeof(why)), AGT_EXIT_STATE);
	assert_non_null(strstr(why, "client certificate"));
	assert_non_null(strstr(why, "client.pem: No such file"));
	/* All or nothing: its dependency was not started either. */
	assert_int_equal(tasks.task[BD].state, AGT_STATE_STOPPED);
}

static void
unreported_client_certificate_keeps_kataedr_starting_until_it_is_there(void **state)
{
	(void)state;
	facts.wants_certificate = true;
	assert_int_equal(agt_tasks_start(&tasks, KATA, &facts, true, 1500, why, sizeof(why)), AGT_EXIT_OK);
	agt_tasks_observe(&tasks, &facts, 1500);
	tell_all();
	assert_int_equal(tasks.task[KATA].state, AGT_STATE_STARTING);
	assert_string_equal(reason(KATA), "client certificate: not reported by uplinkd yet");
	(void)snprintf(facts.certificate, sizeof(facts.certificate), "%s", "missing");
	assert_int_equal(agt_tasks_start(&tasks, KATA, &facts, true, 1500, why, sizeof(why)), AGT_EXIT_STATE);
	(void)snprintf(facts.certificate, sizeof(facts.certificate), "%s", "present");
	tasks.tell = false;
	agt_tasks_observe(&tasks, &facts, 1600);
	assert_true(tasks.tell);
	tell_all();
	assert_int_equal(tasks.task[KATA].state, AGT_STATE_STARTED);
}

static void
missing_server_certificate_is_a_reason(void **state)
{
	(void)state;
	start_both();
	(void)snprintf(facts.server_certificate, sizeof(facts.server_certificate), "%s", "missing");
	assert_string_equal(reason(KATA), "server certificate: missing");
	(void)snprintf(facts.server_certificate, sizeof(facts.server_certificate), "%s", "present");
	assert_string_equal(reason(KATA), "");
}

static void
started_tasks_are_started_again_after_a_restart(void **state)
{
	char text[256];
	size_t len;

	(void)state;
	start_both();
	len = agt_tasks_format(&tasks, text, sizeof(text));
	assert_string_equal(text, "20 started\n24 started\n");
	assert_int_equal(len, strlen(text));
	agt_tasks_init(&tasks, 5000);
	agt_tasks_parse(&tasks, text, 5000);
	assert_int_equal(tasks.task[BD].state, AGT_STATE_STARTING);
	assert_int_equal(tasks.task[KATA].state, AGT_STATE_STARTING);
	tell_all();
	assert_int_equal(tasks.task[KATA].state, AGT_STATE_STARTED);
}

static void
kataedr_comes_back_without_behavior_detection_and_says_so(void **state)
{
	(void)state;
	agt_tasks_parse(&tasks, "24 started\n20 stopped\n", 5000);
	tell_all();
	assert_int_equal(tasks.task[KATA].state, AGT_STATE_STARTED);
	assert_string_equal(reason(KATA), "telemetry suspended: Behavior_Detection is stopped");
}

static void
damaged_lines_of_the_task_file_are_skipped(void **state)
{
	(void)state;
	agt_tasks_parse(&tasks, "\n99 started\nstarted\n20\n20 maybe\n24 started trailing\n\x01\x02", 5000);
	assert_int_equal(tasks.task[BD].state, AGT_STATE_STOPPED);
	assert_int_equal(tasks.task[KATA].state, AGT_STATE_STARTING);
}

static void
tasks_are_found_by_name_and_number(void **state)
{
	(void)state;
	assert_int_equal(agt_task_find("KATAEDR"), KATA);
	assert_int_equal(agt_task_find("kataedr"), KATA);
	assert_int_equal(agt_task_find("24"), KATA);
	assert_int_equal(agt_task_find("20"), BD);
	assert_int_equal(agt_task_find(""), -1);
	assert_int_equal(agt_task_find("2"), -1);
	assert_int_equal(agt_task_find("24x"), -1);
	assert_int_equal(agt_task_find(" 24"), -1);
	assert_int_equal(agt_task_find("-24"), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(kataedr_is_refused_without_behavior_detection_and_says_what_to_do, set_up),
	    cmocka_unit_test_setup(kataedr_is_refused_while_behavior_detection_only_starts, set_up),
	    cmocka_unit_test_setup(with_dependencies_starts_both, set_up),
	    cmocka_unit_test_setup(behavior_detection_is_starting_until_collectord_is_told, set_up),
	    cmocka_unit_test_setup(lost_daemon_leaves_its_task_started_with_a_reason, set_up),
	    cmocka_unit_test_setup(kataedr_stays_started_when_behavior_detection_stops, set_up),
	    cmocka_unit_test_setup(starting_a_started_task_again_changes_nothing, set_up),
	    cmocka_unit_test_setup(missing_client_certificate_refuses_with_its_reason, set_up),
	    cmocka_unit_test_setup(unreported_client_certificate_keeps_kataedr_starting_until_it_is_there, set_up),
	    cmocka_unit_test_setup(missing_server_certificate_is_a_reason, set_up),
	    cmocka_unit_test_setup(started_tasks_are_started_again_after_a_restart, set_up),
	    cmocka_unit_test_setup(kataedr_comes_back_without_behavior_detection_and_says_so, set_up),
	    cmocka_unit_test_setup(damaged_lines_of_the_task_file_are_skipped, set_up),
	    cmocka_unit_test_setup(tasks_are_found_by_name_and_number, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
