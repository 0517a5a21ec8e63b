/* Raw records: lines and netlink messages to fields; what is malformed is named. */
#include "collectord_feed.h"

static enum record_fault
parse(const char *line, struct record *ret, uint8_t **ret_buffer)
{
	size_t len = strlen(line);

	*ret_buffer = feed_padded(line, len);
	return record_parse_line(*ret_buffer, len, ret);
}

static void
expect_fault(const char *line, enum record_fault fault)
{
	struct record r;
	uint8_t *buffer;

	assert_int_equal(parse(line, &r, &buffer), fault);
	free(buffer);
}

static void
line_gives_type_time_serial_and_body(void **state)
{
	struct record r;
	uint8_t *buffer;

	(void)state;
	assert_int_equal(parse("type=SYSCALL msg=audit(1795492574.373:380834): arch=c000003e", &r, &buffer), RECORD_OK);
	assert_int_equal(r.type, AUDIT_SYSCALL);
	assert_int_equal(r.time_ms, UINT64_C(1795492574373));
	assert_int_equal(r.serial, 380834);
	assert_int_equal(r.node, 0);
	assert_true(slice_is(r.body, "arch=c000003e"));
	free(buffer);
}

static void
enriched_part_is_left_out(void **state)
{
	struct record r;
	uint8_t *buffer;

	(void)state;
	assert_int_equal(parse("type=CWD msg=audit(1.002:3): cwd=\"/\"\x1d"
			       "UID=\"root\"",
			     &r, &buffer),
	    RECORD_OK);
	assert_true(slice_is(r.body, "cwd=\"/\""));
	free(buffer);
}

static void
node_names_tell_hosts_apart(void **state)
{
	struct record a, b;
	uint8_t *x, *y;

	(void)state;
	assert_int_equal(parse("node=one type=CWD msg=audit(1.002:3): cwd=\"/\"", &a, &x), RECORD_OK);
	assert_int_equal(parse("node=two type=CWD msg=audit(1.002:3): cwd=\"/\"", &b, &y), RECORD_OK);
	assert_true(a.node != 0 && b.node != 0 && a.node != b.node);
	free(x);
	free(y);
}

static void
netlink_form_gives_the_same_as_the_line(void **state)
{
	static const char payload[] = "audit(1795492574.373:7): a0=\"x\"\n";
	uint8_t *buffer = feed_padded(payload, sizeof(payload)); /* with the NUL that the kernel may add */
	struct record r;

	(void)state;
	assert_int_equal(record_parse_netlink(AUDIT_EXECVE, buffer, sizeof(payload), &r), RECORD_OK);
	assert_int_equal(r.type, AUDIT_EXECVE);
	assert_int_equal(r.serial, 7);
	assert_true(slice_is(r.body, "a0=\"x\""));
	free(buffer);
}

static void
malformed_lines_are_told_by_reason(void **state)
{
	char *long_line = malloc(RECORD_MAX_BYTES + 2);

	(void)state;
	expect_fault("", RECORD_NO_TYPE);
	expect_fault("hello", RECORD_NO_TYPE);
	expect_fault("type=", RECORD_NO_TYPE);
	expect_fault("type= msg=audit(1.002:3): ", RECORD_NO_TYPE);
	expect_fault("node=only", RECORD_NO_TYPE);
	expect_fault("type=CWD", RECORD_NO_STAMP);
	expect_fault("type=CWD msg=audit(1.002:3)", RECORD_NO_STAMP);
	expect_fault("type=CWD msg=audit(1.002): ", RECORD_NO_STAMP);
	expect_fault("type=CWD msg=audit(x.002:3): ", RECORD_NO_STAMP);
	expect_fault("type=CWD msg=audit(.002:3): ", RECORD_NO_STAMP);
	expect_fault("type=CWD msg=audit(1.002:4294967296): ", RECORD_NO_STAMP);
	expect_fault("type=CWD msg=audit(999999999999.002:1): ", RECORD_NO_STAMP);
	expect_fault("type=CWD msg=audit(1.0022:1): ", RECORD_NO_STAMP);
	(void)memset(long_line, 'x', RECORD_MAX_BYTES + 1);
	long_line[RECORD_MAX_BYTES + 1] = '\0';
	expect_fault(long_line, RECORD_TOO_LONG);
	free(long_line);
}

static void
every_cut_of_a_line_is_safe(void **state)
{
	static const char line[] =
	    "node=h type=EXECVE msg=audit(1795492574.373:380834): argc=2 a0=\"ls\" nametype=NORMAL a1=2F746D70";

	(void)state;
	for (size_t len = 0; len < sizeof(line); len++) {
		uint8_t *p = feed_padded(line, len);
		struct record r;
		struct fields it;
		struct field f;

		if (record_parse_line(p, len, &r) == RECORD_OK)
			for (it = fields_of(r.body); field_next(&it, &f);)
				assert_true(f.value.data + f.value.len <= p + len);
		free(p);
	}
}

