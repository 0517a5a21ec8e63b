/* For tests of collectord: text into padded buffers, lines into a pipeline, the last event out of it. */
#ifndef PICKET_TESTS_COLLECTORD_FEED_H
#define PICKET_TESTS_COLLECTORD_FEED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the above first */
#include <cmocka.h>

#include "collectord/pipeline.h"
#include "collectord/record.h"

/* A copy on the heap of exactly the text and the pad, so that the sanitizer sees every byte read behind it. Free it. */
static inline uint8_t *
feed_padded(const void *text, size_t len)
{
	uint8_t *p = malloc(len + RECORD_PAD);

	assert_non_null(p);
	(void)memcpy(p, text, len);
	(void)memset(p + len, '=', RECORD_PAD); /* the worst that could stand there */
	return p;
}

/* The same numbers in every run (xorshift). */
static uint64_t feed_random_state = UINT64_C(88172645463325252);

static inline uint32_t
feed_random(void)
{
	feed_random_state ^= feed_random_state << 13;
	feed_random_state ^= feed_random_state >> 7;
	feed_random_state ^= feed_random_state << 17;
	return (uint32_t)(feed_random_state >> 32);
}

/* Parse a line and hand it to the sink. */
static inline enum record_fault
feed_line(const struct source_sink *sink, const char *line)
{
	size_t len = strlen(line);
	uint8_t *p = feed_padded(line, len);
	struct record record;
	enum record_fault fault = record_parse_line(p, len, &record);

	if (fault == RECORD_OK)
		sink->on_record(&record, sink->ctx);
	else
		sink->on_fault(fault, sink->ctx);
	free(p);
	return fault;
}

#endif
