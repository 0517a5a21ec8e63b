/* Orders: what is taken, what is refused and why. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "isolatord/order.h"

#define DIR(name) PICKET__V1__DIRECTION__DIRECTION_##name
#define LOCAL_ORIGIN PICKET__V1__ISOLATION_ORIGIN__ISOLATION_ORIGIN_LOCAL

static uint8_t v4[4] = {198, 51, 100, 77};
static uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
static uint8_t zero[16];
static uint8_t multicast4[4] = {224, 0, 0, 1};
static uint8_t multicast6[16] = {0xff, 0x02, [15] = 1};

#define BYTES(a, n)                                                                                                    \
	{                                                                                                              \
		.len = (n), .data = (a)                                                                                \
	}

static int
decode_exception(Picket__V1__IsolationException *e, struct iso_order *ret, char *why, size_t why_size)
{
	Picket__V1__IsolationOrder pb = PICKET__V1__ISOLATION_ORDER__INIT;

	pb.on = true;
	pb.origin = LOCAL_ORIGIN;
	pb.exceptions = &e;
	pb.n_exceptions = 1;
	return iso_order_decode(&pb, ret, why, why_size);
}

struct exception_case {
	const char *name;
	unsigned int direction, protocol;
	ProtobufCBinaryData address;
	uint32_t prefix, local_first, local_last, remote_first, remote_last;
	const char *why; /* NULL: accepted */
};

/* clang-format off */
static const struct exception_case exception_cases[] = {
    {"address",             DIR(BOTH),     0,   BYTES(v4, 4),      32,  0, 0, 0, 0, NULL},
    {"network",             DIR(BOTH),     0,   BYTES(v6, 16),     61,  0, 0, 0, 0, NULL},
    {"any address",         DIR(BOTH),     1,   BYTES(NULL, 0),    0,   0, 0, 0, 0, NULL},
    {"remote ports",        DIR(OUTBOUND), 6,   BYTES(v4, 4),      32,  0, 0, 1, 65535, NULL},
    {"local ports",         DIR(INBOUND),  17,  BYTES(v4, 4),      32,  5, 5, 0, 0, NULL},
    {"protocol 255",        DIR(BOTH),     255, BYTES(v4, 4),      32,  0, 0, 0, 0, NULL},
    {"no direction",        DIR(UNSPECIFIED), 0, BYTES(v4, 4),     32,  0, 0, 0, 0, "direction"},
    {"direction 4",         4,             0,   BYTES(v4, 4),      32,  0, 0, 0, 0, "direction"},
    {"protocol 256",        DIR(BOTH),     256, BYTES(v4, 4),      32,  0, 0, 0, 0, "protocol 256"},
    {"5 bytes",             DIR(BOTH),     0,   BYTES(v6, 5),      32,  0, 0, 0, 0, "4 or 16 bytes"},
    {"prefix 33",           DIR(BOTH),     0,   BYTES(v4, 4),      33,  0, 0, 0, 0, "0..32"},
    {"prefix 129",          DIR(BOTH),     0,   BYTES(v6, 16),     129, 0, 0, 0, 0, "0..128"},
    {"prefix without addr", DIR(BOTH),     1,   BYTES(NULL, 0),    8,   0, 0, 0, 0, "needs an address"},
    {"mapped",              DIR(BOTH),     0,   BYTES(mapped, 16), 128, 0, 0, 0, 0, "IPv4-mapped"},
    {"ports both",          DIR(BOTH),     6,   BYTES(v4, 4),      32,  0, 0, 1, 2, "outbound"},
    {"local outbound",      DIR(OUTBOUND), 6,   BYTES(v4, 4),      32,  1, 2, 0, 0, "inbound"},
    {"remote inbound",      DIR(INBOUND),  6,   BYTES(v4, 4),      32,  0, 0, 1, 2, "outbound"},
    {"ports of GRE",        DIR(OUTBOUND), 47,  BYTES(v4, 4),      32,  0, 0, 1, 2, "TCP"},
    {"ports of anything",   DIR(OUTBOUND), 0,   BYTES(v4, 4),      32,  0, 0, 1, 2, "TCP"},
    {"port 0",              DIR(OUTBOUND), 6,   BYTES(v4, 4),      32,  0, 0, 0, 2, "range"},
    {"ports reversed",      DIR(OUTBOUND), 6,   BYTES(v4, 4),      32,  0, 0, 2, 1, "range"},
    {"port 65536",          DIR(OUTBOUND), 6,   BYTES(v4, 4),      32,  0, 0, 2, 65536, "range"},
    {"everything",          DIR(BOTH),     0,   BYTES(NULL, 0),    0,   0, 0, 0, 0, "all traffic"},
    {"all of IPv4",         DIR(BOTH),     0,   BYTES(v4, 4),      0,   0, 0, 0, 0, "all traffic"},
};
/* clang-format on */

