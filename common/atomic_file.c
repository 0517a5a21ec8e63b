/*
 * Small state files: temporary file, fsync, rename, fsync of the directory.
 * Never follows a symbolic link, never leaves half a file under the real name, never logs. Called by every daemon that
 * keeps state.
 */
#include "common/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

/* ".NAME.tmp": one fixed name per file, so that a crash leaves at most one of them, which the next write replaces. */
#define TMP_FORMAT ".%s.tmp"
#define TMP_SIZE (NAME_MAX + 1)

/* Returns 0, or -EINVAL for a name that is no single component or leaves no room for the temporary one. */
static int
tmp_name(char buf[TMP_SIZE], const char *name)
{
	int n;

	if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	n = snprintf(buf, TMP_SIZE, TMP_FORMAT, name);
	return n > 0 && n < TMP_SIZE ? 0 : -EINVAL;
}

static int
write_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Everything up to the rename: a whole file on disk under the temporary name. */
static int
write_tmp(int dirfd, const char *tmp, mode_t mode, const void *data, size_t len)
{
	AUTO_FD int fd = -1;
	int r;

	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, mode) < 0)
		return -errno;
	r = write_all(fd, data, len);
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return -errno;
	return close(STEAL_FD(fd)) < 0 ? -errno : 0;
}

int
atomic_file_write(int dirfd, const char *name, mode_t mode, const void *data, size_t len)
{
	char tmp[TMP_SIZE];
	int r;

	r = tmp_name(tmp, name);
	if (r < 0)
		return r;
	if (unlinkat(dirfd, tmp, 0) < 0 && errno != ENOENT)
		return -errno;
	r = write_tmp(dirfd, tmp, mode, data, len);
	if (r == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, tmp, 0);
		return r;
	}
	return fsync(dirfd) < 0 ? -errno : 0;
}

/* Up to `size` bytes. Returns what was read before the end of the file, or a negative errno. */
static ssize_t
read_all(int fd, uint8_t *buf, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, buf + len, size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

int
atomic_file_read(int dirfd, const char *name, size_t max, uint8_t **ret_data, size_t *ret_len)
{
	AUTO_FREE uint8_t *data = NULL;
	AUTO_FD int fd = -1;
	struct stat st;
	ssize_t n;

	/* O_NONBLOCK: opening a FIFO that somebody put there must not hang. */
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	data = malloc((size_t)st.st_size + 1);
	if (data == NULL)
		return -ENOMEM;
	n = read_all(fd, data, (size_t)st.st_size);
	if (n < 0)
		return (int)n;
	data[n] = '\0';
	*ret_data = data;
	*ret_len = (size_t)n;
	data = NULL;
	return 0;
}

int
atomic_file_remove(int dirfd, const char *name)
{
	char tmp[TMP_SIZE];
	int r;

	r = tmp_name(tmp, name);
	if (r < 0)
		return r;
	if (unlinkat(dirfd, tmp, 0) < 0 && errno != ENOENT)
		return -errno;
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return fsync(dirfd) < 0 ? -errno : 0;
}
