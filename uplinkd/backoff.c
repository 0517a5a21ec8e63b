/* The wait between attempts, as a function of its arguments alone. Called by delivery.c and sync.c. */
#include "uplinkd/backoff.h"

uint64_t
upl_backoff_ms(uint32_t attempt, uint64_t base_ms, uint64_t cap_ms, uint64_t random, uint64_t floor_ms)
{
	uint64_t spread = base_ms;

	if (attempt == 0)
		return floor_ms;
	for (uint32_t i = 1; i < attempt && spread < cap_ms; i++)
		spread *= 2;
	if (spread > cap_ms)
		spread = cap_ms;
	return floor_ms + (spread == UINT64_MAX ? random : random % (spread + 1));
}
