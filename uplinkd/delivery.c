/*
 * From the spool to the server: when a package is closed, what becomes of it. Never forgets a record before the server
 * has said that it stored it. Called by ingest.c, peers.c and link.c; the answers come from http.c.
 *
 * One request at a time: the order of records is then the order of requests. d->call, d->package and d->body would
 * become an array for several, acknowledged from the front.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/atomic_file.h"
#include "common/log.h"
#include "common/pb.h"
#include "link.pb-c.h"
#include "uplinkd/backoff.h"
#include "uplinkd/uplinkd.h"

/* Bytes of records at which a package is closed: half a second on a 16 Mbit/s line, and well below what a server takes.
 */
#define PACKAGE_BYTES MIB(1)

/* Pauses after failures, in milliseconds: short at first, because most failures are a server that restarts. */
#define PAUSE_BASE_MS 200u
#define PAUSE_CAP_MS 30000u
/* Pauses while a person must act. */
#define PAUSE_LINK_BASE_MS 5000u
#define PAUSE_LINK_CAP_MS 300000u
/* The longest Retry-After that is believed. */
#define RETRY_AFTER_MAX_MS 3600000u

/* Memory that unpacking an answer may cost, in bytes. */
#define REPLY_BUDGET KIB(4)

/* Packages set aside at most; each is one file of up to PACKAGE_BYTES. */
#define SET_ASIDE_MAX 16
/* Packages refused one after the other from which it is no longer taken for the packages' fault. */
#define REFUSALS_IN_A_ROW 3

static void on_done(void *ctx, const struct http_result *result);

static void
pause_for(struct uplinkd *u, uint64_t ms)
{
	u->delivery.pausing = true;
	loop_timer_arm(u->delivery.timer, ms);
}

/* ---- when ---- */

/* Events or LOSS events wait for the server. */
static bool
anything_waits(const struct uplinkd *u)
{
	return spool_backlog_events(u->spool) > 0 || spool_has_losses(u->spool);
}

/* True when a package should go out now; else the timer is armed for the moment when one must. */
static bool
is_due(struct uplinkd *u)
{
	struct upl_delivery *d = &u->delivery;
	struct mono_ms now = mono_now();
	const struct spool_mark *frontier = spool_frontier(u->spool);

	if (d->deadline.ms == 0)
		d->deadline.ms = now.ms + u->settings.transfer_ms;
	if (spool_backlog_events(u->spool) >= u->settings.package_events ||
	    spool_backlog_bytes(u->spool) >= PACKAGE_BYTES)
		return true;
	if (frontier->ordinal < d->flush_to)
		return true;
	if (now.ms < d->deadline.ms) {
		loop_timer_arm(d->timer, d->deadline.ms - now.ms);
		return false;
	}
	d->flush_to = frontier->ordinal + spool_backlog_events(u->spool);
	return true;
}

static void
send_package(struct uplinkd *u)
{
	struct upl_delivery *d = &u->delivery;
	uint32_t max_events = d->limit_events > 0 ? d->limit_events : u->settings.package_events;
	const struct spool_limits limits = {.max_events = max_events, .max_bytes = PACKAGE_BYTES};
	struct http_request request = {.path = "/edr/v1/telemetry", .done = on_done, .ctx = u};
	int r;

	r = spool_read(u->spool, spool_frontier(u->spool), &limits, &d->package);
	/* Nothing but damage: there is nothing to send, and it is counted. */
	while (r == 0 && d->package.events == 0 && d->package.end.ordinal != d->package.start.ordinal) {
		(void)spool_ack(u->spool, &d->package);
		r = spool_read(u->spool, spool_frontier(u->spool), &limits, &d->package);
	}
	if (r == 0)
		r = upl_package_build(u);
	if (r == 0 && d->package.events == 0 && d->losses == 0)
		return;
	if (r == 0) {
		request.body = d->body;
		request.body_len = d->body_len;
		request.zstd = d->body_zstd;
		d->server = upl_servers_pick(&u->servers, false, mono_now());
		spool_sending(u->spool);
		r = upl_link_post(u, d->server, &request, &d->call);
	}
	if (r < 0) {
		log_error("delivery.failed", KV_ERRNO(r));
		pause_for(u, PAUSE_CAP_MS);
		return;
	}
	u->counters.wire_bytes += d->body_len;
	u->counters.packages++;
}

