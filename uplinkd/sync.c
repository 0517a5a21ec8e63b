/*
 * The sync request: the host's state and the results of commands go to the server, its commands come back and go to
 * agentd unread. Never executes anything. Called by peers.c and main.c; the answers come from http.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pb.h"
#include "link.pb-c.h"
#include "uplinkd/backoff.h"
#include "uplinkd/uplinkd.h"

/* Milliseconds of the first pause after a failure; the longest is the sync period. */
#define PAUSE_BASE_MS 500u

/* Memory that unpacking an answer may cost, in bytes: an answer has at most 64 KiB. */
#define REPLY_BUDGET KIB(256)
#define RESULT_BUDGET KIB(16)

/* Part of the period by which a fleet is spread, in percent. */
#define JITTER_PERCENT 10u

static void on_done(void *ctx, const struct http_result *result);

static uint64_t
period_ms(const struct uplinkd *u)
{
	uint64_t jitter = u->settings.sync_period_ms * JITTER_PERCENT / 100;

	return u->settings.sync_period_ms - (jitter > 0 ? upl_random() % jitter : 0);
}

static void
arm(struct uplinkd *u, uint64_t ms)
{
	u->sync.due.ms = mono_now().ms + ms;
	loop_timer_arm(u->sync.timer, ms);
}

/* ---- results of commands ---- */

static void
forget_result(struct upl_sync *s, size_t i)
{
	free(s->results[i].bytes);
	s->n_results--;
	memmove(&s->results[i], &s->results[i + 1], (s->n_results - i) * sizeof(s->results[0]));
}

static void
forget_results_of(struct upl_sync *s, const char *id)
{
	for (size_t i = s->n_results; i-- > 0;)
		if (strcmp(s->results[i].id, id) == 0)
			forget_result(s, i);
}

/* The id in a packed CommandResult. */
static int
result_id(ProtobufCBinaryData bytes, char *id, size_t size)
{
	struct pb_arena *arena;
	const char *why;
	const Picket__V1__CommandResult *result = (const void *)pb_unpack(
	    &picket__v1__command_result__descriptor, bytes.data, bytes.len, RESULT_BUDGET, &arena, &why);
	int r;

	if (result == NULL)
		return -EBADMSG;
	r = pb_to_str(result->id, id, size);
	pb_arena_free(arena);
	return r == 0 && id[0] == '\0' ? -EBADMSG : r;
}

int
upl_on_result(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__CommandResultRecord *record = (const void *)msg->pb;
	struct uplinkd *u = ctx;
	struct upl_sync *s = &u->sync;
	struct upl_result result = {.len = record->result.len};

	(void)link;
	if (result_id(record->result, result.id, sizeof(result.id)) < 0)
		return -EBADMSG;
	result.bytes = malloc(result.len);
	if (result.bytes == NULL)
		return 0; /* the server repeats the command, agentd repeats the result */
	memcpy(result.bytes, record->result.data, result.len);
	forget_results_of(s, result.id);
	if (s->n_results == UPL_RESULTS)
		forget_result(s, 0); /* comes again in the same way */
	s->results[s->n_results++] = result;
	log_info("command.result", KV_STR("id", result.id));
	upl_sync_soon(u, 0);
	return 0;
}

/* ---- the request ---- */

static size_t
pack_request(const struct uplinkd *u, uint8_t **ret)
{
	const struct upl_sync *s = &u->sync;
	Picket__V1__SyncRequest msg = PICKET__V1__SYNC_REQUEST__INIT;
	ProtobufCBinaryData results[UPL_RESULTS];
	size_t len = 0;

	for (size_t i = 0; i < s->n_results; i++)
		results[i] = pb_bytes(s->results[i].bytes, s->results[i].len);
	msg.agent_id = pb_str(u->settings.agent_id);
	msg.time_ms = wall_now_ms();
	msg.state = pb_bytes(u->settings.agent_state, u->settings.agent_state_len);
	msg.results = results;
	msg.n_results = s->n_results;
	msg.spooled_events = spool_backlog_events(u->spool);
	*ret = pb_pack_new(&msg.base, &len);
	return len;
}

static void
send_request(struct uplinkd *u)
{
	struct upl_sync *s = &u->sync;
	struct http_request request = {.path = "/edr/v1/sync", .done = on_done, .ctx = u};
	int r;

	if (s->call != NULL) {
		s->again = true;
		return;
	}
	if (!upl_link_ready(u))
		return;
	s->again = false;
	free(s->body);
	request.body_len = pack_request(u, &s->body);
	request.body = s->body;
	s->started = mono_now();
	s->server = upl_servers_pick(&u->servers, true, s->started);
	r = s->body != NULL ? upl_link_post(u, s->server, &request, &s->call) : -ENOMEM;
	if (r < 0) {
		log_error("sync.failed", KV_ERRNO(r));
		arm(u, period_ms(u));
	}
}

