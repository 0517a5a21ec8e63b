/* Walks the frames of one segment file, over damage. What the disk refuses to give reads as zeros: damage too. Private
 * to spool*.c. */
#ifndef PICKET_UPLINKD_SPOOL_SCAN_H
#define PICKET_UPLINKD_SPOOL_SCAN_H

#include "uplinkd/spool_format.h"
#include "uplinkd/spool_io.h"

enum spool_found {
	SPOOL_FOUND_END = 1,     /* the limit, or nothing but damage up to it (scan->damaged) */
	SPOOL_FOUND_EVENT,       /* frame and payload */
	SPOOL_FOUND_COMMIT,      /* everything before it was on disk */
	SPOOL_FOUND_BAD_PAYLOAD, /* frame only */
	SPOOL_FOUND_HOLE,        /* bytes that are no frame; the scan stands before the next frame */
};

struct spool_scan {
	const struct spool_io *io;
	int file;
	uint32_t salt, max_payload;
	uint32_t limit;      /* first byte that is not looked at */
	uint32_t offset;     /* of what comes next */
	uint32_t next_index; /* that the next event should have; a frame with a higher one tells how many are missing */
	bool damaged;
	uint8_t *buf; /* window of the file */
	uint32_t buf_offset, buf_len;
};

/* Bytes of a window that the largest frame fits into. */
uint32_t spool_scan_window(uint32_t max_payload);

/*
 * spool_scan_next - the next thing in the file.
 * @ret_payload: of SPOOL_FOUND_EVENT; valid until the next call.
 */
enum spool_found spool_scan_next(struct spool_scan *scan, struct spool_frame *ret_frame, const uint8_t **ret_payload);

#endif
