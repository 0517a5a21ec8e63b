/*
 * Events out of the process: gives each its sequence, encodes it, queues it for uplinkd, shows it to whoever watches.
 * Never waits: what does not fit is counted and reported as a loss. Called by the pipeline through live.c, and by
 * peers.c.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collectord/collectord.h"
#include "collectord/encode.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"
#include "proto/envelope.pb-c.h"

/*
 * Timed closing stops at half of the batches: when uplinkd does not acknowledge, batches must fill up instead of using
 * up their number.
 */
#define TIMED_BATCHES (QUEUE_BATCHES / 2)

static void
close_batch(struct collectord *c)
{
	/* The mark says what was dealt with when the batch was complete. */
	if (queue_close(c->queue))
		books_mark(c->books, c->sequence, &c->serials, c->kernel_lost);
}

static void
on_batch_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct collectord *c = ctx;

	(void)fd;
	(void)what;
	col_stream_flush(c);
}

int
col_stream_init(struct collectord *c)
{
	for (size_t i = 0; i < COL_TAILS; i++)
		c->tails[i].fd = -1;
	c->queue = queue_new(c->conf.queue_bytes);
	c->batch_timer = loop_timer_new(&c->loop, on_batch_timer, c);
	return c->queue != NULL && c->batch_timer != NULL ? 0 : -ENOMEM;
}

void
col_stream_done(struct collectord *c)
{
	for (size_t i = 0; i < COL_TAILS; i++)
		if (c->tails[i].fd >= 0)
			(void)close(c->tails[i].fd);
	if (c->batch_timer != NULL)
		event_free(c->batch_timer);
	queue_free(c->queue);
}

/* ---- watchers ---- */

static void
close_tail(struct col_tail *t)
{
	(void)close(t->fd);
	t->fd = -1;
}

