/* A TelemetryRequest (proto/link.proto) read in place: checked whole first, then record by record. */
#ifndef PICKET_SERVER_TELEMETRY_H
#define PICKET_SERVER_TELEMETRY_H

#include <stddef.h>
#include <stdint.h>

#include "server/wire.h"

/* One EventRecord; `event` is borrowed from the request. */
struct telemetry_record {
	uint64_t epoch;
	uint64_t sequence;
	uint64_t type; /* as sent: a newer agent may know more types than we do */
	const uint8_t *event;
	size_t event_len;
};

struct telemetry {
	const uint8_t *agent_id; /* borrowed from the request; 1 to LIM_ID_BYTES bytes, see agent_id_is_valid() */
	size_t agent_id_len;
	uint64_t n_records;
	struct wire cursor;
};

/*
 * telemetry_open - check a whole request, so that a bad one changes nothing.
 * @data: borrowed until the last telemetry_next().
 * @ret_why: on failure a constant string that says what is wrong.
 * Returns 0 or -EBADMSG: not a protobuf message, no or a bad agent id, or a record without epoch or sequence. The bytes
 * inside `event` and its type are not looked at: they are stored as they are.
 */
int telemetry_open(const uint8_t *data, size_t len, struct telemetry *ret, const char **ret_why);

/* telemetry_next - the next record. Returns 1 with *ret_record set, or 0 after the last. */
int telemetry_next(struct telemetry *t, struct telemetry_record *ret_record);

#endif
