/*
 * Events for people and for other software: one line of JSON with ECS names (Elastic Common Schema 8.11), or one line
 * of text.
 *
 * What ECS has no field for stands under "picket": serial, event type, epoch, loss. 64-bit ids are strings, because
 * JSON readers keep 53 bits.
 *
 * Bytes that are not UTF-8: JSON must be, the kernel's paths and arguments need not be. Each byte B (0x80..0xff) that
 * is not part of a valid UTF-8 character is written as the character U+EF00+B (U+EF80..U+EFFF, private use). A text
 * that really holds one of those 128 characters has its three bytes written the same way, so the way back is
 * unambiguous: replace each U+EF80..U+EFFF by the byte of its low eight bits, encode the rest as UTF-8.
 */
#ifndef PICKET_COMMON_ECS_H
#define PICKET_COMMON_ECS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/event.pb-c.h"

/* Who says so: all optional (NULL or 0 leaves the field out). */
struct ecs_meta {
	const char *host_name;
	const char *agent_id;
	uint64_t epoch;
	uint64_t sequence;
};

/*
 * ecs_write - one event as one line of JSON, newline included.
 * @meta: may be NULL.
 * Returns 0, or -EIO when the stream has an error (the caller's errno tells more).
 */
int ecs_write(FILE *out, const Picket__V1__Event *event, const struct ecs_meta *meta);

/*
 * ecs_summary - one line for a terminal, without newline: `process  pid 123 uid 0  /usr/bin/ls -l "/tmp/a b"`.
 * Control characters, quotes and bytes that are not UTF-8 appear as \n, \" or \xHH: nothing in it can drive a terminal.
 * Returns the length in buf, which is always terminated; what does not fit is cut and ends in "...".
 */
size_t ecs_summary(char *buf, size_t size, const Picket__V1__Event *event);

/* ecs_type_name - the name an analyst filters by, e.g. process_terminate; "unknown" for a number without a name. */
const char *ecs_type_name(Picket__V1__EventType type);

/*
 * ecs_utf8_length - how many bytes at `text` form one valid UTF-8 character (RFC 3629: no surrogates, no overlong
 * forms). Returns 1 to 4, or 0 when the first byte is not the start of one within `len`.
 */
size_t ecs_utf8_length(const uint8_t *text, size_t len);

#endif
