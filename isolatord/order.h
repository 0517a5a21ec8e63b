/* An isolation order as isolatord works with it: decoded from the message, every field checked, nothing left to doubt.
 */
#ifndef PICKET_ISOLATORD_ORDER_H
#define PICKET_ISOLATORD_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"
#include "proto/isolation.pb-c.h"

/* Address of either family. In an exception, family 0 is "any address of any family". */
struct iso_addr {
	uint8_t family;    /* AF_INET, AF_INET6 or 0 */
	uint8_t bytes[16]; /* network order; an IPv4 address fills the first four */
};

/* Both ends included; 0 to 0 is every port. */
struct iso_ports {
	uint16_t first, last;
};

enum iso_direction { ISO_DIRECTION_UNSET, ISO_BOTH, ISO_INBOUND, ISO_OUTBOUND };

struct iso_endpoint {
	struct iso_addr addr;
	uint16_t port;
};

struct iso_exception {
	enum iso_direction direction;
	uint8_t protocol; /* IANA number; 0: every protocol */
	struct iso_addr addr;
	uint8_t prefix;          /* bits of addr that count; the others are zero */
	struct iso_ports local;  /* only with ISO_INBOUND */
	struct iso_ports remote; /* only with ISO_OUTBOUND */
};

/* Order of the enum of isolation.proto. */
enum iso_origin { ISO_ORIGIN_UNSET, ISO_ORIGIN_SERVER, ISO_ORIGIN_LOCAL };

struct iso_order {
	bool on;
	enum iso_origin origin;
	uint64_t duration_s; /* 0: until released */
	bool allow_transit;
	struct iso_endpoint uplink[LIM_ISOLATION_ENDPOINTS];
	size_t n_uplink;
	struct iso_exception *exceptions; /* owned */
	size_t n_exceptions;
	uint8_t command_id[LIM_ID_BYTES];
	size_t command_id_len;
};

/*
 * iso_order_decode - check every field of a received order.
 * @ret: on success owned by the caller, released with iso_order_done(); untouched on failure.
 * @why: on failure one sentence that names the field and what is allowed.
 * Of an order with on=false only the command id is looked at: a release is never refused for what does not matter to
 * it. Returns 0, -EINVAL or -ENOMEM.
 */
int iso_order_decode(const Picket__V1__IsolationOrder *pb, struct iso_order *ret, char *why, size_t why_size);

/* Releases what the order owns and zeroes it; a zeroed order is fine. */
void iso_order_done(struct iso_order *order);

/* iso_addr_set - from 4 or 16 bytes. Returns 0, or -EINVAL for another length. */
int iso_addr_set(struct iso_addr *addr, const uint8_t *bytes, size_t len);

bool iso_addr_equal(const struct iso_addr *a, const struct iso_addr *b);

/* iso_addr_in - does addr lie in net/prefix? Never across families. */
bool iso_addr_in(const struct iso_addr *addr, const struct iso_addr *net, uint8_t prefix);

#endif
