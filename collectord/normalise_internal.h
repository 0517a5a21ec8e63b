/* What the files of the normaliser share. One function per kind of event; each returns false when it is nothing to
 * report. */
#ifndef PICKET_COLLECTORD_NORMALISE_INTERNAL_H
#define PICKET_COLLECTORD_NORMALISE_INTERNAL_H

#include "collectord/normalise.h"
#include "collectord/paths.h"
#include "collectord/procs.h"
#include "common/cleanup.h"
#include "common/pb.h"

/* Keys of one event: the kernel joins those of all matching watches, in 256 bytes. */
#define NORMALISE_KEYS 8u

struct normaliser {
	struct normalise_conf conf;
	struct procs *procs;
	ProtobufCBinaryData *args;
	size_t args_size;
	ProtobufCBinaryData keys[NORMALISE_KEYS];
	uint8_t path[2][PATHS_JOINED_BYTES];
	Picket__V1__Event event;
	Picket__V1__Process process;
	union {
		Picket__V1__ProcessStart start;
		Picket__V1__ProcessEnd end;
		Picket__V1__Connection connection;
		Picket__V1__PortListen listen;
		Picket__V1__FileChange file;
		Picket__V1__Module module;
		Picket__V1__Logon logon;
		Picket__V1__ProcessAccess access;
		Picket__V1__AccountChange account;
		Picket__V1__AuditChange audit;
		Picket__V1__NetfilterChange netfilter;
		Picket__V1__BpfProgram bpf;
		Picket__V1__Security security;
	} detail;
	Picket__V1__Endpoint endpoint;
};

/* The bytes of a slice, borrowed. */
static inline ProtobufCBinaryData
bytes_of(struct slice s)
{
	return pb_bytes(s.data, s.len);
}

/* The SYSCALL record is there and was read to its end. */
static inline bool
has_syscall(const struct audit_event *e)
{
	return e->parts & EVENT_SYSCALL && !e->ignored;
}

static inline bool
failed(const struct audit_event *e)
{
	return e->sys.has_result && !e->sys.success;
}

/* normalise_logon - a message of a login program, or the kernel's own LOGIN. */
bool normalise_logon(struct normaliser *n, const struct audit_event *e);

/* normalise_account - a message of a program that changes users or groups. */
bool normalise_account(struct normaliser *n, const struct audit_event *e);

/* normalise_access - ptrace and process_vm_*: a process reaches into another one. */
bool normalise_access(struct normaliser *n, const struct audit_event *e);

/* normalise_notice - audit's configuration, packet filter, BPF, security modules. */
bool normalise_notice(struct normaliser *n, const struct audit_event *e);

#endif
