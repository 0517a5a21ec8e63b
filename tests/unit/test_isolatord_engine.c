/* The engine with a packet filter that only takes notes: what happens in which order, and what a status says meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/pb.h"
#include "isolatord/engine.h"

/* A kernel as the engine sees it. */
struct fake {
	struct backend base;
	bool lock_is_held; /* by others */
	bool locked;
	int apply_result, remove_result;
	bool has_rules;
	uint64_t generation;
	int dirfd;
	bool file_was_there_at_apply, file_was_there_at_remove;
	unsigned int applies, removes, verifies;
};

struct fixture {
	char path[64];
	int fd;
	struct loop loop;
	struct fake fake;
	struct engine engine;
	struct engine_conf conf;
	unsigned int changes;
};

static bool
order_file_exists(int dirfd)
{
	return faccessat(dirfd, STORE_FILE, F_OK, 0) == 0;
}

static int
fake_lock(struct backend *b)
{
	struct fake *f = (struct fake *)b;

	if (f->lock_is_held)
		return -EAGAIN;
	assert_false(f->locked);
	f->locked = true;
	return 0;
}

static void
fake_unlock(struct backend *b)
{
	struct fake *f = (struct fake *)b;

	assert_true(f->locked);
	f->locked = false;
}

static int
fake_apply(struct backend *b, const struct ruleset *rules, struct backend_report *report)
{
	struct fake *f = (struct fake *)b;

	memset(report, 0, sizeof(*report));
	f->applies++;
	f->file_was_there_at_apply = order_file_exists(f->dirfd);
	if (f->apply_result < 0) {
		(void)snprintf(report->detail, sizeof(report->detail), "the fake refuses");
		return f->apply_result;
	}
	f->has_rules = true;
	f->generation = rules->generation;
	return 0;
}

static int
fake_verify(struct backend *b, const struct ruleset *rules, struct backend_report *report)
{
	struct fake *f = (struct fake *)b;
	bool good = rules == NULL ? !f->has_rules : f->has_rules && f->generation == rules->generation;

	memset(report, 0, sizeof(*report));
	f->verifies++;
	return good ? 0 : -ENOENT;
}

static bool
fake_changed(struct backend *b)
{
	(void)b;
	return true;
}

static int
fake_remove(struct backend *b, struct backend_report *report)
{
	struct fake *f = (struct fake *)b;

	memset(report, 0, sizeof(*report));
	f->removes++;
	f->file_was_there_at_remove = order_file_exists(f->dirfd);
	if (f->remove_result < 0)
		return f->remove_result;
	f->has_rules = false;
	return 0;
}

static const struct backend_ops fake_ops = {
    .name = "fake",
    .lock = fake_lock,
    .unlock = fake_unlock,
    .apply = fake_apply,
    .verify = fake_verify,
    .changed = fake_changed,
    .remove = fake_remove,
};

static void
on_change(void *ctx)
{
	((struct fixture *)ctx)->changes++;
}

static void
boot(struct fixture *f)
{
	assert_int_equal(engine_init(&f->engine, &f->conf), 0);
}

static int
set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	(void)snprintf(f.path, sizeof(f.path), "/tmp/picket-engine-XXXXXX");
	if (mkdtemp(f.path) == NULL)
		return -1;
	f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f.fd < 0 || loop_init(&f.loop, NULL, NULL) < 0)
		return -1;
	f.fake.base.ops = &fake_ops;
	f.fake.dirfd = f.fd;
	f.conf = (struct engine_conf){
	    .loop = &f.loop, .backend = &f.fake.base, .diag_fd = -1, .on_change = on_change, .ctx = &f};
	f.conf.kept.state_fd = f.fd;
	f.conf.kept.rules.uplink_uid = 60582;
	boot(&f);
	*state = &f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	engine_done(&f->engine);
	loop_done(&f->loop);
	(void)unlinkat(f->fd, STORE_FILE, 0);
	(void)close(f->fd);
	return rmdir(f->path);
}

/* An order as it comes from a peer. Returns what the engine says. */
static int
give_order(struct fixture *f, bool on, uint64_t duration_s, char *why, size_t why_size)
{
	Picket__V1__IsolationOrder pb = PICKET__V1__ISOLATION_ORDER__INIT;
	AUTO_FREE uint8_t *packed = NULL;
	struct iso_order order;
	size_t len;

	pb.on = on;
	pb.origin = PICKET__V1__ISOLATION_ORIGIN__ISOLATION_ORIGIN_LOCAL;
	pb.duration_s = duration_s;
	packed = pb_pack_new(&pb.base, &len);
	assert_non_null(packed);
	assert_int_equal(iso_order_decode(&pb, &order, why, why_size), 0);
	return engine_order(&f->engine, &order, packed, len, why, why_size);
}

