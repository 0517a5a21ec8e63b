/*
 * Checks an isolation order field by field and copies it into a plain struct. Pure: no I/O, no clock, no global state.
 * Called by peers.c for orders that arrive and by engine.c for the one that was kept on disk.
 */
#include "isolatord/order.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)ISO_BOTH == (int)PICKET__V1__DIRECTION__DIRECTION_BOTH, "order of isolation.proto");
_Static_assert((int)ISO_INBOUND == (int)PICKET__V1__DIRECTION__DIRECTION_INBOUND, "order of isolation.proto");
_Static_assert((int)ISO_OUTBOUND == (int)PICKET__V1__DIRECTION__DIRECTION_OUTBOUND, "order of isolation.proto");
_Static_assert((int)ISO_ORIGIN_SERVER == (int)PICKET__V1__ISOLATION_ORIGIN__ISOLATION_ORIGIN_SERVER, "isolation.proto");
_Static_assert((int)ISO_ORIGIN_LOCAL == (int)PICKET__V1__ISOLATION_ORIGIN__ISOLATION_ORIGIN_LOCAL, "isolation.proto");

/* One check that failed: the sentence, and the error to return. */
#define REFUSE(...) (snprintf(why, why_size, __VA_ARGS__), -EINVAL)

int
iso_addr_set(struct iso_addr *addr, const uint8_t *bytes, size_t len)
{
	if (len != 4 && len != 16)
		return -EINVAL;
	memset(addr, 0, sizeof(*addr));
	addr->family = len == 4 ? AF_INET : AF_INET6;
	memcpy(addr->bytes, bytes, len);
	return 0;
}

bool
iso_addr_equal(const struct iso_addr *a, const struct iso_addr *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool
iso_addr_in(const struct iso_addr *addr, const struct iso_addr *net, uint8_t prefix)
{
	size_t whole = prefix / 8u;
	uint8_t rest_mask = (uint8_t)(0xff00u >> (prefix % 8u));

	if (addr->family != net->family || memcmp(addr->bytes, net->bytes, whole) != 0)
		return false;
	return rest_mask == 0 || ((addr->bytes[whole] ^ net->bytes[whole]) & rest_mask) == 0;
}

/* Clears the bits behind the prefix: the packet filter compares them too. */
static void
addr_mask(struct iso_addr *addr, uint8_t prefix)
{
	for (size_t i = 0; i < sizeof(addr->bytes); i++) {
		size_t bits = prefix > i * 8u ? prefix - i * 8u : 0;

		if (bits < 8)
			addr->bytes[i] &= (uint8_t)(0xff00u >> bits);
	}
}

/* ::ffff:a.b.c.d travels as IPv4 on the wire: a rule for the IPv6 form would never match. */
static bool
addr_is_mapped(const struct iso_addr *addr)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return addr->family == AF_INET6 && memcmp(addr->bytes, mapped, sizeof(mapped)) == 0;
}

static bool
addr_is_unicast(const struct iso_addr *addr)
{
	static const uint8_t zero[16];

	if (memcmp(addr->bytes, zero, sizeof(zero)) == 0)
		return false;
	return addr->family == AF_INET ? addr->bytes[0] < 224 : addr->bytes[0] != 0xff;
}

static int
decode_endpoint(
    const Picket__V1__IsolationEndpoint *pb, size_t nr, struct iso_endpoint *ret, char *why, size_t why_size)
{
	if (iso_addr_set(&ret->addr, pb->address.data, pb->address.len) < 0)
		return REFUSE("uplink %zu: an address has 4 or 16 bytes, not %zu", nr, pb->address.len);
	if (addr_is_mapped(&ret->addr))
		return REFUSE("uplink %zu: give an IPv4-mapped address as IPv4", nr);
	if (!addr_is_unicast(&ret->addr))
		return REFUSE("uplink %zu: the address is not one of a host", nr);
	if (pb->port < 1 || pb->port > UINT16_MAX)
		return REFUSE("uplink %zu: port %u is not in 1..65535", nr, pb->port);
	ret->port = (uint16_t)pb->port;
	return 0;
}

static int
decode_ports(uint32_t first, uint32_t last, bool allowed, const char *what, size_t nr, struct iso_ports *ret, char *why,
    size_t why_size)
{
	if (first == 0 && last == 0)
		return 0;
	if (!allowed)
		return REFUSE("exception %zu: %s", nr, what);
	if (first < 1 || last > UINT16_MAX || first > last)
		return REFUSE("exception %zu: ports %u-%u are not a range in 1..65535", nr, first, last);
	*ret = (struct iso_ports){(uint16_t)first, (uint16_t)last};
	return 0;
}

static int
decode_exception_addr(
    const Picket__V1__IsolationException *pb, size_t nr, struct iso_exception *ret, char *why, size_t why_size)
{
	unsigned int max = pb->address.len == 4 ? 32 : 128;

	if (pb->address.len == 0) {
		if (pb->prefix_length != 0)
			return REFUSE("exception %zu: a prefix length needs an address", nr);
		return 0;
	}
	if (iso_addr_set(&ret->addr, pb->address.data, pb->address.len) < 0)
		return REFUSE("exception %zu: an address has 4 or 16 bytes, not %zu", nr, pb->address.len);
	if (pb->prefix_length > max)
		return REFUSE("exception %zu: prefix length %u is not in 0..%u", nr, pb->prefix_length, max);
	if (pb->prefix_length >= 96 && addr_is_mapped(&ret->addr))
		return REFUSE("exception %zu: give an IPv4-mapped address as IPv4", nr);
	ret->prefix = (uint8_t)pb->prefix_length;
	addr_mask(&ret->addr, ret->prefix);
	return 0;
}

