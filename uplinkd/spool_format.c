/* The spool's bytes: headers, frames, epochs. Pure; never touches a file. Called by spool*.c. */
#include "uplinkd/spool_format.h"

#include <errno.h>
#include <string.h>

#include "uplinkd/crc32c.h"

/* "PkSg" and "PkFr"; the first byte is not ASCII, so that a search rarely stops inside text. */
static const uint8_t header_magic[4] = {0xd0, 'P', 'S', 'g'};
const uint8_t spool_frame_magic[SPOOL_FRAME_MAGIC_BYTES] = {0xd1, 'P', 'F', 'r'};

/* Raised when a spool of the version before cannot be read. */
#define FORMAT_VERSION 1

/* Where a frame header holds what spool_frame_stamp() reads and writes. */
#define FRAME_LENGTH_AT 8
#define FRAME_INDEX_AT 12

void
spool_put_u8(struct spool_writer *w, uint8_t v)
{
	*w->p++ = v;
}

void
spool_put_u32(struct spool_writer *w, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		*w->p++ = (uint8_t)(v >> (8 * i));
}

void
spool_put_u64(struct spool_writer *w, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		*w->p++ = (uint8_t)(v >> (8 * i));
}

uint8_t
spool_get_u8(struct spool_reader *r)
{
	return *r->p++;
}

uint32_t
spool_get_u32(struct spool_reader *r)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v |= (uint32_t)*r->p++ << (8 * i);
	return v;
}

uint64_t
spool_get_u64(struct spool_reader *r)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v |= (uint64_t)*r->p++ << (8 * i);
	return v;
}

const struct spool_epoch *
spool_epochs_find(const struct spool_epochs *epochs, uint64_t epoch)
{
	/* From the end: the one asked for is nearly always the one used last. */
	for (uint32_t i = epochs->n; i-- > 0;)
		if (epochs->list[i].epoch == epoch)
			return &epochs->list[i];
	return NULL;
}

void
spool_epochs_add(struct spool_epochs *epochs, uint64_t epoch, uint64_t sequence)
{
	struct spool_epoch entry = {.epoch = epoch};
	const struct spool_epoch *known = spool_epochs_find(epochs, epoch);
	size_t gone = known != NULL ? (size_t)(known - epochs->list) : 0;

	if (known != NULL)
		entry = *known;
	if (known != NULL || epochs->n == SPOOL_EPOCHS) {
		memmove(&epochs->list[gone], &epochs->list[gone + 1], (epochs->n - gone - 1) * sizeof(entry));
		epochs->n--;
	}
	entry.sequence = sequence;
	entry.events++;
	epochs->list[epochs->n++] = entry;
}

void
spool_epochs_encode(const struct spool_epochs *epochs, struct spool_writer *w)
{
	spool_put_u32(w, epochs->n);
	for (size_t i = 0; i < SPOOL_EPOCHS; i++) {
		struct spool_epoch entry = i < epochs->n ? epochs->list[i] : (struct spool_epoch){0};

		spool_put_u64(w, entry.epoch);
		spool_put_u64(w, entry.sequence);
		spool_put_u64(w, entry.events);
	}
}

int
spool_epochs_decode(struct spool_reader *r, struct spool_epochs *ret)
{
	ret->n = spool_get_u32(r);
	for (size_t i = 0; i < SPOOL_EPOCHS; i++) {
		ret->list[i].epoch = spool_get_u64(r);
		ret->list[i].sequence = spool_get_u64(r);
		ret->list[i].events = spool_get_u64(r);
	}
	return ret->n <= SPOOL_EPOCHS ? 0 : -EBADMSG;
}

void
spool_header_encode(const struct spool_header *header, uint8_t *out)
{
	struct spool_writer w = {out};

	memset(out, 0, SPOOL_HEADER_BYTES);
	for (size_t i = 0; i < sizeof(header_magic); i++)
		spool_put_u8(&w, header_magic[i]);
	spool_put_u8(&w, FORMAT_VERSION);
	spool_put_u64(&w, header->id);
	spool_put_u64(&w, header->first_ordinal);
	spool_put_u64(&w, header->first_bytes);
	spool_put_u64(&w, header->prev_id);
	spool_put_u32(&w, header->prev_end);
	spool_put_u32(&w, header->salt);
	spool_put_u32(&w, header->prev_stored_s);
	spool_epochs_encode(&header->epochs, &w);
	_Static_assert(4 + 1 + 4 * 8 + 3 * 4 + SPOOL_EPOCHS_BYTES + 4 <= SPOOL_HEADER_COPY, "header fits its sector");
	w.p = out + SPOOL_HEADER_COPY - 4;
	spool_put_u32(&w, crc32c(0, out, SPOOL_HEADER_COPY - 4));
	memcpy(out + SPOOL_HEADER_COPY, out, SPOOL_HEADER_COPY);
}

