/* Telemetry packages read in place: the same as protobuf-c reads, and a bad one is refused whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/pb.h"
#include "proto/link.pb-c.h"
#include "server/agent_id.h"
#include "server/telemetry.h"

/* A package as the generated code packs it: one record per sequence. */
static uint8_t *
pack(const char *agent_id, const uint64_t *sequences, size_t n, size_t *ret_len)
{
	Picket__V1__TelemetryRequest request = PICKET__V1__TELEMETRY_REQUEST__INIT;
	Picket__V1__EventRecord records[8];
	Picket__V1__EventRecord *pointers[8];

	assert_true(n <= 8);
	for (size_t i = 0; i < n; i++) {
		picket__v1__event_record__init(&records[i]);
		records[i].epoch = UINT64_C(1700000000000000000);
		records[i].sequence = sequences[i];
		records[i].type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_FILECHANGE;
		records[i].event = pb_str("event");
		pointers[i] = &records[i];
	}
	request.agent_id = pb_str(agent_id);
	request.records = pointers;
	request.n_records = n;
	uint8_t *data = pb_pack_new(&request.base, ret_len);
	assert_non_null(data);
	return data;
}

static void
what_protobuf_c_packs_is_read_record_by_record(void **state)
{
	static const uint64_t sequences[] = {1, 2, UINT64_MAX};
	struct telemetry_record record;
	struct telemetry t;
	const char *why;
	size_t len;
	uint8_t *data = pack("agent-1", sequences, 3, &len);

	(void)state;
	assert_int_equal(telemetry_open(data, len, &t, &why), 0);
	assert_int_equal(t.agent_id_len, strlen("agent-1"));
	assert_memory_equal(t.agent_id, "agent-1", t.agent_id_len);
	assert_int_equal(t.n_records, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(telemetry_next(&t, &record), 1);
		assert_true(record.epoch == UINT64_C(1700000000000000000));
		assert_true(record.sequence == sequences[i]);
		assert_int_equal(record.type, PICKET__V1__EVENT_TYPE__EVENT_TYPE_FILECHANGE);
		assert_int_equal(record.event_len, strlen("event"));
		assert_memory_equal(record.event, "event", record.event_len);
	}
	assert_int_equal(telemetry_next(&t, &record), 0);
	free(data);
}

static void
a_package_cut_anywhere_is_refused_or_shorter_but_never_misread(void **state)
{
	static const uint64_t sequences[] = {1, 2, 3};
	struct telemetry t;
	const char *why;
	size_t len;
	uint8_t *data = pack("agent-1", sequences, 3, &len);

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		/* On the heap and exactly so long, so that the sanitizer sees a read past it. */
		uint8_t *part = malloc(cut > 0 ? cut : 1);

		assert_non_null(part);
		memcpy(part, data, cut);
		if (telemetry_open(part, cut, &t, &why) == 0)
			assert_true(t.n_records < 3);
		free(part);
	}
	free(data);
}

static void
a_record_without_sequence_makes_the_package_bad(void **state)
{
	static const uint64_t sequences[] = {1, 0};
	struct telemetry t;
	const char *why = NULL;
	size_t len;
	uint8_t *data = pack("agent-1", sequences, 2, &len);

	(void)state;
	assert_int_equal(telemetry_open(data, len, &t, &why), -EBADMSG);
	assert_non_null(strstr(why, "sequence"));
	free(data);
}

static void
fields_and_types_of_a_newer_agent_do_no_harm(void **state)
{
	/* agent_id "a"; unknown 9; a record {epoch, sequence 7, type 300, event "x", unknown 15} */
	static const uint8_t data[] = {0x0a, 1, 'a', 0x48, 5, 0x12, 19, 0x09, 1, 0, 0, 0, 0, 0, 0, 0, 0x10, 7, 0x18,
	    0xac, 0x02, 0x22, 1, 'x', 0x78, 1};
	struct telemetry_record record;
	struct telemetry t;
	const char *why;

	(void)state;
	assert_int_equal(telemetry_open(data, sizeof(data), &t, &why), 0);
	assert_int_equal(telemetry_next(&t, &record), 1);
	assert_int_equal(record.type, 300);
	assert_int_equal(record.sequence, 7);
	assert_int_equal(telemetry_next(&t, &record), 0);
}

static void
agent_ids_are_short_and_plain(void **state)
{
	char longest[65];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	assert_true(agent_id_is_valid((const uint8_t *)"6f1c-A.b_c:d", 12));
	assert_true(agent_id_is_valid((const uint8_t *)longest, 64));
	assert_false(agent_id_is_valid((const uint8_t *)longest, 65));
	assert_false(agent_id_is_valid((const uint8_t *)"", 0));
	assert_false(agent_id_is_valid((const uint8_t *)"a b", 3));
	assert_false(agent_id_is_valid((const uint8_t *)"a\0b", 3));
	assert_false(agent_id_is_valid((const uint8_t *)"\xc3\xa4", 2));
}

static void
a_package_without_agent_id_is_refused(void **state)
{
	static const uint8_t data[] = {0x12, 0};
	struct telemetry t;
	const char *why = NULL;

	(void)state;
	assert_int_equal(telemetry_open(data, 0, &t, &why), -EBADMSG);
	assert_string_equal(why, agent_id_rule);
	assert_int_equal(telemetry_open(data, sizeof(data), &t, &why), -EBADMSG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_protobuf_c_packs_is_read_record_by_record),
	    cmocka_unit_test(a_package_cut_anywhere_is_refused_or_shorter_but_never_misread),
	    cmocka_unit_test(a_record_without_sequence_makes_the_package_bad),
	    cmocka_unit_test(fields_and_types_of_a_newer_agent_do_no_harm),
	    cmocka_unit_test(agent_ids_are_short_and_plain),
	    cmocka_unit_test(a_package_without_agent_id_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