/* One TailEvents: the records that wait, after the number that was skipped. Never waits. */
static void
send_tail(struct collectord *c, struct col_tail *t)
{
	uint8_t skipped[16]; /* tag and varint */
	size_t n = 0;
	struct ipc_header header = {.protocol = IPC_PROTOCOL, .type = PICKET__V1__MSG__MSG_TAIL_EVENTS};
	struct iovec iov[3] = {{&header, sizeof(header)}, {skipped, 0}, {t->records, t->len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};

	if (t->len == 0)
		return;
	if (t->skipped > 0) {
		skipped[n++] = 1 << 3; /* field 1, a varint */
		for (uint64_t v = t->skipped; n == 1 || v > 0; v >>= 7)
			skipped[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
	}
	iov[1].iov_len = n;
	header.length = (uint32_t)(n + t->len);
	if (sendmsg(t->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
		t->len = 0;
		t->skipped = 0;
	} else if (errno != EAGAIN && errno != EINTR) {
		log_info("tail.closed", KV_ERRNO(errno));
		close_tail(t);
		col_peers_changed(c);
	}
}

static void
add_to_tails(struct collectord *c, const uint8_t *record, size_t len)
{
	for (size_t i = 0; i < COL_TAILS; i++) {
		struct col_tail *t = &c->tails[i];

		if (t->fd < 0)
			continue;
		if (t->len + len > sizeof(t->records))
			send_tail(c, t);
		if (t->fd < 0)
			continue;
		if (t->len + len > sizeof(t->records)) {
			t->skipped++;
			c->counters.tail_skipped++;
			continue;
		}
		(void)memcpy(t->records + t->len, record, len);
		t->len += len;
		c->counters.tail_events++;
	}
}

void
col_stream_tail(struct collectord *c, int fd)
{
	for (size_t i = 0; i < COL_TAILS; i++) {
		struct col_tail *t = &c->tails[i];

		if (t->fd >= 0)
			continue;
		t->fd = fd;
		t->len = 0;
		t->skipped = 0;
		log_info("tail.opened");
		return;
	}
	log_warning("tail.refused", KV_U64("limit", COL_TAILS), KV_STR("remedy", "close another picketctl events"));
	(void)close(fd);
}

/* ---- to uplinkd ---- */

/* Encode and queue under the next sequence. Returns 0, or a negative errno: then nothing was queued and no sequence
 * used. */
static int
queue_event(struct collectord *c, const Picket__V1__Event *event)
{
	const uint8_t *record;
	uint64_t sequence = c->telemetry ? c->sequence + 1 : 0;
	size_t len = encode_record(event, c->epoch, sequence, c->scratch, sizeof(c->scratch), &record, NULL);
	bool closed;
	int r;

	if (len == 0)
		return -EMSGSIZE;
	add_to_tails(c, record, len);
	if (!c->telemetry)
		return 0;
	r = queue_add(c->queue, sequence, record, len, &closed);
	if (closed)
		books_mark(c->books, c->sequence, &c->serials, c->kernel_lost);
	if (r < 0)
		return r;
	c->sequence = sequence;
	c->counters.sent++;
	if (!event_pending(c->batch_timer, EV_TIMEOUT, NULL))
		loop_timer_arm(c->batch_timer, c->conf.batch_delay_ms);
	return 0;
}

void
col_stream_event(const Picket__V1__Event *event, void *ctx)
{
	struct collectord *c = ctx;
	int r;

	if (books_owed(c->books) != NULL)
		col_stream_losses(c); /* what was lost before this event is said before it */
	r = queue_event(c, event);
	if (r < 0) {
		c->counters.queue_dropped++;
		books_dropped(c->books, (uint32_t)event->serial);
		log_warning("queue.full", KV_U64("bytes", queue_bytes(c->queue)),
		    KV_U64("dropped", c->counters.queue_dropped),
		    KV_STR("remedy", "see why uplinkd does not take events; or raise QueueSize"));
	} else if (!c->telemetry) {
		c->counters.not_sent++;
	}
}

const char *
col_stage_name(uint32_t stage)
{
	static const char *const names[] = {"unknown", "kernel", "serial", "restart", "queue", "spool"};

	return stage < ARRAY_LEN(names) ? names[stage] : names[0];
}

/* Build and queue one loss event. Returns what queue_event() returns. */
static int
queue_loss(struct collectord *c, const struct books_loss *loss)
{
	Picket__V1__Event event = PICKET__V1__EVENT__INIT;
	Picket__V1__Loss detail = PICKET__V1__LOSS__INIT;
	int r;

	detail.stage = (Picket__V1__LossStage)loss->stage;
	detail.events = loss->events;
	detail.first_serial = loss->first_serial;
	detail.last_serial = loss->last_serial;
	detail.epoch = loss->epoch;
	detail.upper_bound = loss->upper_bound != 0;
	event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_LOSS;
	event.time_ms = wall_now_ms();
	event.outcome = PICKET__V1__OUTCOME__OUTCOME_UNKNOWN;
	event.detail_case = PICKET__V1__EVENT__DETAIL_LOSS;
	event.loss = &detail;
	r = queue_event(c, &event);
	if (r == 0) {
		c->counters.losses++;
		if (!c->telemetry)
			c->counters.not_sent++;
		log_warning("events.lost", KV_STR("stage", col_stage_name(loss->stage)), KV_U64("events", loss->events),
		    KV_U64("first_serial", loss->first_serial), KV_U64("last_serial", loss->last_serial),
		    KV_STR("exact", loss->upper_bound ? "no" : "yes"));
	}
	return r;
}

void
col_stream_losses(struct collectord *c)
{
	struct books_loss *loss;

	while ((loss = books_owed(c->books)) != NULL) {
		if (queue_loss(c, loss) < 0)
			return;
		if (c->telemetry)
			loss->sequence = c->sequence;
		else
			books_settled(loss);
	}
}

void
col_stream_kernel_lost(struct collectord *c, uint32_t lost)
{
	/* The counter is 32 bits and can be reset by an administrator (auditctl --reset-lost). */
	uint32_t more = lost - c->kernel_lost;

	if (more == 0)
		return;
	if (more < INT32_MAX) {
		const struct books_loss loss = {
		    .stage = PICKET__V1__LOSS_STAGE__LOSS_STAGE_KERNEL, .upper_bound = 1, .events = more};

		if (queue_loss(c, &loss) < 0)
			return; /* said when there is room: the counter is compared again */
		c->counters.lost_kernel += more;
	}
	c->kernel_lost = lost;
}

void
col_stream_telemetry(struct collectord *c, bool on)
{
	if (c->telemetry == on)
		return;
	col_stream_flush(c);
	c->telemetry = on;
	col_peers_changed(c);
}

void
col_stream_flush(struct collectord *c)
{
	struct queue_batch unsent;

	for (size_t i = 0; i < COL_TAILS; i++)
		if (c->tails[i].fd >= 0)
			send_tail(c, &c->tails[i]);
	/* While one waits to be sent the open one can as well grow. */
	if (!queue_next(c->queue, &unsent) && (queue_batches(c->queue) < TIMED_BATCHES || c->stopping))
		close_batch(c);
	col_peers_send_batches(c);
}

void
col_stream_acked(struct collectord *c, uint64_t sequence)
{
	if (sequence > c->sequence)
		return; /* not ours to believe: peers.c has logged it */
	c->counters.acked += queue_ack(c->queue, sequence);
	books_acked(c->books, sequence);
	col_stream_losses(c);
	col_stream_flush(c);
	col_peers_changed(c);
	if (c->stopping)
		col_stop_check(c);
}
