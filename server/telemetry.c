/*
 * Reads TelemetryRequest without copying. Never decodes the events themselves (columns.c looks into them, for queries).
 * Called by api.c.
 */
#include "server/telemetry.h"

#include <errno.h>

#include "server/agent_id.h"

/* Field numbers of proto/telemetry.proto and proto/link.proto; test_server_telemetry compares them with the generated
 * code. */
enum { REQUEST_AGENT_ID = 1, REQUEST_RECORDS = 2 };
enum { RECORD_EPOCH = 1, RECORD_SEQUENCE = 2, RECORD_TYPE = 3, RECORD_EVENT = 4 };

static int
read_record(const uint8_t *data, size_t len, struct telemetry_record *ret)
{
	struct telemetry_record record = {0};
	struct wire w = wire_open(data, len);
	struct wire_field field;
	int r;

	while ((r = wire_next(&w, &field)) > 0) {
		if (field.number == RECORD_EPOCH && field.type == WIRE_FIXED64) {
			record.epoch = field.value;
		} else if (field.number == RECORD_SEQUENCE && field.type == WIRE_VARINT) {
			record.sequence = field.value;
		} else if (field.number == RECORD_TYPE && field.type == WIRE_VARINT) {
			record.type = field.value;
		} else if (field.number == RECORD_EVENT && field.type == WIRE_BYTES) {
			record.event = field.data;
			record.event_len = field.len;
		}
		/* Anything else is from a newer agent: the stored event is complete without it. */
	}
	if (r < 0)
		return r;
	*ret = record;
	return 0;
}

int
telemetry_open(const uint8_t *data, size_t len, struct telemetry *ret, const char **ret_why)
{
	struct telemetry t = {.cursor = wire_open(data, len)};
	struct wire w = t.cursor;
	struct telemetry_record record;
	struct wire_field field;
	int r;

	while ((r = wire_next(&w, &field)) > 0) {
		if (field.number == REQUEST_AGENT_ID && field.type == WIRE_BYTES) {
			t.agent_id = field.data;
			t.agent_id_len = field.len;
		} else if (field.number == REQUEST_RECORDS && field.type == WIRE_BYTES) {
			if (read_record(field.data, field.len, &record) < 0) {
				*ret_why = "a record is not a protobuf message";
				return -EBADMSG;
			}
			if (record.epoch == 0 || record.sequence == 0) {
				*ret_why = "a record has no epoch or no sequence";
				return -EBADMSG;
			}
			t.n_records++;
		}
	}
	if (r < 0) {
		*ret_why = "not a protobuf message";
		return r;
	}
	if (!agent_id_is_valid(t.agent_id, t.agent_id_len)) {
		*ret_why = agent_id_rule;
		return -EBADMSG;
	}
	*ret = t;
	return 0;
}

int
telemetry_next(struct telemetry *t, struct telemetry_record *ret_record)
{
	struct wire_field field;

	while (wire_next(&t->cursor, &field) > 0) {
		if (field.number == REQUEST_RECORDS && field.type == WIRE_BYTES)
			return read_record(field.data, field.len, ret_record) == 0;
	}
	return 0;
}
