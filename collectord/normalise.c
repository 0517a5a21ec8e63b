/*
 * Gives audit events their meaning. Never does I/O and never looks at the running system: the same records always give
 * the same event. Called by pipeline.c.
 */
#include "collectord/normalise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "collectord/normalise_internal.h"
#include "collectord/paths.h"
#include "collectord/rules.h"

/* Argument buffers above this many are given back after the event. */
#define KEEP_ARGS 1024u

/* Flags of open(2) that change a file. */
#define WRITE_FLAGS (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)

struct normaliser *
normaliser_new(const struct normalise_conf *conf)
{
	struct normaliser *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	n->conf = *conf;
	n->procs = procs_new(conf->seed);
	if (n->procs == NULL) {
		free(n);
		return NULL;
	}
	return n;
}

void
normaliser_free(struct normaliser *n)
{
	if (n == NULL)
		return;
	procs_free(n->procs);
	free(n->args);
	free(n);
}

/* ---- paths ---- */

/* The whole path of `name`, in out when it must be built; *ret_unknown is set when it stays relative. */
static ProtobufCBinaryData
resolve(const struct audit_event *e, struct slice name, int dir, uint8_t *out, bool *ret_unknown)
{
	return bytes_of(paths_resolve(name, dir == AT_FDCWD ? e->cwd : (struct slice){NULL, 0}, out, ret_unknown));
}

/* The descriptor in argument `arg` of the call. */
static int
dir_fd(const struct audit_event *e, int8_t arg)
{
	return arg == CALL_NO_ARG ? AT_FDCWD : (int)(uint32_t)e->sys.a[arg];
}

/* First path of a type, or NULL. */
static const struct event_path *
path_of_type(const struct audit_event *e, enum event_name_type type)
{
	for (uint32_t i = 0; i < e->n_paths; i++)
		if (e->paths[i].type == type)
			return &e->paths[i];
	return NULL;
}

/* ---- who ---- */

static void
set_process(struct normaliser *n, const struct audit_event *e)
{
	const struct event_syscall *s = &e->sys;

	n->process.pid = s->pid;
	n->process.ppid = s->ppid;
	n->process.uid = s->uid;
	n->process.gid = s->gid;
	n->process.euid = s->euid;
	n->process.egid = s->egid;
	n->process.auid = s->auid;
	n->process.session = s->session;
	n->process.executable = bytes_of(s->exe);
	n->process.name = bytes_of(s->comm);
	n->process.tty = bytes_of(s->tty);
	n->process.unique_id = procs_id(n->procs, s->pid);
	n->process.parent_unique_id = procs_id(n->procs, s->ppid);
}

/* Keys of the rules that matched, without our own. Several are joined by 0x01. */
static void
set_keys(struct normaliser *n, struct slice key)
{
	const uint8_t *p = key.data, *end = p + key.len;

	n->event.keys = n->keys;
	while (p != NULL && p < end && n->event.n_keys < NORMALISE_KEYS) {
		const uint8_t *q = memchr(p, 0x01, (size_t)(end - p));
		size_t len = (size_t)((q != NULL ? q : end) - p);

		if (len > 0 && !(len >= sizeof(RULES_KEY_PREFIX) - 1 &&
				   memcmp(p, RULES_KEY_PREFIX, sizeof(RULES_KEY_PREFIX) - 1) == 0))
			n->keys[n->event.n_keys++] = pb_bytes(p, len);
		p += len + 1;
	}
}

static void
set_outcome(struct normaliser *n, const struct event_syscall *s)
{
	if (s->has_result && !s->success) {
		n->event.outcome = PICKET__V1__OUTCOME__OUTCOME_FAILURE;
		n->event.error = s->exit < 0 ? (uint32_t)-s->exit : 0;
	} else {
		n->event.outcome = PICKET__V1__OUTCOME__OUTCOME_SUCCESS;
	}
}

/* ---- what: one function per kind of call; false when it is nothing to report ---- */

static bool
fill_arguments(struct normaliser *n, const struct args *a)
{
	if (a->n > n->args_size || (n->args_size > KEEP_ARGS && a->n <= KEEP_ARGS)) {
		size_t size = a->n > KEEP_ARGS ? a->n : KEEP_ARGS;
		ProtobufCBinaryData *p = realloc(n->args, size * sizeof(*p));

		if (p == NULL)
			return false;
		n->args = p;
		n->args_size = size;
	}
	for (size_t i = 0; i < a->n; i++)
		n->args[i] = bytes_of(args_get(a, i));
	return true;
}

