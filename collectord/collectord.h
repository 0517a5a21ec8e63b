/*
 * All state of the process, and what its files offer each other.
 *     main.c    start-up; sandbox.c what it may do; conf.c what can be set
 *     live.c    the kernel source: when it is open, what the kernel is told, its clocks
 *     kernel.c  what the kernel is told while it is open, and how that is taken back
 *     stream.c  events out: sequence, encoding, queue, tails, losses
 *     restart.c what runs before this one left open
 *     peers.c   the links to agentd and uplinkd
 *     stop.c    the orderly end
 */
#ifndef PICKET_COLLECTORD_COLLECTORD_H
#define PICKET_COLLECTORD_COLLECTORD_H

#include <linux/audit.h>
#include <stdbool.h>
#include <stdint.h>

#include "collectord/audit_ctl.h"
#include "collectord/books.h"
#include "collectord/pipeline.h"
#include "collectord/queue.h"
#include "collectord/rules.h"
#include "collectord/serials.h"
#include "collectord/source.h"
#include "common/clock.h"
#include "common/daemon.h"
#include "common/ipc.h"
#include "common/limits.h"
#include "common/loop.h"
#include "common/stats.h"

/* Terminals that watch at once: each is a descriptor and 64 KiB. */
#define COL_TAILS 8u

struct col_conf {
	struct daemon_conf common; /* first */
	uint64_t backlog_limit;
	uint64_t backlog_wait_ms;
	uint64_t receive_buffer_bytes;
	uint64_t queue_bytes;
	uint64_t batch_delay_ms;
	bool unix_sockets;
};

extern const struct conf_key col_conf_keys[];

/*
 * The books: audit_events = events + ignored + excluded + incomplete; events + losses = sent + queue_dropped +
 * not_sent; sent = acked + queued.
 */
struct col_counters {
	uint64_t records, malformed, malformed_no_type, malformed_no_stamp, malformed_too_long;
	uint64_t audit_events, unended, incomplete, ignored, excluded, events;
	uint64_t losses;               /* loss events made */
	uint64_t lost_kernel;          /* records that the kernel dropped */
	uint64_t lost_serial;          /* events that never came */
	uint64_t lost_restart;         /* events of runs before this one that are missing */
	uint64_t enobufs;              /* times that the receive buffer overflowed */
	uint64_t serials_late;         /* events that came after they had been counted as lost */
	uint64_t takeovers;            /* attempts of another program to become the audit daemon */
	uint64_t sent;                 /* given a sequence and queued for uplinkd */
	uint64_t queue_dropped;        /* the queue was full */
	uint64_t not_sent;             /* telemetry is off: shown to watchers only */
	uint64_t queued, queued_bytes; /* wait for uplinkd's acknowledgement now */
	uint64_t acked, batches_sent;
	uint64_t tail_events, tail_skipped;
	uint64_t rules_loaded;
	uint64_t backlog, backlog_limit; /* of the kernel, at the last look */
};

extern const struct stats_name col_counter_names[];

/* What is known about the descriptor that agentd may have kept. */
enum col_handover { COL_HANDOVER_WAITING = 0, COL_HANDOVER_NONE, COL_HANDOVER_TAKEN };

struct col_tail {
	int fd; /* -1: unused */
	uint64_t skipped;
	size_t len; /* of records that wait to be sent */
	uint8_t records[LIM_BATCH_BYTES];
};

/* What uplinkd has of a run before this one. */
struct col_answer {
	uint64_t epoch; /* 0: unused */
	uint64_t sequence;
};

struct collectord {
	struct col_conf conf;
	struct daemon daemon;
	struct loop loop;
	struct col_counters counters;
	uint64_t epoch;
	char boot_id[40]; /* 36 characters */

	/* live.c */
	struct audit_ctl *ctl;
	struct rules *rules;
	struct pipeline *pipeline;
	int spare_fd;  /* netlink socket made before the sandbox; -1 once it is used */
	int handed_fd; /* from agentd; -1: none */
	enum col_handover handover;
	struct source *source; /* NULL: not collecting */
	bool registered;       /* this process is the kernel's audit daemon; false with a source that was handed over */
	bool want;             /* Behavior_Detection is started */
	bool stopping;
	bool
	    ran_before; /* a source was open in this process, or must not be looked for: the run before it is history */
	bool have_first;
	struct source_sink into; /* of the pipeline */
	struct event *source_event, *clock_timer, *handover_timer, *retry_timer;
	struct serials serials;
	uint32_t first_serial; /* that came whole since the source was opened; valid with have_first */
	struct mono_ms started, last_tick;
	uint32_t kernel_lost;   /* the counter at the last look */
	const char *rules_fact; /* loaded, partly loaded, none */
	char source_fact[160];
	bool blind;          /* a rule of the administrator hides new processes */
	char owner_name[32]; /* of the audit daemon that was there at the start */
	uint32_t owner_pid;

