/*
 * Files by table: Landlock.
 * Never needs a privilege, never logs, never opens a file for more than naming it. Called by sandbox_enter() only.
 *
 * Everything the running kernel can refuse is refused, and the paths of the table are given back. Constants and
 * structures stand here because kernel headers of the distributions we build on stop at ABI 2, while the kernel we run
 * on may be newer. See landlock(7).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/sandbox_internal.h"

#define CREATE_RULESET_VERSION (1u << 0)
#define RULE_PATH_BENEATH 1

/* Rights on files, by the ABI that brought them. */
enum {
	FS_EXECUTE = 1u << 0,
	FS_WRITE_FILE = 1u << 1,
	FS_READ_FILE = 1u << 2,
	FS_READ_DIR = 1u << 3,
	FS_REMOVE_DIR = 1u << 4,
	FS_REMOVE_FILE = 1u << 5,
	FS_MAKE_CHAR = 1u << 6,
	FS_MAKE_DIR = 1u << 7,
	FS_MAKE_REG = 1u << 8,
	FS_MAKE_SOCK = 1u << 9,
	FS_MAKE_FIFO = 1u << 10,
	FS_MAKE_BLOCK = 1u << 11,
	FS_MAKE_SYM = 1u << 12,
	FS_REFER = 1u << 13,     /* ABI 2; before it, renaming across directories is always refused */
	FS_TRUNCATE = 1u << 14,  /* ABI 3 */
	FS_IOCTL_DEV = 1u << 15, /* ABI 5 */
};
enum { NET_BIND_TCP = 1u << 0, NET_CONNECT_TCP = 1u << 1 };            /* ABI 4 */
enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1u << 0, SCOPE_SIGNAL = 1u << 1 }; /* ABI 6 */

#define FS_ABI_1 (FS_MAKE_SYM | (FS_MAKE_SYM - 1))

/* What the words of the table mean. */
#define ACCESS_READ (FS_READ_FILE | FS_READ_DIR)
#define ACCESS_WRITE                                                                                                   \
	(ACCESS_READ | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_REFER |         \
	    FS_TRUNCATE)
/* The rights that a rule on a plain file may name. */
#define ACCESS_OF_FILE (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* ABI 4 */
	uint64_t scoped;             /* ABI 6 */
};

struct path_beneath_attr {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

/* A structure that is larger than the kernel's is accepted as long as what it does not know is 0. */
static struct ruleset_attr
handled_by(int abi, bool inet)
{
	struct ruleset_attr attr = {.handled_access_fs = FS_ABI_1};

	if (abi >= 2)
		attr.handled_access_fs |= FS_REFER;
	if (abi >= 3)
		attr.handled_access_fs |= FS_TRUNCATE;
	if (abi >= 4 && !inet)
		attr.handled_access_net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi >= 5)
		attr.handled_access_fs |= FS_IOCTL_DEV;
	if (abi >= 6)
		attr.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
	return attr;
}

static int
add_path(int ruleset, const struct sandbox_path *path, uint64_t handled)
{
	struct path_beneath_attr rule = {0};
	AUTO_FD int fd = -1;
	struct stat st;

	fd = open(path->path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	rule.parent_fd = fd;
	rule.allowed_access = handled & (path->access == SANDBOX_WRITE ? ACCESS_WRITE : ACCESS_READ);
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= ACCESS_OF_FILE;
	return syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

int
sandbox_landlock(const struct sandbox *sandbox, int *ret_abi, char *err, size_t err_size)
{
	AUTO_FD int ruleset = -1;
	struct ruleset_attr attr;
	int abi, r;

	abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
	if (abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) {
		*ret_abi = 0; /* not built in, or not switched on at boot */
		return 0;
	}
	attr = handled_by(abi, sandbox->inet);
	if (abi > 0)
		ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0) {
		r = -errno;
		(void)snprintf(err, err_size, "landlock ruleset: %s", strerror(-r));
		return r;
	}
	for (const struct sandbox_path *p = sandbox->paths; p != NULL && p->path != NULL; p++) {
		r = add_path(ruleset, p, attr.handled_access_fs);
		if (r < 0) {
			(void)snprintf(err, err_size, "landlock: %s: %s; it must exist", p->path, strerror(-r));
			return r;
		}
	}
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) {
		r = -errno;
		(void)snprintf(err, err_size, "landlock: %s", strerror(-r));
		return r;
	}
	*ret_abi = abi;
	return 0;
}