static bool
on_exec(struct normaliser *n, const struct audit_event *e)
{
	Picket__V1__ProcessStart *d = &n->detail.start;
	bool unknown = false;

	picket__v1__process_start__init(d);
	if (e->parts & EVENT_EXECVE) {
		d->argc = e->args.argc;
		d->args_truncated = !args_complete(&e->args);
		if (fill_arguments(n, &e->args)) {
			d->args = n->args;
			d->n_args = e->args.n;
		} else {
			d->args_truncated = true;
		}
	} else {
		d->args_truncated = !failed(e); /* a failed execve has no EXECVE record */
	}
	d->working_directory = bytes_of(e->cwd);
	if (e->n_paths > 0)
		d->path = resolve(e, e->paths[0].name, dir_fd(e, e->sys.call->dir_arg), n->path[0], &unknown);
	if (!failed(e))
		n->process.unique_id = procs_start(n->procs, e->sys.pid, e->serial, e->time_ms);
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_PROCESS_START;
	n->event.process_start = d;
	return true;
}

static bool
on_process_end(struct normaliser *n, const struct audit_event *e)
{
	Picket__V1__ProcessEnd *d = &n->detail.end;

	picket__v1__process_end__init(d);
	d->exit_code = (int32_t)(e->sys.a[0] & 0xff); /* what wait(2) shows to the parent */
	d->start_unique_id = n->process.unique_id;
	procs_end(n->procs, e->sys.pid);
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS_TERMINATE;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_PROCESS_END;
	n->event.process_end = d;
	return true;
}

/*
 * A struct sockaddr of Linux (little-endian machines only: those of calls_table). Returns its family, or AF_UNSPEC when
 * it is not one that is reported.
 */
static uint32_t
set_endpoint(struct normaliser *n, struct slice a)
{
	Picket__V1__Endpoint *p = &n->endpoint;
	uint32_t family = a.len >= 2 ? (uint32_t)(a.data[0] | a.data[1] << 8) : AF_UNSPEC;

	picket__v1__endpoint__init(p);
	if (family == AF_INET && a.len >= 8) {
		p->port = (uint32_t)(a.data[2] << 8 | a.data[3]);
		p->address = pb_bytes(a.data + 4, 4);
	} else if (family == AF_INET6 && a.len >= 24) {
		p->port = (uint32_t)(a.data[2] << 8 | a.data[3]);
		p->address = pb_bytes(a.data + 8, 16);
	} else if (family == AF_UNIX && n->conf.unix_sockets) {
		size_t len = a.len - 2;
		const uint8_t *nul = len > 0 && a.data[2] != 0 ? memchr(a.data + 2, 0, len) : NULL;

		/* A path ends at its NUL; an abstract name is as long as it is. */
		p->path = pb_bytes(a.data + 2, nul != NULL ? (size_t)(nul - a.data - 2) : len);
	} else {
		return AF_UNSPEC;
	}
	return family;
}

static struct slice
saddr_of(const struct audit_event *e)
{
	return (struct slice){e->saddr, e->saddr_len};
}

static bool
report_connection(struct normaliser *n, const struct audit_event *e, Picket__V1__NetDirection direction, uint32_t fd)
{
	Picket__V1__Connection *d = &n->detail.connection;

	picket__v1__connection__init(d);
	d->family = set_endpoint(n, saddr_of(e));
	if (d->family == AF_UNSPEC)
		return false;
	d->direction = direction;
	d->remote = &n->endpoint;
	d->fd = fd;
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_CONNECTION;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_CONNECTION;
	n->event.connection = d;
	return true;
}

static bool
on_connect(struct normaliser *n, const struct audit_event *e)
{
	uint32_t fd = (uint32_t)(e->sys.call->kind == CALL_SOCKETCALL ? e->socketcall[0] : e->sys.a[0]);

	if (!report_connection(n, e, PICKET__V1__NET_DIRECTION__NET_DIRECTION_OUTBOUND, fd))
		return false;
	/* A socket that does not block: the connection is under way, and how it ends is never told. */
	if (n->event.error == EINPROGRESS) {
		n->event.outcome = PICKET__V1__OUTCOME__OUTCOME_UNKNOWN;
		n->event.error = 0;
	}
	return true;
}

static bool
on_accept(struct normaliser *n, const struct audit_event *e)
{
	if (failed(e))
		return false; /* nobody came */
	return report_connection(n, e, PICKET__V1__NET_DIRECTION__NET_DIRECTION_INBOUND, (uint32_t)e->sys.exit);
}

static bool
report_listen(struct normaliser *n, struct slice address, uint32_t fd, bool bound_only)
{
	Picket__V1__PortListen *d = &n->detail.listen;

	picket__v1__port_listen__init(d);
	d->family = set_endpoint(n, address);
	if (d->family == AF_UNSPEC)
		return false;
	d->local = &n->endpoint;
	d->fd = fd;
	d->bound_only = bound_only;
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_PORTLISTEN;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_PORT_LISTEN;
	n->event.port_listen = d;
	return true;
}

