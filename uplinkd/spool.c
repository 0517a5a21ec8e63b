/*
 * The write side of the spool: open, append, commit, drop, acknowledge. Never interprets a record. Called by ingest.c
 * and delivery.c.
 *
 * fdatasync runs in the caller's thread. See docs/decisions/0008-fdatasync-in-the-loop.md for the reason and the price.
 */
#include "uplinkd/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uplinkd/crc32c.h"
#include "uplinkd/spool_priv.h"

/* Bytes of the open group at most: four batches of the largest size, and more than 256 events of ordinary size. */
#define GROUP_BYTES (1024u * 1024u)

struct spool_mark
spool_tail(const struct spool *spool)
{
	return (struct spool_mark){
	    .segment = spool->header.id,
	    .ordinal = spool->header.first_ordinal + spool->index,
	    .bytes = spool->end_bytes,
	    .offset = spool->end,
	    .index = spool->index,
	    .epochs = spool->durable,
	};
}

int
spool_open(const struct spool_conf *conf, const struct spool_io *io, struct spool **ret)
{
	struct spool *spool = calloc(1, sizeof(*spool));
	uint32_t room = conf->segment_bytes - SPOOL_HEADER_BYTES - SPOOL_FRAME_BYTES;
	int r;

	if (spool == NULL)
		return -ENOMEM;
	spool->io = *io;
	spool->conf = *conf;
	spool->file = spool->state_file.file = spool->reading.file = -1;
	spool->group_cap = room < GROUP_BYTES ? room : GROUP_BYTES;
	spool->group = malloc(spool->group_cap);
	spool->reading.scan.buf = malloc(spool_scan_window(conf->max_payload));
	r = spool->group != NULL && spool->reading.scan.buf != NULL ? spool_recover(spool) : -ENOMEM;
	if (r < 0) {
		spool_close(spool);
		return r;
	}
	*ret = spool;
	return 0;
}

void
spool_close(struct spool *spool)
{
	if (spool == NULL)
		return;
	spool_reading_close(spool);
	spool_state_close(spool);
	if (spool->file >= 0)
		spool->io.ops->close(spool->io.ctx, spool->file);
	free(spool->reading.scan.buf);
	free(spool->group);
	free(spool->segments);
	free(spool);
}

int
spool_append(struct spool *spool, const struct spool_record *record)
{
	const struct spool_epoch *known;
	struct spool_frame frame;
	uint8_t *at;

	if (record->epoch == 0 || record->sequence == 0)
		return -EINVAL;
	if (record->len > spool->conf.max_payload || SPOOL_FRAME_BYTES + record->len > spool->group_cap) {
		spool->stats.oversize++;
		return -EMSGSIZE;
	}
	known = spool_epochs_find(&spool->pending, record->epoch);
	if (known != NULL && record->sequence <= known->sequence) {
		spool->stats.duplicates++;
		return 1;
	}
	if (SPOOL_FRAME_BYTES + record->len > spool->group_cap - spool->group_len)
		return -ENOBUFS;
	frame = (struct spool_frame){
	    .kind = SPOOL_KIND_EVENT,
	    .type = record->type,
	    .length = (uint32_t)record->len,
	    .stored_s = (uint32_t)(spool->io.ops->wall_ms(spool->io.ctx) / 1000u),
	    .payload_crc = crc32c(0, record->bytes, record->len),
	    .epoch = record->epoch,
	    .sequence = record->sequence,
	};
	at = spool->group + spool->group_len;
	spool_frame_encode(&frame, 0, at);
	memcpy(at + SPOOL_FRAME_BYTES, record->bytes, record->len);
	spool->group_len += SPOOL_FRAME_BYTES + frame.length;
	spool->group_bytes += frame.length;
	spool->group_events++;
	spool->pending_stored_s = frame.stored_s;
	spool_epochs_add(&spool->pending, record->epoch, record->sequence);
	return 0;
}

uint32_t
spool_open_events(const struct spool *spool)
{
	return spool->group_events;
}

uint64_t
spool_durable(const struct spool *spool, uint64_t epoch)
{
	const struct spool_epoch *known = spool_epochs_find(&spool->durable, epoch);

	return known != NULL ? known->sequence : 0;
}

int
spool_header_of(struct spool *spool, size_t i, struct spool_header *ret)
{
	int file;

	if (spool->segments[i].id == spool->header.id) {
		*ret = spool->header;
		return 0;
	}
	file = spool_segment_open(spool, spool->segments[i].id, ret);
	if (file < 0)
		return file;
	spool->io.ops->close(spool->io.ctx, file);
	return 0;
}

static uint64_t *
dropped_counter(struct spool *spool, enum spool_reason reason)
{
	if (reason == SPOOL_REASON_AGE)
		return &spool->stats.dropped_age;
	return reason == SPOOL_REASON_FULL ? &spool->stats.dropped_full : &spool->stats.dropped_size;
}

