/*
 * The server's memory: one SQLite file (WAL) with hosts, events and commands. The running server and the command line
 * use it at the same time.
 *
 * Every function returns 0 or more, or a negative errno: -EBUSY another process holds the write lock, -ENOSPC disk
 * full, -EIO, -EBADMSG the file is damaged, -ENOMEM. After a negative return inside a transaction, roll it back.
 * store_error() says it in words. Text that goes in is valid UTF-8 or ASCII; blobs may hold anything.
 */
#ifndef PICKET_SERVER_STORE_H
#define PICKET_SERVER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/telemetry.h"

/* PRAGMA user_version of the schema in store.c. */
#define STORE_SCHEMA 1

struct store;

enum store_mode {
	STORE_SERVE, /* create the file when missing; commits survive a power cut */
	STORE_TOOL,  /* the file must exist; waits for the server's lock */
};

/*
 * store_open - open the database, make or check its schema.
 * @err: on failure one line that names the file and the remedy.
 * Returns 0 with *ret_store (store_close() it), or a negative errno; -ENOTSUP for a schema newer than this program.
 */
int store_open(const char *path, enum store_mode mode, struct store **ret_store, char *err, size_t err_size);
void store_close(struct store *store); /* NULL is fine */

/* The reason of the last failure, until the next call. */
const char *store_error(const struct store *store);

/* store_begin takes the write lock at once. A commit in STORE_SERVE returns 0 only when it is on disk. */
int store_begin(struct store *store);
int store_commit(struct store *store);
void store_rollback(struct store *store);

/* ---- hosts (store_hosts.c) ---- */

/* What a sync says about a host, as text for people and queries. */
struct store_host_state {
	const char *name;
	const char *addresses; /* separated by blanks, as is macs */
	const char *macs;
	const char *os_name, *os_version, *kernel, *agent_version;
	const char *tasks;     /* "Behavior_Detection=started KATAEDR=stopped" */
	const char *isolation; /* released, isolated, failed; "" not known */
	const char *isolation_detail;
	uint64_t isolation_since_ms, isolation_until_ms;
	uint64_t settings_revision;
};

/* A host as the command line lists it; text is valid until the callback returns. */
struct store_host {
	int64_t id;
	const char *agent_id, *subject;
	struct store_host_state state;
	uint64_t spooled_events;
	int64_t clock_offset_ms; /* the host's clock minus ours at the last sync */
	uint64_t first_seen_ms, last_seen_ms;
	uint64_t events, duplicates, malformed;
};

/*
 * store_host_seen - find or enter a host and bind it to the certificate it came with.
 * @subject: of the verified client certificate.
 * Returns 0 with *ret_host, or -EACCES when the agent id belongs to another subject.
 */
int store_host_seen(struct store *store, const uint8_t *agent_id, size_t agent_id_len, const char *subject,
    uint64_t now_ms, int64_t *ret_host);

/* @state: NULL when the agent's state could not be read: what is stored stays. */
int store_host_update(struct store *store, int64_t host, const struct store_host_state *state, uint64_t spooled_events,
    int64_t clock_offset_ms);

/* Add to the host's books. */
int store_host_count(struct store *store, int64_t host, uint64_t stored, uint64_t duplicates, uint64_t malformed);

/* Returns the number of hosts, in order of name; a callback that returns non-zero ends it. */
int store_hosts_each(struct store *store, int (*each)(const struct store_host *host, void *ctx), void *ctx);

/*
 * store_host_find - by agent id, by a prefix of it that only one host has, or by host name.
 * Returns 0 with *ret_host, -ENOENT, or -ENOTUNIQ when several match.
 */
int store_host_find(struct store *store, const char *text, int64_t *ret_host, char *agent_id, size_t agent_id_size);

/* ---- events (store_events.c) ---- */

/*
 * store_event_put - store a record unless (host, epoch, sequence) is there already.
 * Returns 1 when it is new, 0 when it was there; *ret_malformed tells whether a new one could not be read.
 */
int store_event_put(
    struct store *store, int64_t host, const struct telemetry_record *record, uint64_t now_ms, bool *ret_malformed);

struct store_event {
	int64_t id; /* rises in order of arrival */
	const char *agent_id, *host_name;
	uint64_t epoch, sequence, time_ms, received_ms, type, serial;
	bool has_process;
	uint32_t pid, ppid, uid;
	const char *executable, *summary;
	bool malformed;
	const uint8_t *bytes; /* the packed Event */
	size_t len;
};

struct store_event_query {
	int64_t host;      /* 0: all */
	int64_t type;      /* -1: all */
	uint64_t since_ms; /* of the event's own time; 0: all */
	uint64_t until_ms; /* 0: all */
	const char *text;  /* in executable or summary, letter case ignored for ASCII; NULL: all */
	int64_t after_id;  /* only later arrivals, in order of arrival; -1: the newest `limit` by time, oldest of them
			      first */
	uint64_t limit;
};

/* Returns the number of events given to the callback; a callback that returns non-zero ends it. */
int store_events_each(struct store *store, const struct store_event_query *query,
    int (*each)(const struct store_event *event, void *ctx), void *ctx);

/* The id of the newest arrival, 0 when there is none. */
int store_events_last(struct store *store, int64_t *ret_id);

/* ---- commands (store_commands.c) ---- */

enum store_command_state {
	STORE_COMMAND_UNSET = 0,
	STORE_COMMAND_QUEUED,
	STORE_COMMAND_SENT, /* handed out at least once; again with every sync until its result arrives */
	STORE_COMMAND_DONE,
	STORE_COMMAND_FAILED,
	STORE_COMMAND_REFUSED,
	STORE_COMMAND_EXPIRED, /* its time passed without a result; a late result still replaces it */
};

/* queued, sent ... as in the database and on the command line; "" for UNSET. */
const char *store_command_state_name(enum store_command_state state);

/* True for QUEUED and SENT: the host has yet to answer. */
bool store_command_is_open(enum store_command_state state);

struct store_command {
	int64_t host;
	const char *id;
	const char *agent_id; /* of the host; replies only */
	const char *kind;     /* isolate, release, settings, task */
	const uint8_t *bytes; /* a packed Command */
	size_t len;
	uint64_t created_ms, expires_ms; /* 0: never expires */
	enum store_command_state state;
	const char *result;
	uint64_t sent_ms, finished_ms; /* 0: not yet */
	uint64_t sent_count;
};

int store_command_add(struct store *store, const struct store_command *command);

/* created_ms of the newest command, 0 when there is none. */
int store_command_newest(struct store *store, uint64_t *ret_created_ms);

/*
 * store_commands_take - what a sync hands out: open commands of the host in order, marked as sent; those past their
 * time become EXPIRED first. Returns the number given to the callback.
 */
int store_commands_take(struct store *store, int64_t host, uint64_t now_ms, unsigned int max,
    int (*each)(const struct store_command *command, void *ctx), void *ctx);

/*
 * store_command_finish - keep a host's result. A command that has one already keeps its first.
 * Returns 1 when it is new, 0 when there was one, -ENOENT when this host has no such command.
 */
int store_command_finish(struct store *store, int64_t host, const uint8_t *id, size_t id_len,
    enum store_command_state state, const char *result, uint64_t now_ms);

/* One command by id, or with id NULL the newest `limit` of a host (0: of all), newest first. Returns their number. */
int store_commands_each(struct store *store, const char *id, int64_t host, uint64_t limit,
    int (*each)(const struct store_command *command, void *ctx), void *ctx);

#endif