static int
decode_copy(const uint8_t *in, struct spool_header *ret)
{
	struct spool_reader r = {in + SPOOL_HEADER_COPY - 4};

	if (memcmp(in, header_magic, sizeof(header_magic)) != 0 ||
	    spool_get_u32(&r) != crc32c(0, in, SPOOL_HEADER_COPY - 4))
		return -EBADMSG;
	r.p = in + sizeof(header_magic);
	if (spool_get_u8(&r) != FORMAT_VERSION)
		return -EBADMSG;
	ret->id = spool_get_u64(&r);
	ret->first_ordinal = spool_get_u64(&r);
	ret->first_bytes = spool_get_u64(&r);
	ret->prev_id = spool_get_u64(&r);
	ret->prev_end = spool_get_u32(&r);
	ret->salt = spool_get_u32(&r);
	ret->prev_stored_s = spool_get_u32(&r);
	return spool_epochs_decode(&r, &ret->epochs);
}

int
spool_header_decode(const uint8_t *in, struct spool_header *ret)
{
	int r = decode_copy(in, ret);

	return r < 0 ? decode_copy(in + SPOOL_HEADER_COPY, ret) : r;
}

struct spool_mark
spool_header_mark(const struct spool_header *header)
{
	return (struct spool_mark){
	    .segment = header->id,
	    .ordinal = header->first_ordinal,
	    .bytes = header->first_bytes,
	    .offset = SPOOL_HEADER_BYTES,
	    .epochs = header->epochs,
	};
}

void
spool_frame_encode(const struct spool_frame *frame, uint32_t salt, uint8_t *out)
{
	struct spool_writer w = {out};

	memcpy(w.p, spool_frame_magic, SPOOL_FRAME_MAGIC_BYTES);
	w.p += SPOOL_FRAME_MAGIC_BYTES;
	spool_put_u8(&w, FORMAT_VERSION);
	spool_put_u8(&w, (uint8_t)frame->kind);
	spool_put_u8(&w, frame->type);
	spool_put_u8(&w, 0);
	spool_put_u32(&w, frame->length);
	spool_put_u32(&w, frame->index);
	spool_put_u32(&w, frame->stored_s);
	spool_put_u32(&w, frame->payload_crc);
	spool_put_u64(&w, frame->epoch);
	spool_put_u64(&w, frame->sequence);
	spool_put_u32(&w, crc32c(salt, out, SPOOL_FRAME_BYTES - 4));
}

size_t
spool_frame_stamp(uint8_t *frame, uint32_t index, uint32_t salt)
{
	struct spool_reader r = {frame + FRAME_LENGTH_AT};
	struct spool_writer w = {frame + FRAME_INDEX_AT};

	spool_put_u32(&w, index);
	w.p = frame + SPOOL_FRAME_BYTES - 4;
	spool_put_u32(&w, crc32c(salt, frame, SPOOL_FRAME_BYTES - 4));
	return SPOOL_FRAME_BYTES + spool_get_u32(&r);
}

int
spool_frame_decode(const uint8_t *in, uint32_t salt, uint32_t max_payload, struct spool_frame *ret)
{
	struct spool_reader r = {in + SPOOL_FRAME_BYTES - 4};
	struct spool_frame frame;
	uint8_t version, kind, reserved;

	if (memcmp(in, spool_frame_magic, SPOOL_FRAME_MAGIC_BYTES) != 0 ||
	    spool_get_u32(&r) != crc32c(salt, in, SPOOL_FRAME_BYTES - 4))
		return -EBADMSG;
	r.p = in + SPOOL_FRAME_MAGIC_BYTES;
	version = spool_get_u8(&r);
	kind = spool_get_u8(&r);
	frame.type = spool_get_u8(&r);
	reserved = spool_get_u8(&r);
	frame.length = spool_get_u32(&r);
	frame.index = spool_get_u32(&r);
	frame.stored_s = spool_get_u32(&r);
	frame.payload_crc = spool_get_u32(&r);
	frame.epoch = spool_get_u64(&r);
	frame.sequence = spool_get_u64(&r);
	if (version != FORMAT_VERSION || reserved != 0 || frame.length > max_payload)
		return -EBADMSG;
	if (kind != SPOOL_KIND_EVENT && !(kind == SPOOL_KIND_COMMIT && frame.length == 0))
		return -EBADMSG;
	frame.kind = (enum spool_kind)kind;
	*ret = frame;
	return 0;
}
