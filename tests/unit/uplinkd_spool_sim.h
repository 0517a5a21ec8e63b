/*
 * A simulated disk for the spool: page cache and platter are kept apart, so that a power cut can lose, tear and reorder
 * what was not synced.
 *
 * sim_power_cut() leaves on the platter what fdatasync and fsyncdir promised, and any part of the rest; sim_kill()
 * keeps the page cache. The n-th operation can be made the last one before a crash, or fail with an errno. Included by
 * one test program at a time.
 */
#ifndef PICKET_TEST_SPOOL_SIM_H
#define PICKET_TEST_SPOOL_SIM_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uplinkd/spool_io.h"

#define SIM_INODES 64
#define SIM_SECTOR 512u

struct sim_bytes {
	uint8_t *p;
	size_t len, cap;
};

enum sim_op_kind { SIM_WRITE, SIM_RESIZE };

struct sim_op {
	enum sim_op_kind kind;
	uint64_t offset; /* of SIM_RESIZE: the new size */
	uint8_t *data;
	size_t len;
};

struct sim_inode {
	bool used;
	int handles;
	struct sim_bytes cache, platter;
	struct sim_op *ops; /* done in the cache, not on the platter yet */
	size_t n_ops, cap_ops;
};

struct sim_entry {
	char name[40];
	int inode;
};

struct sim_dir {
	struct sim_entry entries[SIM_INODES];
	size_t n;
};

struct sim {
	uint64_t rng;
	uint64_t now_ms;
	struct sim_inode inodes[SIM_INODES];
	struct sim_dir cache, platter;
	struct sim_dir *history; /* directory after each change since the last fsyncdir */
	size_t n_history, cap_history;
	uint64_t capacity; /* bytes of all files; 0: no limit */
	uint64_t ops;      /* operations so far */
	uint64_t crash_at; /* this operation is the last; 0: none */
	uint64_t fail_at;  /* this operation fails; 0: none */
	int fail_errno;
	uint64_t fail_sync_one_in; /* one in so many fdatasyncs fails; 0: none */
	bool reorder;
	bool dead;
};

static inline uint64_t
sim_random(struct sim *sim)
{
	/* xorshift64*: fast and the same everywhere. */
	sim->rng ^= sim->rng >> 12;
	sim->rng ^= sim->rng << 25;
	sim->rng ^= sim->rng >> 27;
	return sim->rng * UINT64_C(0x2545F4914F6CDD1D);
}

static inline bool
sim_one_in(struct sim *sim, uint64_t n)
{
	return sim_random(sim) % n == 0;
}

static inline void
sim_bytes_resize(struct sim_bytes *b, size_t len)
{
	if (len > b->cap) {
		b->cap = len > 2 * b->cap ? len : 2 * b->cap;
		b->p = realloc(b->p, b->cap);
		assert(b->p != NULL);
	}
	if (len > b->len)
		memset(b->p + b->len, 0, len - b->len);
	b->len = len;
}

static inline void
sim_bytes_write(struct sim_bytes *b, uint64_t offset, const uint8_t *data, size_t len)
{
	if (offset + len > b->len)
		sim_bytes_resize(b, offset + len);
	if (len > 0)
		memcpy(b->p + offset, data, len);
}

static inline void
sim_ops_clear(struct sim_inode *inode)
{
	for (size_t i = 0; i < inode->n_ops; i++)
		free(inode->ops[i].data);
	inode->n_ops = 0;
}

static inline void
sim_ops_add(struct sim_inode *inode, enum sim_op_kind kind, uint64_t offset, const void *data, size_t len)
{
	struct sim_op op = {.kind = kind, .offset = offset, .len = len};

	if (len > 0) {
		op.data = malloc(len);
		assert(op.data != NULL);
		memcpy(op.data, data, len);
	}
	if (inode->n_ops == inode->cap_ops) {
		inode->cap_ops = inode->cap_ops > 0 ? 2 * inode->cap_ops : 8;
		inode->ops = realloc(inode->ops, inode->cap_ops * sizeof(*inode->ops));
		assert(inode->ops != NULL);
	}
	inode->ops[inode->n_ops++] = op;
}

