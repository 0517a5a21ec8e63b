/* The two calls of the agent: what is answered, and that a refused request changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/pb.h"
#include "proto/link.pb-c.h"
#include "server/api.h"
#include "server/order.h"

static char dir[64];
static struct api api;
static struct api_reply reply;

static int
setup(void **state)
{
	char path[96], err[512];

	(void)state;
	(void)log_open("test", "/dev/null", LOG_LEVEL_ERROR);
	(void)snprintf(dir, sizeof(dir), "/tmp/picket-api-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/p.db", dir);
	api = (struct api){0};
	if (store_open(path, STORE_SERVE, &api.store, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = {"p.db", "p.db-wal", "p.db-shm"};
	char name[128];

	(void)state;
	store_close(api.store);
	free(reply.body);
	reply = (struct api_reply){0};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
		(void)unlink(name);
	}
	return rmdir(dir);
}

static void
call(void (*handler)(struct api *, const struct api_request *, struct api_reply *), const uint8_t *body, size_t len,
    const char *subject)
{
	const struct api_request request = {body, len, subject, 5000};

	free(reply.body);
	reply = (struct api_reply){0};
	handler(&api, &request, &reply);
}

static void
send_package(uint64_t first, size_t n, const char *event, const char *subject)
{
	Picket__V1__TelemetryRequest request = PICKET__V1__TELEMETRY_REQUEST__INIT;
	Picket__V1__EventRecord records[16];
	Picket__V1__EventRecord *pointers[16];
	size_t len;

	assert_true(n <= 16);
	for (size_t i = 0; i < n; i++) {
		picket__v1__event_record__init(&records[i]);
		records[i].epoch = 9;
		records[i].sequence = first + i;
		records[i].event = pb_str(event);
		pointers[i] = &records[i];
	}
	request.agent_id = pb_str("agent-1");
	request.records = pointers;
	request.n_records = n;
	uint8_t *body = pb_pack_new(&request.base, &len);
	call(api_telemetry, body, len, subject);
	free(body);
}

static void
expect_counts(uint64_t stored, uint64_t duplicates)
{
	struct pb_arena *arena;
	const char *why;

	assert_int_equal(reply.status, 200);
	const Picket__V1__TelemetryReply *r = (const Picket__V1__TelemetryReply *)(const void *)pb_unpack(
	    &picket__v1__telemetry_reply__descriptor, reply.body, reply.len, KIB(4), &arena, &why);
	assert_non_null(r);
	assert_int_equal(r->stored, stored);
	assert_int_equal(r->duplicates, duplicates);
	assert_int_equal(r->records, stored + duplicates);
	pb_arena_free(arena);
}

static void
telemetry_counts_new_and_known_records(void **state)
{
	(void)state;
	send_package(1, 10, "\x08\x01", "CN=a");
	expect_counts(10, 0);
	send_package(6, 10, "\x08\x01", "CN=a");
	expect_counts(5, 5);
	send_package(1, 0, "", "CN=a");
	expect_counts(0, 0);
	assert_int_equal(api.stats.stored, 15);
	assert_int_equal(api.stats.duplicates, 5);
	assert_int_equal(api.stats.malformed, 0);
}

static void
unreadable_events_are_stored_and_counted_not_refused(void **state)
{
	(void)state;
	send_package(1, 3, "\x0b", "CN=a");
	expect_counts(3, 0);
	assert_int_equal(api.stats.malformed, 3);
	send_package(1, 3, "\x0b", "CN=a");
	expect_counts(0, 3);
	assert_int_equal(api.stats.malformed, 3);
}

static int
never(const struct store_host *host, void *ctx)
{
	(void)ctx;
	fail_msg("host %s was entered", host->agent_id);
	return 1;
}

static void
a_bad_request_is_400_and_enters_no_host(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bodies[] = {{"", 0}, {"\x0a\x01", 2},
	    {"\x0a\x03"
	     "a b",
		5},
	    {"\xff\xff", 2},
	    {"\x0a\x01"
	     "a\x12\x02\x10\x01",
		7}};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		call(api_telemetry, (const uint8_t *)bodies[i].bytes, bodies[i].len, "CN=a");
		assert_int_equal(reply.status, 400);
		assert_null(reply.body);
		assert_non_null(reply.text);
		assert_null(strchr(reply.text, '\n'));
		if (i == sizeof(bodies) / sizeof(bodies[0]) - 1)
			break; /* a record without epoch is nothing to a sync */
		call(api_sync, (const uint8_t *)bodies[i].bytes, bodies[i].len, "CN=a");
		assert_int_equal(reply.status, 400);
	}
	assert_int_equal(store_hosts_each(api.store, never, NULL), 0);
}

