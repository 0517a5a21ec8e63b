/*
 * From an audit event to a typed one: what happened, to what, by whom. One event of audit gives one or none.
 *
 * Paths: relative ones are joined to the working directory of the event; "." and empty elements go, ".." stays, because
 * removing it is wrong where the element before it is a symbolic link. A path relative to a directory descriptor stays
 * relative with directory_unknown set: the kernel's PARENT record then names the working directory, which is another
 * one (kernel/auditsc.c, audit_log_name(): name_len 0).
 */
#ifndef PICKET_COLLECTORD_NORMALISE_H
#define PICKET_COLLECTORD_NORMALISE_H

#include <stdbool.h>
#include <stdint.h>

#include "collectord/event.h"
#include "proto/event.pb-c.h"

struct normalise_conf {
	uint64_t seed;     /* of unique process ids: see procs_new() */
	bool unix_sockets; /* connections and listeners of AF_UNIX too */
};

struct normaliser;

/* normaliser_new - NULL when out of memory; free with normaliser_free(). */
struct normaliser *normaliser_new(const struct normalise_conf *conf);
void normaliser_free(struct normaliser *n);

/*
 * normalise - what an audit event means.
 * Returns the event, or NULL when it is none of those Picket reports. It borrows from `e` and from the normaliser:
 * valid until the next call.
 */
const Picket__V1__Event *normalise(struct normaliser *n, const struct audit_event *e);

#endif
