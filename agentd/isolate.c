/*
 * The link to isolatord: whole orders go there, results and status come back. Decides nothing about the kernel and
 * never lifts an isolation by itself: a lost link, a lost uplinkd or our own death leave it in force. Called by ctl.c
 * and orders.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/agentd.h"
#include "common/cleanup.h"
#include "common/log.h"

#define MSG(name) PICKET__V1__MSG__MSG_##name

/* Milliseconds for isolatord to answer: it writes to disk, changes tables and closes sockets; seconds mean that it
 * hangs. */
#define ANSWER_MS 10000u

/* Memory that an order or a result may cost when it is unpacked, in bytes: 10,000 exceptions. */
#define UNPACK_BYTES MIB(4)

#define NOT_CONNECTED                                                                                                  \
	"isolatord is not connected: start it (systemctl start picket-isolatord); to release without it, run "         \
	"isolatord "                                                                                                   \
	"--release as root"

static int on_result(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);
static int on_report(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);

static const struct ipc_rule rules[] = {
    /* clang-format off */
    {MSG(ISOLATION_RESULT), IPC_PEER_ISOLATORD, IPC_ANY_STATE, KIB(8),  0, 0, &picket__v1__isolation_result__descriptor, on_result},
    {MSG(STATUS_REPORT),    IPC_PEER_ISOLATORD, IPC_ANY_STATE, KIB(16), 0, 0, &picket__v1__status_report__descriptor,    on_report},
    {0, 0, 0, 0, 0, 0, NULL, NULL},
    /* clang-format on */
};

/* ---- those who wait ---- */

static struct agt_pending *
pending_find(struct agentd *a, uint32_t sequence)
{
	for (size_t i = 0; i < AGT_PENDING; i++)
		if (a->isolator.pending[i].sequence == sequence)
			return &a->isolator.pending[i];
	return NULL;
}

static void
pending_free(struct agt_pending *p)
{
	free(p->order);
	*p = (struct agt_pending){.sequence = 0};
}

/* The end of a request without a result of isolatord. */
static void
pending_fail(struct agentd *a, struct agt_pending *p, int code, const char *why)
{
	log_warning("isolation.unanswered", KV_U64("sequence", p->sequence), KV_STR("why", why));
	if (p->asker != NULL)
		(void)ipc_send_error(p->asker, p->asker_sequence, (uint32_t)code, why);
	if (p->command_id[0] != '\0')
		agt_command_done(a, p->command_id, false, why);
	pending_free(p);
}

static void
on_timeout(evutil_socket_t fd, short what, void *ctx)
{
	struct agentd *a = ctx;
	uint64_t next_ms = UINT64_MAX;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < AGT_PENDING; i++) {
		struct agt_pending *p = &a->isolator.pending[i];
		uint64_t waited = mono_since(p->sent_at, mono_now());

		if (p->sequence == 0)
			continue;
		if (waited >= ANSWER_MS)
			pending_fail(a, p, AGT_EXIT_OTHER,
			    "isolatord did not answer in time: picketctl isolate status tells what is in force");
		else if (ANSWER_MS - waited < next_ms)
			next_ms = ANSWER_MS - waited;
	}
	if (next_ms != UINT64_MAX)
		loop_timer_arm(a->isolator.timeout, next_ms);
}

void
agt_isolate_forget(struct agentd *a, const struct ipc_link *link)
{
	for (size_t i = 0; i < AGT_PENDING; i++)
		if (a->isolator.pending[i].asker == link)
			a->isolator.pending[i].asker = NULL;
}

/* ---- orders ---- */

