/*
 * The listener agentd.sock: who may say what, and what the daemons report. picketctl's requests are handled in ctl.c,
 * the server's commands in orders.c. Identity is the peer's uid; a field never says who somebody is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agentd/agentd.h"
#include "common/log.h"
#include "link.pb-c.h"
#include "telemetry.pb-c.h"
#include "uplink.pb-c.h"

/* Memory a daemon's report may cost, in bytes: stats.c sends at most 96 counters and 64 facts. */
#define REPORT_BUDGET KIB(64)

/* Milliseconds between looks at the host's addresses: DHCP leases and VPNs change them. */
#define HOST_REFRESH_MS 60000u

static int on_report(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);
static int on_source_keep(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);
static int on_uplink_endpoints(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);

#define MSG(name) PICKET__V1__MSG__MSG_##name
#define DESC(name) &picket__v1__##name##__descriptor
#define COLLECTOR IPC_PEER_COLLECTORD
#define UPLINK IPC_PEER_UPLINKD
#define DAEMON (IPC_PEER_COLLECTORD | IPC_PEER_UPLINKD)
#define PERSON (IPC_PEER_ROOT | IPC_PEER_READER)

/* A reader's changing verbs are refused in ctl.c with words: here he would be cut off without. */
static const struct ipc_rule rules[] = {
    /* clang-format off */
    {MSG(STATUS_REPORT),     DAEMON,    IPC_ANY_STATE, KIB(16), 0, 0, DESC(status_report),         on_report},
    {MSG(SOURCE_KEEP),       COLLECTOR, IPC_ANY_STATE, 64,      0, 1, DESC(source_keep),           on_source_keep},
    {MSG(SERVER_COMMAND),    UPLINK,    IPC_ANY_STATE, LIM_IPC_RECORD_BYTES, 0, 0, DESC(server_command_record), agt_on_server_command},
    {MSG(UPLINK_ENDPOINTS),  UPLINK,    IPC_ANY_STATE, KIB(4),  0, 0, DESC(uplink_endpoints),      on_uplink_endpoints},
    {MSG(STATUS_REQUEST),    PERSON,    IPC_ANY_STATE, 16,      0, 0, DESC(status_request),        agt_on_status_request},
    {MSG(TASK_REQUEST),      PERSON,    IPC_ANY_STATE, 256,     0, 0, DESC(task_request),          agt_on_task_request},
    {MSG(SETTINGS_REQUEST),  PERSON,    IPC_ANY_STATE, KIB(64), 0, 0, DESC(settings_request),      agt_on_settings_request},
    {MSG(ISOLATE_REQUEST),   PERSON,    IPC_ANY_STATE, LIM_IPC_RECORD_BYTES, 0, 0, DESC(isolate_request), agt_on_isolate_request},
    {MSG(EXCLUSION_REQUEST), PERSON,    IPC_ANY_STATE, KIB(16), 0, 0, DESC(exclusion_request),     agt_on_exclusion_request},
    {MSG(EVENTS_REQUEST),    PERSON,    IPC_ANY_STATE, 0,       0, 0, DESC(events_request),        agt_on_events_request},
    {0, 0, 0, 0, 0, 0, NULL, NULL},
    /* clang-format on */
};

static enum ipc_peer
identify(pid_t pid, uid_t uid, gid_t gid, void *ctx)
{
	const struct agentd *a = ctx;

	(void)pid;
	(void)gid;
	if (uid == a->conf.general.collectord_uid)
		return IPC_PEER_COLLECTORD;
	if (uid == a->conf.general.uplinkd_uid)
		return IPC_PEER_UPLINKD;
	/* The socket's mode lets in root and the group only. */
	return uid == 0 ? IPC_PEER_ROOT : IPC_PEER_READER;
}

static enum agt_daemon
daemon_of(const struct ipc_link *link)
{
	return ipc_link_peer(link) == IPC_PEER_COLLECTORD ? AGT_COLLECTORD : AGT_UPLINKD;
}

static bool
is_daemon(const struct ipc_link *link)
{
	return (ipc_link_peer(link) & DAEMON) != 0;
}

/* ---- the descriptor that outlives collectord ---- */

static void
let_go(struct agentd *a, const char *why)
{
	if (a->kept.fd < 0)
		return;
	(void)close(a->kept.fd);
	a->kept.fd = -1;
	log_notice("source.released", KV_STR("kind", a->kept.kind), KV_STR("why", why));
}

static void
on_keep_timeout(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	let_go(ctx, "no collectord came for it");
}

static int
on_source_keep(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__SourceKeep *keep = (const void *)msg->pb;
	struct agentd *a = ctx;

	(void)link;
	if (msg->n_fds == 0) {
		let_go(a, "collectord asked for it");
		return 0;
	}
	let_go(a, "collectord gave another");
	if (pb_to_str(keep->kind, a->kept.kind, sizeof(a->kept.kind)) < 0)
		return -EINVAL;
	a->kept.fd = msg->fds[0];
	msg->fds[0] = -1;
	log_info("source.kept", KV_STR("kind", a->kept.kind));
	return 0;
}

static int
send_handover(struct agentd *a, struct ipc_link *link)
{
	Picket__V1__SourceHandover msg = PICKET__V1__SOURCE_HANDOVER__INIT;
	size_t n = a->kept.fd >= 0 ? 1 : 0;

	if (n > 0) {
		msg.kind = pb_str(a->kept.kind);
		a->counters.source_handovers++;
		log_notice("source.handed_over", KV_STR("kind", a->kept.kind), KV_I64("pid", ipc_link_pid(link)));
	}
	/* Ours stays: this collectord may die before it has given us its own. */
	return ipc_send(link, MSG(SOURCE_HANDOVER), 0, &msg.base, &a->kept.fd, n);
}

