/* Text and JSON from one walk; nothing in a value can drive the terminal; the verdict on a status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pb.h"
#include "picketctl/render.h"
#include "picketctl/verdict.h"

/* The same walk for all: scalars, a table, a nested object. */
static char *
walk(bool json, bool colour)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct ctl_render *r;

	assert_non_null(out);
	r = ctl_render_new(out, json, colour);
	ctl_render_str(r, "host", "Host", "web\x1b[2J\n01", CTL_GOOD);
	ctl_render_bool(r, "isolated", "Isolated", true);
	ctl_render_u64(r, NULL, "Text only", 1);
	ctl_render_u64(r, "json_only", NULL, 18);
	ctl_render_table(r, "tasks", "Tasks");
	for (uint64_t i = 20; i <= 24; i += 4) {
		ctl_render_row(r);
		ctl_render_u64(r, "id", "ID", i);
		ctl_render_str(r, "name", "NAME", i == 20 ? "long name" : "x", CTL_PLAIN);
		ctl_render_str(r, "why", "WHY", "", CTL_PLAIN);
		ctl_render_end(r);
	}
	ctl_render_end(r);
	ctl_render_object(r, "isolation", "Isolation");
	ctl_render_bytes(r, "state", "State", pb_bytes("a\xff", 2), CTL_PLAIN);
	ctl_render_end(r);
	ctl_render_table(r, "none", NULL);
	ctl_render_end(r);
	ctl_render_done(r);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
text_has_labels_and_aligned_tables(void **state)
{
	char *text = walk(false, false);

	(void)state;
	assert_string_equal(text, "Host         web\\x1b[2J\\n01\n"
				  "Isolated     yes\n"
				  "Text only    1\n"
				  "Tasks\n"
				  "  ID  NAME       WHY\n"
				  "  20  long name  \n"
				  "  24  x          \n"
				  "Isolation\n"
				  "  State                    a\\xff\n"
				  "(none)\n");
	free(text);
}

static void
colours_come_only_when_asked_for(void **state)
{
	char *plain = walk(false, false), *colour = walk(false, true), *json = walk(true, true);

	(void)state;
	assert_null(strchr(plain, '\033'));
	assert_non_null(strstr(colour, "\033[32mweb\\x1b[2J\\n01\033[0m"));
	assert_null(strchr(json, '\033'));
	free(plain);
	free(colour);
	free(json);
}

static void
json_has_the_keys_and_every_byte(void **state)
{
	char *text = walk(true, false);
	json_error_t error;
	json_t *root = json_loads(text, 0, &error), *tasks;

	(void)state;
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "host")), "web\x1b[2J\n01");
	assert_true(json_is_true(json_object_get(root, "isolated")));
	assert_int_equal(json_integer_value(json_object_get(root, "json_only")), 18);
	assert_int_equal(json_object_size(root), 6);
	tasks = json_object_get(root, "tasks");
	assert_int_equal(json_array_size(tasks), 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(tasks, 1), "id")), 24);
	assert_int_equal(json_array_size(json_object_get(root, "none")), 0);
	/* A byte that is not UTF-8 is U+EF00 and the byte. */
	assert_string_equal(
	    json_string_value(json_object_get(json_object_get(root, "isolation"), "state")), "a\xee\xbf\xbf");
	json_decref(root);
	free(text);
}

static void
escaped_text_cannot_drive_a_terminal(void **state)
{
	char buf[64];

	(void)state;
	assert_string_equal(ctl_escape(pb_bytes("\x1b]0;x\x07", 6), buf, sizeof(buf)), "\\x1b]0;x\\x07");
	assert_string_equal(ctl_escape(pb_str("\xc2\x9b"
					      "31m"),
				buf, sizeof(buf)),
	    "\\xc2\\x9b31m");
	assert_string_equal(ctl_escape(pb_str("gr\xc3\xbc\xc3\x9f"), buf, sizeof(buf)), "gr\xc3\xbc\xc3\x9f");
	assert_string_equal(ctl_escape(pb_bytes("a\0b", 3), buf, sizeof(buf)), "a\\x00b");
	assert_string_equal(ctl_escape(pb_str("\t\r\n"), buf, sizeof(buf)), "\\t\\x0d\\n");
	/* Cut, but never within a character or an escape. */
	assert_string_equal(ctl_escape(pb_str("\x01\x02\x03"), buf, 10), "\\x01\\x02");
	assert_string_equal(ctl_escape(pb_str(""), buf, 1), "");
}

