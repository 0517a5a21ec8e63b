/*
 * A strict reader of EventBatch { repeated EventRecord records = 2 } (telemetry.proto), so that telemetry passes
 * without being unpacked. Looks at epoch, sequence and type; the event itself stays opaque. Called by ingest.c.
 */
#include "uplinkd/wire.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "telemetry.pb-c.h"

/* Tags: field number and wire type. */
enum {
	TAG_RECORDS = 2 << 3 | 2,  /* EventBatch.records, length-delimited */
	TAG_EPOCH = 1 << 3 | 1,    /* EventRecord.epoch, 64 bits */
	TAG_SEQUENCE = 2 << 3 | 0, /* varint */
	TAG_TYPE = 3 << 3 | 0,     /* varint */
	TAG_EVENT = 4 << 3 | 2,    /* length-delimited */
};

/* Returns 0 with *at behind the number, or -EBADMSG. */
static int
get_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t byte;

		if (*at == end)
			return -EBADMSG;
		byte = *(*at)++;
		/* The tenth byte holds one bit. */
		if (shift == 63 && byte > 1)
			return -EBADMSG;
		value |= (uint64_t)(byte & 0x7fu) << shift;
		if ((byte & 0x80u) == 0) {
			*ret = value;
			return 0;
		}
	}
	return -EBADMSG;
}

static int
get_length(const uint8_t **at, const uint8_t *end, size_t *ret)
{
	uint64_t len;

	if (get_varint(at, end, &len) < 0 || len > (uint64_t)(end - *at))
		return -EBADMSG;
	*ret = (size_t)len;
	return 0;
}

static int
get_fixed64(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
	uint64_t value = 0;

	if (end - *at < 8)
		return -EBADMSG;
	for (unsigned int i = 0; i < 8; i++)
		value |= (uint64_t)(*at)[i] << (8 * i);
	*at += 8;
	*ret = value;
	return 0;
}

static int
get_type(const uint8_t **at, const uint8_t *end, uint8_t *ret)
{
	uint64_t type;

	if (get_varint(at, end, &type) < 0 || type == 0 || type > UINT8_MAX ||
	    protobuf_c_enum_descriptor_get_value(&picket__v1__event_type__descriptor, (int)type) == NULL)
		return -EBADMSG;
	*ret = (uint8_t)type;
	return 0;
}

static int
get_record(const uint8_t *at, const uint8_t *end, struct upl_record *ret)
{
	bool has_event = false;

	ret->epoch = ret->sequence = 0;
	ret->type = 0;
	while (at < end) {
		size_t len;
		int r;

		switch (*at++) {
		case TAG_EPOCH:
			r = ret->epoch == 0 ? get_fixed64(&at, end, &ret->epoch) : -EBADMSG;
			break;
		case TAG_SEQUENCE:
			r = ret->sequence == 0 ? get_varint(&at, end, &ret->sequence) : -EBADMSG;
			break;
		case TAG_TYPE:
			r = ret->type == 0 ? get_type(&at, end, &ret->type) : -EBADMSG;
			break;
		case TAG_EVENT:
			r = has_event ? -EBADMSG : get_length(&at, end, &len);
			has_event = true;
			at += r == 0 ? len : 0;
			break;
		default:
			return -EBADMSG;
		}
		if (r < 0)
			return r;
	}
	return ret->epoch != 0 && ret->sequence != 0 && ret->type != 0 && has_event ? 0 : -EBADMSG;
}

int
upl_batch_next(struct upl_batch *batch, struct upl_record *ret)
{
	const uint8_t *at = batch->at;
	size_t len;

	if (at == batch->end)
		return 0;
	ret->bytes = at;
	if (*at++ != TAG_RECORDS || get_length(&at, batch->end, &len) < 0 || get_record(at, at + len, ret) < 0)
		return -EBADMSG;
	batch->at = at + len;
	ret->len = (size_t)(batch->at - ret->bytes);
	return 1;
}

size_t
upl_put_varint(uint8_t *out, uint64_t value)
{
	size_t n = 0;

	while (value >= 0x80) {
		out[n++] = (uint8_t)(value | 0x80u);
		value >>= 7;
	}
	out[n++] = (uint8_t)value;
	return n;
}