/* Send a packed order and remember who waits; takes `data`. Returns an enum agt_exit. */
static int
send_order(struct agentd *a, bool on, uint8_t *data, size_t len, const struct agt_asker *asker, char *why, size_t size)
{
	struct ipc_link *link = ipc_client_link(a->isolator.client);
	struct agt_pending *p = pending_find(a, 0);
	AUTO_FREE uint8_t *order = data;
	int r;

	if (link == NULL) {
		(void)snprintf(why, size, NOT_CONNECTED);
		return AGT_EXIT_NOT_RUNNING;
	}
	if (p == NULL) {
		(void)snprintf(why, size, "%d orders wait for isolatord already: try again", AGT_PENDING);
		return AGT_EXIT_OTHER;
	}
	if (++a->isolator.last_sequence == 0)
		a->isolator.last_sequence = 1;
	r = ipc_send_raw(link, MSG(ISOLATION_ORDER), a->isolator.last_sequence, order, len);
	if (r < 0) {
		(void)snprintf(why, size, "the order could not be sent to isolatord: %s", strerror(-r));
		return r == -EPIPE ? AGT_EXIT_NOT_RUNNING : AGT_EXIT_OTHER;
	}
	a->counters.orders_sent++;
	*p = (struct agt_pending){.sequence = a->isolator.last_sequence, .sent_at = mono_now(), .order_len = len};
	p->on = on;
	p->asker = asker->link;
	p->asker_sequence = asker->sequence;
	(void)snprintf(p->command_id, sizeof(p->command_id), "%s", asker->command_id != NULL ? asker->command_id : "");
	p->order = order;
	order = NULL;
	loop_timer_arm(a->isolator.timeout, ANSWER_MS);
	return AGT_EXIT_OK;
}

int
agt_isolate(struct agentd *a, bool on, uint64_t duration_s, Picket__V1__IsolationException **exceptions, size_t n,
    const struct agt_asker *asker, char *why, size_t size)
{
	Picket__V1__IsolationOrder order = PICKET__V1__ISOLATION_ORDER__INIT;
	struct agt_endpoints_view uplink;
	uint8_t *data;
	size_t len;

	order.on = on;
	order.origin = asker->command_id != NULL ? PICKET__V1__ISOLATION_ORIGIN__ISOLATION_ORIGIN_SERVER
						 : PICKET__V1__ISOLATION_ORIGIN__ISOLATION_ORIGIN_LOCAL;
	order.command_id = pb_str(asker->command_id != NULL ? asker->command_id : "picketctl");
	if (on) {
		if (duration_s > LIM_ISOLATION_S) {
			(void)snprintf(why, size, "an isolation lasts at most 9999 hours, or 0: until released");
			return AGT_EXIT_VALUE;
		}
		if (agt_exceptions_check(exceptions, n, why, size) < 0)
			return AGT_EXIT_VALUE;
		order.duration_s = duration_s;
		order.exceptions = exceptions;
		order.n_exceptions = n;
		agt_endpoints_view(&a->isolator.reported, &uplink);
		order.uplink = uplink.ptr;
		order.n_uplink = a->isolator.reported.n;
		if (order.n_uplink == 0)
			log_warning("isolation.no_uplink",
			    KV_STR("remedy", "start KATAEDR so that uplinkd reports the server's addresses"));
	}
	data = pb_pack_new(&order.base, &len);
	if (data == NULL) {
		(void)snprintf(why, size, "out of memory");
		return AGT_EXIT_OTHER;
	}
	log_notice("isolation.ordered", KV_STR("on", on ? "yes" : "no"),
	    KV_BYTES("by", order.command_id.data, order.command_id.len), KV_U64("duration_s", order.duration_s),
	    KV_U64("exceptions", order.n_exceptions), KV_U64("endpoints", order.n_uplink));
	return send_order(a, on, data, len, asker, why, size);
}

/* The order in force, unpacked. NULL when there is none. */
static Picket__V1__IsolationOrder *
order_in_force(struct agentd *a, struct pb_arena **ret_arena)
{
	const char *why;

	if (a->isolator.order == NULL)
		return NULL;
	return (Picket__V1__IsolationOrder *)(void *)pb_unpack(&picket__v1__isolation_order__descriptor,
	    a->isolator.order, a->isolator.order_len, UNPACK_BYTES, ret_arena, &why);
}

static bool
is_isolated(const Picket__V1__IsolationStatus *status)
{
	return status != NULL && (status->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_ISOLATED ||
				     status->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_FAILED);
}

