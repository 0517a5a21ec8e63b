/* Named counters: a struct of uint64_t fields and a table that names them. One table serves status reports, --stats and
 * the log. */
#ifndef PICKET_COMMON_STATS_H
#define PICKET_COMMON_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "ipc.h"

struct stats_name {
	const char *name; /* unit suffix where it is not a plain count: _ms, _bytes */
	size_t offset;    /* of a uint64_t */
};

/* Ends with name NULL. */
#define STATS_NAME(type, field)                                                                                        \
	{                                                                                                              \
#field, offsetof(type, field)                                                                          \
	}

struct stats_fact {
	const char *name;
	const char *value;
};

/*
 * stats_report - send a StatusReport over an open link.
 * @base: the struct the table describes.
 * Returns what ipc_send() returns.
 */
int stats_report(struct ipc_link *link, const struct stats_name *names, const void *base,
    const struct stats_fact *facts, size_t n_facts);

static inline uint64_t
stats_value(const struct stats_name *name, const void *base)
{
	return *(const uint64_t *)(const void *)((const char *)base + name->offset);
}

#endif