	/* stream.c */
	struct books *books;
	struct queue *queue;
	bool telemetry;    /* events go to uplinkd */
	uint64_t sequence; /* last given */
	struct event *batch_timer;
	struct col_tail tails[COL_TAILS];
	uint8_t scratch[LIM_IPC_RECORD_BYTES];

	/* restart.c */
	struct event *restart_timer;
	struct mono_ms born;
	bool asked; /* on this link */
	struct col_answer answers[BOOKS_RUNS];

	/* peers.c */
	struct ipc_client *agentd, *uplinkd;
	struct event *status_timer;
	struct col_counters reported;
	bool report_due;

	/* stop.c */
	struct event *stop_timer;
};

/* ---- live.c ---- */

/* col_live_prepare - before the sandbox: sockets, rules, who owns audit. Returns 0, or a negative errno after logging
 * it. */
int col_live_prepare(struct collectord *c);
/* col_live_init - after it: pipeline, timers. Returns 0 or a negative errno. */
int col_live_init(struct collectord *c);
void col_live_done(struct collectord *c);

/* col_live_want - whether events are wanted; starts or stops as far as it can now. */
void col_live_want(struct collectord *c, bool want);

/* col_live_handover - agentd has answered: `fd` is the kept socket (taken over) or -1. */
void col_live_handover(struct collectord *c, int fd);

/* col_live_await_handover - the link to agentd is open: its answer is due. */
void col_live_await_handover(struct collectord *c);

/* col_live_keep - give agentd a duplicate of the source, if there is one. */
void col_live_keep(struct collectord *c);

/* ---- kernel.c ---- */

/* col_kernel_set - our backlog limit and wait time, audit on; what was before (`before`) is saved once per boot. */
void col_kernel_set(struct collectord *c, const struct audit_status *before);

/* col_kernel_rules - load the rules; says in the facts how that went. */
void col_kernel_rules(struct collectord *c);

/* col_kernel_put_back - end the registration as audit daemon and restore what was saved. Every descriptor of the source
 * must be closed. */
void col_kernel_put_back(struct collectord *c);

/* ---- stream.c ---- */
int col_stream_init(struct collectord *c);
void col_stream_done(struct collectord *c);

/* What the pipeline calls: ctx is the struct collectord. */
void col_stream_event(const Picket__V1__Event *event, void *ctx);

/* col_stream_telemetry - whether events go to uplinkd. */
void col_stream_telemetry(struct collectord *c, bool on);

/* col_stream_flush - close the open batch and send what can be sent; tails too. */
void col_stream_flush(struct collectord *c);

/* col_stream_losses - queue the losses that the books owe. */
void col_stream_losses(struct collectord *c);

/* col_stream_kernel_lost - the kernel's lost counter as it is now; reports what is new. */
void col_stream_kernel_lost(struct collectord *c, uint32_t lost);

/* col_stage_name - of enum LossStage, for the log. */
const char *col_stage_name(uint32_t stage);

/* col_stream_acked - uplinkd has everything up to `sequence` of this run. */
void col_stream_acked(struct collectord *c, uint64_t sequence);

/* col_stream_tail - one more watcher; takes the descriptor over. */
void col_stream_tail(struct collectord *c, int fd);

/* ---- restart.c ---- */
int col_restart_init(struct collectord *c);
void col_restart_done(struct collectord *c);

/* col_restart_link - uplinkd can be asked what it has of the runs before this one. */
void col_restart_link(struct collectord *c);

/* col_restart_answer - and this is its answer. */
void col_restart_answer(struct collectord *c, uint64_t epoch, uint64_t sequence);

/* ---- peers.c ---- */
int col_peers_init(struct collectord *c);
void col_peers_done(struct collectord *c);

/* col_peers_changed - something in the status changed: report it within a second. */
void col_peers_changed(struct collectord *c);

/* col_peers_send_batches - hand closed batches to uplinkd as far as the link takes them. */
void col_peers_send_batches(struct collectord *c);

/* col_peers_keep - SourceKeep with a descriptor, or without one (-1). */
void col_peers_keep(struct collectord *c, int fd);

/* ---- stop.c ---- */
int col_stop_init(struct collectord *c);
void col_stop_done(struct collectord *c);

/* col_stop - begin the orderly stop; ctx is the struct collectord. */
void col_stop(void *ctx);

/* col_stop_check - it ends when nothing waits for uplinkd any more. */
void col_stop_check(struct collectord *c);

/* ---- sandbox.c ---- */

/* col_confine - drop to CollectordUser with the audit capabilities, enter the sandbox. Returns what daemon_confine()
 * does. */
int col_confine(struct collectord *c);

#endif
