/* What every verb of picketctl has: the link to agentd, the way to say no, the way to print. */
#ifndef PICKET_PICKETCTL_CTL_H
#define PICKET_PICKETCTL_CTL_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/pb.h"
#include "control.pb-c.h"
#include "picketctl/args.h"
#include "picketctl/render.h"

/* Exit codes; those of the reference product (picketctl(1)). agentd's Error carries the same. */
enum ctl_exit {
	CTL_EXIT_OK = 0,
	CTL_EXIT_ARGUMENT = 1,     /* command line */
	CTL_EXIT_VALUE = 2,        /* a setting's value */
	CTL_EXIT_NOT_RUNNING = 64, /* agentd, or the daemon it needs */
	CTL_EXIT_OTHER = 65,
	CTL_EXIT_POLICY = 68, /* not allowed for this user, or by policy */
	CTL_EXIT_STATE = 70,  /* of a task */
	CTL_EXIT_UNKNOWN = 128,
};

/* Bytes of an error sentence with its end. */
#define CTL_TEXT_BYTES 512u

/* Milliseconds for an answer of agentd, which itself waits 10 s for isolatord before it gives up. */
#define CTL_PATIENCE_MS 15000u

struct ctl {
	const char *socket; /* path of agentd's */
	bool json;
	bool colour;
	uint64_t patience_ms; /* for each answer of agentd */
	int fd;               /* link to agentd, -1: not connected yet */
};

/* A reply and what it lives in. */
struct ctl_reply {
	const ProtobufCMessage *pb;
	struct pb_arena *arena; /* free with pb_arena_free() */
	int fd;                 /* a descriptor that came along, or -1; the caller's */
};

/*
 * ctl_ask - send a request to agentd and wait for its reply.
 * @type, @request: what to send. @reply_type, @reply_desc: the answer that fits.
 * Returns CTL_EXIT_OK with *ret_reply filled, or the exit code, with one sentence in err.
 */
int ctl_ask(struct ctl *ctl, uint16_t type, const ProtobufCMessage *request, uint16_t reply_type,
    const ProtobufCMessageDescriptor *reply_desc, struct ctl_reply *ret_reply, char *err, size_t err_size);

/* ctl_request - ctl_ask() for a verb that ends when it fails: the sentence goes to stderr. */
int ctl_request(struct ctl *ctl, uint16_t type, const ProtobufCMessage *request, uint16_t reply_type,
    const ProtobufCMessageDescriptor *reply_desc, struct ctl_reply *ret_reply);

/* ctl_fail - "picketctl: text" to stderr. Returns the code. */
int ctl_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ctl_render - a render for stdout, as the options say. */
struct ctl_render *ctl_render(const struct ctl *ctl);

/* Verbs: each gets what follows its name. Returns an exit code. */
int ctl_cmd_status(struct ctl *ctl, struct ctl_args *args);
int ctl_cmd_stats(struct ctl *ctl, struct ctl_args *args);
int ctl_cmd_task(struct ctl *ctl, struct ctl_args *args);
int ctl_cmd_settings(struct ctl *ctl, struct ctl_args *args);
int ctl_cmd_isolate(struct ctl *ctl, struct ctl_args *args);
int ctl_cmd_exclusion(struct ctl *ctl, struct ctl_args *args);
int ctl_cmd_events(struct ctl *ctl, struct ctl_args *args);
int ctl_cmd_monitor(struct ctl *ctl, struct ctl_args *args);

/* ctl_expect_no_more - CTL_EXIT_OK when no argument is left, else the error is printed. */
int ctl_expect_no_more(struct ctl_args *args);

/* Words for numbers, the same in text and JSON. */
const char *ctl_task_state(Picket__V1__TaskState state);           /* "Started" */
const char *ctl_isolation_state(Picket__V1__IsolationState state); /* "isolated" */
const char *ctl_isolation_origin(Picket__V1__IsolationOrigin origin);

/* ctl_render_isolation - the fields of a status into the object that is open. */
void ctl_render_isolation(struct ctl_render *r, const Picket__V1__IsolationStatus *status);

/* ctl_render_tasks - a table "tasks". */
void ctl_render_tasks(struct ctl_render *r, Picket__V1__TaskInfo *const *tasks, size_t n, const char *heading);

#endif
