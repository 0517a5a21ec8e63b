/*
 * The file that survives kill -9. Never syncs and never waits. Called by live.c, restart.c and stream.c.
 *
 * Every store that makes others count is the last of its kind (a count raised behind the row it counts), so that a kill
 * between two instructions leaves the state before or after. The file is only read by the same program on the same
 * machine in the same boot: host byte order, native alignment, and a version that changes with the layout.
 */
#include "collectord/books.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "proto/event.pb-c.h"

/* Raised with every change of the structures below. */
#define BOOKS_VERSION 1u
#define BOOKS_MAGIC 0x736b6f6fu

/* Runs of missing serials reported one by one; more become one loss with an upper bound. */
#define MAX_RUNS 16u

/* Bytes of a boot id with its NUL: 36 characters. */
#define BOOT_ID_BYTES 40u

enum run_state { RUN_FREE = 0, RUN_OPEN = 1 };

struct mark {
	uint64_t sequence;
	uint32_t lost;
	struct serials_snapshot done;
};

struct early {
	uint32_t serial;
	uint64_t sequence;
};

struct run {
	uint32_t state;     /* enum run_state */
	uint32_t reading;   /* 1: the source was open */
	uint32_t base, top; /* first serial of this run, highest read */
	uint32_t has_base, has_top;
	uint32_t lost_at_start;
	uint64_t epoch;
	uint64_t acked;
	uint64_t n_marks; /* ever written: row n % BOOKS_MARKS */
	uint64_t n_early;
	struct early early[BOOKS_EARLY];
	struct books_loss owed[BOOKS_OWED]; /* events 0: a free row */
	struct mark marks[BOOKS_MARKS];
};

struct file {
	uint32_t magic, version;
	uint64_t size;
	char boot_id[BOOT_ID_BYTES];
	uint32_t has_kernel;
	struct audit_status kernel;
	struct run runs[BOOKS_RUNS];
};

struct books {
	struct file *file;
	struct run *run; /* this one */
};

/* A store that comes after everything before it in program order, as a killed process leaves it. */
static void
commit_u64(uint64_t *where, uint64_t value)
{
	__atomic_store_n(where, value, __ATOMIC_RELEASE);
}

static void
commit_u32(uint32_t *where, uint32_t value)
{
	__atomic_store_n(where, value, __ATOMIC_RELEASE);
}

static bool
is_valid(const struct file *f, const char *boot_id)
{
	return f->magic == BOOKS_MAGIC && f->version == BOOKS_VERSION && f->size == sizeof(*f) &&
	       strncmp(f->boot_id, boot_id, sizeof(f->boot_id)) == 0;
}

static void
make_empty(struct file *f, const char *boot_id)
{
	(void)memset(f, 0, sizeof(*f));
	f->version = BOOKS_VERSION;
	f->size = sizeof(*f);
	(void)snprintf(f->boot_id, sizeof(f->boot_id), "%s", boot_id);
	commit_u32(&f->magic, BOOKS_MAGIC);
}

/* The open run with the lowest epoch above `after`; NULL when there is none. */
static struct run *
oldest_after(const struct books *b, uint64_t after)
{
	struct run *found = NULL;

	for (size_t i = 0; i < BOOKS_RUNS; i++) {
		struct run *r = &b->file->runs[i];

		if (r != b->run && r->state == RUN_OPEN && r->epoch > after &&
		    (found == NULL || r->epoch < found->epoch))
			found = r;
	}
	return found;
}

static void
claim_run(struct books *b, uint64_t epoch)
{
	struct run *r = NULL;

	for (size_t i = 0; i < BOOKS_RUNS && r == NULL; i++)
		if (b->file->runs[i].state == RUN_FREE)
			r = &b->file->runs[i];
	b->run = r;
	(void)memset(r, 0, sizeof(*r));
	r->epoch = epoch;
	commit_u32(&r->state, RUN_OPEN);
}

