/* The database: nothing twice, nothing lost, commands until they are answered, and only files that are ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/store.h"

static char dir[64], path[96];
static struct store *store;
static int64_t host;

static int64_t
see(const char *agent_id, const char *subject)
{
	int64_t id = 0;

	assert_int_equal(store_host_seen(store, (const uint8_t *)agent_id, strlen(agent_id), subject, 1000, &id), 0);
	return id;
}

static int
setup(void **state)
{
	char err[512];

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/picket-store-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/p.db", dir);
	if (store_open(path, STORE_SERVE, &store, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	host = see("agent-1", "CN=a");
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = {"p.db", "p.db-wal", "p.db-shm", "p.db-journal", "other"};
	char name[128];

	(void)state;
	store_close(store);
	store = NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
		(void)unlink(name);
	}
	return rmdir(dir);
}

static int
put(int64_t of, uint64_t epoch, uint64_t sequence)
{
	static const uint8_t event[] = {0x08, 1, 0x10, 5}; /* type 1, time 5 */
	const struct telemetry_record record = {epoch, sequence, 1, event, sizeof(event)};
	bool malformed = true;
	int r = store_event_put(store, of, &record, 2000, &malformed);

	assert_false(malformed);
	return r;
}

static int
count_event(const struct store_event *event, void *ctx)
{
	(void)event;
	++*(int *)ctx;
	return 0;
}

static int
events(struct store *of)
{
	const struct store_event_query all = {.type = -1, .after_id = -1, .limit = 1000};
	int n = 0;

	int r = store_events_each(of, &all, count_event, &n);
	assert_int_equal(r, n);
	return n;
}

/* ---- events ---- */

static void
a_record_is_stored_once_whatever_is_sent(void **state)
{
	int64_t other = see("agent-2", "CN=a");

	(void)state;
	assert_int_equal(put(host, 7, 1), 1);
	assert_int_equal(put(host, 7, 1), 0);
	assert_int_equal(put(host, 7, 2), 1);
	assert_int_equal(put(host, 8, 1), 1);  /* another epoch */
	assert_int_equal(put(other, 7, 1), 1); /* another agent */
	assert_int_equal(put(host, UINT64_MAX, UINT64_MAX), 1);
	assert_int_equal(put(host, UINT64_MAX, UINT64_MAX), 0);
	assert_int_equal(put(host, 7, 2), 0);
	assert_int_equal(events(store), 5);
}

static int
check_event(const struct store_event *e, void *ctx)
{
	(void)ctx;
	assert_string_equal(e->agent_id, "agent-1");
	assert_true(e->epoch == UINT64_MAX);
	assert_true(e->sequence == UINT64_C(1) << 63);
	assert_true(e->type == 300);
	assert_true(e->malformed);
	assert_int_equal(e->received_ms, 2000);
	assert_int_equal(e->len, 3);
	assert_memory_equal(e->bytes, "\x0b\xff\x00", 3);
	return 0;
}

static void
unreadable_event_bytes_are_kept_as_they_are(void **state)
{
	const struct telemetry_record record = {UINT64_MAX, UINT64_C(1) << 63, 300, (const uint8_t *)"\x0b\xff\x00", 3};
	const struct telemetry_record empty = {1, 1, 0, NULL, 0};
	const struct store_event_query query = {.type = 300, .after_id = -1, .limit = 10};
	bool malformed = false;

	(void)state;
	assert_int_equal(store_event_put(store, host, &record, 2000, &malformed), 1);
	assert_true(malformed);
	assert_int_equal(store_events_each(store, &query, check_event, NULL), 1);
	assert_int_equal(store_event_put(store, host, &empty, 2000, &malformed), 1);
	assert_false(malformed);
}

static void
a_rolled_back_package_leaves_nothing_and_can_come_again(void **state)
{
	(void)state;
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(put(host, 7, 1), 1);
	store_rollback(store);
	assert_int_equal(events(store), 0);
	/* The stream was entered in the same transaction and must not be remembered. */
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(put(host, 7, 1), 1);
	assert_int_equal(store_commit(store), 0);
	assert_int_equal(events(store), 1);
}

static int
collect_sequence(const struct store_event *event, void *ctx)
{
	char *text = ctx;
	size_t n = strlen(text);

	(void)snprintf(text + n, 64 - n, "%llu ", (unsigned long long)event->sequence);
	return 0;
}