/* Returns 0 to go on, 1 to crash in the middle of this operation, or the error to return. */
static inline int
sim_step(struct sim *sim)
{
	if (sim->dead)
		return -EIO;
	sim->ops++;
	if (sim->ops == sim->crash_at) {
		sim->dead = true;
		return 1;
	}
	return sim->ops == sim->fail_at ? -sim->fail_errno : 0;
}

static inline int
sim_find(const struct sim_dir *dir, const char *name)
{
	for (size_t i = 0; i < dir->n; i++)
		if (strcmp(dir->entries[i].name, name) == 0)
			return (int)i;
	return -1;
}

static inline void
sim_dir_changed(struct sim *sim)
{
	if (sim->n_history == sim->cap_history) {
		sim->cap_history = sim->cap_history > 0 ? 2 * sim->cap_history : 8;
		sim->history = realloc(sim->history, sim->cap_history * sizeof(*sim->history));
		assert(sim->history != NULL);
	}
	sim->history[sim->n_history++] = sim->cache;
}

static inline void
sim_dir_remove(struct sim_dir *dir, int at)
{
	dir->entries[at] = dir->entries[--dir->n];
}

/* Inodes that no directory names any more. */
static inline void
sim_collect(struct sim *sim)
{
	for (int i = 0; i < SIM_INODES; i++) {
		bool named = false;

		for (size_t k = 0; k < sim->cache.n; k++)
			named |= sim->cache.entries[k].inode == i;
		for (size_t k = 0; k < sim->platter.n; k++)
			named |= sim->platter.entries[k].inode == i;
		for (size_t h = 0; h < sim->n_history && !named; h++)
			for (size_t k = 0; k < sim->history[h].n; k++)
				named |= sim->history[h].entries[k].inode == i;
		if (!named && sim->inodes[i].used && sim->inodes[i].handles == 0) {
			sim_ops_clear(&sim->inodes[i]);
			sim->inodes[i].used = false;
		}
	}
}

static int
sim_open(void *ctx, const char *name, enum spool_io_open how)
{
	struct sim *sim = ctx;
	int r = sim_step(sim);
	int at = sim_find(&sim->cache, name);
	int inode = 0;

	if (r < 0 || (r > 0 && how != SPOOL_IO_CREATE))
		return r < 0 ? r : -EIO;
	if (how != SPOOL_IO_CREATE) {
		if (at < 0)
			return -ENOENT;
		sim->inodes[sim->cache.entries[at].inode].handles++;
		return sim->cache.entries[at].inode;
	}
	if (at >= 0)
		return -EEXIST;
	if (r > 0 && sim_one_in(sim, 2))
		return -EIO;
	sim_collect(sim);
	while (inode < SIM_INODES && sim->inodes[inode].used)
		inode++;
	assert(inode < SIM_INODES);
	sim->inodes[inode].used = true;
	sim->inodes[inode].cache.len = sim->inodes[inode].platter.len = 0;
	(void)snprintf(sim->cache.entries[sim->cache.n].name, sizeof(sim->cache.entries[0].name), "%s", name);
	sim->cache.entries[sim->cache.n++].inode = inode;
	sim_dir_changed(sim);
	if (r > 0)
		return -EIO;
	sim->inodes[inode].handles = 1;
	return inode;
}

static void
sim_close(void *ctx, int file)
{
	((struct sim *)ctx)->inodes[file].handles--;
}

static inline uint64_t
sim_used(const struct sim *sim)
{
	uint64_t used = 0;

	for (size_t i = 0; i < sim->cache.n; i++)
		used += sim->inodes[sim->cache.entries[i].inode].cache.len;
	return used;
}

static inline bool
sim_fits(const struct sim *sim, const struct sim_inode *inode, uint64_t len)
{
	return sim->capacity == 0 || len <= inode->cache.len || sim_used(sim) + len - inode->cache.len <= sim->capacity;
}

