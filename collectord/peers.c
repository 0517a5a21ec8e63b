/*
 * The links: uplinkd takes batches and says what it has, agentd says what is wanted, keeps the descriptor and brings
 * watchers. One handler per message. Never waits for an answer. Called by main.c; the loop calls the handlers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectord/collectord.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/pb.h"
#include "proto/envelope.pb-c.h"
#include "proto/telemetry.pb-c.h"

/* Batches under way at once: uplinkd acknowledges at least every 100 ms, and each may have to be queued in this process
 * (64 KiB each). */
#define IN_FLIGHT 16u

/* Milliseconds between two status reports. */
#define REPORT_MS 1000u

/* Facts of a report: the fixed ones and an exclusion count each for the first rules. */
#define MAX_FACTS 40u

#define MSG(name) PICKET__V1__MSG__MSG_##name

/* ---- uplinkd ---- */

static int
on_batch_ack(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__BatchAck *ack = (const void *)msg->pb;
	struct collectord *c = ctx;

	(void)link;
	if (ack->epoch != c->epoch)
		return 0; /* of a run before this one: settled by its ResumeReply */
	if (ack->sequence > c->sequence) {
		log_error("ipc.violation", KV_STR("what", "uplinkd acknowledges events that were never sent"),
		    KV_U64("sequence", ack->sequence), KV_U64("last", c->sequence));
		return -EPROTO;
	}
	col_stream_acked(c, ack->sequence);
	return 0;
}

static int
on_resume_reply(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__ResumeReply *reply = (const void *)msg->pb;

	(void)link;
	col_restart_answer(ctx, reply->epoch, reply->sequence);
	return 0;
}

static const struct ipc_rule uplinkd_rules[] = {
    /* clang-format off */
	/* type             peers             states         max fds descriptor                              handler */
	{MSG(BATCH_ACK),    IPC_PEER_UPLINKD, IPC_ANY_STATE, 64, 0, 0, &picket__v1__batch_ack__descriptor,    on_batch_ack},
	{MSG(RESUME_REPLY), IPC_PEER_UPLINKD, IPC_ANY_STATE, 64, 0, 0, &picket__v1__resume_reply__descriptor, on_resume_reply},
	{0},
    /* clang-format on */
};

static void
on_uplinkd_open(struct ipc_link *link, void *ctx)
{
	struct collectord *c = ctx;

	log_info("peer.open", KV_STR("peer", "uplinkd"), KV_STR("build", ipc_link_build(link)));
	col_restart_link(c);
	queue_rewind(c->queue);
	col_peers_send_batches(c);
	col_peers_changed(c);
}

static void
on_uplinkd_close(struct ipc_link *link, void *ctx)
{
	(void)link;
	log_warning("peer.closed", KV_STR("peer", "uplinkd"));
	col_peers_changed(ctx);
}

static void
on_uplinkd_drain(struct ipc_link *link, void *ctx)
{
	(void)link;
	col_peers_send_batches(ctx);
}

void
col_peers_send_batches(struct collectord *c)
{
	struct ipc_link *link = c->uplinkd != NULL ? ipc_client_link(c->uplinkd) : NULL;
	struct queue_batch batch;

	while (link != NULL && queue_in_flight(c->queue) < IN_FLIGHT && queue_next(c->queue, &batch)) {
		if (ipc_send_raw(link, MSG(EVENT_BATCH), 0, batch.data, batch.len) < 0)
			return; /* on_drain or the next link goes on */
		queue_sent(c->queue);
		c->counters.batches_sent++;
	}
	/* What went on gathering while a batch waited has its turn. */
	if (queue_has_open(c->queue) && !event_pending(c->batch_timer, EV_TIMEOUT, NULL))
		loop_timer_arm(c->batch_timer, c->conf.batch_delay_ms);
}

/* ---- agentd ---- */

