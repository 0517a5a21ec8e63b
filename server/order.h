/* Orders for hosts: from the command line's words to a packed Command (proto/link.proto) in the database. */
#ifndef PICKET_SERVER_ORDER_H
#define PICKET_SERVER_ORDER_H

#include "proto/link.pb-c.h"
#include "server/store.h"

/* Characters of a command id: 128 random bits in hexadecimal, and the terminator. */
#define ORDER_ID_BYTES 33u

/*
 * order_queue - give a command an id and queue it; the running server hands it out with the host's next sync.
 * @command: kind set by the caller; id, times and agent id are filled in here.
 * @expires_ms: wall clock, milliseconds since 1970; 0: never.
 * Returns 0 with the id in ret_id, or a negative errno.
 */
int order_queue(struct store *store, int64_t host, const char *agent_id, const char *kind, Picket__V1__Command *command,
    uint64_t now_ms, uint64_t expires_ms, char ret_id[static ORDER_ID_BYTES]);

#endif
