/*
 * Records to events. Records of one event may be mixed with those of others and come late; an event is handed on when
 * its end has come (PROCTITLE, EOE), when it has waited too long, or when room is needed. The clock is an argument:
 * live it is the monotonic clock, in a replay the newest time stamp, so that a log gives the same events at any speed.
 */
#ifndef PICKET_COLLECTORD_ASSEMBLE_H
#define PICKET_COLLECTORD_ASSEMBLE_H

#include <stdint.h>

#include "collectord/event.h"

/* Events open at once: one per task that is in the middle of its records; 1,024 is four times the processors of a large
 * host. */
#define ASSEMBLE_EVENTS 1024u

/*
 * Milliseconds an event waits for its end. The kernel writes the records of one event within microseconds, but the task
 * may be preempted in between; 2 s is what libauparse waits.
 */
#define ASSEMBLE_WAIT_MS 2000u

/* The event is borrowed until the function returns. */
typedef void (*assemble_emit)(struct audit_event *event, void *ctx);

struct assembler_stats {
	uint64_t events;   /* handed on */
	uint64_t unended;  /* of them without an end: timed out, or pushed out */
	uint64_t evicted;  /* of those, pushed out for want of room */
	uint64_t late_end; /* EOE of an event that is not open: usual, PROCTITLE comes before it */
};

struct assembler;

/* assembler_new - NULL when out of memory; free with assembler_free(). */
struct assembler *assembler_new(assemble_emit emit, void *ctx);
void assembler_free(struct assembler *a); /* open events are dropped */

/* assembler_add - one record. @now_ms: see above; never goes back. */
void assembler_add(struct assembler *a, const struct record *r, uint64_t now_ms);

/* assembler_expire - hand on what has waited for ASSEMBLE_WAIT_MS. Returns how many events stay open. */
uint32_t assembler_expire(struct assembler *a, uint64_t now_ms);

/* assembler_flush - hand on everything: the input has ended. */
void assembler_flush(struct assembler *a);

const struct assembler_stats *assembler_stats(const struct assembler *a);

#endif