/* ---- verdict ---- */

static Picket__V1__StatusReply status;
static Picket__V1__DaemonStatus daemons[3], *daemon_ptrs[3];
static Picket__V1__TaskInfo tasks[2], *task_ptrs[2];
static Picket__V1__Fact link_fact, *link_ptr;
static Picket__V1__Counter lost, *lost_ptr;
static Picket__V1__IsolationStatus isolation;

/* Everything well. */
static int
all_well(void **state)
{
	static const char *const names[] = {"collectord", "uplinkd", "isolatord"};

	(void)state;
	picket__v1__status_reply__init(&status);
	for (size_t i = 0; i < 3; i++) {
		picket__v1__daemon_status__init(&daemons[i]);
		daemons[i].name = pb_str(names[i]);
		daemons[i].connected = true;
		daemon_ptrs[i] = &daemons[i];
	}
	for (size_t i = 0; i < 2; i++) {
		picket__v1__task_info__init(&tasks[i]);
		tasks[i].id = i == 0 ? 20 : 24;
		tasks[i].name = pb_str(i == 0 ? "Behavior_Detection" : "KATAEDR");
		tasks[i].state = PICKET__V1__TASK_STATE__TASK_STATE_STARTED;
		task_ptrs[i] = &tasks[i];
	}
	picket__v1__fact__init(&link_fact);
	link_fact.name = pb_str("state");
	link_fact.value = pb_str("connected");
	link_ptr = &link_fact;
	daemons[1].facts = &link_ptr;
	daemons[1].n_facts = 1;
	picket__v1__counter__init(&lost);
	lost.name = pb_str("kernel_lost");
	lost_ptr = &lost;
	daemons[0].counters = &lost_ptr;
	daemons[0].n_counters = 1;
	picket__v1__isolation_status__init(&isolation);
	isolation.state = PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_RELEASED;
	status.daemons = daemon_ptrs;
	status.n_daemons = 3;
	status.tasks = task_ptrs;
	status.n_tasks = 2;
	status.isolation = &isolation;
	return 0;
}

static void
a_host_where_all_is_well_is_protected_and_reporting(void **state)
{
	struct ctl_verdict v;

	(void)state;
	ctl_verdict(&status, &v);
	assert_true(v.is_protected && v.is_reporting && !v.is_isolated && !v.is_losing);
	assert_string_equal(v.protected_why, "");
	assert_string_equal(v.reporting_why, "");
}

static void
whatever_is_missing_is_said(void **state)
{
	struct ctl_verdict v;

	(void)state;
	daemons[2].connected = false;
	tasks[1].reason = pb_str("server certificate: missing");
	link_fact.value = pb_str("connection refused");
	lost.value = 12;
	isolation.state = PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_FAILED;
	ctl_verdict(&status, &v);
	assert_false(v.is_protected);
	assert_string_equal(v.protected_why, "isolatord is not connected");
	assert_false(v.is_reporting);
	assert_string_equal(v.reporting_why, "server certificate: missing; uplinkd: state is connection refused");
	assert_true(v.is_losing);
	assert_string_equal(v.losing_what, "12 kernel_lost (collectord)");
	assert_true(v.is_isolated);
	tasks[0].state = PICKET__V1__TASK_STATE__TASK_STATE_STOPPED;
	ctl_verdict(&status, &v);
	assert_non_null(strstr(v.protected_why, "Behavior_Detection is Stopped"));
}

static void
the_same_reason_is_given_once(void **state)
{
	struct ctl_verdict v;

	(void)state;
	daemons[1].connected = false;
	tasks[1].reason = pb_str("uplinkd is not connected");
	ctl_verdict(&status, &v);
	assert_string_equal(v.reporting_why, "uplinkd is not connected");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_has_labels_and_aligned_tables),
	    cmocka_unit_test(colours_come_only_when_asked_for),
	    cmocka_unit_test(json_has_the_keys_and_every_byte),
	    cmocka_unit_test(escaped_text_cannot_drive_a_terminal),
	    cmocka_unit_test_setup(a_host_where_all_is_well_is_protected_and_reporting, all_well),
	    cmocka_unit_test_setup(whatever_is_missing_is_said, all_well),
	    cmocka_unit_test_setup(the_same_reason_is_given_once, all_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
