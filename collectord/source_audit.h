/* The kernel's audit records over unicast netlink: we are the audit daemon. */
#ifndef PICKET_COLLECTORD_SOURCE_AUDIT_H
#define PICKET_COLLECTORD_SOURCE_AUDIT_H

#include <stdint.h>

#include "collectord/source.h"

struct source_audit_conf {
	struct source_sink sink;
	/* Another program asked the kernel to become the audit daemon. May be NULL. */
	void (*on_takeover)(void *ctx);
	void *ctx;
	uint64_t *enobufs; /* counts overflows of the receive buffer */
};

/*
 * source_audit_buffer - make the receive buffer as large as allowed; with CAP_NET_ADMIN as large as asked for.
 * Returns the bytes that the kernel grants.
 */
uint64_t source_audit_buffer(int fd, uint64_t bytes);

/* source_audit_is_audit - a descriptor from elsewhere is an audit netlink socket. */
bool source_audit_is_audit(int fd);

/*
 * source_audit_open - read from an audit netlink socket, which it takes over.
 * Returns 0 or -ENOMEM: the descriptor is then still the caller's.
 */
int source_audit_open(int fd, const struct source_audit_conf *conf, struct source **ret);

/*
 * source_audit_register - ask the kernel to send records here: audit_set_pid of this process. Records that arrive while
 * the answer is awaited are handed on. Returns 0, -EALREADY when this very socket is registered for a process before
 * this one (records come), -EEXIST when another audit daemon is there and alive, or another negative errno.
 */
int source_audit_register(struct source *source);

#endif