static void
queries_give_the_newest_in_order_and_later_arrivals(void **state)
{
	struct store_event_query query = {.type = -1, .after_id = -1, .limit = 2};
	char text[64] = "";
	int64_t last;

	(void)state;
	for (uint64_t i = 1; i <= 4; i++) {
		/* time_ms falls with the sequence: order is by the event's own time */
		const uint8_t event[] = {0x10, (uint8_t)(50 - i)};
		const struct telemetry_record record = {7, i, 1, event, sizeof(event)};
		bool malformed;

		assert_int_equal(store_event_put(store, host, &record, 2000, &malformed), 1);
	}
	assert_int_equal(store_events_each(store, &query, collect_sequence, text), 2);
	assert_string_equal(text, "2 1 ");

	text[0] = '\0';
	query = (struct store_event_query){.type = -1, .since_ms = 47, .until_ms = 48, .after_id = -1, .limit = 9};
	assert_int_equal(store_events_each(store, &query, collect_sequence, text), 2);
	assert_string_equal(text, "3 2 ");

	assert_int_equal(store_events_last(store, &last), 0);
	assert_int_equal(put(host, 7, 5), 1);
	text[0] = '\0';
	query = (struct store_event_query){.type = -1, .after_id = last, .limit = 9};
	assert_int_equal(store_events_each(store, &query, collect_sequence, text), 1);
	assert_string_equal(text, "5 ");
	query.host = host + 1;
	assert_int_equal(store_events_each(store, &query, collect_sequence, text), 0);
}

static void
an_event_with_an_impossible_time_is_still_listed(void **state)
{
	static const uint8_t event[] = {
	    0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}; /* time_ms 2^64 - 1 */
	const struct telemetry_record record = {7, 1, 1, event, sizeof(event)};
	bool malformed;

	(void)state;
	assert_int_equal(store_event_put(store, host, &record, 2000, &malformed), 1);
	assert_int_equal(events(store), 1);
}

/* ---- hosts ---- */

static void
an_agent_id_stays_with_the_first_certificate(void **state)
{
	int64_t id = 0;

	(void)state;
	assert_true(see("agent-1", "CN=a") == host);
	assert_int_equal(store_host_seen(store, (const uint8_t *)"agent-1", 7, "CN=b", 1000, &id), -EACCES);
	assert_int_equal(id, 0);
	assert_true(see("agent-2", "CN=b") != host);
}

static void
hosts_are_found_by_id_by_name_and_by_a_unique_beginning(void **state)
{
	const struct store_host_state named = {.name = "web"};
	const struct store_host_state like_an_id = {.name = "agent-1"};
	char agent_id[65];
	int64_t found, second = see("agent-12", "CN=a"), third = see("beta", "CN=a");

	(void)state;
	assert_int_equal(store_host_update(store, second, &named, 0, 0), 0);
	assert_int_equal(store_host_update(store, third, &like_an_id, 0, 0), 0);
	/* An exact id wins over a longer one and over another host's name. */
	assert_int_equal(store_host_find(store, "agent-1", &found, agent_id, sizeof(agent_id)), 0);
	assert_true(found == host);
	assert_int_equal(store_host_find(store, "web", &found, agent_id, sizeof(agent_id)), 0);
	assert_true(found == second);
	assert_string_equal(agent_id, "agent-12");
	assert_int_equal(store_host_find(store, "be", &found, agent_id, sizeof(agent_id)), 0);
	assert_true(found == third);
	assert_int_equal(store_host_find(store, "agent", &found, agent_id, sizeof(agent_id)), -ENOTUNIQ);
	assert_int_equal(store_host_find(store, "nobody", &found, agent_id, sizeof(agent_id)), -ENOENT);
	assert_int_equal(store_host_find(store, "", &found, agent_id, sizeof(agent_id)), -ENOENT);
	assert_int_equal(store_host_find(store, "%", &found, agent_id, sizeof(agent_id)), -ENOENT);
}

static int
check_host(const struct store_host *h, void *ctx)
{
	(void)ctx;
	assert_string_equal(h->state.name, "web");
	assert_string_equal(h->state.tasks, "KATAEDR=started");
	assert_string_equal(h->state.isolation, "isolated");
	assert_int_equal(h->spooled_events, 5);
	assert_int_equal(h->clock_offset_ms, -20);
	assert_int_equal(h->events, 10);
	assert_int_equal(h->duplicates, 3);
	assert_int_equal(h->malformed, 1);
	return 0;
}

