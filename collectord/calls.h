/* The system calls that collectord reads, by number, for each machine whose calls it can meet. */
#ifndef PICKET_COLLECTORD_CALLS_H
#define PICKET_COLLECTORD_CALLS_H

#include <stddef.h>
#include <stdint.h>

/* AUDIT_ARCH_* of linux/audit.h, as the arch= field says it. */
#define CALLS_ARCH_X86_64 0xc000003eu
#define CALLS_ARCH_I386 0x40000003u
#define CALLS_ARCH_AARCH64 0xc00000b7u

enum call_kind {
	CALL_EXEC = 1,
	CALL_EXIT,
	CALL_CONNECT,
	CALL_ACCEPT,
	CALL_BIND,
	CALL_LISTEN,
	CALL_SOCKETCALL, /* i386: a0 says which of the four above */
	CALL_OPEN,
	CALL_RENAME,
	CALL_DELETE,
	CALL_LINK,
	CALL_CHMOD,
	CALL_TRUNCATE,
	CALL_MODULE_LOAD,
	CALL_MODULE_UNLOAD,
	CALL_PTRACE,
	CALL_VM_READ,
	CALL_VM_WRITE,
};

/* Place of an argument that a call does not have. */
#define CALL_NO_ARG (-1)

struct call {
	const char *name;
	enum call_kind kind;
	int8_t dir_arg;     /* descriptor that a relative path is relative to: a0 to a3, or CALL_NO_ARG for the working
			       directory */
	int8_t new_dir_arg; /* the same for the new name of a rename or link */
	int8_t
	    value_arg; /* open flags (CALL_OPEN) or mode (CALL_CHMOD); CALL_NO_ARG: in a record of its own, or fixed */
	int16_t x86_64, i386, aarch64; /* numbers; -1: the machine does not have it */
};

/* Ends with name NULL. */
extern const struct call calls_table[];

/* calls_find - the call with this number, or NULL when nobody here reads it. */
const struct call *calls_find(uint32_t arch, uint32_t nr);

/* What a request of ptrace(2) does to the other process. */
enum ptrace_effect {
	PTRACE_STEERS, /* one that is held already; or, as TRACEME does, offers itself to the parent */
	PTRACE_ATTACHES,
	PTRACE_READS,
	PTRACE_WRITES,
};

/* calls_ptrace - the effect of a request: PTRACE_STEERS for any that is not known. */
enum ptrace_effect calls_ptrace(uint64_t request);

/* calls_by_name - for tests and rules; NULL when there is none. */
const struct call *calls_by_name(const char *name);

#endif
