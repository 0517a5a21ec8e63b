/* AgentState (proto/link.proto) as the text that is stored and shown. */
#ifndef PICKET_SERVER_HOST_STATE_H
#define PICKET_SERVER_HOST_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "server/store.h"

/* Bytes of a name or version, and of the longest list: 64 IPv6 addresses, or 16 tasks. */
#define HOST_STATE_NAME_BYTES 256u
#define HOST_STATE_LIST_BYTES 3072u

struct host_state {
	struct store_host_state texts; /* points into the buffers below */
	char name[HOST_STATE_NAME_BYTES], os_name[HOST_STATE_NAME_BYTES], os_version[HOST_STATE_NAME_BYTES];
	char kernel[HOST_STATE_NAME_BYTES], agent_version[HOST_STATE_NAME_BYTES],
	    isolation_detail[HOST_STATE_NAME_BYTES];
	char addresses[HOST_STATE_LIST_BYTES], macs[HOST_STATE_LIST_BYTES], tasks[HOST_STATE_LIST_BYTES];
};

/*
 * host_state_read - unpack and put into words; lists that do not fit are cut at a whole entry.
 * @ret_why: on failure a constant string.
 * Returns 0 or -EBADMSG.
 */
int host_state_read(const uint8_t *data, size_t len, struct host_state *ret, const char **ret_why);

#endif
