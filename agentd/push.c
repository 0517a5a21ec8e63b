/*
 * What collectord and uplinkd are told: their whole configuration, whenever it differs from what they know. Called
 * after every change; sends nothing when nothing differs, so that a call too many costs little.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/agentd.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/version.h"
#include "link.pb-c.h"
#include "telemetry.pb-c.h"
#include "uplink.pb-c.h"

/* A task that moves changes what uplinkd is told (its state goes to the server): Starting, Started, and what depends on
 * it. */
#define MAX_ROUNDS 4

/* Milliseconds in a second: the messages speak in seconds. */
#define SECOND_MS 1000u

enum told {
	TOLD_YES,     /* it has what is in force */
	TOLD_NO,      /* not connected */
	TOLD_WAITING, /* its queue is full: on_drain() calls again */
};

/* Send `msg` to a daemon unless it is what it got last. */
static enum told
tell(struct agentd *a, enum agt_daemon daemon, uint16_t type, const ProtobufCMessage *msg)
{
	struct agt_peer *peer = &a->peer[daemon];
	size_t len;
	AUTO_FREE uint8_t *data = NULL;
	int r;

	if (peer->link == NULL)
		return TOLD_NO;
	data = pb_pack_new(msg, &len);
	if (data == NULL)
		return TOLD_WAITING;
	if (peer->config != NULL && peer->config_len == len && memcmp(peer->config, data, len) == 0)
		return TOLD_YES;
	r = ipc_send_raw(peer->link, type, 0, data, len);
	if (r < 0) {
		if (r != -EAGAIN)
			log_error("push.failed", KV_STR("daemon", agt_daemon_names[daemon]), KV_ERRNO(r));
		return r == -EPIPE ? TOLD_NO : TOLD_WAITING;
	}
	free(peer->config);
	peer->config = data;
	peer->config_len = len;
	data = NULL;
	return TOLD_YES;
}

static enum told
tell_collectord(struct agentd *a)
{
	Picket__V1__CollectConfig msg = PICKET__V1__COLLECT_CONFIG__INIT;
	Picket__V1__Exclusion row[AGT_EXCLUSIONS], *ptr[AGT_EXCLUSIONS];

	msg.enabled = agt_tasks_wanted(&a->tasks, AGT_TASK_BEHAVIOR_DETECTION);
	msg.telemetry = agt_tasks_wanted(&a->tasks, AGT_TASK_KATAEDR) && a->settings.values.telemetry;
	msg.exclusions = ptr;
	msg.n_exclusions = agt_exclusions_rows(&a->exclusions, a->settings.values.use_mdr, true, row, ptr);
	return tell(a, AGT_COLLECTORD, PICKET__V1__MSG__MSG_COLLECT_CONFIG, &msg.base);
}

/* The AgentState of the next sync, packed. NULL without memory. Free it. */
static uint8_t *
pack_state(struct agentd *a, size_t *ret_len)
{
	Picket__V1__AgentState state = PICKET__V1__AGENT_STATE__INIT;
	Picket__V1__IsolationStatus isolation = PICKET__V1__ISOLATION_STATUS__INIT;
	ProtobufCBinaryData addresses[AGT_ADDRESSES], macs[AGT_MACS];
	struct agt_task_view tasks;
	char detail[AGT_TEXT_BYTES];

	agt_task_view(a, &tasks);
	agt_isolation_view(a, &isolation, detail);
	for (size_t i = 0; i < a->host.n_addresses; i++)
		addresses[i] = pb_bytes(a->host.address[i].bytes, a->host.address[i].len);
	for (size_t i = 0; i < a->host.n_macs; i++)
		macs[i] = pb_bytes(a->host.mac[i], sizeof(a->host.mac[i]));
	state.host_name = pb_str(a->host.name);
	state.addresses = addresses;
	state.n_addresses = a->host.n_addresses;
	state.macs = macs;
	state.n_macs = a->host.n_macs;
	state.os_name = pb_str(a->host.os_name);
	state.os_version = pb_str(a->host.os_version);
	state.kernel = pb_str(a->host.kernel);
	state.agent_version = pb_str(picket_version);
	state.settings_revision = a->settings.revision;
	state.tasks = tasks.ptr;
	state.n_tasks = AGT_TASKS;
	state.isolation = &isolation;
	return pb_pack_new(&state.base, ret_len);
}

