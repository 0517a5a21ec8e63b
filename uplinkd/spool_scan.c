/*
 * Walks the frames of one segment file through a window of fixed size. Reads only; decides nothing about what damage
 * means. Called by recovery (spool_recover.c) and by delivery's reads (spool_read.c).
 */
#include "uplinkd/spool_scan.h"

#include <errno.h>
#include <string.h>

#include "uplinkd/crc32c.h"

/* Bytes read at a time: large enough that the system call does not matter, small beside the daemon. */
#define READ_BYTES (256u * 1024u)

uint32_t
spool_scan_window(uint32_t max_payload)
{
	uint32_t frame = SPOOL_FRAME_BYTES + max_payload;

	return frame > READ_BYTES ? frame : READ_BYTES;
}

/* The unit in which a disk fails to read. */
#define PAGE_BYTES 4096u

/* Read into the window; a page that the disk does not give is zeros. Returns the bytes there are up to the end of the
 * file. */
static uint32_t
read_over_errors(struct spool_scan *scan, uint8_t *to, uint32_t len, uint32_t offset)
{
	const struct spool_io *io = scan->io;
	int64_t n = io->ops->pread(io->ctx, scan->file, to, len, offset);
	uint32_t done = 0;

	if (n >= 0)
		return (uint32_t)n;
	while (done < len) {
		uint32_t step = PAGE_BYTES - (offset + done) % PAGE_BYTES;

		if (step > len - done)
			step = len - done;
		n = io->ops->pread(io->ctx, scan->file, to + done, step, offset + done);
		if (n < 0)
			memset(to + done, 0, step);
		else if (n < step)
			return done + (uint32_t)n;
		done += step;
	}
	return done;
}

/* Have `len` bytes from `offset` in the window, or fewer at the limit or the end of the file. Returns how many. */
static uint32_t
look(struct spool_scan *scan, uint32_t offset, uint32_t len, const uint8_t **ret)
{
	uint32_t left = scan->limit > offset ? scan->limit - offset : 0;
	uint32_t have;

	if (len > left)
		len = left;
	if (offset < scan->buf_offset || offset + len > scan->buf_offset + scan->buf_len) {
		uint32_t window = spool_scan_window(scan->max_payload);
		uint32_t kept = 0;

		if (offset >= scan->buf_offset && offset < scan->buf_offset + scan->buf_len) {
			kept = scan->buf_offset + scan->buf_len - offset;
			memmove(scan->buf, scan->buf + (offset - scan->buf_offset), kept);
		}
		window = window < left ? window : left;
		scan->buf_offset = offset;
		scan->buf_len = kept + read_over_errors(scan, scan->buf + kept, window - kept, offset + kept);
	}
	*ret = scan->buf + (offset - scan->buf_offset);
	have = scan->buf_offset + scan->buf_len - offset;
	return have < len ? have : len;
}

/* True when a frame header stands at `offset` and can belong there. */
static bool
header_at(struct spool_scan *scan, uint32_t offset, struct spool_frame *ret)
{
	const uint8_t *p;

	return look(scan, offset, SPOOL_FRAME_BYTES, &p) == SPOOL_FRAME_BYTES &&
	       spool_frame_decode(p, scan->salt, scan->max_payload, ret) == 0 &&
	       ret->length <= scan->limit - offset - SPOOL_FRAME_BYTES && ret->index >= scan->next_index;
}

/* Move to the next frame header behind the damage at scan->offset. */
static enum spool_found
resync(struct spool_scan *scan)
{
	uint32_t at = scan->offset + 1;
	struct spool_frame frame;

	scan->damaged = true;
	for (;;) {
		const uint8_t *p, *hit;
		uint32_t n = look(scan, at, READ_BYTES, &p);

		if (n < SPOOL_FRAME_BYTES)
			return SPOOL_FOUND_END;
		hit = memmem(p, n, spool_frame_magic, SPOOL_FRAME_MAGIC_BYTES);
		if (hit == NULL) {
			/* The magic may straddle the window's end. */
			at += n - (SPOOL_FRAME_MAGIC_BYTES - 1);
			continue;
		}
		at += (uint32_t)(hit - p);
		if (header_at(scan, at, &frame)) {
			scan->offset = at;
			return SPOOL_FOUND_HOLE;
		}
		at++;
	}
}

enum spool_found
spool_scan_next(struct spool_scan *scan, struct spool_frame *ret_frame, const uint8_t **ret_payload)
{
	const uint8_t *p;
	uint32_t bytes;

	if (scan->offset >= scan->limit)
		return SPOOL_FOUND_END;
	if (!header_at(scan, scan->offset, ret_frame))
		return resync(scan);
	bytes = SPOOL_FRAME_BYTES + ret_frame->length;
	if (look(scan, scan->offset, bytes, &p) < bytes)
		return resync(scan);
	scan->offset += bytes;
	scan->next_index = ret_frame->index;
	if (ret_frame->kind == SPOOL_KIND_COMMIT)
		return SPOOL_FOUND_COMMIT;
	scan->next_index++;
	if (crc32c(0, p + SPOOL_FRAME_BYTES, ret_frame->length) != ret_frame->payload_crc) {
		scan->damaged = true;
		return SPOOL_FOUND_BAD_PAYLOAD;
	}
	*ret_payload = p + SPOOL_FRAME_BYTES;
	return SPOOL_FOUND_EVENT;
}
