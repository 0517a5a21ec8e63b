/* What the server answers, apart from HTTP: a request body and a certificate go in, a status and a reply body come out.
 */
#ifndef PICKET_SERVER_API_H
#define PICKET_SERVER_API_H

#include <stddef.h>
#include <stdint.h>

#include "server/store.h"

/* Commands in one SyncReply (proto/link.proto): the rest goes with the next sync. */
#define API_COMMANDS_MAX 32u

/* Counted since the server started; logged at stop. */
struct api_stats {
	uint64_t syncs, packages;
	uint64_t stored, duplicates, malformed;
	uint64_t results, commands;
};

struct api {
	struct store *store; /* borrowed */
	struct api_stats stats;
};

struct api_request {
	const uint8_t *body; /* decoded; borrowed */
	size_t len;
	const char *subject; /* of the verified client certificate */
	uint64_t now_ms;
};

struct api_reply {
	int status;           /* HTTP */
	unsigned int retry_s; /* 503: Retry-After */
	const char *text;     /* not 200: one line; a constant or store_error(), valid until the next call */
	uint8_t *body;        /* 200: free with free() */
	size_t len;
};

/* POST /edr/v1/sync: the host's state and results in, commands out. 200 means that the confirmed results are stored for
 * good. */
void api_sync(struct api *api, const struct api_request *request, struct api_reply *ret_reply);

/* POST /edr/v1/telemetry: 200 means that every record is stored for good, now or before. */
void api_telemetry(struct api *api, const struct api_request *request, struct api_reply *ret_reply);

#endif
