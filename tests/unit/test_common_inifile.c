/* Settings files: what is an entry, and which line is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/inifile.h"

static char seen[16384];
static char err[128];

static int
collect(const char *section, const char *key, const char *value, unsigned int line, void *ctx)
{
	size_t at = strlen(seen);

	(void)ctx;
	(void)snprintf(seen + at, sizeof(seen) - at, "%u[%s]%s=%s|", line, section, key, value);
	return strcmp(key, "stop") == 0 ? -ENOSPC : 0;
}

static int
parse(const char *text, size_t len)
{
	seen[0] = err[0] = '\0';
	return inifile_parse(text, len, collect, NULL, err, sizeof(err));
}

static void
entries_come_with_section_and_line(void **state)
{
	const char *text =
	    "# comment\r\n; another\n\n  Address = 10.0.0.1 \r\nEmpty=\n[General]\nProxyServer=http://u:p=q;#@h:1\n"
	    "[ Servers.item_0000 ]\n\tPort\t=\t443\nlast=no newline";

	(void)state;
	assert_int_equal(parse(text, strlen(text)), 0);
	assert_string_equal(seen, "4[]Address=10.0.0.1|5[]Empty=|7[General]ProxyServer=http://u:p=q;#@h:1|"
				  "9[Servers.item_0000]Port=443|10[Servers.item_0000]last=no newline|");
	assert_int_equal(parse("", 0), 0);
}

static void
bad_lines_are_named(void **state)
{
	static const char *const bad[] = {"ok=1\nno equals", "ok=1\n=value", "ok=1\n[open", "ok=1\n[a] b", "ok=1\n]"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(bad[i], strlen(bad[i])), -EINVAL);
		assert_non_null(strstr(err, "line 2: "));
	}
	assert_int_equal(parse("a=\0b\n", 5), -EINVAL);
}

static void
long_lines_are_taken_whole_or_refused(void **state)
{
	static char text[INIFILE_LINE_BYTES + 8];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "key=", 4);
	assert_int_equal(parse(text, INIFILE_LINE_BYTES - 1), 0);
	assert_int_equal(strlen(seen), INIFILE_LINE_BYTES - 1 + strlen("1[]|"));
	assert_int_equal(parse(text, INIFILE_LINE_BYTES), -EINVAL);
}

static void
the_callback_ends_the_reading(void **state)
{
	const char *text = "a=1\nstop=1\nb=1\n";

	(void)state;
	assert_int_equal(parse(text, strlen(text)), -ENOSPC);
	assert_null(strstr(seen, "b=1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries_come_with_section_and_line),
	    cmocka_unit_test(bad_lines_are_named),
	    cmocka_unit_test(long_lines_are_taken_whole_or_refused),
	    cmocka_unit_test(the_callback_ends_the_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
