/* Two clocks that cannot be mixed: monotonic for time-outs, wall for what people read. */
#ifndef PICKET_COMMON_CLOCK_H
#define PICKET_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Milliseconds of CLOCK_MONOTONIC. */
struct mono_ms {
	uint64_t ms;
};

static inline struct mono_ms
mono_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (struct mono_ms){(uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u};
}

/* Milliseconds from `then` to `now`, 0 when `then` is later. */
static inline uint64_t
mono_since(struct mono_ms then, struct mono_ms now)
{
	return now.ms > then.ms ? now.ms - then.ms : 0;
}

/* Milliseconds since 1970, CLOCK_REALTIME. */
static inline uint64_t
wall_now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

/* Nanoseconds since 1970, CLOCK_REALTIME: names an epoch. */
static inline uint64_t
wall_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#endif