int
books_open(int dirfd, const char *boot_id, uint64_t epoch, struct books **ret)
{
	AUTO_FD int fd = openat(dirfd, "books", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	AUTO_FREE struct books *b = calloc(1, sizeof(*b));
	size_t n_open = 0;

	if (fd < 0)
		return -errno;
	if (b == NULL)
		return -ENOMEM;
	if (ftruncate(fd, sizeof(struct file)) < 0)
		return -errno;
	b->file = mmap(NULL, sizeof(struct file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (b->file == MAP_FAILED)
		return -errno;
	if (!is_valid(b->file, boot_id))
		make_empty(b->file, boot_id);
	for (size_t i = 0; i < BOOKS_RUNS; i++)
		n_open += b->file->runs[i].state == RUN_OPEN;
	if (n_open == BOOKS_RUNS) {
		/* No place is free: the oldest run gives up its own, and what it lost is owed by the next one, as an
		 * upper bound. */
		uint64_t oldest = oldest_after(b, 0)->epoch;

		b->run = oldest_after(b, oldest);
		(void)books_resolve(b, oldest, 0, true);
		b->run = NULL;
	}
	claim_run(b, epoch);
	*ret = b;
	b = NULL;
	return 0;
}

void
books_close(struct books *b)
{
	if (b == NULL)
		return;
	(void)munmap(b->file, sizeof(*b->file));
	free(b);
}

void
books_started(struct books *b, uint32_t base, uint32_t lost)
{
	struct run *r = b->run;
	struct serials none;

	r->base = base;
	r->lost_at_start = lost;
	commit_u32(&r->has_base, 1);
	/* Marks begin with "nothing was dealt with but what came before". */
	none.late = 0;
	serials_start(&none, base);
	books_mark(b, r->n_marks > 0 ? r->marks[(r->n_marks - 1) % BOOKS_MARKS].sequence : 0, &none, lost);
	commit_u32(&r->reading, 1);
}

void
books_stopped(struct books *b)
{
	commit_u32(&b->run->reading, 0);
}

void
books_read(struct books *b, uint32_t serial)
{
	struct run *r = b->run;

	if (r->has_top && !serial_before(r->top, serial))
		return;
	r->top = serial;
	commit_u32(&r->has_top, 1);
}

void
books_mark(struct books *b, uint64_t sequence, const struct serials *s, uint32_t lost)
{
	struct run *r = b->run;
	struct mark *m = &r->marks[r->n_marks % BOOKS_MARKS];

	m->sequence = sequence;
	m->lost = lost;
	serials_snapshot(s, &m->done);
	commit_u64(&r->n_marks, r->n_marks + 1);
}

void
books_early(struct books *b, uint32_t serial, uint64_t sequence)
{
	struct run *r = b->run;

	if (r->n_early == BOOKS_EARLY)
		return;
	r->early[r->n_early] = (struct early){serial, sequence};
	commit_u64(&r->n_early, r->n_early + 1);
}

void
books_acked(struct books *b, uint64_t sequence)
{
	struct run *r = b->run;

	if (sequence <= r->acked)
		return;
	commit_u64(&r->acked, sequence);
	for (size_t i = 0; i < BOOKS_OWED; i++)
		if (r->owed[i].sequence != 0 && r->owed[i].sequence <= sequence)
			commit_u64(&r->owed[i].events, 0);
}

/* No row is free: one that is not queued takes the loss in. */
static void
merge_loss(struct run *r, const struct books_loss *loss)
{
	for (size_t i = 0; i < BOOKS_OWED; i++) {
		struct books_loss *row = &r->owed[i];

		if (row->sequence != 0)
			continue;
		row->upper_bound = 1;
		if (loss->first_serial < row->first_serial)
			row->first_serial = loss->first_serial;
		if (loss->last_serial > row->last_serial)
			row->last_serial = loss->last_serial;
		commit_u64(&row->events, row->events + loss->events);
		return;
	}
}

void
books_owe(struct books *b, const struct books_loss *loss)
{
	struct run *r = b->run;

	if (loss->events == 0)
		return;
	for (size_t i = 0; i < BOOKS_OWED; i++) {
		struct books_loss *row = &r->owed[i];

		if (row->events != 0)
			continue;
		*row = *loss;
		row->events = 0;
		row->sequence = 0;
		commit_u64(&row->events, loss->events);
		return;
	}
	merge_loss(r, loss);
}

void
books_dropped(struct books *b, uint32_t serial)
{
	struct run *r = b->run;

	for (size_t i = 0; i < BOOKS_OWED; i++) {
		struct books_loss *row = &r->owed[i];

		if (row->events == 0 || row->sequence != 0 || row->epoch != 0 ||
		    row->stage != PICKET__V1__LOSS_STAGE__LOSS_STAGE_QUEUE)
			continue;
		if (serial != 0 && (row->first_serial == 0 || serial < row->first_serial))
			row->first_serial = serial;
		if (serial > row->last_serial)
			row->last_serial = serial;
		commit_u64(&row->events, row->events + 1);
		return;
	}
	books_owe(b, &(struct books_loss){.stage = PICKET__V1__LOSS_STAGE__LOSS_STAGE_QUEUE,
			 .events = 1,
			 .first_serial = serial,
			 .last_serial = serial});
}

void
books_settled(struct books_loss *loss)
{
	commit_u64(&loss->events, 0);
}

struct books_loss *
books_owed(struct books *b)
{
	for (size_t i = 0; i < BOOKS_OWED; i++)
		if (b->run->owed[i].events != 0 && b->run->owed[i].sequence == 0)
			return &b->run->owed[i];
	return NULL;
}

void
books_finish(struct books *b)
{
	commit_u32(&b->run->state, RUN_FREE);
}

/* ---- runs before this one ---- */

uint64_t
books_prior(const struct books *b, size_t i)
{
	uint64_t epoch = 0;

	do {
		const struct run *r = oldest_after(b, epoch);

		if (r == NULL)
			return 0;
		epoch = r->epoch;
	} while (i-- > 0);
	return epoch;
}

bool
books_base(const struct books *b, uint32_t *ret_base)
{
	const struct run *last = NULL;

	for (size_t i = 0; i < BOOKS_RUNS; i++) {
		const struct run *r = &b->file->runs[i];

		if (r != b->run && r->state == RUN_OPEN && (last == NULL || r->epoch > last->epoch))
			last = r;
	}
	if (last == NULL || !last->reading || !last->has_base)
		return false;
	*ret_base = last->has_top && !serial_before(last->top, last->base) ? last->top + 1 : last->base;
	return true;
}

/* Newest mark at or before a sequence; NULL when the run read nothing. */
static const struct mark *
mark_at(const struct run *r, uint64_t sequence)
{
	uint64_t oldest = r->n_marks > BOOKS_MARKS ? r->n_marks - BOOKS_MARKS : 0;

	for (uint64_t n = r->n_marks; n > oldest; n--)
		if (r->marks[(n - 1) % BOOKS_MARKS].sequence <= sequence)
			return &r->marks[(n - 1) % BOOKS_MARKS];
	return NULL;
}

/* A later run got this serial whole. */
static bool
seen_later(const struct books *b, const struct run *lost, uint32_t serial)
{
	for (size_t i = 0; i < BOOKS_RUNS; i++) {
		const struct run *r = &b->file->runs[i];

		if (r->state != RUN_OPEN || r->epoch <= lost->epoch)
			continue;
		for (uint64_t j = 0; j < r->n_early; j++)
			if (r->early[j].serial == serial)
				return true;
	}
	return false;
}

/* Missing serials of a run, gathered to runs of consecutive ones. */
struct missing {
	struct books_loss runs[MAX_RUNS];
	size_t n;
	uint64_t events;
};

static void
add_missing(struct missing *m, const struct run *r, uint32_t serial, bool unsure)
{
	struct books_loss *last = m->n > 0 ? &m->runs[m->n - 1] : NULL;

	m->events++;
	if (last != NULL && (last->last_serial + 1 == serial || m->n == MAX_RUNS)) {
		last->upper_bound = last->upper_bound || last->last_serial + 1 != serial;
		last->last_serial = serial;
		last->events++;
		return;
	}
	m->runs[m->n++] = (struct books_loss){
	    .stage = PICKET__V1__LOSS_STAGE__LOSS_STAGE_RESTART,
	    .upper_bound = unsure,
	    .events = 1,
	    .first_serial = serial,
	    .last_serial = serial,
	    .epoch = r->epoch,
	};
}

/* A loss of this serial was found by the run itself, and the statement is passed on: not to be counted twice. */
static bool
is_stated(const struct run *r, uint32_t serial, uint64_t durable)
{
	for (size_t i = 0; i < BOOKS_OWED; i++) {
		const struct books_loss *o = &r->owed[i];

		if (o->events != 0 && o->epoch == 0 && o->stage != PICKET__V1__LOSS_STAGE__LOSS_STAGE_QUEUE &&
		    (o->sequence == 0 || o->sequence > durable) && serial >= o->first_serial &&
		    serial <= o->last_serial)
			return true;
	}
	return false;
}

static void
find_missing(const struct books *b, const struct run *r, const struct mark *mark, uint64_t durable, bool unsure,
    struct missing *ret)
{
	uint32_t serial = mark->done.base;

	*ret = (struct missing){0};
	for (uint64_t i = 0; i < r->n_early; i++)
		if (r->early[i].sequence > durable)
			add_missing(ret, r, r->early[i].serial, unsure);
	if (!r->has_top)
		return;
	for (; !serial_before(r->top, serial); serial++)
		if (!serials_snapshot_has(&mark->done, serial) && !seen_later(b, r, serial) &&
		    !is_stated(r, serial, durable))
			add_missing(ret, r, serial, unsure);
}

/* The kernel's lost counter at the start of the run after `r`; its own last value when there is none. */
static uint32_t
lost_after(const struct books *b, const struct run *r, uint32_t otherwise)
{
	const struct run *next = NULL;

	for (size_t i = 0; i < BOOKS_RUNS; i++) {
		const struct run *x = &b->file->runs[i];

		if (x->state == RUN_OPEN && x->epoch > r->epoch && x->has_base &&
		    (next == NULL || x->epoch < next->epoch))
			next = x;
	}
	return next != NULL ? next->lost_at_start : otherwise;
}

/* A loss of `r` may be owed already: a kill came between that and freeing its place. */
static bool
is_owed_already(const struct books *b, const struct run *r)
{
	for (size_t i = 0; i < BOOKS_OWED; i++)
		if (b->run->owed[i].events != 0 && b->run->owed[i].epoch == r->epoch)
			return true;
	return false;
}

uint64_t
books_resolve(struct books *b, uint64_t epoch, uint64_t durable, bool unsure)
{
	struct run *r = oldest_after(b, epoch - 1);
	const struct mark *mark;
	struct missing missing = {0};

	if (r == NULL || r->epoch != epoch)
		return 0;
	if (durable < r->acked)
		durable = r->acked;
	mark = mark_at(r, durable);
	if (mark != NULL && !is_owed_already(b, r)) {
		uint32_t lost = lost_after(b, r, mark->lost) - mark->lost;

		find_missing(b, r, mark, durable, unsure, &missing);
		for (size_t i = 0; i < missing.n; i++)
			books_owe(b, &missing.runs[i]);
		if (lost > 0 && lost < INT32_MAX)
			books_owe(b, &(struct books_loss){.stage = PICKET__V1__LOSS_STAGE__LOSS_STAGE_KERNEL,
					 .upper_bound = 1,
					 .events = lost,
					 .epoch = r->epoch});
		/* Losses it had found and could not deliver. */
		for (size_t i = 0; i < BOOKS_OWED; i++) {
			struct books_loss owed = r->owed[i];

			if (owed.events == 0 || (owed.sequence != 0 && owed.sequence <= durable))
				continue;
			if (owed.epoch == 0)
				owed.epoch = r->epoch;
			books_owe(b, &owed);
		}
	}
	commit_u32(&r->state, RUN_FREE);
	return missing.events;
}

/* ---- the kernel's settings ---- */

bool
books_kernel(const struct books *b, struct audit_status *ret)
{
	if (!b->file->has_kernel)
		return false;
	*ret = b->file->kernel;
	return true;
}

void
books_kernel_save(struct books *b, const struct audit_status *status)
{
	if (status == NULL) {
		commit_u32(&b->file->has_kernel, 0);
		return;
	}
	b->file->kernel = *status;
	commit_u32(&b->file->has_kernel, 1);
}
