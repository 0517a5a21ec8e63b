/*
 * Notices: records that say by themselves what happened - an account, audit's own configuration, the packet filter, a
 * BPF program, a security module. Most come from the kernel in the middle of a system call, some from programs.
 */
#ifndef PICKET_COLLECTORD_NOTICES_H
#define PICKET_COLLECTORD_NOTICES_H

#include <stddef.h>
#include <stdint.h>

enum notice_class {
	NOTICE_ACCOUNT = 1, /* what: Picket__V1__AccountAction */
	NOTICE_AUDIT,       /* what: Picket__V1__AuditAction, 0: the fields decide */
	NOTICE_NETFILTER,
	NOTICE_BPF,
	NOTICE_SECURITY, /* what: Picket__V1__SecurityKind */
	NOTICE_CLASSES,
};

struct notice_type {
	const char *name; /* as a log has it */
	uint8_t len;      /* of the name */
	uint16_t type;
	uint8_t class, what;
};

/* notices_number - the type of this name, or RECORD_TYPE_OTHER. */
uint16_t notices_number(const uint8_t *name, size_t len);

/* notices_find - the row of a type, or NULL. */
const struct notice_type *notices_find(uint16_t type);

#endif
