/* Who this host is: the agent's id and what every sync tells the server about the machine. */
#ifndef PICKET_AGENTD_IDENTITY_H
#define PICKET_AGENTD_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A UUID as text, with its end. */
#define AGT_ID_BYTES 37u

/* Addresses and interfaces told to the server; a host with more is cut, in the kernel's order. */
#define AGT_ADDRESSES 64u
#define AGT_MACS 32u

struct agt_address {
	uint8_t bytes[16];
	uint8_t len; /* 4 or 16 */
};

struct agt_host {
	char name[65]; /* uname(2): 64 bytes */
	char kernel[65];
	char os_name[128]; /* NAME and VERSION_ID of os-release(5) */
	char os_version[64];
	struct agt_address address[AGT_ADDRESSES];
	size_t n_addresses;
	uint8_t mac[AGT_MACS][6];
	size_t n_macs;
};

/*
 * agt_id_load - the agent's id, made (UUID version 4) and persisted when there is none.
 * @dirfd: the state directory.
 * Returns 0, or a negative errno; -EINVAL when the file holds something else.
 */
int agt_id_load(int dirfd, char id[AGT_ID_BYTES]);

/* True for 8-4-4-4-12 lower-case hexadecimal digits. */
bool agt_id_is_valid(const char *id);

/* agt_host_os - read os-release(5) into `host`; needs the file system, so before the sandbox. Unknown stays "Linux". */
void agt_host_os(struct agt_host *host);

/* agt_os_release_value - the value of KEY in the text of os-release(5), without its quotes. Returns buf; "" when there
 * is none. */
const char *agt_os_release_value(const char *text, const char *key, char *buf, size_t size);

/*
 * agt_host_refresh - host name, kernel, addresses and MACs as they are now. Loopback and link-local addresses are left
 * out. Returns whether anything changed.
 */
bool agt_host_refresh(struct agt_host *host);

#endif
