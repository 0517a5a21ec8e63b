/* What a StatusReply means: is the host protected, reporting, isolated, losing anything, and if not why. Pure. */
#ifndef PICKET_PICKETCTL_VERDICT_H
#define PICKET_PICKETCTL_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control.pb-c.h"

/* Bytes of a reason with its end. */
#define CTL_WHY_BYTES 1024u

struct ctl_verdict {
	bool is_protected; /* events are collected, and the host could be isolated */
	bool is_reporting; /* they reach the server */
	bool is_isolated;
	bool is_losing;
	char protected_why[CTL_WHY_BYTES]; /* in words when it is not; "" else */
	char reporting_why[CTL_WHY_BYTES];
	char losing_what[CTL_WHY_BYTES];    /* "10 lost_kernel (collectord), ..." */
	uint64_t seen, sent, waiting, lost; /* events */
};

void ctl_verdict(const Picket__V1__StatusReply *status, struct ctl_verdict *ret);

/* ctl_daemon - the row of a daemon, or NULL. */
const Picket__V1__DaemonStatus *ctl_daemon(const Picket__V1__StatusReply *status, const char *name);

/* ctl_counter - its counter, 0 when it has none of the name; ctl_fact - its fact escaped for text, "" when it has none.
 * Returns buf. */
uint64_t ctl_counter(const Picket__V1__DaemonStatus *daemon, const char *name);
const char *ctl_fact(const Picket__V1__DaemonStatus *daemon, const char *name, char *buf, size_t size);

#endif
