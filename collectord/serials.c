/* The window over audit serials. Called by live.c for every finished event; books.c keeps its snapshots. */
#include "collectord/serials.h"

#include <string.h>

static inline bool
has_bit(const uint64_t *bits, uint32_t serial)
{
	return bits[serial % SERIALS_WINDOW / 64] >> serial % 64 & 1;
}

void
serials_start(struct serials *s, uint32_t base)
{
	*s = (struct serials){.started = true, .start = base, .base = base, .top = base, .mark = base, .late = s->late};
}

static void
report_run(struct serials *s, serials_report report, void *ctx)
{
	if (s->run_length > 0)
		report(s->run_first, s->run_first + s->run_length - 1, ctx);
	s->run_length = 0;
}

static void
extend_run(struct serials *s, uint32_t first, uint32_t length)
{
	if (s->run_length == 0)
		s->run_first = first;
	s->run_length += length;
}

/* Move base up to `until`. A run of missing serials that may go on there is kept for the next time. */
static void
settle(struct serials *s, uint32_t until, serials_report report, void *ctx)
{
	for (uint32_t left = SERIALS_WINDOW; left > 0 && s->base != until; left--) {
		if (has_bit(s->bits, s->base)) {
			report_run(s, report, ctx);
			s->bits[s->base % SERIALS_WINDOW / 64] &= ~(UINT64_C(1) << s->base % 64);
		} else {
			extend_run(s, s->base, 1);
		}
		s->base++;
	}
	/* Beyond the window no bit is set. */
	if (s->base != until) {
		extend_run(s, s->base, until - s->base);
		s->base = until;
	}
}

void
serials_seen(struct serials *s, uint32_t serial, serials_report report, void *ctx)
{
	if (serial_before(serial, s->base)) {
		s->late += !serial_before(serial, s->start);
		return;
	}
	if (serial - s->base >= SERIALS_WINDOW)
		settle(s, serial - SERIALS_WINDOW + 1, report, ctx);
	s->bits[serial % SERIALS_WINDOW / 64] |= UINT64_C(1) << serial % 64;
	if (!serial_before(serial, s->top))
		s->top = serial + 1;
}

void
serials_tick(struct serials *s, serials_report report, void *ctx)
{
	if (serial_before(s->base, s->mark))
		settle(s, s->mark, report, ctx);
	s->mark = s->top;
	/* The serial before the mark came, so a run that still waits ends there or was cut by the window: the next tick
	 * has it. */
}

void
serials_settle_all(struct serials *s, serials_report report, void *ctx)
{
	if (!s->started)
		return;
	settle(s, s->top, report, ctx);
	report_run(s, report, ctx);
	s->mark = s->top;
}

void
serials_snapshot(const struct serials *s, struct serials_snapshot *ret)
{
	ret->base = s->base - s->run_length; /* a run that was not reported yet is not dealt with */
	ret->top = s->top;
	(void)memcpy(ret->bits, s->bits, sizeof(ret->bits));
}

bool
serials_snapshot_has(const struct serials_snapshot *s, uint32_t serial)
{
	if (serial_before(serial, s->base))
		return true;
	return serial_before(serial, s->top) && serial - s->base < SERIALS_WINDOW && has_bit(s->bits, serial);
}
