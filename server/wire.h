/*
 * A cursor over protobuf bytes that copies and allocates nothing: what the telemetry path reads is used in place.
 * (protobuf-c would make one object per record, and refuse what a newer agent adds.)
 */
#ifndef PICKET_SERVER_WIRE_H
#define PICKET_SERVER_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* https://protobuf.dev/programming-guides/encoding; groups (3 and 4) are not used and count as malformed. */
enum wire_type {
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_BYTES = 2,
	WIRE_FIXED32 = 5,
};

struct wire {
	const uint8_t *p;
	const uint8_t *end;
};

struct wire_field {
	uint32_t number;
	enum wire_type type;
	uint64_t value;      /* VARINT, FIXED64, FIXED32 */
	const uint8_t *data; /* BYTES: borrowed from the message */
	size_t len;
};

static inline struct wire
wire_open(const uint8_t *data, size_t len)
{
	return (struct wire){data, len == 0 ? data : data + len};
}

/*
 * wire_next - the next field of a message.
 * Returns 1 with *ret_field set, 0 at the end, or -EBADMSG when the bytes are not a protobuf message.
 */
int wire_next(struct wire *w, struct wire_field *ret_field);

#endif
