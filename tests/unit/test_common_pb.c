/* Guards around protobuf-c: what it would accept and we must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/pb.h"
#include "control.pb-c.h"
#include "isolation.pb-c.h"

static const char *
why_refused(const ProtobufCMessageDescriptor *desc, const void *data, size_t len, size_t budget)
{
	struct pb_arena *arena = NULL;
	const char *why = NULL;

	assert_null(pb_unpack(desc, data, len, budget, &arena, &why));
	assert_null(arena);
	assert_non_null(why);
	return why;
}

static void
good_message_survives_the_round_trip(void **state)
{
	Picket__V1__TaskRequest req = PICKET__V1__TASK_REQUEST__INIT;
	struct pb_arena *arena;
	const char *why;
	size_t len;

	(void)state;
	req.verb = PICKET__V1__TASK_VERB__TASK_VERB_STOP;
	req.task = pb_str("20");
	uint8_t *data = pb_pack_new(&req.base, &len);
	assert_non_null(data);

	ProtobufCMessage *msg = pb_unpack(&picket__v1__task_request__descriptor, data, len, KIB(4), &arena, &why);
	assert_non_null(msg);
	const Picket__V1__TaskRequest *got = (const Picket__V1__TaskRequest *)(const void *)msg;
	assert_int_equal(got->verb, req.verb);
	assert_true(pb_equals(got->task, "20"));
	assert_false(pb_equals(got->task, "200"));
	pb_arena_free(arena);
	free(data);
}

static void
many_empty_entries_hit_the_budget_not_the_memory(void **state)
{
	size_t len = KIB(64);
	uint8_t *data = malloc(len);

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < len; i += 2) {
		data[i] = 0x2a; /* IsolationOrder.exceptions, empty */
		data[i + 1] = 0;
	}
	assert_string_equal(why_refused(&picket__v1__isolation_order__descriptor, data, len, KIB(512)),
	    "malformed or over its memory budget");
	free(data);
}

static void
unknown_field_is_refused_at_every_depth(void **state)
{
	static const uint8_t top[] = {0xf8, 0x01, 0x01};
	static const uint8_t nested[] = {0x2a, 0x03, 0xf8, 0x01, 0x01};

	(void)state;
	assert_string_equal(
	    why_refused(&picket__v1__isolation_order__descriptor, top, sizeof(top), KIB(4)), "unknown field");
	assert_string_equal(
	    why_refused(&picket__v1__isolation_order__descriptor, nested, sizeof(nested), KIB(4)), "unknown field");
}

static void
enum_value_without_a_name_is_refused_at_every_depth(void **state)
{
	static const uint8_t top[] = {0x10, 0x63};                /* origin 99 */
	static const uint8_t nested[] = {0x2a, 0x02, 0x08, 0x63}; /* exception with direction 99 */

	(void)state;
	assert_string_equal(
	    why_refused(&picket__v1__isolation_order__descriptor, top, sizeof(top), KIB(4)), "enum out of range");
	assert_string_equal(
	    why_refused(&picket__v1__isolation_order__descriptor, nested, sizeof(nested), KIB(4)), "enum out of range");
}

static void
text_with_a_nul_or_too_long_does_not_become_a_string(void **state)
{
	char buf[8];

	(void)state;
	assert_int_equal(pb_to_str(pb_bytes("abc", 3), buf, sizeof(buf)), 0);
	assert_string_equal(buf, "abc");
	assert_true(pb_to_str(pb_bytes("a\0c", 3), buf, sizeof(buf)) < 0);
	assert_string_equal(buf, "");
	assert_true(pb_to_str(pb_bytes("12345678", 8), buf, sizeof(buf)) < 0);
	assert_int_equal(pb_to_str(pb_bytes(NULL, 0), buf, sizeof(buf)), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_message_survives_the_round_trip),
	    cmocka_unit_test(many_empty_entries_hit_the_budget_not_the_memory),
	    cmocka_unit_test(unknown_field_is_refused_at_every_depth),
	    cmocka_unit_test(enum_value_without_a_name_is_refused_at_every_depth),
	    cmocka_unit_test(text_with_a_nul_or_too_long_does_not_become_a_string),
	};

	return cmocka_run_group_tests_name("common_pb", tests, NULL, NULL);
}
