/*
 * From collectord into the spool: batches are appended as they come, one fdatasync covers the group, and only then is
 * it acknowledged. Never unpacks an event, never sends to the server. Called by peers.c; wakes delivery.c.
 */
#include <errno.h>
#include <time.h>

#include "common/log.h"
#include "telemetry.pb-c.h"
#include "uplinkd/uplinkd.h"
#include "uplinkd/wire.h"

/* Milliseconds after a commit that failed until it is tried again. */
#define COMMIT_RETRY_MS 1000u

static void
arm(struct uplinkd *u, uint64_t ms)
{
	if (u->ingest.armed)
		return;
	u->ingest.armed = true;
	loop_timer_arm(u->ingest.timer, ms);
}

/* Remember that the peer waits for an acknowledgement of this epoch. */
static void
note_epoch(struct upl_ingest *ingest, uint64_t epoch)
{
	for (size_t i = 0; i < ingest->n_epochs; i++)
		if (ingest->epochs[i].epoch == epoch)
			return;
	if (ingest->n_epochs == UPL_ACK_EPOCHS) {
		for (size_t i = 1; i < UPL_ACK_EPOCHS; i++)
			ingest->epochs[i - 1] = ingest->epochs[i];
		ingest->n_epochs--;
	}
	ingest->epochs[ingest->n_epochs].epoch = epoch;
	ingest->epochs[ingest->n_epochs++].acked = 0;
}

/* Tell the peer what is on disk now. An acknowledgement that does not fit the queue is caught up by the next one: it is
 * cumulative. */
static void
acknowledge(struct uplinkd *u)
{
	struct upl_ingest *ingest = &u->ingest;

	for (size_t i = 0; ingest->link != NULL && i < ingest->n_epochs; i++) {
		Picket__V1__BatchAck ack = PICKET__V1__BATCH_ACK__INIT;

		ack.epoch = ingest->epochs[i].epoch;
		ack.sequence = spool_durable(u->spool, ack.epoch);
		if (ack.sequence == 0 || ack.sequence == ingest->epochs[i].acked)
			continue;
		if (ipc_send(ingest->link, PICKET__V1__MSG__MSG_BATCH_ACK, 0, &ack.base, NULL, 0) == 0)
			ingest->epochs[i].acked = ack.sequence;
	}
}

/* Put the group on disk, measuring how long the loop stands still. */
static int
commit(struct uplinkd *u)
{
	struct timespec before, after;
	uint64_t us;
	int r;

	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	r = spool_commit(u->spool);
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	us = (uint64_t)((after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000);
	if (us > u->counters.commit_max_us)
		u->counters.commit_max_us = us;
	if (r < 0) {
		u->counters.commit_failures++;
		log_error("spool.failed", KV_ERRNO(r), KV_U64("waiting_events", spool_open_events(u->spool)),
		    KV_STR("remedy",
			"make room on the disk of StateDirectory, or repair it: nothing is acknowledged until then"));
	} else if (u->ingest.failing) {
		log_notice("spool.works", KV_U64("backlog_events", spool_backlog_events(u->spool)));
	}
	u->ingest.failing = r < 0;
	upl_status_changed(u);
	return r;
}

static void
on_commit_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct uplinkd *u = ctx;

	(void)fd;
	(void)what;
	u->ingest.armed = false;
	if (commit(u) < 0) {
		arm(u, COMMIT_RETRY_MS);
		return;
	}
	acknowledge(u);
	upl_delivery_kick(u);
}

/* Append one record, making room in the group when it is full. Returns 0 or a negative errno that ends the link. */
static int
store(struct uplinkd *u, const struct upl_record *in)
{
	const struct spool_record record = {
	    .epoch = in->epoch, .sequence = in->sequence, .type = in->type, .bytes = in->bytes, .len = in->len};
	int r = spool_append(u->spool, &record);

	if (r == -ENOBUFS) {
		r = commit(u);
		if (r == 0)
			r = spool_append(u->spool, &record);
	}
	if (r < 0)
		return r;
	u->counters.received++;
	u->counters.received_duplicates += r == 1;
	return 0;
}

int
upl_on_batch(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	struct uplinkd *u = ctx;
	struct upl_batch batch = {.at = msg->data, .end = msg->data + msg->len};
	struct upl_record record;
	int r;

	if (link != u->ingest.link)
		return 0; /* of a process that is dying: its successor sends it again */
	while ((r = upl_batch_next(&batch, &record)) > 0) {
		note_epoch(&u->ingest, record.epoch);
		r = store(u, &record);
		if (r < 0)
			break;
	}
	if (r < 0) {
		/* What came before it is committed; the rest is sent again on the next link. */
		log_error("batch.refused", KV_ERRNO(r), KV_U64("bytes", msg->len));
		if (spool_open_events(u->spool) > 0)
			arm(u, u->conf.commit_ms);
		return r;
	}
	if (spool_open_events(u->spool) == 0)
		acknowledge(u); /* all of it was on disk already */
	else if (!u->ingest.failing && spool_open_events(u->spool) >= u->conf.commit_events)
		loop_timer_arm(u->ingest.timer, 0);
	else
		arm(u, u->conf.commit_ms);
	return 0;
}

int
upl_on_resume(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__ResumeQuery *query = (const void *)msg->pb;
	const struct uplinkd *u = ctx;
	Picket__V1__ResumeReply reply = PICKET__V1__RESUME_REPLY__INIT;

	reply.epoch = query->epoch;
	reply.sequence = spool_durable(u->spool, query->epoch);
	log_info("collectord.resumes", KV_U64("epoch", reply.epoch), KV_U64("sequence", reply.sequence));
	return ipc_send(link, PICKET__V1__MSG__MSG_RESUME_REPLY, msg->sequence, &reply.base, NULL, 0);
}

void
upl_ingest_forget(struct uplinkd *u, struct ipc_link *link)
{
	if (link == NULL || u->ingest.link != link)
		return;
	u->ingest.link = NULL;
	u->ingest.n_epochs = 0;
}

int
upl_ingest_start(struct uplinkd *u)
{
	u->ingest.timer = loop_timer_new(&u->loop, on_commit_timer, u);
	if (u->ingest.timer == NULL)
		return -ENOMEM;
	if (spool_open_events(u->spool) > 0)
		arm(u, COMMIT_RETRY_MS);
	return 0;
}

void
upl_ingest_stop(struct uplinkd *u)
{
	/* What is in the group and not acknowledged would be sent again: a last commit only saves that. */
	(void)spool_commit(u->spool);
	acknowledge(u);
	event_free(u->ingest.timer);
	u->ingest.timer = NULL;
}
