/* The few bytes of an EventBatch that uplinkd reads: which records are in it. Pure; nothing is copied or allocated. */
#ifndef PICKET_UPLINKD_WIRE_H
#define PICKET_UPLINKD_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* One EventRecord of a batch. */
struct upl_record {
	uint64_t epoch, sequence;
	uint8_t type; /* EventType */
	const uint8_t
	    *bytes; /* the field with its tag, as it stands in the batch: goes into a TelemetryRequest unchanged */
	size_t len;
};

struct upl_batch {
	const uint8_t *at, *end;
};

/*
 * upl_batch_next - the next record.
 * Returns 1; 0 at the end; or -EBADMSG: not a packed EventBatch, a field that does not belong there or comes twice, or
 * one that is missing or out of range.
 */
int upl_batch_next(struct upl_batch *batch, struct upl_record *ret);

/* Write a varint. Returns its length, at most 10. */
size_t upl_put_varint(uint8_t *out, uint64_t value);

#endif
