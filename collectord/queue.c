/*
 * A ring of bytes that batches lie in. Never splits a batch at the end of the ring, never allocates after queue_new().
 * Called by live.c and peers.c.
 */
#include "collectord/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/limits.h"

/* An empty queue that has used more than this gives its memory back. */
#define KEEP_BYTES MIB(1)

struct batch {
	size_t offset, len;
	uint64_t first, last; /* sequences */
};

struct queue {
	uint8_t *bytes;
	size_t size;
	size_t end;                    /* offset behind the newest byte */
	size_t high;                   /* highest offset used since the memory was given back */
	size_t used;                   /* bytes of events */
	uint64_t oldest, unsent, next; /* batch numbers: not acknowledged, not sent, the open one (when open is true) */
	bool open;
	struct batch batches[QUEUE_BATCHES]; /* by number modulo QUEUE_BATCHES */
};

static struct batch *
batch_of(const struct queue *q, uint64_t number)
{
	return (struct batch *)(uintptr_t)&q->batches[number % QUEUE_BATCHES];
}

struct queue *
queue_new(size_t max_bytes)
{
	struct queue *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->size = max_bytes;
	q->bytes = mmap(NULL, max_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (q->bytes == MAP_FAILED) {
		free(q);
		return NULL;
	}
	return q;
}

void
queue_free(struct queue *q)
{
	if (q == NULL)
		return;
	(void)munmap(q->bytes, q->size);
	free(q);
}

static bool
is_empty(const struct queue *q)
{
	return q->oldest == q->next && !q->open;
}

/* Offset of the oldest byte that must stay. */
static size_t
start_of(const struct queue *q)
{
	return is_empty(q) ? 0 : batch_of(q, q->oldest)->offset;
}

/*
 * Where `len` more bytes can lie: behind the newest byte, or at the front when the end of the ring is too near.
 * `begin`: they start a new batch, so they may move to the front; else they must follow. Returns false when there is no
 * room.
 */
static bool
find_room(const struct queue *q, size_t len, bool begin, size_t *ret_offset)
{
	size_t start = start_of(q);
	bool wrapped = !is_empty(q) && q->end <= start;

	if (q->end + len <= (wrapped ? start : q->size)) {
		*ret_offset = q->end;
		return true;
	}
	if (begin && !wrapped && len < start) {
		*ret_offset = 0;
		return true;
	}
	return false;
}

static bool
must_close(const struct queue *q, size_t len)
{
	const struct batch *b = batch_of(q, q->next);

	return b->len + len > LIM_BATCH_BYTES || b->last - b->first + 1 >= LIM_BATCH_EVENTS;
}

bool
queue_close(struct queue *q)
{
	if (!q->open)
		return false;
	q->open = false;
	q->next++;
	return true;
}

int
queue_add(struct queue *q, uint64_t sequence, const void *record, size_t len, bool *ret_closed)
{
	struct batch *b;
	size_t offset;

	*ret_closed = false;
	if (q->open && (must_close(q, len) || !find_room(q, len, false, &offset)))
		*ret_closed = queue_close(q);
	if (!q->open) {
		if (q->next - q->oldest == QUEUE_BATCHES || !find_room(q, len, true, &offset))
			return -ENOBUFS;
		b = batch_of(q, q->next);
		*b = (struct batch){.offset = offset, .first = sequence};
		q->open = true;
	}
	b = batch_of(q, q->next);
	(void)memcpy(q->bytes + offset, record, len);
	b->len += len;
	b->last = sequence;
	q->end = offset + len;
	q->used += len;
	if (q->end > q->high)
		q->high = q->end;
	return 0;
}

bool
queue_next(const struct queue *q, struct queue_batch *ret)
{
	const struct batch *b = batch_of(q, q->unsent);

	if (q->unsent == q->next)
		return false;
	*ret = (struct queue_batch){q->bytes + b->offset, b->len, b->first, b->last};
	return true;
}

void
queue_sent(struct queue *q)
{
	q->unsent++;
}

void
queue_rewind(struct queue *q)
{
	q->unsent = q->oldest;
}

uint64_t
queue_ack(struct queue *q, uint64_t sequence)
{
	uint64_t n = 0;

	while (q->oldest != q->next && batch_of(q, q->oldest)->last <= sequence) {
		const struct batch *b = batch_of(q, q->oldest);

		n += b->last - b->first + 1;
		q->used -= b->len;
		q->oldest++;
	}
	if (q->unsent < q->oldest)
		q->unsent = q->oldest;
	if (is_empty(q)) {
		q->end = 0;
		if (q->high > KEEP_BYTES) {
			(void)madvise(q->bytes, q->size, MADV_DONTNEED);
			q->high = 0;
		}
	}
	return n;
}

bool
queue_has_open(const struct queue *q)
{
	return q->open;
}

uint64_t
queue_batches(const struct queue *q)
{
	return q->next - q->oldest + q->open;
}

uint64_t
queue_in_flight(const struct queue *q)
{
	return q->unsent - q->oldest;
}

uint64_t
queue_events(const struct queue *q)
{
	uint64_t newest = q->open                ? batch_of(q, q->next)->last
			  : q->oldest == q->next ? 0
						 : batch_of(q, q->next - 1)->last;

	return is_empty(q) ? 0 : newest - batch_of(q, q->oldest)->first + 1;
}

size_t
queue_bytes(const struct queue *q)
{
	return q->used;
}
