/*
 * Replies from what is known: the last reports, the last isolation result, our own state. Never asks a daemon and never
 * waits, so that a status is there at once with every daemon hung. Called by ctl.c and push.c.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agentd/agentd.h"
#include "common/stats.h"
#include "common/version.h"

/* Daemons in a status: ourselves first. */
#define ROWS (AGT_DAEMONS + 1)

static const struct stats_name counter_names[] = {
    STATS_NAME(struct agt_counters, commands_done),
    STATS_NAME(struct agt_counters, commands_failed),
    STATS_NAME(struct agt_counters, commands_refused),
    STATS_NAME(struct agt_counters, commands_repeated),
    STATS_NAME(struct agt_counters, orders_sent),
    STATS_NAME(struct agt_counters, requests),
    STATS_NAME(struct agt_counters, requests_refused),
    STATS_NAME(struct agt_counters, store_errors),
    STATS_NAME(struct agt_counters, source_handovers),
    {NULL, 0},
};

void
agt_task_view(const struct agentd *a, struct agt_task_view *view)
{
	struct agt_facts facts;

	agt_facts(a, &facts);
	for (int i = 0; i < AGT_TASKS; i++) {
		Picket__V1__TaskInfo *row = &view->row[i];

		picket__v1__task_info__init(row);
		row->id = agt_task_defs[i].id;
		row->name = pb_str(agt_task_defs[i].name);
		/* The numbers are the same (fsm.h). */
		row->state = (Picket__V1__TaskState)a->tasks.task[i].state;
		row->since_ms = a->tasks.task[i].since_ms;
		row->reason = pb_str(
		    agt_tasks_reason(&a->tasks, (enum agt_task)i, &facts, view->reason[i], sizeof(view->reason[i])));
		view->ptr[i] = row;
	}
}

_Static_assert((int)AGT_STATE_STOPPED == (int)PICKET__V1__TASK_STATE__TASK_STATE_STOPPED, "fsm.h and control.proto");
_Static_assert((int)AGT_STATE_STARTING == (int)PICKET__V1__TASK_STATE__TASK_STATE_STARTING, "fsm.h and control.proto");
_Static_assert((int)AGT_STATE_STARTED == (int)PICKET__V1__TASK_STATE__TASK_STATE_STARTED, "fsm.h and control.proto");
_Static_assert((int)AGT_STATE_STOPPING == (int)PICKET__V1__TASK_STATE__TASK_STATE_STOPPING, "fsm.h and control.proto");

void
agt_isolation_view(const struct agentd *a, Picket__V1__IsolationStatus *status, char *detail)
{
	const Picket__V1__IsolationResult *result = a->isolator.result;

	picket__v1__isolation_status__init(status);
	if (result != NULL && result->status != NULL)
		*status = *result->status;
	if (a->peer[AGT_ISOLATORD].link != NULL)
		return;
	(void)snprintf(detail, AGT_TEXT_BYTES, "isolatord is not connected%s%.*s",
	    status->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_UNSPECIFIED ? "" : ": the last known state; ",
	    (int)status->detail.len, (const char *)status->detail.data);
	status->detail = pb_str(detail);
}

/* A daemon that connects to us. */
static void
fill_peer(const struct agt_peer *peer, bool counters, Picket__V1__DaemonStatus *row)
{
	row->connected = peer->link != NULL;
	row->build = pb_str(peer->build);
	row->pid = peer->link != NULL ? peer->pid : 0;
	if (peer->report == NULL)
		return;
	row->report_age_ms = mono_since(peer->report_at, mono_now());
	row->facts = peer->report->facts;
	row->n_facts = peer->report->n_facts;
	if (counters) {
		row->counters = peer->report->counters;
		row->n_counters = peer->report->n_counters;
	}
}

int
agt_status_reply(struct agentd *a, struct ipc_link *link, uint32_t sequence, bool counters)
{
	Picket__V1__StatusReply reply = PICKET__V1__STATUS_REPLY__INIT;
	Picket__V1__IsolationStatus isolation;
	Picket__V1__DaemonStatus row[ROWS], *ptr[ROWS];
	Picket__V1__Counter own[sizeof(counter_names) / sizeof(counter_names[0])];
	Picket__V1__Counter *own_ptr[sizeof(counter_names) / sizeof(counter_names[0])];
	struct agt_task_view tasks;
	char detail[AGT_TEXT_BYTES];

	for (int i = 0; i < ROWS; i++) {
		picket__v1__daemon_status__init(&row[i]);
		ptr[i] = &row[i];
	}
	row[0].name = pb_str(a->daemon.name);
	row[0].connected = true;
	row[0].build = pb_str(picket_version);
	row[0].pid = (uint32_t)getpid();
	row[0].counters = own_ptr;
	for (size_t i = 0; counters && counter_names[i].name != NULL; i++) {
		picket__v1__counter__init(&own[i]);
		own[i].name = pb_str(counter_names[i].name);
		own[i].value = stats_value(&counter_names[i], &a->counters);
		own_ptr[i] = &own[i];
		row[0].n_counters++;
	}
	for (int i = 0; i < AGT_DAEMONS; i++) {
		row[i + 1].name = pb_str(agt_daemon_names[i]);
		fill_peer(&a->peer[i], counters, &row[i + 1]);
	}
	agt_task_view(a, &tasks);
	agt_isolation_view(a, &isolation, detail);
	reply.agent_id = pb_str(a->agent_id);
	reply.host = pb_str(a->host.name);
	reply.daemons = ptr;
	reply.n_daemons = ROWS;
	reply.tasks = tasks.ptr;
	reply.n_tasks = AGT_TASKS;
	reply.isolation = &isolation;
	reply.time_ms = wall_now_ms();
	return ipc_send(link, PICKET__V1__MSG__MSG_STATUS_REPLY, sequence, &reply.base, NULL, 0);
}