static void
exceptions_are_checked_field_by_field(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(exception_cases); i++) {
		const struct exception_case *c = &exception_cases[i];
		Picket__V1__IsolationException e = PICKET__V1__ISOLATION_EXCEPTION__INIT;
		struct iso_order order = {0};
		char why[256] = "";
		int r;

		e.direction = (Picket__V1__Direction)c->direction;
		e.protocol = c->protocol;
		e.address = c->address;
		e.prefix_length = c->prefix;
		e.local_port_first = c->local_first;
		e.local_port_last = c->local_last;
		e.remote_port_first = c->remote_first;
		e.remote_port_last = c->remote_last;
		r = decode_exception(&e, &order, why, sizeof(why));
		if ((r == 0) != (c->why == NULL))
			fail_msg("%s: %d %s", c->name, r, why);
		if (c->why != NULL && (strstr(why, c->why) == NULL || strncmp(why, "exception 1: ", 13) != 0))
			fail_msg("%s: says \"%s\"", c->name, why);
		if (r < 0)
			assert_null(order.exceptions);
		iso_order_done(&order);
	}
}

static void
host_bits_of_a_network_are_cleared(void **state)
{
	Picket__V1__IsolationException e = PICKET__V1__ISOLATION_EXCEPTION__INIT;
	const uint8_t want[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0xf8};
	struct iso_order order = {0};
	char why[256] = "";

	(void)state;
	e.direction = DIR(BOTH);
	e.address = (ProtobufCBinaryData)BYTES(v6, 16);
	e.prefix_length = 69;
	assert_int_equal(decode_exception(&e, &order, why, sizeof(why)), 0);
	assert_memory_equal(order.exceptions[0].addr.bytes, want, sizeof(want));
	assert_int_equal(order.exceptions[0].prefix, 69);
	iso_order_done(&order);
}

struct endpoint_case {
	const char *name;
	ProtobufCBinaryData address;
	uint32_t port;
	int result;
};

static const struct endpoint_case endpoint_cases[] = {
    {"IPv4", BYTES(v4, 4), 443, 0},
    {"IPv6", BYTES(v6, 16), 65535, 0},
    {"port 0", BYTES(v4, 4), 0, -EINVAL},
    {"port 65536", BYTES(v4, 4), 65536, -EINVAL},
    {"no address", BYTES(NULL, 0), 443, -EINVAL},
    {"3 bytes", BYTES(v4, 3), 443, -EINVAL},
    {"0.0.0.0", BYTES(zero, 4), 443, -EINVAL},
    {"::", BYTES(zero, 16), 443, -EINVAL},
    {"IPv4 multicast", BYTES(multicast4, 4), 443, -EINVAL},
    {"IPv6 multicast", BYTES(multicast6, 16), 443, -EINVAL},
    {"mapped", BYTES(mapped, 16), 443, -EINVAL},
};

static void
uplink_is_a_host_and_a_port(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(endpoint_cases); i++) {
		const struct endpoint_case *c = &endpoint_cases[i];
		Picket__V1__IsolationOrder pb = PICKET__V1__ISOLATION_ORDER__INIT;
		Picket__V1__IsolationEndpoint e = PICKET__V1__ISOLATION_ENDPOINT__INIT, *list = &e;
		struct iso_order order = {0};
		char why[256] = "";

		pb.on = true;
		pb.origin = LOCAL_ORIGIN;
		pb.uplink = &list;
		pb.n_uplink = 1;
		e.address = c->address;
		e.port = c->port;
		if (iso_order_decode(&pb, &order, why, sizeof(why)) != c->result)
			fail_msg("%s: %s", c->name, why);
		iso_order_done(&order);
	}
}

