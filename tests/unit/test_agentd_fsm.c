/* The task state machine: no cell is forgotten, and the drawing in agentd/README.md is the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agentd/fsm.h"

#define README "agentd/README.md"

static void
every_cell_says_what_follows(void **state)
{
	(void)state;
	for (int s = AGT_STATE_UNSET + 1; s < AGT_STATES; s++) {
		for (int e = AGT_EVENT_UNSET + 1; e < AGT_EVENTS; e++) {
			struct agt_step step = agt_fsm_step((enum agt_state)s, (enum agt_event)e);

			if (step.next == AGT_STATE_UNSET || step.action == AGT_ACTION_UNSET)
				fail_msg("%s + %s is UNSET", agt_fsm_state_name((enum agt_state)s),
				    agt_fsm_event_name((enum agt_event)e));
		}
	}
}

static void
every_number_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int s = AGT_STATE_UNSET + 1; s < AGT_STATES; s++)
		assert_string_not_equal(agt_fsm_state_name((enum agt_state)s), "UNSET");
	for (int e = AGT_EVENT_UNSET + 1; e < AGT_EVENTS; e++)
		assert_string_not_equal(agt_fsm_event_name((enum agt_event)e), "UNSET");
	for (int a = AGT_ACTION_UNSET + 1; a < AGT_ACTIONS; a++)
		assert_string_not_equal(agt_fsm_action_name((enum agt_action)a), "UNSET");
}

static void
numbers_outside_the_enums_are_unset(void **state)
{
	(void)state;
	assert_int_equal(agt_fsm_step(AGT_STATES, AGT_EVENT_START).next, AGT_STATE_UNSET);
	assert_int_equal(agt_fsm_step(AGT_STATE_STOPPED, AGT_EVENTS).next, AGT_STATE_UNSET);
	assert_int_equal(agt_fsm_step((enum agt_state) - 1, (enum agt_event) - 1).next, AGT_STATE_UNSET);
	assert_int_equal(agt_fsm_step(AGT_STATE_UNSET, AGT_EVENT_START).next, AGT_STATE_UNSET);
}

static int
state_by_name(const char *name)
{
	for (int s = AGT_STATE_UNSET + 1; s < AGT_STATES; s++)
		if (strcmp(agt_fsm_state_name((enum agt_state)s), name) == 0)
			return s;
	fail_msg("the drawing has the unknown state %s", name);
	return 0;
}

static int
event_by_name(const char *name)
{
	for (int e = AGT_EVENT_UNSET + 1; e < AGT_EVENTS; e++)
		if (strcmp(agt_fsm_event_name((enum agt_event)e), name) == 0)
			return e;
	fail_msg("the drawing has the unknown event %s", name);
	return 0;
}

/* An arrow "FROM --> TO: EVENT / ACTION" must be in the table; an arrow that is not drawn must change and do nothing.
 */
static void
drawing_in_the_readme_is_the_table(void **state)
{
	bool drawn[AGT_STATES][AGT_EVENTS] = {{false}};
	char line[256], from[32], to[32], event[32], action[32];
	FILE *f = fopen(README, "r");

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		struct agt_step step;
		int s, e;

		if (sscanf(line, " %31[A-Z_] --> %31[A-Z_]: %31[A-Z_] / %31[A-Z_]", from, to, event, action) != 4)
			continue;
		s = state_by_name(from);
		e = event_by_name(event);
		step = agt_fsm_step((enum agt_state)s, (enum agt_event)e);
		assert_string_equal(agt_fsm_state_name(step.next), to);
		assert_string_equal(agt_fsm_action_name(step.action), action);
		assert_false(drawn[s][e]);
		drawn[s][e] = true;
	}
	(void)fclose(f);
	for (int s = AGT_STATE_UNSET + 1; s < AGT_STATES; s++) {
		for (int e = AGT_EVENT_UNSET + 1; e < AGT_EVENTS; e++) {
			struct agt_step step = agt_fsm_step((enum agt_state)s, (enum agt_event)e);
			bool quiet = (int)step.next == s && step.action == AGT_ACTION_NONE;

			if (quiet == drawn[s][e])
				fail_msg("%s + %s is %s", agt_fsm_state_name((enum agt_state)s),
				    agt_fsm_event_name((enum agt_event)e),
				    quiet ? "drawn but does nothing" : "not drawn");
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_cell_says_what_follows),
	    cmocka_unit_test(every_number_has_a_name_of_its_own),
	    cmocka_unit_test(numbers_outside_the_enums_are_unset),
	    cmocka_unit_test(drawing_in_the_readme_is_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
