/* picketctl's command line: options anywhere before --, durations, --allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "common/limits.h"
#include "picketctl/args.h"

static char err[512];

static struct ctl_args
args_of(char **argv)
{
	struct ctl_args args = {.arg = argv};

	while (argv[args.n] != NULL)
		args.n++;
	return args;
}

static void
options_are_taken_out_wherever_they_stand(void **state)
{
	char *argv[] = {"task", "--json", "start", "--file", "f", "KATAEDR", "--json", "--type=process", NULL};
	struct ctl_args args = args_of(argv);
	const char *value = NULL;

	(void)state;
	assert_true(ctl_args_flag(&args, "--json"));
	assert_false(ctl_args_flag(&args, "--json"));
	assert_int_equal(ctl_args_value(&args, "--file", &value), 1);
	assert_string_equal(value, "f");
	assert_int_equal(ctl_args_value(&args, "--type", &value), 1);
	assert_string_equal(value, "process");
	assert_int_equal(ctl_args_value(&args, "--type", &value), 0);
	assert_null(ctl_args_unknown(&args));
	assert_string_equal(ctl_args_next(&args), "task");
	assert_string_equal(ctl_args_next(&args), "start");
	assert_string_equal(ctl_args_next(&args), "KATAEDR");
	assert_null(ctl_args_next(&args));
}

static void
a_value_that_is_missing_is_noticed(void **state)
{
	char *argv[] = {"--file", NULL};
	char *before_end[] = {"--file", "--", "x", NULL};
	struct ctl_args args = args_of(argv);
	const char *value = NULL;

	(void)state;
	assert_int_equal(ctl_args_value(&args, "--file", &value), -1);
	args = args_of(before_end);
	assert_int_equal(ctl_args_value(&args, "--file", &value), -1);
}

static void
an_option_nobody_knows_is_found(void **state)
{
	char *argv[] = {"list", "--filter", "x", NULL};
	char *dash[] = {"set", "-", NULL};
	struct ctl_args args = args_of(argv);

	(void)state;
	assert_string_equal(ctl_args_unknown(&args), "--filter");
	args = args_of(dash);
	assert_null(ctl_args_unknown(&args));
	/* --filter is not --file. */
	args = args_of(argv);
	assert_int_equal(ctl_args_value(&args, "--fil", &(const char *){NULL}), 0);
}

static void
nothing_behind_two_dashes_is_an_option(void **state)
{
	char *argv[] = {"--", "--json", NULL};
	struct ctl_args args = args_of(argv);

	(void)state;
	assert_false(ctl_args_flag(&args, "--json"));
	assert_null(ctl_args_unknown(&args));
	assert_string_equal(ctl_args_next(&args), "--json");
	assert_null(ctl_args_next(&args));
}

static void
durations_that_are_and_are_not(void **state)
{
	static const struct {
		const char *text;
		uint64_t s;
	} good[] = {{"1", 1}, {"90s", 90}, {"30min", 1800}, {"30m", 1800}, {"2h", 7200}, {"7d", 604800},
	    {"9999h", LIM_ISOLATION_S}};
	static const char *const bad[] = {"", "0", "0h", "h", "-1h", "1.5h", "2 h", "10000h", "99999999999999999999s",
	    "18446744073709551615d", "1w", "2hh"};
	uint64_t s = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (ctl_parse_duration(good[i].text, &s, err, sizeof(err)) != 0)
			fail_msg("refused %s", good[i].text);
		assert_int_equal(s, good[i].s);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (ctl_parse_duration(bad[i], &s, err, sizeof(err)) != -EINVAL)
			fail_msg("accepted %s", bad[i]);
}

static void
allow_with_everything(void **state)
{
	struct ctl_allow a;
	uint8_t want[16];

	(void)state;
	assert_int_equal(ctl_parse_allow("out:tcp:10.1.2.3:443", &a, err, sizeof(err)), 0);
	assert_int_equal(a.pb.direction, PICKET__V1__DIRECTION__DIRECTION_OUTBOUND);
	assert_int_equal(a.pb.protocol, 6);
	assert_int_equal(a.pb.address.len, 4);
	assert_memory_equal(a.pb.address.data, "\x0a\x01\x02\x03", 4);
	assert_int_equal(a.pb.prefix_length, 32);
	assert_int_equal(a.pb.remote_port_first, 443);
	assert_int_equal(a.pb.remote_port_last, 443);
	assert_int_equal(a.pb.local_port_first, 0);

	assert_int_equal(ctl_parse_allow("in:udp:[2001:db8::1]/64:1000-2000", &a, err, sizeof(err)), 0);
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::", want), 1);
	assert_int_equal(a.pb.address.len, 16);
	assert_memory_equal(a.pb.address.data, want, 16);
	assert_int_equal(a.pb.prefix_length, 64);
	assert_int_equal(a.pb.local_port_first, 1000);
	assert_int_equal(a.pb.local_port_last, 2000);
	assert_int_equal(a.pb.remote_port_first, 0);
}

