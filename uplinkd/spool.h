/*
 * The spool: a bounded queue of telemetry records on disk, between collectord and the server.
 *
 * Promises. A record that spool_commit() covered is not lost by a kill -9 or a power cut at any instruction, and comes
 * out of spool_read() once the records before it have. What has to be given up (size, age, a full disk, damage) is
 * oldest first and counted exactly; the count survives as well. Opening costs the same whether the backlog is empty or
 * full. Memory does not grow with the backlog.
 *
 * Order of calls: open, then append ... append commit on the one side and read ... ack on the other, in any mixture.
 * One thread.
 */
#ifndef PICKET_UPLINKD_SPOOL_H
#define PICKET_UPLINKD_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uplinkd/spool_format.h"
#include "uplinkd/spool_io.h"
#include "uplinkd/spool_loss.h"

struct spool;

struct spool_conf {
	uint32_t segment_bytes; /* of a full segment file */
	uint32_t max_payload;   /* bytes of the largest record; larger ones are refused */
	uint64_t max_bytes;     /* of all segments together; at least four segments */
	uint64_t max_age_ms;    /* 0: no cap */
};

/* Since the spool was opened. */
struct spool_stats {
	uint64_t appended;   /* records on disk */
	uint64_t duplicates; /* records that were in the spool already */
	uint64_t oversize;   /* records refused for their size */
	uint64_t commits;
	uint64_t sync_failures;
	uint64_t damaged; /* records that no longer match their checksums */
	uint64_t torn;    /* starts that cut a torn tail */
	uint64_t dropped_size, dropped_age, dropped_full, dropped_missing;
	uint64_t state_lost; /* 1: the state file was unreadable, delivery started over from the oldest segment */
};

/* One record to store. The bytes are copied. */
struct spool_record {
	uint64_t epoch, sequence; /* neither is 0 */
	uint8_t type;             /* EventType */
	const uint8_t *bytes;
	size_t len;
};

/*
 * spool_open - open or create the spool, recovering what a crash left.
 * @conf: copied.
 * @io:   borrowed until spool_close().
 * Returns 0 or a negative errno: the disk does not work.
 */
int spool_open(const struct spool_conf *conf, const struct spool_io *io, struct spool **ret);

/* Forgets what was appended and not committed. NULL is fine. */
void spool_close(struct spool *spool);

/*
 * spool_append - add a record to the open group; nothing is on disk before spool_commit().
 * Returns 0; 1 when the spool has it already (then it is on disk or in the open group); -ENOBUFS when the group is
 * full: commit and try again; -EMSGSIZE; -EINVAL for a zero epoch or sequence.
 */
int spool_append(struct spool *spool, const struct spool_record *record);

/* Records in the open group. */
uint32_t spool_open_events(const struct spool *spool);

/*
 * spool_commit - put the open group on disk: one write, one fdatasync.
 * Makes room by dropping the oldest segments when the cap or the disk's end is reached. After a failed fdatasync the
 * segment is given up for writing and the group goes to a new one; when that fails too the error is returned and the
 * group stays open. Returns 0, -ENOSPC when nothing is left to drop, or another negative errno.
 */
int spool_commit(struct spool *spool);

/* The last sequence of an epoch that is on disk (or was, and is delivered); 0: not known. */
uint64_t spool_durable(const struct spool *spool, uint64_t epoch);

/* ---- the other end ---- */

struct spool_limits {
	uint32_t max_events;
	size_t max_bytes; /* of payload; one record is taken even when it is larger */
};

/* Records on their way to the server, as they were received, one behind the other. */
struct spool_package {
	struct spool_mark start, end;
	uint32_t events;
	struct spool_losses damage; /* what could not be read between start and end */
	uint8_t *bytes;             /* owned by the package */
	size_t len, capacity;
};

/* Frees the bytes; the package is empty afterwards. */
void spool_package_done(struct spool_package *package);

/* The first place whose records the server has not acknowledged. */
const struct spool_mark *spool_frontier(const struct spool *spool);

/*
 * spool_read - fill a package with the records behind a mark that are on disk.
 * @from:    spool_frontier(), or the end of the package before.
 * @package: empty, or used before (its memory is used again).
 * Returns 0. No events and end == start: nothing there yet. No events and end != start: all of it was damaged;
 * acknowledge it as well. Negative errno: out of memory.
 */
int spool_read(struct spool *spool, const struct spool_mark *from, const struct spool_limits *limits,
    struct spool_package *package);

/* The package is about to be sent: if it must be dropped later, whether the server has it is not known. */
void spool_sending(struct spool *spool);

/* False when the package starts before the frontier: the spool had to drop (and count) it. */
bool spool_is_current(const struct spool *spool, const struct spool_package *package);

/*
 * spool_ack - the server has the package. Packages are acknowledged in order.
 * Returns 0; -ESTALE when spool_is_current() says no; or the negative errno of the state file: the package will be sent
 * again after a restart.
 */
int spool_ack(struct spool *spool, const struct spool_package *package);

/* Records on disk that are not acknowledged, and their bytes. */
uint64_t spool_backlog_events(const struct spool *spool);
uint64_t spool_backlog_bytes(const struct spool *spool);

/* The same, behind a mark. */
uint64_t spool_events_behind(const struct spool *spool, const struct spool_mark *mark);
uint64_t spool_bytes_behind(const struct spool *spool, const struct spool_mark *mark);

/* Bytes of the segment files. */
uint64_t spool_disk_bytes(const struct spool *spool);

/* Drop what is over age. Call now and then. */
void spool_trim(struct spool *spool);

/* ---- what was lost ---- */

/*
 * spool_losses - close open entries, so that they can be sent; durable when it returns 0.
 * @ret: every entry, those with own_sequence != 0 are to be sent. Valid until the next call on the spool.
 */
int spool_losses(struct spool *spool, const struct spool_losses **ret);

/* Open or closed entries exist. */
bool spool_has_losses(const struct spool *spool);

/* The epoch of the LOSS events. */
uint64_t spool_own_epoch(const struct spool *spool);

/* The server has the LOSS events up to and with a sequence. */
int spool_losses_acked(struct spool *spool, uint64_t own_sequence);

/* Account for a package that will never be delivered; the caller then acknowledges it. */
void spool_give_up(struct spool *spool, struct spool_package *package);

const struct spool_stats *spool_stats(const struct spool *spool);

#endif
