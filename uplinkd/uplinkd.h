/* uplinkd's state and what its files offer each other. One process, one loop: everything hangs on struct uplinkd. */
#ifndef PICKET_UPLINKD_UPLINKD_H
#define PICKET_UPLINKD_UPLINKD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/ipc.h"
#include "common/limits.h"
#include "common/loop.h"
#include "common/stats.h"
#include "uplink.pb-c.h"
#include "uplinkd/http.h"
#include "uplinkd/http_error.h"
#include "uplinkd/servers.h"
#include "uplinkd/spool.h"
#include "uplinkd/tls.h"
#include "uplinkd/verdict.h"

/* ---- conf.c ---- */

enum upl_compression { UPL_ZSTD, UPL_PLAIN };

struct upl_conf {
	struct daemon_conf general;
	char *server_certificate, *client_certificate, *client_key;
	uint64_t spool_bytes, spool_age_ms;
	uint64_t commit_ms, commit_events;
	int compression; /* enum upl_compression */
};

extern const struct conf_key upl_conf_keys[];

/* ---- what agentd tells: a copy of the last UplinkConfig ---- */

/* Bytes of a proxy's text: scheme, user, password, host, port. */
#define UPL_PROXY_BYTES 1024

struct upl_settings {
	bool known; /* one has arrived */
	bool enabled, telemetry, client_certificate;
	char agent_id[LIM_ID_BYTES + 1];
	char proxy[UPL_PROXY_BYTES]; /* secret */
	uint64_t sync_period_ms, connect_timeout_ms, request_timeout_ms, transfer_ms;
	uint32_t package_events;
	uint8_t *agent_state;
	size_t agent_state_len;
};

/* ---- counters (README.md explains each) ---- */

struct upl_counters {
	uint64_t received, received_duplicates;
	uint64_t spooled_events, spooled_bytes, spool_disk_bytes;
	uint64_t packages, delivered, acked, duplicates;
	uint64_t sent_bytes, wire_bytes;
	uint64_t retries, splits, set_aside;
	uint64_t dropped_size, dropped_age, dropped_full, dropped_missing, damaged, torn;
	uint64_t commits, commit_max_us, commit_failures, sync_failures;
	uint64_t syncs, sync_errors, commands, results;
	uint64_t last_contact_ms;
};

/* ---- ingest.c: from collectord into the spool ---- */

/* Epochs of one peer that wait for an acknowledgement: collectord's run and the one before it. */
#define UPL_ACK_EPOCHS 4

struct upl_ingest {
	struct ipc_link *link; /* collectord's, or NULL */
	struct event *timer;   /* of the group commit */
	bool armed;
	bool failing; /* the last commit failed */
	struct {
		uint64_t epoch, acked;
	} epochs[UPL_ACK_EPOCHS];
	size_t n_epochs;
};

/* ---- delivery.c: from the spool to the server ---- */

struct upl_delivery {
	struct event *timer;
	struct http_call *call; /* one at a time keeps the order */
	struct spool_package package;
	uint32_t losses;    /* LOSS events at the head of the package */
	uint64_t loss_last; /* sequence of the last of them */
	uint8_t *body;      /* as sent */
	size_t body_len, body_cap;
	bool body_zstd;
	size_t server;           /* that the present request went to */
	bool plain;              /* the server does not know zstd */
	bool pausing;            /* until the timer */
	bool asked;              /* the server wants that pause */
	uint32_t limit_events;   /* after a 413; 0: as the settings say */
	uint32_t failures;       /* in a row */
	uint32_t refusals;       /* packages set aside in a row */
	struct mono_ms deadline; /* the oldest waiting event must be on its way; 0: nothing waits */
	uint64_t flush_to;       /* ordinal up to which packages need not be full */
};

/* ---- sync.c: what the server asks for ---- */

/* Results of commands that wait for the server to confirm them: as many as a server hands out commands in two replies.
 */
#define UPL_RESULTS 64

struct upl_result {
	char id[LIM_ID_BYTES + 1];
	uint8_t *bytes; /* a packed CommandResult */
	size_t len;
};

struct upl_sync {
	struct event *timer;
	struct http_call *call;
	uint8_t *body;
	struct upl_result results[UPL_RESULTS];
	size_t n_results;
	bool again;         /* ask once more when the present request is done */
	struct mono_ms due; /* when the timer ends; 0: it is not armed */
	uint32_t failures;
	size_t server; /* that the present request went to */
	struct mono_ms started;
};

/* ---- names.c: addresses of the servers ---- */

