/*
 * Steps through the fields of one protobuf message. Never looks into nested messages and never reads past the end.
 * Called by telemetry.c and columns.c for every record: keep it small.
 */
#include "server/wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Bytes of the longest varint: 64 bits in groups of 7. */
#define WIRE_VARINT_MAX 10

/* Field numbers are 29 bits (protobuf's own limit). */
#define WIRE_NUMBER_MAX ((UINT64_C(1) << 29) - 1)

static int
read_long_varint(struct wire *w, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < WIRE_VARINT_MAX; i++) {
		if (w->p == w->end)
			return -EBADMSG;
		uint8_t byte = *w->p++;
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			/* The tenth byte holds one bit. */
			if (i == WIRE_VARINT_MAX - 1 && byte > 1)
				return -EBADMSG;
			*ret = value;
			return 0;
		}
	}
	return -EBADMSG;
}

/* Most tags, lengths and numbers of an event are below 128. */
static inline int
read_varint(struct wire *w, uint64_t *ret)
{
	if (w->p != w->end && *w->p < 0x80) {
		*ret = *w->p++;
		return 0;
	}
	return read_long_varint(w, ret);
}

static int
read_fixed(struct wire *w, size_t size, uint64_t *ret)
{
	uint64_t value = 0;

	if ((size_t)(w->end - w->p) < size)
		return -EBADMSG;
	memcpy(&value, w->p, size);
	w->p += size;
	*ret = le64toh(value);
	return 0;
}

static int
read_bytes(struct wire *w, struct wire_field *field)
{
	uint64_t len;

	if (read_varint(w, &len) < 0 || len > (uint64_t)(w->end - w->p))
		return -EBADMSG;
	field->data = w->p;
	field->len = (size_t)len;
	w->p += len;
	return 0;
}

int
wire_next(struct wire *w, struct wire_field *ret_field)
{
	struct wire_field field = {0};
	uint64_t tag;
	int r;

	if (w->p == w->end)
		return 0;
	if (read_varint(w, &tag) < 0 || tag >> 3 == 0 || tag >> 3 > WIRE_NUMBER_MAX)
		return -EBADMSG;
	field.number = (uint32_t)(tag >> 3);
	field.type = (enum wire_type)(tag & 7);
	switch (field.type) {
	case WIRE_VARINT:
		r = read_varint(w, &field.value);
		break;
	case WIRE_FIXED64:
		r = read_fixed(w, 8, &field.value);
		break;
	case WIRE_BYTES:
		r = read_bytes(w, &field);
		break;
	case WIRE_FIXED32:
		r = read_fixed(w, 4, &field.value);
		break;
	default:
		r = -EBADMSG;
		break;
	}
	if (r < 0)
		return r;
	*ret_field = field;
	return 1;
}
