/* Exclusion masks. */
#include <errno.h>

#include "collectord/filter.h"
#include "collectord_feed.h"
#include "common/pb.h"

static bool
match(const char *mask, const char *path)
{
	return filter_match((const uint8_t *)mask, strlen(mask), (const uint8_t *)path, strlen(path));
}

static void
masks_match_as_documented(void **state)
{
	static const struct {
		const char *mask, *path;
		bool match;
	} rows[] = {
	    /* clang-format off */
	    {"/usr/bin/ls", "/usr/bin/ls", true},
	    {"/usr/bin/ls", "/usr/bin/lsx", false},
	    {"/usr/bin/ls", "/usr/bin/l", false},
	    {"/usr/bin/*", "/usr/bin/ls", true},
	    {"/usr/bin/*", "/usr/bin/", true},
	    {"/usr/bin/*", "/usr/bin/a/b", false},
	    {"/usr/*/ls", "/usr/bin/ls", true},
	    {"/usr/*/ls", "/usr/local/bin/ls", false},
	    {"/usr/**", "/usr/local/bin/ls", true},
	    {"/usr/**/ls", "/usr/local/bin/ls", true},
	    {"/usr/**/ls", "/usr/ls", false},
	    {"**", "", true},
	    {"*", "", true},
	    {"**/ls", "/a/b/ls", true},
	    {"/opt/?/x", "/opt/1/x", true},
	    {"/opt/?/x", "/opt/12/x", false},
	    {"/opt/?x", "/opt//x", false},
	    {"/a*b*c", "/aXbYc", true},
	    {"/a*b*c", "/abbcbc", true},
	    {"/a*b*c", "/aXb/Yc", false},
	    {"**a*b", "xa/ab", true},
	    {"**/x*/y", "/a/x1/b/x2/y", true},
	    {"/**/*.sh", "/home/u/.hidden.sh", true},
	    {"***", "/a/b", true},
	    {"/a\\*", "/a\\b", true}, /* a backslash is a character like any other */
	    /* clang-format on */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (match(rows[i].mask, rows[i].path) != rows[i].match)
			fail_msg("%s against %s", rows[i].mask, rows[i].path);
}

/* Against a matcher that tries everything. */
static bool
slow_match(const char *m, const char *p)
{
	if (*m == '\0')
		return *p == '\0';
	if (m[0] == '*' && m[1] == '*') {
		while (*m == '*')
			m++;
		do
			if (slow_match(m, p))
				return true;
		while (*p++ != '\0');
		return false;
	}
	if (*m == '*') {
		for (;; p++) {
			if (slow_match(m + 1, p))
				return true;
			if (*p == '\0' || *p == '/')
				return false;
		}
	}
	return *p != '\0' && (*m == *p || (*m == '?' && *p != '/')) && slow_match(m + 1, p + 1);
}

static void
random_masks_match_like_a_matcher_that_tries_everything(void **state)
{
	static const char mask_chars[] = "ab/*?*", path_chars[] = "ab/";
	size_t matched = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		char mask[9] = "", path[11] = "";

		for (uint32_t n = feed_random() % 8, k = 0; k < n; k++)
			mask[k] = mask_chars[feed_random() % 6];
		for (uint32_t n = feed_random() % 10, k = 0; k < n; k++)
			path[k] = path_chars[feed_random() % 3];
		if (match(mask, path) != slow_match(mask, path))
			fail_msg("%s against %s", mask, path);
		matched += match(mask, path);
	}
	assert_true(matched > 1000);
}

static void
excluded(struct filter *f, const char *exe, bool want)
{
	Picket__V1__Event event = PICKET__V1__EVENT__INIT;
	Picket__V1__Process process = PICKET__V1__PROCESS__INIT;

	process.executable = pb_str(exe);
	event.process = &process;
	assert_int_equal(filter_excludes(f, &event), want);
}

static void
counts_are_kept_per_rule_and_over_a_new_set(void **state)
{
	struct filter *f = filter_new();
	uint32_t id;
	uint64_t count;

	(void)state;
	assert_int_equal(filter_add(f, 5, "/usr/bin/*", 10), 0);
	assert_int_equal(filter_add(f, 9, "/opt/**", 7), 0);
	excluded(f, "/usr/bin/ls", true);
	excluded(f, "/usr/bin/cat", true);
	excluded(f, "/opt/x/y", true);
	excluded(f, "/bin/ls", false);
	filter_clear(f);
	excluded(f, "/usr/bin/ls", false);
	assert_false(filter_count(f, 0, &id, &count));
	assert_int_equal(filter_add(f, 9, "/opt/**", 7), 0);
	excluded(f, "/opt/z", true);
	assert_true(filter_count(f, 0, &id, &count));
	assert_int_equal(id, 9);
	assert_int_equal(count, 2);
	assert_false(filter_count(f, 1, &id, &count));
	filter_free(f);
}

static void
bad_masks_are_refused_and_loss_is_never_excluded(void **state)
{
	struct filter *f = filter_new();
	Picket__V1__Event loss = PICKET__V1__EVENT__INIT;

	(void)state;
	assert_int_equal(filter_add(f, 1, "", 0), -EINVAL);
	assert_int_equal(filter_add(f, 1, "/a\0b", 4), -EINVAL);
	assert_int_equal(filter_add(f, 1, "**", 2), 0);
	assert_false(filter_excludes(f, &loss));
	filter_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(masks_match_as_documented),
	    cmocka_unit_test(random_masks_match_like_a_matcher_that_tries_everything),
	    cmocka_unit_test(counts_are_kept_per_rule_and_over_a_new_set),
	    cmocka_unit_test(bad_masks_are_refused_and_loss_is_never_excluded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
