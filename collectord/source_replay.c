/*
 * A recorded log, line by line. Reads large pieces into one buffer and hands out slices of it; a line that continues in
 * the next piece is moved to the front. Never seeks, never allocates after the start. Called by replay.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "collectord/source.h"
#include "common/limits.h"

/* Bytes read at once: fits the second-level cache with room for the rest (larger is slower: measured), and holds
 * sixteen longest lines. */
#define READ_BYTES KIB(256)

struct replay {
	struct source source; /* first */
	struct source_sink sink;
	size_t kept;   /* bytes of an unfinished line at the start of the buffer */
	bool skipping; /* inside a line that is too long: up to its newline */
	bool at_end;
	uint8_t buffer[READ_BYTES + RECORD_PAD];
};

static void
take_line(struct replay *r, const uint8_t *line, size_t len)
{
	struct record record;
	enum record_fault fault;

	if (r->skipping) {
		r->skipping = false;
		fault = RECORD_TOO_LONG;
	} else {
		fault = record_parse_line(line, len, &record);
	}
	if (fault == RECORD_OK)
		r->sink.on_record(&record, r->sink.ctx);
	else
		r->sink.on_fault(fault, r->sink.ctx);
}

/* Every whole line of the first `len` bytes; what is left moves to the front. */
static void
take_lines(struct replay *r, size_t len)
{
	uint8_t *p = r->buffer, *end = p + len, *newline;

	while ((newline = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		take_line(r, p, (size_t)(newline - p));
		p = newline + 1;
	}
	r->kept = (size_t)(end - p);
	if (r->kept > RECORD_MAX_BYTES) {
		r->skipping = true;
		r->kept = 0;
	}
	if (r->kept > 0)
		(void)memmove(r->buffer, p, r->kept);
}

static int
replay_read(struct source *source)
{
	struct replay *r = (struct replay *)source;
	ssize_t n;

	if (r->at_end)
		return -ENODATA;
	n = read(r->source.fd, r->buffer + r->kept, READ_BYTES - r->kept);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (n > 0) {
		take_lines(r, r->kept + (size_t)n);
		return 1;
	}
	r->at_end = true;
	/* The last line may lack its newline; it counts as whole when it can be read. */
	if (r->kept > 0 || r->skipping)
		take_line(r, r->buffer, r->kept);
	return -ENODATA;
}

static void
replay_close(struct source *source)
{
	(void)close(source->fd);
	free(source);
}

int
source_replay_open(int fd, const struct source_sink *sink, struct source **ret)
{
	struct replay *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->source = (struct source){.read = replay_read, .close = replay_close, .fd = fd};
	r->sink = *sink;
	*ret = &r->source;
	return 0;
}
