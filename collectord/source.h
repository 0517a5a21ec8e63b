/*
 * Where records come from. A source owns a descriptor, turns what it reads into records and hands them on; it knows
 * nothing of events.
 *
 * Each source has its own open function and gives back a struct source, whose first three members are what everybody
 * may call.
 */
#ifndef PICKET_COLLECTORD_SOURCE_H
#define PICKET_COLLECTORD_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "collectord/record.h"

/* Who takes the records. */
struct source_sink {
	/* Borrowed until it returns. */
	void (*on_record)(const struct record *record, void *ctx);
	/* Something that is not a record. */
	void (*on_fault)(enum record_fault fault, void *ctx);
	void *ctx;
};

struct source {
	/*
	 * Read what is there, up to a bound, and hand it to the sink.
	 * Returns 1 when there may be more, 0 when there is nothing now, -ENODATA at the end of the input, or a
	 * negative errno.
	 */
	int (*read)(struct source *source);
	void (*close)(struct source *source); /* frees it */
	int fd;                               /* readable when read() has work; for the event loop */
};

static inline int
source_read(struct source *source)
{
	return source->read(source);
}

/* NULL is fine. */
static inline void
source_close(struct source *source)
{
	if (source != NULL)
		source->close(source);
}

/*
 * source_replay_open - a recorded log of auditd, raw or enriched, from a descriptor that it takes over: file, pipe,
 * terminal. Returns 0 or -ENOMEM (the descriptor is then still the caller's).
 */
int source_replay_open(int fd, const struct source_sink *sink, struct source **ret);

#endif
