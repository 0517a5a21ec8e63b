/* --allow RULE: what an administrator types becomes the exception that was meant, or a clear refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "server/allow.h"

#define BOTH PICKET__V1__DIRECTION__DIRECTION_BOTH
#define IN PICKET__V1__DIRECTION__DIRECTION_INBOUND
#define OUT PICKET__V1__DIRECTION__DIRECTION_OUTBOUND

static void
rules_become_the_exception_that_was_meant(void **state)
{
	static const struct {
		const char *text;
		Picket__V1__Direction direction;
		uint32_t protocol;
		size_t address_len;
		uint8_t address_first, address_last;
		uint32_t prefix, local_first, local_last, remote_first, remote_last;
	} cases[] = {
	    {"10.0.0.5", BOTH, 0, 4, 10, 5, 32, 0, 0, 0, 0},
	    {"10.0.0.0/8,both", BOTH, 0, 4, 10, 0, 8, 0, 0, 0, 0},
	    {"out,tcp,10.0.0.5,443", OUT, 6, 4, 10, 5, 32, 0, 0, 443, 443},
	    {"443,10.0.0.5,tcp,out", OUT, 6, 4, 10, 5, 32, 0, 0, 443, 443},
	    {"in,udp,53-54,fd00::7/64", IN, 17, 16, 0xfd, 7, 64, 53, 54, 0, 0},
	    {"out,icmpv6", OUT, 58, 0, 0, 0, 0, 0, 0, 0, 0},
	    {"proto=47,::1", BOTH, 47, 16, 0, 1, 128, 0, 0, 0, 0},
	    {"in,tcp,1-65535", IN, 6, 0, 0, 0, 0, 1, 65535, 0, 0},
	};
	struct allow allow;
	char err[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const Picket__V1__IsolationException *e = &allow.exception;

		if (allow_parse(cases[i].text, &allow, err, sizeof(err)) != 0)
			fail_msg("%s: %s", cases[i].text, err);
		assert_int_equal(e->direction, cases[i].direction);
		assert_int_equal(e->protocol, cases[i].protocol);
		assert_int_equal(e->address.len, cases[i].address_len);
		if (e->address.len > 0) {
			assert_int_equal(e->address.data[0], cases[i].address_first);
			assert_int_equal(e->address.data[e->address.len - 1], cases[i].address_last);
		}
		assert_int_equal(e->prefix_length, cases[i].prefix);
		assert_int_equal(e->local_port_first, cases[i].local_first);
		assert_int_equal(e->local_port_last, cases[i].local_last);
		assert_int_equal(e->remote_port_first, cases[i].remote_first);
		assert_int_equal(e->remote_port_last, cases[i].remote_last);
	}
}

static void
what_is_not_a_rule_is_refused_in_one_line(void **state)
{
	static const char *const cases[] = {"", ",", "in", "both", "tcp,443", "10.0.0.5,443,out", "out,icmp,8",
	    "both,tcp,443", "10.0.0.5/33", "fd00::/129", "10.0.0.5/", "10.0.0", "out,tcp,0", "out,tcp,65536",
	    "out,tcp,9-8", "out,tcp,1-", "out,tcp,-1", "proto=256", "proto=", "in,out,10.0.0.5", "tcp,udp,10.0.0.5",
	    "10.0.0.5,10.0.0.6", "sshd", "10.0.0.5, out"};
	struct allow allow;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char err[512] = "";

		if (allow_parse(cases[i], &allow, err, sizeof(err)) != -EINVAL)
			fail_msg("\"%s\" was accepted", cases[i]);
		assert_non_null(strstr(err, "--allow"));
		assert_null(strchr(err, '\n'));
	}
}

static void
a_rule_beyond_its_length_is_refused(void **state)
{
	struct allow allow;
	char text[256], err[512] = "";

	(void)state;
	memset(text, ',', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text, "10.0.0.5", strlen("10.0.0.5"));
	assert_int_equal(allow_parse(text, &allow, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "longer than"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rules_become_the_exception_that_was_meant),
	    cmocka_unit_test(what_is_not_a_rule_is_refused_in_one_line),
	    cmocka_unit_test(a_rule_beyond_its_length_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
