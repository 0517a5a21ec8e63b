/* Exclusion rules: masks, texts, and that all criteria of a rule must hold. */
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

/* A rule of a process path alone. */
static int
add(struct filter *f, uint32_t id, const void *mask, size_t len)
{
	Picket__V1__Exclusion rule = PICKET__V1__EXCLUSION__INIT;

	rule.id = id;
	rule.process_path = pb_bytes(mask, len);
	return filter_add(f, &rule);
}

static void
excluded(struct filter *f, const char *exe, bool want)
{
	Picket__V1__Event event = PICKET__V1__EVENT__INIT;
	Picket__V1__Process process = PICKET__V1__PROCESS__INIT;

	process.executable = pb_str(exe);
	event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS;
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
	assert_int_equal(add(f, 5, "/usr/bin/*", 10), 0);
	assert_int_equal(add(f, 9, "/opt/**", 7), 0);
	excluded(f, "/usr/bin/ls", true);
	excluded(f, "/usr/bin/cat", true);
	excluded(f, "/opt/x/y", true);
	excluded(f, "/bin/ls", false);
	filter_clear(f);
	excluded(f, "/usr/bin/ls", false);
	assert_false(filter_count(f, 0, &id, &count));
	assert_int_equal(add(f, 9, "/opt/**", 7), 0);
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
	Picket__V1__Process process = PICKET__V1__PROCESS__INIT;

	(void)state;
	assert_int_equal(add(f, 1, "", 0), -EINVAL);
	assert_int_equal(add(f, 1, "/a\0b", 4), -EINVAL);
	assert_int_equal(add(f, 1, "**", 2), 0);
	loss.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_LOSS;
	loss.process = &process;
	process.executable = pb_str("/x");
	assert_false(filter_excludes(f, &loss));
	filter_free(f);
}

/* An event to which every kind of criterion can apply but one: a file has no command line. */
struct sample {
	Picket__V1__Event event;
	Picket__V1__Process process;
	Picket__V1__FileChange file;
	Picket__V1__ProcessStart start;
	ProtobufCBinaryData args[3];
};

static uint8_t md5[16] = {1, 2, 3}, sha256[32] = {4, 5, 6};

static void
sample_file(struct sample *s)
{
	picket__v1__event__init(&s->event);
	picket__v1__process__init(&s->process);
	picket__v1__file_change__init(&s->file);
	s->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_FILECHANGE;
	s->event.process = &s->process;
	s->event.detail_case = PICKET__V1__EVENT__DETAIL_FILE_CHANGE;
	s->event.file_change = &s->file;
	s->process.uid = 7;
	s->process.executable = pb_str("/usr/bin/x");
	s->process.image_md5 = pb_bytes(md5, sizeof(md5));
	s->process.image_sha256 = pb_bytes(sha256, sizeof(sha256));
	s->file.path = pb_str("/tmp/a/b");
}

static void
sample_start(struct sample *s, const char *a, const char *b, const char *c)
{
	sample_file(s);
	picket__v1__process_start__init(&s->start);
	s->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS;
	s->event.detail_case = PICKET__V1__EVENT__DETAIL_PROCESS_START;
	s->event.process_start = &s->start;
	s->args[0] = pb_str(a);
	s->args[1] = pb_str(b);
	s->args[2] = pb_str(c);
	s->start.args = s->args;
	s->start.n_args = 3;
}

/* Does this rule alone exclude the event? */
static bool
excludes(const Picket__V1__Exclusion *rule, const Picket__V1__Event *event)
{
	struct filter *f = filter_new();
	bool excluded_now;
	uint32_t id;
	uint64_t count;

	assert_int_equal(filter_add(f, rule), 0);
	excluded_now = filter_excludes(f, event);
	assert_true(filter_count(f, 0, &id, &count));
	assert_int_equal(count, excluded_now);
	filter_free(f);
	return excluded_now;
}

static void
every_criterion_must_hold(void **state)
{
	static uint8_t other_md5[16] = {9}, other_sha256[32] = {9};
	Picket__V1__EventType types[] = {
	    PICKET__V1__EVENT_TYPE__EVENT_TYPE_MODULE, PICKET__V1__EVENT_TYPE__EVENT_TYPE_FILECHANGE};
	struct sample s;
	Picket__V1__Exclusion rule = PICKET__V1__EXCLUSION__INIT, wrong;

	(void)state;
	sample_file(&s);
	rule.process_path = pb_str("/usr/bin/*");
	rule.user = pb_str("7");
	rule.image_md5 = pb_bytes(md5, sizeof(md5));
	rule.image_sha256 = pb_bytes(sha256, sizeof(sha256));
	rule.file_path = pb_str("/tmp/**");
	rule.event_types = types;
	rule.n_event_types = 2;
	assert_true(excludes(&rule, &s.event));
#define WRONG(field, value)                                                                                            \
	do {                                                                                                           \
		wrong = rule;                                                                                          \
		wrong.field = (value);                                                                                 \
		assert_false(excludes(&wrong, &s.event));                                                              \
	} while (0)
	WRONG(process_path, pb_str("/bin/*"));
	WRONG(user, pb_str("0"));
	WRONG(image_md5, pb_bytes(other_md5, sizeof(other_md5)));
	WRONG(image_sha256, pb_bytes(other_sha256, sizeof(other_sha256)));
	WRONG(file_path, pb_str("/tmp/*"));
	WRONG(n_event_types, 1);
	WRONG(command_line, pb_str("x")); /* a file has none */
	s.process.image_md5 = (ProtobufCBinaryData){0};
	assert_false(excludes(&rule, &s.event)); /* not known is not the same */
	s.event.process = NULL;
	assert_false(excludes(&rule, &s.event));
}