static void
allow_with_little(void **state)
{
	struct ctl_allow a;

	(void)state;
	assert_int_equal(ctl_parse_allow("both:any:any", &a, err, sizeof(err)), 0);
	assert_int_equal(a.pb.direction, PICKET__V1__DIRECTION__DIRECTION_BOTH);
	assert_int_equal(a.pb.protocol, 0);
	assert_int_equal(a.pb.address.len, 0);
	assert_int_equal(a.pb.prefix_length, 0);
	assert_int_equal(ctl_parse_allow("out:tcp:any:80", &a, err, sizeof(err)), 0);
	assert_int_equal(a.pb.remote_port_last, 80);
	assert_int_equal(ctl_parse_allow("both:icmp:10.0.0.0/8", &a, err, sizeof(err)), 0);
	assert_int_equal(a.pb.protocol, 1);
	assert_int_equal(a.pb.prefix_length, 8);
	assert_int_equal(ctl_parse_allow("both:50:2001:db8::1", &a, err, sizeof(err)), 0);
	assert_int_equal(a.pb.protocol, 50);
	assert_int_equal(a.pb.address.len, 16);
	assert_int_equal(ctl_parse_allow("both:any:2001:db8::1/32", &a, err, sizeof(err)), 0);
	assert_int_equal(a.pb.prefix_length, 32);
}

static void
networks_lose_the_bits_of_the_host(void **state)
{
	struct ctl_allow a;

	(void)state;
	assert_int_equal(ctl_parse_allow("both:any:10.1.2.255/25", &a, err, sizeof(err)), 0);
	assert_memory_equal(a.pb.address.data, "\x0a\x01\x02\x80", 4);
	assert_int_equal(ctl_parse_allow("both:any:10.1.2.255/0", &a, err, sizeof(err)), 0);
	assert_memory_equal(a.pb.address.data, "\0\0\0\0", 4);
}

static void
allow_that_is_none(void **state)
{
	static const char *const bad[] = {"", "out", "out:tcp", "out:tcp:", "sideways:tcp:any", "out:ftp:any",
	    "out:256:any", "out:tcp:nowhere:1", "out:tcp:10.0.0.5:0", "out:tcp:10.0.0.5:65536", "out:tcp:10.0.0.5:443-",
	    "out:tcp:10.0.0.5:443-1", "out:tcp:10.0.0.5:", "out:tcp:10.0.0.5/33", "out:tcp:10.0.0.5/:443",
	    "out:tcp:10.0.0.5/24/8", "both:tcp:any:443", "out:any:any:443", "out:icmp:any:443", "out:tcp:any/0:443",
	    "out:tcp:[2001:db8::1:443", "out:tcp:[2001:db8::1]x", "out:tcp:2001:db8::1/129", "out:tcp:10.0.0:443",
	    "out:tcp:10.0.0.5:443:1", "out:tcp:10.0.0.5 :443"};
	struct ctl_allow a;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (ctl_parse_allow(bad[i], &a, err, sizeof(err)) != -EINVAL)
			fail_msg("accepted %s", bad[i]);
		assert_non_null(strstr(err, "DIRECTION:PROTOCOL:ADDRESS"));
	}
	char longer[200];

	memset(longer, '0', sizeof(longer));
	memcpy(longer, "out:tcp:10.0.0.5:", 17);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(ctl_parse_allow(longer, &a, err, sizeof(err)), -EINVAL);
	assert_int_equal(ctl_parse_allow("out:tcp:nowhere:1", &a, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "nowhere"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(options_are_taken_out_wherever_they_stand),
	    cmocka_unit_test(a_value_that_is_missing_is_noticed),
	    cmocka_unit_test(an_option_nobody_knows_is_found),
	    cmocka_unit_test(nothing_behind_two_dashes_is_an_option),
	    cmocka_unit_test(durations_that_are_and_are_not),
	    cmocka_unit_test(allow_with_everything),
	    cmocka_unit_test(allow_with_little),
	    cmocka_unit_test(networks_lose_the_bits_of_the_host),
	    cmocka_unit_test(allow_that_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
