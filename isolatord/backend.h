/*
 * What a packet-filter backend offers. The engine knows nothing else about it; no backend knows about orders, states or
 * messages.
 *
 * The engine holds the backend's lock while it calls apply and remove, or goes on without it when others do not let go:
 * the lock is a courtesy to administrators' tools, never a way to keep a host from being isolated. Nothing here waits.
 */
#ifndef PICKET_ISOLATORD_BACKEND_H
#define PICKET_ISOLATORD_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isolatord/ruleset.h"

/* Bytes of a sentence about what a call found. */
#define BACKEND_DETAIL_BYTES 512u

struct backend;

struct backend_report {
	char detail[BACKEND_DETAIL_BYTES];    /* why the call failed, or which rule is missing; "" */
	char uncovered[BACKEND_DETAIL_BYTES]; /* in words, what this kernel leaves open although the call succeeded; ""
					       */
	uint32_t retries; /* commits done again because others changed the tables at the same time */
};

struct backend_ops {
	const char *name;

	/*
	 * lock - 0 when the lock is ours (also when there is none to be had), -EAGAIN while others hold it.
	 */
	int (*lock)(struct backend *b);
	void (*unlock)(struct backend *b);

	/*
	 * apply - make the kernel hold exactly these rules of ours, in front of all others; foreign rules stay as they
	 * are. Replaces older rules of ours without a moment in which neither is in force. Returns 0, or a negative
	 * errno with detail; rules of ours may then be in force in part, never fewer than before.
	 */
	int (*apply)(struct backend *b, const struct ruleset *rules, struct backend_report *report);

	/*
	 * verify - is every rule in the kernel, in its place? With rules NULL: is the kernel free of ours?
	 * Returns 0, -ENOENT when something is missing, changed, moved or left (detail says what), or the errno of
	 * looking.
	 */
	int (*verify)(struct backend *b, const struct ruleset *rules, struct backend_report *report);

	/*
	 * changed - has anybody touched the packet filter since the last verify that returned 0? Cheap; may overlook a
	 * change that keeps number and size of the rules, so a full verify must follow from time to time.
	 */
	bool (*changed)(struct backend *b);

	/* remove - take every rule of ours out. Returns 0, or a negative errno with detail. */
	int (*remove)(struct backend *b, struct backend_report *report);

	void (*close)(struct backend *b);
};

/* First member of every backend's own struct. */
struct backend {
	const struct backend_ops *ops;
};

/*
 * iptc_open - iptables through libiptc. Opens its descriptors; call before the sandbox.
 * Returns the backend (free with ops->close), or NULL when out of memory. A kernel without iptables tables is no error
 * here: apply says so.
 */
struct backend *iptc_open(void);

#endif
