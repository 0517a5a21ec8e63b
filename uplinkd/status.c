/* What agentd, and through it picketctl, sees of uplinkd: counters and facts, at most once a second. Called by
 * everything that counts. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "uplinkd/uplinkd.h"

/* Milliseconds between two reports at least. */
#define REPORT_MS 1000u
/* Milliseconds between looks at what changes by itself: the age of the spool, days left of certificates. */
#define TICK_MS 60000u

/* Days before its end from which a certificate is warned about; again at each of them. */
static const int64_t warn_days[] = {30, 7, 1};

#define NAME(field) STATS_NAME(struct upl_counters, field)

static const struct stats_name names[] = {
    /* clang-format off */
    NAME(received), NAME(received_duplicates),
    NAME(spooled_events), NAME(spooled_bytes), NAME(spool_disk_bytes),
    NAME(packages), NAME(delivered), NAME(acked), NAME(duplicates),
    NAME(sent_bytes), NAME(wire_bytes),
    NAME(retries), NAME(splits), NAME(set_aside),
    NAME(dropped_size), NAME(dropped_age), NAME(dropped_full), NAME(dropped_missing), NAME(damaged), NAME(torn),
    NAME(commits), NAME(commit_max_us), NAME(commit_failures), NAME(sync_failures),
    NAME(syncs), NAME(sync_errors), NAME(commands), NAME(results),
    NAME(last_contact_ms),
    {NULL, 0},
    /* clang-format on */
};

static void
refresh(struct uplinkd *u)
{
	const struct spool_stats *spool = spool_stats(u->spool);
	struct upl_counters *c = &u->counters;

	c->spooled_events = spool_backlog_events(u->spool);
	c->spooled_bytes = spool_backlog_bytes(u->spool);
	c->spool_disk_bytes = spool_disk_bytes(u->spool);
	c->dropped_size = spool->dropped_size;
	c->dropped_age = spool->dropped_age;
	c->dropped_full = spool->dropped_full;
	c->dropped_missing = spool->dropped_missing;
	c->damaged = spool->damaged;
	c->torn = spool->torn;
	c->commits = spool->commits;
	c->sync_failures = spool->sync_failures;
}

/* A number as a fact, "" when it is not known. */
static const char *
number(char *buf, size_t size, bool known, int64_t value)
{
	buf[0] = '\0';
	if (known)
		(void)snprintf(buf, size, "%" PRId64, value);
	return buf;
}

static void
report(struct uplinkd *u)
{
	struct ipc_link *link = ipc_client_link(u->agentd);
	const struct upl_server *server = &u->servers.list[u->servers.current];
	int64_t now_s = (int64_t)time(NULL);
	char where[UPL_HOST_BYTES + 10] = "", skew[24], server_days[24], client_days[24];
	bool v6 = strchr(server->host, ':') != NULL;

	if (link == NULL)
		return;
	refresh(u);
	if (u->servers.n > 0)
		(void)snprintf(where, sizeof(where), "%s%s%s:%u", v6 ? "[" : "", server->host, v6 ? "]" : "",
		    (unsigned int)server->port);

	const struct stats_fact facts[] = {
	    {"state", u->link_state},
	    {"server", where},
	    {"proxy", u->servers.proxy.host},
	    {"server_certificate", u->tls.server_state},
	    {"server_days_left", number(server_days, sizeof(server_days), u->tls.server_not_after != 0,
				     tls_days_left(u->tls.server_not_after, now_s))},
	    {"client_certificate", u->tls.client_state},
	    {"client_days_left", number(client_days, sizeof(client_days), u->tls.client_not_after != 0,
				     tls_days_left(u->tls.client_not_after, now_s))},
	    {"skew_ms", number(skew, sizeof(skew), u->skew_known, u->skew_ms)},
	    {"spool", u->ingest.failing ? "failing: nothing is acknowledged, see the log" : "ok"},
	};
	if (stats_report(link, names, &u->counters, facts, sizeof(facts) / sizeof(facts[0])) == 0)
		u->reported = mono_now();
}

static void
on_status_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct uplinkd *u = ctx;

	(void)fd;
	(void)what;
	u->status_armed = false;
	report(u);
}

void
upl_status_changed(struct uplinkd *u)
{
	uint64_t since = mono_since(u->reported, mono_now());

	if (u->status_armed)
		return;
	u->status_armed = true;
	loop_timer_arm(u->status_timer, since < REPORT_MS ? REPORT_MS - since : 0);
}

/* Warn once when a certificate passes one of the marks. */
static void
warn_of_end(const char *which, int64_t not_after, int64_t *warned)
{
	int64_t left;

	if (not_after == 0)
		return;
	left = tls_days_left(not_after, (int64_t)time(NULL));
	for (size_t i = sizeof(warn_days) / sizeof(warn_days[0]); i-- > 0;) {
		if (left > warn_days[i])
			continue;
		if (*warned != warn_days[i])
			log_warning("tls.expires", KV_STR("certificate", which), KV_I64("days_left", left),
			    KV_STR("remedy", "replace the file and restart uplinkd"));
		*warned = warn_days[i];
		return;
	}
}

static void
on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct uplinkd *u = ctx;

	(void)fd;
	(void)what;
	spool_trim(u->spool);
	warn_of_end("server", u->tls.server_not_after, &u->warned_server);
	warn_of_end("client", u->tls.client_not_after, &u->warned_client);
	upl_status_changed(u);
	upl_delivery_kick(u);
	loop_timer_arm(u->tick, TICK_MS);
}

int
upl_status_start(struct uplinkd *u)
{
	u->status_timer = loop_timer_new(&u->loop, on_status_timer, u);
	u->tick = loop_timer_new(&u->loop, on_tick, u);
	if (u->status_timer == NULL || u->tick == NULL)
		return -ENOMEM;
	loop_timer_arm(u->tick, 0);
	return 0;
}

void
upl_status_stop(struct uplinkd *u)
{
	event_free(u->status_timer);
	event_free(u->tick);
}
