/*
 * The two calls of the agent, each in one transaction: commit, then answer. Never talks HTTP and never decodes an
 * event. Called by http.c.
 */
#include "server/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/pb.h"
#include "link.pb-c.h"
#include "server/agent_id.h"
#include "server/host_state.h"
#include "server/order.h"
#include "server/telemetry.h"
#include "server/text.h"

/* Bytes of memory a SyncRequest may cost: results are its bulk, and a body of a mebibyte holds thousands. */
#define API_SYNC_BUDGET MIB(4)

/* Results taken from one sync; more come again with the next. Their ids, 66 bytes each in the reply, leave room for
 * ORDER_BYTES_MAX. */
#define API_RESULTS_MAX 256u

/* Bytes of memory for one CommandResult. */
#define API_RESULT_BUDGET KIB(64)

/* Bytes kept of a result's text: a sentence or a short listing. */
#define API_RESULT_TEXT_BYTES 1024u

/* Seconds after which to come back: a lock is gone at once, a full disk is not. */
#define API_RETRY_BUSY_S 1
#define API_RETRY_BROKEN_S 30

static void
refuse(struct api_reply *reply, int status, const char *text)
{
	*reply = (struct api_reply){.status = status, .text = text};
}

/* Turn a failed store call into the answer, end the transaction, and log what a person must mend. */
static void
refuse_store(struct api *api, int r, const struct api_request *request, struct api_reply *reply)
{
	if (r == -EACCES) {
		log_warning("api.identity", KV_STR("subject", request->subject));
		refuse(reply, 403, "this agent id belongs to another client certificate");
	} else if (r == -EBUSY) {
		log_warning("store.busy");
		refuse(reply, 503, "the database is busy");
		reply->retry_s = API_RETRY_BUSY_S;
	} else {
		log_error("store.failed", KV_ERRNO(r), KV_STR("detail", store_error(api->store)));
		refuse(reply, 503, "the database cannot be written");
		reply->retry_s = API_RETRY_BROKEN_S;
	}
	store_rollback(api->store);
}

static int
pack_reply(const ProtobufCMessage *msg, struct api_reply *reply)
{
	*reply = (struct api_reply){.status = 200};
	reply->body = pb_pack_new(msg, &reply->len);
	return reply->body != NULL ? 0 : -ENOMEM;
}

/* ---- telemetry ---- */

struct package {
	uint64_t stored, duplicates, malformed;
};

static int
store_package(struct api *api, const struct api_request *request, struct telemetry *telemetry, struct package *ret)
{
	struct telemetry_record record;
	struct package package = {0};
	int64_t host;
	int r = store_host_seen(
	    api->store, telemetry->agent_id, telemetry->agent_id_len, request->subject, request->now_ms, &host);

	if (r < 0)
		return r;
	while (telemetry_next(telemetry, &record) > 0) {
		bool malformed = false;

		r = store_event_put(api->store, host, &record, request->now_ms, &malformed);
		if (r < 0)
			return r;
		package.stored += r > 0;
		package.duplicates += r == 0;
		package.malformed += malformed;
	}
	r = store_host_count(api->store, host, package.stored, package.duplicates, package.malformed);
	if (r < 0)
		return r;
	*ret = package;
	return 0;
}

void
api_telemetry(struct api *api, const struct api_request *request, struct api_reply *ret_reply)
{
	struct telemetry telemetry;
	struct package package = {0};
	const char *why;

	if (telemetry_open(request->body, request->len, &telemetry, &why) < 0) {
		refuse(ret_reply, 400, why);
		return;
	}
	int r = store_begin(api->store);
	if (r == 0)
		r = store_package(api, request, &telemetry, &package);
	if (r == 0)
		r = store_commit(api->store);
	if (r < 0) {
		refuse_store(api, r, request, ret_reply);
		return;
	}
	api->stats.packages++;
	api->stats.stored += package.stored;
	api->stats.duplicates += package.duplicates;
	api->stats.malformed += package.malformed;
	if (package.malformed > 0)
		log_warning("api.events_malformed", KV_BYTES("agent", telemetry.agent_id, telemetry.agent_id_len),
		    KV_U64("events", package.malformed));

	Picket__V1__TelemetryReply reply = PICKET__V1__TELEMETRY_REPLY__INIT;
	reply.stored = package.stored;
	reply.duplicates = package.duplicates;
	reply.records = package.stored + package.duplicates;
	if (pack_reply(&reply.base, ret_reply) < 0)
		refuse(ret_reply, 503, "out of memory");
}

