/* The account of what the spool gave up. Pure; never touches a file. Called by spool*.c and delivery.c. */
#include "uplinkd/spool_loss.h"

#include <errno.h>
#include <string.h>

const char *
spool_reason_name(enum spool_reason reason)
{
	switch (reason) {
	case SPOOL_REASON_UNSET:
	case SPOOL_REASON_COUNT:
		break;
	case SPOOL_REASON_SIZE:
		return "size";
	case SPOOL_REASON_AGE:
		return "age";
	case SPOOL_REASON_FULL:
		return "disk-full";
	case SPOOL_REASON_DAMAGED:
		return "damaged";
	case SPOOL_REASON_MISSING:
		return "missing";
	case SPOOL_REASON_REFUSED:
		return "refused";
	case SPOOL_REASON_MIXED:
		return "mixed";
	}
	return "unset";
}

/* An open entry that the loss continues, or NULL. */
static struct spool_loss *
find_open(struct spool_losses *losses, const struct spool_loss *loss)
{
	for (uint32_t i = 0; i < losses->n; i++) {
		struct spool_loss *l = &losses->list[i];

		if (l->own_sequence == 0 && l->epoch == loss->epoch && l->reason == loss->reason &&
		    l->upper_bound == loss->upper_bound)
			return l;
	}
	return NULL;
}

/* Any open entry, turned into one that mixes. One exists whenever the set is full: half of it is never closed. */
static struct spool_loss *
make_mixed(struct spool_losses *losses)
{
	struct spool_loss *mixed = NULL;

	for (uint32_t i = 0; i < losses->n; i++) {
		struct spool_loss *l = &losses->list[i];

		if (l->own_sequence == 0 && (mixed == NULL || l->reason == SPOOL_REASON_MIXED))
			mixed = l;
	}
	if (mixed != NULL && mixed->reason != SPOOL_REASON_MIXED) {
		mixed->epoch = mixed->first_sequence = mixed->last_sequence = 0;
		mixed->reason = SPOOL_REASON_MIXED;
	}
	return mixed;
}

void
spool_losses_add(struct spool_losses *losses, const struct spool_loss *loss)
{
	struct spool_loss *l;

	if (loss->events == 0)
		return;
	l = find_open(losses, loss);
	if (l == NULL && losses->n < SPOOL_LOSSES) {
		l = &losses->list[losses->n++];
		*l = *loss;
		l->own_sequence = 0;
		return;
	}
	if (l == NULL) {
		l = make_mixed(losses);
		l->upper_bound |= loss->upper_bound;
	} else if (loss->first_sequence == 0 || l->first_sequence == 0) {
		l->first_sequence = l->last_sequence = 0;
	} else {
		l->first_sequence = loss->first_sequence < l->first_sequence ? loss->first_sequence : l->first_sequence;
		l->last_sequence = loss->last_sequence > l->last_sequence ? loss->last_sequence : l->last_sequence;
	}
	l->events += loss->events;
}

void
spool_losses_merge(struct spool_losses *losses, const struct spool_losses *more)
{
	for (uint32_t i = 0; i < more->n; i++)
		spool_losses_add(losses, &more->list[i]);
}

uint32_t
spool_losses_close(struct spool_losses *losses, uint64_t *next_sequence)
{
	uint32_t closed = 0, now = 0;

	for (uint32_t i = 0; i < losses->n; i++)
		closed += losses->list[i].own_sequence != 0;
	for (uint32_t i = 0; i < losses->n && closed < SPOOL_LOSSES_CLOSED; i++) {
		if (losses->list[i].own_sequence != 0)
			continue;
		losses->list[i].own_sequence = (*next_sequence)++;
		closed++;
		now++;
	}
	return now;
}

void
spool_losses_done(struct spool_losses *losses, uint64_t own_sequence)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < losses->n; i++)
		if (losses->list[i].own_sequence == 0 || losses->list[i].own_sequence > own_sequence)
			losses->list[kept++] = losses->list[i];
	losses->n = kept;
}

uint64_t
spool_losses_events(const struct spool_losses *losses)
{
	uint64_t events = 0;

	for (uint32_t i = 0; i < losses->n; i++)
		events += losses->list[i].events;
	return events;
}

void
spool_losses_encode(const struct spool_losses *losses, struct spool_writer *w)
{
	spool_put_u32(w, losses->n);
	for (uint32_t i = 0; i < SPOOL_LOSSES; i++) {
		struct spool_loss l = i < losses->n ? losses->list[i] : (struct spool_loss){0};

		spool_put_u64(w, l.epoch);
		spool_put_u64(w, l.first_sequence);
		spool_put_u64(w, l.last_sequence);
		spool_put_u64(w, l.events);
		spool_put_u64(w, l.own_sequence);
		spool_put_u8(w, (uint8_t)l.reason);
		spool_put_u8(w, l.upper_bound);
	}
}

int
spool_losses_decode(struct spool_reader *r, struct spool_losses *ret)
{
	ret->n = spool_get_u32(r);
	if (ret->n > SPOOL_LOSSES)
		return -EBADMSG;
	for (uint32_t i = 0; i < SPOOL_LOSSES; i++) {
		struct spool_loss *l = &ret->list[i];
		uint8_t reason;

		l->epoch = spool_get_u64(r);
		l->first_sequence = spool_get_u64(r);
		l->last_sequence = spool_get_u64(r);
		l->events = spool_get_u64(r);
		l->own_sequence = spool_get_u64(r);
		reason = spool_get_u8(r);
		l->upper_bound = spool_get_u8(r) != 0;
		if (reason >= SPOOL_REASON_COUNT)
			return -EBADMSG;
		l->reason = (enum spool_reason)reason;
	}
	return 0;
}

void
spool_losses_between(struct spool_losses *losses, const struct spool_mark *from, const struct spool_mark *to,
    enum spool_reason reason, bool upper_bound)
{
	uint64_t left = to->ordinal > from->ordinal ? to->ordinal - from->ordinal : 0;

	for (uint32_t i = 0; i < to->epochs.n && left > 0; i++) {
		const struct spool_epoch *after = &to->epochs.list[i];
		const struct spool_epoch *before = spool_epochs_find(&from->epochs, after->epoch);
		uint64_t events = after->events - (before != NULL ? before->events : 0);

		if (after->events <= (before != NULL ? before->events : 0))
			continue;
		if (events > left)
			events = left;
		left -= events;
		spool_losses_add(losses, &(struct spool_loss){
					     .epoch = after->epoch,
					     .first_sequence = before != NULL ? before->sequence + 1 : 1,
					     .last_sequence = after->sequence,
					     .events = events,
					     .reason = reason,
					     .upper_bound = upper_bound,
					 });
	}
	spool_losses_add(losses, &(struct spool_loss){.events = left, .reason = reason, .upper_bound = upper_bound});
}