void
upl_delivery_kick(struct uplinkd *u)
{
	struct upl_delivery *d = &u->delivery;

	if (d->call != NULL || d->pausing || !upl_link_ready(u) || !u->settings.telemetry)
		return;
	if (!anything_waits(u)) {
		d->deadline.ms = 0;
		return;
	}
	if (is_due(u))
		send_package(u);
}

void
upl_delivery_hurry(struct uplinkd *u, bool new_settings)
{
	struct upl_delivery *d = &u->delivery;

	/* What http_configure() ended has called on_done() already. */
	if (d->pausing && (new_settings || !d->asked)) {
		d->pausing = false;
		(void)evtimer_del(d->timer);
	}
	if (new_settings)
		d->plain = false; /* another server may know zstd */
	/* A backlog has waited long enough. */
	if (anything_waits(u) && d->failures > 0)
		d->deadline = mono_now();
	upl_delivery_kick(u);
}

static void
on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct uplinkd *u = ctx;

	(void)fd;
	(void)what;
	u->delivery.pausing = false;
	upl_delivery_kick(u);
}

/* ---- what became of it ---- */

static void
acknowledge(struct uplinkd *u)
{
	struct upl_delivery *d = &u->delivery;
	int r;

	if (d->losses > 0)
		(void)spool_losses_acked(u->spool, d->loss_last);
	r = spool_ack(u->spool, &d->package);
	if (r == -ESTALE) /* the spool had to drop it while it was under way, and has counted it */
		log_warning("delivery.dropped_while_sent", KV_U64("events", d->package.events));
	else if (r < 0)
		log_error("spool.state_failed", KV_ERRNO(r),
		    KV_STR("remedy",
			"repair the disk of StateDirectory; after a restart the server gets some events twice"));
	if (spool_frontier(u->spool)->ordinal >= d->flush_to)
		d->deadline.ms = 0;
}

/* The server says that it has all of it. Returns false when the answer is not what it must be. */
static bool
check_reply(struct uplinkd *u, const struct http_result *result)
{
	struct upl_delivery *d = &u->delivery;
	struct pb_arena *arena;
	const char *why;
	const Picket__V1__TelemetryReply *reply = (const void *)pb_unpack(
	    &picket__v1__telemetry_reply__descriptor, result->body, result->body_len, REPLY_BUDGET, &arena, &why);
	bool ok;

	if (reply == NULL)
		return false;
	ok = reply->records == (uint64_t)d->package.events + d->losses &&
	     reply->stored + reply->duplicates == reply->records;
	if (ok) {
		u->counters.delivered += reply->stored;
		u->counters.duplicates += reply->duplicates;
		u->counters.acked += d->package.events;
	}
	pb_arena_free(arena);
	return ok;
}

static void
delivered(struct uplinkd *u, const struct http_result *result)
{
	struct upl_delivery *d = &u->delivery;

	acknowledge(u);
	d->failures = d->refusals = 0;
	/* After a package that was too large: back to full size in steps. */
	if (d->limit_events > 0)
		d->limit_events = d->limit_events * 2 < u->settings.package_events ? d->limit_events * 2 : 0;
	upl_link_up(u, UPL_TELEMETRY, d->server, result);
}

/* Keep a package that the server will never take where a person finds it. Returns the file's name, "" when there was no
 * room. */
static const char *
keep_refused(struct uplinkd *u, char *name, size_t size)
{
	const struct spool_package *package = &u->delivery.package;

	(void)snprintf(name, size, "refused-%016" PRIx64 "-%" PRIu32 ".pb", package->start.ordinal, package->events);
	if (u->counters.set_aside >= SET_ASIDE_MAX ||
	    atomic_file_write(u->daemon.state_fd, name, 0600, package->bytes, package->len) < 0)
		name[0] = '\0';
	return name;
}

/* Go on without a package that was refused for good. A server that refuses one after the other is wrong itself: then
 * slower and slower. */