static void
another_certificate_is_403_and_stores_nothing(void **state)
{
	(void)state;
	send_package(1, 2, "\x08\x01", "CN=a");
	expect_counts(2, 0);
	send_package(3, 2, "\x08\x01", "CN=b");
	assert_int_equal(reply.status, 403);
	send_package(3, 2, "\x08\x01", "CN=a");
	expect_counts(2, 0);
}

static void
a_locked_database_is_503_with_a_time_to_come_back(void **state)
{
	char path[96], err[512];
	struct store *other;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/p.db", dir);
	assert_int_equal(store_open(path, STORE_TOOL, &other, err, sizeof(err)), 0);
	assert_int_equal(store_begin(other), 0);
	send_package(1, 2, "\x08\x01", "CN=a");
	assert_int_equal(reply.status, 503);
	assert_int_equal(reply.retry_s, 1);
	store_rollback(other);
	store_close(other);
	send_package(1, 2, "\x08\x01", "CN=a");
	expect_counts(2, 0);
}

/* ---- sync ---- */

static const Picket__V1__SyncReply *
do_sync(
    const uint8_t *state, size_t state_len, ProtobufCBinaryData *results, size_t n_results, struct pb_arena **ret_arena)
{
	Picket__V1__SyncRequest sync = PICKET__V1__SYNC_REQUEST__INIT;
	const char *why;
	size_t len;

	sync.agent_id = pb_str("agent-1");
	sync.time_ms = 4000;
	sync.state = pb_bytes(state, state_len);
	sync.results = results;
	sync.n_results = n_results;
	uint8_t *body = pb_pack_new(&sync.base, &len);
	call(api_sync, body, len, "CN=a");
	free(body);
	assert_int_equal(reply.status, 200);
	const Picket__V1__SyncReply *r = (const Picket__V1__SyncReply *)(const void *)pb_unpack(
	    &picket__v1__sync_reply__descriptor, reply.body, reply.len, KIB(64), ret_arena, &why);
	assert_non_null(r);
	assert_int_equal(r->time_ms, 5000);
	return r;
}

static void
queue_release(char id[static ORDER_ID_BYTES])
{
	Picket__V1__Command command = PICKET__V1__COMMAND__INIT;
	Picket__V1__ReleaseCommand release = PICKET__V1__RELEASE_COMMAND__INIT;
	char agent_id[65];
	int64_t host;

	assert_int_equal(store_host_find(api.store, "agent-1", &host, agent_id, sizeof(agent_id)), 0);
	command.kind_case = PICKET__V1__COMMAND__KIND_RELEASE;
	command.release = &release;
	assert_int_equal(order_queue(api.store, host, agent_id, "release", &command, 100, 0, id), 0);
}

static void
a_sync_hands_out_at_most_32_commands_in_order(void **state)
{
	struct pb_arena *arena;
	char ids[40][ORDER_ID_BYTES];

	(void)state;
	pb_arena_free((do_sync(NULL, 0, NULL, 0, &arena), arena));
	for (size_t i = 0; i < 40; i++)
		queue_release(ids[i]);
	const Picket__V1__SyncReply *r = do_sync(NULL, 0, NULL, 0, &arena);
	assert_int_equal(r->n_commands, 32);
	for (size_t i = 0; i < 32; i++) {
		struct pb_arena *inner;
		const char *why;
		const Picket__V1__Command *c =
		    (const Picket__V1__Command *)(const void *)pb_unpack(&picket__v1__command__descriptor,
			r->commands[i]->command.data, r->commands[i]->command.len, KIB(4), &inner, &why);

		assert_non_null(c);
		assert_true(pb_equals(c->id, ids[i]));
		assert_true(pb_equals(c->agent_id, "agent-1"));
		assert_int_equal(c->issued_ms, 100);
		assert_int_equal(c->kind_case, PICKET__V1__COMMAND__KIND_RELEASE);
		pb_arena_free(inner);
	}
	pb_arena_free(arena);
}

