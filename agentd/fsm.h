/* The state machine of a task: a table and nothing else. What a step asks for is done by the caller (tasks.c). */
#ifndef PICKET_AGENTD_FSM_H
#define PICKET_AGENTD_FSM_H

/* Numbers as in enum TaskState of control.proto. */
enum agt_state {
	AGT_STATE_UNSET = 0,
	AGT_STATE_STOPPED,
	AGT_STATE_STARTING, /* wanted; the daemon that does the work has not been told yet */
	AGT_STATE_STARTED,
	AGT_STATE_STOPPING, /* not wanted; the daemon that does the work has not been told yet */
	AGT_STATES
};

enum agt_event {
	AGT_EVENT_UNSET = 0,
	AGT_EVENT_START,         /* asked for, and what it needs is there */
	AGT_EVENT_START_REFUSED, /* asked for, but something it needs is not there */
	AGT_EVENT_RESTORE,       /* it was started when agentd stopped */
	AGT_EVENT_STOP,          /* asked for */
	AGT_EVENT_TOLD,          /* the daemon that does the work is connected and has its orders */
	AGT_EVENT_LOST,          /* that daemon is not connected */
	AGT_EVENT_NEED_LOST,     /* something the task needs went away */
	AGT_EVENT_NEED_MET,      /* and came back */
	AGT_EVENTS
};

enum agt_action {
	AGT_ACTION_UNSET = 0,
	AGT_ACTION_NONE,
	AGT_ACTION_SAVE,   /* the administrator's wish changed: persist it, then tell the daemons */
	AGT_ACTION_TELL,   /* tell the daemons what changed */
	AGT_ACTION_REFUSE, /* answer with exit code 70 and what to do */
	AGT_ACTIONS
};

struct agt_step {
	enum agt_state next;
	enum agt_action action;
};

/*
 * agt_fsm_step - what follows when `event` meets a task in `state`.
 * Pure. Returns {UNSET, UNSET} for numbers outside the enums, never for those in them.
 */
struct agt_step agt_fsm_step(enum agt_state state, enum agt_event event);

/* Names as they stand in the drawing of README.md, e.g. "STARTED"; "UNSET" for anything out of range. */
const char *agt_fsm_state_name(enum agt_state state);
const char *agt_fsm_event_name(enum agt_event event);
const char *agt_fsm_action_name(enum agt_action action);

#endif
