/* Isolation, the pure part: exceptions that isolatord would refuse, and the uplink's addresses that only ever grow
 * while isolated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "agentd/isolation.h"
#include "agentd/tasks.h"
#include "common/pb.h"

#define IN PICKET__V1__DIRECTION__DIRECTION_INBOUND
#define OUT PICKET__V1__DIRECTION__DIRECTION_OUTBOUND
#define BOTH PICKET__V1__DIRECTION__DIRECTION_BOTH

static char err[AGT_TEXT_BYTES];

static int
check(Picket__V1__IsolationException e)
{
	Picket__V1__IsolationException good = PICKET__V1__ISOLATION_EXCEPTION__INIT, *list[] = {&good, &e};

	good.direction = BOTH;
	return agt_exceptions_check(list, 2, err, sizeof(err));
}

static Picket__V1__IsolationException
exception(Picket__V1__Direction direction, uint32_t protocol)
{
	Picket__V1__IsolationException e = PICKET__V1__ISOLATION_EXCEPTION__INIT;

	e.direction = direction;
	e.protocol = protocol;
	return e;
}

static void
exceptions_that_fit_are_accepted(void **state)
{
	Picket__V1__IsolationException e = exception(OUT, 6);

	(void)state;
	assert_int_equal(check(exception(BOTH, 0)), 0);
	e.address = pb_bytes("\x0a\x00\x00\x05", 4);
	e.prefix_length = 32;
	e.remote_port_first = 443;
	e.remote_port_last = 65535;
	assert_int_equal(check(e), 0);
	e = exception(IN, 17);
	e.local_port_first = e.local_port_last = 1;
	assert_int_equal(check(e), 0);
}

static void
exceptions_that_do_not_fit_are_refused_with_their_number(void **state)
{
	Picket__V1__IsolationException e;

	(void)state;
	assert_int_equal(check(exception(PICKET__V1__DIRECTION__DIRECTION_UNSPECIFIED, 6)), -EINVAL);
	assert_non_null(strstr(err, "exception 2: the direction"));
	assert_int_equal(check(exception(BOTH, 256)), -EINVAL);
	e = exception(BOTH, 6);
	e.address = pb_bytes("\x0a\x00\x00", 3);
	assert_int_equal(check(e), -EINVAL);
	e.address = pb_bytes("\x0a\x00\x00\x05", 4);
	e.prefix_length = 33;
	assert_int_equal(check(e), -EINVAL);
	e = exception(BOTH, 6);
	e.remote_port_first = e.remote_port_last = 80;
	assert_int_equal(check(e), -EINVAL);
	assert_non_null(strstr(err, "outbound"));
	e.direction = IN;
	assert_int_equal(check(e), -EINVAL);
	e.direction = OUT;
	e.protocol = 1;
	assert_int_equal(check(e), -EINVAL);
	e.protocol = 6;
	e.remote_port_first = 81;
	assert_int_equal(check(e), -EINVAL);
	e.remote_port_first = 0;
	assert_int_equal(check(e), -EINVAL);
	e.remote_port_first = 1;
	e.remote_port_last = 65536;
	assert_int_equal(check(e), -EINVAL);
	e = exception(OUT, 6);
	e.local_port_first = e.local_port_last = 22;
	assert_int_equal(check(e), -EINVAL);
	e.direction = IN;
	e.local_port_last = 21;
	assert_int_equal(check(e), -EINVAL);
}

/* An IPv4 endpoint 10.0.HIGH.LOW. */
static struct agt_endpoints
one(uint8_t high, uint8_t low, uint16_t port)
{
	struct agt_endpoints e = {.n = 1};
	const uint8_t address[4] = {10, 0, high, low};

	memcpy(e.at[0].address, address, sizeof(address));
	e.at[0].len = 4;
	e.at[0].port = port;
	return e;
}

static void
endpoints_survive_the_way_through_a_message(void **state)
{
	struct agt_endpoints e = one(0, 1, 443), back = {.n = 0};
	struct agt_endpoints_view view;

	(void)state;
	agt_endpoints_view(&e, &view);
	assert_int_equal(agt_endpoints_read(&back, view.ptr, 1), 0);
	assert_int_equal(back.n, 1);
	assert_false(agt_endpoints_join(&back, &e));
}

static void
endpoints_that_are_none_change_nothing(void **state)
{
	struct agt_endpoints e = one(0, 1, 443), kept = one(0, 2, 443);
	struct agt_endpoints_view view;

	(void)state;
	agt_endpoints_view(&e, &view);
	view.row[0].port = 0;
	assert_int_equal(agt_endpoints_read(&kept, view.ptr, 1), -EINVAL);
	view.row[0].port = 65536;
	assert_int_equal(agt_endpoints_read(&kept, view.ptr, 1), -EINVAL);
	view.row[0].port = 443;
	view.row[0].address.len = 5;
	assert_int_equal(agt_endpoints_read(&kept, view.ptr, 1), -EINVAL);
	assert_int_equal(agt_endpoints_read(&kept, view.ptr, LIM_ISOLATION_ENDPOINTS + 1), -EINVAL);
	assert_int_equal(kept.at[0].address[3], 2);
}

static void
new_endpoints_are_added_and_old_ones_stay(void **state)
{
	struct agt_endpoints all = one(0, 1, 443), more = one(0, 2, 443);

	(void)state;
	assert_true(agt_endpoints_join(&all, &more));
	assert_int_equal(all.n, 2);
	assert_int_equal(all.at[0].address[3], 2);
	assert_int_equal(all.at[1].address[3], 1);
	more.at[0].port = 8443;
	assert_true(agt_endpoints_join(&all, &more));
	assert_int_equal(all.n, 3);
	assert_false(agt_endpoints_join(&all, &more));
}

static void
when_they_do_not_fit_the_oldest_falls_off(void **state)
{
	struct agt_endpoints all = {.n = 0};

	(void)state;
	for (unsigned int i = 0; i < LIM_ISOLATION_ENDPOINTS + 5; i++) {
		struct agt_endpoints more = one((uint8_t)(i >> 8), (uint8_t)i, 443);

		assert_true(agt_endpoints_join(&all, &more));
	}
	assert_int_equal(all.n, LIM_ISOLATION_ENDPOINTS);
	assert_int_equal(all.at[0].address[3], LIM_ISOLATION_ENDPOINTS + 4);
	assert_int_equal(all.at[LIM_ISOLATION_ENDPOINTS - 1].address[3], 5);
}

static void
remaining_time_is_rounded_up_and_never_endless(void **state)
{
	(void)state;
	assert_int_equal(agt_remaining_s(10000, 4000), 6);
	assert_int_equal(agt_remaining_s(10001, 4000), 7);
	assert_int_equal(agt_remaining_s(4000, 4000), 1);
	assert_int_equal(agt_remaining_s(1, 4000), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exceptions_that_fit_are_accepted),
	    cmocka_unit_test(exceptions_that_do_not_fit_are_refused_with_their_number),
	    cmocka_unit_test(endpoints_survive_the_way_through_a_message),
	    cmocka_unit_test(endpoints_that_are_none_change_nothing),
	    cmocka_unit_test(new_endpoints_are_added_and_old_ones_stay),
	    cmocka_unit_test(when_they_do_not_fit_the_oldest_falls_off),
	    cmocka_unit_test(remaining_time_is_rounded_up_and_never_endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
