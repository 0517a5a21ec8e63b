/*
 * What isolatord does next, as a table [STATE][EVENT] = {next state, action}. Pure: no I/O, no clock, no global state;
 * engine.c carries the actions out and feeds their outcome back as events. Drawn in README.md; a test compares drawing
 * and table.
 */
#ifndef PICKET_ISOLATORD_FSM_H
#define PICKET_ISOLATORD_FSM_H

enum fsm_state {
	FSM_STATE_UNSET,
	FSM_STARTING, /* nothing read yet */
	FSM_RESUMING, /* an order was kept: looking whether its rules are in the kernel */
	FSM_CLEANING, /* no order was kept: looking whether rules of ours are in the kernel */
	FSM_DAMAGED,  /* the kept order cannot be read: the kernel is left as it is until somebody decides */
	FSM_RELEASED,
	FSM_APPLYING,  /* ordered on and kept, waiting for our turn at the packet filter */
	FSM_ISOLATED,  /* verified */
	FSM_HEALING,   /* rules were missing, waiting for our turn to put them back */
	FSM_FAILED,    /* ordered on, the kernel refused: tried again with every tick */
	FSM_RELEASING, /* ordered off and forgotten, waiting for our turn */
	FSM_STUCK,     /* ordered off, the kernel refused: tried again with every tick */
	FSM_STATES,
};

enum fsm_event {
	FSM_EVENT_UNSET,
	FSM_ORDER_ON,   /* a valid order was kept (or, when starting, found) */
	FSM_ORDER_OFF,  /* an order to release; none is kept any more */
	FSM_UNREADABLE, /* starting: what was kept is damaged */
	FSM_TURN,       /* the packet filter's lock is ours, or we waited long enough */
	FSM_GOOD,       /* the last action found or made the kernel as it should be */
	FSM_BAD,        /* it did not */
	FSM_TICK,       /* time to look */
	FSM_DEADLINE,   /* the order has lapsed */
	FSM_EVENTS,
};

enum fsm_action {
	FSM_ACTION_UNSET,
	FSM_NONE,
	FSM_IMPOSSIBLE, /* a bug in the caller: logged, nothing changes */
	FSM_VERIFY,     /* compare the kernel with the order's rules: GOOD or BAD */
	FSM_LOOK,       /* is the kernel free of our rules? GOOD or BAD */
	FSM_LOCK,       /* begin to wait for the packet filter: TURN */
	FSM_APPLY,      /* put the rules in and verify: GOOD or BAD */
	FSM_REMOVE,     /* take the rules out and look: GOOD or BAD */
	FSM_CONFIRM,    /* isolated: cut live sockets, answer, tell */
	FSM_HEALED,     /* isolated again: cut live sockets, count, tell */
	FSM_DONE,       /* released: answer, tell */
	FSM_REPORT,     /* failed or damaged: answer, tell */
	FSM_EXPIRE,     /* forget the order, then as LOCK */
	FSM_ACTIONS,
};

struct fsm_step {
	enum fsm_state next;
	enum fsm_action action;
};

/* fsm_step - both arguments must be set and in range. */
struct fsm_step fsm_step(enum fsm_state state, enum fsm_event event);

/* Upper-case names as in the drawing; "?" out of range. */
const char *fsm_state_name(enum fsm_state state);
const char *fsm_event_name(enum fsm_event event);
const char *fsm_action_name(enum fsm_action action);

#endif
