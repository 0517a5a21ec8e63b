/* The spool on real disks: what spool_io_disk.c does to files, and a file system that really runs full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uplinkd/spool.h"

#define EPOCH UINT64_C(1700000000000000001)
#define SEGMENT 65536u
#define PAYLOAD 300u

struct fixture {
	char dir[40];
	int fd;
	struct spool_io io;
	struct spool_conf conf;
	struct spool *spool;
	struct spool_package package;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/picket-spool-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->fd >= 0);
	f->io = spool_io_disk(f->fd);
	f->conf = (struct spool_conf){.segment_bytes = SEGMENT, .max_payload = 1000, .max_bytes = 64 * SEGMENT};
	*state = f;
	return 0;
}

static void
remove_files(int dirfd)
{
	DIR *dir = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		(void)unlinkat(dirfd, entry->d_name, 0);
	(void)closedir(dir);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	spool_close(f->spool);
	spool_package_done(&f->package);
	remove_files(f->fd);
	(void)close(f->fd);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

/* Returns 0 or the first error of a commit. */
static int
store(struct spool *spool, uint64_t first, uint64_t last)
{
	for (uint64_t s = first; s <= last; s++) {
		uint8_t payload[PAYLOAD] = {0};
		const struct spool_record record = {
		    .epoch = EPOCH, .sequence = s, .type = 1, .bytes = payload, .len = PAYLOAD};
		int r;

		memcpy(payload, &s, sizeof(s));
		r = spool_append(spool, &record);
		if (r < 0)
			return r;
		r = s % 16 == 0 || s == last ? spool_commit(spool) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

/* Read and acknowledge all of it; the last `*ret_last` sequences came, in order. Returns how many. */
static uint64_t
drain(struct spool *spool, struct spool_package *package, uint64_t *ret_first)
{
	const struct spool_limits limits = {.max_events = 100, .max_bytes = 100000};
	uint64_t n = 0, last = 0;

	*ret_first = 0;
	do {
		if (spool_read(spool, spool_frontier(spool), &limits, package) != 0)
			return 0;
		for (uint32_t i = 0; i < package->events; i++) {
			uint64_t sequence;

			memcpy(&sequence, package->bytes + i * PAYLOAD, sizeof(sequence));
			if (n > 0 && sequence != last + 1)
				return 0;
			if (n++ == 0)
				*ret_first = sequence;
			last = sequence;
		}
		if (spool_ack(spool, package) != 0)
			return 0;
	} while (package->events > 0);
	return n;
}

static void
records_survive_reopening_on_a_real_disk(void **state)
{
	struct fixture *f = *state;
	uint64_t first;

	assert_int_equal(spool_open(&f->conf, &f->io, &f->spool), 0);
	assert_int_equal(store(f->spool, 1, 1000), 0);
	spool_close(f->spool);
	assert_int_equal(spool_open(&f->conf, &f->io, &f->spool), 0);
	assert_int_equal(spool_durable(f->spool, EPOCH), 1000);
	assert_int_equal(drain(f->spool, &f->package, &first), 1000);
	assert_int_equal(first, 1);
	/* What the server has is gone from the disk, but for the last segment and the state. */
	assert_int_equal(store(f->spool, 1001, 1001), 0);
	assert_int_equal(drain(f->spool, &f->package, &first), 1);
	assert_true(spool_disk_bytes(f->spool) <= 2 * SEGMENT);
}

static void
files_are_private(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(spool_open(&f->conf, &f->io, &f->spool), 0);
	assert_int_equal(store(f->spool, 1, 10), 0);
	assert_int_equal(fstatat(f->fd, "0000000000000001.seg", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fstatat(f->fd, "state", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void
links_in_the_directory_are_not_followed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(symlinkat("/etc/passwd", f->fd, "state"), 0);
	assert_int_equal(spool_open(&f->conf, &f->io, &f->spool), -ELOOP);
}

/* In a child with a file system of its own of 1 MiB. Returns its exit status: 0, or the line that failed. */
static int
fill_a_small_disk(struct fixture *f)
{
	const struct spool_losses *losses;
	uint64_t first, n;

	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("tmpfs", f->dir, "tmpfs", 0, "size=1m") != 0)
		return 255;
	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->io = spool_io_disk(f->fd);
	if (spool_open(&f->conf, &f->io, &f->spool) != 0)
		return __LINE__ % 200;
	for (uint64_t round = 0; round < 5; round++) {
		uint64_t base = round * 10000;

		/* Three times what fits. */
		if (store(f->spool, base + 1, base + 10000) != 0)
			return __LINE__ % 200;
		n = drain(f->spool, &f->package, &first);
		if (n == 0 || n == 10000 || first + n != base + 10001)
			return __LINE__ % 200;
		if (spool_losses(f->spool, &losses) != 0 || spool_losses_events(losses) + n != 10000)
			return __LINE__ % 200;
		if (losses->n != 1 || losses->list[0].first_sequence != base + 1 ||
		    losses->list[0].last_sequence != first - 1)
			return __LINE__ % 200;
		if (spool_losses_acked(f->spool, losses->list[0].own_sequence) != 0 || spool_has_losses(f->spool))
			return __LINE__ % 200;
	}
	return 0;
}

static void
really_full_disk_drops_the_oldest_and_counts_exactly_five_times(void **state)
{
	struct fixture *f = *state;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fill_a_small_disk(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 255)
		skip(); /* mounting needs root */
	assert_int_equal(WEXITSTATUS(status), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(records_survive_reopening_on_a_real_disk),
	    TEST(files_are_private),
	    TEST(links_in_the_directory_are_not_followed),
	    TEST(really_full_disk_drops_the_oldest_and_counts_exactly_five_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
