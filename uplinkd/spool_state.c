/*
 * The spool's state file: two slots, each with generation and checksum; the newest that is whole counts.
 *
 * One slot is known to be on disk. Changes go to the other one, which the page cache keeps over a kill -9, and only
 * once it is synced do the slots change roles: so a torn write can never take both. After a failed fdatasync the file
 * is never trusted again: a new one replaces it. Knows nothing of segments. Called by the other spool files.
 */
#include <errno.h>
#include <string.h>

#include "uplinkd/crc32c.h"
#include "uplinkd/spool_priv.h"

#define STATE_NAME "state"
#define STATE_TEMPORARY "state.new"

/* One page per slot: the unit in which disks and page cache tear. */
#define SLOT_BYTES 4096u

static const uint8_t state_magic[4] = {0xd2, 'P', 'S', 't'};
#define STATE_VERSION 1

static void
encode(const struct spool *spool, uint8_t *out)
{
	const struct spool_state *state = &spool->state;
	struct spool_writer w = {out};

	memset(out, 0, SLOT_BYTES);
	for (size_t i = 0; i < sizeof(state_magic); i++)
		spool_put_u8(&w, state_magic[i]);
	spool_put_u8(&w, STATE_VERSION);
	spool_put_u64(&w, spool->state_file.generation);
	spool_put_u64(&w, state->frontier.segment);
	spool_put_u64(&w, state->frontier.ordinal);
	spool_put_u64(&w, state->frontier.bytes);
	spool_put_u32(&w, state->frontier.offset);
	spool_put_u32(&w, state->frontier.index);
	spool_epochs_encode(&state->frontier.epochs, &w);
	spool_put_u64(&w, state->own_epoch);
	spool_put_u64(&w, state->own_next);
	spool_losses_encode(&state->losses, &w);
	_Static_assert(5 + 4 * 8 + 2 * 4 + SPOOL_EPOCHS_BYTES + 2 * 8 + SPOOL_LOSSES_BYTES + 4 <= SLOT_BYTES,
	    "state fits its slot");
	w.p = out + SLOT_BYTES - 4;
	spool_put_u32(&w, crc32c(0, out, SLOT_BYTES - 4));
}

static int
decode(const uint8_t *in, struct spool_state *ret, uint64_t *ret_generation)
{
	struct spool_reader r = {in + SLOT_BYTES - 4};

	if (memcmp(in, state_magic, sizeof(state_magic)) != 0 || spool_get_u32(&r) != crc32c(0, in, SLOT_BYTES - 4))
		return -EBADMSG;
	r.p = in + sizeof(state_magic);
	if (spool_get_u8(&r) != STATE_VERSION)
		return -EBADMSG;
	*ret_generation = spool_get_u64(&r);
	ret->frontier.segment = spool_get_u64(&r);
	ret->frontier.ordinal = spool_get_u64(&r);
	ret->frontier.bytes = spool_get_u64(&r);
	ret->frontier.offset = spool_get_u32(&r);
	ret->frontier.index = spool_get_u32(&r);
	if (spool_epochs_decode(&r, &ret->frontier.epochs) < 0)
		return -EBADMSG;
	ret->own_epoch = spool_get_u64(&r);
	ret->own_next = spool_get_u64(&r);
	return spool_losses_decode(&r, &ret->losses);
}

void
spool_state_close(struct spool *spool)
{
	if (spool->state_file.file >= 0)
		spool->io.ops->close(spool->io.ctx, spool->state_file.file);
	spool->state_file.file = -1;
}

/* Replace the file by a new one that holds the state in both slots. */
static int
remake(struct spool *spool)
{
	const struct spool_io *io = &spool->io;
	uint8_t bytes[2 * SLOT_BYTES];
	int file, r;

	spool_state_close(spool);
	r = io->ops->unlink(io->ctx, STATE_TEMPORARY);
	if (r < 0 && r != -ENOENT)
		return r;
	file = io->ops->open(io->ctx, STATE_TEMPORARY, SPOOL_IO_CREATE);
	if (file < 0)
		return file;
	encode(spool, bytes);
	memcpy(bytes + SLOT_BYTES, bytes, SLOT_BYTES);
	r = io->ops->pwrite(io->ctx, file, bytes, sizeof(bytes), 0);
	if (r == 0)
		r = io->ops->fdatasync(io->ctx, file);
	if (r == 0)
		r = io->ops->rename(io->ctx, STATE_TEMPORARY, STATE_NAME);
	if (r == 0)
		r = io->ops->fsyncdir(io->ctx);
	if (r < 0) {
		io->ops->close(io->ctx, file);
		return r;
	}
	spool->state_file.file = file;
	spool->state_file.slot = 0;
	return 0;
}

int
spool_state_write(struct spool *spool)
{
	struct spool_state_file *f = &spool->state_file;
	uint8_t bytes[SLOT_BYTES];
	int r;

	f->generation++;
	if (f->file < 0)
		return remake(spool);
	encode(spool, bytes);
	r = spool->io.ops->pwrite(spool->io.ctx, f->file, bytes, sizeof(bytes), (uint64_t)f->slot * SLOT_BYTES);
	if (r < 0)
		return remake(spool);
	return 0;
}

int
spool_state_sync(struct spool *spool)
{
	struct spool_state_file *f = &spool->state_file;
	int r;

	r = spool_state_write(spool);
	if (r < 0)
		return r;
	r = spool->io.ops->fdatasync(spool->io.ctx, f->file);
	if (r < 0) {
		spool->stats.sync_failures++;
		return remake(spool);
	}
	f->slot ^= 1u;
	return 0;
}

static void
start_new(struct spool *spool)
{
	uint64_t now_ns =
	    spool->io.ops->wall_ms(spool->io.ctx) * 1000000u + spool->io.ops->random(spool->io.ctx) % 1000000u;

	spool->state = (struct spool_state){.own_epoch = now_ns, .own_next = 1};
	spool->state_file.generation = 0;
}

int
spool_state_open(struct spool *spool)
{
	const struct spool_io *io = &spool->io;
	struct spool_state_file *f = &spool->state_file;
	uint8_t bytes[2 * SLOT_BYTES];
	int64_t n;
	int r;
	bool found = false;

	start_new(spool);
	f->file = io->ops->open(io->ctx, STATE_NAME, SPOOL_IO_WRITE);
	if (f->file == -ENOENT)
		return spool_state_sync(spool);
	if (f->file < 0)
		return f->file;
	n = io->ops->pread(io->ctx, f->file, bytes, sizeof(bytes), 0);
	for (unsigned int slot = 0; n == (int64_t)sizeof(bytes) && slot < 2; slot++) {
		struct spool_state state;
		uint64_t generation;

		if (decode(bytes + (size_t)slot * SLOT_BYTES, &state, &generation) < 0 ||
		    (found && generation <= f->generation))
			continue;
		spool->state = state;
		f->generation = generation;
		f->slot = slot;
		found = true;
	}
	if (!found) {
		spool->stats.state_lost = 1;
		return remake(spool);
	}
	/*
	 * The newest slot may live in the page cache only: after a kill -9, or clean after a failed write. The same
	 * bytes once more make sure, and cannot tear what is on disk already.
	 */
	r = io->ops->pwrite(
	    io->ctx, f->file, bytes + (size_t)f->slot * SLOT_BYTES, SLOT_BYTES, (uint64_t)f->slot * SLOT_BYTES);
	if (r == 0)
		r = io->ops->fdatasync(io->ctx, f->file);
	if (r < 0) {
		spool->stats.sync_failures++;
		return remake(spool);
	}
	f->slot ^= 1u;
	return 0;
}
