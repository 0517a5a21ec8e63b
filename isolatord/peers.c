/*
 * Who may say what to isolatord, and the answers. An order comes from agentd's user; root may only release and ask, for
 * the day when agentd is dead. Decides nothing about the kernel: engine.c does.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pb.h"
#include "common/stats.h"
#include "isolatord/isolatord.h"
#include "proto/envelope.pb-c.h"
#include "proto/isolation.pb-c.h"

#define MSG(name) PICKET__V1__MSG__MSG_##name

/* Milliseconds between two reports to agentd (a rule of the link: at most one a second). */
#define REPORT_MS 1000u

/* Bytes of the sentence in a refusal. */
#define WHY_BYTES 256u

/* What root may not do is said by the handler: it depends on what the order says. */
#define AGENTD_OR_ROOT (IPC_PEER_AGENTD | IPC_PEER_ROOT)

static int on_isolation_order(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);
static int on_isolation_query(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);

static const struct ipc_rule rules[] = {
    /* clang-format off */
    {MSG(ISOLATION_ORDER), AGENTD_OR_ROOT, IPC_ANY_STATE, LIM_IPC_RECORD_BYTES, 0, 1, NULL, on_isolation_order},
    {MSG(ISOLATION_QUERY), AGENTD_OR_ROOT, IPC_ANY_STATE, 64, 0, 0, &picket__v1__isolation_query__descriptor, on_isolation_query},
    {0, 0, 0, 0, 0, 0, NULL, NULL},
    /* clang-format on */
};

static const struct stats_name counter_names[] = {
    STATS_NAME(struct engine_stats, orders),
    STATS_NAME(struct engine_stats, orders_refused),
    STATS_NAME(struct engine_stats, applies),
    STATS_NAME(struct engine_stats, removals),
    STATS_NAME(struct engine_stats, verifications),
    STATS_NAME(struct engine_stats, heals),
    STATS_NAME(struct engine_stats, commit_retries),
    STATS_NAME(struct engine_stats, lock_timeouts),
    STATS_NAME(struct engine_stats, sockets_closed),
    STATS_NAME(struct engine_stats, sockets_spared),
    STATS_NAME(struct engine_stats, last_apply_ms),
    {NULL, 0},
};

/* ---- answers ---- */

static Picket__V1__IsolationState
state_for_peers(enum fsm_state state)
{
	switch (state) {
	case FSM_ISOLATED:
	case FSM_RELEASING: /* until the rules are out */
		return PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_ISOLATED;
	case FSM_RESUMING:
	case FSM_APPLYING:
	case FSM_HEALING:
	case FSM_FAILED:
	case FSM_STUCK:
	case FSM_DAMAGED:
		return PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_FAILED;
	case FSM_STARTING:
	case FSM_CLEANING:
	case FSM_RELEASED:
	case FSM_STATE_UNSET:
	case FSM_STATES:
		break;
	}
	return PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_RELEASED;
}

/* Sends an IsolationResult. @text: why it was refused, or "" for accepted. */
static void
send_result(const struct isolatord *iso, struct ipc_link *link, uint32_t sequence, bool accepted, const char *text)
{
	Picket__V1__IsolationResult result = PICKET__V1__ISOLATION_RESULT__INIT;
	Picket__V1__IsolationStatus pb = PICKET__V1__ISOLATION_STATUS__INIT;
	Picket__V1__IsolationEndpoint rows[LIM_ISOLATION_ENDPOINTS], *row_ptrs[LIM_ISOLATION_ENDPOINTS];
	struct engine_status status;

	engine_status(&iso->engine, &status);
	for (size_t i = 0; i < status.order->n_uplink; i++) {
		const struct iso_endpoint *e = &status.order->uplink[i];

		picket__v1__isolation_endpoint__init(&rows[i]);
		rows[i].address = pb_bytes(e->addr.bytes, e->addr.family == AF_INET ? 4 : 16);
		rows[i].port = e->port;
		row_ptrs[i] = &rows[i];
	}
	pb.state = state_for_peers(status.state);
	pb.origin = (Picket__V1__IsolationOrigin)status.order->origin;
	pb.since_ms = status.since_ms;
	pb.until_ms = status.until_ms;
	pb.backend = pb_str(iso->engine.conf.backend->ops->name);
	pb.exceptions = (uint32_t)status.order->n_exceptions;
	pb.heals = (uint32_t)iso->engine.stats.heals;
	pb.detail = pb_str(status.detail);
	pb.uplink = row_ptrs;
	pb.n_uplink = status.order->n_uplink;
	result.accepted = accepted;
	result.text = pb_str(text);
	result.status = &pb;
	(void)ipc_send(link, MSG(ISOLATION_RESULT), sequence, &result.base, NULL, 0);
}

