/* [Management]: what an administrator may write, and what it opens. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "isolatord/isolatord.h"

static struct iso_exception rules[ISO_MANAGEMENT_RULES];
static char err[256];

static int
parse(const char *addrs, const char *ports, uint64_t agent_port)
{
	char addr_buf[2048], port_buf[2048];
	const struct iso_conf conf = {
	    .management_addrs = addr_buf, .management_ports = port_buf, .management_agent_port = agent_port};

	(void)snprintf(addr_buf, sizeof(addr_buf), "%s", addrs);
	(void)snprintf(port_buf, sizeof(port_buf), "%s", ports);
	err[0] = '\0';
	return iso_conf_management(&conf, rules, err, sizeof(err));
}

static void
no_address_opens_nothing(void **state)
{
	(void)state;
	assert_int_equal(parse("", "13000,14000", 15000), 0);
	assert_int_equal(parse(" , ", "13000", 15000), 0);
}

static void
each_address_gets_each_port_and_the_wake_up(void **state)
{
	(void)state;
	assert_int_equal(parse("192.0.2.9, 2001:db8::9", "13000,14000", 15000), 6);
	assert_int_equal(rules[0].direction, ISO_OUTBOUND);
	assert_int_equal(rules[0].protocol, 6);
	assert_int_equal(rules[0].prefix, 32);
	assert_int_equal(rules[1].remote.first, 14000);
	assert_int_equal(rules[2].direction, ISO_INBOUND);
	assert_int_equal(rules[2].protocol, 17);
	assert_int_equal(rules[2].local.last, 15000);
	assert_int_equal(rules[2].remote.last, 0);
	assert_int_equal(rules[3].prefix, 128);
	assert_int_equal(parse("192.0.2.9", "13000", 0), 1);
}

static void
sixteen_addresses_with_sixteen_ports_fit(void **state)
{
	char addrs[512] = "";

	(void)state;
	for (int i = 0; i < 16; i++)
		(void)snprintf(addrs + strlen(addrs), sizeof(addrs) - strlen(addrs), "192.0.2.%d ", i);
	assert_int_equal(parse(addrs, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", 17), ISO_MANAGEMENT_RULES);
	(void)snprintf(addrs + strlen(addrs), sizeof(addrs) - strlen(addrs), "192.0.2.99");
	assert_int_equal(parse(addrs, "1", 17), -EINVAL);
}

static void
names_and_bad_numbers_are_refused_by_key(void **state)
{
	static const char *const addrs[] = {"ksc.example.com", "192.0.2", "192.0.2.9/24", "192.0.2.9;192.0.2.8", "::g"};
	static const char *const ports[] = {"0", "65536", "http", "80x", "-1", "+5", "1,,2,x"};

	(void)state;
	for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
		assert_int_equal(parse(addrs[i], "13000", 0), -EINVAL);
		assert_non_null(strstr(err, "Addresses"));
	}
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		assert_int_equal(parse("192.0.2.9", ports[i], 0), -EINVAL);
		assert_non_null(strstr(err, "Ports"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_address_opens_nothing),
	    cmocka_unit_test(each_address_gets_each_port_and_the_wake_up),
	    cmocka_unit_test(sixteen_addresses_with_sixteen_ports_fit),
	    cmocka_unit_test(names_and_bad_numbers_are_refused_by_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
