/*
 * uplinkd's two links: the listener uplinkd.sock (collectord hands events in) and the connection to agentd.sock
 * (settings come in; commands, addresses and status go out). Identity is the peer's uid; a field never says who
 * somebody is.
 */
#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/pb.h"
#include "telemetry.pb-c.h"
#include "uplink.pb-c.h"
#include "uplinkd/names.h"
#include "uplinkd/uplinkd.h"

#define MSG(name) PICKET__V1__MSG__MSG_##name
#define DESC(name) &picket__v1__##name##__descriptor

static int on_config(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);

static const struct ipc_rule collectord_rules[] = {
    /* clang-format off */
    {MSG(EVENT_BATCH),    IPC_PEER_COLLECTORD, IPC_ANY_STATE, LIM_IPC_RECORD_BYTES, 0, 0, NULL,               upl_on_batch},
    {MSG(RESUME_QUERY),   IPC_PEER_COLLECTORD, IPC_ANY_STATE, 16,                   0, 0, DESC(resume_query), upl_on_resume},
    {0, 0, 0, 0, 0, 0, NULL, NULL},
    /* clang-format on */
};

static const struct ipc_rule agentd_rules[] = {
    /* clang-format off */
    {MSG(UPLINK_CONFIG),  IPC_PEER_AGENTD, IPC_ANY_STATE, KIB(64), 0, 0, DESC(uplink_config),         on_config},
    {MSG(COMMAND_RESULT), IPC_PEER_AGENTD, IPC_ANY_STATE, KIB(8),  0, 0, DESC(command_result_record), upl_on_result},
    {0, 0, 0, 0, 0, 0, NULL, NULL},
    /* clang-format on */
};

/* ---- collectord ---- */

static enum ipc_peer
identify(pid_t pid, uid_t uid, gid_t gid, void *ctx)
{
	const struct uplinkd *u = ctx;

	(void)pid;
	(void)gid;
	return uid == u->conf.general.collectord_uid ? IPC_PEER_COLLECTORD : IPC_PEER_NONE;
}

static void
on_collectord_open(struct ipc_link *link, void *ctx)
{
	struct uplinkd *u = ctx;

	/* The new one wins: the old one is a process that is dying. */
	if (u->ingest.link != NULL)
		ipc_link_close(u->ingest.link);
	upl_ingest_forget(u, u->ingest.link);
	u->ingest.link = link;
	log_info("collectord.connected", KV_I64("pid", ipc_link_pid(link)), KV_STR("build", ipc_link_build(link)));
}

static void
on_collectord_close(struct ipc_link *link, void *ctx)
{
	log_info("collectord.gone", KV_I64("pid", ipc_link_pid(link)));
	upl_ingest_forget(ctx, link);
}

/* ---- agentd ---- */

static int
configure_http(struct uplinkd *u)
{
	const struct http_conf conf = {
	    .connect_timeout_ms = u->settings.connect_timeout_ms,
	    .request_timeout_ms = u->settings.request_timeout_ms,
	    .proxy = u->settings.proxy,
	    .tls = &u->tls,
	    .client_certificate = u->settings.client_certificate,
	};

	return http_configure(u->http, &conf);
}

/* True when connections made under the old settings must not be used any more. */
static bool
link_differs(const struct upl_settings *a, const struct upl_settings *b)
{
	return !a->known || a->client_certificate != b->client_certificate ||
	       a->connect_timeout_ms != b->connect_timeout_ms || a->request_timeout_ms != b->request_timeout_ms ||
	       strcmp(a->proxy, b->proxy) != 0 || strcmp(a->agent_id, b->agent_id) != 0;
}

static bool
state_differs(const struct upl_settings *settings, ProtobufCBinaryData state)
{
	return settings->agent_state_len != state.len ||
	       (state.len > 0 && memcmp(settings->agent_state, state.data, state.len) != 0);
}

/* Settings are new: what hangs on them starts over. */
static void
apply(
    struct uplinkd *u, const struct upl_settings *before, const struct upl_servers *servers_before, bool state_changed)
{
	bool other_servers = !upl_servers_same(servers_before, &u->servers);
	bool other_link = link_differs(before, &u->settings);
	bool enabled = u->settings.enabled != before->enabled;

	if (other_link && configure_http(u) < 0)
		log_error("config.failed", KV_ERRNO(ENOMEM), KV_STR("remedy", "more memory"));
	if (other_servers)
		upl_names_changed(u);
	if (other_servers || other_link || enabled)
		log_info("config.taken", KV_STR("agent_id", u->settings.agent_id), KV_U64("servers", u->servers.n),
		    KV_STR("enabled", u->settings.enabled ? "yes" : "no"));
	upl_send_endpoints(u);
	upl_status_changed(u);
	if (other_servers || other_link || enabled || before->sync_period_ms != u->settings.sync_period_ms) {
		upl_link_reset(u);
		upl_delivery_hurry(u, true);
		upl_sync_soon(u, 0);
		return;
	}
	upl_delivery_kick(u);
	if (state_changed)
		upl_sync_soon(u, UPL_STATE_SYNC_MS);
}