static void
set_aside(struct uplinkd *u, const struct http_result *result)
{
	struct upl_delivery *d = &u->delivery;
	char name[64]; /* bytes: two numbers and a suffix */

	log_error("delivery.set_aside", KV_I64("status", result->status), KV_U64("events", d->package.events),
	    KV_STR("file", keep_refused(u, name, sizeof(name))), KV_BYTES("answer", result->body, result->body_len),
	    KV_STR("remedy", "look into the server's log; the events are reported as lost"));
	u->counters.set_aside++;
	spool_give_up(u->spool, &d->package);
	d->losses = 0; /* they were in the same request: send them again */
	acknowledge(u);
	if (++d->refusals < REFUSALS_IN_A_ROW) {
		upl_link_up(u, UPL_TELEMETRY, d->server, result);
		return;
	}
	(void)upl_link_down(u, UPL_TELEMETRY, d->server, result, UPL_VERDICT_REFUSE);
	d->asked = true;
	pause_for(
	    u, upl_backoff_ms(d->refusals, PAUSE_LINK_BASE_MS, PAUSE_LINK_CAP_MS, upl_random(), PAUSE_LINK_BASE_MS));
}

static void
split(struct uplinkd *u, const struct http_result *result)
{
	struct upl_delivery *d = &u->delivery;

	if (d->package.events <= 1) {
		set_aside(u, result);
		return;
	}
	u->counters.splits++;
	d->limit_events = d->package.events / 2;
	log_info("delivery.split", KV_U64("events", d->package.events), KV_U64("to", d->limit_events));
}

/* Not taken, but not refused for good: the same again, later or elsewhere. */
static void
try_again(struct uplinkd *u, const struct http_result *result, enum upl_verdict verdict)
{
	struct upl_delivery *d = &u->delivery;
	bool person = verdict == UPL_VERDICT_LINK;
	uint64_t floor_ms = result->retry_after_ms < RETRY_AFTER_MAX_MS ? result->retry_after_ms : RETRY_AFTER_MAX_MS;

	u->counters.retries++;
	d->failures++;
	if (upl_link_down(u, UPL_TELEMETRY, d->server, result, verdict))
		return;
	d->asked = person || floor_ms > 0;
	pause_for(u, upl_backoff_ms(d->failures, person ? PAUSE_LINK_BASE_MS : PAUSE_BASE_MS,
			 person ? PAUSE_LINK_CAP_MS : PAUSE_CAP_MS, upl_random(), floor_ms));
}

static void
on_done(void *ctx, const struct http_result *result)
{
	static const char bad_reply[] =
	    "bad reply: the server does not say that it has stored what was sent: check Address and Port";
	struct uplinkd *u = ctx;
	struct upl_delivery *d = &u->delivery;
	struct http_result bad = *result;

	d->call = NULL;
	if (result->error == HTTP_ABORTED)
		return;
	switch (upl_verdict(result->error, result->status)) {
	case UPL_VERDICT_OK:
		if (check_reply(u, result)) {
			delivered(u, result);
			break;
		}
		bad.error = HTTP_REPLY;
		bad.words = bad_reply;
		try_again(u, &bad, UPL_VERDICT_RETRY);
		break;
	case UPL_VERDICT_UNSET:
	case UPL_VERDICT_RETRY:
		try_again(u, result, UPL_VERDICT_RETRY);
		break;
	case UPL_VERDICT_LATER:
		try_again(u, result, UPL_VERDICT_LATER);
		break;
	case UPL_VERDICT_LINK:
		try_again(u, result, UPL_VERDICT_LINK);
		break;
	case UPL_VERDICT_SPLIT:
		split(u, result);
		break;
	case UPL_VERDICT_PLAIN:
		if (d->body_zstd)
			d->plain = true;
		else
			set_aside(u, result);
		break;
	case UPL_VERDICT_REFUSE:
		set_aside(u, result);
		break;
	}
	upl_status_changed(u);
	upl_delivery_kick(u);
}

/* ---- start and stop ---- */

int
upl_delivery_start(struct uplinkd *u)
{
	u->delivery.timer = loop_timer_new(&u->loop, on_timer, u);
	if (u->delivery.timer == NULL)
		return -ENOMEM;
	/* What an earlier run left has waited long enough. */
	u->delivery.deadline.ms = spool_backlog_events(u->spool) > 0 ? 1 : 0;
	return 0;
}

void
upl_delivery_stop(struct uplinkd *u)
{
	if (u->delivery.call != NULL)
		http_cancel(u->delivery.call);
	u->delivery.call = NULL;
	event_free(u->delivery.timer);
	spool_package_done(&u->delivery.package);
	free(u->delivery.body);
}