/*
 * While isolated, let the order in force have the uplink's addresses of now beside those it has: a server that moved
 * stays within reach. Nothing happens when it has them all.
 */
static void
extend_order(struct agentd *a)
{
	const struct agt_asker nobody = {.link = NULL};
	const Picket__V1__IsolationStatus *status = a->isolator.result != NULL ? a->isolator.result->status : NULL;
	struct pb_arena *arena = NULL;
	Picket__V1__IsolationOrder *order = order_in_force(a, &arena);
	struct agt_endpoints all;
	struct agt_endpoints_view view;
	char why[AGT_TEXT_BYTES];
	uint8_t *data;
	size_t len;

	if (order == NULL || !is_isolated(status) || ipc_client_link(a->isolator.client) == NULL ||
	    agt_endpoints_read(&all, order->uplink, order->n_uplink) < 0 ||
	    !agt_endpoints_join(&all, &a->isolator.reported)) {
		pb_arena_free(arena);
		return;
	}
	agt_endpoints_view(&all, &view);
	order->uplink = view.ptr;
	order->n_uplink = all.n;
	order->duration_s = status->until_ms != 0 ? agt_remaining_s(status->until_ms, wall_now_ms()) : 0;
	data = pb_pack_new(&order->base, &len);
	if (data != NULL && send_order(a, true, data, len, &nobody, why, sizeof(why)) == AGT_EXIT_OK)
		log_notice("isolation.extended", KV_U64("endpoints", all.n));
	pb_arena_free(arena);
}

int
agt_isolate_endpoints(struct agentd *a, const Picket__V1__UplinkEndpoints *msg)
{
	struct agt_endpoints next;

	if (agt_endpoints_read(&next, msg->endpoints, msg->n_endpoints) < 0)
		return -EINVAL;
	a->isolator.reported = next;
	(void)agt_store_endpoints(a);
	log_info("uplink.endpoints", KV_U64("endpoints", next.n));
	extend_order(a);
	return 0;
}

/* ---- results ---- */

/*
 * An order that isolatord accepted is the one in force until a release is accepted. One that lapsed by itself stays
 * too: it is used only while isolatord says that the host is isolated (extend_order), and only our orders isolate it.
 */
static void
keep_order(struct agentd *a, struct agt_pending *p)
{
	free(a->isolator.order);
	a->isolator.order = NULL;
	if (p->on) {
		a->isolator.order = p->order;
		a->isolator.order_len = p->order_len;
		p->order = NULL;
	}
	(void)agt_store_order(a);
}

static void
answer(struct agentd *a, const struct agt_pending *p, const Picket__V1__IsolationResult *result)
{
	Picket__V1__IsolateReply reply = PICKET__V1__ISOLATE_REPLY__INIT;
	bool failed =
	    result->status != NULL && result->status->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_FAILED;
	char text[AGT_TEXT_BYTES];

	(void)snprintf(text, sizeof(text), "%.*s", (int)result->text.len, (const char *)result->text.data);
	if (failed && text[0] == '\0')
		(void)snprintf(text, sizeof(text), "ordered, but not verified in the kernel; isolatord keeps trying");
	reply.status = result->status;
	if (p->asker != NULL && result->accepted)
		(void)ipc_send(p->asker, MSG(ISOLATE_REPLY), p->asker_sequence, &reply.base, NULL, 0);
	else if (p->asker != NULL)
		(void)ipc_send_error(p->asker, p->asker_sequence, AGT_EXIT_OTHER, text);
	if (p->command_id[0] != '\0')
		agt_command_done(a, p->command_id, result->accepted && !failed, text);
}

static const char *
state_word(Picket__V1__IsolationState state)
{
	const ProtobufCEnumValue *v =
	    protobuf_c_enum_descriptor_get_value(&picket__v1__isolation_state__descriptor, (int)state);

	return v != NULL ? v->name : "?";
}

