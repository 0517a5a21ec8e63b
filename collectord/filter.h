/* Telemetry exclusions: events of processes whose executable matches a mask are neither analysed further nor sent, but
 * counted. */
#ifndef PICKET_COLLECTORD_FILTER_H
#define PICKET_COLLECTORD_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/event.pb-c.h"

/* Bytes of a mask: PATH_MAX. */
#define FILTER_MASK_BYTES 4096u

/* Rules at once: agentd sends them all in one record. */
#define FILTER_RULES 1024u

struct filter;

/* filter_new - without rules. NULL when out of memory; free with filter_free(). */
struct filter *filter_new(void);
void filter_free(struct filter *f);

/* filter_clear - drop all rules; the counts of rules that filter_add() brings back are kept. */
void filter_clear(struct filter *f);

/*
 * filter_add - one more rule.
 * @mask: absolute path; * stands for any characters of one path element, ** for any characters, ? for one character but
 * a slash; copied. Returns 0, -EINVAL for a mask that is empty, too long or holds a NUL, -E2BIG when there are
 * FILTER_RULES already, or -ENOMEM.
 */
int filter_add(struct filter *f, uint32_t id, const void *mask, size_t len);

/* filter_excludes - the event's process matches a rule, whose count then rises. Loss is never excluded. */
bool filter_excludes(struct filter *f, const Picket__V1__Event *event);

/* filter_count - events that rule number i (from 0) has excluded. Returns false when there is no such rule. */
bool filter_count(const struct filter *f, size_t i, uint32_t *ret_id, uint64_t *ret_count);

/* filter_match - one mask against one path. */
bool filter_match(const uint8_t *mask, size_t mask_len, const uint8_t *path, size_t path_len);

#endif
