/* isolatord: everything the process holds, and what the files of this folder offer each other. */
#ifndef PICKET_ISOLATORD_ISOLATORD_H
#define PICKET_ISOLATORD_ISOLATORD_H

#include "common/daemon.h"
#include "common/ipc.h"
#include "isolatord/engine.h"

/* Requests that wait for their outcome: one agentd sends one order at a time; the rest are root's fallback. */
#define ISO_PENDING 8u

/* Addresses of management servers, and ports of each. */
#define ISO_MANAGEMENT_ADDRS 16u
#define ISO_MANAGEMENT_PORTS 16u

/* Outbound TCP per port, and the wake-up call per address. */
#define ISO_MANAGEMENT_RULES (ISO_MANAGEMENT_ADDRS * (ISO_MANAGEMENT_PORTS + 1u))

struct iso_conf {
	struct daemon_conf general;
	int backend; /* index into auto iptables */
	char *management_addrs;
	char *management_ports;
	uint64_t management_agent_port;
};

enum iso_mode {
	ISO_RUN = 1,
	ISO_APPLY_AND_EXIT, /* reconcile once: before the network is up at boot */
	ISO_RELEASE,        /* forget the order and take the rules out, with every daemon dead */
};

/* A request whose reply waits until the engine is settled. */
struct iso_pending {
	struct ipc_link *link; /* NULL: free */
	uint32_t sequence;
};

struct isolatord {
	struct iso_conf conf;
	struct daemon daemon;
	enum iso_mode mode;
	struct loop loop;
	struct engine engine;
	struct iso_exception management[ISO_MANAGEMENT_RULES];
	size_t n_management;
	struct ipc_listener *listener;
	struct ipc_link *agentd; /* the newest link of agentd, or NULL */
	struct iso_pending pending[ISO_PENDING];
	struct event *report; /* one StatusReport a second at most */
	bool report_due;      /* something changed since the last one */
};

/* ---- conf.c ---- */
extern const struct conf_key iso_conf_keys[];

/*
 * iso_conf_management - the exceptions that [Management] asks for.
 * @ret: room for ISO_MANAGEMENT_RULES.
 * Returns how many, or -EINVAL with one line in err.
 */
int iso_conf_management(const struct iso_conf *conf, struct iso_exception *ret, char *err, size_t err_size);

/* iso_conf_check - for struct daemon. */
int iso_conf_check(const struct daemon_conf *conf, char *err, size_t err_size);

/* ---- peers.c ---- */

/* iso_peers_start - accept on the listener, which it owns from here on. Returns 0 or -ENOMEM. */
int iso_peers_start(struct isolatord *iso, int listener_fd);
void iso_peers_stop(struct isolatord *iso);

/* iso_peers_on_change - for the engine: answer who waits, tell agentd. */
void iso_peers_on_change(void *ctx);

/* ---- release.c ---- */

/*
 * iso_release_by_daemon - ask the isolatord that runs to release the host; blocks until it has.
 * Returns 0 with the exit code, or a negative errno when none runs or it does not answer.
 */
int iso_release_by_daemon(const struct isolatord *iso, int *ret_exit);

/* ---- sandbox.c ---- */

/* iso_confine - returns 0, or -EPERM after logging it. */
int iso_confine(struct isolatord *iso);

#endif