/* ---- reports to agentd ---- */

static void
send_report(struct isolatord *iso)
{
	struct engine_status status;
	char generation[17];

	if (iso->agentd == NULL)
		return;
	engine_status(&iso->engine, &status);
	(void)snprintf(generation, sizeof(generation), "%016llx", (unsigned long long)status.generation);

	const struct stats_fact facts[] = {
	    {"state", fsm_state_name(status.state)},
	    {"backend", iso->engine.conf.backend->ops->name},
	    {"generation", status.order->on ? generation : ""},
	    {"detail", status.detail},
	};
	if (stats_report(iso->agentd, counter_names, &iso->engine.stats, facts, ARRAY_LEN(facts)) == 0)
		iso->report_due = false;
}

static void
on_report_time(evutil_socket_t fd, short what, void *ctx)
{
	struct isolatord *iso = ctx;

	(void)fd;
	(void)what;
	if (iso->report_due)
		send_report(iso);
}

/* At once when the last report is a second old, else when it is. */
static void
report_soon(struct isolatord *iso)
{
	bool quiet = !event_pending(iso->report, EV_TIMEOUT, NULL);

	iso->report_due = true;
	if (quiet) {
		send_report(iso);
		loop_timer_arm(iso->report, REPORT_MS);
	}
}

/* ---- requests ---- */

void
iso_peers_on_change(void *ctx)
{
	struct isolatord *iso = ctx;
	bool told_agentd = false;

	if (iso->listener == NULL || !engine_is_settled(&iso->engine))
		return;
	for (size_t i = 0; i < ISO_PENDING; i++) {
		struct iso_pending *p = &iso->pending[i];

		if (p->link == NULL)
			continue;
		told_agentd |= p->link == iso->agentd;
		send_result(iso, p->link, p->sequence, true, "");
		p->link = NULL;
	}
	if (iso->agentd != NULL && !told_agentd)
		send_result(iso, iso->agentd, 0, true, "");
	report_soon(iso);
}

static struct iso_pending *
free_pending(struct isolatord *iso)
{
	for (size_t i = 0; i < ISO_PENDING; i++) {
		if (iso->pending[i].link == NULL)
			return &iso->pending[i];
	}
	return NULL;
}

/*
 * An order that does not fit a record comes in a sealed memfd: nobody can change it any more, so that what was checked
 * is what is kept. Returns 0 with *ret_data to be freed, or a negative errno.
 */
static int
read_memfd(int fd, uint8_t **ret_data, size_t *ret_len)
{
	const int wanted = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	AUTO_FREE uint8_t *data = NULL;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & wanted) != wanted || fstat(fd, &st) != 0)
		return -EINVAL;
	if (st.st_size <= 0 || st.st_size > (off_t)STORE_ORDER_BYTES)
		return -EMSGSIZE;
	data = malloc((size_t)st.st_size);
	if (data == NULL)
		return -ENOMEM;
	if (pread(fd, data, (size_t)st.st_size, 0) != st.st_size)
		return -EIO;
	*ret_len = (size_t)st.st_size;
	*ret_data = data;
	data = NULL;
	return 0;
}

/* Returns 0 with the order, or a negative errno with why. */
static int
unpack_order(const uint8_t *data, size_t len, struct iso_order *ret, char *why, size_t why_size)
{
	struct pb_arena *arena = NULL;
	const char *pb_why = NULL;
	const ProtobufCMessage *pb =
	    pb_unpack(&picket__v1__isolation_order__descriptor, data, len, KEPT_UNPACK_BYTES, &arena, &pb_why);
	int r = -EINVAL;

	if (pb != NULL)
		r = iso_order_decode((const Picket__V1__IsolationOrder *)pb, ret, why, why_size);
	else
		(void)snprintf(why, why_size, "%s", pb_why);
	pb_arena_free(arena);
	return r;
}

