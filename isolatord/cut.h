/*
 * Closes live TCP connections that the rules no longer let send, so that idle ones end now and not at their next
 * packet. The peers are not told: their side times out.
 */
#ifndef PICKET_ISOLATORD_CUT_H
#define PICKET_ISOLATORD_CUT_H

#include <stddef.h>

#include "isolatord/ruleset.h"

struct cut_result {
	size_t closed, spared;
	size_t refused; /* the kernel would not close them; they end at their next packet */
};

/* cut_open - a sock_diag socket; call before the sandbox. Returns the descriptor, or a negative errno. */
int cut_open(void);

/*
 * cut_sockets - close every TCP connection of this network namespace but those to this host itself and those that may
 * still send.
 * @fd: from cut_open().
 * Returns 0 with *ret filled, or a negative errno: some may then be closed.
 */
int cut_sockets(int fd, const struct ruleset *rules, struct cut_result *ret);

#endif
