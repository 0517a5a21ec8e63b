/* Addresses to listen on and users to become: what is accepted, and one clear line for the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/listen.h"
#include "server/run_as.h"

static void
port_0_becomes_a_real_one(void **state)
{
	static const struct {
		const char *text, *address;
	} cases[] = {{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}};
	char address[INET6_ADDRSTRLEN], err[512];
	uint16_t port = 0;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int fd = listen_open(cases[i].text, address, sizeof(address), &port, err, sizeof(err));

		if (fd < 0)
			fail_msg("%s: %s", cases[i].text, err);
		assert_string_equal(address, cases[i].address);
		assert_int_not_equal(port, 0);
		assert_int_equal(close(fd), 0);
	}
}

static void
a_port_in_use_is_said_in_words(void **state)
{
	char address[INET6_ADDRSTRLEN], text[64], err[512];
	uint16_t port, again;
	int fd = listen_open("127.0.0.1:0", address, sizeof(address), &port, err, sizeof(err));

	(void)state;
	assert_true(fd >= 0);
	(void)snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	assert_int_equal(listen_open(text, address, sizeof(address), &again, err, sizeof(err)), -EADDRINUSE);
	assert_non_null(strstr(err, text));
	assert_non_null(strstr(err, "another process has this port"));
	assert_int_equal(close(fd), 0);
}

static void
what_is_not_an_address_with_a_port_is_refused(void **state)
{
	static const char *const cases[] = {"", ":", "443", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
	    "127.0.0.1:1x", "localhost:443", "::1:443", "[::1]", "[::1]443", "[::1:443", "[]:1", "[:1", "[127.0.0.1]:1",
	    "127.0.0.1:-1", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:443"};
	char address[INET6_ADDRSTRLEN], err[512];
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (listen_open(cases[i], address, sizeof(address), &port, err, sizeof(err)) != -EINVAL)
			fail_msg("\"%s\" was accepted", cases[i]);
		assert_non_null(strstr(err, "ADDRESS:PORT"));
	}
}

static void
users_and_groups_are_names_or_numbers(void **state)
{
	struct privs privs;
	char err[512];

	(void)state;
	if (getuid() != 0)
		skip();
	assert_int_equal(run_as_resolve("60583", &privs, err, sizeof(err)), 0);
	assert_int_equal(privs.uid, 60583);
	assert_int_equal(privs.gid, 60583);
	assert_int_equal(privs.caps, 0);
	assert_int_equal(privs.n_groups, 0);
	assert_int_equal(run_as_resolve("60583:60580", &privs, err, sizeof(err)), 0);
	assert_int_equal(privs.gid, 60580);
	assert_int_equal(run_as_resolve("nobody:root", &privs, err, sizeof(err)), 0);
	assert_int_not_equal(privs.uid, 0);
	assert_int_equal(privs.gid, 0);
}

static void
unknown_users_are_refused(void **state)
{
	static const char *const cases[] = {"no-such-user", "0:no-such-group", "4294967295", "-1", "1x", ":0",
	    "a-name-that-is-longer-than-any-user-name-can-be-on-a-machine-like-this-one"};
	struct privs privs;
	char err[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err[0] = '\0';
		if (run_as_resolve(cases[i], &privs, err, sizeof(err)) != -EINVAL)
			fail_msg("\"%s\" was accepted", cases[i]);
		assert_non_null(strstr(err, "there is no"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(port_0_becomes_a_real_one),
	    cmocka_unit_test(a_port_in_use_is_said_in_words),
	    cmocka_unit_test(what_is_not_an_address_with_a_port_is_refused),
	    cmocka_unit_test(users_and_groups_are_names_or_numbers),
	    cmocka_unit_test(unknown_users_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
