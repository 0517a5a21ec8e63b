/* Telemetry exclusions: events for which all criteria of a rule hold are neither analysed further nor sent, but
 * counted.
 */
#ifndef PICKET_COLLECTORD_FILTER_H
#define PICKET_COLLECTORD_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/control.pb-c.h"
#include "proto/event.pb-c.h"

/* Bytes of a mask: PATH_MAX. */
#define FILTER_MASK_BYTES 4096u

/* Bytes of a command line text: longer than what an administrator writes, and its table is two bytes for each. */
#define FILTER_TEXT_BYTES 1024u

/* Rules at once: agentd sends them all in one record. */
#define FILTER_RULES 1024u

struct filter;

/* filter_new - without rules. NULL when out of memory; free with filter_free(). */
struct filter *filter_new(void);
void filter_free(struct filter *f);

/* filter_clear - drop all rules; the counts of rules that filter_add() brings back are kept. */
void filter_clear(struct filter *f);

/*
 * filter_add - one more rule, compiled; what it says is copied.
 * @rule: path masks are absolute; * stands for any characters of one path element, ** for any characters, ? for one
 * character but a slash.
 * Returns 0, -EINVAL for a rule without a criterion or with one that cannot be used (a mask that is too long or holds a
 * NUL, a user that is no number, a hash of another length, a type that does not exist), -E2BIG when there are
 * FILTER_RULES already, or -ENOMEM. A rule is used whole or not at all.
 */
int filter_add(struct filter *f, const Picket__V1__Exclusion *rule);

/* filter_excludes - every criterion of a rule holds for the event; that rule's count then rises. Loss is never
 * excluded. Never allocates. */
bool filter_excludes(struct filter *f, const Picket__V1__Event *event);

/* filter_count - events that rule number i (from 0) has excluded. Returns false when there is no such rule. */
bool filter_count(const struct filter *f, size_t i, uint32_t *ret_id, uint64_t *ret_count);

/* filter_match - one mask against one path. */
bool filter_match(const uint8_t *mask, size_t mask_len, const uint8_t *path, size_t path_len);

#endif
