/* Ties the stages together and keeps the books between them. Never reads or writes anything. Called by replay.c and
 * live.c. */
#include "collectord/pipeline.h"

#include <stdlib.h>

struct pipeline {
	struct pipeline_conf conf;
	struct pipeline_stats stats;
	struct assembler *assembler;
	struct normaliser *normaliser;
	struct filter *filter;
	uint64_t now_ms;
};

static void
on_audit_event(struct audit_event *e, void *ctx)
{
	struct pipeline *p = ctx;
	const Picket__V1__Event *event;

	p->stats.audit_events++;
	/* Parts of a system call without the call itself: nothing can be said about it, and its serial counts as
	 * missing. */
	if (!(e->parts & (EVENT_SYSCALL | EVENT_OTHER | EVENT_USER | EVENT_LOGIN))) {
		p->stats.pieces++;
		return;
	}
	event = normalise(p->normaliser, e);
	if (event == NULL) {
		p->stats.ignored++;
	} else if (filter_excludes(p->filter, event)) {
		p->stats.excluded++;
	} else {
		p->stats.events++;
		p->conf.on_event(event, p->conf.ctx);
	}
	if (p->conf.on_serial != NULL)
		p->conf.on_serial(e->serial, p->conf.ctx);
}

struct pipeline *
pipeline_new(const struct pipeline_conf *conf)
{
	struct pipeline *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->conf = *conf;
	p->assembler = assembler_new(on_audit_event, p);
	p->normaliser = normaliser_new(&conf->normalise);
	p->filter = filter_new();
	if (p->assembler == NULL || p->normaliser == NULL || p->filter == NULL) {
		pipeline_free(p);
		return NULL;
	}
	return p;
}

void
pipeline_free(struct pipeline *p)
{
	if (p == NULL)
		return;
	assembler_free(p->assembler);
	normaliser_free(p->normaliser);
	filter_free(p->filter);
	free(p);
}

static void
on_record(const struct record *record, void *ctx)
{
	struct pipeline *p = ctx;

	p->stats.records++;
	if (p->conf.clock_from_records && record->time_ms > p->now_ms)
		p->now_ms = record->time_ms;
	assembler_add(p->assembler, record, p->now_ms);
}

static void
on_fault(enum record_fault fault, void *ctx)
{
	struct pipeline *p = ctx;

	p->stats.malformed++;
	p->stats.faults[fault]++;
}

struct source_sink
pipeline_sink(struct pipeline *p)
{
	return (struct source_sink){.on_record = on_record, .on_fault = on_fault, .ctx = p};
}

uint32_t
pipeline_set_clock(struct pipeline *p, uint64_t now_ms)
{
	p->now_ms = now_ms;
	return assembler_expire(p->assembler, now_ms);
}

void
pipeline_flush(struct pipeline *p)
{
	assembler_flush(p->assembler);
}

struct filter *
pipeline_filter(struct pipeline *p)
{
	return p->filter;
}

const struct pipeline_stats *
pipeline_stats(const struct pipeline *p)
{
	return &p->stats;
}

const struct assembler_stats *
pipeline_assembler_stats(const struct pipeline *p)
{
	return assembler_stats(p->assembler);
}
