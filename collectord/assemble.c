/*
 * The table of open events. Never allocates per record: events and their memory are recycled, last used first, so that
 * they stay in the cache. Called by pipeline.c.
 */
#include "collectord/assemble.h"

#include <stdlib.h>

#include "common/limits.h"

/* Buckets of the hash table: a power of two, twice the events, so that chains stay short. */
#define BUCKETS 2048u

/* Blocks for texts that do not fit in their event: 2 MiB in all, which is over two hundred events with paths of the
 * longest kind. */
#define POOL_BLOCKS 256u

/* Bytes of arguments that all open events together may hold: a dozen of the longest command lines, in a process of 8
 * MB. */
#define ARGS_BYTES MIB(2)

struct assembler {
	assemble_emit emit;
	void *ctx;
	struct audit_event *last; /* the event of the record before, or NULL: the next one is mostly the same */
	struct audit_event *free;
	struct audit_event *oldest, *newest; /* open, by time of opening */
	uint32_t n_open;
	size_t args_bytes; /* allocated by open events */
	struct arena_pool pool;
	struct assembler_stats stats;
	struct audit_event *buckets[BUCKETS];
	struct audit_event events[ASSEMBLE_EVENTS];
};

struct assembler *
assembler_new(assemble_emit emit, void *ctx)
{
	struct assembler *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->emit = emit;
	a->ctx = ctx;
	a->pool.max_blocks = POOL_BLOCKS;
	return a;
}

void
assembler_free(struct assembler *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < ASSEMBLE_EVENTS; i++) {
		args_free(&a->events[i].args);
		if (a->events[i].arena.pool != NULL)
			arena_reset(&a->events[i].arena, &a->pool);
	}
	arena_pool_free(&a->pool);
	free(a);
}

const struct assembler_stats *
assembler_stats(const struct assembler *a)
{
	return &a->stats;
}

static uint32_t
bucket_of(uint32_t serial)
{
	return serial & (BUCKETS - 1); /* serials are consecutive: no better hash exists */
}

static void
close_event(struct assembler *a, struct audit_event *e)
{
	struct audit_event **link = &a->buckets[bucket_of(e->serial)];

	a->stats.events++;
	if (!(e->parts & EVENT_ENDED) && e->parts & (EVENT_SYSCALL | EVENT_PIECE))
		a->stats.unended++;
	a->emit(e, a->ctx);

	while (*link != e)
		link = &(*link)->chain;
	*link = e->chain;
	if (e->older != NULL)
		e->older->newer = e->newer;
	else
		a->oldest = e->newer;
	if (e->newer != NULL)
		e->newer->older = e->older;
	else
		a->newest = e->older;
	if (a->last == e)
		a->last = NULL;
	a->args_bytes -= e->args.size;
	event_begin(e, &a->pool);
	e->chain = a->free;
	a->free = e;
	a->n_open--;
}

static void
evict_oldest(struct assembler *a)
{
	a->stats.evicted++;
	close_event(a, a->oldest);
}

/* Events are taken in order at first, so that those that are never needed are never touched. */
static struct audit_event *
open_event(struct assembler *a, const struct record *r, uint64_t now_ms)
{
	struct audit_event *e, **bucket = &a->buckets[bucket_of(r->serial)];

	if (a->n_open == ASSEMBLE_EVENTS)
		evict_oldest(a);
	if (a->free != NULL) {
		e = a->free;
		a->free = e->chain;
	} else {
		e = &a->events[a->n_open];
		event_begin(e, &a->pool);
	}
	e->time_ms = r->time_ms;
	e->serial = r->serial;
	e->node = r->node;
	e->opened_ms = now_ms;
	e->chain = *bucket;
	*bucket = e;
	e->newer = NULL;
	e->older = a->newest;
	if (a->newest != NULL)
		a->newest->newer = e;
	else
		a->oldest = e;
	a->newest = e;
	a->args_bytes += e->args.size;
	a->n_open++;
	return e;
}

static bool
is_event_of(const struct audit_event *e, const struct record *r)
{
	return e->serial == r->serial && e->time_ms == r->time_ms && e->node == r->node;
}

static struct audit_event *
find_event(struct assembler *a, const struct record *r)
{
	struct audit_event *e = a->last;

	if (e != NULL && is_event_of(e, r))
		return e;
	for (e = a->buckets[bucket_of(r->serial)]; e != NULL; e = e->chain)
		if (is_event_of(e, r))
			return e;
	return NULL;
}

void
assembler_add(struct assembler *a, const struct record *r, uint64_t now_ms)
{
	struct audit_event *e = find_event(a, r);
	size_t args_before;
	bool ended;

	if (e == NULL) {
		/* An end alone says nothing: the event was handed on at its PROCTITLE. */
		if (r->type == AUDIT_EOE) {
			a->stats.late_end++;
			return;
		}
		(void)assembler_expire(a, now_ms);
		e = open_event(a, r, now_ms);
	}
	a->last = e;
	args_before = e->args.size;
	ended = event_take(e, r);
	a->args_bytes += e->args.size - args_before;
	if (ended)
		close_event(a, e);
	while (a->args_bytes > ARGS_BYTES && a->n_open > 1)
		evict_oldest(a);
}

uint32_t
assembler_expire(struct assembler *a, uint64_t now_ms)
{
	while (a->oldest != NULL && a->oldest->opened_ms + ASSEMBLE_WAIT_MS <= now_ms)
		close_event(a, a->oldest);
	return a->n_open;
}

void
assembler_flush(struct assembler *a)
{
	while (a->oldest != NULL)
		close_event(a, a->oldest);
}