static int
sim_pwrite(void *ctx, int file, const void *data, size_t len, uint64_t offset)
{
	struct sim *sim = ctx;
	struct sim_inode *inode = &sim->inodes[file];
	int r = sim_step(sim);

	if (r < 0)
		return r;
	if (!sim_fits(sim, inode, offset + len))
		return -ENOSPC;
	if (r > 0)
		len = sim_random(sim) % (len + 1);
	sim_bytes_write(&inode->cache, offset, data, len);
	sim_ops_add(inode, SIM_WRITE, offset, data, len);
	return r > 0 ? -EIO : 0;
}

static int64_t
sim_pread(void *ctx, int file, void *data, size_t len, uint64_t offset)
{
	struct sim *sim = ctx;
	const struct sim_bytes *b = &sim->inodes[file].cache;
	int r = sim_step(sim);

	if (r != 0)
		return r < 0 ? r : -EIO;
	if (offset >= b->len)
		return 0;
	if (len > b->len - offset)
		len = b->len - offset;
	memcpy(data, b->p + offset, len);
	return (int64_t)len;
}

static int
sim_fdatasync(void *ctx, int file)
{
	struct sim *sim = ctx;
	struct sim_inode *inode = &sim->inodes[file];
	int r = sim_step(sim);

	if (r > 0)
		return -EIO;
	if (r == 0 && sim->fail_sync_one_in > 0 && sim_one_in(sim, sim->fail_sync_one_in))
		r = -EIO;
	if (r < 0) {
		/* As Linux does: the pages stay in the cache, are called clean, and never reach the platter. */
		sim_ops_clear(inode);
		return r;
	}
	for (size_t i = 0; i < inode->n_ops; i++) {
		const struct sim_op *op = &inode->ops[i];

		if (op->kind == SIM_RESIZE)
			sim_bytes_resize(&inode->platter, op->offset);
		else
			sim_bytes_write(&inode->platter, op->offset, op->data, op->len);
	}
	sim_ops_clear(inode);
	return 0;
}

static int
sim_resize(struct sim *sim, int file, uint64_t len, bool shrink)
{
	struct sim_inode *inode = &sim->inodes[file];
	int r = sim_step(sim);

	if (r < 0)
		return r;
	if (!sim_fits(sim, inode, len))
		return -ENOSPC;
	if (!shrink && len < inode->cache.len)
		return 0;
	if (r == 0 || sim_one_in(sim, 2)) {
		sim_bytes_resize(&inode->cache, len);
		sim_ops_add(inode, SIM_RESIZE, len, NULL, 0);
	}
	return r > 0 ? -EIO : 0;
}

static int
sim_fallocate(void *ctx, int file, uint64_t len)
{
	return sim_resize(ctx, file, len, false);
}

static int
sim_truncate(void *ctx, int file, uint64_t len)
{
	return sim_resize(ctx, file, len, true);
}

static int
sim_rename(void *ctx, const char *from, const char *to)
{
	struct sim *sim = ctx;
	int r = sim_step(sim);
	int at = sim_find(&sim->cache, from), old = sim_find(&sim->cache, to);

	if (r < 0)
		return r;
	if (at < 0)
		return -ENOENT;
	if (r == 0 || sim_one_in(sim, 2)) {
		(void)snprintf(sim->cache.entries[at].name, sizeof(sim->cache.entries[0].name), "%s", to);
		if (old >= 0)
			sim_dir_remove(&sim->cache, old);
		sim_dir_changed(sim);
	}
	return r > 0 ? -EIO : 0;
}

static int
sim_unlink(void *ctx, const char *name)
{
	struct sim *sim = ctx;
	int r = sim_step(sim);
	int at = sim_find(&sim->cache, name);

	if (r < 0)
		return r;
	if (at < 0)
		return -ENOENT;
	if (r == 0 || sim_one_in(sim, 2)) {
		sim_dir_remove(&sim->cache, at);
		sim_dir_changed(sim);
	}
	return r > 0 ? -EIO : 0;
}

static int
sim_fsyncdir(void *ctx)
{
	struct sim *sim = ctx;
	int r = sim_step(sim);

	if (r != 0)
		return r < 0 ? r : -EIO;
	sim->platter = sim->cache;
	sim->n_history = 0;
	return 0;
}

