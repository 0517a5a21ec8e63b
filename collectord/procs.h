/*
 * What is remembered of processes between events, in tables of fixed size: the unique id that an execve gave to a pid,
 * and the address that a socket was bound to, which a later listen(2) does not repeat. Old entries give way to new
 * ones.
 */
#ifndef PICKET_COLLECTORD_PROCS_H
#define PICKET_COLLECTORD_PROCS_H

#include <stddef.h>
#include <stdint.h>

#include "collectord/record.h"

struct procs;

/*
 * procs_new - @seed: tells hosts and boots apart, so that unique ids of two of them differ.
 * Returns NULL when out of memory; free with procs_free().
 */
struct procs *procs_new(uint64_t seed);
void procs_free(struct procs *p);

/*
 * procs_start - a program was executed in `pid`.
 * Returns its unique id, never 0: the same for the same seed, pid, serial and time.
 */
uint64_t procs_start(struct procs *p, uint32_t pid, uint32_t serial, uint64_t time_ms);

/* procs_id - the unique id of the program in `pid`; 0 when its execve was not seen. */
uint64_t procs_id(const struct procs *p, uint32_t pid);

/* procs_end - forget `pid`. */
void procs_end(struct procs *p, uint32_t pid);

/* procs_bound - socket `fd` of `pid` was bound to an address (struct sockaddr as the kernel has it, up to 128 bytes).
 */
void procs_bound(struct procs *p, uint32_t pid, uint32_t fd, struct slice address);

/* procs_bound_to - the address; empty when it is not known. Valid until the next procs_bound(). */
struct slice procs_bound_to(const struct procs *p, uint32_t pid, uint32_t fd);

#endif
