/*
 * What happens when the spool is opened: list the files, read the state, look through the last segment only. The last
 * segment is never written again: the first commit begins a new one, whose header says where the frames of this one
 * end. So nothing has to be cut off on disk.
 *
 * Removes nothing that is not proven to be acknowledged, except a segment that never got its header. A crash in here
 * leaves what the next start recovers in the same way. Called by spool_open().
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uplinkd/spool_priv.h"

/* A segment file whose header is unreadable is kept under this name for a person to look at. */
#define BAD_SUFFIX ".bad"

struct listing {
	struct spool *spool;
	int error;
};

static void
on_file(const char *name, uint64_t bytes, void *arg)
{
	struct listing *listing = arg;
	uint64_t id;

	if (listing->error == 0 && spool_segment_id(name, &id) == 0)
		listing->error = spool_segments_add(listing->spool, id, bytes);
}

/* True when a file with a damaged header holds anything behind it: frames are written only after the header is on disk.
 */
static bool
holds_frames(struct spool *spool, uint64_t id)
{
	const struct spool_io *io = &spool->io;
	char name[SPOOL_NAME_BYTES];
	uint8_t bytes[SPOOL_FRAME_BYTES];
	int64_t n;
	int file;

	file = io->ops->open(io->ctx, spool_segment_name(id, name), SPOOL_IO_READ);
	if (file < 0)
		return true;
	n = io->ops->pread(io->ctx, file, bytes, sizeof(bytes), SPOOL_HEADER_BYTES);
	io->ops->close(io->ctx, file);
	for (int64_t i = 0; i < n; i++)
		if (bytes[i] != 0)
			return true;
	return n < 0;
}

static void
discard_last(struct spool *spool)
{
	const struct spool_io *io = &spool->io;
	uint64_t id = spool->segments[spool->n_segments - 1].id;
	char name[SPOOL_NAME_BYTES], bad[SPOOL_NAME_BYTES + sizeof(BAD_SUFFIX)];

	(void)spool_segment_name(id, name);
	if (holds_frames(spool, id)) {
		(void)snprintf(bad, sizeof(bad), "%s%s", name, BAD_SUFFIX);
		(void)io->ops->rename(io->ctx, name, bad);
	} else {
		(void)io->ops->unlink(io->ctx, name);
	}
	spool->n_segments--;
}

/* True when something other than the zeros of an unused file stands where the scan gave up. */
static bool
ends_in_something(const struct spool_scan *scan)
{
	uint8_t bytes[SPOOL_FRAME_BYTES];
	int64_t n = scan->io->ops->pread(scan->io->ctx, scan->file, bytes, sizeof(bytes), scan->offset);

	for (int64_t i = 0; i < n; i++)
		if (bytes[i] != 0)
			return true;
	return false;
}

/* The last place before which everything is known to have been on disk: the last COMMIT, wherever damage may be before
 * it. */
static struct spool_mark
find_proven(struct spool *spool, struct spool_scan *scan, uint32_t *ret_stored_s)
{
	struct spool_mark at = spool_header_mark(&spool->header), proven = at;
	struct spool_frame frame;
	const uint8_t *payload;

	*ret_stored_s = spool->header.prev_stored_s;
	for (;;) {
		enum spool_found found = spool_scan_next(scan, &frame, &payload);

		if (found == SPOOL_FOUND_END)
			return proven;
		if (found == SPOOL_FOUND_HOLE)
			continue;
		at.index = scan->next_index;
		at.offset = scan->offset;
		if (found == SPOOL_FOUND_COMMIT) {
			at.ordinal = spool->header.first_ordinal + at.index;
			proven = at;
			*ret_stored_s = frame.stored_s;
		} else {
			/* Frames that are missing before it count in the ordinals, but for no epoch. */
			at.bytes += frame.length;
			spool_epochs_add(&at.epochs, frame.epoch, frame.sequence);
		}
	}
}

/*
 * Find where the last segment's frames end, and take the group behind the last COMMIT, if there is one, back into the
 * open group: it may have been acknowledged and it may not be on disk (after a kill -9 it is read from the page cache),
 * so it is written again, to a new segment. Damage in it was torn by a power cut before anything there was
 * acknowledged: it ends the group, and collectord sends the rest again.
 */
