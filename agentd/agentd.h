/*
 * agentd decides: tasks, settings, exclusions, isolation, commands. All state of the process stands in struct agentd;
 * the pure parts have headers of their own (fsm.h, tasks.h, settings.h, exclusions.h, commands.h, isolation.h,
 * identity.h).
 */
#ifndef PICKET_AGENTD_AGENTD_H
#define PICKET_AGENTD_AGENTD_H

#include "agentd/commands.h"
#include "agentd/exclusions.h"
#include "agentd/identity.h"
#include "agentd/isolation.h"
#include "agentd/settings.h"
#include "agentd/tasks.h"
#include "common/clock.h"
#include "common/daemon.h"
#include "common/ipc.h"
#include "common/loop.h"
#include "common/pb.h"
#include "control.pb-c.h"

struct agt_conf {
	struct daemon_conf general; /* first: DAEMON_CONF_KEYS counts on it */
	uint64_t source_keep_ms;
};

extern const struct conf_key agt_conf_keys[];

/* A daemon that reports to us. */
struct agt_peer {
	struct ipc_link *link; /* NULL: not connected */
	uint32_t pid;          /* of the last one connected */
	char build[64];
	Picket__V1__StatusReport *report; /* the last one, owned by report_arena; NULL: none yet */
	struct pb_arena *report_arena;
	struct mono_ms report_at;
	uint8_t *config; /* packed, as last sent over this link; NULL: nothing sent yet */
	size_t config_len;
};

/* Requests that wait for isolatord's answer at one time: a person, the server, and room for scripts. */
#define AGT_PENDING 16

/* An order on its way to isolatord. */
struct agt_pending {
	uint32_t sequence; /* towards isolatord; 0: free */
	struct mono_ms sent_at;
	bool on;                /* false: a release */
	struct ipc_link *asker; /* a picketctl that waits, or NULL */
	uint32_t asker_sequence;
	char command_id[LIM_ID_BYTES + 1]; /* a server command that waits, or "" */
	uint8_t *order;                    /* packed IsolationOrder */
	size_t order_len;
};

struct agt_isolator {
	struct ipc_client *client;
	struct ipc_conf ipc;
	struct event *timeout;
	uint32_t last_sequence;
	struct agt_pending pending[AGT_PENDING];
	struct agt_endpoints reported; /* of the uplink; survives a restart */
	uint8_t *order; /* packed, the order to isolate that is in force; NULL: none; survives a restart */
	size_t order_len;
	Picket__V1__IsolationResult *result; /* the last one, owned by result_arena; NULL: none yet */
	struct pb_arena *result_arena;
};

/* collectord's audit descriptor, kept for the collectord after it. Never read. */
struct agt_kept {
	int fd; /* -1: none */
	char kind[32];
	struct event *timeout; /* lets go when no collectord comes */
};

/* Our own counters, as picketctl stats shows them. */
struct agt_counters {
	uint64_t commands_done, commands_failed, commands_refused, commands_repeated;
	uint64_t orders_sent;
	uint64_t requests, requests_refused;
	uint64_t store_errors;
	uint64_t source_handovers;
};

struct agentd {
	struct daemon daemon;
	struct agt_conf conf;
	struct loop loop;
	struct ipc_listener *listener;
	struct ipc_conf ipc;
	struct event *minute;
	char agent_id[AGT_ID_BYTES];
	struct agt_host host;
	struct agt_tasks tasks;
	struct agt_settings settings;
	struct agt_exclusions exclusions;
	struct agt_commands commands;
	struct agt_peer peer[AGT_DAEMONS];
	struct agt_isolator isolator;
	struct agt_kept kept;
	struct agt_counters counters;
	bool pushing; /* agt_push() is at work: a call from within it is not needed */
};

/* ---- sandbox.c ---- */

/* agt_confine - become AgentdUser, without capabilities; system calls and files by table. Returns as daemon_confine().
 */
int agt_confine(struct agentd *a);

/* ---- store.c: what survives a restart, one small file per subject ---- */

/* agt_store_load - read everything; what is missing or bad is logged and stays at its default. */
void agt_store_load(struct agentd *a);

/* Each replaces one file with the state in memory. Returns 0 or a negative errno, logged and counted. */
int agt_store_tasks(struct agentd *a, const struct agt_tasks *tasks);
int agt_store_settings(struct agentd *a, const struct agt_settings *settings);
int agt_store_exclusions(struct agentd *a);
int agt_store_commands(struct agentd *a);
int agt_store_endpoints(struct agentd *a);
int agt_store_order(struct agentd *a); /* a->isolator.order; NULL removes the file */

