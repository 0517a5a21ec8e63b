/*
 * The read side of the spool: packages of records behind a mark, over segment borders and damage. Never changes
 * anything on disk. Called by delivery.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uplinkd/spool_priv.h"

void
spool_package_done(struct spool_package *package)
{
	free(package->bytes);
	*package = (struct spool_package){0};
}

void
spool_reading_close(struct spool *spool)
{
	struct spool_reading *reading = &spool->reading;

	if (reading->file >= 0)
		spool->io.ops->close(spool->io.ctx, reading->file);
	reading->file = -1;
}

/* The first segment with an id above `id`, or -1. */
static int64_t
find_behind(const struct spool *spool, uint64_t id)
{
	size_t low = 0, high = spool->n_segments;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (spool->segments[middle].id > id)
			high = middle;
		else
			low = middle + 1;
	}
	return low < spool->n_segments ? (int64_t)low : -1;
}

/* Bytes of a segment's file; no segment is larger than a new one. */
static uint32_t
file_bytes(const struct spool *spool, uint64_t id)
{
	int64_t i = find_behind(spool, id - 1);
	uint64_t bytes = i >= 0 && spool->segments[i].id == id ? spool->segments[i].bytes : 0;

	return bytes < spool->conf.segment_bytes ? (uint32_t)bytes : spool->conf.segment_bytes;
}

/* The next segment whose header is readable, behind `id`. Returns 0, or -ENOENT. */
static int
next_header(struct spool *spool, uint64_t id, struct spool_header *ret)
{
	for (int64_t i = find_behind(spool, id); i >= 0 && (size_t)i < spool->n_segments; i++)
		if (spool_header_of(spool, (size_t)i, ret) == 0)
			return 0;
	return -ENOENT;
}

/* True for errors that trying again does not cure. */
static bool
is_gone(int error)
{
	return error == -ENOENT || error == -EBADMSG || error == -EIO;
}

/* Stand at the mark, in its segment. Returns 0, or a negative errno when there is no such segment (any more). */
static int
stand_at(struct spool *spool, const struct spool_mark *mark)
{
	struct spool_reading *reading = &spool->reading;
	struct spool_scan *scan = &reading->scan;
	struct spool_header next;

	if (reading->file < 0 || reading->header.id != mark->segment) {
		spool_reading_close(spool);
		reading->file = spool_segment_open(spool, mark->segment, &reading->header);
		if (reading->file < 0)
			return reading->file;
		*scan = (struct spool_scan){
		    .io = &spool->io,
		    .file = reading->file,
		    .salt = reading->header.salt,
		    .max_payload = spool->conf.max_payload,
		    .buf = scan->buf,
		};
		reading->sealed = false;
	}
	scan->offset = mark->offset;
	scan->next_index = mark->index;
	if (reading->sealed)
		return 0;
	/* The segment written last ends where the spool says, any other one where its successor says, or else with the
	 * file. */
	if (mark->segment == spool->header.id) {
		scan->limit = spool->end;
		return 0;
	}
	reading->sealed = true;
	if (next_header(spool, mark->segment, &next) == 0 && next.prev_id == mark->segment)
		scan->limit = next.prev_end;
	else
		scan->limit = file_bytes(spool, mark->segment);
	return 0;
}

/* Records between the package's end and a later place are unreadable. */
static void
skip_to(struct spool_package *package, const struct spool_mark *to, enum spool_reason reason)
{
	spool_losses_between(&package->damage, &package->end, to, reason, false);
	package->end = *to;
}

/* Go on at the beginning of the next segment. Returns false when there is none. */
static bool
next_segment(struct spool *spool, struct spool_package *package, enum spool_reason reason)
{
	struct spool_header next;
	struct spool_mark to;

	if (next_header(spool, package->end.segment, &next) < 0)
		return false;
	if (next.prev_id != package->end.segment)
		reason = SPOOL_REASON_MISSING;
	to = spool_header_mark(&next);
	/* What the last frame of a segment said of it is what its successor says, unless something is missing. */
	skip_to(package, &to, reason);
	return true;
}

/* Room for `len` more bytes of payload. */
static int
reserve(struct spool_package *package, size_t len)
{
	size_t capacity = package->capacity > 0 ? package->capacity : 64u * 1024u;
	uint8_t *grown;

	if (package->len + len <= package->capacity)
		return 0;
	while (capacity < package->len + len)
		capacity *= 2;
	grown = realloc(package->bytes, capacity);
	if (grown == NULL)
		return -ENOMEM;
	package->bytes = grown;
	package->capacity = capacity;
	return 0;
}

/* Records whose frames could not be read, before the one with `index`. */
static void
count_hole(struct spool_package *package, uint32_t index)
{
	uint32_t missing = index - package->end.index;

	spool_losses_add(&package->damage, &(struct spool_loss){.events = missing, .reason = SPOOL_REASON_DAMAGED});
	package->end.ordinal += missing;
	package->end.index = index;
}

/* Take one frame into the package, or into its account of damage. Returns 0 or -ENOMEM. */
static int
take(struct spool_package *package, const struct spool_frame *frame, const uint8_t *payload, uint32_t offset)
{
	count_hole(package, frame->index);
	if (payload != NULL) {
		if (reserve(package, frame->length) < 0)
			return -ENOMEM;
		memcpy(package->bytes + package->len, payload, frame->length);
		package->len += frame->length;
		package->events++;
	} else {
		spool_losses_add(&package->damage, &(struct spool_loss){
						       .epoch = frame->epoch,
						       .first_sequence = frame->sequence,
						       .last_sequence = frame->sequence,
						       .events = 1,
						       .reason = SPOOL_REASON_DAMAGED,
						   });
	}
	package->end.index++;
	package->end.ordinal++;
	package->end.bytes += frame->length;
	package->end.offset = offset;
	spool_epochs_add(&package->end.epochs, frame->epoch, frame->sequence);
	return 0;
}

int
spool_read(struct spool *spool, const struct spool_mark *from, const struct spool_limits *limits,
    struct spool_package *package)
{
	struct spool_scan *scan = &spool->reading.scan;

	package->start = package->end = *from;
	package->events = 0;
	package->len = 0;
	package->damage.n = 0;
	while (package->events < limits->max_events) {
		struct spool_frame frame;
		const uint8_t *payload = NULL;
		enum spool_found found;
		int r;

		if (scan->offset != package->end.offset || spool->reading.file < 0 ||
		    spool->reading.header.id != package->end.segment || !spool->reading.sealed) {
			r = stand_at(spool, &package->end);
			if (r < 0 && !is_gone(r))
				return r;
			if (r < 0 && !next_segment(spool, package, SPOOL_REASON_MISSING))
				return 0;
			if (r < 0)
				continue;
		}
		found = spool_scan_next(scan, &frame, &payload);
		switch (found) {
		case SPOOL_FOUND_END:
			if (!spool->reading.sealed || !next_segment(spool, package, SPOOL_REASON_DAMAGED))
				return 0;
			break;
		case SPOOL_FOUND_COMMIT:
			count_hole(package, frame.index);
			package->end.offset = scan->offset;
			break;
		case SPOOL_FOUND_HOLE:
			package->end.offset = scan->offset;
			break;
		case SPOOL_FOUND_EVENT:
			if (package->events > 0 && package->len + frame.length > limits->max_bytes)
				return 0;
			/* fall through */
		case SPOOL_FOUND_BAD_PAYLOAD:
			r = take(package, &frame, found == SPOOL_FOUND_EVENT ? payload : NULL, scan->offset);
			if (r < 0)
				return r;
			break;
		}
	}
	return 0;
}
