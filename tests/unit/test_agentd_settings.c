/* Every key of the settings: default, range, round trip; a change is all or nothing; what is stored comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/settings.h"
#include "agentd/tasks.h"

static struct agt_settings settings;
static char err[AGT_TEXT_BYTES];

static int
set_up(void **state)
{
	(void)state;
	agt_settings_init(&settings);
	err[0] = '\0';
	return 0;
}

static int
set(const char *section, const char *key, const char *value)
{
	const struct agt_change change = {section, key, value};

	return agt_settings_set(&settings, &change, 1, err, sizeof(err));
}

static const char *
get(const char *section, const char *key)
{
	static char buf[AGT_VALUE_BYTES];
	int row = agt_setting_find(section, key);

	assert_true(row >= 0);
	return agt_setting_text(&settings, (size_t)row, buf, sizeof(buf));
}

static void
defaults_are_those_of_the_reference(void **state)
{
	static const char *const want[][3] = {{"", "Address", "127.0.0.1"}, {"", "Port", "443"},
	    {"", "UseClientPinnedCertificate", "No"}, {"", "SynchronizationPeriod", "5"},
	    {"", "ConnectionTimeout", "10"}, {"", "RequestTimeout", "10"}, {"", "MaximumDataTransferTime", "30"},
	    {"", "MaximumNumberOfEventsInPackage", "1024"}, {"", "EnableTelemetry", "Yes"},
	    {"", "UseRequestCountLimits", "No"}, {"", "MaximumNumberOfEventsInHour", "3000"},
	    {"", "EventLimitExceededPercentage", "15"}, {"General", "UseProxy", "No"}, {"General", "ProxyServer", ""},
	    {"General", "UseMDR", "No"}};

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_string_equal(get(want[i][0], want[i][1]), want[i][2]);
	assert_int_equal(settings.values.sync_period_ms, 300000);
	assert_int_equal(settings.values.transfer_time_ms, 30000);
	assert_int_equal(settings.revision, 0);
	for (size_t i = 0; i < AGT_SETTINGS; i++)
		assert_false(settings.local[i]);
}

static void
every_value_in_force_is_accepted_again(void **state)
{
	char buf[AGT_VALUE_BYTES];

	(void)state;
	for (size_t i = 0; i < AGT_SETTINGS; i++) {
		const struct agt_setting *row = agt_setting_row(i);

		assert_int_equal(set(row->section, row->key, agt_setting_text(&settings, i, buf, sizeof(buf))), 0);
		assert_true(strlen(row->help) > 10);
	}
}

static void
values_at_and_beyond_the_ends_of_a_range(void **state)
{
	static const struct {
		const char *key, *value;
		int code;
	} cases[] = {
	    {"Port", "1", 0},
	    {"Port", "65535", 0},
	    {"Port", "0", 2},
	    {"Port", "65536", 2},
	    {"Port", "-1", 2},
	    {"Port", "", 2},
	    {"Port", "443x", 2},
	    {"Port", "18446744073709551617", 2},
	    {"SynchronizationPeriod", "1", 0},
	    {"SynchronizationPeriod", "60", 0},
	    {"SynchronizationPeriod", "61", 2},
	    {"SynchronizationPeriod", "0", 2},
	    {"SynchronizationPeriod", "1s", 0},
	    {"SynchronizationPeriod", "2s", 0},
	    {"SynchronizationPeriod", "999ms", 2},
	    {"SynchronizationPeriod", "1500ms", 2},
	    {"SynchronizationPeriod", "2000ms", 0},
	    {"SynchronizationPeriod", "1h", 0},
	    {"SynchronizationPeriod", "61min", 2},
	    {"SynchronizationPeriod", "5 parsecs", 2},
	    {"SynchronizationPeriod", "", 2},
	    {"ConnectionTimeout", "600", 0},
	    {"ConnectionTimeout", "601", 2},
	    {"RequestTimeout", "0", 2},
	    {"MaximumDataTransferTime", "3600", 0},
	    {"MaximumNumberOfEventsInPackage", "0", 2},
	    {"MaximumNumberOfEventsInPackage", "100000", 0},
	    {"EventLimitExceededPercentage", "100", 0},
	    {"EventLimitExceededPercentage", "101", 2},
	    {"EnableTelemetry", "No", 0},
	    {"EnableTelemetry", "yes", 0},
	    {"EnableTelemetry", "perhaps", 2},
	    {"Address", "edr.example.org", 0},
	    {"Address", "2001:db8::1", 0},
	    {"Address", "10.0.0.300", 2},
	    {"Address", "", 2},
	    {"Address", "two words", 2},
	    {"Address", "-dash", 2},
	    {"Address", "a/b", 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)set_up(NULL);
		if (set("", cases[i].key, cases[i].value) != cases[i].code)
			fail_msg("%s=%s: expected %d (%s)", cases[i].key, cases[i].value, cases[i].code, err);
		if (cases[i].code != 0) {
			assert_non_null(strstr(err, cases[i].key));
			assert_non_null(strstr(err, "allowed"));
		}
	}
}

static void
error_names_the_key_the_value_and_what_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(set("", "SynchronizationPeriod", "61"), AGT_EXIT_VALUE);
	assert_string_equal(
	    err, "SynchronizationPeriod=61: allowed is 1 to 60 minutes, or whole seconds with a unit, from 1s");
	assert_int_equal(set("", "NoSuchKey", "1"), AGT_EXIT_VALUE);
	assert_non_null(strstr(err, "NoSuchKey"));
	assert_int_equal(set("Nowhere", "Address", "1.2.3.4"), AGT_EXIT_VALUE);
	assert_non_null(strstr(err, "Nowhere.Address"));
}

static void
short_periods_keep_their_unit(void **state)
{
	(void)state;
	assert_int_equal(set("", "SynchronizationPeriod", "2s"), 0);
	assert_string_equal(get("", "SynchronizationPeriod"), "2s");
	assert_int_equal(settings.values.sync_period_ms, 2000);
	assert_int_equal(set("", "SynchronizationPeriod", "120s"), 0);
	assert_string_equal(get("", "SynchronizationPeriod"), "2");
}

static void
a_change_is_all_or_nothing(void **state)
{
	const struct agt_change changes[] = {
	    {"", "Port", "8443"}, {"", "Address", "10.0.0.1"}, {"", "RequestTimeout", "never"}};
	(void)state;
	assert_int_equal(agt_settings_set(&settings, changes, 3, err, sizeof(err)), AGT_EXIT_VALUE);
	defaults_are_those_of_the_reference(NULL);
	assert_int_equal(agt_settings_set(&settings, changes, 2, err, sizeof(err)), 0);
	assert_string_equal(get("", "Address"), "10.0.0.1");
	assert_int_equal(settings.revision, 1);
}

static void
setting_what_is_in_force_keeps_the_revision(void **state)
{
	(void)state;
	assert_int_equal(set("", "Port", "8443"), 0);
	assert_int_equal(settings.revision, 1);
	assert_int_equal(set("", "Port", "8443"), 0);
	assert_int_equal(settings.revision, 1);
}

static void
general_keys_are_found_without_their_section(void **state)
{
	(void)state;
	assert_int_equal(set("", "UseMDR", "Yes"), 0);
	assert_true(settings.values.use_mdr);
	assert_int_equal(set("General", "UseMDR", "No"), 0);
	assert_false(settings.values.use_mdr);
}

static void
proxy_urls_that_are_and_are_not(void **state)
{
	static const char *const good[] = {"proxy", "proxy:3128", "http://proxy:3128", "https://proxy.example:443",
	    "http://user:pa:ss@10.0.0.1:3128", "user@proxy", "http://[2001:db8::1]:3128", "http://u:p%40@h:1"};
	static const char *const bad[] = {"ftp://proxy", "http://", "proxy:0", "proxy:70000", "proxy:port", "@proxy",
	    "http://a b:1", "[2001:db8::1", "[::1]x", "http://host:1\r\nX: y", "socks5://h:1"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (set("General", "ProxyServer", good[i]) != 0)
			fail_msg("refused %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (set("General", "ProxyServer", bad[i]) != AGT_EXIT_VALUE)
			fail_msg("accepted %s", bad[i]);
}

static void
a_refused_proxy_does_not_show_its_password(void **state)
{
	(void)state;
	assert_int_equal(set("General", "ProxyServer", "ftp://user:secret@proxy"), AGT_EXIT_VALUE);
	assert_null(strstr(err, "secret"));
}

static void
proxy_passwords_are_masked(void **state)
{
	char buf[AGT_PROXY_BYTES];

	(void)state;
	assert_string_equal(agt_proxy_mask("http://u:s3:cret@h:1", buf, sizeof(buf)), "http://u:***@h:1");
	assert_string_equal(agt_proxy_mask("u:secret@h", buf, sizeof(buf)), "u:***@h");
	assert_string_equal(agt_proxy_mask("http://u@h:1", buf, sizeof(buf)), "http://u@h:1");
	assert_string_equal(agt_proxy_mask("http://h:1", buf, sizeof(buf)), "http://h:1");
	assert_string_equal(agt_proxy_mask("", buf, sizeof(buf)), "");
}

static void
a_proxy_cannot_be_used_without_one(void **state)
{
	const struct agt_change both[] = {{"General", "UseProxy", "Yes"}, {"General", "ProxyServer", "proxy:3128"}};

	(void)state;
	assert_int_equal(set("General", "UseProxy", "Yes"), AGT_EXIT_VALUE);
	assert_non_null(strstr(err, "ProxyServer"));
	assert_int_equal(agt_settings_set(&settings, both, 2, err, sizeof(err)), 0);
	assert_int_equal(set("General", "ProxyServer", ""), AGT_EXIT_VALUE);
}

static void
further_servers_show_only_when_they_have_an_address(void **state)
{
	int address = agt_setting_find("Servers.item_0000", "Address");
	int port = agt_setting_find("Servers.item_0000", "Port");

	(void)state;
	assert_true(address >= 0 && port >= 0);
	assert_true(agt_setting_is_hidden(&settings, (size_t)address));
	assert_true(agt_setting_is_hidden(&settings, (size_t)port));
	assert_int_equal(set("Servers.item_0000", "Address", "10.1.1.1"), 0);
	assert_false(agt_setting_is_hidden(&settings, (size_t)address));
	assert_false(agt_setting_is_hidden(&settings, (size_t)port));
	assert_true(agt_setting_is_hidden(&settings, (size_t)agt_setting_find("Servers.item_0006", "Port")));
	assert_false(agt_setting_is_hidden(&settings, (size_t)agt_setting_find("", "Port")));
	assert_int_equal(set("Servers.item_0000", "Address", ""), 0);
	assert_true(agt_setting_is_hidden(&settings, (size_t)address));
	assert_int_equal(agt_setting_find("Servers.item_0007", "Address"), -1);
}

static void
what_is_stored_comes_back(void **state)
{
	const struct agt_change changes[] = {{"", "Address", "edr.example.org"}, {"", "SynchronizationPeriod", "7s"},
	    {"General", "ProxyServer", "http://user:pass=word;#@proxy:3128"}, {"General", "UseProxy", "Yes"},
	    {"Servers.item_0001", "Address", "2001:db8::2"}, {"Servers.item_0001", "Port", "8443"}};
	char *text, *again;

	(void)state;
	assert_int_equal(agt_settings_set(&settings, changes, 6, err, sizeof(err)), 0);
	settings.revision = 41;
	text = agt_settings_format(&settings);
	assert_non_null(text);
	assert_int_equal(agt_settings_parse(&settings, text, strlen(text), err, sizeof(err)), 0);
	again = agt_settings_format(&settings);
	assert_string_equal(text, again);
	assert_string_equal(settings.values.proxy, "http://user:pass=word;#@proxy:3128");
	assert_int_equal(settings.values.sync_period_ms, 7000);
	free(text);
	free(again);
}

static void
a_damaged_file_is_used_as_far_as_it_goes(void **state)
{
	const char *text =
	    "Port=8443\nRequestTimeout=never\nOfTheFuture=1\nConnectionTimeout=7\n[Picket]\nRevision=9\n";

	(void)state;
	assert_int_equal(agt_settings_parse(&settings, text, strlen(text), err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "line 2: RequestTimeout=never"));
	assert_string_equal(get("", "Port"), "8443");
	assert_string_equal(get("", "RequestTimeout"), "10");
	assert_string_equal(get("", "ConnectionTimeout"), "7");
	assert_int_equal(settings.revision, 9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(defaults_are_those_of_the_reference, set_up),
	    cmocka_unit_test_setup(every_value_in_force_is_accepted_again, set_up),
	    cmocka_unit_test_setup(values_at_and_beyond_the_ends_of_a_range, set_up),
	    cmocka_unit_test_setup(error_names_the_key_the_value_and_what_is_allowed, set_up),
	    cmocka_unit_test_setup(short_periods_keep_their_unit, set_up),
	    cmocka_unit_test_setup(a_change_is_all_or_nothing, set_up),
	    cmocka_unit_test_setup(setting_what_is_in_force_keeps_the_revision, set_up),
	    cmocka_unit_test_setup(general_keys_are_found_without_their_section, set_up),
	    cmocka_unit_test_setup(proxy_urls_that_are_and_are_not, set_up),
	    cmocka_unit_test_setup(a_refused_proxy_does_not_show_its_password, set_up),
	    cmocka_unit_test_setup(proxy_passwords_are_masked, set_up),
	    cmocka_unit_test_setup(a_proxy_cannot_be_used_without_one, set_up),
	    cmocka_unit_test_setup(further_servers_show_only_when_they_have_an_address, set_up),
	    cmocka_unit_test_setup(what_is_stored_comes_back, set_up),
	    cmocka_unit_test_setup(a_damaged_file_is_used_as_far_as_it_goes, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
