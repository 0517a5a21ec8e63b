/* atomic_file: old or new, never half; symbolic links and large files are refused. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "tests/unit/child.h"

static char dir[32];
static int dirfd_ = -1;

static int
make_dir(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/picket-atomic-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd_ < 0;
}

static int
remove_dir(void **state)
{
	static const char *const names[] = {"state", ".state.tmp", "link", "fifo", "victim"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlinkat(dirfd_, names[i], 0);
	(void)close(dirfd_);
	return rmdir(dir);
}

static void
put(const char *name, const char *text)
{
	assert_int_equal(atomic_file_write(dirfd_, name, 0600, text, strlen(text)), 0);
}

static void
assert_content(const char *name, const char *text)
{
	AUTO_FREE uint8_t *data = NULL;
	size_t len = 0;

	assert_int_equal(atomic_file_read(dirfd_, name, 4096, &data, &len), 0);
	assert_int_equal(len, strlen(text));
	assert_string_equal((const char *)data, text);
}

static void
what_was_written_is_read_back_and_terminated(void **state)
{
	(void)state;
	put("state", "old");
	assert_content("state", "old");
	put("state", "newer");
	assert_content("state", "newer");
	put("state", "");
	assert_content("state", "");
}

static void
mode_is_as_asked_whatever_the_umask(void **state)
{
	mode_t before = umask(0077);
	struct stat st;

	(void)state;
	assert_int_equal(atomic_file_write(dirfd_, "state", 0640, "x", 1), 0);
	(void)umask(before);
	assert_int_equal(fstatat(dirfd_, "state", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

/* In a child: the second write hits the file size limit half way. */
static int
write_beyond_limit(const void *ctx)
{
	static const uint8_t big[8192];
	const struct rlimit limit = {4096, 4096};

	(void)ctx;
	(void)signal(SIGXFSZ, SIG_IGN);
	CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	CHILD_CHECK(atomic_file_write(dirfd_, "state", 0600, big, sizeof(big)) == -EFBIG);
	return 0;
}

static void
a_write_that_fails_half_way_leaves_the_old_content(void **state)
{
	(void)state;
	put("state", "old");
	assert_child_passes(write_beyond_limit, NULL);
	assert_content("state", "old");
	assert_int_equal(faccessat(dirfd_, ".state.tmp", F_OK, 0), -1);
}

static int
die_while_writing(const void *ctx)
{
	static const uint8_t big[8192];
	const struct rlimit limit = {4096, 4096};

	(void)ctx;
	(void)signal(SIGXFSZ, SIG_DFL);
	CHILD_CHECK(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) == 0);
	CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	return atomic_file_write(dirfd_, "state", 0600, big, sizeof(big));
}

static void
a_death_half_way_leaves_the_old_content_and_does_not_block_the_next_write(void **state)
{
	(void)state;
	put("state", "old");
	assert_child_killed_by(SIGXFSZ, die_while_writing, NULL);
	assert_content("state", "old");
	assert_int_equal(faccessat(dirfd_, ".state.tmp", F_OK, 0), 0);
	put("state", "new");
	assert_content("state", "new");
	assert_int_equal(faccessat(dirfd_, ".state.tmp", F_OK, 0), -1);
}

static void
reading_refuses_a_symbolic_link(void **state)
{
	AUTO_FREE uint8_t *data = NULL;
	size_t len = 7;

	(void)state;
	put("victim", "secret");
	assert_int_equal(symlinkat("victim", dirfd_, "link"), 0);
	assert_int_equal(atomic_file_read(dirfd_, "link", 4096, &data, &len), -ELOOP);
	assert_null(data);
	assert_int_equal(len, 7);
}

static void
writing_replaces_a_symbolic_link_and_spares_its_target(void **state)
{
	(void)state;
	put("victim", "secret");
	assert_int_equal(symlinkat("victim", dirfd_, "link"), 0);
	put("link", "mine");
	assert_content("link", "mine");
	assert_content("victim", "secret");
}

static void
a_link_in_place_of_the_temporary_file_is_not_followed(void **state)
{
	(void)state;
	put("victim", "secret");
	assert_int_equal(symlinkat("victim", dirfd_, ".state.tmp"), 0);
	put("state", "mine");
	assert_content("state", "mine");
	assert_content("victim", "secret");
}

static void
reading_refuses_what_is_larger_than_allowed(void **state)
{
	AUTO_FREE uint8_t *data = NULL;
	size_t len;

	(void)state;
	put("state", "12345");
	assert_int_equal(atomic_file_read(dirfd_, "state", 4, &data, &len), -EFBIG);
	assert_null(data);
	assert_int_equal(atomic_file_read(dirfd_, "state", 5, &data, &len), 0);
	assert_int_equal(len, 5);
}

static void
reading_refuses_what_is_no_file_without_waiting(void **state)
{
	AUTO_FREE uint8_t *data = NULL;
	size_t len;

	(void)state;
	assert_int_equal(mkfifoat(dirfd_, "fifo", 0600), 0);
	assert_int_equal(atomic_file_read(dirfd_, "fifo", 4096, &data, &len), -EINVAL);
	assert_int_equal(atomic_file_read(dirfd_, "state", 4096, &data, &len), -ENOENT);
	assert_null(data);
}

static void
a_name_is_one_component(void **state)
{
	char long_name[NAME_MAX + 1];

	(void)state;
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(atomic_file_write(dirfd_, "../state", 0600, "x", 1), -EINVAL);
	assert_int_equal(atomic_file_write(dirfd_, "..", 0600, "x", 1), -EINVAL);
	assert_int_equal(atomic_file_write(dirfd_, "", 0600, "x", 1), -EINVAL);
	assert_int_equal(atomic_file_write(dirfd_, long_name, 0600, "x", 1), -EINVAL);
	assert_int_equal(atomic_file_remove(dirfd_, "a/b"), -EINVAL);
}

static void
removing_twice_is_fine_and_takes_the_left_over_along(void **state)
{
	(void)state;
	put("state", "x");
	put("victim", "x");
	assert_int_equal(renameat(dirfd_, "victim", dirfd_, ".state.tmp"), 0);
	assert_int_equal(atomic_file_remove(dirfd_, "state"), 0);
	assert_int_equal(faccessat(dirfd_, "state", F_OK, 0), -1);
	assert_int_equal(faccessat(dirfd_, ".state.tmp", F_OK, 0), -1);
	assert_int_equal(atomic_file_remove(dirfd_, "state"), 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
	    TEST(what_was_written_is_read_back_and_terminated),
	    TEST(mode_is_as_asked_whatever_the_umask),
	    TEST(a_write_that_fails_half_way_leaves_the_old_content),
	    TEST(a_death_half_way_leaves_the_old_content_and_does_not_block_the_next_write),
	    TEST(reading_refuses_a_symbolic_link),
	    TEST(writing_replaces_a_symbolic_link_and_spares_its_target),
	    TEST(a_link_in_place_of_the_temporary_file_is_not_followed),
	    TEST(reading_refuses_what_is_larger_than_allowed),
	    TEST(reading_refuses_what_is_no_file_without_waiting),
	    TEST(a_name_is_one_component),
	    TEST(removing_twice_is_fine_and_takes_the_left_over_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