static int
decode_plain(Picket__V1__IsolationOrder *pb, struct iso_order *order)
{
	char why[256] = "";
	int r = iso_order_decode(pb, order, why, sizeof(why));

	assert_true(r == 0 || why[0] != '\0');
	return r;
}

static void
order_itself_is_checked(void **state)
{
	Picket__V1__IsolationOrder pb = PICKET__V1__ISOLATION_ORDER__INIT;
	uint8_t id[LIM_ID_BYTES + 1] = {'i'};
	struct iso_order order = {0};

	(void)state;
	pb.on = true;
	assert_int_equal(decode_plain(&pb, &order), -EINVAL); /* origin */
	pb.origin = LOCAL_ORIGIN;
	pb.duration_s = LIM_ISOLATION_S;
	pb.command_id = (ProtobufCBinaryData)BYTES(id, LIM_ID_BYTES);
	assert_int_equal(decode_plain(&pb, &order), 0);
	assert_true(order.on && order.duration_s == LIM_ISOLATION_S && order.command_id_len == LIM_ID_BYTES);
	pb.duration_s = LIM_ISOLATION_S + 1u;
	assert_int_equal(decode_plain(&pb, &order), -EINVAL);
	pb.duration_s = 0;
	pb.command_id.len = LIM_ID_BYTES + 1;
	assert_int_equal(decode_plain(&pb, &order), -EINVAL);
	pb.command_id.len = 0;
	pb.n_exceptions = LIM_ISOLATION_EXCEPTIONS + 1u;
	assert_int_equal(decode_plain(&pb, &order), -EINVAL);
	pb.n_exceptions = 0;
	pb.n_uplink = LIM_ISOLATION_ENDPOINTS + 1u;
	assert_int_equal(decode_plain(&pb, &order), -EINVAL);
	iso_order_done(&order);
}

/* A release must get through whatever else the message says. */
static void
release_is_taken_whatever_it_carries(void **state)
{
	Picket__V1__IsolationOrder pb = PICKET__V1__ISOLATION_ORDER__INIT;
	struct iso_order order = {.on = true};

	(void)state;
	pb.duration_s = UINT64_MAX;
	pb.n_exceptions = SIZE_MAX;
	pb.n_uplink = SIZE_MAX;
	assert_int_equal(decode_plain(&pb, &order), 0);
	assert_false(order.on);
	assert_int_equal(order.n_exceptions, 0);
}

static void
refused_order_leaves_the_result_untouched(void **state)
{
	Picket__V1__IsolationOrder pb = PICKET__V1__ISOLATION_ORDER__INIT;
	struct iso_order order = {.duration_s = 77};

	(void)state;
	pb.on = true;
	assert_int_equal(decode_plain(&pb, &order), -EINVAL);
	assert_int_equal(order.duration_s, 77);
}

static void
addresses_lie_in_networks_of_their_family(void **state)
{
	struct iso_addr net, in, out;

	(void)state;
	assert_int_equal(iso_addr_set(&net, (const uint8_t[]){10, 1, 128, 0}, 4), 0);
	assert_int_equal(iso_addr_set(&in, (const uint8_t[]){10, 1, 255, 9}, 4), 0);
	assert_int_equal(iso_addr_set(&out, (const uint8_t[]){10, 1, 127, 9}, 4), 0);
	assert_true(iso_addr_in(&in, &net, 17));
	assert_false(iso_addr_in(&out, &net, 17));
	assert_true(iso_addr_in(&out, &net, 16));
	assert_true(iso_addr_in(&out, &net, 0));
	assert_false(iso_addr_in(&in, &net, 32));
	assert_true(iso_addr_in(&in, &in, 32));
	assert_int_equal(iso_addr_set(&out, v6, 16), 0);
	assert_true(iso_addr_in(&out, &out, 128));
	assert_false(iso_addr_in(&out, &net, 0));
	assert_int_equal(iso_addr_set(&out, v6, 15), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exceptions_are_checked_field_by_field),
	    cmocka_unit_test(host_bits_of_a_network_are_cleared),
	    cmocka_unit_test(uplink_is_a_host_and_a_port),
	    cmocka_unit_test(order_itself_is_checked),
	    cmocka_unit_test(release_is_taken_whatever_it_carries),
	    cmocka_unit_test(refused_order_leaves_the_result_untouched),
	    cmocka_unit_test(addresses_lie_in_networks_of_their_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
