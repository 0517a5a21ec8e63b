/* picketctl status and stats. */
#include <stdio.h>
#include <string.h>

#include "envelope.pb-c.h"
#include "picketctl/ctl.h"
#include "picketctl/verdict.h"

static int
ask(struct ctl *ctl, struct ctl_args *args, struct ctl_reply *reply)
{
	Picket__V1__StatusRequest request = PICKET__V1__STATUS_REQUEST__INIT;
	int code = ctl_expect_no_more(args);

	/* The counters are wanted in any case: they tell whether something is lost. */
	request.counters = true;
	if (code != CTL_EXIT_OK)
		return code;
	return ctl_request(ctl, PICKET__V1__MSG__MSG_STATUS_REQUEST, &request.base, PICKET__V1__MSG__MSG_STATUS_REPLY,
	    &picket__v1__status_reply__descriptor, reply);
}

/* A yes or no with its reason: one line of text, two keys of JSON. */
static void
render_answer(
    struct ctl_render *r, const char *key, const char *why_key, const char *label, bool yes, const char *why, bool good)
{
	char text[CTL_WHY_BYTES + 8];

	(void)snprintf(text, sizeof(text), "%s%s%s", yes ? "yes" : "no", why[0] != '\0' ? ": " : "", why);
	ctl_render_bool(r, key, NULL, yes);
	ctl_render_str(r, why_key, NULL, why, CTL_PLAIN);
	ctl_render_str(r, NULL, label, text, good ? CTL_GOOD : CTL_BAD);
}

static void
render_isolated(struct ctl_render *r, const Picket__V1__IsolationStatus *status, bool on)
{
	const Picket__V1__IsolationStatus none = PICKET__V1__ISOLATION_STATUS__INIT;
	const Picket__V1__IsolationStatus *s = status != NULL ? status : &none;
	char detail[CTL_TEXT_BYTES], until[32], text[CTL_TEXT_BYTES + 96];

	ctl_render_bool(r, "isolated", NULL, on);
	(void)ctl_escape(s->detail, detail, sizeof(detail));
	if (on)
		(void)snprintf(text, sizeof(text), "%s, ordered by %s, until %s",
		    s->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_FAILED ? "ORDERED BUT NOT IN FORCE"
										    : "yes",
		    ctl_isolation_origin(s->origin),
		    s->until_ms == 0 ? "released" : ctl_local_time(s->until_ms, until, sizeof(until)));
	else
		(void)snprintf(text, sizeof(text), "%s",
		    s->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_UNSPECIFIED ? "unknown" : "no");
	if (detail[0] != '\0')
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), ": %s", detail);
	ctl_render_str(r, NULL, "Isolated", text, on || detail[0] != '\0' ? CTL_WARN : CTL_PLAIN);
}

static void
render_facts(struct ctl_render *r, const Picket__V1__DaemonStatus *d)
{
	char name[64];

	ctl_render_object(r, "facts", NULL);
	for (size_t i = 0; i < d->n_facts; i++) {
		(void)ctl_escape(d->facts[i]->name, name, sizeof(name));
		ctl_render_bytes(r, name, name, d->facts[i]->value, CTL_PLAIN);
	}
	ctl_render_end(r);
}

/* Facts are many and of use to programs and in stats; the table has one line per daemon. */
static void
render_daemons(struct ctl_render *r, const Picket__V1__StatusReply *status, bool json)
{
	ctl_render_table(r, "daemons", "Daemons");
	for (size_t i = 0; i < status->n_daemons; i++) {
		const Picket__V1__DaemonStatus *d = status->daemons[i];

		ctl_render_row(r);
		ctl_render_bytes(r, "name", "NAME", d->name, CTL_PLAIN);
		ctl_render_bool(r, "connected", NULL, d->connected);
		ctl_render_str(r, NULL, "STATE", d->connected ? "up" : "DOWN", d->connected ? CTL_GOOD : CTL_BAD);
		ctl_render_u64(r, "pid", d->connected ? "PID" : NULL, d->pid);
		if (!d->connected)
			ctl_render_str(r, NULL, "PID", "-", CTL_PLAIN);
		ctl_render_bytes(r, "build", "VERSION", d->build, CTL_PLAIN);
		ctl_render_u64(r, "report_age_ms", NULL, d->report_age_ms);
		if (json)
			render_facts(r, d);
		ctl_render_end(r);
	}
	ctl_render_end(r);
}

int
ctl_cmd_status(struct ctl *ctl, struct ctl_args *args)
{
	const Picket__V1__StatusReply *status;
	struct ctl_verdict v;
	struct ctl_reply reply;
	struct ctl_render *r;
	int code = ask(ctl, args, &reply);

	if (code != CTL_EXIT_OK)
		return code;
	status = (const void *)reply.pb;
	ctl_verdict(status, &v);
	r = ctl_render(ctl);
	ctl_render_bytes(r, "host", "Host", status->host, CTL_PLAIN);
	ctl_render_bytes(r, "agent_id", "Agent", status->agent_id, CTL_PLAIN);
	ctl_render_time(r, "time_ms", NULL, status->time_ms);
	render_answer(r, "protected", "protected_why", "Protected", v.is_protected, v.protected_why, v.is_protected);
	render_answer(r, "reporting", "reporting_why", "Reporting", v.is_reporting, v.reporting_why, v.is_reporting);
	render_isolated(r, status->isolation, v.is_isolated);
	render_answer(r, "losing", "losing_what", "Losing", v.is_losing, v.losing_what, !v.is_losing);
	ctl_render_u64(r, "events_seen", "Events seen", v.seen);
	ctl_render_u64(r, "events_sent", "Events sent", v.sent);
	ctl_render_u64(r, "events_waiting", "Waiting", v.waiting);
	ctl_render_u64(r, "events_lost", NULL, v.lost);
	render_daemons(r, status, ctl->json);
	ctl_render_tasks(r, status->tasks, status->n_tasks, "Tasks");
	if (ctl->json && status->isolation != NULL) {
		ctl_render_object(r, "isolation", NULL);
		ctl_render_isolation(r, status->isolation);
		ctl_render_end(r);
	}
	ctl_render_done(r);
	pb_arena_free(reply.arena);
	return CTL_EXIT_OK;
}

int
ctl_cmd_stats(struct ctl *ctl, struct ctl_args *args)
{
	const Picket__V1__StatusReply *status;
	struct ctl_reply reply;
	struct ctl_render *r;
	char name[64];
	int code = ask(ctl, args, &reply);

	if (code != CTL_EXIT_OK)
		return code;
	status = (const void *)reply.pb;
	r = ctl_render(ctl);
	ctl_render_time(r, "time_ms", NULL, status->time_ms);
	ctl_render_blocks(r, "daemons");
	for (size_t i = 0; i < status->n_daemons; i++) {
		const Picket__V1__DaemonStatus *d = status->daemons[i];

		ctl_render_row(r);
		ctl_render_bytes(r, "name", "Daemon", d->name, CTL_PLAIN);
		ctl_render_bool(r, "connected", "connected", d->connected);
		ctl_render_u64(r, "report_age_ms", "age in ms", d->report_age_ms);
		render_facts(r, d);
		ctl_render_object(r, "counters", NULL);
		for (size_t j = 0; j < d->n_counters; j++) {
			(void)ctl_escape(d->counters[j]->name, name, sizeof(name));
			ctl_render_u64(r, name, name, d->counters[j]->value);
		}
		ctl_render_end(r);
		ctl_render_end(r);
	}
	ctl_render_end(r);
	ctl_render_done(r);
	pb_arena_free(reply.arena);
	return CTL_EXIT_OK;
}
