/*
 * Memory for the texts of one event: a piece inside the event, then blocks that all events share. Nothing is freed by
 * itself; arena_reset() gives the blocks back to the pool. The pool never holds more than it was allowed.
 */
#ifndef PICKET_COLLECTORD_ARENA_H
#define PICKET_COLLECTORD_ARENA_H

#include <stddef.h>
#include <stdint.h>

/* Bytes inside each event: executable, comm, working directory and two paths of usual length. */
#define ARENA_FIRST_BYTES 1000u

/* Bytes of a shared block: two texts of the longest kind (EVENT_TEXT_BYTES). */
#define ARENA_BLOCK_BYTES 8192u

struct arena_block {
	struct arena_block *next;
	uint8_t bytes[ARENA_BLOCK_BYTES];
};

struct arena_pool {
	struct arena_block *free;
	size_t n_blocks, max_blocks; /* allocated, allowed */
};

struct arena {
	struct arena_pool *pool;
	struct arena_block *blocks; /* newest first */
	uint8_t *next;
	size_t left; /* bytes at next */
	uint8_t first[ARENA_FIRST_BYTES];
};

/* arena_reset - empty; also the initialisation, with `blocks` NULL. */
void arena_reset(struct arena *arena, struct arena_pool *pool);

/* arena_alloc_slow - from a new block; NULL when the pool is used up or n is over ARENA_BLOCK_BYTES. */
uint8_t *arena_alloc_slow(struct arena *arena, size_t n);

/*
 * arena_alloc - n bytes that live until arena_reset(); not aligned.
 * Returns NULL when the pool is used up: the caller goes on without the value and says so.
 */
static inline uint8_t *
arena_alloc(struct arena *arena, size_t n)
{
	uint8_t *p = arena->next;

	if (n > arena->left)
		return arena_alloc_slow(arena, n);
	arena->next += n;
	arena->left -= n;
	return p;
}

/* arena_pool_free - only after every arena of it was reset. */
void arena_pool_free(struct arena_pool *pool);

#endif