static void
find_end(struct spool *spool, struct spool_scan *scan)
{
	struct spool_mark proven;
	struct spool_frame frame;
	const uint8_t *payload;
	uint32_t stored_s;

	proven = find_proven(spool, scan, &stored_s);
	spool->end = proven.offset;
	spool->index = proven.index;
	spool->end_bytes = proven.bytes;
	spool->durable = spool->pending = proven.epochs;
	spool->durable_stored_s = spool->pending_stored_s = stored_s;

	scan->offset = proven.offset;
	scan->next_index = proven.index;
	scan->damaged = false;
	while (spool_scan_next(scan, &frame, &payload) == SPOOL_FOUND_EVENT &&
	       frame.index == spool->index + spool->group_events) {
		const struct spool_record record = {.epoch = frame.epoch,
		    .sequence = frame.sequence,
		    .type = frame.type,
		    .bytes = payload,
		    .len = frame.length};

		if (spool_append(spool, &record) < 0)
			break;
	}
	spool->stats.torn += scan->damaged && ends_in_something(scan);
}

/* Look through the last segment; sets header, end, index, durable. Returns 0, or -ENOENT when no segment is readable.
 */
static int
scan_last(struct spool *spool)
{
	while (spool->n_segments > 0) {
		const struct spool_segment *last = &spool->segments[spool->n_segments - 1];
		struct spool_scan scan = {.io = &spool->io,
		    .offset = SPOOL_HEADER_BYTES,
		    .max_payload = spool->conf.max_payload,
		    .buf = spool->reading.scan.buf};

		scan.file = spool_segment_open(spool, last->id, &spool->header);
		if (scan.file == -EBADMSG) {
			discard_last(spool);
			continue;
		}
		if (scan.file < 0)
			return scan.file;
		scan.salt = spool->header.salt;
		scan.limit = last->bytes < UINT32_MAX ? (uint32_t)last->bytes : UINT32_MAX;
		find_end(spool, &scan);
		spool->io.ops->close(spool->io.ctx, scan.file);
		return 0;
	}
	return -ENOENT;
}

/* Segments below the frontier were acknowledged before a crash kept them from being removed. */
static void
remove_acknowledged(struct spool *spool)
{
	size_t n = 0;

	while (n + 1 < spool->n_segments && spool->segments[n].id < spool->state.frontier.segment)
		n++;
	spool_segments_unlink_first(spool, n);
}

/* Bring the frontier to a place that exists. What is missing in between was not acknowledged and is a loss. */
static int
place_frontier(struct spool *spool)
{
	struct spool_mark *frontier = &spool->state.frontier;
	struct spool_mark tail = spool_tail(spool);
	struct spool_header first;
	uint64_t before = spool_losses_events(&spool->state.losses);
	int r;

	if (spool->n_segments == 0) {
		*frontier = tail;
		return 0;
	}
	r = spool_header_of(spool, 0, &first);
	if (r == -EBADMSG)
		return 0; /* spool_read() goes around it */
	if (r < 0)
		return r;
	if (spool->stats.state_lost) {
		*frontier = spool_header_mark(&first);
	} else if (frontier->ordinal < first.first_ordinal) {
		struct spool_mark to = spool_header_mark(&first);

		spool_losses_between(&spool->state.losses, frontier, &to, SPOOL_REASON_MISSING, false);
		spool->stats.dropped_missing += spool_losses_events(&spool->state.losses) - before;
		*frontier = to;
	} else if (frontier->ordinal > tail.ordinal || frontier->segment > tail.segment) {
		*frontier = tail;
	}
	return 0;
}

/* A spool without a readable segment begins where the state says that delivery stood. */
static void
begin_at_frontier(struct spool *spool)
{
	const struct spool_mark *frontier = &spool->state.frontier;

	spool->header = (struct spool_header){
	    .id = frontier->segment,
	    .first_ordinal = frontier->ordinal,
	    .first_bytes = frontier->bytes,
	    .epochs = frontier->epochs,
	};
	spool->durable = spool->pending = frontier->epochs;
	spool->end = SPOOL_HEADER_BYTES;
	spool->end_bytes = frontier->bytes;
	spool->index = 0;
}

int
spool_recover(struct spool *spool)
{
	struct listing listing = {.spool = spool};
	int r;

	/* A run that was killed may have renamed a file without the directory being on disk. */
	r = spool->io.ops->fsyncdir(spool->io.ctx);
	if (r == 0)
		r = spool->io.ops->list(spool->io.ctx, on_file, &listing);
	if (r == 0)
		r = listing.error;
	if (r == 0)
		r = spool_state_open(spool);
	if (r == 0)
		r = scan_last(spool);
	if (r == -ENOENT) {
		begin_at_frontier(spool);
		r = 0;
	}
	if (r < 0)
		return r;
	remove_acknowledged(spool);
	r = place_frontier(spool);
	if (r < 0)
		return r;
	spool->maybe_sent = spool_backlog_events(spool) > 0;
	r = spool_state_sync(spool);
	if (r < 0)
		return r;
	/* A disk that is full or fails now may do better later: the group stays open, and nobody takes it for stored.
	 */
	(void)spool_commit(spool);
	return 0;
}
