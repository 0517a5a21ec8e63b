/* The protobuf cursor: what it reads, and that nothing makes it read too far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "server/wire.h"

#define WIRE(name, ...)                                                                                                \
	static const uint8_t name##_bytes[] = {__VA_ARGS__};                                                           \
	struct wire name = wire_open(name##_bytes, sizeof(name##_bytes))

static void
every_wire_type_is_read(void **state)
{
	WIRE(w, 0x08, 0x96, 0x01, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x1a, 2, 'h', 'i', 0x25, 1, 0, 0, 0x80);
	struct wire_field f;

	(void)state;
	assert_int_equal(wire_next(&w, &f), 1);
	assert_int_equal(f.number, 1);
	assert_int_equal(f.value, 150);
	assert_int_equal(wire_next(&w, &f), 1);
	assert_int_equal(f.type, WIRE_FIXED64);
	assert_true(f.value == UINT64_C(0x0807060504030201));
	assert_int_equal(wire_next(&w, &f), 1);
	assert_int_equal(f.len, 2);
	assert_memory_equal(f.data, "hi", 2);
	assert_int_equal(wire_next(&w, &f), 1);
	assert_true(f.value == UINT64_C(0x80000001));
	assert_int_equal(wire_next(&w, &f), 0);
}

static void
a_varint_of_64_bits_is_whole(void **state)
{
	WIRE(w, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
	struct wire_field f;

	(void)state;
	assert_int_equal(wire_next(&w, &f), 1);
	assert_true(f.value == UINT64_MAX);
}

static void
malformed_bytes_are_refused(void **state)
{
	static const struct {
		const char *what;
		size_t len;
		uint8_t bytes[16];
	} cases[] = {
	    {"varint cut off", 2, {0x08, 0x80}},
	    {"tag cut off", 1, {0x80}},
	    {"varint of 65 bits", 11, {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}},
	    {"varint of 11 bytes", 12, {0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}},
	    {"fixed64 cut off", 8, {0x09}},
	    {"fixed32 cut off", 4, {0x0d}},
	    {"bytes longer than the message", 3, {0x0a, 2, 'x'}},
	    {"length of 64 bits", 12, {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 'x'}},
	    {"field number 0", 2, {0x00, 0x01}},
	    {"field number above 29 bits", 7, {0xf8, 0xff, 0xff, 0xff, 0xff, 0x01, 0x01}},
	    {"group", 2, {0x0b, 0x0c}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire w = wire_open(cases[i].bytes, cases[i].len);
		struct wire_field f;

		if (wire_next(&w, &f) != -EBADMSG)
			fail_msg("%s was accepted", cases[i].what);
	}
}

static void
an_empty_message_has_no_fields(void **state)
{
	struct wire w = wire_open(NULL, 0);
	struct wire_field f;

	(void)state;
	assert_int_equal(wire_next(&w, &f), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_wire_type_is_read),
	    cmocka_unit_test(a_varint_of_64_bits_is_whole),
	    cmocka_unit_test(malformed_bytes_are_refused),
	    cmocka_unit_test(an_empty_message_has_no_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