static int
on_result(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	struct agentd *a = ctx;
	struct agt_pending *p = msg->sequence != 0 ? pending_find(a, msg->sequence) : NULL;
	struct pb_arena *arena;
	const char *why;
	/* A copy of our own: it outlives this record. */
	ProtobufCMessage *pb =
	    pb_unpack(&picket__v1__isolation_result__descriptor, msg->data, msg->len, UNPACK_BYTES, &arena, &why);

	(void)link;
	if (pb == NULL)
		return -ENOMEM;
	pb_arena_free(a->isolator.result_arena);
	a->isolator.result_arena = arena;
	a->isolator.result = (Picket__V1__IsolationResult *)(void *)pb;
	if (p != NULL && a->isolator.result->accepted)
		keep_order(a, p);
	if (a->isolator.result->status != NULL)
		log_notice("isolation.state", KV_STR("state", state_word(a->isolator.result->status->state)),
		    KV_U64("sequence", msg->sequence),
		    KV_BYTES("text", a->isolator.result->text.data, a->isolator.result->text.len));
	if (p != NULL) {
		answer(a, p, a->isolator.result);
		pending_free(p);
	}
	agt_push(a);
	/* After a restart of either side the uplink may have moved. */
	if (p == NULL)
		extend_order(a);
	return 0;
}

static int
on_report(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	(void)link;
	agt_peer_report(ctx, AGT_ISOLATORD, msg);
	return 0;
}

/* ---- the link ---- */

static void
on_open(struct ipc_link *link, void *ctx)
{
	struct agentd *a = ctx;
	struct agt_peer *peer = &a->peer[AGT_ISOLATORD];
	Picket__V1__IsolationQuery query = PICKET__V1__ISOLATION_QUERY__INIT;

	peer->link = link;
	peer->pid = (uint32_t)ipc_link_pid(link);
	(void)snprintf(peer->build, sizeof(peer->build), "%s", ipc_link_build(link));
	log_info("daemon.connected", KV_STR("daemon", agt_daemon_names[AGT_ISOLATORD]), KV_U64("pid", peer->pid),
	    KV_STR("build", peer->build));
	(void)ipc_send(link, MSG(ISOLATION_QUERY), 0, &query.base, NULL, 0);
	agt_push(a);
}

static void
on_close(struct ipc_link *link, void *ctx)
{
	struct agentd *a = ctx;

	(void)link;
	a->peer[AGT_ISOLATORD].link = NULL;
	log_warning("daemon.gone", KV_STR("daemon", agt_daemon_names[AGT_ISOLATORD]),
	    KV_U64("pid", a->peer[AGT_ISOLATORD].pid));
	for (size_t i = 0; i < AGT_PENDING; i++)
		if (a->isolator.pending[i].sequence != 0)
			pending_fail(a, &a->isolator.pending[i], AGT_EXIT_NOT_RUNNING,
			    "isolatord went away before it answered: picketctl isolate status tells what is in force");
	agt_push(a);
}

int
agt_isolate_start(struct agentd *a)
{
	char path[256]; /* bytes: longer than a socket's path may be */

	a->isolator.ipc = (struct ipc_conf){
	    .self = a->daemon.name, .rules = rules, .on_open = on_open, .on_close = on_close, .ctx = a};
	a->isolator.timeout = loop_timer_new(&a->loop, on_timeout, a);
	if (a->isolator.timeout == NULL)
		return -ENOMEM;
	(void)daemon_socket_path(&a->conf.general, "isolatord", path, sizeof(path));
	/* Its socket was bound by root, and it stays root. */
	a->isolator.client = ipc_client_new(&a->loop, path, 0, IPC_PEER_ISOLATORD, &a->isolator.ipc);
	return a->isolator.client != NULL ? 0 : -ENOMEM;
}

void
agt_isolate_stop(struct agentd *a)
{
	ipc_client_free(a->isolator.client);
	if (a->isolator.timeout != NULL)
		event_free(a->isolator.timeout);
	for (size_t i = 0; i < AGT_PENDING; i++)
		pending_free(&a->isolator.pending[i]);
	pb_arena_free(a->isolator.result_arena);
	free(a->isolator.order);
}