/* ---- links ---- */

static void
on_open(struct ipc_link *link, void *ctx)
{
	struct agentd *a = ctx;
	struct agt_peer *peer;

	if (!is_daemon(link))
		return;
	peer = &a->peer[daemon_of(link)];
	/* The new one wins: the old one is a process that is dying. */
	if (peer->link != NULL)
		ipc_link_close(peer->link);
	peer->link = link;
	peer->pid = (uint32_t)ipc_link_pid(link);
	(void)snprintf(peer->build, sizeof(peer->build), "%s", ipc_link_build(link));
	free(peer->config);
	peer->config = NULL;
	log_info("daemon.connected", KV_STR("daemon", agt_daemon_names[daemon_of(link)]), KV_U64("pid", peer->pid),
	    KV_STR("build", peer->build));
	if (daemon_of(link) == AGT_COLLECTORD) {
		(void)evtimer_del(a->kept.timeout);
		(void)send_handover(a, link);
	}
	agt_push(a);
}

static void
on_close(struct ipc_link *link, void *ctx)
{
	struct agentd *a = ctx;
	struct agt_peer *peer;

	if (!is_daemon(link)) {
		agt_isolate_forget(a, link);
		return;
	}
	peer = &a->peer[daemon_of(link)];
	if (peer->link != link)
		return;
	peer->link = NULL;
	log_warning("daemon.gone", KV_STR("daemon", agt_daemon_names[daemon_of(link)]), KV_U64("pid", peer->pid));
	if (daemon_of(link) == AGT_COLLECTORD)
		loop_timer_arm(a->kept.timeout, a->conf.source_keep_ms);
	agt_push(a);
}

static void
on_drain(struct ipc_link *link, void *ctx)
{
	(void)link;
	agt_push(ctx);
}

/* ---- what daemons say ---- */

void
agt_peer_report(struct agentd *a, enum agt_daemon daemon, const struct ipc_msg *msg)
{
	struct agt_peer *peer = &a->peer[daemon];
	struct pb_arena *arena;
	const char *why;
	ProtobufCMessage *pb =
	    pb_unpack(&picket__v1__status_report__descriptor, msg->data, msg->len, REPORT_BUDGET, &arena, &why);

	if (pb == NULL) {
		log_warning("report.dropped", KV_STR("daemon", agt_daemon_names[daemon]), KV_STR("why", why));
		return;
	}
	pb_arena_free(peer->report_arena);
	peer->report_arena = arena;
	peer->report = (Picket__V1__StatusReport *)(void *)pb;
	peer->report_at = mono_now();
	agt_push(a);
}

static int
on_report(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	agt_peer_report(ctx, daemon_of(link), msg);
	return 0;
}

static int
on_uplink_endpoints(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	(void)link;
	return agt_isolate_endpoints(ctx, (const Picket__V1__UplinkEndpoints *)(const void *)msg->pb);
}

const char *
agt_peer_fact(const struct agentd *a, enum agt_daemon daemon, const char *name, char *buf, size_t size)
{
	const Picket__V1__StatusReport *report = a->peer[daemon].report;

	buf[0] = '\0';
	for (size_t i = 0; report != NULL && i < report->n_facts; i++)
		if (pb_equals(report->facts[i]->name, name))
			(void)pb_to_str(report->facts[i]->value, buf, size);
	return buf;
}

void
agt_facts(const struct agentd *a, struct agt_facts *facts)
{
	*facts = (struct agt_facts){.wants_certificate = a->settings.values.use_client_certificate};
	for (int i = 0; i < AGT_DAEMONS; i++)
		facts->open[i] = a->peer[i].link != NULL;
	(void)agt_peer_fact(a, AGT_UPLINKD, "client_certificate", facts->certificate, sizeof(facts->certificate));
	(void)agt_peer_fact(
	    a, AGT_UPLINKD, "server_certificate", facts->server_certificate, sizeof(facts->server_certificate));
}

/* ---- start and stop ---- */

static void
on_minute(evutil_socket_t fd, short what, void *ctx)
{
	struct agentd *a = ctx;

	(void)fd;
	(void)what;
	if (agt_host_refresh(&a->host))
		agt_push(a);
	loop_timer_arm(a->minute, HOST_REFRESH_MS);
}

int
agt_peers_start(struct agentd *a, int fd)
{
	a->ipc = (struct ipc_conf){.self = a->daemon.name,
	    .rules = rules,
	    .identify = identify,
	    .on_open = on_open,
	    .on_close = on_close,
	    .on_drain = on_drain,
	    .ctx = a};
	a->kept.fd = -1;
	a->kept.timeout = loop_timer_new(&a->loop, on_keep_timeout, a);
	a->minute = loop_timer_new(&a->loop, on_minute, a);
	if (a->kept.timeout == NULL || a->minute == NULL)
		return -ENOMEM;
	loop_timer_arm(a->minute, HOST_REFRESH_MS);
	a->listener = ipc_listen(&a->loop, fd, &a->ipc);
	return a->listener != NULL ? 0 : -ENOMEM;
}

void
agt_peers_stop(struct agentd *a)
{
	ipc_listener_free(a->listener);
	if (a->kept.timeout != NULL)
		event_free(a->kept.timeout);
	if (a->minute != NULL)
		event_free(a->minute);
	if (a->kept.fd >= 0)
		(void)close(a->kept.fd);
	for (int i = 0; i < AGT_DAEMONS; i++) {
		pb_arena_free(a->peer[i].report_arena);
		free(a->peer[i].config);
	}
}
