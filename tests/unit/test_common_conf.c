/* The configuration grammar: bad files are refused with file:line and what is allowed; the dump parses back to itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/conf.h"

struct sample {
	char *name, *path;
	bool on;
	uint64_t count, bytes, ms;
	int color;
	uint32_t uid, gid;
};

static const char *const colors[] = {"red", "green", NULL};

static const struct conf_key keys[] = {
    {"General", "Name", CONF_STRING, offsetof(struct sample, name), NULL, 0, 0, NULL, "A name."},
    {"General", "Path", CONF_PATH, offsetof(struct sample, path), "/x", 0, 0, NULL, "A path."},
    {"General", "On", CONF_BOOL, offsetof(struct sample, on), "no", 0, 0, NULL, "A switch."},
    {"collectord", "Count", CONF_U64, offsetof(struct sample, count), "5", 1, 10, NULL, "A number."},
    {"collectord", "Bytes", CONF_BYTES, offsetof(struct sample, bytes), "16MiB", 1024, 1073741824, NULL, "A size."},
    {"collectord", "Wait", CONF_MS, offsetof(struct sample, ms), "30s", 1, 3600000, NULL, "A time."},
    {"collectord", "Color", CONF_ENUM, offsetof(struct sample, color), "red", 0, 0, colors, "A choice."},
    {"collectord", "User", CONF_USER, offsetof(struct sample, uid), "root", 0, 0, NULL, "A user."},
    {"collectord", "Group", CONF_GROUP, offsetof(struct sample, gid), "0", 0, 0, NULL, "A group."},
    {0},
};

static char dir[64], main_path[128];

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int
set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/picket-conf-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(main_path, sizeof(main_path), "%s/picket.conf", dir);
	return 0;
}

static int
tear_down(void **state)
{
	char path[192];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/conf.d/10-a.conf", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/conf.d", dir);
	(void)rmdir(path);
	(void)unlink(main_path);
	return rmdir(dir);
}

static int
load(const char *text, struct sample *ret, char *err, size_t size)
{
	memset(ret, 0, sizeof(*ret));
	write_file(main_path, text);
	return conf_load(keys, ret, main_path, err, size);
}

static void
refused(const char *text, const char *line_and_word, const char *allowed)
{
	struct sample s;
	char err[512] = "", where[192];

	assert_int_equal(load(text, &s, err, sizeof(err)), -EINVAL);
	(void)snprintf(where, sizeof(where), "%s:%s", main_path, line_and_word);
	if (strncmp(err, where, strlen(where)) != 0 || strstr(err, allowed) == NULL)
		fail_msg("got \"%s\", want \"%s ... %s\"", err, where, allowed);
	assert_null(s.path);
}

static void
defaults_hold_without_a_file(void **state)
{
	struct sample s = {0};
	char err[256];

	(void)state;
	assert_int_equal(conf_load(keys, &s, NULL, err, sizeof(err)), 0);
	assert_string_equal(s.name, "");
	assert_string_equal(s.path, "/x");
	assert_int_equal(s.count, 5);
	assert_int_equal(s.bytes, 16 << 20);
	assert_int_equal(s.ms, 30000);
	assert_int_equal(s.uid, 0);
	conf_done(keys, &s);
}

static void
every_type_is_read_with_its_unit(void **state)
{
	struct sample s;
	char err[512];

	(void)state;
	assert_int_equal(
	    load("# comment\n[General]\nName = a b\nPath=/tmp/x\nOn = yes\n[collectord]\nCount=10\nBytes = 64 KiB\n"
		 "Wait=5min\nColor=Green\nUser=4242\nGroup=root\n[uplinkd]\nWhatever = 1\n",
		&s, err, sizeof(err)),
	    0);
	assert_string_equal(s.name, "a b");
	assert_true(s.on);
	assert_int_equal(s.count, 10);
	assert_int_equal(s.bytes, 65536);
	assert_int_equal(s.ms, 300000);
	assert_int_equal(s.color, 1);
	assert_int_equal(s.uid, 4242);
	conf_done(keys, &s);
}

static void
bad_files_are_refused_with_line_and_remedy(void **state)
{
	(void)state;
	refused("[General]\nNmae=x\n", "2: unknown key Nmae", "spelling");
	refused("[Genaral]\nName=x\n", "2: unknown section [Genaral]", "spelling");
	refused("[collectord]\n\nCount=11\n", "3: Count=11", "1 to 10");
	refused("[collectord]\nCount=-1\n", "2: Count=-1", "1 to 10");
	refused("[collectord]\nCount=5x\n", "2: Count=5x", "1 to 10");
	refused("[collectord]\nBytes=64\n", "2: Bytes=64", "1KiB to 1GiB");
	refused("[collectord]\nWait=30\n", "2: Wait=30", "1ms to 1h");
	refused("[collectord]\nWait=18446744073709551615s\n", "2: Wait=", "1ms to 1h");
	refused("[collectord]\nColor=blue\n", "2: Color=blue", "red, green");
	refused("[collectord]\nUser=no-such-user-here\n", "2: User=no-such-user-here", "create it");
	refused("[General]\nOn=maybe\n", "2: On=maybe", "yes or no");
	refused("[General]\nPath=relative\n", "2: Path=relative", "absolute");
	refused("[General]\nName=a\nName=b\n", "3: Name is set twice", "remove one");
	refused("[General]\njust words\n", "2: not", "Key = value");
}

static void
overlong_line_is_refused_not_split(void **state)
{
	char text[8192] = "[General]\nName=";

	(void)state;
	memset(text + strlen(text), 'a', 5000);
	refused(text, "2: line is too long", "");
}

static void
drop_in_overrides_the_main_file(void **state)
{
	struct sample s = {0};
	char path[192], err[512];

	(void)state;
	write_file(main_path, "[collectord]\nCount=2\nBytes=1MiB\n");
	(void)snprintf(path, sizeof(path), "%s/conf.d", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/conf.d/10-a.conf", dir);
	write_file(path, "[collectord]\nCount=3\n");
	assert_int_equal(conf_load(keys, &s, main_path, err, sizeof(err)), 0);
	assert_int_equal(s.count, 3);
	assert_int_equal(s.bytes, 1 << 20);
	conf_done(keys, &s);
}

static void
dump_parses_back_to_the_same_dump(void **state)
{
	struct sample s, again;
	char err[512], *first = NULL, *second = NULL;
	size_t n;

	(void)state;
	assert_int_equal(load("[General]\nName=x y\nOn=on\n[collectord]\nWait=90s\nBytes=1536KiB\nColor=green\n", &s,
			     err, sizeof(err)),
	    0);
	FILE *f = open_memstream(&first, &n);
	conf_dump(keys, &s, f);
	(void)fclose(f);
	assert_int_equal(load(first, &again, err, sizeof(err)), 0);
	f = open_memstream(&second, &n);
	conf_dump(keys, &again, f);
	(void)fclose(f);
	assert_string_equal(first, second);
	assert_non_null(strstr(first, "Wait = 90s\n"));
	free(first);
	free(second);
	conf_done(keys, &s);
	conf_done(keys, &again);
}

static void
missing_file_is_named(void **state)
{
	struct sample s = {0};
	char err[256];

	(void)state;
	assert_int_equal(conf_load(keys, &s, "/nonexistent/picket.conf", err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent/picket.conf"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults_hold_without_a_file),
	    cmocka_unit_test_setup_teardown(every_type_is_read_with_its_unit, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(bad_files_are_refused_with_line_and_remedy, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(overlong_line_is_refused_not_split, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(drop_in_overrides_the_main_file, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(dump_parses_back_to_the_same_dump, set_up, tear_down),
	    cmocka_unit_test(missing_file_is_named),
	};

	return cmocka_run_group_tests_name("common_conf", tests, NULL, NULL);
}