static int
sim_list(void *ctx, spool_io_each each, void *arg)
{
	struct sim *sim = ctx;
	int r = sim_step(sim);

	if (r != 0)
		return r < 0 ? r : -EIO;
	for (size_t i = 0; i < sim->cache.n; i++)
		each(sim->cache.entries[i].name, sim->inodes[sim->cache.entries[i].inode].cache.len, arg);
	return 0;
}

static uint64_t
sim_wall_ms(void *ctx)
{
	return ((struct sim *)ctx)->now_ms;
}

static uint64_t
sim_random_bits(void *ctx)
{
	return sim_random(ctx);
}

static inline struct spool_io
sim_io(struct sim *sim)
{
	static const struct spool_io_ops ops = {
	    .open = sim_open,
	    .close = sim_close,
	    .pwrite = sim_pwrite,
	    .pread = sim_pread,
	    .fdatasync = sim_fdatasync,
	    .fallocate = sim_fallocate,
	    .truncate = sim_truncate,
	    .rename = sim_rename,
	    .unlink = sim_unlink,
	    .fsyncdir = sim_fsyncdir,
	    .list = sim_list,
	    .wall_ms = sim_wall_ms,
	    .random = sim_random_bits,
	};

	return (struct spool_io){.ops = &ops, .ctx = sim};
}

static inline struct sim *
sim_new(uint64_t seed)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	assert(sim != NULL);
	sim->rng = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	sim->now_ms = UINT64_C(1800000000000);
	return sim;
}

static inline void
sim_free(struct sim *sim)
{
	for (int i = 0; i < SIM_INODES; i++) {
		sim_ops_clear(&sim->inodes[i]);
		free(sim->inodes[i].ops);
		free(sim->inodes[i].cache.p);
		free(sim->inodes[i].platter.p);
	}
	free(sim->history);
	free(sim);
}

/* The process is gone and will be started again; the machine went on. */
static inline void
sim_kill(struct sim *sim)
{
	sim->dead = false;
	sim->crash_at = sim->fail_at = 0;
	for (int i = 0; i < SIM_INODES; i++)
		sim->inodes[i].handles = 0;
	sim_collect(sim);
}

/* Apply an operation that was not synced: whole, not at all, or sector by sector. */
static inline void
sim_settle(struct sim *sim, struct sim_inode *inode, const struct sim_op *op)
{
	if (op->kind == SIM_RESIZE) {
		sim_bytes_resize(&inode->platter, op->offset);
		return;
	}
	for (size_t done = 0; done < op->len;) {
		size_t step = SIM_SECTOR - (op->offset + done) % SIM_SECTOR;

		if (step > op->len - done)
			step = op->len - done;
		if (!sim->reorder || !sim_one_in(sim, 3))
			sim_bytes_write(&inode->platter, op->offset + done, op->data + done, step);
		done += step;
	}
}

static inline void
sim_power_cut(struct sim *sim)
{
	if (sim->n_history > 0) {
		size_t kept = sim_random(sim) % (sim->n_history + 1);

		if (kept > 0)
			sim->platter = sim->history[kept - 1];
	}
	sim->n_history = 0;
	sim->cache = sim->platter;
	for (int i = 0; i < SIM_INODES; i++) {
		struct sim_inode *inode = &sim->inodes[i];
		size_t kept = inode->n_ops > 0 ? sim_random(sim) % (inode->n_ops + 1) : 0;

		for (size_t k = 0; k < inode->n_ops; k++) {
			if (sim->reorder ? sim_one_in(sim, 2) : k >= kept)
				continue;
			if (!sim->reorder && k + 1 == kept && inode->ops[k].kind == SIM_WRITE)
				inode->ops[k].len = sim_random(sim) % (inode->ops[k].len + 1);
			sim_settle(sim, inode, &inode->ops[k]);
		}
		sim_ops_clear(inode);
		sim_bytes_resize(&inode->cache, 0);
		sim_bytes_write(&inode->cache, 0, inode->platter.p, inode->platter.len);
	}
	sim_kill(sim);
}

#endif
