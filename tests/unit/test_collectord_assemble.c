/* Records to events: mixed, late, without an end, too many. */
#include "collectord/assemble.h"
#include "collectord_feed.h"

struct got {
	size_t n;
	uint32_t serials[4096];
	uint32_t parts[4096];
	uint32_t n_paths[4096];
};

static void
on_event(struct audit_event *e, void *ctx)
{
	struct got *g = ctx;

	assert_true(g->n < 4096);
	g->serials[g->n] = e->serial;
	g->parts[g->n] = e->parts;
	g->n_paths[g->n++] = e->n_paths;
}

static void
add(struct assembler *a, uint16_t type, uint32_t serial, const char *body, uint64_t now_ms)
{
	size_t len = strlen(body);
	uint8_t *p = feed_padded(body, len);
	struct record r = {.type = type, .serial = serial, .time_ms = 1000, .body = {p, len}};

	assembler_add(a, &r, now_ms);
	free(p);
}

#define OPENAT "arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=0 a2=241 a3=1b6 pid=1"

static void
records_of_two_processors_are_told_apart(void **state)
{
	struct got g = {0};
	struct assembler *a = assembler_new(on_event, &g);

	(void)state;
	add(a, AUDIT_SYSCALL, 7, OPENAT, 0);
	add(a, AUDIT_SYSCALL, 6, OPENAT, 0);
	add(a, AUDIT_PATH, 7, "name=\"a\" nametype=CREATE", 0);
	add(a, AUDIT_PATH, 6, "name=\"b\" nametype=PARENT", 0);
	add(a, AUDIT_PATH, 6, "name=\"b\" nametype=CREATE", 0);
	add(a, AUDIT_PROCTITLE, 7, "proctitle=00", 0);
	assert_int_equal(g.n, 1);
	add(a, AUDIT_PROCTITLE, 6, "proctitle=00", 0);
	assert_int_equal(g.n, 2);
	assert_int_equal(g.serials[0], 7);
	assert_int_equal(g.n_paths[0], 1);
	assert_int_equal(g.n_paths[1], 2);
	assert_int_equal(assembler_stats(a)->unended, 0);
	assembler_free(a);
}

static void
the_end_record_after_the_title_opens_nothing(void **state)
{
	struct got g = {0};
	struct assembler *a = assembler_new(on_event, &g);

	(void)state;
	add(a, AUDIT_SYSCALL, 1, OPENAT, 0);
	add(a, AUDIT_PROCTITLE, 1, "", 0);
	add(a, AUDIT_EOE, 1, "", 0);
	assembler_flush(a);
	assert_int_equal(g.n, 1);
	assert_int_equal(assembler_stats(a)->late_end, 1);
	assembler_free(a);
}

static void
the_end_record_ends_an_event_without_a_title(void **state)
{
	struct got g = {0};
	struct assembler *a = assembler_new(on_event, &g);

	(void)state;
	add(a, AUDIT_SYSCALL, 1, OPENAT, 0);
	add(a, AUDIT_EOE, 1, "", 0);
	assert_int_equal(g.n, 1);
	assembler_free(a);
}

static void
an_event_without_an_end_waits_its_time_and_no_longer(void **state)
{
	struct got g = {0};
	struct assembler *a = assembler_new(on_event, &g);

	(void)state;
	add(a, AUDIT_SYSCALL, 1, OPENAT, 5000);
	assert_int_equal(assembler_expire(a, 5000 + ASSEMBLE_WAIT_MS - 1), 1);
	assert_int_equal(g.n, 0);
	assert_int_equal(assembler_expire(a, 5000 + ASSEMBLE_WAIT_MS), 0);
	assert_int_equal(g.n, 1);
	assert_int_equal(assembler_stats(a)->unended, 1);
	assembler_free(a);
}

static void
a_message_of_a_program_stands_alone(void **state)
{
	struct got g = {0};
	struct assembler *a = assembler_new(on_event, &g);

	(void)state;
	add(a, RECORD_USER_AUTH, 1, "pid=1 msg='op=x'", 0);
	add(a, 1103, 2, "pid=1 msg='op=x'", 0); /* CRED_ACQ */
	assert_int_equal(g.n, 2);
	assert_int_equal(g.parts[0] & EVENT_USER, EVENT_USER);
	assert_int_equal(g.parts[1], EVENT_OTHER);
	assembler_free(a);
}