static bool
on_bind(struct normaliser *n, const struct audit_event *e)
{
	uint32_t fd = (uint32_t)(e->sys.call->kind == CALL_SOCKETCALL ? e->socketcall[0] : e->sys.a[0]);

	if (!failed(e))
		procs_bound(n->procs, e->sys.pid, fd, saddr_of(e));
	return report_listen(n, saddr_of(e), fd, true);
}

static bool
on_listen(struct normaliser *n, const struct audit_event *e)
{
	uint32_t fd = (uint32_t)(e->sys.call->kind == CALL_SOCKETCALL ? e->socketcall[0] : e->sys.a[0]);

	return report_listen(n, procs_bound_to(n->procs, e->sys.pid, fd), fd, false);
}

/* Numbers of socketcall(2): linux/net.h. */
static bool
on_socketcall(struct normaliser *n, const struct audit_event *e)
{
	switch (e->sys.a[0]) {
	case 2:
		return on_bind(n, e);
	case 3:
		return on_connect(n, e);
	case 4:
		return on_listen(n, e);
	case 5:
	case 18:
		return on_accept(n, e);
	default:
		return false;
	}
}

static Picket__V1__FileChange *
new_file(struct normaliser *n, Picket__V1__FileAction action)
{
	Picket__V1__FileChange *d = &n->detail.file;

	picket__v1__file_change__init(d);
	d->action = action;
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_FILECHANGE;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_FILE_CHANGE;
	n->event.file_change = d;
	return d;
}

/* The file that `p` names, as it was found; p may be NULL. */
static void
set_file(struct normaliser *n, const struct audit_event *e, const struct event_path *p, int8_t dir_arg)
{
	Picket__V1__FileChange *d = &n->detail.file;
	bool unknown = false;

	if (p == NULL)
		return;
	d->path = resolve(e, p->name, dir_fd(e, dir_arg), n->path[0], &unknown);
	d->directory_unknown = unknown;
	d->inode = p->inode;
	d->device_major = p->dev_major;
	d->device_minor = p->dev_minor;
	d->mode = p->mode;
	d->owner_uid = p->uid;
	d->owner_gid = p->gid;
}

/* What was opened or changed: not its directory. A name that was not found (UNKNOWN) counts in a failed call. */
static const struct event_path *
main_path(const struct audit_event *e)
{
	const struct event_path *found = NULL;

	for (uint32_t i = 0; i < e->n_paths; i++)
		if (e->paths[i].type == NAME_NORMAL || (e->paths[i].type == NAME_UNKNOWN && found == NULL))
			found = &e->paths[i];
	return found;
}

static bool
on_open(struct normaliser *n, const struct audit_event *e)
{
	const struct call *call = e->sys.call;
	const struct event_path *created = path_of_type(e, NAME_CREATE), *p = created != NULL ? created : main_path(e);
	uint64_t flags;

	if (call->value_arg != CALL_NO_ARG)
		flags = e->sys.a[call->value_arg];
	else
		flags = e->parts & EVENT_OPENAT2 ? e->open_flags : O_CREAT | O_WRONLY | O_TRUNC; /* creat(2) */
	if (p == NULL || !(flags & WRITE_FLAGS))
		return false;
	if (created == NULL && !failed(e)) {
		/* O_CREAT alone opens an existing file without changing it. Devices, pipes and directories are no
		 * files. */
		if (!(flags & (O_WRONLY | O_RDWR | O_TRUNC)) || (p->mode != 0 && !S_ISREG(p->mode)))
			return false;
	}
	(void)new_file(n, created != NULL || (failed(e) && flags & O_CREAT && p->inode == 0)
			      ? PICKET__V1__FILE_ACTION__FILE_ACTION_CREATE
			      : PICKET__V1__FILE_ACTION__FILE_ACTION_MODIFY);
	set_file(n, e, p, call->dir_arg);
	return true;
}

static bool
on_truncate(struct normaliser *n, const struct audit_event *e)
{
	const struct event_path *p = main_path(e);

	if (p == NULL)
		return false;
	(void)new_file(n, PICKET__V1__FILE_ACTION__FILE_ACTION_MODIFY);
	set_file(n, e, p, e->sys.call->dir_arg);
	return true;
}

static bool
on_rename(struct normaliser *n, const struct audit_event *e)
{
	const struct event_path *from = path_of_type(e, NAME_DELETE), *to = path_of_type(e, NAME_CREATE);
	Picket__V1__FileChange *d;
	bool unknown = false;

	/* A call that failed early names only the directories. */
	if (from == NULL)
		from = main_path(e);
	if (from == NULL)
		return false;
	d = new_file(n, PICKET__V1__FILE_ACTION__FILE_ACTION_RENAME);
	set_file(n, e, from, e->sys.call->dir_arg);
	if (to != NULL)
		d->target_path = resolve(e, to->name, dir_fd(e, e->sys.call->new_dir_arg), n->path[1], &unknown);
	d->directory_unknown = d->directory_unknown || unknown;
	return true;
}

