/* Orders for hosts: from the command line's words to a packed Command (proto/link.proto) in the database. */
#ifndef PICKET_SERVER_ORDER_H
#define PICKET_SERVER_ORDER_H

#include "common/limits.h"
#include "proto/link.pb-c.h"
#include "server/store.h"

/* Characters of a command id: 128 random bits in hexadecimal, and the terminator. */
#define ORDER_ID_BYTES 33u

/*
 * Bytes of one packed command, and of all in one SyncReply: agents take replies up to 64 KiB (proto/LINK.md), the rest
 * is for confirmed results and frames.
 */
#define ORDER_BYTES_MAX KIB(44)

/*
 * order_queue - give a command an id and queue it; the running server hands it out with the host's next sync.
 * @command: kind set by the caller; id, times and agent id are filled in here. Agents rely on it that issued_ms never
 *            falls from one to the next, so it is raised to the last one's when the clock was set back.
 * @expires_ms: wall clock, milliseconds since 1970; 0: never.
 * Returns 0 with the id in ret_id, -EMSGSIZE for a command above ORDER_BYTES_MAX, or a negative errno of the store.
 */
int order_queue(struct store *store, int64_t host, const char *agent_id, const char *kind, Picket__V1__Command *command,
    uint64_t now_ms, uint64_t expires_ms, char ret_id[static ORDER_ID_BYTES]);

#endif