static int
decode_exception(
    const Picket__V1__IsolationException *pb, size_t nr, struct iso_exception *ret, char *why, size_t why_size)
{
	bool has_ports;
	int r;

	if ((int)pb->direction < (int)ISO_BOTH || (int)pb->direction > (int)ISO_OUTBOUND)
		return REFUSE("exception %zu: direction is not both, inbound or outbound", nr);
	if (pb->protocol > UINT8_MAX)
		return REFUSE("exception %zu: protocol %u is not in 0..255", nr, pb->protocol);
	ret->direction = (enum iso_direction)pb->direction;
	ret->protocol = (uint8_t)pb->protocol;
	r = decode_exception_addr(pb, nr, ret, why, why_size);
	if (r < 0)
		return r;
	r = decode_ports(pb->local_port_first, pb->local_port_last, ret->direction == ISO_INBOUND,
	    "local ports need direction inbound", nr, &ret->local, why, why_size);
	if (r < 0)
		return r;
	r = decode_ports(pb->remote_port_first, pb->remote_port_last, ret->direction == ISO_OUTBOUND,
	    "remote ports need direction outbound", nr, &ret->remote, why, why_size);
	if (r < 0)
		return r;
	has_ports = ret->local.last != 0 || ret->remote.last != 0;
	if (has_ports && ret->protocol != IPPROTO_TCP && ret->protocol != IPPROTO_UDP)
		return REFUSE("exception %zu: ports need protocol 6 (TCP) or 17 (UDP), not %u", nr, pb->protocol);
	if (ret->prefix == 0 && ret->protocol == 0)
		return REFUSE("exception %zu: it would except all traffic; name an address or a protocol", nr);
	return 0;
}

static int
decode_lists(const Picket__V1__IsolationOrder *pb, struct iso_order *ret, char *why, size_t why_size)
{
	int r;

	if (pb->n_uplink > LIM_ISOLATION_ENDPOINTS)
		return REFUSE("%zu uplink endpoints, at most %u are allowed", pb->n_uplink, LIM_ISOLATION_ENDPOINTS);
	if (pb->n_exceptions > LIM_ISOLATION_EXCEPTIONS)
		return REFUSE("%zu exceptions, at most %u are allowed", pb->n_exceptions, LIM_ISOLATION_EXCEPTIONS);
	for (; ret->n_uplink < pb->n_uplink; ret->n_uplink++) {
		r = decode_endpoint(
		    pb->uplink[ret->n_uplink], ret->n_uplink + 1, &ret->uplink[ret->n_uplink], why, why_size);
		if (r < 0)
			return r;
	}
	if (pb->n_exceptions == 0)
		return 0;
	ret->exceptions = calloc(pb->n_exceptions, sizeof(*ret->exceptions));
	if (ret->exceptions == NULL) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	for (; ret->n_exceptions < pb->n_exceptions; ret->n_exceptions++) {
		size_t i = ret->n_exceptions;

		r = decode_exception(pb->exceptions[i], i + 1, &ret->exceptions[i], why, why_size);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
decode(const Picket__V1__IsolationOrder *pb, struct iso_order *ret, char *why, size_t why_size)
{
	if (pb->command_id.len > LIM_ID_BYTES)
		return REFUSE("command id of %zu bytes, at most %u are allowed", pb->command_id.len, LIM_ID_BYTES);
	if (pb->command_id.len > 0)
		memcpy(ret->command_id, pb->command_id.data, pb->command_id.len);
	ret->command_id_len = pb->command_id.len;
	ret->on = pb->on;
	if ((int)pb->origin >= (int)ISO_ORIGIN_SERVER && (int)pb->origin <= (int)ISO_ORIGIN_LOCAL)
		ret->origin = (enum iso_origin)pb->origin;
	if (!pb->on)
		return 0;
	if (ret->origin == ISO_ORIGIN_UNSET)
		return REFUSE("origin is not server or local");
	if (pb->duration_s > LIM_ISOLATION_S)
		return REFUSE(
		    "duration of %llu s is not in 0..%u", (unsigned long long)pb->duration_s, LIM_ISOLATION_S);
	ret->duration_s = pb->duration_s;
	ret->allow_transit = pb->allow_transit;
	return decode_lists(pb, ret, why, why_size);
}

int
iso_order_decode(const Picket__V1__IsolationOrder *pb, struct iso_order *ret, char *why, size_t why_size)
{
	struct iso_order order = {0};
	int r;

	r = decode(pb, &order, why, why_size);
	if (r < 0) {
		iso_order_done(&order);
		return r;
	}
	*ret = order;
	return 0;
}

void
iso_order_done(struct iso_order *order)
{
	free(order->exceptions);
	memset(order, 0, sizeof(*order));
}
