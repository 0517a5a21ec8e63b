/* What a stored event can be searched by, read from its packed bytes. */
#ifndef PICKET_SERVER_COLUMNS_H
#define PICKET_SERVER_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/text.h"

/* Bytes of summary kept: enough to find a command line by its beginning; the whole one is in the event. */
#define COLUMNS_SUMMARY_BYTES 512u

/* Bytes of a path: PATH_MAX. */
#define COLUMNS_PATH_BYTES 4096u

struct columns {
	uint64_t time_ms;
	uint64_t serial;
	bool has_process; /* else the next four are not set */
	uint32_t pid, ppid, uid;
	struct text executable;
	struct text summary;
	bool malformed; /* not a protobuf message as far as we looked: the columns hold what was read before */
	char executable_buf[COLUMNS_PATH_BYTES];
	char summary_buf[COLUMNS_SUMMARY_BYTES];
};

/*
 * columns_read - fill the columns from a packed Event (proto/event.proto).
 * Never fails: a field that is missing, unknown or malformed leaves its column at zero or empty.
 */
void columns_read(const uint8_t *event, size_t len, struct columns *ret);

#endif