struct upl_names {
	int pair[2]; /* the thread's answers arrive at [0] */
	struct event *answer, *timer;
	bool busy;  /* a thread is looking up */
	bool again; /* the list changed meanwhile */
	struct mono_ms started;
};

/* ---- link.c ---- */

enum upl_request { UPL_SYNC, UPL_TELEMETRY, UPL_REQUESTS };

/* ---- the whole ---- */

/* Bytes of a packed UplinkEndpoints: 64 of an IPv6 address, a port and their frame. */
#define UPL_ENDPOINTS_BYTES (LIM_ISOLATION_ENDPOINTS * 32)

/* Milliseconds from a change of the host's state to the sync that tells the server: several changes share one. */
#define UPL_STATE_SYNC_MS 1000u

struct uplinkd {
	struct daemon daemon;
	struct upl_conf conf;
	struct loop loop;
	struct tls_identity tls;
	struct http *http;
	int spool_fd;
	struct spool_io spool_io;
	struct spool *spool;

	struct ipc_conf collectord_ipc, agentd_ipc;
	struct ipc_listener *listener; /* collectord */
	struct ipc_client *agentd;
	uint8_t endpoints[UPL_ENDPOINTS_BYTES]; /* the UplinkEndpoints that agentd has */
	size_t endpoints_len;

	struct upl_settings settings;
	struct upl_servers servers;
	struct upl_names names;
	struct upl_ingest ingest;
	struct upl_delivery delivery;
	struct upl_sync sync;

	struct upl_counters counters;
	bool link_ready;                              /* requests can be made */
	char link_state[HTTP_WORDS_BYTES];            /* "connected", or why not, in words */
	char trouble[UPL_REQUESTS][HTTP_WORDS_BYTES]; /* of the last request of a kind; "": it worked */
	int64_t skew_ms;
	bool skew_known;
	struct event *status_timer;
	bool status_armed;
	int64_t warned_server, warned_client; /* mark in days that was warned about last */
	struct mono_ms reported;
	struct event *tick; /* age of the spool, days left */
};

/* sandbox.c */
int upl_confine(struct uplinkd *u);

/* peers.c: both links */
int upl_peers_start(struct uplinkd *u, int listener);
void upl_peers_stop(struct uplinkd *u);
void upl_send_endpoints(struct uplinkd *u);

/* settings.c. Returns 0, or -EINVAL with a word: then nothing has changed. */
int upl_settings_take(struct uplinkd *u, const Picket__V1__UplinkConfig *msg, const char **ret_why);
void upl_settings_done(struct upl_settings *settings);

/* ingest.c */
int upl_ingest_start(struct uplinkd *u);
void upl_ingest_stop(struct uplinkd *u);
int upl_on_batch(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);
int upl_on_resume(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);
void upl_ingest_forget(struct uplinkd *u, struct ipc_link *link);

/* delivery.c */
int upl_delivery_start(struct uplinkd *u);
void upl_delivery_stop(struct uplinkd *u);
/* Something changed: send if it is time. */
void upl_delivery_kick(struct uplinkd *u);
/* The link works again: do not wait out a pause, unless the server asked for it. With new settings: not even then. */
void upl_delivery_hurry(struct uplinkd *u, bool new_settings);

/* package.c: spool package and losses to a request body in u->delivery. Returns 0 or a negative errno. */
int upl_package_build(struct uplinkd *u);

/* sync.c */
int upl_sync_start(struct uplinkd *u);
void upl_sync_stop(struct uplinkd *u);
void upl_sync_soon(struct uplinkd *u, uint64_t ms);
int upl_on_result(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);

/* link.c: what both kinds of requests share */
/* Bits for spreading pauses; not for secrets. */
uint64_t upl_random(void);
/* True when requests can be made at all; else the state says why not. */
bool upl_link_ready(struct uplinkd *u);
/* The settings are new: what was known of the link is void. */
void upl_link_reset(struct uplinkd *u);
/* The server gave a usable answer. */
void upl_link_up(struct uplinkd *u, enum upl_request kind, size_t server, const struct http_result *result);
/* It did not. Returns true when another server can be tried at once. */
bool upl_link_down(struct uplinkd *u, enum upl_request kind, size_t server, const struct http_result *result,
    enum upl_verdict verdict);
/* POST to a server of the list. */
int upl_link_post(struct uplinkd *u, size_t server, struct http_request *request, struct http_call **ret_call);

/* status.c */
int upl_status_start(struct uplinkd *u);
void upl_status_stop(struct uplinkd *u);
/* Something that a report shows has changed. */
void upl_status_changed(struct uplinkd *u);

#endif
