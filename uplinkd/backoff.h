/* How long to wait before trying again. Pure. */
#ifndef PICKET_UPLINKD_BACKOFF_H
#define PICKET_UPLINKD_BACKOFF_H

#include <stdint.h>

/*
 * upl_backoff_ms - the wait before attempt number `attempt` + 1, with full jitter: spread evenly over [0, base doubled
 * per attempt], so that a fleet that lost its server together does not come back together.
 * @attempt: failures in a row so far, from 1; 0 waits nothing.
 * @base_ms, @cap_ms: the spread after the first failure, and the widest one.
 * @random:  64 random bits.
 * @floor_ms: the least to wait, e.g. from Retry-After; the jitter comes on top of it.
 */
uint64_t upl_backoff_ms(uint32_t attempt, uint64_t base_ms, uint64_t cap_ms, uint64_t random, uint64_t floor_ms);

#endif
