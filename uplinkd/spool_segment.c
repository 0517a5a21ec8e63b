/* Segment files as wholes: name, create, open, remove. Never looks at frames. Called by the other spool files. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uplinkd/spool_priv.h"

/* A segment gets its name when its first group is on disk: a crash leaves all of it or nothing. */
#define SEGMENT_TEMPORARY "segment.new"

const char *
spool_segment_name(uint64_t id, char *buf)
{
	(void)snprintf(buf, SPOOL_NAME_BYTES, "%016" PRIx64 ".seg", id);
	return buf;
}

int
spool_segment_id(const char *name, uint64_t *ret_id)
{
	char expect[SPOOL_NAME_BYTES];
	char *end;
	uint64_t id = strtoull(name, &end, 16);

	if (id == 0 || strcmp(spool_segment_name(id, expect), name) != 0)
		return -EINVAL;
	*ret_id = id;
	return 0;
}

static int
fill_new(struct spool *spool, int file, const struct spool_header *header, const uint8_t *frames, uint32_t len)
{
	const struct spool_io *io = &spool->io;
	uint8_t bytes[SPOOL_HEADER_BYTES];
	int r;

	r = io->ops->fallocate(io->ctx, file, spool->conf.segment_bytes);
	if (r < 0 && r != -EOPNOTSUPP)
		return r;
	spool_header_encode(header, bytes);
	r = io->ops->pwrite(io->ctx, file, bytes, sizeof(bytes), 0);
	if (r == 0 && len > 0)
		r = io->ops->pwrite(io->ctx, file, frames, len, sizeof(bytes));
	if (r < 0)
		return r;
	r = io->ops->fdatasync(io->ctx, file);
	if (r < 0)
		spool->stats.sync_failures++;
	return r;
}

int
spool_segment_create(struct spool *spool, const struct spool_header *header, const uint8_t *frames, uint32_t len)
{
	const struct spool_io *io = &spool->io;
	char name[SPOOL_NAME_BYTES];
	int file, r;

	r = io->ops->unlink(io->ctx, SEGMENT_TEMPORARY);
	if (r < 0 && r != -ENOENT)
		return r;
	file = io->ops->open(io->ctx, SEGMENT_TEMPORARY, SPOOL_IO_CREATE);
	if (file < 0)
		return file;
	r = fill_new(spool, file, header, frames, len);
	if (r == 0)
		r = io->ops->rename(io->ctx, SEGMENT_TEMPORARY, spool_segment_name(header->id, name));
	if (r == 0)
		r = io->ops->fsyncdir(io->ctx);
	if (r < 0) {
		io->ops->close(io->ctx, file);
		(void)io->ops->unlink(io->ctx, SEGMENT_TEMPORARY);
		return r;
	}
	return file;
}

int
spool_segment_open(struct spool *spool, uint64_t id, struct spool_header *ret_header)
{
	const struct spool_io *io = &spool->io;
	char name[SPOOL_NAME_BYTES];
	uint8_t bytes[SPOOL_HEADER_BYTES];
	int64_t n;
	int file, r;

	file = io->ops->open(io->ctx, spool_segment_name(id, name), SPOOL_IO_READ);
	if (file < 0)
		return file;
	n = io->ops->pread(io->ctx, file, bytes, sizeof(bytes), 0);
	r = n < (int64_t)sizeof(bytes) ? -EBADMSG : spool_header_decode(bytes, ret_header);
	if (r == 0 && ret_header->id != id)
		r = -EBADMSG;
	if (r < 0) {
		io->ops->close(io->ctx, file);
		return r;
	}
	return file;
}

int
spool_segments_add(struct spool *spool, uint64_t id, uint64_t bytes)
{
	size_t at;

	if (spool->n_segments == spool->cap_segments) {
		size_t cap = spool->cap_segments > 0 ? 2 * spool->cap_segments : 64;
		struct spool_segment *grown = realloc(spool->segments, cap * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		spool->segments = grown;
		spool->cap_segments = cap;
	}
	/* From the end: they come nearly in order. */
	for (at = spool->n_segments; at > 0 && spool->segments[at - 1].id > id; at--)
		spool->segments[at] = spool->segments[at - 1];
	spool->segments[at] = (struct spool_segment){.id = id, .bytes = bytes};
	spool->n_segments++;
	return 0;
}

void
spool_segments_remove_first(struct spool *spool, size_t n)
{
	if (n == 0)
		return;
	spool->n_segments -= n;
	memmove(spool->segments, spool->segments + n, spool->n_segments * sizeof(*spool->segments));
}

void
spool_segments_unlink_first(struct spool *spool, size_t n)
{
	const struct spool_io *io = &spool->io;

	for (size_t i = 0; i < n; i++) {
		char name[SPOOL_NAME_BYTES];

		if (spool->reading.file >= 0 && spool->reading.header.id == spool->segments[i].id)
			spool_reading_close(spool);
		/* One that stays or comes back after a crash lies before the frontier: the next start removes it. */
		(void)io->ops->unlink(io->ctx, spool_segment_name(spool->segments[i].id, name));
	}
	spool_segments_remove_first(spool, n);
}