/* ---- sync ---- */

/* What goes into a SyncReply, copied from messages and statements that are gone by then. */
struct outbox {
	Picket__V1__ServerCommandEnvelope envelopes[API_COMMANDS_MAX];
	Picket__V1__ServerCommandEnvelope *commands[API_COMMANDS_MAX];
	size_t n_commands, command_bytes;
	uint8_t ids[API_RESULTS_MAX][LIM_ID_BYTES];
	ProtobufCBinaryData confirmed[API_RESULTS_MAX];
	size_t n_confirmed;
};

static int
add_command(const struct store_command *command, void *ctx)
{
	struct outbox *outbox = ctx;
	Picket__V1__ServerCommandEnvelope *envelope = &outbox->envelopes[outbox->n_commands];

	if (outbox->command_bytes + command->len > ORDER_BYTES_MAX)
		return 1;
	uint8_t *copy = malloc(command->len + 1);
	if (copy == NULL)
		return -ENOMEM;
	outbox->command_bytes += command->len;
	if (command->len > 0)
		memcpy(copy, command->bytes, command->len);
	picket__v1__server_command_envelope__init(envelope);
	envelope->command = pb_bytes(copy, command->len);
	outbox->commands[outbox->n_commands++] = envelope;
	return 0;
}

static void
outbox_done(struct outbox *outbox)
{
	for (size_t i = 0; i < outbox->n_commands; i++)
		free(outbox->envelopes[i].command.data);
}

static enum store_command_state
state_of_status(Picket__V1__CommandStatus status)
{
	switch (status) {
	case PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_DONE:
		return STORE_COMMAND_DONE;
	case PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_FAILED:
		return STORE_COMMAND_FAILED;
	case PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_REFUSED:
		return STORE_COMMAND_REFUSED;
	case PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_EXPIRED:
		return STORE_COMMAND_EXPIRED;
	default:
		return STORE_COMMAND_UNSET;
	}
}

/* Keep a result and confirm it, also one that can never be kept: else the agent would send it for ever. Returns 0 or a
 * negative errno. */
static int
finish_command(
    struct api *api, uint64_t now_ms, int64_t host, const Picket__V1__CommandResult *result, struct outbox *outbox)
{
	enum store_command_state state = state_of_status(result->status);
	char text[API_RESULT_TEXT_BYTES];

	if (state == STORE_COMMAND_UNSET || !agent_id_is_valid(result->id.data, result->id.len)) {
		log_warning("api.result_malformed", KV_STR("why", "no status or no id"));
		return 0;
	}
	(void)text_copy(text, sizeof(text), result->text.data, result->text.len);
	int r = store_command_finish(api->store, host, result->id.data, result->id.len, state, text, now_ms);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == -ENOENT)
		log_warning("api.result_unknown", KV_BYTES("id", result->id.data, result->id.len));
	if (r > 0) {
		api->stats.results++;
		log_notice("command.finished", KV_BYTES("id", result->id.data, result->id.len),
		    KV_STR("state", store_command_state_name(state)), KV_STR("text", text));
	}
	uint8_t *id = outbox->ids[outbox->n_confirmed];
	memcpy(id, result->id.data, result->id.len);
	outbox->confirmed[outbox->n_confirmed++] = pb_bytes(id, result->id.len);
	return 0;
}

