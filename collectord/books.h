/*
 * What a run of collectord must leave behind when it is killed at any instruction: which audit serials were dealt with
 * when each batch was closed, which batches uplinkd has on disk, the highest serial read, and losses that were found
 * but not yet delivered. With it the next run can say exactly which events are missing. A shared mapping of one file: a
 * killed process's stores stay; after a reboot the file is void (serials start anew), so nothing is ever synced.
 *
 * A run that could not be asked about yet (uplinkd was away) keeps its place, for BOOKS_RUNS runs.
 */
#ifndef PICKET_COLLECTORD_BOOKS_H
#define PICKET_COLLECTORD_BOOKS_H

#include <linux/audit.h>
#include <stdbool.h>
#include <stdint.h>

#include "collectord/queue.h"
#include "collectord/serials.h"

/* Runs remembered, this one included: a crash a second is remembered for a quarter of a minute without an answer from
 * uplinkd. */
#define BOOKS_RUNS 16u

/* Marks kept of a run: one for each batch that can be in the queue, and the last acknowledged one. */
#define BOOKS_MARKS (QUEUE_BATCHES + 8u)

/* Losses found but not delivered: more are merged into the last. */
#define BOOKS_OWED 64u

/* Serials below a run's first that it saw all the same: events that were under way when the run before it died. */
#define BOOKS_EARLY 64u

/* A loss that was found, as it is to be reported. */
struct books_loss {
	uint32_t stage;       /* Picket__V1__LossStage */
	uint32_t upper_bound; /* 0 or 1 */
	uint64_t events;
	uint64_t first_serial, last_serial;
	uint64_t epoch;    /* of the run that lost them; 0: this one */
	uint64_t sequence; /* of the event that reports it; 0: not queued yet */
};

struct books;

/*
 * books_open - map STATE/collectord/books.
 * @boot_id: of the kernel, a text; a file of another boot is emptied.
 * @epoch:   of this run.
 * Returns 0 or a negative errno; free with books_close(), which leaves the file as after a kill.
 */
int books_open(int dirfd, const char *boot_id, uint64_t epoch, struct books **ret);
void books_close(struct books *b);

/* ---- this run ---- */

/* books_started - events are read from `base` on. @lost: the kernel's lost counter now. */
void books_started(struct books *b, uint32_t base, uint32_t lost);

/* books_stopped - the source was closed in order: what comes later is not this run's business. */
void books_stopped(struct books *b);

/* books_read - a record with this serial was read. On the hot path: two loads and at most one store. */
void books_read(struct books *b, uint32_t serial);

/* books_mark - a batch that ends with `sequence` was closed; everything in `s` was dealt with by then. */
void books_mark(struct books *b, uint64_t sequence, const struct serials *s, uint32_t lost);

/* books_early - a serial before `base` came and was given `sequence`. */
void books_early(struct books *b, uint32_t serial, uint64_t sequence);

/* books_acked - uplinkd has everything up to `sequence`: losses reported by then are settled. */
void books_acked(struct books *b, uint64_t sequence);

/* books_owe - a loss that must be reported, even by a later run. */
void books_owe(struct books *b, const struct books_loss *loss);

/* books_dropped - the event with this serial (0: none) did not fit in the queue: one loss for all of them until it is
 * queued. */
void books_dropped(struct books *b, uint32_t serial);

/* books_settled - a loss that needs no report after all. */
void books_settled(struct books_loss *loss);

/* books_owed - the next loss without a sequence; NULL when there is none. The caller sets its sequence once it is
 * queued. */
struct books_loss *books_owed(struct books *b);

/* books_finish - everything is acknowledged and the source closed: the next run has nothing to ask. */
void books_finish(struct books *b);

/* ---- runs before this one ---- */

/*
 * books_prior - runs before this one whose fate is not settled: number i from the oldest.
 * Returns its epoch, or 0 when there is none.
 */
uint64_t books_prior(const struct books *b, size_t i);

/*
 * books_base - where the last run of the same boot stopped reading, when it did not stop in order: this run's business
 * begins there. Returns false when there is none: it begins with the first serial that comes.
 */
bool books_base(const struct books *b, uint32_t *ret_base);

/*
 * books_resolve - settle a run before this one: what uplinkd does not have of it becomes losses owed by this run, and
 * its place is free.
 * @durable: last sequence of that epoch that uplinkd has; 0 when it does not know.
 * @unsure:  nobody could be asked: the losses are upper bounds.
 * Returns how many events are missing.
 */
uint64_t books_resolve(struct books *b, uint64_t epoch, uint64_t durable, bool unsure);

/* ---- what the kernel's settings were before us ---- */

/* books_kernel - the values saved in this boot; false when there are none. */
bool books_kernel(const struct books *b, struct audit_status *ret);

/* books_kernel_save - NULL forgets them. */
void books_kernel_save(struct books *b, const struct audit_status *status);

#endif
