/*
 * picketctl's requests: checks who asks, asks decide.c, isolate.c or status.c, answers. Never acts by itself and never
 * waits. The table that leads here stands in peers.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agentd/agentd.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "telemetry.pb-c.h"

#define MSG(name) PICKET__V1__MSG__MSG_##name

/* Bytes of a task's name or number with its end. */
#define TASK_BYTES 64u

/* Answer with an Error; the request is over. */
static int
refuse(struct agentd *a, struct ipc_link *link, const struct ipc_msg *msg, int code, const char *why)
{
	a->counters.requests_refused++;
	return ipc_send_error(link, msg->sequence, (uint32_t)code, why);
}

/* True when the asker may change something; else he has been told. */
static bool
is_root(struct agentd *a, struct ipc_link *link, const struct ipc_msg *msg, const char *what)
{
	char why[AGT_TEXT_BYTES];

	if (ipc_link_peer(link) == IPC_PEER_ROOT)
		return true;
	log_notice("request.refused", KV_STR("what", what), KV_I64("pid", ipc_link_pid(link)));
	(void)snprintf(why, sizeof(why), "only root may %s: try sudo picketctl", what);
	(void)refuse(a, link, msg, AGT_EXIT_POLICY, why);
	return false;
}

int
agt_on_status_request(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__StatusRequest *request = (const void *)msg->pb;
	struct agentd *a = ctx;

	a->counters.requests++;
	return agt_status_reply(a, link, msg->sequence, request->counters);
}

/* ---- tasks ---- */

/* LIST: all; else the one asked for and those it needs, which may have changed with it. */
static int
task_reply(struct agentd *a, struct ipc_link *link, uint32_t sequence, int task)
{
	Picket__V1__TaskReply reply = PICKET__V1__TASK_REPLY__INIT;
	Picket__V1__TaskInfo *ptr[AGT_TASKS];
	struct agt_task_view view;

	agt_task_view(a, &view);
	for (int i = 0; i < AGT_TASKS; i++)
		if (task < 0 || i == task || agt_task_defs[task].needs == i)
			ptr[reply.n_tasks++] = view.ptr[i];
	reply.tasks = ptr;
	return ipc_send(link, MSG(TASK_REPLY), sequence, &reply.base, NULL, 0);
}

int
agt_on_task_request(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__TaskRequest *request = (const void *)msg->pb;
	struct agentd *a = ctx;
	bool start = request->verb == PICKET__V1__TASK_VERB__TASK_VERB_START;
	char name[TASK_BYTES], why[AGT_TEXT_BYTES];
	int task, code;

	a->counters.requests++;
	if (request->verb == PICKET__V1__TASK_VERB__TASK_VERB_LIST)
		return task_reply(a, link, msg->sequence, -1);
	if (!start && request->verb != PICKET__V1__TASK_VERB__TASK_VERB_STOP)
		return refuse(a, link, msg, AGT_EXIT_ARGUMENT, "no such task verb");
	if (!is_root(a, link, msg, "start and stop tasks"))
		return 0;
	task = pb_to_str(request->task, name, sizeof(name)) == 0 ? agt_task_find(name) : -1;
	if (task < 0) {
		(void)snprintf(why, sizeof(why), "%s: no such task; picketctl task list shows those there are", name);
		return refuse(a, link, msg, AGT_EXIT_ARGUMENT, why);
	}
	code = agt_decide_task(a, (enum agt_task)task, start, request->with_dependencies, why, sizeof(why));
	if (code != AGT_EXIT_OK)
		return refuse(a, link, msg, code, why);
	return task_reply(a, link, msg->sequence, task);
}

/* ---- settings ---- */

/* True when the row is among those asked for; with none asked for, all that have a value are. */
static bool
is_asked_for(const struct agentd *a, const Picket__V1__SettingsRequest *request, size_t row)
{
	char section[TASK_BYTES], key[TASK_BYTES];

	if (request->n_settings == 0)
		return !agt_setting_is_hidden(&a->settings, row);
	for (size_t i = 0; i < request->n_settings; i++)
		if (pb_to_str(request->settings[i]->section, section, sizeof(section)) == 0 &&
		    pb_to_str(request->settings[i]->key, key, sizeof(key)) == 0 &&
		    agt_setting_find(section, key) == (int)row)
			return true;
	return false;
}

