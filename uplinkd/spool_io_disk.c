/* The spool's real disk: one system call per operation, below one directory. Knows nothing of what is in the files.
 * Called by spool*.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "uplinkd/spool_io.h"

static int
dirfd_of(void *ctx)
{
	return (int)(intptr_t)ctx;
}

static int
disk_open(void *ctx, const char *name, enum spool_io_open how)
{
	int flags = O_CLOEXEC | O_NOFOLLOW;
	int fd;

	switch (how) {
	case SPOOL_IO_READ:
		flags |= O_RDONLY;
		break;
	case SPOOL_IO_WRITE:
		flags |= O_RDWR;
		break;
	case SPOOL_IO_CREATE:
		flags |= O_RDWR | O_CREAT | O_EXCL;
		break;
	}
	fd = openat(dirfd_of(ctx), name, flags, 0600);
	return fd >= 0 ? fd : -errno;
}

static void
disk_close(void *ctx, int file)
{
	(void)ctx;
	(void)close(file);
}

static int
disk_pwrite(void *ctx, int file, const void *data, size_t len, uint64_t offset)
{
	const uint8_t *p = data;

	(void)ctx;
	while (len > 0) {
		ssize_t n = pwrite(file, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int64_t
disk_pread(void *ctx, int file, void *data, size_t len, uint64_t offset)
{
	uint8_t *p = data;
	size_t done = 0;

	(void)ctx;
	while (done < len) {
		ssize_t n = pread(file, p + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

static int
disk_fdatasync(void *ctx, int file)
{
	(void)ctx;
	return fdatasync(file) == 0 ? 0 : -errno;
}

static int
disk_fallocate(void *ctx, int file, uint64_t len)
{
	int r;

	(void)ctx;
	do {
		r = fallocate(file, 0, 0, (off_t)len);
	} while (r < 0 && errno == EINTR);
	return r == 0 ? 0 : -errno;
}

static int
disk_truncate(void *ctx, int file, uint64_t len)
{
	(void)ctx;
	return ftruncate(file, (off_t)len) == 0 ? 0 : -errno;
}

static int
disk_rename(void *ctx, const char *from, const char *to)
{
	return renameat(dirfd_of(ctx), from, dirfd_of(ctx), to) == 0 ? 0 : -errno;
}

static int
disk_unlink(void *ctx, const char *name)
{
	return unlinkat(dirfd_of(ctx), name, 0) == 0 ? 0 : -errno;
}

static int
disk_fsyncdir(void *ctx)
{
	return fsync(dirfd_of(ctx)) == 0 ? 0 : -errno;
}

static int
disk_list(void *ctx, spool_io_each each, void *arg)
{
	int fd = openat(dirfd_of(ctx), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	int r = 0;

	if (dir == NULL) {
		r = -errno;
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	for (;;) {
		struct dirent *entry;
		struct stat st;

		errno = 0;
		entry = readdir(dir);
		if (entry == NULL) {
			r = -errno;
			break;
		}
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			each(entry->d_name, (uint64_t)st.st_size, arg);
	}
	(void)closedir(dir);
	return r;
}

static uint64_t
disk_wall_ms(void *ctx)
{
	(void)ctx;
	return wall_now_ms();
}

static uint64_t
disk_random(void *ctx)
{
	uint64_t value = 0;

	(void)ctx;
	while (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value))
		;
	return value;
}

struct spool_io
spool_io_disk(int dirfd)
{
	static const struct spool_io_ops ops = {
	    .open = disk_open,
	    .close = disk_close,
	    .pwrite = disk_pwrite,
	    .pread = disk_pread,
	    .fdatasync = disk_fdatasync,
	    .fallocate = disk_fallocate,
	    .truncate = disk_truncate,
	    .rename = disk_rename,
	    .unlink = disk_unlink,
	    .fsyncdir = disk_fsyncdir,
	    .list = disk_list,
	    .wall_ms = disk_wall_ms,
	    .random = disk_random,
	};

	return (struct spool_io){.ops = &ops, .ctx = (void *)(intptr_t)dirfd};
}
