/* The table of fsm.h and its names; nothing else. Called by engine.c and by the test that walks every cell. */
#include "isolatord/fsm.h"

#include <stddef.h>

/* clang-format off */
#define TO(state, action) {FSM_##state, FSM_##action}
/* The outcome of an action that is carried out at once: no other event can come between. */
#define OUTCOMES_ONLY(state) \
	[FSM_ORDER_ON] = TO(state, IMPOSSIBLE), [FSM_ORDER_OFF] = TO(state, IMPOSSIBLE), \
	[FSM_UNREADABLE] = TO(state, IMPOSSIBLE), [FSM_TURN] = TO(state, IMPOSSIBLE), \
	[FSM_TICK] = TO(state, IMPOSSIBLE), [FSM_DEADLINE] = TO(state, IMPOSSIBLE)

static const struct fsm_step table[FSM_STATES][FSM_EVENTS] = {
	[FSM_STARTING] = {
		[FSM_ORDER_ON]   = TO(RESUMING, VERIFY),
		[FSM_ORDER_OFF]  = TO(CLEANING, LOOK),
		[FSM_UNREADABLE] = TO(DAMAGED, REPORT),
		[FSM_DEADLINE]   = TO(RELEASING, EXPIRE),
		[FSM_TURN]       = TO(STARTING, IMPOSSIBLE),
		[FSM_GOOD]       = TO(STARTING, IMPOSSIBLE),
		[FSM_BAD]        = TO(STARTING, IMPOSSIBLE),
		[FSM_TICK]       = TO(STARTING, IMPOSSIBLE),
	},
	[FSM_RESUMING] = {
		[FSM_GOOD]       = TO(ISOLATED, CONFIRM),
		[FSM_BAD]        = TO(APPLYING, LOCK),
		OUTCOMES_ONLY(RESUMING),
	},
	[FSM_CLEANING] = {
		[FSM_GOOD]       = TO(RELEASED, NONE),
		[FSM_BAD]        = TO(RELEASING, LOCK),
		OUTCOMES_ONLY(CLEANING),
	},
	[FSM_DAMAGED] = {
		[FSM_ORDER_ON]   = TO(APPLYING, LOCK),
		[FSM_ORDER_OFF]  = TO(RELEASING, LOCK),
		[FSM_UNREADABLE] = TO(DAMAGED, IMPOSSIBLE),
		[FSM_TURN]       = TO(DAMAGED, IMPOSSIBLE),
		[FSM_GOOD]       = TO(DAMAGED, IMPOSSIBLE),
		[FSM_BAD]        = TO(DAMAGED, IMPOSSIBLE),
		[FSM_TICK]       = TO(DAMAGED, NONE),
		[FSM_DEADLINE]   = TO(DAMAGED, IMPOSSIBLE),
	},
	[FSM_RELEASED] = {
		[FSM_ORDER_ON]   = TO(APPLYING, LOCK),
		[FSM_ORDER_OFF]  = TO(RELEASING, LOCK), /* nobody knows better than the kernel: look again */
		[FSM_UNREADABLE] = TO(RELEASED, IMPOSSIBLE),
		[FSM_TURN]       = TO(RELEASED, IMPOSSIBLE),
		[FSM_GOOD]       = TO(RELEASED, IMPOSSIBLE),
		[FSM_BAD]        = TO(RELEASED, IMPOSSIBLE),
		[FSM_TICK]       = TO(RELEASED, NONE),
		[FSM_DEADLINE]   = TO(RELEASED, NONE),
	},
	[FSM_APPLYING] = {
		[FSM_ORDER_ON]   = TO(APPLYING, LOCK),
		[FSM_ORDER_OFF]  = TO(RELEASING, LOCK),
		[FSM_UNREADABLE] = TO(APPLYING, IMPOSSIBLE),
		[FSM_TURN]       = TO(APPLYING, APPLY),
		[FSM_GOOD]       = TO(ISOLATED, CONFIRM),
		[FSM_BAD]        = TO(FAILED, REPORT),
		[FSM_TICK]       = TO(APPLYING, NONE),
		[FSM_DEADLINE]   = TO(RELEASING, EXPIRE),
	},
	[FSM_ISOLATED] = {
		[FSM_ORDER_ON]   = TO(APPLYING, LOCK),
		[FSM_ORDER_OFF]  = TO(RELEASING, LOCK),
		[FSM_UNREADABLE] = TO(ISOLATED, IMPOSSIBLE),
		[FSM_TURN]       = TO(ISOLATED, IMPOSSIBLE),
		[FSM_GOOD]       = TO(ISOLATED, NONE),
		[FSM_BAD]        = TO(HEALING, LOCK),
		[FSM_TICK]       = TO(ISOLATED, VERIFY),
		[FSM_DEADLINE]   = TO(RELEASING, EXPIRE),
	},
	[FSM_HEALING] = {
		[FSM_ORDER_ON]   = TO(APPLYING, LOCK),
		[FSM_ORDER_OFF]  = TO(RELEASING, LOCK),
		[FSM_UNREADABLE] = TO(HEALING, IMPOSSIBLE),
		[FSM_TURN]       = TO(HEALING, APPLY),
		[FSM_GOOD]       = TO(ISOLATED, HEALED),
		[FSM_BAD]        = TO(FAILED, REPORT),
		[FSM_TICK]       = TO(HEALING, NONE),
		[FSM_DEADLINE]   = TO(RELEASING, EXPIRE),
	},
	[FSM_FAILED] = {
		[FSM_ORDER_ON]   = TO(APPLYING, LOCK),
		[FSM_ORDER_OFF]  = TO(RELEASING, LOCK),
		[FSM_UNREADABLE] = TO(FAILED, IMPOSSIBLE),
		[FSM_TURN]       = TO(FAILED, APPLY),
		[FSM_GOOD]       = TO(ISOLATED, CONFIRM),
		[FSM_BAD]        = TO(FAILED, NONE),
		[FSM_TICK]       = TO(FAILED, LOCK),
		[FSM_DEADLINE]   = TO(RELEASING, EXPIRE),
	},
	[FSM_RELEASING] = {
		[FSM_ORDER_ON]   = TO(APPLYING, LOCK),
		[FSM_ORDER_OFF]  = TO(RELEASING, LOCK),
		[FSM_UNREADABLE] = TO(RELEASING, IMPOSSIBLE),
		[FSM_TURN]       = TO(RELEASING, REMOVE),
		[FSM_GOOD]       = TO(RELEASED, DONE),
		[FSM_BAD]        = TO(STUCK, REPORT),
		[FSM_TICK]       = TO(RELEASING, NONE),
		[FSM_DEADLINE]   = TO(RELEASING, NONE),
	},
	[FSM_STUCK] = {
		[FSM_ORDER_ON]   = TO(APPLYING, LOCK),
		[FSM_ORDER_OFF]  = TO(RELEASING, LOCK),
		[FSM_UNREADABLE] = TO(STUCK, IMPOSSIBLE),
		[FSM_TURN]       = TO(STUCK, REMOVE),
		[FSM_GOOD]       = TO(RELEASED, DONE),
		[FSM_BAD]        = TO(STUCK, NONE),
		[FSM_TICK]       = TO(STUCK, LOCK),
		[FSM_DEADLINE]   = TO(STUCK, NONE),
	},
};

