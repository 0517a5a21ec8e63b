/* Judges a status: see verdict.h. Never prints; called by cmd_status.c and monitor.c. */
#include "picketctl/verdict.h"

#include <stdio.h>
#include <string.h>

#include "common/pb.h"
#include "picketctl/ctl.h"

/* Facts and counters that mean something here; their daemons' manuals say what they are. */
#define FACT_RULES "rules"               /* collectord: "loaded", or why not */
#define FACT_LINK "state"                /* uplinkd: "connected", or why not */
#define COUNTER_SEEN "events"            /* collectord */
#define COUNTER_SENT "acked"             /* uplinkd: the server has them */
#define COUNTER_WAITING "spooled_events" /* uplinkd */

const Picket__V1__DaemonStatus *
ctl_daemon(const Picket__V1__StatusReply *status, const char *name)
{
	for (size_t i = 0; i < status->n_daemons; i++)
		if (pb_equals(status->daemons[i]->name, name))
			return status->daemons[i];
	return NULL;
}

uint64_t
ctl_counter(const Picket__V1__DaemonStatus *daemon, const char *name)
{
	for (size_t i = 0; daemon != NULL && i < daemon->n_counters; i++)
		if (pb_equals(daemon->counters[i]->name, name))
			return daemon->counters[i]->value;
	return 0;
}

const char *
ctl_fact(const Picket__V1__DaemonStatus *daemon, const char *name, char *buf, size_t size)
{
	buf[0] = '\0';
	for (size_t i = 0; daemon != NULL && i < daemon->n_facts; i++)
		if (pb_equals(daemon->facts[i]->name, name))
			return ctl_escape(daemon->facts[i]->value, buf, size);
	return buf;
}

/* Append a clause to a sentence of several. */
static void
add(char *why, const char *first, const char *rest)
{
	size_t at = strlen(why);

	(void)snprintf(why + at, CTL_WHY_BYTES - at, "%s%s%s", at > 0 ? "; " : "", first, rest);
}

static void
need_daemon(const Picket__V1__StatusReply *status, const char *name, char *why)
{
	const Picket__V1__DaemonStatus *daemon = ctl_daemon(status, name);

	if (daemon == NULL || !daemon->connected)
		add(why, name, " is not connected");
}

/* The task must be started, and nothing be said about it. */
static void
need_task(const Picket__V1__StatusReply *status, uint32_t id, char *why)
{
	char text[CTL_TEXT_BYTES], name[64], is[96];

	for (size_t i = 0; i < status->n_tasks; i++) {
		const Picket__V1__TaskInfo *task = status->tasks[i];

		if (task->id != id)
			continue;
		(void)snprintf(is, sizeof(is), "%s is %s", ctl_escape(task->name, name, sizeof(name)),
		    ctl_task_state(task->state));
		if (task->state != PICKET__V1__TASK_STATE__TASK_STATE_STARTED)
			add(why, is, "");
		if (task->reason.len > 0 && strstr(why, ctl_escape(task->reason, text, sizeof(text))) == NULL)
			add(why, text, "");
	}
}

/* A fact that its daemon states must have the good value. */
static void
need_fact(const Picket__V1__StatusReply *status, const char *name, const char *fact, const char *good, char *why)
{
	char text[CTL_TEXT_BYTES], label[64];
	const Picket__V1__DaemonStatus *daemon = ctl_daemon(status, name);

	if (daemon == NULL || !daemon->connected || *ctl_fact(daemon, fact, text, sizeof(text)) == '\0' ||
	    strcmp(text, good) == 0)
		return;
	(void)snprintf(label, sizeof(label), "%s: %s is ", name, fact);
	add(why, label, text);
}

/* Counters of things that are gone are named so. */
static bool
is_loss(ProtobufCBinaryData name)
{
	return memmem(name.data, name.len, "lost", 4) != NULL || memmem(name.data, name.len, "dropped", 7) != NULL;
}

static void
count_losses(const Picket__V1__StatusReply *status, struct ctl_verdict *v)
{
	char name[64], daemon[64], what[192];

	for (size_t i = 0; i < status->n_daemons; i++) {
		const Picket__V1__DaemonStatus *d = status->daemons[i];

		for (size_t j = 0; j < d->n_counters; j++) {
			if (d->counters[j]->value == 0 || !is_loss(d->counters[j]->name))
				continue;
			v->lost += d->counters[j]->value;
			(void)snprintf(what, sizeof(what), "%llu %s (%s)", (unsigned long long)d->counters[j]->value,
			    ctl_escape(d->counters[j]->name, name, sizeof(name)),
			    ctl_escape(d->name, daemon, sizeof(daemon)));
			add(v->losing_what, what, "");
		}
	}
}

void
ctl_verdict(const Picket__V1__StatusReply *status, struct ctl_verdict *ret)
{
	struct ctl_verdict *v = ret;

	memset(v, 0, sizeof(*v));
	need_daemon(status, "collectord", v->protected_why);
	need_daemon(status, "isolatord", v->protected_why);
	need_task(status, 20, v->protected_why);
	need_fact(status, "collectord", FACT_RULES, "loaded", v->protected_why);
	need_daemon(status, "uplinkd", v->reporting_why);
	need_task(status, 24, v->reporting_why);
	need_fact(status, "uplinkd", FACT_LINK, "connected", v->reporting_why);
	count_losses(status, v);
	v->is_protected = v->protected_why[0] == '\0';
	v->is_reporting = v->reporting_why[0] == '\0';
	v->is_losing = v->lost > 0;
	v->is_isolated = status->isolation != NULL &&
			 (status->isolation->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_ISOLATED ||
			     status->isolation->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_FAILED);
	v->seen = ctl_counter(ctl_daemon(status, "collectord"), COUNTER_SEEN);
	v->sent = ctl_counter(ctl_daemon(status, "uplinkd"), COUNTER_SENT);
	v->waiting = ctl_counter(ctl_daemon(status, "uplinkd"), COUNTER_WAITING);
}
