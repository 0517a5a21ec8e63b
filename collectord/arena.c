/* Memory for the texts of events. Allocates only when more events are open, or longer ones, than ever before. Called by
 * event.c and assemble.c. */
#include "collectord/arena.h"

#include <stdlib.h>

void
arena_reset(struct arena *arena, struct arena_pool *pool)
{
	while (arena->blocks != NULL) {
		struct arena_block *b = arena->blocks;

		arena->blocks = b->next;
		b->next = pool->free;
		pool->free = b;
	}
	arena->pool = pool;
	arena->next = arena->first;
	arena->left = sizeof(arena->first);
}

uint8_t *
arena_alloc_slow(struct arena *arena, size_t n)
{
	struct arena_pool *pool = arena->pool;
	struct arena_block *b = pool->free;

	if (n > ARENA_BLOCK_BYTES)
		return NULL;
	if (b != NULL) {
		pool->free = b->next;
	} else {
		if (pool->n_blocks >= pool->max_blocks)
			return NULL;
		b = malloc(sizeof(*b));
		if (b == NULL)
			return NULL;
		pool->n_blocks++;
	}
	b->next = arena->blocks;
	arena->blocks = b;
	arena->next = b->bytes + n;
	arena->left = ARENA_BLOCK_BYTES - n;
	return b->bytes;
}

void
arena_pool_free(struct arena_pool *pool)
{
	while (pool->free != NULL) {
		struct arena_block *b = pool->free;

		pool->free = b->next;
		free(b);
	}
	pool->n_blocks = 0;
}
