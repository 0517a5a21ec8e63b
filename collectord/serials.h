/*
 * Which audit serials have been dealt with. The kernel numbers events without holes, but they arrive out of order on
 * several processors; a serial that has not come when the window has moved on, or after a while, was lost on the way.
 * Pure: no clock, no I/O.
 *
 * Serials are 32 bits and wrap: everything here compares differences.
 */
#ifndef PICKET_COLLECTORD_SERIALS_H
#define PICKET_COLLECTORD_SERIALS_H

#include <stdbool.h>
#include <stdint.h>

/* Serials that may be outstanding: forty times the deepest disorder seen on two processors. A power of two. */
#define SERIALS_WINDOW 4096u
#define SERIALS_WORDS (SERIALS_WINDOW / 64)

/* first..last, both included, never came. */
typedef void (*serials_report)(uint32_t first, uint32_t last, void *ctx);

struct serials {
	bool started;
	uint32_t start;                 /* everything before it is no business of ours */
	uint32_t base;                  /* everything before it is settled */
	uint32_t top;                   /* behind the highest that came */
	uint32_t mark;                  /* top at the last tick */
	uint64_t late;                  /* came after they had been settled */
	uint32_t run_first, run_length; /* missing serials just before base, not reported yet */
	uint64_t bits[SERIALS_WORDS];   /* bit (serial % SERIALS_WINDOW): came */
};

/* What was dealt with at one moment: small enough to keep one per batch. */
struct serials_snapshot {
	uint32_t base;
	uint32_t top;
	uint64_t bits[SERIALS_WORDS];
};

/* serials_start - forget everything; the next serial is `base`, anything before it is no business of ours. */
void serials_start(struct serials *s, uint32_t base);

/* serials_seen - `serial` is dealt with; reports what falls out of the window. Call serials_start() first. */
void serials_seen(struct serials *s, uint32_t serial, serials_report report, void *ctx);

/*
 * serials_tick - call at a fixed interval: settles what was outstanding already at the last call, so that a serial has
 * between one and two intervals to come.
 */
void serials_tick(struct serials *s, serials_report report, void *ctx);

/* serials_settle_all - nothing more will come: settles everything up to the highest serial that came. */
void serials_settle_all(struct serials *s, serials_report report, void *ctx);

void serials_snapshot(const struct serials *s, struct serials_snapshot *ret);

/* serials_snapshot_has - `serial` was dealt with (or reported, or before the start) when the snapshot was taken. */
bool serials_snapshot_has(const struct serials_snapshot *s, uint32_t serial);

/* a comes before b, over the wrap. */
static inline bool
serial_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

#endif