static int
take_results(struct api *api, const struct api_request *request, int64_t host, const Picket__V1__SyncRequest *sync,
    struct outbox *outbox)
{
	for (size_t i = 0; i < sync->n_results && i < API_RESULTS_MAX; i++) {
		struct pb_arena *arena = NULL;
		const char *why = NULL;
		const Picket__V1__CommandResult *result =
		    (const Picket__V1__CommandResult *)pb_unpack(&picket__v1__command_result__descriptor,
			sync->results[i].data, sync->results[i].len, API_RESULT_BUDGET, &arena, &why);

		if (result == NULL) {
			log_warning("api.result_malformed", KV_STR("why", why));
			continue;
		}
		int r = finish_command(api, request->now_ms, host, result, outbox);
		pb_arena_free(arena);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A state that we cannot read must not keep the host from its commands; an empty one comes from an uplink that has not
 * been told yet. */
static int
take_state(struct api *api, const struct api_request *request, int64_t host, const Picket__V1__SyncRequest *sync)
{
	struct host_state state;
	const char *why = NULL;
	bool readable = sync->state.len > 0 && host_state_read(sync->state.data, sync->state.len, &state, &why) == 0;

	if (why != NULL)
		log_warning("api.state_malformed", KV_BYTES("agent", sync->agent_id.data, sync->agent_id.len),
		    KV_STR("why", why));
	return store_host_update(api->store, host, readable ? &state.texts : NULL, sync->spooled_events,
	    (int64_t)(sync->time_ms - request->now_ms));
}

static int
store_sync(
    struct api *api, const struct api_request *request, const Picket__V1__SyncRequest *sync, struct outbox *outbox)
{
	int64_t host;
	int r = store_host_seen(
	    api->store, sync->agent_id.data, sync->agent_id.len, request->subject, request->now_ms, &host);

	if (r == 0)
		r = take_state(api, request, host, sync);
	if (r == 0)
		r = take_results(api, request, host, sync, outbox);
	if (r == 0)
		r = store_commands_take(api->store, host, request->now_ms, API_COMMANDS_MAX, add_command, outbox);
	return r < 0 ? r : 0;
}

static void
answer_sync(struct api *api, const struct api_request *request, const Picket__V1__SyncRequest *sync,
    struct api_reply *ret_reply)
{
	struct outbox outbox = {.n_commands = 0, .n_confirmed = 0};
	int r = store_begin(api->store);

	if (r == 0)
		r = store_sync(api, request, sync, &outbox);
	if (r == 0)
		r = store_commit(api->store);
	if (r < 0) {
		refuse_store(api, r, request, ret_reply);
		outbox_done(&outbox);
		return;
	}
	api->stats.syncs++;
	api->stats.commands += outbox.n_commands;

	Picket__V1__SyncReply reply = PICKET__V1__SYNC_REPLY__INIT;
	reply.time_ms = request->now_ms;
	reply.commands = outbox.commands;
	reply.n_commands = outbox.n_commands;
	reply.confirmed_results = outbox.confirmed;
	reply.n_confirmed_results = outbox.n_confirmed;
	if (pack_reply(&reply.base, ret_reply) < 0)
		refuse(ret_reply, 503, "out of memory");
	outbox_done(&outbox);
}

void
api_sync(struct api *api, const struct api_request *request, struct api_reply *ret_reply)
{
	struct pb_arena *arena = NULL;
	const char *why = NULL;
	const Picket__V1__SyncRequest *sync = (const Picket__V1__SyncRequest *)pb_unpack(
	    &picket__v1__sync_request__descriptor, request->body, request->len, API_SYNC_BUDGET, &arena, &why);

	if (sync == NULL)
		refuse(ret_reply, 400, why);
	else if (!agent_id_is_valid(sync->agent_id.data, sync->agent_id.len))
		refuse(ret_reply, 400, agent_id_rule);
	else
		answer_sync(api, request, sync, ret_reply);
	pb_arena_free(arena);
}
