/* The order file: what it brings back, what counts as damage, how much time is left. */
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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "isolatord/store.h"

static uint8_t order_bytes[] = {1, 2, 3, 0, 255};

static const struct store_now start = {.boot_id = {1, 2, 3}, .boot_ms = 1000, .wall_ms = 1700000000000};

static struct store_record
record_for(uint64_t duration_ms)
{
	struct store_record r = {
	    .since_wall_ms = start.wall_ms, .order = order_bytes, .order_len = sizeof(order_bytes)};

	store_stamp(&r, &start, duration_ms);
	return r;
}

static void
record_comes_back_as_it_was(void **state)
{
	struct store_record in = record_for(5000), out = {0};
	AUTO_FREE uint8_t *data = NULL;
	const char *why;
	size_t len;

	(void)state;
	assert_int_equal(store_encode(&in, &data, &len), 0);
	assert_int_equal(store_decode(data, len, &out, &why), 0);
	assert_null(why);
	assert_memory_equal(out.boot_id, in.boot_id, sizeof(in.boot_id));
	assert_int_equal(out.since_wall_ms, in.since_wall_ms);
	assert_int_equal(out.counted_from_wall_ms, in.counted_from_wall_ms);
	assert_int_equal(out.deadline_boot_ms, 6000);
	assert_int_equal(out.deadline_wall_ms, start.wall_ms + 5000);
	assert_int_equal(out.order_len, sizeof(order_bytes));
	assert_memory_equal(out.order, order_bytes, sizeof(order_bytes));
	store_record_done(&out);
}

/* Any single flipped bit and any cut is noticed. */
static void
every_damage_is_noticed(void **state)
{
	struct store_record in = record_for(STORE_FOREVER), out;
	AUTO_FREE uint8_t *data = NULL;
	const char *why;
	size_t len;

	(void)state;
	assert_int_equal(store_encode(&in, &data, &len), 0);
	for (size_t bit = 0; bit < len * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		why = NULL;
		assert_int_equal(store_decode(data, len, &out, &why), -EBADMSG);
		assert_non_null(why);
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(store_decode(data, cut, &out, &why), -EBADMSG);
}

static struct store_now
later(uint64_t boot_ms, uint64_t wall_ms, bool same_boot)
{
	struct store_now now = {.boot_ms = boot_ms, .wall_ms = wall_ms};

	if (same_boot)
		memcpy(now.boot_id, start.boot_id, sizeof(now.boot_id));
	return now;
}

static void
deadline_ignores_the_wall_clock_within_a_boot(void **state)
{
	const struct store_record r = record_for(10000);
	struct store_now now;

	(void)state;
	now = later(start.boot_ms + 4000, start.wall_ms + 999999999, true);
	assert_int_equal(store_remaining(&r, &now), 6000);
	now = later(start.boot_ms + 4000, 0, true);
	assert_int_equal(store_remaining(&r, &now), 6000);
	now = later(start.boot_ms + 10000, start.wall_ms, true);
	assert_int_equal(store_remaining(&r, &now), 0);
	now = later(start.boot_ms + 10001, start.wall_ms, true);
	assert_int_equal(store_remaining(&r, &now), 0);
}

static void
deadline_goes_by_the_wall_clock_after_a_reboot(void **state)
{
	const struct store_record r = record_for(10000);
	struct store_now now;

	(void)state;
	now = later(50, start.wall_ms + 4000, false);
	assert_int_equal(store_remaining(&r, &now), 6000);
	now = later(50, start.wall_ms + 10000, false);
	assert_int_equal(store_remaining(&r, &now), 0);
	/* A clock that was set back, or has no battery, does not end it early and does not prolong it. */
	now = later(50, 0, false);
	assert_int_equal(store_remaining(&r, &now), 10000);
}

static void
order_without_a_term_never_lapses(void **state)
{
	const struct store_record r = record_for(STORE_FOREVER);
	const struct store_now now = later(UINT64_MAX, UINT64_MAX, false);

	(void)state;
	assert_true(store_remaining(&r, &now) == STORE_FOREVER);
}

static void
longest_term_does_not_overflow(void **state)
{
	struct store_record r = {0};
	const struct store_now now = {.boot_ms = UINT64_MAX - 5, .wall_ms = UINT64_MAX - 5};

	(void)state;
	store_stamp(&r, &now, 1000);
	assert_true(r.deadline_boot_ms != STORE_FOREVER && r.deadline_boot_ms > now.boot_ms);
}

/* A directory of the test's own. */
struct dir {
	char path[64];
	int fd;
};

static int
in_directory(void **state)
{
	static struct dir dir;

	(void)snprintf(dir.path, sizeof(dir.path), "/tmp/picket-store-XXXXXX");
	if (mkdtemp(dir.path) == NULL)
		return -1;
	dir.fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &dir;
	return dir.fd < 0;
}

static int
remove_directory(void **state)
{
	struct dir *dir = *state;

	(void)unlinkat(dir->fd, STORE_FILE, 0);
	(void)close(dir->fd);
	return rmdir(dir->path);
}

static void
file_is_private_and_gone_after_forgetting(void **state)
{
	struct store_record in = record_for(5000), out = {0};
	int fd = ((struct dir *)*state)->fd;
	const char *why;
	struct stat st;

	assert_int_equal(store_load(fd, &out, &why), -ENOENT);
	assert_int_equal(store_save(fd, &in), 0);
	assert_int_equal(fstatat(fd, STORE_FILE, &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(store_load(fd, &out, &why), 0);
	assert_int_equal(out.order_len, in.order_len);
	store_record_done(&out);
	assert_int_equal(store_forget(fd), 0);
	assert_int_equal(store_load(fd, &out, &why), -ENOENT);
	assert_int_equal(store_forget(fd), 0);
}

static void
order_beyond_the_cap_is_not_kept(void **state)
{
	struct store_record in = record_for(5000), out;
	int fd = ((struct dir *)*state)->fd;
	const char *why;

	in.order_len = STORE_ORDER_BYTES + 1;
	in.order = calloc(1, in.order_len);
	assert_non_null(in.order);
	assert_int_equal(store_save(fd, &in), -EFBIG);
	assert_int_equal(store_load(fd, &out, &why), -ENOENT);
	free(in.order);
}

static void
file_beyond_the_cap_is_damage(void **state)
{
	int fd = ((struct dir *)*state)->fd;
	AUTO_FD int file = openat(fd, STORE_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct store_record out;
	const char *why;

	assert_int_equal(ftruncate(file, 4 * 1024 * 1024), 0);
	assert_int_equal(store_load(fd, &out, &why), -EBADMSG);
	assert_non_null(why);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(record_comes_back_as_it_was),
	    cmocka_unit_test(every_damage_is_noticed),
	    cmocka_unit_test(deadline_ignores_the_wall_clock_within_a_boot),
	    cmocka_unit_test(deadline_goes_by_the_wall_clock_after_a_reboot),
	    cmocka_unit_test(order_without_a_term_never_lapses),
	    cmocka_unit_test(longest_term_does_not_overflow),
	    cmocka_unit_test_setup_teardown(file_is_private_and_gone_after_forgetting, in_directory, remove_directory),
	    cmocka_unit_test_setup_teardown(order_beyond_the_cap_is_not_kept, in_directory, remove_directory),
	    cmocka_unit_test_setup_teardown(file_beyond_the_cap_is_damage, in_directory, remove_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
