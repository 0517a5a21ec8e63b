/*
 * System calls by table (seccomp) and files by table (Landlock). Fails closed: a filter that cannot be installed ends
 * the process.
 *
 * seccomp: calls on the lists are allowed; the dangerous ones (execve, ptrace, mount, bpf, module loading, foreign
 * sockets ...) kill the process; anything else answers ENOSYS, so that a newer libc finds its way (clone3, rseq,
 * faccessat2).
 */
#ifndef PICKET_COMMON_SANDBOX_H
#define PICKET_COMMON_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sandbox_match {
	SANDBOX_ANY = 0, /* the call whatever its arguments */
	SANDBOX_EQ,      /* argument `arg` equals `value` (low 32 bits) */
	SANDBOX_MASK,    /* (argument `arg` & `mask`) == `value` */
};

struct sandbox_cond {
	enum sandbox_match match;
	unsigned int arg; /* 0 to 5 */
	uint64_t value;
	uint64_t mask;
};

/* A call may stand in several rows: any of them allows it. A row's conditions must all hold. */
struct sandbox_call {
	int nr; /* SCMP_SYS(name); rows with a call that the machine does not have are skipped */
	struct sandbox_cond cond[3];
};

/* Access to files below a path, where the kernel has Landlock; nothing else can be opened then. */
enum sandbox_access { SANDBOX_READ = 1, SANDBOX_WRITE = 2 /* create, write, rename, remove */ };

struct sandbox_path {
	const char *path; /* must exist; NULL ends the list */
	enum sandbox_access access;
};

struct sandbox {
	const struct sandbox_call *calls; /* beside those that every daemon needs; ended by nr == -1 */
	const struct sandbox_path *paths; /* NULL: no file can be opened */
	bool inet;                        /* false: Landlock also refuses TCP bind and connect (ABI 4) */
};

/* Put behind the last row of a struct sandbox_call list. */
#define SANDBOX_END                                                                                                    \
	{                                                                                                              \
		.nr = -1                                                                                               \
	}

/*
 * sandbox_enter - Landlock first, then seccomp. Call after privs_drop(), before the first untrusted byte. Cannot be
 * undone.
 * @ret_landlock_abi: ABI in force, 0 when the kernel has none (which is logged, not fatal); may be NULL.
 * Returns 0 or a negative errno with one line in err.
 */
int sandbox_enter(const struct sandbox *sandbox, int *ret_landlock_abi, char *err, size_t err_size);

/*
 * sandbox_probe - try a call that must not work, by name: execve, ptrace, mount, inet-socket, open-etc-shadow,
 * unknown-syscall. Returns only when it was not killed: 0 when the call was refused with an error, 1 when it went
 * through, -EINVAL for a name it does not know.
 */
int sandbox_probe(const char *name);

#endif