static bool
on_delete(struct normaliser *n, const struct audit_event *e)
{
	const struct event_path *p = path_of_type(e, NAME_DELETE);

	if (p == NULL)
		p = main_path(e);
	if (p == NULL)
		return false;
	(void)new_file(n, PICKET__V1__FILE_ACTION__FILE_ACTION_DELETE);
	set_file(n, e, p, e->sys.call->dir_arg);
	return true;
}

/* A hard or symbolic link: a new name. */
static bool
on_link(struct normaliser *n, const struct audit_event *e)
{
	const struct event_path *p = path_of_type(e, NAME_CREATE);

	if (p == NULL)
		return false;
	(void)new_file(n, PICKET__V1__FILE_ACTION__FILE_ACTION_CREATE);
	set_file(n, e, p, e->sys.call->new_dir_arg);
	return true;
}

static bool
on_chmod(struct normaliser *n, const struct audit_event *e)
{
	const struct event_path *p = main_path(e);
	Picket__V1__FileChange *d;

	if (p == NULL)
		return false;
	d = new_file(n, PICKET__V1__FILE_ACTION__FILE_ACTION_PERMISSION);
	set_file(n, e, p, e->sys.call->dir_arg);
	d->mode = (p->mode & S_IFMT) | ((uint32_t)e->sys.a[e->sys.call->value_arg] & 07777);
	return true;
}

static bool
on_module(struct normaliser *n, const struct audit_event *e)
{
	Picket__V1__Module *d = &n->detail.module;
	const struct event_path *p = main_path(e);
	bool unknown = false;

	picket__v1__module__init(d);
	d->name = bytes_of(e->module);
	if (p != NULL)
		d->path = resolve(e, p->name, AT_FDCWD, n->path[0], &unknown);
	d->unload = e->sys.call->kind == CALL_MODULE_UNLOAD;
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_MODULE;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_MODULE;
	n->event.module = d;
	return true;
}

static bool (*const on_call[])(struct normaliser *n, const struct audit_event *e) = {
    [CALL_EXEC] = on_exec,
    [CALL_EXIT] = on_process_end,
    [CALL_CONNECT] = on_connect,
    [CALL_ACCEPT] = on_accept,
    [CALL_BIND] = on_bind,
    [CALL_LISTEN] = on_listen,
    [CALL_SOCKETCALL] = on_socketcall,
    [CALL_OPEN] = on_open,
    [CALL_RENAME] = on_rename,
    [CALL_DELETE] = on_delete,
    [CALL_LINK] = on_link,
    [CALL_CHMOD] = on_chmod,
    [CALL_TRUNCATE] = on_truncate,
    [CALL_MODULE_LOAD] = on_module,
    [CALL_MODULE_UNLOAD] = on_module,
    [CALL_PTRACE] = normalise_access,
    [CALL_VM_READ] = normalise_access,
    [CALL_VM_WRITE] = normalise_access,
};

static bool
on_syscall(struct normaliser *n, const struct audit_event *e)
{
	return has_syscall(e) && e->sys.call != NULL && on_call[e->sys.call->kind](n, e);
}

/* Processes must be followed: what is told of an execve or exit besides is left out. */
static bool
follows_process(const struct audit_event *e)
{
	return has_syscall(e) && e->sys.call != NULL &&
	       (e->sys.call->kind == CALL_EXEC || e->sys.call->kind == CALL_EXIT);
}

static bool
find_meaning(struct normaliser *n, const struct audit_event *e)
{
	if (e->parts & (EVENT_USER | EVENT_LOGIN))
		return normalise_logon(n, e);
	if (e->parts & EVENT_ACCOUNT)
		return normalise_account(n, e);
	if (e->parts & EVENT_NOTICE && !follows_process(e) && normalise_notice(n, e))
		return true;
	return on_syscall(n, e);
}

const Picket__V1__Event *
normalise(struct normaliser *n, const struct audit_event *e)
{
	bool alone = e->parts & (EVENT_USER | EVENT_LOGIN | EVENT_ACCOUNT | EVENT_NOTICE), syscall = has_syscall(e);

	if (!alone && (!syscall || e->sys.call == NULL))
		return NULL;
	picket__v1__event__init(&n->event);
	picket__v1__process__init(&n->process);
	n->event.time_ms = e->time_ms;
	n->event.serial = e->serial;
	n->event.process = &n->process;
	if (syscall) {
		set_process(n, e);
		set_outcome(n, &e->sys);
		set_keys(n, e->sys.key);
		if (e->sys.call != NULL)
			n->event.syscall = pb_str(e->sys.call->name);
	}
	return find_meaning(n, e) ? &n->event : NULL;
}