static int
on_source_handover(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__SourceHandover *handover = (const void *)msg->pb;
	int fd = -1;

	(void)link;
	if (msg->n_fds > 0 && pb_equals(handover->kind, "kernel"))
		fd = STEAL_FD(msg->fds[0]);
	col_live_handover(ctx, fd);
	return 0;
}

static void
set_exclusions(struct collectord *c, const Picket__V1__CollectConfig *config)
{
	struct filter *filter = pipeline_filter(c->pipeline);

	filter_clear(filter);
	for (size_t i = 0; i < config->n_exclusions; i++) {
		const Picket__V1__Exclusion *x = config->exclusions[i];
		int r = filter_add(filter, x);

		if (r < 0)
			log_error("exclusion.refused", KV_U64("id", x->id), KV_ERRNO(r));
	}
}

static int
on_collect_config(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__CollectConfig *config = (const void *)msg->pb;
	struct collectord *c = ctx;

	(void)link;
	log_info("config.received", KV_STR("collect", config->enabled ? "yes" : "no"),
	    KV_STR("telemetry", config->telemetry ? "yes" : "no"), KV_U64("exclusions", config->n_exclusions));
	set_exclusions(c, config);
	if (config->telemetry)
		col_stream_telemetry(c, true);
	col_live_want(c, config->enabled);
	if (!config->telemetry)
		col_stream_telemetry(c, false);
	col_peers_changed(c);
	return 0;
}

static int
on_tail_open(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	(void)link;
	col_stream_tail(ctx, STEAL_FD(msg->fds[0]));
	col_peers_changed(ctx);
	return 0;
}

static const struct ipc_rule agentd_rules[] = {
    /* clang-format off */
	/* type                peers            states         max                   fds   descriptor                                  handler */
	{MSG(COLLECT_CONFIG),  IPC_PEER_AGENTD, IPC_ANY_STATE, LIM_IPC_RECORD_BYTES, 0, 0, &picket__v1__collect_config__descriptor,  on_collect_config},
	{MSG(SOURCE_HANDOVER), IPC_PEER_AGENTD, IPC_ANY_STATE, 256,                  0, 1, &picket__v1__source_handover__descriptor, on_source_handover},
	{MSG(TAIL_OPEN),       IPC_PEER_AGENTD, IPC_ANY_STATE, 64,                   1, 1, &picket__v1__tail_open__descriptor,       on_tail_open},
	{0},
    /* clang-format on */
};

static void
on_agentd_open(struct ipc_link *link, void *ctx)
{
	struct collectord *c = ctx;

	log_info("peer.open", KV_STR("peer", "agentd"), KV_STR("build", ipc_link_build(link)));
	col_live_await_handover(c);
	col_live_keep(c);
	memset(&c->reported, 0xff, sizeof(c->reported)); /* a new agentd knows nothing */
	col_peers_changed(c);
}

static void
on_agentd_close(struct ipc_link *link, void *ctx)
{
	(void)link;
	(void)ctx;
	log_warning("peer.closed", KV_STR("peer", "agentd"));
}

void
col_peers_keep(struct collectord *c, int fd)
{
	struct ipc_link *link = c->agentd != NULL ? ipc_client_link(c->agentd) : NULL;
	Picket__V1__SourceKeep keep = PICKET__V1__SOURCE_KEEP__INIT;

	if (link == NULL)
		return;
	keep.kind = pb_str("kernel");
	if (ipc_send(link, MSG(SOURCE_KEEP), 0, &keep.base, &fd, fd >= 0 ? 1 : 0) < 0)
		log_warning(
		    "source.not_kept", KV_STR("what", "agentd does not take the descriptor: a crash now loses events"));
}

/* ---- status ---- */