static void
isolate(struct fixture *f, uint64_t duration_s)
{
	char why[256];

	assert_int_equal(give_order(f, true, duration_s, why, sizeof(why)), 0);
}

static void
release(struct fixture *f)
{
	char why[256];

	assert_int_equal(give_order(f, false, 0, why, sizeof(why)), 0);
}

/* Turns the loop until the state is there; fails after five seconds. */
static void
wait_for_state(struct fixture *f, enum fsm_state state)
{
	struct mono_ms start = mono_now();

	while (f->engine.state != state) {
		if (mono_since(start, mono_now()) > 5000)
			fail_msg("state is %s, waited for %s", fsm_state_name(f->engine.state), fsm_state_name(state));
		(void)event_base_loop(f->loop.base, EVLOOP_ONCE);
	}
}

static void
order_is_on_disk_before_the_kernel_is_touched(void **state)
{
	struct fixture *f = *state;

	engine_start(&f->engine);
	assert_int_equal(f->engine.state, FSM_RELEASED);
	assert_int_equal(f->fake.removes, 0);
	isolate(f, 0);
	assert_int_equal(f->engine.state, FSM_ISOLATED);
	assert_true(f->fake.file_was_there_at_apply);
	assert_false(f->fake.locked);
	assert_int_equal(f->changes, 2); /* started, isolated */
}

static void
order_is_forgotten_before_the_kernel_is_touched(void **state)
{
	struct fixture *f = *state;

	engine_start(&f->engine);
	isolate(f, 0);
	release(f);
	assert_int_equal(f->engine.state, FSM_RELEASED);
	assert_false(f->fake.file_was_there_at_remove);
	assert_false(f->fake.has_rules || f->fake.locked);
}

static void
order_that_cannot_be_kept_changes_nothing(void **state)
{
	struct fixture *f = *state;
	char why[256] = "";

	engine_start(&f->engine);
	f->engine.conf.kept.state_fd = -1; /* every write fails */
	assert_true(give_order(f, true, 0, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "disk"));
	assert_int_equal(f->engine.state, FSM_RELEASED);
	assert_int_equal(f->fake.applies, 0);
}

static void
release_goes_on_when_the_file_cannot_be_removed(void **state)
{
	struct fixture *f = *state;
	struct engine_status status;

	engine_start(&f->engine);
	isolate(f, 0);
	f->engine.conf.kept.state_fd = -1;
	release(f);
	engine_status(&f->engine, &status);
	assert_int_equal(status.state, FSM_RELEASED);
	assert_false(f->fake.has_rules);
	assert_non_null(strstr(status.detail, "could not be removed"));
}

static void
missing_rules_are_healed_at_a_tick(void **state)
{
	struct fixture *f = *state;

	engine_start(&f->engine);
	isolate(f, 0);
	f->fake.has_rules = false;
	while (f->engine.stats.heals == 0)
		(void)event_base_loop(f->loop.base, EVLOOP_ONCE);
	assert_int_equal(f->engine.state, FSM_ISOLATED);
	assert_true(f->fake.has_rules);
}

static void
refusing_kernel_reads_failed_and_is_tried_again(void **state)
{
	struct fixture *f = *state;
	struct engine_status status;

	engine_start(&f->engine);
	f->fake.apply_result = -EPERM;
	isolate(f, 0);
	engine_status(&f->engine, &status);
	assert_int_equal(status.state, FSM_FAILED);
	assert_non_null(strstr(status.detail, "the fake refuses"));
	assert_true(order_file_exists(f->fd));
	f->fake.apply_result = 0;
	wait_for_state(f, FSM_ISOLATED);
	assert_int_equal(f->fake.applies, 2);
}

static void
refused_removal_is_tried_again(void **state)
{
	struct fixture *f = *state;

	engine_start(&f->engine);
	isolate(f, 0);
	f->fake.remove_result = -EBUSY;
	release(f);
	assert_int_equal(f->engine.state, FSM_STUCK);
	assert_false(order_file_exists(f->fd));
	f->fake.remove_result = 0;
	wait_for_state(f, FSM_RELEASED);
}

