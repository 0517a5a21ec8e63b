/* The servers in order of preference, which one is used, and what is known of their addresses. Pure. */
#ifndef PICKET_UPLINKD_SERVERS_H
#define PICKET_UPLINKD_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

/* agentd's settings hold as many. */
#define UPL_SERVERS 8
/* Addresses kept of one server: those of a dual-stack name with a few hosts behind it. */
#define UPL_ADDRESSES 8
/* Bytes of a host name: 253 and the NUL. */
#define UPL_HOST_BYTES 254

/* Bytes of an address in text, IPv6 with a mapped IPv4 at the longest. */
#define UPL_ADDRESS_TEXT 46

struct upl_address {
	uint8_t bytes[16]; /* network order */
	uint8_t len;       /* 4 or 16 */
};

struct upl_server {
	char host[UPL_HOST_BYTES]; /* name, IPv4 or IPv6 without brackets */
	uint16_t port;
	bool literal; /* host is an address */
	struct upl_address addresses[UPL_ADDRESSES];
	size_t n_addresses;
};

struct upl_servers {
	struct upl_server list[UPL_SERVERS];
	size_t n;
	size_t current;
	size_t failed_in_a_row;  /* servers that failed since one worked */
	struct mono_ms probe_at; /* when the first one is tried again while another is used */
	struct upl_server proxy; /* host "": none */
};

/* An address in text, when it is one. */
bool upl_address_parse(const char *text, struct upl_address *ret);

/* Text of an address; buf has at least UPL_ADDRESS_TEXT bytes. */
const char *upl_address_text(const struct upl_address *address, char *buf, size_t size);

/* Fill in a server. Returns 0, or -EINVAL for an empty or over-long host or port 0. */
int upl_server_set(struct upl_server *server, const char *host, size_t host_len, uint32_t port);

/*
 * upl_servers_replace - take a new list. A server of the old one keeps its addresses; the current one stays current
 * when it is still there.
 */
void upl_servers_replace(struct upl_servers *servers, const struct upl_server *list, size_t n, struct mono_ms now);

/* True when both name the same servers and the same proxy, in the same order. */
bool upl_servers_same(const struct upl_servers *a, const struct upl_servers *b);

/*
 * upl_servers_proxy - which host a proxy setting ([scheme://][user[:password]@]host[:port]) means; "" for none.
 * Returns 0 or -EINVAL.
 */
int upl_servers_proxy(struct upl_servers *servers, const char *proxy);

/* Which server the next request of a kind goes to. A probe of the first one is due now and then; `may_probe`: this
 * request may be it. */
size_t upl_servers_pick(struct upl_servers *servers, bool may_probe, struct mono_ms now);

/* A request to a server worked. */
void upl_servers_worked(struct upl_servers *servers, size_t server);

/* A request to a server failed. Returns true when another server should be tried at once, false when all have failed.
 */
bool upl_servers_failed(struct upl_servers *servers, size_t server, struct mono_ms now);

/* Remember an address that was used. Returns true when it is new. */
bool upl_servers_learn(struct upl_server *server, const uint8_t *address, size_t len);

#endif
