/* The state machine: every cell is set, the drawing in isolatord/README.md is the table, nobody gets stuck. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "isolatord/fsm.h"

#define README "isolatord/README.md"

struct cell {
	enum fsm_state state;
	enum fsm_event event;
};

static const struct cell first_cell = {FSM_STATE_UNSET + 1, FSM_EVENT_UNSET + 1};

/* After the last cell the state is FSM_STATES. */
static void
cell_next(struct cell *c)
{
	if (++c->event < FSM_EVENTS)
		return;
	c->event = first_cell.event;
	c->state++;
}

static struct fsm_step
step_of(struct cell c)
{
	return fsm_step(c.state, c.event);
}

static void
every_cell_is_set(void **state)
{
	(void)state;
	for (struct cell c = first_cell; c.state < FSM_STATES; cell_next(&c)) {
		struct fsm_step step = step_of(c);

		if (step.next == FSM_STATE_UNSET || step.action == FSM_ACTION_UNSET)
			fail_msg("cell [%s][%s] is not set", fsm_state_name(c.state), fsm_event_name(c.event));
		if (step.action == FSM_IMPOSSIBLE)
			assert_int_equal(step.next, c.state);
	}
}

static void
every_name_is_known(void **state)
{
	(void)state;
	for (enum fsm_state s = FSM_STATE_UNSET + 1; s < FSM_STATES; s++)
		assert_string_not_equal(fsm_state_name(s), "?");
	for (enum fsm_event e = FSM_EVENT_UNSET + 1; e < FSM_EVENTS; e++)
		assert_string_not_equal(fsm_event_name(e), "?");
	for (enum fsm_action a = FSM_ACTION_UNSET + 1; a < FSM_ACTIONS; a++)
		assert_string_not_equal(fsm_action_name(a), "?");
	assert_string_equal(fsm_state_name(FSM_STATES), "?");
	assert_string_equal(fsm_event_name(FSM_EVENT_UNSET), "?");
}

/* The drawing leaves out cells in which nothing happens. */
static bool
is_drawn(struct cell c)
{
	struct fsm_step step = step_of(c);

	return step.action != FSM_IMPOSSIBLE && !(step.next == c.state && step.action == FSM_NONE);
}

static bool
line_is_cell(const char *line, struct cell c)
{
	struct fsm_step step = step_of(c);
	char want[128];

	(void)snprintf(want, sizeof(want), "%s --> %s: %s / %s", fsm_state_name(c.state), fsm_state_name(step.next),
	    fsm_event_name(c.event), fsm_action_name(step.action));
	return strcmp(line, want) == 0;
}

static bool
table_has(const char *line)
{
	for (struct cell c = first_cell; c.state < FSM_STATES; cell_next(&c)) {
		if (is_drawn(c) && line_is_cell(line, c))
			return true;
	}
	return false;
}

static void
drawing_in_readme_is_the_table(void **state)
{
	AUTO_FILE FILE *readme = fopen(README, "r");
	unsigned int drawn = 0, wanted = 0;
	char buf[1024];

	(void)state;
	assert_non_null(readme);
	while (fgets(buf, sizeof(buf), readme) != NULL) {
		char *line = buf + strspn(buf, " \t");

		line[strcspn(line, "\n")] = '\0';
		if (strstr(line, " --> ") == NULL || strncmp(line, "[*]", 3) == 0)
			continue;
		if (!table_has(line))
			fail_msg("drawn, but not in the table: %s", line);
		drawn++;
	}
	for (struct cell c = first_cell; c.state < FSM_STATES; cell_next(&c))
		wanted += is_drawn(c);
	assert_int_equal(drawn, wanted);
}

/* Whatever state an order to release arrives in, it leads to RELEASED when the kernel obeys. */
static void
release_leads_to_released_from_everywhere(void **state)
{
	static const enum fsm_state from[] = {FSM_STARTING, FSM_DAMAGED, FSM_RELEASED, FSM_APPLYING, FSM_ISOLATED,
	    FSM_HEALING, FSM_FAILED, FSM_RELEASING, FSM_STUCK};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		struct fsm_step step = fsm_step(from[i], FSM_ORDER_OFF);

		if (step.action == FSM_LOOK)
			step = fsm_step(step.next, FSM_BAD);
		assert_int_equal(step.next, FSM_RELEASING);
		assert_int_equal(step.action, FSM_LOCK);
		step = fsm_step(step.next, FSM_TURN);
		assert_int_equal(step.action, FSM_REMOVE);
		step = fsm_step(step.next, FSM_GOOD);
		assert_int_equal(step.next, FSM_RELEASED);
		assert_int_equal(step.action, FSM_DONE);
	}
}

/* Only an order to release, a deadline or nothing kept takes rules out. */
static void
nothing_but_an_order_or_the_deadline_releases(void **state)
{
	(void)state;
	for (struct cell c = first_cell; c.state < FSM_STATES; cell_next(&c)) {
		bool held = c.state == FSM_APPLYING || c.state == FSM_ISOLATED || c.state == FSM_HEALING ||
			    c.state == FSM_FAILED || c.state == FSM_DAMAGED;
		enum fsm_state next = step_of(c).next;

		if (held && c.event != FSM_ORDER_OFF && c.event != FSM_DEADLINE)
			assert_false(next == FSM_RELEASING || next == FSM_RELEASED || next == FSM_STUCK);
	}
}

static void
refusing_kernel_is_tried_again(void **state)
{
	(void)state;
	assert_int_equal(fsm_step(FSM_FAILED, FSM_TICK).action, FSM_LOCK);
	assert_int_equal(fsm_step(FSM_FAILED, FSM_TURN).action, FSM_APPLY);
	assert_int_equal(fsm_step(FSM_STUCK, FSM_TICK).action, FSM_LOCK);
	assert_int_equal(fsm_step(FSM_STUCK, FSM_TURN).action, FSM_REMOVE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_cell_is_set),
	    cmocka_unit_test(every_name_is_known),
	    cmocka_unit_test(drawing_in_readme_is_the_table),
	    cmocka_unit_test(release_leads_to_released_from_everywhere),
	    cmocka_unit_test(nothing_but_an_order_or_the_deadline_releases),
	    cmocka_unit_test(refusing_kernel_is_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