void
upl_sync_soon(struct uplinkd *u, uint64_t ms)
{
	if (u->sync.due.ms == 0 || mono_now().ms + ms < u->sync.due.ms)
		arm(u, ms);
}

static void
on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct uplinkd *u = ctx;

	(void)fd;
	(void)what;
	u->sync.due.ms = 0;
	send_request(u);
}

/* ---- the answer ---- */

/* A command that agentd cannot take now comes with the next sync again. */
static void
pass_on(struct uplinkd *u, const Picket__V1__ServerCommandEnvelope *envelope)
{
	Picket__V1__ServerCommandRecord record = PICKET__V1__SERVER_COMMAND_RECORD__INIT;
	struct ipc_link *link = ipc_client_link(u->agentd);
	int r;

	record.command = envelope->command;
	record.signature = envelope->signature;
	r = link != NULL ? ipc_send(link, PICKET__V1__MSG__MSG_SERVER_COMMAND, 0, &record.base, NULL, 0) : -ENOTCONN;
	if (r < 0)
		log_warning("command.waits", KV_ERRNO(r));
	else
		u->counters.commands++;
}

static void
confirm(struct uplinkd *u, ProtobufCBinaryData id)
{
	char text[LIM_ID_BYTES + 1];

	if (pb_to_str(id, text, sizeof(text)) < 0)
		return;
	u->counters.results++;
	forget_results_of(&u->sync, text);
}

/* The server's clock against ours in the middle of the exchange. */
static void
measure_skew(struct uplinkd *u, uint64_t server_ms)
{
	uint64_t half_ms = mono_since(u->sync.started, mono_now()) / 2;

	u->skew_ms = (int64_t)server_ms - (int64_t)(wall_now_ms() - half_ms);
	u->skew_known = server_ms != 0;
}

static bool
take_reply(struct uplinkd *u, const struct http_result *result)
{
	struct pb_arena *arena;
	const char *why;
	const Picket__V1__SyncReply *reply = (const void *)pb_unpack(
	    &picket__v1__sync_reply__descriptor, result->body, result->body_len, REPLY_BUDGET, &arena, &why);

	if (reply == NULL) {
		log_warning("sync.bad_reply", KV_STR("why", why));
		return false;
	}
	measure_skew(u, reply->time_ms);
	for (size_t i = 0; i < reply->n_confirmed_results; i++)
		confirm(u, reply->confirmed_results[i]);
	for (size_t i = 0; i < reply->n_commands; i++)
		pass_on(u, reply->commands[i]);
	pb_arena_free(arena);
	return true;
}

static void
failed(struct uplinkd *u, const struct http_result *result, enum upl_verdict verdict)
{
	struct upl_sync *s = &u->sync;

	s->failures++;
	u->counters.sync_errors++;
	if (upl_link_down(u, UPL_SYNC, s->server, result, verdict))
		arm(u, 0);
	else if (verdict == UPL_VERDICT_RETRY || verdict == UPL_VERDICT_LATER)
		arm(u, upl_backoff_ms(s->failures, PAUSE_BASE_MS, u->settings.sync_period_ms, upl_random(),
			   result->retry_after_ms));
	else
		arm(u, period_ms(u));
}

static void
on_done(void *ctx, const struct http_result *result)
{
	static const char bad_reply[] = "bad reply: what came is not the answer to a sync: check Address and Port";
	struct uplinkd *u = ctx;
	struct upl_sync *s = &u->sync;
	struct http_result bad = *result;
	enum upl_verdict verdict = upl_verdict(result->error, result->status);

	s->call = NULL;
	if (result->error == HTTP_ABORTED) {
		arm(u, 0); /* under the new settings */
		return;
	}
	if (verdict == UPL_VERDICT_OK && take_reply(u, result)) {
		s->failures = 0;
		u->counters.syncs++;
		upl_link_up(u, UPL_SYNC, s->server, result);
		arm(u, s->again ? 0 : period_ms(u));
	} else if (verdict == UPL_VERDICT_OK) {
		bad.error = HTTP_REPLY;
		bad.words = bad_reply;
		failed(u, &bad, UPL_VERDICT_RETRY);
	} else {
		failed(u, result, verdict);
	}
	upl_status_changed(u);
}

/* ---- start and stop ---- */

int
upl_sync_start(struct uplinkd *u)
{
	u->sync.timer = loop_timer_new(&u->loop, on_timer, u);
	return u->sync.timer != NULL ? 0 : -ENOMEM;
}

void
upl_sync_stop(struct uplinkd *u)
{
	struct upl_sync *s = &u->sync;

	if (s->call != NULL)
		http_cancel(s->call);
	s->call = NULL;
	event_free(s->timer);
	while (s->n_results > 0)
		forget_result(s, 0);
	free(s->body);
}