static int
settings_reply(struct agentd *a, struct ipc_link *link, const struct ipc_msg *msg)
{
	const Picket__V1__SettingsRequest *request = (const void *)msg->pb;
	Picket__V1__SettingsReply reply = PICKET__V1__SETTINGS_REPLY__INIT;
	Picket__V1__Setting row[AGT_SETTINGS], *ptr[AGT_SETTINGS];
	char value[AGT_SETTINGS][AGT_VALUE_BYTES], masked[AGT_VALUE_BYTES];

	for (size_t i = 0; i < AGT_SETTINGS; i++) {
		const struct agt_setting *def = agt_setting_row(i);
		Picket__V1__Setting *s = &row[reply.n_settings];

		if (!is_asked_for(a, request, i))
			continue;
		picket__v1__setting__init(s);
		s->section = pb_str(def->section);
		s->key = pb_str(def->key);
		s->value = pb_str(agt_setting_text(&a->settings, i, value[i], sizeof(value[i])));
		/* A proxy's password is root's business. */
		if (def->type == AGT_SETTING_PROXY && ipc_link_peer(link) != IPC_PEER_ROOT)
			s->value = pb_str(agt_proxy_mask(value[i], masked, sizeof(masked)));
		s->origin = a->settings.local[i] ? PICKET__V1__SETTING_ORIGIN__SETTING_ORIGIN_LOCAL
						 : PICKET__V1__SETTING_ORIGIN__SETTING_ORIGIN_DEFAULT;
		s->help = pb_str(def->help);
		ptr[reply.n_settings++] = s;
	}
	reply.revision = a->settings.revision;
	reply.settings = ptr;
	return ipc_send(link, MSG(SETTINGS_REPLY), msg->sequence, &reply.base, NULL, 0);
}

int
agt_on_settings_request(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__SettingsRequest *request = (const void *)msg->pb;
	struct agentd *a = ctx;
	char task[TASK_BYTES], why[AGT_TEXT_BYTES], section[TASK_BYTES], key[TASK_BYTES];
	int code;

	a->counters.requests++;
	if (pb_to_str(request->task, task, sizeof(task)) < 0 || agt_task_find(task) != AGT_TASK_KATAEDR) {
		(void)snprintf(why, sizeof(why), "%s: no task with settings; KATAEDR (24) has some", task);
		return refuse(a, link, msg, AGT_EXIT_ARGUMENT, why);
	}
	if (request->verb == PICKET__V1__SETTINGS_VERB__SETTINGS_VERB_SET) {
		if (!is_root(a, link, msg, "change settings"))
			return 0;
		code = agt_decide_settings(a, task, request->settings, request->n_settings, why, sizeof(why));
		return code == AGT_EXIT_OK ? settings_reply(a, link, msg) : refuse(a, link, msg, code, why);
	}
	if (request->verb != PICKET__V1__SETTINGS_VERB__SETTINGS_VERB_GET)
		return refuse(a, link, msg, AGT_EXIT_ARGUMENT, "no such settings verb");
	for (size_t i = 0; i < request->n_settings; i++) {
		if (pb_to_str(request->settings[i]->section, section, sizeof(section)) == 0 &&
		    pb_to_str(request->settings[i]->key, key, sizeof(key)) == 0 && agt_setting_find(section, key) >= 0)
			continue;
		(void)snprintf(why, sizeof(why), "%.*s: no such setting; picketctl settings get KATAEDR lists them",
		    (int)request->settings[i]->key.len, (const char *)request->settings[i]->key.data);
		return refuse(a, link, msg, AGT_EXIT_ARGUMENT, why);
	}
	return settings_reply(a, link, msg);
}

/* ---- isolation ---- */

int
agt_on_isolate_request(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__IsolateRequest *request = (const void *)msg->pb;
	struct agentd *a = ctx;
	const struct agt_asker asker = {.link = link, .sequence = msg->sequence};
	bool on = request->verb == PICKET__V1__ISOLATE_VERB__ISOLATE_VERB_ON;
	char why[AGT_TEXT_BYTES];
	int code;

	a->counters.requests++;
	if (request->verb == PICKET__V1__ISOLATE_VERB__ISOLATE_VERB_STATUS) {
		Picket__V1__IsolateReply reply = PICKET__V1__ISOLATE_REPLY__INIT;
		Picket__V1__IsolationStatus status;

		agt_isolation_view(a, &status, why);
		reply.status = &status;
		return ipc_send(link, MSG(ISOLATE_REPLY), msg->sequence, &reply.base, NULL, 0);
	}
	if (!on && request->verb != PICKET__V1__ISOLATE_VERB__ISOLATE_VERB_OFF)
		return refuse(a, link, msg, AGT_EXIT_ARGUMENT, "no such isolation verb");
	if (!is_root(a, link, msg, "isolate or release the host"))
		return 0;
	code = agt_isolate(
	    a, on, request->duration_s, request->exceptions, request->n_exceptions, &asker, why, sizeof(why));
	return code == AGT_EXIT_OK ? 0 : refuse(a, link, msg, code, why);
}

/* ---- exclusions ---- */