/* The fields of a body as "key=value" lines, quoted values in <>. */
static void
expect_fields(const char *body, const char *want)
{
	size_t len = strlen(body);
	uint8_t *p = feed_padded(body, len);
	struct fields it = fields_of((struct slice){p, len});
	struct field f;
	char got[512] = "";
	size_t n = 0;

	while (field_next(&it, &f))
		n += (size_t)snprintf(got + n, sizeof(got) - n, "%.*s=%s%.*s%s\n", (int)f.name.len,
		    (const char *)f.name.data, f.quoted ? "<" : "", (int)f.value.len, (const char *)f.value.data,
		    f.quoted ? ">" : "");
	assert_string_equal(got, want);
	free(p);
}

static void
fields_are_found_whatever_their_length(void **state)
{
	(void)state;
	expect_fields("a=1", "a=1\n");
	expect_fields(
	    "abcdefg=1 abcdefgh=2 abcdefghi=3 cap_frootid=0", "abcdefg=1\nabcdefgh=2\nabcdefghi=3\ncap_frootid=0\n");
	expect_fields("  a0[1]=00 a12_len=5", "a0[1]=00\na12_len=5\n");
	expect_fields("k= next=x", "k=\nnext=x\n");
	expect_fields("exe=\"/a b\" key=(null)", "exe=</a b>\nkey=(null)\n");
	expect_fields("q=\"open to the end k=v", "q=<open to the end k=v>\n");
	expect_fields("op=adding user to group acct=\"x\"", "op=adding\nacct=<x>\n");
	expect_fields("msg='op=a acct=\"x y\" res=success' z=1", "msg=<op=a acct=\"x y\" res=success>\nz=1\n");
	expect_fields("a==b", "a==b\n");
	expect_fields("lonely words only", "");
}

static void
key_numbers_match_their_text(void **state)
{
	static const char body[] = "pid=1 nametype=N abcdefghi=2";
	uint8_t *p = feed_padded(body, sizeof(body) - 1);
	struct fields it = fields_of((struct slice){p, sizeof(body) - 1});
	struct field f;

	(void)state;
	assert_true(field_next(&it, &f));
	assert_true(f.key == FIELD_KEY8('p', 'i', 'd', 0, 0, 0, 0, 0));
	assert_true(field_next(&it, &f));
	assert_true(f.key == FIELD_KEY8('n', 'a', 'm', 'e', 't', 'y', 'p', 'e'));
	assert_true(field_next(&it, &f));
	assert_true(f.key == 0);
	free(p);
}

static void
expect_decoded(const char *value, bool quoted, const char *want, size_t want_len)
{
	const struct field f = {.value = {(const uint8_t *)value, strlen(value)}, .quoted = quoted};
	uint8_t out[64];

	assert_int_equal(record_field_decode(&f, out), want_len);
	assert_memory_equal(out, want, want_len);
}

static void
values_are_decoded_by_their_form(void **state)
{
	(void)state;
	expect_decoded("2F746D702F61206227", false, "/tmp/a b'", 9);
	expect_decoded("2F746D70", true, "2F746D70", 8);
	expect_decoded("00ff", false, "\0\377", 2);
	expect_decoded("(null)", false, "", 0);
	expect_decoded("(null)", true, "(null)", 6);
	expect_decoded("?", false, "", 0);
	expect_decoded("", false, "", 0);
	expect_decoded("abc", false, "abc", 3); /* an odd number of digits: text */
	expect_decoded("pts0", false, "pts0", 4);
}

static void
numbers_stop_at_the_first_other_byte(void **state)
{
	const struct slice s = {(const uint8_t *)"-12x", 4}, h = {(const uint8_t *)"ffffff9c", 8},
			   o = {(const uint8_t *)"0100644", 7};

	(void)state;
	assert_int_equal(slice_signed(s), -12);
	assert_int_equal(slice_hex(h), 0xffffff9c);
	assert_int_equal(slice_octal(o), 0100644);
	assert_int_equal(slice_decimal((struct slice){NULL, 0}), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(line_gives_type_time_serial_and_body),
	    cmocka_unit_test(enriched_part_is_left_out),
	    cmocka_unit_test(node_names_tell_hosts_apart),
	    cmocka_unit_test(netlink_form_gives_the_same_as_the_line),
	    cmocka_unit_test(malformed_lines_are_told_by_reason),
	    cmocka_unit_test(every_cut_of_a_line_is_safe),
	    cmocka_unit_test(fields_are_found_whatever_their_length),
	    cmocka_unit_test(key_numbers_match_their_text),
	    cmocka_unit_test(values_are_decoded_by_their_form),
	    cmocka_unit_test(numbers_stop_at_the_first_other_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