int
spool_drop_oldest(struct spool *spool, enum spool_reason reason)
{
	struct spool_header next;
	struct spool_mark to;
	size_t n = 1;

	/* Up to the next segment that says what came before it. */
	while (n < spool->n_segments && spool_header_of(spool, n, &next) < 0)
		n++;
	if (n >= spool->n_segments)
		return -ENOSPC;
	to = spool_header_mark(&next);
	if (spool->state.frontier.ordinal < to.ordinal) {
		struct spool_state before = spool->state;
		int r;

		spool_losses_between(&spool->state.losses, &before.frontier, &to, reason, spool->maybe_sent);
		spool->state.frontier = to;
		r = spool_state_sync(spool);
		if (r < 0) {
			spool->state = before;
			return r;
		}
		*dropped_counter(spool, reason) += to.ordinal - before.frontier.ordinal;
		spool->maybe_sent = false;
	}
	spool_segments_unlink_first(spool, n);
	return 0;
}

static bool
disk_is_full(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/* Give back the blocks that a segment no longer written to did not use. That the cut is durable does not matter: the
 * next segment's header says where the frames end. */
static void
cut_unused(struct spool *spool, struct spool_segment *segment, int file)
{
	const struct spool_io *io = &spool->io;
	char name[SPOOL_NAME_BYTES];

	if (file < 0 && segment->bytes > spool->end)
		file = io->ops->open(io->ctx, spool_segment_name(segment->id, name), SPOOL_IO_WRITE);
	if (file < 0)
		return;
	if (!spool->suspect && io->ops->truncate(io->ctx, file, spool->end) == 0)
		segment->bytes = spool->end;
	io->ops->close(io->ctx, file);
}

/* Give the frames of the open group their places. */
static void
stamp_group(struct spool *spool, uint32_t index, uint32_t salt)
{
	for (uint32_t at = 0; at < spool->group_len;)
		at += (uint32_t)spool_frame_stamp(spool->group + at, index++, salt);
}

/* Say that everything so far is on disk. Not waited for: the next commit's fdatasync takes it along. */
static void
write_marker(struct spool *spool)
{
	const struct spool_frame frame = {
	    .kind = SPOOL_KIND_COMMIT, .index = spool->index, .stored_s = spool->durable_stored_s};
	uint8_t bytes[SPOOL_FRAME_BYTES];

	spool_frame_encode(&frame, spool->header.salt, bytes);
	if (spool->io.ops->pwrite(spool->io.ctx, spool->file, bytes, sizeof(bytes), spool->end) == 0)
		spool->end += SPOOL_FRAME_BYTES;
	else
		spool->suspect = true; /* the next segment's header will say it */
}

/* The open group is on disk, behind spool->end. */
static void
group_is_durable(struct spool *spool)
{
	if (spool->group_events == 0)
		return;
	spool->stats.commits++;
	spool->stats.appended += spool->group_events;
	spool->end += spool->group_len;
	spool->end_bytes += spool->group_bytes;
	spool->index += spool->group_events;
	spool->durable = spool->pending;
	spool->durable_stored_s = spool->pending_stored_s;
	spool->group_len = spool->group_events = 0;
	spool->group_bytes = 0;
	write_marker(spool);
}

int
spool_roll(struct spool *spool)
{
	struct spool_header header = {
	    .id = spool->header.id + 1,
	    .first_ordinal = spool->header.first_ordinal + spool->index,
	    .first_bytes = spool->end_bytes,
	    .prev_id = spool->header.id,
	    .prev_end = spool->end,
	    .salt = (uint32_t)spool->io.ops->random(spool->io.ctx),
	    .prev_stored_s = spool->durable_stored_s,
	    .epochs = spool->durable,
	};
	struct spool_segment *last;
	int file, r;

	r = spool_segments_add(spool, header.id, spool->conf.segment_bytes);
	if (r < 0)
		return r;
	while (spool_disk_bytes(spool) > spool->conf.max_bytes)
		if (spool_drop_oldest(spool, SPOOL_REASON_SIZE) < 0)
			break;
	stamp_group(spool, 0, header.salt);
	do {
		file = spool_segment_create(spool, &header, spool->group, spool->group_len);
	} while (disk_is_full(file) && spool_drop_oldest(spool, SPOOL_REASON_FULL) == 0);
	if (file < 0) {
		spool->n_segments--;
		return file;
	}
	last = &spool->segments[spool->n_segments - 1];
	if (spool->n_segments > 1 && last[-1].id == spool->header.id)
		cut_unused(spool, &last[-1], spool->file);
	else if (spool->file >= 0)
		spool->io.ops->close(spool->io.ctx, spool->file);
	spool->file = file;
	spool->suspect = false;
	spool->header = header;
	spool->end = SPOOL_HEADER_BYTES;
	spool->index = 0;
	group_is_durable(spool);
	return 0;
}

/* Put the group behind what is on disk. On failure nothing more is written to the segment. */
static int
write_group(struct spool *spool)
{
	const struct spool_io *io = &spool->io;
	int r;

	stamp_group(spool, spool->index, spool->header.salt);
	r = io->ops->pwrite(io->ctx, spool->file, spool->group, spool->group_len, spool->end);
	if (r == 0) {
		r = io->ops->fdatasync(io->ctx, spool->file);
		spool->stats.sync_failures += r < 0;
	}
	if (r < 0)
		spool->suspect = true;
	else
		group_is_durable(spool);
	return r;
}

int
spool_commit(struct spool *spool)
{
	bool fits = spool->file >= 0 && !spool->suspect &&
		    spool->group_len + SPOOL_FRAME_BYTES <= spool->conf.segment_bytes - spool->end;

	if (spool->group_events == 0)
		return 0;
	if (fits && write_group(spool) == 0)
		return 0;
	/* Full, or failed: the group goes to a new segment, never once more to the file that failed. */
	return spool_roll(spool);
}

const struct spool_mark *
spool_frontier(const struct spool *spool)
{
	return &spool->state.frontier;
}

void
spool_sending(struct spool *spool)
{
	spool->maybe_sent = true;
}

bool
spool_is_current(const struct spool *spool, const struct spool_package *package)
{
	return package->start.ordinal == spool->state.frontier.ordinal;
}

int
spool_ack(struct spool *spool, const struct spool_package *package)
{
	size_t n = 0;
	int r;

	if (!spool_is_current(spool, package))
		return -ESTALE;
	spool->state.frontier = package->end;
	spool->stats.damaged += spool_losses_events(&package->damage);
	spool_losses_merge(&spool->state.losses, &package->damage);
	spool->maybe_sent = false;
	while (n + 1 < spool->n_segments && spool->segments[n].id < spool->state.frontier.segment)
		n++;
	if (n == 0)
		return spool_state_write(spool);
	/* Only what the state on disk no longer needs may go. */
	r = spool_state_sync(spool);
	if (r == 0)
		spool_segments_unlink_first(spool, n);
	return r;
}

uint64_t
spool_events_behind(const struct spool *spool, const struct spool_mark *mark)
{
	return spool->header.first_ordinal + spool->index - mark->ordinal;
}

uint64_t
spool_bytes_behind(const struct spool *spool, const struct spool_mark *mark)
{
	return spool->end_bytes > mark->bytes ? spool->end_bytes - mark->bytes : 0;
}

uint64_t
spool_backlog_events(const struct spool *spool)
{
	return spool_events_behind(spool, &spool->state.frontier);
}

uint64_t
spool_backlog_bytes(const struct spool *spool)
{
	return spool_bytes_behind(spool, &spool->state.frontier);
}

uint64_t
spool_disk_bytes(const struct spool *spool)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < spool->n_segments; i++)
		bytes += spool->segments[i].bytes;
	return bytes;
}