static void
one_criterion_is_enough(void **state)
{
	struct sample s;
	Picket__V1__Exclusion rule = PICKET__V1__EXCLUSION__INIT;

	(void)state;
	sample_file(&s);
	s.event.process = NULL;
	rule.file_path = pb_str("/tmp/**");
	assert_true(excludes(&rule, &s.event));
	sample_start(&s, "x", "y", "z");
	assert_false(excludes(&rule, &s.event)); /* no file */
	rule.file_path = (ProtobufCBinaryData){0};
	rule.user = pb_str("7");
	assert_true(excludes(&rule, &s.event));
}

static void
a_file_that_leaves_the_excluded_place_is_told(void **state)
{
	struct sample s;
	Picket__V1__Exclusion rule = PICKET__V1__EXCLUSION__INIT;

	(void)state;
	rule.file_path = pb_str("/tmp/**");
	sample_file(&s);
	s.file.target_path = pb_str("/tmp/c");
	assert_true(excludes(&rule, &s.event));
	s.file.target_path = pb_str("/etc/cron.d/c");
	assert_false(excludes(&rule, &s.event));
}

static void
command_line_text_is_found_across_arguments(void **state)
{
	static const struct {
		const char *text;
		bool found;
	} rows[] = {{"bash", true}, {"bash -c", true}, {"-c aab", true}, {"aabaaab", true}, {"h -c aabaabaaab", true},
	    {"aaab", true}, {"aaaa", false}, {"bash-c", false}, {"bash  -c", false}, {" ", true}, {"b x", false},
	    {"aabaabaaab", true}, {"aabaaabb", false}};
	struct sample s;
	Picket__V1__Exclusion rule = PICKET__V1__EXCLUSION__INIT;

	(void)state;
	sample_start(&s, "bash", "-c", "aabaabaaab");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rule.command_line = pb_str(rows[i].text);
		if (excludes(&rule, &s.event) != rows[i].found)
			fail_msg("\"%s\"", rows[i].text);
	}
}

static void
random_texts_are_found_like_by_a_search_that_tries_everything(void **state)
{
	size_t found = 0;

	(void)state;
	for (int i = 0; i < 50000; i++) {
		char a[3][8] = {{0}}, text[8] = "", joined[32];
		struct sample s;
		Picket__V1__Exclusion rule = PICKET__V1__EXCLUSION__INIT;
		bool want;

		for (size_t k = 0; k < 3; k++)
			for (uint32_t n = feed_random() % 8, c = 0; c < n; c++)
				a[k][c] = "ab"[feed_random() % 2];
		for (uint32_t n = 1 + feed_random() % 6, c = 0; c < n; c++)
			text[c] = "aabb "[feed_random() % 5];
		(void)snprintf(joined, sizeof(joined), "%s %s %s", a[0], a[1], a[2]);
		sample_start(&s, a[0], a[1], a[2]);
		rule.command_line = pb_str(text);
		want = strstr(joined, text) != NULL;
		if (excludes(&rule, &s.event) != want)
			fail_msg("\"%s\" in \"%s\"", text, joined);
		found += want;
	}
	assert_true(found > 1000);
}

static void
rules_that_cannot_be_used_are_refused(void **state)
{
	static uint8_t bytes[FILTER_MASK_BYTES + 1] = "/";
	Picket__V1__EventType types[] = {64};
	Picket__V1__Exclusion none = PICKET__V1__EXCLUSION__INIT, rule;
	struct filter *f = filter_new();

	(void)state;
	(void)memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(filter_add(f, &none), -EINVAL);
#define REFUSED(field, value)                                                                                          \
	do {                                                                                                           \
		rule = none;                                                                                           \
		rule.field = (value);                                                                                  \
		assert_int_equal(filter_add(f, &rule), -EINVAL);                                                       \
	} while (0)
	REFUSED(user, pb_str("root"));
	REFUSED(user, pb_str("4294967295"));
	REFUSED(user, pb_str("18446744073709551616"));
	REFUSED(user, pb_str("-1"));
	REFUSED(image_md5, pb_bytes(bytes, 15));
	REFUSED(image_sha256, pb_bytes(bytes, 16));
	REFUSED(command_line, pb_bytes(bytes, FILTER_TEXT_BYTES + 1));
	REFUSED(file_path, pb_bytes(bytes, sizeof(bytes)));
	REFUSED(file_path, pb_bytes("/a\0b", 4));
	rule = none;
	rule.process_path = pb_str("/x");
	rule.event_types = types;
	rule.n_event_types = 1;
	assert_int_equal(filter_add(f, &rule), -EINVAL);
	types[0] = PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS;
	rule.process_path = (ProtobufCBinaryData){0};
	assert_int_equal(filter_add(f, &rule), -EINVAL); /* a type is no criterion */
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
	    cmocka_unit_test(every_criterion_must_hold),
	    cmocka_unit_test(one_criterion_is_enough),
	    cmocka_unit_test(a_file_that_leaves_the_excluded_place_is_told),
	    cmocka_unit_test(command_line_text_is_found_across_arguments),
	    cmocka_unit_test(random_texts_are_found_like_by_a_search_that_tries_everything),
	    cmocka_unit_test(rules_that_cannot_be_used_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
