/*
 * One audit event while its records come in: typed fields, texts decoded and copied, so that it outlives the read
 * buffer. Records that nobody reads (PROCTITLE, BPRM_FCAPS ...) leave no trace but their arrival.
 */
#ifndef PICKET_COLLECTORD_EVENT_H
#define PICKET_COLLECTORD_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectord/arena.h"
#include "collectord/args.h"
#include "collectord/calls.h"
#include "collectord/notices.h"
#include "collectord/record.h"

/* PATH records kept of one event: a rename over an existing file has five, with symbolic links on the way a few more.
 */
#define EVENT_PATHS 12u

/* Bytes of one text (path, name): PATH_MAX of Linux, above which the kernel has none. A longer one is cut. */
#define EVENT_TEXT_BYTES 4096u

/* Bytes of a socket address kept: struct sockaddr_storage. */
#define EVENT_SADDR_BYTES 128u

/* What has been seen of an event. */
enum event_part {
	EVENT_SYSCALL = 1u << 0,
	EVENT_EXECVE = 1u << 1,
	EVENT_CWD = 1u << 2,
	EVENT_SADDR = 1u << 3,
	EVENT_USER = 1u << 4,  /* a message of a login program */
	EVENT_LOGIN = 1u << 5, /* the login user of a process was set */
	EVENT_MODULE = 1u << 6,
	EVENT_OPENAT2 = 1u << 7,
	EVENT_SOCKETCALL = 1u << 8,
	EVENT_OTHER = 1u << 9,    /* a record that stands by itself and is not read here */
	EVENT_PIECE = 1u << 10,   /* a record that belongs to a system call (PATH, PROCTITLE ...) */
	EVENT_ENDED = 1u << 11,   /* EOE or PROCTITLE came */
	EVENT_CUT = 1u << 12,     /* a text was too long or did not fit in memory */
	EVENT_ACCOUNT = 1u << 13, /* a message of a program that changes accounts, in `user` */
	EVENT_NOTICE = 1u << 14,
	EVENT_TARGET = 1u << 15, /* OBJ_PID */
};

enum event_name_type { NAME_UNKNOWN = 0, NAME_NORMAL, NAME_PARENT, NAME_CREATE, NAME_DELETE };

struct event_path {
	struct slice name; /* .data NULL: (null) */
	enum event_name_type type;
	uint64_t inode; /* 0: no such file */
	uint32_t dev_major, dev_minor;
	uint32_t mode, uid, gid;
};

struct event_syscall {
	const struct call *call; /* NULL: not one that is read here */
	uint32_t nr;
	bool has_result; /* success= is there: not on process end */
	bool success;
	int64_t exit;
	uint64_t a[4];
	uint32_t ppid, pid, auid, uid, gid, euid, egid, session;
	struct slice tty, comm, exe, key;
};

/* A user message (USER_LOGIN, ADD_USER ...) or LOGIN. */
struct event_user {
	uint16_t type;
	bool success, has_result;
	uint32_t pid, uid, auid, session;
	struct slice op, acct, grp, exe, hostname, addr, terminal;
};

/* The process that a call was about. */
struct event_target {
	uint32_t pid, uid, auid, session;
	struct slice comm;
};

/* Texts and numbers of a notice: whichever of its fields they come from (event_notice.c has the table). */
enum notice_text {
	NOTICE_OP,
	NOTICE_OBJECT,  /* path, name, device, table */
	NOTICE_SUBJECT, /* context or profile of who asks */
	NOTICE_CONTEXT, /* of the object */
	NOTICE_OBJECT_CLASS,
	NOTICE_PERMISSIONS, /* asked for */
	NOTICE_VERDICT,     /* AppArmor's: DENIED, ALLOWED, STATUS ... */
	NOTICE_KEY,         /* of an audit rule */
	NOTICE_SETTING,     /* name of what was set to NOTICE_VALUE */
	NOTICE_ACCT,
	NOTICE_COMM,
	NOTICE_EXE,
	NOTICE_TEXTS,
};

enum notice_number {
	NOTICE_PID,
	NOTICE_PPID,
	NOTICE_UID,
	NOTICE_GID,
	NOTICE_AUID,
	NOTICE_SESSION,
	NOTICE_LIST,
	NOTICE_FAMILY,
	NOTICE_ENTRIES,
	NOTICE_PROGRAM, /* BPF id */
	NOTICE_SIGNAL,
	NOTICE_ARCH,
	NOTICE_SYSCALL,
	NOTICE_CODE, /* SECCOMP_RET_* */
	NOTICE_VALUE,
	NOTICE_OLD_VALUE,
	NOTICE_PERMISSIVE,
	NOTICE_RESULT, /* 1: success */
	NOTICE_NUMBERS,
};

struct event_notice {
	const struct notice_type *type;
	uint32_t records; /* notices of the event, of which the first is kept */
	uint32_t numbers; /* 1u << enum notice_number: those that are there */
	bool denied;      /* SELinux's word */
	struct slice text[NOTICE_TEXTS];
	uint64_t number[NOTICE_NUMBERS];
};

struct audit_event {
	/* Owned by assemble.c. */
	struct audit_event *chain; /* same hash bucket, or next free */
	struct audit_event *older, *newer;
	uint64_t opened_ms; /* on the clock given to assemble_add() */

	uint64_t time_ms;
	uint32_t serial, node;
	uint32_t parts; /* enum event_part bits */
	bool ignored;   /* a system call that is not read here: the rest of its records is skipped */
	uint32_t n_paths;
	struct event_syscall sys;
	struct event_user user;
	struct slice cwd;
	struct slice module;
	uint64_t open_flags; /* of OPENAT2 */
	uint64_t socketcall[3];
	size_t saddr_len;
	uint8_t saddr[EVENT_SADDR_BYTES];
	struct event_path paths[EVENT_PATHS];
	struct args args;
	struct arena arena;
	/* Rare: behind what every event touches. */
	struct event_target target;
	struct event_notice notice;
};

/* event_begin - ready for the first record of `serial`. */
void event_begin(struct audit_event *e, struct arena_pool *pool);

/*
 * event_take - what one record says.
 * Returns true when nothing more can come for this event: PROCTITLE or EOE ended it, or it is a user message, which
 * stands alone.
 */
bool event_take(struct audit_event *e, const struct record *r);

/* ---- between event.c and event_notice.c ---- */

/* event_take_notice - the fields of a notice other than NOTICE_ACCOUNT; all but the first of an event are only counted.
 */
void event_take_notice(struct audit_event *e, const struct notice_type *type, struct slice body);

/* event_keep_text - the decoded text in the event's memory. data is NULL when it is absent. */
struct slice event_keep_text(struct audit_event *e, const struct field *f);

/* event_keep_plain - the text as it stands, for fields that are never encoded. */
struct slice event_keep_plain(struct audit_event *e, struct slice value);

#endif
