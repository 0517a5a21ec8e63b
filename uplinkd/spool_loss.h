/*
 * What the spool had to give up and has not told the server yet. Pure.
 *
 * An entry is open while it may still grow, and closed once it has a sequence number in the spool's own epoch: from
 * then on it is one LOSS event that never changes, so that the server can drop it when it comes twice. The set lives in
 * the spool's state file, not in the spool: a full spool cannot lose the account of what it lost.
 */
#ifndef PICKET_UPLINKD_SPOOL_LOSS_H
#define PICKET_UPLINKD_SPOOL_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "uplinkd/spool_format.h"

enum spool_reason {
	SPOOL_REASON_UNSET = 0,
	SPOOL_REASON_SIZE,    /* size cap reached */
	SPOOL_REASON_AGE,     /* older than the age cap */
	SPOOL_REASON_FULL,    /* the disk was full */
	SPOOL_REASON_DAMAGED, /* frames that no longer match their checksums */
	SPOOL_REASON_MISSING, /* a segment file that is gone or unreadable */
	SPOOL_REASON_REFUSED, /* the server refused them for good and there was no room to set them aside */
	SPOOL_REASON_MIXED,   /* several of these: the set was full */
	SPOOL_REASON_COUNT,
};

struct spool_loss {
	uint64_t epoch;                         /* of the missing events; 0: several or not known */
	uint64_t first_sequence, last_sequence; /* 0: not known */
	uint64_t events;
	uint64_t own_sequence; /* 0: open */
	enum spool_reason reason;
	bool upper_bound; /* `events` is the most it can be */
};

#define SPOOL_LOSSES 16
/* Closed at one time: half, so that there is always an open place. */
#define SPOOL_LOSSES_CLOSED (SPOOL_LOSSES / 2)

struct spool_losses {
	struct spool_loss list[SPOOL_LOSSES];
	uint32_t n;
};

/* Add to an open entry of the same epoch and reason, else as a new one; when the set is full, to an entry that mixes.
 * Never loses count. */
void spool_losses_add(struct spool_losses *losses, const struct spool_loss *loss);

/* Add all of `more`. */
void spool_losses_merge(struct spool_losses *losses, const struct spool_losses *more);

/* Close open entries, numbering them on from *next_sequence. Returns how many were closed now. */
uint32_t spool_losses_close(struct spool_losses *losses, uint64_t *next_sequence);

/* Forget the closed entries up to and with a sequence: the server has them. */
void spool_losses_done(struct spool_losses *losses, uint64_t own_sequence);

/* Events in all entries. */
uint64_t spool_losses_events(const struct spool_losses *losses);

/* A word for LOSS events and the log. */
const char *spool_reason_name(enum spool_reason reason);

#define SPOOL_LOSSES_BYTES (4u + SPOOL_LOSSES * 42u)
void spool_losses_encode(const struct spool_losses *losses, struct spool_writer *w);
int spool_losses_decode(struct spool_reader *r, struct spool_losses *ret);

/*
 * spool_losses_between - what lies between two marks, per epoch, when all of it is given up.
 * The sum is exactly to->ordinal - from->ordinal; what cannot be given an epoch is added with epoch 0.
 */
void spool_losses_between(struct spool_losses *losses, const struct spool_mark *from, const struct spool_mark *to,
    enum spool_reason reason, bool upper_bound);

#endif