/* ---- peers.c: the listener, the daemons' messages ---- */

/* agt_peers_start - accept on `fd`, which it owns. Returns 0 or -ENOMEM. */
int agt_peers_start(struct agentd *a, int fd);
void agt_peers_stop(struct agentd *a);

/* agt_facts - what the tasks depend on, as it is now. */
void agt_facts(const struct agentd *a, struct agt_facts *facts);

/* agt_peer_fact - a fact of the daemon's last report. Returns buf; "" when it has none. */
const char *agt_peer_fact(const struct agentd *a, enum agt_daemon daemon, const char *name, char *buf, size_t size);

/* agt_peer_report - keep a StatusReport. */
void agt_peer_report(struct agentd *a, enum agt_daemon daemon, const struct ipc_msg *msg);

/* ---- push.c: what the daemons are told ---- */

/*
 * agt_push - tell collectord and uplinkd what is in force, if they do not know it yet, and move the tasks accordingly.
 * Call it after any change: of a link, a task, a setting, an exclusion, the isolation, the host's addresses.
 */
void agt_push(struct agentd *a);

/* ---- status.c: replies built from what is known; borrowed pointers into struct agentd ---- */

struct agt_task_view {
	Picket__V1__TaskInfo row[AGT_TASKS];
	Picket__V1__TaskInfo *ptr[AGT_TASKS];
	char reason[AGT_TASKS][AGT_TEXT_BYTES];
};
void agt_task_view(const struct agentd *a, struct agt_task_view *view);

/* agt_isolation_view - the last known status; its detail says when isolatord is not there. `detail` is AGT_TEXT_BYTES.
 */
void agt_isolation_view(const struct agentd *a, Picket__V1__IsolationStatus *status, char *detail);

/* agt_status_reply - answer a StatusRequest. Returns what ipc_send() returns. */
int agt_status_reply(struct agentd *a, struct ipc_link *link, uint32_t sequence, bool counters);

/* ---- ctl.c: picketctl's requests. ipc handlers, for the table in peers.c ---- */

int agt_on_status_request(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);
int agt_on_task_request(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);
int agt_on_settings_request(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);
int agt_on_isolate_request(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);
int agt_on_exclusion_request(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);
int agt_on_events_request(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);

/* ---- decide.c: the changes that root and the server may ask for; one place, so that both obey the same rules ---- */

/* Each returns an enum agt_exit, with one sentence in why when it is not AGT_EXIT_OK; nothing has changed then. */
int agt_decide_task(struct agentd *a, enum agt_task task, bool start, bool with_dependencies, char *why, size_t size);
int agt_decide_settings(
    struct agentd *a, const char *task, Picket__V1__Setting *const *settings, size_t n, char *why, size_t size);

/* ---- orders.c: commands of the server ---- */

int agt_on_server_command(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);

/* agt_command_done - a command that waited for isolatord has its result. */
void agt_command_done(struct agentd *a, const char *id, bool ok, const char *text);

/* ---- isolate.c: the link to isolatord ---- */

/* agt_isolate_start - keep a link to isolatord. Returns 0 or -ENOMEM. */
int agt_isolate_start(struct agentd *a);
void agt_isolate_stop(struct agentd *a);

/* Who asked for an isolation or a release: exactly one of the two. */
struct agt_asker {
	struct ipc_link *link; /* picketctl; answered with IsolateReply or Error */
	uint32_t sequence;
	const char *command_id; /* server; answered with agt_command_done() */
};

/*
 * agt_isolate - order isolatord to isolate (on) or release the host.
 * @duration_s: 0: until released. Ignored for a release, as are the exceptions, which are borrowed.
 * Returns AGT_EXIT_OK when the order is on its way: the asker is answered later. Else an enum agt_exit with a sentence
 * in why.
 */
int agt_isolate(struct agentd *a, bool on, uint64_t duration_s, Picket__V1__IsolationException **exceptions, size_t n,
    const struct agt_asker *asker, char *why, size_t size);

/* agt_isolate_forget - the picketctl on this link is gone: nobody waits for its answer. */
void agt_isolate_forget(struct agentd *a, const struct ipc_link *link);

/* agt_isolate_endpoints - uplinkd reports the addresses it uses. Returns 0, or -EINVAL for what no address can be. */
int agt_isolate_endpoints(struct agentd *a, const Picket__V1__UplinkEndpoints *msg);

#endif