static enum told
tell_uplinkd(struct agentd *a, const struct agt_facts *facts)
{
	const struct agt_values *v = &a->settings.values;
	Picket__V1__UplinkConfig msg = PICKET__V1__UPLINK_CONFIG__INIT;
	Picket__V1__ServerAddress row[AGT_SERVERS], *ptr[AGT_SERVERS];
	size_t state_len = 0;
	AUTO_FREE uint8_t *state = pack_state(a, &state_len);

	if (state == NULL)
		return TOLD_WAITING;
	for (size_t i = 0; i < AGT_SERVERS; i++) {
		if (v->address[i][0] == '\0')
			continue;
		picket__v1__server_address__init(&row[msg.n_servers]);
		row[msg.n_servers].host = pb_str(v->address[i]);
		row[msg.n_servers].port = (uint32_t)v->port[i];
		ptr[msg.n_servers] = &row[msg.n_servers];
		msg.n_servers++;
	}
	msg.servers = ptr;
	/* Started without its certificate it keeps trying; on the way there it waits for it. */
	msg.enabled = a->tasks.task[AGT_TASK_KATAEDR].state == AGT_STATE_STARTED ||
		      (agt_tasks_wanted(&a->tasks, AGT_TASK_KATAEDR) && agt_facts_certificate_ok(facts));
	msg.agent_id = pb_str(a->agent_id);
	msg.client_certificate = v->use_client_certificate;
	msg.sync_period_s = (uint32_t)(v->sync_period_ms / SECOND_MS);
	msg.connection_timeout_s = (uint32_t)(v->connection_timeout_ms / SECOND_MS);
	msg.request_timeout_s = (uint32_t)(v->request_timeout_ms / SECOND_MS);
	msg.maximum_data_transfer_time_s = (uint32_t)(v->transfer_time_ms / SECOND_MS);
	msg.maximum_number_of_events_in_package = (uint32_t)v->package_events;
	msg.proxy = pb_str(v->use_proxy ? v->proxy : "");
	msg.agent_state = pb_bytes(state, state_len);
	msg.enable_telemetry = v->telemetry;
	return tell(a, AGT_UPLINKD, PICKET__V1__MSG__MSG_UPLINK_CONFIG, &msg.base);
}

static void
log_moves(const struct agt_tasks *before, const struct agentd *a, const struct agt_facts *facts)
{
	char why[AGT_TEXT_BYTES];

	for (int i = 0; i < AGT_TASKS; i++)
		if (before->task[i].state != a->tasks.task[i].state)
			log_notice("task.state", KV_STR("task", agt_task_defs[i].name),
			    KV_STR("from", agt_fsm_state_name(before->task[i].state)),
			    KV_STR("to", agt_fsm_state_name(a->tasks.task[i].state)),
			    KV_STR("why", agt_tasks_reason(&a->tasks, (enum agt_task)i, facts, why, sizeof(why))));
}

void
agt_push(struct agentd *a)
{
	if (a->pushing)
		return;
	a->pushing = true;
	for (int round = 0; round < MAX_ROUNDS; round++) {
		const struct agt_tasks before = a->tasks;
		enum told told[AGT_DAEMONS] = {[AGT_ISOLATORD] = TOLD_WAITING};
		struct agt_facts facts;

		agt_facts(a, &facts);
		agt_tasks_observe(&a->tasks, &facts, wall_now_ms());
		a->tasks.tell = false;
		told[AGT_COLLECTORD] = tell_collectord(a);
		told[AGT_UPLINKD] = tell_uplinkd(a, &facts);
		for (int i = 0; i < AGT_DAEMONS; i++)
			if (told[i] != TOLD_WAITING)
				agt_tasks_told(
				    &a->tasks, (enum agt_daemon)i, told[i] == TOLD_YES, &facts, wall_now_ms());
		log_moves(&before, a, &facts);
		if (!a->tasks.tell)
			break;
	}
	a->pushing = false;
}