void
spool_trim(struct spool *spool)
{
	uint64_t now_s = spool->io.ops->wall_ms(spool->io.ctx) / 1000u;
	uint64_t max_s = spool->conf.max_age_ms / 1000u;

	if (spool->conf.max_age_ms == 0 || spool_backlog_events(spool) == 0)
		return;
	/* The last segment is given up like the others once everything in it is over age. */
	if (spool->index > 0 && spool->durable_stored_s + max_s < now_s && spool_roll(spool) < 0)
		return;
	while (spool->n_segments > 1) {
		struct spool_header next;

		if (spool_header_of(spool, 1, &next) < 0 || next.prev_stored_s + max_s >= now_s)
			return;
		if (spool_drop_oldest(spool, SPOOL_REASON_AGE) < 0)
			return;
	}
}

int
spool_losses(struct spool *spool, const struct spool_losses **ret)
{
	struct spool_state before = spool->state;

	if (spool_losses_close(&spool->state.losses, &spool->state.own_next) > 0) {
		int r = spool_state_sync(spool);

		/* Not sent under a number that a crash could give to another loss. */
		if (r < 0) {
			spool->state = before;
			return r;
		}
	}
	*ret = &spool->state.losses;
	return 0;
}

bool
spool_has_losses(const struct spool *spool)
{
	return spool->state.losses.n > 0;
}

uint64_t
spool_own_epoch(const struct spool *spool)
{
	return spool->state.own_epoch;
}

int
spool_losses_acked(struct spool *spool, uint64_t own_sequence)
{
	spool_losses_done(&spool->state.losses, own_sequence);
	return spool_state_write(spool);
}

void
spool_give_up(struct spool *spool, struct spool_package *package)
{
	/* What was damaged lies between the marks as well, and is counted once. */
	spool_losses_between(&spool->state.losses, &package->start, &package->end, SPOOL_REASON_REFUSED, false);
	package->damage.n = 0;
}

const struct spool_stats *
spool_stats(const struct spool *spool)
{
	return &spool->stats;
}