static void
the_same_serial_at_another_time_is_another_event(void **state)
{
	struct got g = {0};
	struct assembler *a = assembler_new(on_event, &g);
	uint8_t *p = feed_padded("", 0);
	struct record r = {.type = AUDIT_CWD, .serial = 5, .time_ms = 1, .body = {p, 0}};

	(void)state;
	assembler_add(a, &r, 0);
	r.time_ms = 2;
	assembler_add(a, &r, 0);
	r.node = 9;
	assembler_add(a, &r, 0);
	assembler_flush(a);
	assert_int_equal(g.n, 3);
	free(p);
	assembler_free(a);
}

static void
a_full_table_hands_on_the_oldest(void **state)
{
	static struct got g;
	struct assembler *a = assembler_new(on_event, &g);

	(void)state;
	(void)memset(&g, 0, sizeof(g));
	for (uint32_t i = 0; i < ASSEMBLE_EVENTS + 10; i++)
		add(a, AUDIT_SYSCALL, i, OPENAT " exe=\"/bin/x\"", 0);
	assert_int_equal(g.n, 10);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(g.serials[i], i);
	assert_int_equal(assembler_stats(a)->evicted, 10);
	assembler_flush(a);
	assert_int_equal(g.n, ASSEMBLE_EVENTS + 10);
	assembler_free(a);
}

/* Hostile: each open event hoards arguments. The memory of all is bounded, so the oldest must go. */
static void
hoarded_arguments_push_out_the_oldest(void **state)
{
	static struct got g;
	static char body[16000];
	struct assembler *a = assembler_new(on_event, &g);

	(void)state;
	(void)memset(&g, 0, sizeof(g));
	for (uint32_t i = 0; i < 200; i++) {
		add(a, AUDIT_SYSCALL, i, "arch=c000003e syscall=59", 0);
		for (int part = 0; part < 9; part++) {
			int len = snprintf(body, sizeof(body), "a%d=\"", part);

			(void)memset(body + len, 'x', 15000);
			body[len + 15000] = '"';
			body[len + 15001] = '\0';
			add(a, AUDIT_EXECVE, i, body, 0);
		}
	}
	assert_true(assembler_stats(a)->evicted > 150);
	assembler_free(a);
}

/* Hostile: long names in every open event. */
static void
hoarded_names_run_out_of_memory_without_harm(void **state)
{
	static struct got g;
	static char body[5000];
	struct assembler *a = assembler_new(on_event, &g);
	size_t cut = 0;

	(void)state;
	(void)memset(&g, 0, sizeof(g));
	(void)snprintf(body, sizeof(body), "name=\"%04000d\" nametype=CREATE", 0);
	for (uint32_t i = 0; i < ASSEMBLE_EVENTS; i++) {
		add(a, AUDIT_SYSCALL, i, OPENAT, 0);
		add(a, AUDIT_PATH, i, body, 0);
	}
	assembler_flush(a);
	for (size_t i = 0; i < g.n; i++)
		cut += (g.parts[i] & EVENT_CUT) != 0;
	assert_int_equal(g.n, ASSEMBLE_EVENTS);
	assert_true(cut > 0 && cut < ASSEMBLE_EVENTS);
	assembler_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records_of_two_processors_are_told_apart),
	    cmocka_unit_test(the_end_record_after_the_title_opens_nothing),
	    cmocka_unit_test(the_end_record_ends_an_event_without_a_title),
	    cmocka_unit_test(an_event_without_an_end_waits_its_time_and_no_longer),
	    cmocka_unit_test(a_message_of_a_program_stands_alone),
	    cmocka_unit_test(the_same_serial_at_another_time_is_another_event),
	    cmocka_unit_test(a_full_table_hands_on_the_oldest),
	    cmocka_unit_test(hoarded_arguments_push_out_the_oldest),
	    cmocka_unit_test(hoarded_names_run_out_of_memory_without_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
