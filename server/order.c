/* Queues orders. Never waits for the host. Called by cli_order.c. */
#include "server/order.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "common/pb.h"

static int
make_id(char id[static ORDER_ID_BYTES])
{
	uint8_t random[(ORDER_ID_BYTES - 1) / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	for (size_t i = 0; i < sizeof(random); i++)
		(void)snprintf(id + 2 * i, 3, "%02x", random[i]);
	return 0;
}

/* Pack and add within the transaction that settled the time of issue. */
static int
add(struct store *store, int64_t host, const char *kind, const Picket__V1__Command *command, const char *id)
{
	size_t len;
	AUTO_FREE uint8_t *bytes = pb_pack_new(&command->base, &len);

	if (bytes == NULL)
		return -ENOMEM;
	if (len > ORDER_BYTES_MAX)
		return -EMSGSIZE;
	const struct store_command row = {
	    .host = host,
	    .id = id,
	    .kind = kind,
	    .bytes = bytes,
	    .len = len,
	    .created_ms = command->issued_ms,
	    .expires_ms = command->expires_ms,
	};
	return store_command_add(store, &row);
}

int
order_queue(struct store *store, int64_t host, const char *agent_id, const char *kind, Picket__V1__Command *command,
    uint64_t now_ms, uint64_t expires_ms, char ret_id[static ORDER_ID_BYTES])
{
	uint64_t newest_ms = 0;
	int r = make_id(ret_id);

	if (r < 0)
		return r;
	r = store_begin(store);
	if (r < 0)
		return r;
	r = store_command_newest(store, &newest_ms);
	if (r == 0) {
		command->id = pb_str(ret_id);
		command->issued_ms = now_ms > newest_ms ? now_ms : newest_ms;
		command->expires_ms = expires_ms;
		command->agent_id = pb_str(agent_id);
		r = add(store, host, kind, command, ret_id);
	}
	if (r == 0)
		r = store_commit(store);
	if (r < 0)
		store_rollback(store);
	return r;
}
