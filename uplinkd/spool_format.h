/*
 * The spool on disk, as pure functions. All numbers are little-endian.
 *
 * A segment file NNNNNNNNNNNNNNNN.seg is its header, twice, and then frames, one behind the other:
 *
 *   frame header (44 bytes)                          payload
 *   magic version kind type length index stored_s    `length` bytes, as received
 *   payload_crc epoch sequence header_crc
 *
 * - Header and payload have a checksum each: a damaged payload costs one record, a damaged header costs the records up
 * to the next frame.
 * - The checksum of frame headers is salted with a random number from the segment's header: bytes inside a payload,
 * which a user of the host may choose, never pass for a frame.
 * - `index` counts the frames of a segment, so that a gap says how many are missing.
 * - A COMMIT frame has no payload. It is written, without waiting, after an fdatasync that succeeded: it proves that
 * everything before it was on disk. What lies behind the last COMMIT and is damaged was torn by a power cut and had
 * never been acknowledged.
 *
 * The header of a segment also says where the one before it ends and what had been stored up to there, per epoch: so
 * the backlog can be counted, and dropped with exact numbers, without reading it.
 */
#ifndef PICKET_UPLINKD_SPOOL_FORMAT_H
#define PICKET_UPLINKD_SPOOL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Epochs remembered: two producers (collectord and a feed), each with a run per restart; more than eight restarts while
 * away are rare. */
#define SPOOL_EPOCHS 16

/* What is known of one producer's run. */
struct spool_epoch {
	uint64_t epoch;
	uint64_t sequence; /* the last one, 0: none */
	uint64_t events;   /* how many, ever */
};

/* Used longest ago first; a new epoch pushes the first one out. */
struct spool_epochs {
	struct spool_epoch list[SPOOL_EPOCHS];
	uint32_t n;
};

/* A place in the spool, between two records, and what lies before it. */
struct spool_mark {
	uint64_t segment;
	uint64_t ordinal; /* events before it, ever */
	uint64_t bytes;   /* payload bytes before it, ever */
	uint32_t offset;  /* in the segment's file */
	uint32_t index;   /* frame number in the segment of what comes next */
	struct spool_epochs epochs;
};

/* Each copy of the segment header in its own disk sector. */
#define SPOOL_HEADER_COPY 512u
#define SPOOL_HEADER_BYTES (2u * SPOOL_HEADER_COPY)

struct spool_header {
	uint64_t id;
	uint64_t first_ordinal; /* events before this segment, ever */
	uint64_t first_bytes;   /* payload bytes before this segment, ever */
	uint64_t prev_id;       /* segment before this one; 0: none */
	uint32_t prev_end;      /* where its frames end */
	uint32_t salt;
	uint32_t
	    prev_stored_s; /* when the last record before this segment was stored: wall clock, seconds since 1970 */
	struct spool_epochs epochs;
};

/* Writes SPOOL_HEADER_BYTES. */
void spool_header_encode(const struct spool_header *header, uint8_t *out);

/* From SPOOL_HEADER_BYTES; either copy will do. Returns 0, or -EBADMSG when both are damaged. */
int spool_header_decode(const uint8_t *in, struct spool_header *ret);

enum spool_kind {
	SPOOL_KIND_EVENT = 1,
	SPOOL_KIND_COMMIT = 2,
};

#define SPOOL_FRAME_BYTES 44u

struct spool_frame {
	enum spool_kind kind;
	uint8_t type; /* EventType of the record; decides what is dropped last */
	uint32_t length;
	uint32_t index;
	uint32_t stored_s; /* wall clock, seconds since 1970 */
	uint32_t payload_crc;
	uint64_t epoch;
	uint64_t sequence;
};

/* Writes SPOOL_FRAME_BYTES. */
void spool_frame_encode(const struct spool_frame *frame, uint32_t salt, uint8_t *out);

/* From SPOOL_FRAME_BYTES. Returns 0, or -EBADMSG. A length above `max_payload` is damage too. */
int spool_frame_decode(const uint8_t *in, uint32_t salt, uint32_t max_payload, struct spool_frame *ret);

/* Give an encoded frame its place: index, salt and so its checksum. Returns its length with payload. */
size_t spool_frame_stamp(uint8_t *frame, uint32_t index, uint32_t salt);

/* The place where a segment begins. */
struct spool_mark spool_header_mark(const struct spool_header *header);

/* The bytes every frame begins with, for searching. */
#define SPOOL_FRAME_MAGIC_BYTES 4u
extern const uint8_t spool_frame_magic[SPOOL_FRAME_MAGIC_BYTES];

/* ---- epochs ---- */

/* What is known of an epoch, or NULL. */
const struct spool_epoch *spool_epochs_find(const struct spool_epochs *epochs, uint64_t epoch);

/* Count one more event. The epoch becomes the one used last. */
void spool_epochs_add(struct spool_epochs *epochs, uint64_t epoch, uint64_t sequence);

/* ---- bytes ---- */
struct spool_writer {
	uint8_t *p;
};
struct spool_reader {
	const uint8_t *p;
};
void spool_put_u8(struct spool_writer *w, uint8_t v);
void spool_put_u32(struct spool_writer *w, uint32_t v);
void spool_put_u64(struct spool_writer *w, uint64_t v);
uint8_t spool_get_u8(struct spool_reader *r);
uint32_t spool_get_u32(struct spool_reader *r);
uint64_t spool_get_u64(struct spool_reader *r);

#define SPOOL_EPOCHS_BYTES (4u + SPOOL_EPOCHS * 24u)
void spool_epochs_encode(const struct spool_epochs *epochs, struct spool_writer *w);
int spool_epochs_decode(struct spool_reader *r, struct spool_epochs *ret);

#endif