/* Queue an isolation with n exceptions of 20 bytes each. */
static int
queue_large(size_t n)
{
	static const uint8_t address[16] = {0xfd};
	static Picket__V1__IsolationException exceptions[2400];
	static Picket__V1__IsolationException *pointers[2400];
	Picket__V1__Command command = PICKET__V1__COMMAND__INIT;
	Picket__V1__IsolateCommand isolate = PICKET__V1__ISOLATE_COMMAND__INIT;
	char agent_id[65], id[ORDER_ID_BYTES];
	int64_t host;

	for (size_t i = 0; i < n; i++) {
		picket__v1__isolation_exception__init(&exceptions[i]);
		exceptions[i].address = pb_bytes(address, sizeof(address));
		pointers[i] = &exceptions[i];
	}
	isolate.exceptions = pointers;
	isolate.n_exceptions = n;
	command.kind_case = PICKET__V1__COMMAND__KIND_ISOLATE;
	command.isolate = &isolate;
	assert_int_equal(store_host_find(api.store, "agent-1", &host, agent_id, sizeof(agent_id)), 0);
	return order_queue(api.store, host, agent_id, "isolate", &command, 100, 0, id);
}

static void
a_reply_never_grows_beyond_what_an_agent_takes(void **state)
{
	struct pb_arena *arena;

	(void)state;
	pb_arena_free((do_sync(NULL, 0, NULL, 0, &arena), arena));
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(queue_large(1000), 0);
	for (size_t i = 0; i < 2; i++) {
		const Picket__V1__SyncReply *r = do_sync(NULL, 0, NULL, 0, &arena);

		assert_int_equal(r->n_commands, 2);
		assert_true(reply.len < KIB(64));
		pb_arena_free(arena);
	}
}

static void
an_order_larger_than_an_agent_takes_is_not_queued(void **state)
{
	struct pb_arena *arena;

	(void)state;
	pb_arena_free((do_sync(NULL, 0, NULL, 0, &arena), arena));
	assert_int_equal(queue_large(2400), -EMSGSIZE);
	assert_int_equal(do_sync(NULL, 0, NULL, 0, &arena)->n_commands, 0);
	pb_arena_free(arena);
	assert_int_equal(queue_large(1000), 0);
}

static int
check_time(const struct store_command *command, void *ctx)
{
	assert_int_equal(command->created_ms, *(uint64_t *)ctx);
	return 0;
}

static void
the_time_of_issue_never_falls(void **state)
{
	Picket__V1__Command command = PICKET__V1__COMMAND__INIT;
	char agent_id[65], id[ORDER_ID_BYTES];
	struct pb_arena *arena;
	int64_t host;
	uint64_t now = 900;

	(void)state;
	pb_arena_free((do_sync(NULL, 0, NULL, 0, &arena), arena));
	assert_int_equal(store_host_find(api.store, "agent-1", &host, agent_id, sizeof(agent_id)), 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(order_queue(api.store, host, agent_id, "release", &command, 900 - 100 * i, 0, id), 0);
		assert_int_equal(command.issued_ms, 900);
		assert_int_equal(store_commands_each(api.store, id, 0, 1, check_time, &now), 1);
	}
}

static ProtobufCBinaryData
pack_result(const char *id, Picket__V1__CommandStatus status)
{
	Picket__V1__CommandResult result = PICKET__V1__COMMAND_RESULT__INIT;
	size_t len;

	result.id = pb_str(id);
	result.status = status;
	result.text = pb_str("fine\n");
	uint8_t *data = pb_pack_new(&result.base, &len);
	return pb_bytes(data, len);
}

static int
check_done(const struct store_command *command, void *ctx)
{
	(void)ctx;
	assert_int_equal(command->state, STORE_COMMAND_DONE);
	assert_string_equal(command->result, "fine?");
	return 0;
}

