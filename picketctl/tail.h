/* The live event stream: a descriptor from agentd on which collectord sends TailEvents. agentd is not on that path. */
#ifndef PICKET_PICKETCTL_TAIL_H
#define PICKET_PICKETCTL_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "event.pb-c.h"
#include "picketctl/ctl.h"
#include "telemetry.pb-c.h"

/* One event; valid until the callback returns. */
typedef void (*ctl_tail_event)(const Picket__V1__EventRecord *record, const Picket__V1__Event *event, void *ctx);

/* Told before the events that follow: so many were skipped because we were too slow. */
typedef void (*ctl_tail_skipped)(uint64_t events, void *ctx);

/* ctl_tail_open - ask for the stream. Returns CTL_EXIT_OK with a descriptor to close, or the exit code with a sentence
 * in err. */
int ctl_tail_open(struct ctl *ctl, int *ret_fd, char *err, size_t err_size);

/*
 * ctl_tail_read - one record, without waiting.
 * Returns 1, 0 when there is none now, or a negative errno: -EPIPE when collectord is gone, -EBADMSG for what is no
 * TailEvents.
 */
int ctl_tail_read(int fd, ctl_tail_event on_event, ctl_tail_skipped on_skipped, void *ctx);

#endif