#define NAME(x) [FSM_##x] = #x
static const char *const states[FSM_STATES] = {
	NAME(STARTING), NAME(RESUMING), NAME(CLEANING), NAME(DAMAGED), NAME(RELEASED), NAME(APPLYING),
	NAME(ISOLATED), NAME(HEALING), NAME(FAILED), NAME(RELEASING), NAME(STUCK),
};
static const char *const events[FSM_EVENTS] = {
	NAME(ORDER_ON), NAME(ORDER_OFF), NAME(UNREADABLE), NAME(TURN), NAME(GOOD), NAME(BAD), NAME(TICK), NAME(DEADLINE),
};
static const char *const actions[FSM_ACTIONS] = {
	NAME(NONE), NAME(IMPOSSIBLE), NAME(VERIFY), NAME(LOOK), NAME(LOCK), NAME(APPLY), NAME(REMOVE), NAME(CONFIRM),
	NAME(HEALED), NAME(DONE), NAME(REPORT), NAME(EXPIRE),
};
/* clang-format on */

static const char *
name_of(const char *const *names, unsigned int n, unsigned int i)
{
	return i < n && names[i] != NULL ? names[i] : "?";
}

struct fsm_step
fsm_step(enum fsm_state state, enum fsm_event event)
{
	return table[state][event];
}

const char *
fsm_state_name(enum fsm_state state)
{
	return name_of(states, FSM_STATES, state);
}

const char *
fsm_event_name(enum fsm_event event)
{
	return name_of(events, FSM_EVENTS, event);
}

const char *
fsm_action_name(enum fsm_action action)
{
	return name_of(actions, FSM_ACTIONS, action);
}
