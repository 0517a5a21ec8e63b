/*
 * The state machine that every task shares. It never does I/O, reads a clock or keeps anything; tasks.c feeds it and
 * acts. The drawing in README.md is compared with this table by tests/unit/test_agentd_fsm.c.
 */
#include "agentd/fsm.h"

/* A forgotten cell would be silently {UNSET, UNSET}: the test walks them all. */
static const struct agt_step table[AGT_STATES][AGT_EVENTS] =
    {
	/* clang-format off */
    [AGT_STATE_STOPPED] = {
	[AGT_EVENT_START]         = {AGT_STATE_STARTING, AGT_ACTION_SAVE},
	[AGT_EVENT_START_REFUSED] = {AGT_STATE_STOPPED,  AGT_ACTION_REFUSE},
	[AGT_EVENT_RESTORE]       = {AGT_STATE_STARTING, AGT_ACTION_TELL},
	[AGT_EVENT_STOP]          = {AGT_STATE_STOPPED,  AGT_ACTION_NONE},
	[AGT_EVENT_TOLD]          = {AGT_STATE_STOPPED,  AGT_ACTION_NONE},
	[AGT_EVENT_LOST]          = {AGT_STATE_STOPPED,  AGT_ACTION_NONE},
	[AGT_EVENT_NEED_LOST]     = {AGT_STATE_STOPPED,  AGT_ACTION_NONE},
	[AGT_EVENT_NEED_MET]      = {AGT_STATE_STOPPED,  AGT_ACTION_NONE},
    },
    [AGT_STATE_STARTING] = {
	[AGT_EVENT_START]         = {AGT_STATE_STARTING, AGT_ACTION_NONE},
	[AGT_EVENT_START_REFUSED] = {AGT_STATE_STARTING, AGT_ACTION_REFUSE}, /* stays wanted, but whoever asks again hears why it waits */
	[AGT_EVENT_RESTORE]       = {AGT_STATE_STARTING, AGT_ACTION_NONE},
	[AGT_EVENT_STOP]          = {AGT_STATE_STOPPING, AGT_ACTION_SAVE},
	[AGT_EVENT_TOLD]          = {AGT_STATE_STARTED,  AGT_ACTION_TELL}, /* the server hears of it with the next sync */
	[AGT_EVENT_LOST]          = {AGT_STATE_STARTING, AGT_ACTION_NONE},
	[AGT_EVENT_NEED_LOST]     = {AGT_STATE_STARTING, AGT_ACTION_TELL},
	[AGT_EVENT_NEED_MET]      = {AGT_STATE_STARTING, AGT_ACTION_TELL},
    },
    [AGT_STATE_STARTED] = {
	[AGT_EVENT_START]         = {AGT_STATE_STARTED,  AGT_ACTION_NONE},
	[AGT_EVENT_START_REFUSED] = {AGT_STATE_STARTED,  AGT_ACTION_NONE},
	[AGT_EVENT_RESTORE]       = {AGT_STATE_STARTED,  AGT_ACTION_NONE},
	[AGT_EVENT_STOP]          = {AGT_STATE_STOPPING, AGT_ACTION_SAVE},
	[AGT_EVENT_TOLD]          = {AGT_STATE_STARTED,  AGT_ACTION_NONE},
	[AGT_EVENT_LOST]          = {AGT_STATE_STARTED,  AGT_ACTION_NONE}, /* stays: the daemon comes back and is told again */
	[AGT_EVENT_NEED_LOST]     = {AGT_STATE_STARTED,  AGT_ACTION_TELL}, /* stays: connection, commands, isolation go on */
	[AGT_EVENT_NEED_MET]      = {AGT_STATE_STARTED,  AGT_ACTION_TELL},
    },
    [AGT_STATE_STOPPING] = {
	[AGT_EVENT_START]         = {AGT_STATE_STARTING, AGT_ACTION_SAVE},
	[AGT_EVENT_START_REFUSED] = {AGT_STATE_STOPPING, AGT_ACTION_REFUSE},
	[AGT_EVENT_RESTORE]       = {AGT_STATE_STOPPING, AGT_ACTION_NONE},
	[AGT_EVENT_STOP]          = {AGT_STATE_STOPPING, AGT_ACTION_NONE},
	[AGT_EVENT_TOLD]          = {AGT_STATE_STOPPED,  AGT_ACTION_TELL},
	[AGT_EVENT_LOST]          = {AGT_STATE_STOPPED,  AGT_ACTION_TELL}, /* nobody is left to tell; told "off" when it is back */
	[AGT_EVENT_NEED_LOST]     = {AGT_STATE_STOPPING, AGT_ACTION_NONE},
	[AGT_EVENT_NEED_MET]      = {AGT_STATE_STOPPING, AGT_ACTION_NONE},
    },
	/* clang-format on */
};

struct agt_step
agt_fsm_step(enum agt_state state, enum agt_event event)
{
	if ((unsigned int)state >= AGT_STATES || (unsigned int)event >= AGT_EVENTS)
		return (struct agt_step){AGT_STATE_UNSET, AGT_ACTION_UNSET};
	return table[state][event];
}

const char *
agt_fsm_state_name(enum agt_state state)
{
	switch (state) {
	case AGT_STATE_STOPPED:
		return "STOPPED";
	case AGT_STATE_STARTING:
		return "STARTING";
	case AGT_STATE_STARTED:
		return "STARTED";
	case AGT_STATE_STOPPING:
		return "STOPPING";
	case AGT_STATE_UNSET:
	case AGT_STATES:
		break;
	}
	return "UNSET";
}

const char *
agt_fsm_event_name(enum agt_event event)
{
	switch (event) {
	case AGT_EVENT_START:
		return "START";
	case AGT_EVENT_START_REFUSED:
		return "START_REFUSED";
	case AGT_EVENT_RESTORE:
		return "RESTORE";
	case AGT_EVENT_STOP:
		return "STOP";
	case AGT_EVENT_TOLD:
		return "TOLD";
	case AGT_EVENT_LOST:
		return "LOST";
	case AGT_EVENT_NEED_LOST:
		return "NEED_LOST";
	case AGT_EVENT_NEED_MET:
		return "NEED_MET";
	case AGT_EVENT_UNSET:
	case AGT_EVENTS:
		break;
	}
	return "UNSET";
}

const char *
agt_fsm_action_name(enum agt_action action)
{
	switch (action) {
	case AGT_ACTION_NONE:
		return "NONE";
	case AGT_ACTION_SAVE:
		return "SAVE";
	case AGT_ACTION_TELL:
		return "TELL";
	case AGT_ACTION_REFUSE:
		return "REFUSE";
	case AGT_ACTION_UNSET:
	case AGT_ACTIONS:
		break;
	}
	return "UNSET";
}
