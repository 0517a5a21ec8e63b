/*
 * Everything the spool asks of a disk. Two disks stand behind it: the real one (spool_io_disk.c) and, in the tests, a
 * simulated one that crashes, tears, reorders and runs full on command.
 *
 * All calls return 0 or more, or a negative errno. Files live in one directory; `file` is a handle from open().
 */
#ifndef PICKET_UPLINKD_SPOOL_IO_H
#define PICKET_UPLINKD_SPOOL_IO_H

#include <stddef.h>
#include <stdint.h>

enum spool_io_open {
	SPOOL_IO_READ = 1, /* an existing file, to read */
	SPOOL_IO_WRITE,    /* an existing file, to read and write */
	SPOOL_IO_CREATE,   /* a new file, to read and write; -EEXIST when there is one */
};

typedef void (*spool_io_each)(const char *name, uint64_t bytes, void *arg);

struct spool_io_ops {
	int (*open)(void *ctx, const char *name, enum spool_io_open how);
	void (*close)(void *ctx, int file);
	/* All `len` bytes or an error: a short write is continued inside. */
	int (*pwrite)(void *ctx, int file, const void *data, size_t len, uint64_t offset);
	/* Bytes read; fewer than `len` only at the end of the file. */
	int64_t (*pread)(void *ctx, int file, void *data, size_t len, uint64_t offset);
	/* After a failure the kernel may have thrown the dirty pages away: never call it on the same file again. */
	int (*fdatasync)(void *ctx, int file);
	/* Blocks for the first `len` bytes, size included, so that -ENOSPC comes now. -EOPNOTSUPP is not an error to
	 * the spool. */
	int (*fallocate)(void *ctx, int file, uint64_t len);
	int (*truncate)(void *ctx, int file, uint64_t len);
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*unlink)(void *ctx, const char *name);
	int (*fsyncdir)(void *ctx);
	int (*list)(void *ctx, spool_io_each each, void *arg);
	uint64_t (*wall_ms)(void *ctx); /* milliseconds since 1970 */
	uint64_t (*random)(void *ctx);  /* 64 bits that another user of the host cannot guess */
};

struct spool_io {
	const struct spool_io_ops *ops;
	void *ctx;
};

/*
 * spool_io_disk - the real disk.
 * @dirfd: the spool's directory; borrowed for the life of the result.
 */
struct spool_io spool_io_disk(int dirfd);

#endif
