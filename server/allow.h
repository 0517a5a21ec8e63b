/* --allow: an address that stays reachable during isolation, as an administrator types it. */
#ifndef PICKET_SERVER_ALLOW_H
#define PICKET_SERVER_ALLOW_H

#include <stddef.h>

#include "proto/isolation.pb-c.h"

struct allow {
	Picket__V1__IsolationException exception; /* its address points to the bytes below */
	uint8_t address[16];
};

/*
 * allow_parse - words separated by commas, in any order: in, out or both (default); tcp, udp, icmp, icmpv6 or proto=N;
 * ADDRESS or ADDRESS/PREFIX; PORT or FIRST-LAST, which are the remote ones with out and the local ones with in.
 * @ret: initialised; must stay where it is while the exception is used.
 * Returns 0, or -EINVAL with one line in err.
 */
int allow_parse(const char *text, struct allow *ret, char *err, size_t err_size);

#endif