/* Counters that live elsewhere. */
static void
gather(struct collectord *c)
{
	const struct pipeline_stats *p = pipeline_stats(c->pipeline);
	struct col_counters *n = &c->counters;

	n->records = p->records;
	n->malformed = p->malformed;
	n->malformed_no_type = p->faults[RECORD_NO_TYPE];
	n->malformed_no_stamp = p->faults[RECORD_NO_STAMP];
	n->malformed_too_long = p->faults[RECORD_TOO_LONG];
	n->audit_events = p->audit_events;
	n->unended = pipeline_assembler_stats(c->pipeline)->unended;
	n->incomplete = p->pieces;
	n->ignored = p->ignored;
	n->excluded = p->excluded;
	n->events = p->events;
	n->serials_late = c->serials.late;
	n->queued = queue_events(c->queue);
	n->queued_bytes = queue_bytes(c->queue);
}

static void
send_report(struct collectord *c, struct ipc_link *link)
{
	static char names[MAX_FACTS][32], values[MAX_FACTS][24], in_force[24];
	struct stats_fact facts[MAX_FACTS] = {
	    {"source", c->source_fact},
	    {"rules", c->rules_fact},
	    {"uplinkd", ipc_client_link(c->uplinkd) != NULL ? "connected" : "not connected"},
	    {"telemetry", c->telemetry ? "yes" : "no"},
	    {"exclusions", in_force},
	};
	size_t n = 5, rules = 0;
	uint32_t id;
	uint64_t count;

	if (c->blind)
		facts[n++] = (struct stats_fact){"blind", "an audit rule -a never,task hides new processes"};
	for (size_t i = 0; n < MAX_FACTS && filter_count(pipeline_filter(c->pipeline), i, &id, &count); i++, n++) {
		(void)snprintf(names[n], sizeof(names[n]), "exclusion_%u", id);
		(void)snprintf(values[n], sizeof(values[n]), "%llu", (unsigned long long)count);
		facts[n] = (struct stats_fact){names[n], values[n]};
		rules = i + 1;
	}
	(void)snprintf(in_force, sizeof(in_force), "%zu", rules);
	if (stats_report(link, col_counter_names, &c->counters, facts, n) == 0)
		c->reported = c->counters;
}

static void
on_status_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct collectord *c = ctx;
	struct ipc_link *link = ipc_client_link(c->agentd);

	(void)fd;
	(void)what;
	c->report_due = false;
	gather(c);
	if (link != NULL)
		send_report(c, link);
}

void
col_peers_changed(struct collectord *c)
{
	if (c->report_due || c->status_timer == NULL)
		return;
	c->report_due = true;
	loop_timer_arm(c->status_timer, REPORT_MS);
}

/* ---- */

int
col_peers_init(struct collectord *c)
{
	static struct ipc_conf uplinkd = {.self = "collectord",
	    .rules = uplinkd_rules,
	    .on_open = on_uplinkd_open,
	    .on_close = on_uplinkd_close,
	    .on_drain = on_uplinkd_drain};
	static struct ipc_conf agentd = {
	    .self = "collectord", .rules = agentd_rules, .on_open = on_agentd_open, .on_close = on_agentd_close};
	const struct daemon_conf *conf = &c->conf.common;
	char path[256];

	uplinkd.ctx = agentd.ctx = c;
	c->status_timer = loop_timer_new(&c->loop, on_status_timer, c);
	c->uplinkd = ipc_client_new(&c->loop, daemon_socket_path(conf, "uplinkd", path, sizeof(path)),
	    conf->uplinkd_uid, IPC_PEER_UPLINKD, &uplinkd);
	c->agentd = ipc_client_new(&c->loop, daemon_socket_path(conf, "agentd", path, sizeof(path)), conf->agentd_uid,
	    IPC_PEER_AGENTD, &agentd);
	return c->status_timer != NULL && c->uplinkd != NULL && c->agentd != NULL ? 0 : -ENOMEM;
}

void
col_peers_done(struct collectord *c)
{
	ipc_client_free(c->agentd);
	ipc_client_free(c->uplinkd);
	c->agentd = c->uplinkd = NULL;
	if (c->status_timer != NULL)
		event_free(c->status_timer);
	c->status_timer = NULL;
}
