/*
 * Scope-bound clean-up: AUTO_FREE, AUTO_FD and friends.
 * A variable so marked is released when its scope ends; hand it on with STEAL_PTR or STEAL_FD.
 */
#ifndef PICKET_COMMON_CLEANUP_H
#define PICKET_COMMON_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void
cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void
cleanup_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void
cleanup_file(FILE **f)
{
	if (*f != NULL)
		(void)fclose(*f);
}

#define AUTO_FREE __attribute__((cleanup(cleanup_free)))
#define AUTO_FD __attribute__((cleanup(cleanup_fd)))
#define AUTO_FILE __attribute__((cleanup(cleanup_file)))

/* Take a descriptor out of an AUTO_FD variable. */
static inline int
steal_fd(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

#define STEAL_FD(fd) steal_fd(&(fd))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