static void
held_lock_is_awaited_and_then_ignored(void **state)
{
	struct fixture *f = *state;
	struct mono_ms start = mono_now();

	engine_start(&f->engine);
	f->fake.lock_is_held = true;
	isolate(f, 0);
	assert_int_equal(f->engine.state, FSM_APPLYING);
	assert_false(engine_is_settled(&f->engine));
	assert_int_equal(f->fake.applies, 0);
	wait_for_state(f, FSM_ISOLATED);
	assert_in_range(mono_since(start, mono_now()), 1900, 3000);
	assert_int_equal(f->engine.stats.lock_timeouts, 1);
}

static void
release_overtakes_an_order_that_waits_for_the_lock(void **state)
{
	struct fixture *f = *state;

	engine_start(&f->engine);
	f->fake.lock_is_held = true;
	isolate(f, 0);
	release(f);
	f->fake.lock_is_held = false;
	wait_for_state(f, FSM_RELEASED);
	assert_int_equal(f->fake.applies, 0);
}

static void
deadline_releases(void **state)
{
	struct fixture *f = *state;

	engine_start(&f->engine);
	isolate(f, 1);
	wait_for_state(f, FSM_RELEASED);
	assert_false(f->fake.has_rules || order_file_exists(f->fd));
}

static void
successor_finds_everything_in_place(void **state)
{
	struct fixture *f = *state;
	struct engine_status before, after;

	engine_start(&f->engine);
	isolate(f, 3600);
	engine_status(&f->engine, &before);
	engine_done(&f->engine);
	boot(f);
	engine_start(&f->engine);
	engine_status(&f->engine, &after);
	assert_int_equal(after.state, FSM_ISOLATED);
	assert_int_equal(after.since_ms, before.since_ms);
	assert_int_equal(after.until_ms, before.until_ms);
	assert_int_equal(after.generation, before.generation);
	assert_int_equal(f->fake.applies, 1);
}

static void
successor_puts_missing_rules_back(void **state)
{
	struct fixture *f = *state;

	engine_start(&f->engine);
	isolate(f, 0);
	engine_done(&f->engine);
	f->fake.has_rules = false;
	boot(f);
	engine_start(&f->engine);
	assert_int_equal(f->engine.state, FSM_ISOLATED);
	assert_true(f->fake.has_rules);
	assert_int_equal(f->engine.stats.heals, 0);
}

static void
successor_takes_orphaned_rules_out(void **state)
{
	struct fixture *f = *state;

	f->fake.has_rules = true;
	engine_start(&f->engine);
	assert_int_equal(f->engine.state, FSM_RELEASED);
	assert_false(f->fake.has_rules);
}

static void
damaged_file_leaves_the_kernel_alone(void **state)
{
	struct fixture *f = *state;
	AUTO_FD int fd = openat(f->fd, STORE_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct engine_status status;

	assert_int_equal(write(fd, "damage", 6), 6);
	f->fake.has_rules = true;
	engine_start(&f->engine);
	engine_status(&f->engine, &status);
	assert_int_equal(status.state, FSM_DAMAGED);
	assert_non_null(strstr(status.detail, "--release"));
	assert_int_equal(f->fake.applies + f->fake.removes, 0);
	release(f);
	assert_int_equal(f->engine.state, FSM_RELEASED);
	assert_false(order_file_exists(f->fd));
}

/* What --release does: no look at what is kept. */
static void
release_without_a_start_forgets_and_removes(void **state)
{
	struct fixture *f = *state;

	engine_start(&f->engine);
	isolate(f, 0);
	engine_done(&f->engine);
	boot(f);
	release(f);
	assert_int_equal(f->engine.state, FSM_RELEASED);
	assert_false(f->fake.has_rules || order_file_exists(f->fd));
	assert_int_equal(f->fake.applies, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(order_is_on_disk_before_the_kernel_is_touched),
	    TEST(order_is_forgotten_before_the_kernel_is_touched),
	    TEST(order_that_cannot_be_kept_changes_nothing),
	    TEST(release_goes_on_when_the_file_cannot_be_removed),
	    TEST(missing_rules_are_healed_at_a_tick),
	    TEST(refusing_kernel_reads_failed_and_is_tried_again),
	    TEST(refused_removal_is_tried_again),
	    TEST(held_lock_is_awaited_and_then_ignored),
	    TEST(release_overtakes_an_order_that_waits_for_the_lock),
	    TEST(deadline_releases),
	    TEST(successor_finds_everything_in_place),
	    TEST(successor_puts_missing_rules_back),
	    TEST(successor_takes_orphaned_rules_out),
	    TEST(damaged_file_leaves_the_kernel_alone),
	    TEST(release_without_a_start_forgets_and_removes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