static void
a_host_keeps_its_state_when_a_later_one_is_unreadable(void **state)
{
	const struct store_host_state told = {.name = "web", .tasks = "KATAEDR=started", .isolation = "isolated"};

	(void)state;
	assert_int_equal(store_host_update(store, host, &told, 9, 0), 0);
	assert_int_equal(store_host_update(store, host, NULL, 5, -20), 0);
	assert_int_equal(store_host_count(store, host, 4, 3, 0), 0);
	assert_int_equal(store_host_count(store, host, 6, 0, 1), 0);
	assert_int_equal(store_hosts_each(store, check_host, NULL), 1);
}

/* ---- commands ---- */

static void
queue(const char *id, uint64_t expires_ms)
{
	const struct store_command command = {
	    .host = host,
	    .id = id,
	    .kind = "isolate",
	    .bytes = (const uint8_t *)id,
	    .len = strlen(id),
	    .created_ms = 1,
	    .expires_ms = expires_ms,
	};

	assert_int_equal(store_command_add(store, &command), 0);
}

static int
collect_id(const struct store_command *command, void *ctx)
{
	char *text = ctx;
	size_t n = strlen(text);

	assert_int_equal(command->len, strlen(command->id));
	assert_memory_equal(command->bytes, command->id, command->len);
	(void)snprintf(text + n, 64 - n, "%s ", command->id);
	return 0;
}

static void
expect_taken(uint64_t now_ms, unsigned int max, const char *ids)
{
	char text[64] = "";

	assert_true(store_commands_take(store, host, now_ms, max, collect_id, text) >= 0);
	assert_string_equal(text, ids);
}

static int
copy_state(const struct store_command *command, void *ctx)
{
	*(enum store_command_state *)ctx = command->state;
	return 0;
}

static enum store_command_state
state_of(const char *id)
{
	enum store_command_state state = STORE_COMMAND_UNSET;

	assert_int_equal(store_commands_each(store, id, 0, 10, copy_state, &state), 1);
	return state;
}

static int
finish(int64_t of, const char *id, enum store_command_state state, const char *text)
{
	return store_command_finish(store, of, (const uint8_t *)id, strlen(id), state, text, 3000);
}

static void
a_command_is_handed_out_until_its_result_arrives(void **state)
{
	(void)state;
	queue("one", 0);
	queue("two", 0);
	queue("three", 0);
	assert_int_equal(state_of("one"), STORE_COMMAND_QUEUED);
	expect_taken(100, 2, "one two ");
	assert_int_equal(state_of("one"), STORE_COMMAND_SENT);
	assert_int_equal(state_of("three"), STORE_COMMAND_QUEUED);
	expect_taken(200, 32, "one two three ");
	assert_int_equal(finish(host, "one", STORE_COMMAND_DONE, "isolated"), 1);
	expect_taken(300, 32, "two three ");
	assert_int_equal(state_of("one"), STORE_COMMAND_DONE);
}

static void
the_first_result_stays(void **state)
{
	(void)state;
	queue("one", 0);
	expect_taken(100, 32, "one ");
	assert_int_equal(finish(host, "one", STORE_COMMAND_FAILED, "no iptables"), 1);
	assert_int_equal(finish(host, "one", STORE_COMMAND_DONE, ""), 0);
	assert_int_equal(state_of("one"), STORE_COMMAND_FAILED);
}

static void
results_count_only_for_the_host_that_was_asked(void **state)
{
	int64_t other = see("agent-2", "CN=b");

	(void)state;
	queue("one", 0);
	assert_int_equal(finish(other, "one", STORE_COMMAND_DONE, ""), -ENOENT);
	assert_int_equal(finish(host, "two", STORE_COMMAND_DONE, ""), -ENOENT);
	assert_int_equal(state_of("one"), STORE_COMMAND_QUEUED);
	char text[64] = "";
	assert_int_equal(store_commands_take(store, other, 100, 32, collect_id, text), 0);
}

static void
an_expired_command_is_not_handed_out_but_a_late_result_is_kept(void **state)
{
	(void)state;
	queue("late", 200);
	queue("never", 0);
	expect_taken(199, 32, "late never ");
	expect_taken(200, 32, "never ");
	assert_int_equal(state_of("late"), STORE_COMMAND_EXPIRED);
	assert_int_equal(finish(host, "late", STORE_COMMAND_DONE, ""), 1);
	assert_int_equal(state_of("late"), STORE_COMMAND_DONE);
}