static int
on_config(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__UplinkConfig *config = (const void *)msg->pb;
	struct uplinkd *u = ctx;
	struct upl_settings before = u->settings;
	const struct upl_servers servers_before = u->servers;
	bool state_changed = state_differs(&u->settings, config->agent_state);
	const char *why;
	int r;

	(void)link;
	before.agent_state = NULL; /* freed by the next line */
	r = upl_settings_take(u, config, &why);
	if (r < 0)
		log_error("config.refused", KV_STR("field", why), KV_ERRNO(r));
	else
		apply(u, &before, &servers_before, state_changed);
	explicit_bzero(&before, sizeof(before));
	return r;
}

static void
on_agentd_open(struct ipc_link *link, void *ctx)
{
	struct uplinkd *u = ctx;

	log_info("agentd.connected", KV_I64("pid", ipc_link_pid(link)), KV_STR("build", ipc_link_build(link)));
	u->endpoints_len = 0;
	upl_send_endpoints(u);
	u->reported.ms = 0;
	upl_status_changed(u);
}

static void
on_agentd_close(struct ipc_link *link, void *ctx)
{
	(void)ctx;
	/* The last settings stay in force: delivery does not need agentd. */
	log_warning("agentd.gone", KV_I64("pid", ipc_link_pid(link)));
}

/* ---- addresses for the packet filter ---- */

static void
add_endpoints(const struct upl_server *server, Picket__V1__IsolationEndpoint *rows,
    Picket__V1__IsolationEndpoint **ptrs, size_t *n)
{
	for (size_t i = 0; i < server->n_addresses && *n < LIM_ISOLATION_ENDPOINTS; i++) {
		picket__v1__isolation_endpoint__init(&rows[*n]);
		rows[*n].address = pb_bytes(server->addresses[i].bytes, server->addresses[i].len);
		rows[*n].port = server->port;
		ptrs[*n] = &rows[*n];
		(*n)++;
	}
}

void
upl_send_endpoints(struct uplinkd *u)
{
	Picket__V1__UplinkEndpoints msg = PICKET__V1__UPLINK_ENDPOINTS__INIT;
	Picket__V1__IsolationEndpoint rows[LIM_ISOLATION_ENDPOINTS], *ptrs[LIM_ISOLATION_ENDPOINTS];
	struct ipc_link *link = u->agentd != NULL ? ipc_client_link(u->agentd) : NULL;
	uint8_t packed[sizeof(u->endpoints)];
	size_t len;

	if (link == NULL || !u->settings.known)
		return;
	msg.endpoints = ptrs;
	if (u->servers.proxy.host[0] != '\0')
		add_endpoints(&u->servers.proxy, rows, ptrs, &msg.n_endpoints);
	else
		for (size_t i = 0; i < u->servers.n; i++)
			add_endpoints(&u->servers.list[i], rows, ptrs, &msg.n_endpoints);
	len = picket__v1__uplink_endpoints__get_packed_size(&msg);
	if (len > sizeof(packed))
		return;
	(void)picket__v1__uplink_endpoints__pack(&msg, packed);
	if (len == u->endpoints_len && memcmp(packed, u->endpoints, len) == 0)
		return;
	if (ipc_send_raw(link, MSG(UPLINK_ENDPOINTS), 0, packed, len) < 0)
		return;
	memcpy(u->endpoints, packed, len);
	u->endpoints_len = len;
}

/* ---- start and stop ---- */

int
upl_peers_start(struct uplinkd *u, int listener)
{
	char path[256]; /* bytes: longer than a socket's path may be */

	u->collectord_ipc = (struct ipc_conf){
	    .self = u->daemon.name,
	    .rules = collectord_rules,
	    .identify = identify,
	    .on_open = on_collectord_open,
	    .on_close = on_collectord_close,
	    .ctx = u,
	};
	u->agentd_ipc = (struct ipc_conf){
	    .self = u->daemon.name,
	    .rules = agentd_rules,
	    .on_open = on_agentd_open,
	    .on_close = on_agentd_close,
	    .ctx = u,
	};
	u->listener = ipc_listen(&u->loop, listener, &u->collectord_ipc);
	u->agentd = ipc_client_new(&u->loop, daemon_socket_path(&u->conf.general, "agentd", path, sizeof(path)),
	    u->conf.general.agentd_uid, IPC_PEER_AGENTD, &u->agentd_ipc);
	return u->listener != NULL && u->agentd != NULL ? 0 : -ENOMEM;
}

void
upl_peers_stop(struct uplinkd *u)
{
	ipc_listener_free(u->listener);
	ipc_client_free(u->agentd);
	u->listener = NULL;
	u->agentd = NULL;
}
