/*
 * Encoded events on their way to uplinkd, in memory, in order, until they are acknowledged. Bounded in bytes: what does
 * not fit is refused and the caller counts it. Events are kept as they are sent, in batches that lie in one piece, so
 * that sending copies nothing.
 */
#ifndef PICKET_COLLECTORD_QUEUE_H
#define PICKET_COLLECTORD_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Batches at once. With the queue at its largest (QueueSize) they are full: 256 batches of LIM_BATCH_BYTES are 16 MiB.
 */
#define QUEUE_BATCHES 256u

struct queue_batch {
	const uint8_t *data; /* payload of an EventBatch */
	size_t len;
	uint64_t first_sequence, last_sequence;
};

struct queue;

/*
 * queue_new - @max_bytes: of events. Memory is taken from the system only as far as it is used.
 * Returns NULL when out of memory; free with queue_free().
 */
struct queue *queue_new(size_t max_bytes);
void queue_free(struct queue *q);

/*
 * queue_add - append one encoded record to the open batch.
 * @sequence: one more than the last.
 * @ret_closed: true when the open batch had to be closed first: it is now the newest closed one.
 * Returns 0, or -ENOBUFS when there is no room: nothing was added (a batch may still have been closed).
 */
int queue_add(struct queue *q, uint64_t sequence, const void *record, size_t len, bool *ret_closed);

/* queue_close - close the open batch. Returns false when there was none. */
bool queue_close(struct queue *q);

/* queue_next - the oldest closed batch that was not sent yet; false when there is none. Borrowed until it is
 * acknowledged. */
bool queue_next(const struct queue *q, struct queue_batch *ret);

/* queue_sent - what queue_next() gave is under way. */
void queue_sent(struct queue *q);

/* queue_rewind - the link was lost: everything that is not acknowledged must be sent again. */
void queue_rewind(struct queue *q);

/* queue_ack - everything up to and with `sequence` is safe. Batches that it ends within are kept whole. Returns how
 * many events left the queue. */
uint64_t queue_ack(struct queue *q, uint64_t sequence);

/* queue_has_open - events wait in a batch that is not closed. */
bool queue_has_open(const struct queue *q);

/* Batches in the queue: all of them, and those that are under way. */
uint64_t queue_batches(const struct queue *q);
uint64_t queue_in_flight(const struct queue *q);

/* Events and bytes in the queue, the open batch included. */
uint64_t queue_events(const struct queue *q);
size_t queue_bytes(const struct queue *q);

#endif