/* ---- the file ---- */

static void
what_was_committed_is_there_after_a_restart(void **state)
{
	char err[512];

	(void)state;
	assert_int_equal(put(host, 7, 1), 1);
	queue("one", 0);
	store_close(store);
	assert_int_equal(store_open(path, STORE_SERVE, &store, err, sizeof(err)), 0);
	assert_int_equal(put(see("agent-1", "CN=a"), 7, 1), 0);
	expect_taken(100, 32, "one ");
}

static void
the_command_line_works_beside_the_server(void **state)
{
	struct store *tool;
	char err[512];

	(void)state;
	assert_int_equal(put(host, 7, 1), 1);
	assert_int_equal(store_open(path, STORE_TOOL, &tool, err, sizeof(err)), 0);
	assert_int_equal(events(tool), 1);
	/* A writer that holds the lock makes the server busy, not blocked for ever. */
	assert_int_equal(store_begin(tool), 0);
	assert_int_equal(store_begin(store), -EBUSY);
	store_rollback(tool);
	assert_int_equal(store_begin(store), 0);
	store_rollback(store);
	store_close(tool);
}

static void
expect_refused(enum store_mode mode, int error, const char *words)
{
	struct store *none = NULL;
	char err[512] = "";

	assert_int_equal(store_open(path, mode, &none, err, sizeof(err)), error);
	assert_null(none);
	if (strstr(err, words) == NULL || strstr(err, dir) == NULL || strchr(err, '\n') != NULL)
		fail_msg("unclear: %s", err);
}

static void
sql(const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
a_newer_schema_is_refused_in_words(void **state)
{
	(void)state;
	sql("PRAGMA user_version = 99");
	expect_refused(STORE_SERVE, -ENOTSUP, "use a newer picket-server");
	expect_refused(STORE_TOOL, -ENOTSUP, "schema 99");
}

static void
files_that_are_not_ours_are_refused_and_left_alone(void **state)
{
	char text[16] = "";
	FILE *f;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/other", dir);
	sql("CREATE TABLE mine (x); PRAGMA application_id = 1");
	expect_refused(STORE_SERVE, -EMEDIUMTYPE, "not a picket-server database");
	expect_refused(STORE_TOOL, -EMEDIUMTYPE, "not a picket-server database");

	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(
	    fputs(
		"no database, just a text of some length, as long as a header is: a hundred bytes and then a few more",
		f) > 0);
	assert_int_equal(fclose(f), 0);
	expect_refused(STORE_SERVE, -EBADMSG, "damaged");
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(text, 12, f));
	assert_string_equal(text, "no database");
	assert_int_equal(fclose(f), 0);
}

static void
the_command_line_never_makes_a_database(void **state)
{
	(void)state;
	(void)snprintf(path, sizeof(path), "%s/absent", dir);
	expect_refused(STORE_TOOL, -ENOENT, "no database at");
	assert_int_equal(access(path, F_OK), -1);
	(void)snprintf(path, sizeof(path), "%s/absent/p.db", dir);
	expect_refused(STORE_SERVE, -ENOENT, "its directory must exist");
}

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(a_record_is_stored_once_whatever_is_sent),
	    STORE_TEST(unreadable_event_bytes_are_kept_as_they_are),
	    STORE_TEST(a_rolled_back_package_leaves_nothing_and_can_come_again),
	    STORE_TEST(queries_give_the_newest_in_order_and_later_arrivals),
	    STORE_TEST(an_event_with_an_impossible_time_is_still_listed),
	    STORE_TEST(an_agent_id_stays_with_the_first_certificate),
	    STORE_TEST(hosts_are_found_by_id_by_name_and_by_a_unique_beginning),
	    STORE_TEST(a_host_keeps_its_state_when_a_later_one_is_unreadable),
	    STORE_TEST(a_command_is_handed_out_until_its_result_arrives),
	    STORE_TEST(the_first_result_stays),
	    STORE_TEST(results_count_only_for_the_host_that_was_asked),
	    STORE_TEST(an_expired_command_is_not_handed_out_but_a_late_result_is_kept),
	    STORE_TEST(what_was_committed_is_there_after_a_restart),
	    STORE_TEST(the_command_line_works_beside_the_server),
	    STORE_TEST(a_newer_schema_is_refused_in_words),
	    STORE_TEST(files_that_are_not_ours_are_refused_and_left_alone),
	    STORE_TEST(the_command_line_never_makes_a_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
