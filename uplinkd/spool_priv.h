/* What the files of the spool share: spool.c (write side), spool_read.c, spool_recover.c, spool_state.c,
 * spool_segment.c. */
#ifndef PICKET_UPLINKD_SPOOL_PRIV_H
#define PICKET_UPLINKD_SPOOL_PRIV_H

#include "uplinkd/spool.h"
#include "uplinkd/spool_scan.h"

/* A segment file that exists; the last of the list is the one being written, or the last one that was. */
struct spool_segment {
	uint64_t id;
	uint64_t bytes;
};

/* What survives beside the segments. */
struct spool_state {
	struct spool_mark frontier; /* the server has everything before it */
	struct spool_losses losses;
	uint64_t own_epoch; /* of LOSS events: wall clock in nanoseconds when the spool was created */
	uint64_t own_next;  /* sequence of the next LOSS event */
};

/* The two-slot file that holds it; see spool_state.c. */
struct spool_state_file {
	int file;          /* -1: must be made anew */
	unsigned int slot; /* to write next: the other one is on disk for sure */
	uint64_t generation;
};

/* The segment that spool_read() stands in. */
struct spool_reading {
	int file; /* -1: none */
	bool sealed;
	struct spool_header header;
	struct spool_scan scan;
};

struct spool {
	struct spool_io io;
	struct spool_conf conf;
	struct spool_stats stats;

	struct spool_segment *segments; /* by id */
	size_t n_segments, cap_segments;

	/* The segment being written. */
	int file;     /* -1: none, the next commit begins one */
	bool suspect; /* a write or fdatasync failed: do not touch the file again */
	struct spool_header header;
	uint32_t end;                                /* everything before it is on disk */
	uint32_t index;                              /* of the next event */
	uint64_t end_bytes;                          /* payload bytes before `end`, ever */
	uint32_t durable_stored_s, pending_stored_s; /* when the last record on disk, and in the group, was stored */
	struct spool_epochs durable;

	/* The open group: frames as they will be written, but for their place. */
	uint8_t *group;
	uint32_t group_len, group_cap, group_events;
	uint64_t group_bytes;
	struct spool_epochs pending; /* durable and the group */

	struct spool_state state;
	struct spool_state_file state_file;
	bool maybe_sent; /* records behind the frontier may be at the server already */

	struct spool_reading reading;
};

/* ---- spool_segment.c ---- */

#define SPOOL_NAME_BYTES 32
const char *spool_segment_name(uint64_t id, char *buf);

/* The id in a segment's file name. Returns 0 or -EINVAL. */
int spool_segment_id(const char *name, uint64_t *ret_id);

/* A new segment file with its first frames, on disk under its name. Returns its handle or a negative errno: there is
 * none then. */
int spool_segment_create(struct spool *spool, const struct spool_header *header, const uint8_t *frames, uint32_t len);

/* Open to read and check the header. Returns a handle; -EBADMSG when the header is damaged; or another negative errno.
 */
int spool_segment_open(struct spool *spool, uint64_t id, struct spool_header *ret_header);

/* Add to or take from the list in memory. */
int spool_segments_add(struct spool *spool, uint64_t id, uint64_t bytes);
void spool_segments_remove_first(struct spool *spool, size_t n);

/* Unlink the first n segments; their loss, if any, is accounted for already. */
void spool_segments_unlink_first(struct spool *spool, size_t n);

/* ---- spool_state.c ---- */
int spool_state_open(struct spool *spool);
void spool_state_close(struct spool *spool);
/* Survives kill -9 when it returns 0. */
int spool_state_write(struct spool *spool);
/* Survives a power cut when it returns 0. */
int spool_state_sync(struct spool *spool);

/* ---- spool_recover.c ---- */
int spool_recover(struct spool *spool);

/* ---- spool.c ---- */
/* Begin a new segment with the open group in it. */
int spool_roll(struct spool *spool);
/* The mark behind everything that is on disk. */
struct spool_mark spool_tail(const struct spool *spool);
/* Give up the oldest segment. -ENOSPC when there is only the last one. */
int spool_drop_oldest(struct spool *spool, enum spool_reason reason);
/* The header of segments[i], from memory or disk. */
int spool_header_of(struct spool *spool, size_t i, struct spool_header *ret);

/* ---- spool_read.c ---- */
void spool_reading_close(struct spool *spool);

#endif