static int
exclusion_reply(struct agentd *a, struct ipc_link *link, uint32_t sequence)
{
	Picket__V1__ExclusionReply reply = PICKET__V1__EXCLUSION_REPLY__INIT;
	Picket__V1__Exclusion row[AGT_EXCLUSIONS], *ptr[AGT_EXCLUSIONS];

	reply.exclusions = ptr;
	reply.n_exclusions = agt_exclusions_rows(&a->exclusions, a->settings.values.use_mdr, false, row, ptr);
	if (a->settings.values.use_mdr)
		reply.note = pb_str("UseMDR=Yes: exclusions by process are kept but not applied, "
				    "because managed detection needs every event");
	return ipc_send(link, MSG(EXCLUSION_REPLY), sequence, &reply.base, NULL, 0);
}

/* Add or remove, persist, tell collectord; on failure everything is as before. */
static int
change_exclusions(struct agentd *a, const Picket__V1__Exclusion *exclusion, bool add, char *why, size_t size)
{
	AUTO_FREE char *before = agt_exclusions_format(&a->exclusions);
	char ignored[AGT_TEXT_BYTES];
	int code;

	if (before == NULL || exclusion == NULL) {
		(void)snprintf(why, size, "%s", exclusion == NULL ? "no rule in the request" : "out of memory");
		return exclusion == NULL ? AGT_EXIT_ARGUMENT : AGT_EXIT_OTHER;
	}
	if (add)
		code = agt_exclusions_add(&a->exclusions, exclusion, why, size);
	else
		code = agt_exclusions_remove(&a->exclusions, exclusion->id, why, size);
	if (code != AGT_EXIT_OK)
		return code;
	if (agt_store_exclusions(a) < 0) {
		agt_exclusions_done(&a->exclusions);
		(void)agt_exclusions_parse(&a->exclusions, before, ignored, sizeof(ignored));
		(void)snprintf(why, size, "cannot write to the state directory: see agentd's log; nothing was changed");
		return AGT_EXIT_OTHER;
	}
	if (add)
		log_notice("exclusion.added", KV_U64("id", a->exclusions.rule[a->exclusions.n - 1]->id),
		    KV_BYTES("path", exclusion->process_path.data, exclusion->process_path.len));
	else
		log_notice("exclusion.removed", KV_U64("id", exclusion->id));
	agt_push(a);
	return AGT_EXIT_OK;
}

int
agt_on_exclusion_request(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__ExclusionRequest *request = (const void *)msg->pb;
	struct agentd *a = ctx;
	bool add = request->verb == PICKET__V1__EXCLUSION_VERB__EXCLUSION_VERB_ADD;
	char why[AGT_TEXT_BYTES];
	int code;

	a->counters.requests++;
	if (request->verb == PICKET__V1__EXCLUSION_VERB__EXCLUSION_VERB_LIST)
		return exclusion_reply(a, link, msg->sequence);
	if (!add && request->verb != PICKET__V1__EXCLUSION_VERB__EXCLUSION_VERB_REMOVE)
		return refuse(a, link, msg, AGT_EXIT_ARGUMENT, "no such exclusion verb");
	if (!is_root(a, link, msg, "change exclusions"))
		return 0;
	code = change_exclusions(a, request->exclusion, add, why, sizeof(why));
	return code == AGT_EXIT_OK ? exclusion_reply(a, link, msg->sequence) : refuse(a, link, msg, code, why);
}

/* ---- events ---- */

/* A pair: one end to collectord, the other to the asker. Events do not pass through here. */
int
agt_on_events_request(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	Picket__V1__TailOpen open = PICKET__V1__TAIL_OPEN__INIT;
	Picket__V1__EventsReply reply = PICKET__V1__EVENTS_REPLY__INIT;
	struct agentd *a = ctx;
	int pair[2], r;

	a->counters.requests++;
	if (a->peer[AGT_COLLECTORD].link == NULL)
		return refuse(a, link, msg, AGT_EXIT_NOT_RUNNING,
		    "collectord is not connected, so there are no events: start it (systemctl start "
		    "picket-collectord)");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return refuse(a, link, msg, AGT_EXIT_OTHER, "agentd is out of descriptors: close other picketctl");
	r = ipc_send(a->peer[AGT_COLLECTORD].link, MSG(TAIL_OPEN), 0, &open.base, &pair[0], 1);
	if (r == 0)
		r = ipc_send(link, MSG(EVENTS_REPLY), msg->sequence, &reply.base, &pair[1], 1);
	else
		r = refuse(a, link, msg, AGT_EXIT_OTHER, "collectord does not take orders now: try again");
	(void)close(pair[0]);
	(void)close(pair[1]);
	return r;
}