static void
results_are_kept_and_confirmed_and_unreadable_ones_skipped(void **state)
{
	struct pb_arena *arena;
	char id[ORDER_ID_BYTES];

	(void)state;
	pb_arena_free((do_sync(NULL, 0, NULL, 0, &arena), arena));
	queue_release(id);
	ProtobufCBinaryData results[] = {
	    pb_str("\xff"),
	    pack_result(id, PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_DONE),
	    pack_result("of-a-server-before", PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_FAILED),
	    pack_result(id, PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_UNSPECIFIED),
	};
	const Picket__V1__SyncReply *r = do_sync(NULL, 0, results, 4, &arena);
	assert_int_equal(r->n_confirmed_results, 2);
	assert_true(pb_equals(r->confirmed_results[0], id));
	assert_true(pb_equals(r->confirmed_results[1], "of-a-server-before"));
	assert_int_equal(r->n_commands, 0);
	pb_arena_free(arena);
	assert_int_equal(store_commands_each(api.store, id, 0, 1, check_done, NULL), 1);
	for (size_t i = 1; i < 4; i++)
		free(results[i].data);
}

static int
check_host(const struct store_host *h, void *ctx)
{
	(void)ctx;
	assert_string_equal(h->state.name, "we?b");
	assert_string_equal(h->state.addresses, "10.0.0.5 fd00::1");
	assert_string_equal(h->state.macs, "02:00:00:00:00:ff");
	assert_string_equal(h->state.tasks, "KATAEDR=started");
	assert_string_equal(h->state.isolation, "isolated");
	assert_int_equal(h->state.isolation_until_ms, 77);
	assert_int_equal(h->clock_offset_ms, -1000);
	return 0;
}

static void
a_host_state_is_put_into_words_and_survives_an_unreadable_one(void **state)
{
	static const uint8_t v4[] = {10, 0, 0, 5}, v6[16] = {0xfd, [15] = 1}, mac[] = {2, 0, 0, 0, 0, 0xff};
	Picket__V1__AgentState agent = PICKET__V1__AGENT_STATE__INIT;
	Picket__V1__IsolationStatus isolation = PICKET__V1__ISOLATION_STATUS__INIT;
	Picket__V1__TaskInfo task = PICKET__V1__TASK_INFO__INIT;
	Picket__V1__TaskInfo *tasks[] = {&task};
	ProtobufCBinaryData addresses[] = {pb_bytes(v4, 4), pb_bytes("odd", 3), pb_bytes(v6, 16)};
	ProtobufCBinaryData macs[] = {pb_bytes(mac, 6), pb_bytes(mac, 5)};
	struct pb_arena *arena;
	size_t len;

	(void)state;
	agent.host_name = pb_str("we\nb");
	agent.addresses = addresses;
	agent.n_addresses = 3;
	agent.macs = macs;
	agent.n_macs = 2;
	task.name = pb_str("KATAEDR");
	task.state = PICKET__V1__TASK_STATE__TASK_STATE_STARTED;
	agent.tasks = tasks;
	agent.n_tasks = 1;
	isolation.state = PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_ISOLATED;
	isolation.until_ms = 77;
	agent.isolation = &isolation;
	uint8_t *data = pb_pack_new(&agent.base, &len);
	pb_arena_free((do_sync(data, len, NULL, 0, &arena), arena));
	free(data);
	pb_arena_free((do_sync((const uint8_t *)"\xff", 1, NULL, 0, &arena), arena));
	pb_arena_free((do_sync(NULL, 0, NULL, 0, &arena), arena));
	assert_int_equal(store_hosts_each(api.store, check_host, NULL), 1);
}

#define API_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    API_TEST(telemetry_counts_new_and_known_records),
	    API_TEST(unreadable_events_are_stored_and_counted_not_refused),
	    API_TEST(a_bad_request_is_400_and_enters_no_host),
	    API_TEST(another_certificate_is_403_and_stores_nothing),
	    API_TEST(a_locked_database_is_503_with_a_time_to_come_back),
	    API_TEST(a_sync_hands_out_at_most_32_commands_in_order),
	    API_TEST(a_reply_never_grows_beyond_what_an_agent_takes),
	    API_TEST(an_order_larger_than_an_agent_takes_is_not_queued),
	    API_TEST(the_time_of_issue_never_falls),
	    API_TEST(results_are_kept_and_confirmed_and_unreadable_ones_skipped),
	    API_TEST(a_host_state_is_put_into_words_and_survives_an_unreadable_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
