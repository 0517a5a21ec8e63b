/*
 * The way of a record through collectord: assemble, normalise, exclude. Counts what goes in, what comes out and where
 * the rest went: records     = every line or message that was a record audit_events = events + ignored + excluded +
 * pieces
 */
#ifndef PICKET_COLLECTORD_PIPELINE_H
#define PICKET_COLLECTORD_PIPELINE_H

#include <stdint.h>

#include "collectord/assemble.h"
#include "collectord/filter.h"
#include "collectord/normalise.h"
#include "collectord/record.h"
#include "collectord/source.h"

struct pipeline_stats {
	uint64_t records;
	uint64_t malformed; /* sum of the faults below */
	uint64_t faults[RECORD_FAULTS];
	uint64_t audit_events;
	uint64_t events;   /* handed to on_event */
	uint64_t ignored;  /* audit events that Picket does not report */
	uint64_t excluded; /* by a rule of the administrator */
	uint64_t pieces;   /* audit events whose main record never came */
};

struct pipeline_conf {
	struct normalise_conf normalise;
	/* Borrowed until it returns. */
	void (*on_event)(const Picket__V1__Event *event, void *ctx);
	/* The audit event with this serial is done: whole, whatever came of it. After on_event. NULL: nobody asks. */
	void (*on_serial)(uint32_t serial, void *ctx);
	void *ctx;
	bool clock_from_records; /* replay: time is the newest time stamp; else pipeline_set_clock() says it */
};

struct pipeline;

/* pipeline_new - NULL when out of memory; free with pipeline_free(). */
struct pipeline *pipeline_new(const struct pipeline_conf *conf);
void pipeline_free(struct pipeline *p);

/* pipeline_sink - for a source: records go in here. */
struct source_sink pipeline_sink(struct pipeline *p);

/* pipeline_set_clock - milliseconds, never going back; hands on events that have waited too long. Returns how many stay
 * open. */
uint32_t pipeline_set_clock(struct pipeline *p, uint64_t now_ms);

/* pipeline_flush - the input has ended: hand on what is open. */
void pipeline_flush(struct pipeline *p);

/* The exclusion rules in force; change them between records. */
struct filter *pipeline_filter(struct pipeline *p);

const struct pipeline_stats *pipeline_stats(const struct pipeline *p);
const struct assembler_stats *pipeline_assembler_stats(const struct pipeline *p);

#endif
