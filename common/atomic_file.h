/* Small state files that are either the old or the new content, whatever happens: temporary file, fsync, rename, fsync
 * of the directory. */
#ifndef PICKET_COMMON_ATOMIC_FILE_H
#define PICKET_COMMON_ATOMIC_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * atomic_file_write - replace dirfd/name.
 * @name:  one component. A symbolic link of that name is replaced, never followed.
 * @mode:  of the new file, whatever the umask.
 * @dirfd: opened for reading (it is flushed too), by the only process that writes there.
 * Returns 0 once the new content is on disk under its name, or a negative errno: the old content is then still there,
 * or, when only the flush of the directory failed, one of the two, whole.
 */
int atomic_file_write(int dirfd, const char *name, mode_t mode, const void *data, size_t len);

/*
 * atomic_file_read - the whole file.
 * @max: bytes; a larger file is -EFBIG.
 * @ret_data: free with free(); one NUL byte follows the data.
 * Returns 0 or a negative errno; -ENOENT when there is none. Symbolic links are refused (-ELOOP).
 */
int atomic_file_read(int dirfd, const char *name, size_t max, uint8_t **ret_data, size_t *ret_len);

/* atomic_file_remove - unlink and fsync the directory. Returns 0, also when there was none, or a negative errno. */
int atomic_file_remove(int dirfd, const char *name);

#endif