static int
refuse(struct isolatord *iso, struct ipc_link *link, uint32_t sequence, const char *why)
{
	iso->engine.stats.orders_refused++;
	log_warning("order.refused", KV_I64("pid", ipc_link_pid(link)), KV_STR("why", why));
	send_result(iso, link, sequence, false, why);
	report_soon(iso);
	return 0;
}

static int
take_order(struct isolatord *iso, struct ipc_link *link, uint32_t sequence, const uint8_t *data, size_t len)
{
	struct iso_pending *pending = free_pending(iso);
	struct iso_order order;
	char why[WHY_BYTES] = "";

	if (unpack_order(data, len, &order, why, sizeof(why)) < 0)
		return refuse(iso, link, sequence, why);
	if (order.on && ipc_link_peer(link) != IPC_PEER_AGENTD) {
		iso_order_done(&order);
		return refuse(
		    iso, link, sequence, "root may release the host here, not isolate it: use picketctl isolate on");
	}
	/* A release is carried out even when nobody can wait for its outcome. */
	if (pending == NULL && order.on) {
		iso_order_done(&order);
		return refuse(iso, link, sequence, "too many orders are under way: try again");
	}
	if (pending != NULL)
		*pending = (struct iso_pending){.link = link, .sequence = sequence};
	if (engine_order(&iso->engine, &order, data, len, why, sizeof(why)) < 0) {
		if (pending != NULL)
			pending->link = NULL;
		return refuse(iso, link, sequence, why);
	}
	return 0;
}

static int
on_isolation_order(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	struct isolatord *iso = ctx;
	AUTO_FREE uint8_t *data = NULL;
	size_t len;

	if (msg->n_fds == 0)
		return take_order(iso, link, msg->sequence, msg->data, msg->len);
	if (msg->len != 0)
		return refuse(iso, link, msg->sequence, "an order is in the record or in the descriptor, not in both");
	if (read_memfd(msg->fds[0], &data, &len) < 0)
		return refuse(iso, link, msg->sequence, "the descriptor is not a sealed memfd of at most 800 KiB");
	return take_order(iso, link, msg->sequence, data, len);
}

static int
on_isolation_query(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	send_result(ctx, link, msg->sequence, true, "");
	return 0;
}

/* ---- links ---- */

static enum ipc_peer
identify(pid_t pid, uid_t uid, gid_t gid, void *ctx)
{
	const struct isolatord *iso = ctx;

	(void)pid;
	(void)gid;
	if (uid == iso->conf.general.agentd_uid)
		return IPC_PEER_AGENTD;
	return uid == 0 ? IPC_PEER_ROOT : IPC_PEER_NONE;
}

static void
on_open(struct ipc_link *link, void *ctx)
{
	struct isolatord *iso = ctx;

	if (ipc_link_peer(link) != IPC_PEER_AGENTD)
		return;
	iso->agentd = link;
	report_soon(iso);
}

static void
on_close(struct ipc_link *link, void *ctx)
{
	struct isolatord *iso = ctx;

	if (iso->agentd == link)
		iso->agentd = NULL;
	for (size_t i = 0; i < ISO_PENDING; i++) {
		if (iso->pending[i].link == link)
			iso->pending[i].link = NULL;
	}
}

int
iso_peers_start(struct isolatord *iso, int listener_fd)
{
	static struct ipc_conf conf;

	conf = (struct ipc_conf){.self = iso->daemon.name,
	    .rules = rules,
	    .identify = identify,
	    .on_open = on_open,
	    .on_close = on_close,
	    .ctx = iso};
	iso->report = loop_timer_new(&iso->loop, on_report_time, iso);
	if (iso->report == NULL)
		return -ENOMEM;
	iso->listener = ipc_listen(&iso->loop, listener_fd, &conf);
	return iso->listener != NULL ? 0 : -ENOMEM;
}

void
iso_peers_stop(struct isolatord *iso)
{
	ipc_listener_free(iso->listener);
	iso->listener = NULL;
	if (iso->report != NULL)
		event_free(iso->report);
}
