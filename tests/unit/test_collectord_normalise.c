/* What audit events mean: each kind of call, success and failure, paths, addresses, log-ons. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "collectord_feed.h"
#include "common/pb.h"
#include "proto/event.pb-c.h"

/* The last event, copied by packing: what the pipeline gives is borrowed. */
struct last {
	Picket__V1__Event *event;
	size_t n;
};

static void
on_event(const Picket__V1__Event *event, void *ctx)
{
	struct last *last = ctx;
	static uint8_t packed[256 * 1024];
	size_t len = picket__v1__event__pack(event, packed);

	if (last->event != NULL)
		picket__v1__event__free_unpacked(last->event, NULL);
	last->event = picket__v1__event__unpack(NULL, len, packed);
	assert_non_null(last->event);
	last->n++;
}

struct fixture {
	struct last last;
	struct pipeline *pipeline;
	struct source_sink sink;
	unsigned int serial;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct pipeline_conf conf = {.normalise = {.seed = 1, .unix_sockets = true},
	    .on_event = on_event,
	    .ctx = &f->last,
	    .clock_from_records = true};

	f->pipeline = pipeline_new(&conf);
	f->sink = pipeline_sink(f->pipeline);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->last.event != NULL)
		picket__v1__event__free_unpacked(f->last.event, NULL);
	pipeline_free(f->pipeline);
	free(f);
	return 0;
}

#define WHO                                                                                                            \
	"items=1 ppid=10 pid=20 auid=1000 uid=1 gid=2 euid=3 suid=0 fsuid=0 egid=4 sgid=0 fsgid=0 tty=pts0 ses=7 "     \
	"comm=\"sh\" exe=\"/usr/bin/dash\" "

/* One SYSCALL event: the call with its arguments, and other records as "TYPE body" until NULL. Returns the event or
 * NULL. */
static const Picket__V1__Event *
call_with(struct fixture *f, const char *what, const char *const *records)
{
	char line[8192];
	size_t before = f->last.n;

	f->serial++;
	(void)snprintf(line, sizeof(line),
	    "type=SYSCALL msg=audit(1000.000:%u): arch=c000003e %s " WHO "key=\"picket-x\"", f->serial, what);
	assert_int_equal(feed_line(&f->sink, line), RECORD_OK);
	for (; *records != NULL; records++) {
		const char *space = strchr(*records, ' ');

		(void)snprintf(line, sizeof(line), "type=%.*s msg=audit(1000.000:%u):%s", (int)(space - *records),
		    *records, f->serial, space);
		assert_int_equal(feed_line(&f->sink, line), RECORD_OK);
	}
	(void)snprintf(line, sizeof(line), "type=PROCTITLE msg=audit(1000.000:%u): proctitle=00", f->serial);
	assert_int_equal(feed_line(&f->sink, line), RECORD_OK);
	return f->last.n > before ? f->last.event : NULL;
}

#define call(f, what, ...) call_with(f, what, (const char *const[]){__VA_ARGS__})

static void
expect_bytes(ProtobufCBinaryData got, const char *want)
{
	if (got.len != strlen(want) || (got.len > 0 && memcmp(got.data, want, got.len) != 0))
		fail_msg("\"%.*s\" instead of \"%s\"", (int)got.len, (const char *)got.data, want);
}

static const Picket__V1__FileChange *
expect_file(const Picket__V1__Event *e, Picket__V1__FileAction action, const char *path, bool unknown)
{
	assert_non_null(e);
	assert_int_equal(e->type, PICKET__V1__EVENT_TYPE__EVENT_TYPE_FILECHANGE);
	assert_int_equal(e->file_change->action, action);
	expect_bytes(e->file_change->path, path);
	assert_int_equal(e->file_change->directory_unknown, unknown);
	return e->file_change;
}

#define CREATE PICKET__V1__FILE_ACTION__FILE_ACTION_CREATE
#define MODIFY PICKET__V1__FILE_ACTION__FILE_ACTION_MODIFY
#define RENAME PICKET__V1__FILE_ACTION__FILE_ACTION_RENAME
#define DELETE PICKET__V1__FILE_ACTION__FILE_ACTION_DELETE
#define PERMISSION PICKET__V1__FILE_ACTION__FILE_ACTION_PERMISSION

#define CWD "CWD cwd=\"/home\""
#define PATH_(name, type)                                                                                              \
	"PATH item=0 name=" name " inode=5 dev=fe:01 mode=0100644 ouid=6 ogid=7 rdev=00:00 nametype=" type

static void
the_actor_is_taken_from_the_call(void **state)
{
	const Picket__V1__Event *e = call(*state, "syscall=231 a0=100 a1=0 a2=0 a3=0", NULL);

	assert_non_null(e);
	assert_int_equal(e->time_ms, 1000000);
	assert_int_equal(e->serial, 1);
	assert_int_equal(e->process->pid, 20);
	assert_int_equal(e->process->ppid, 10);
	assert_int_equal(e->process->uid, 1);
	assert_int_equal(e->process->gid, 2);
	assert_int_equal(e->process->euid, 3);
	assert_int_equal(e->process->egid, 4);
	assert_int_equal(e->process->auid, 1000);
	assert_int_equal(e->process->session, 7);
	expect_bytes(e->process->executable, "/usr/bin/dash");
	expect_bytes(e->process->name, "sh");
	expect_bytes(e->process->tty, "pts0");
	expect_bytes(e->syscall, "exit_group");
	assert_int_equal(e->n_keys, 0); /* ours is not told */
}

static void
keys_of_others_are_told(void **state)
{
	struct fixture *f = *state;
	const char *line =
	    "type=SYSCALL msg=audit(5.000:9): arch=c000003e syscall=231 a0=0 items=0 pid=1 exe=\"/x\" "
	    "key=61646D696E017069636B65742D6578656301776174636800"; /* admin \1 picket-exec \1 watch NUL */

	assert_int_equal(feed_line(&f->sink, line), RECORD_OK);
	pipeline_flush(f->pipeline);
	assert_int_equal(f->last.event->n_keys, 2);
	expect_bytes(f->last.event->keys[0], "admin");
}

static void
exec_has_arguments_directory_path_and_an_identity_that_its_exit_repeats(void **state)
{
	const Picket__V1__Event *e =
	    call(*state, "syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4", "EXECVE argc=2 a0=\"./run me\" a1=0AC3A9",
		CWD, PATH_("\"./bin/run\"", "NORMAL"), PATH_("\"/lib/ld.so\"", "NORMAL"), NULL);
	uint64_t id;

	assert_non_null(e);
	assert_int_equal(e->type, PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS);
	assert_int_equal(e->outcome, PICKET__V1__OUTCOME__OUTCOME_SUCCESS);
	assert_int_equal(e->process_start->n_args, 2);
	expect_bytes(e->process_start->args[0], "./run me");
	expect_bytes(e->process_start->args[1], "\n\xc3\xa9");
	expect_bytes(e->process_start->working_directory, "/home");
	expect_bytes(e->process_start->path, "/home/bin/run");
	assert_int_equal(e->process_start->argc, 2);
	assert_false(e->process_start->args_truncated);
	id = e->process->unique_id;
	assert_true(id != 0);

	e = call(*state, "syscall=231 a0=101 a1=0 a2=0 a3=0", NULL);
	assert_int_equal(e->type, PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS_TERMINATE);
	assert_int_equal(e->process_end->exit_code, 1); /* the low byte, as the parent sees it */
	assert_int_equal(e->process_end->start_unique_id, id);

	/* The pid comes again: another identity. */
	e = call(*state, "syscall=231 a0=0 a1=0 a2=0 a3=0", NULL);
	assert_int_equal(e->process_end->start_unique_id, 0);
	e = call(*state, "syscall=59 success=yes exit=0 a0=1", "EXECVE argc=1 a0=\"x\"", NULL);
	assert_true(e->process->unique_id != 0 && e->process->unique_id != id);
}

static void
an_exec_whose_arguments_are_missing_says_so(void **state)
{
	const Picket__V1__Event *e = call(*state, "syscall=59 success=yes exit=0 a0=1", CWD, NULL);

	assert_true(e->process_start->args_truncated);
	e = call(*state, "syscall=59 success=yes exit=0 a0=1", "EXECVE argc=2 a0=\"x\"", NULL);
	assert_true(e->process_start->args_truncated);
	e = call(*state, "syscall=59 success=no exit=-2 a0=1", CWD, PATH_("\"/none\"", "UNKNOWN"), NULL);
	assert_false(e->process_start->args_truncated);
	assert_int_equal(e->outcome, PICKET__V1__OUTCOME__OUTCOME_FAILURE);
	assert_int_equal(e->error, ENOENT);
	expect_bytes(e->process_start->path, "/none");
}

static void
opening_for_writing_is_create_or_modify(void **state)
{
	const Picket__V1__FileChange *f =
	    expect_file(call(*state, "syscall=257 success=yes exit=3 a0=ffffff9c a1=0 a2=241 a3=1b6", CWD,
			    PATH_("\"/tmp/\"", "PARENT"), PATH_("\"/tmp/new\"", "CREATE"), NULL),
		CREATE, "/tmp/new", false);

	assert_int_equal(f->inode, 5);
	assert_int_equal(f->device_major, 0xfe);
	assert_int_equal(f->device_minor, 1);
	assert_int_equal(f->mode, 0100644);
	assert_int_equal(f->owner_uid, 6);
	assert_int_equal(f->owner_gid, 7);
	expect_file(call(*state, "syscall=257 success=yes exit=3 a0=ffffff9c a1=0 a2=241 a3=1b6", CWD,
			PATH_("\"/tmp/\"", "PARENT"), PATH_("\"/tmp/old\"", "NORMAL"), NULL),
	    MODIFY, "/tmp/old", false);
	expect_file(call(*state, "syscall=2 success=yes exit=3 a0=0 a1=1 a2=0", CWD, PATH_("\"x\"", "NORMAL"), NULL),
	    MODIFY, "/home/x", false);
	expect_file(call(*state, "syscall=85 success=yes exit=3 a0=0 a1=1a4", CWD, PATH_("\"x\"", "CREATE"), NULL),
	    CREATE, "/home/x", false);
	expect_file(call(*state, "syscall=437 success=yes exit=3 a0=ffffff9c a1=0",
			"OPENAT2 oflag=0102 mode=0600 resolve=0x8", CWD, PATH_("\"x\"", "CREATE"), NULL),
	    CREATE, "/home/x", false);
	expect_file(call(*state, "syscall=76 success=yes exit=0 a0=0 a1=0", CWD, PATH_("\"x\"", "NORMAL"), NULL),
	    MODIFY, "/home/x", false);
}

static void
opening_without_changing_is_nothing(void **state)
{
	/* for reading; O_CREAT of a file that is there; a device; openat2 for reading */
	assert_null(call(
	    *state, "syscall=257 success=yes exit=3 a0=ffffff9c a1=0 a2=0 a3=0", CWD, PATH_("\"/x\"", "NORMAL"), NULL));
	assert_null(call(*state, "syscall=257 success=yes exit=3 a0=ffffff9c a1=0 a2=40 a3=0", CWD,
	    PATH_("\"/x\"", "NORMAL"), NULL));
	assert_null(call(*state, "syscall=257 success=yes exit=3 a0=ffffff9c a1=0 a2=2 a3=0", CWD,
	    "PATH item=0 name=\"/dev/null\" inode=4 dev=00:05 mode=020666 ouid=0 ogid=0 rdev=01:03 nametype=NORMAL",
	    NULL));
	assert_null(call(*state, "syscall=437 success=yes exit=3 a0=ffffff9c a1=0",
	    "OPENAT2 oflag=0 mode=0 resolve=0x0", CWD, PATH_("\"/x\"", "NORMAL"), NULL));
	/* a call that nobody reads */
	assert_null(call(*state, "syscall=39 success=yes exit=1 a0=0", CWD, NULL));
}

static void
a_failed_open_tells_what_was_tried(void **state)
{
	const Picket__V1__Event *e = call(*state, "syscall=257 success=no exit=-13 a0=ffffff9c a1=0 a2=241 a3=1b6", CWD,
	    "PATH item=0 name=\"/etc/new\" nametype=UNKNOWN cap_fp=0", NULL);

	expect_file(e, CREATE, "/etc/new", false);
	assert_int_equal(e->outcome, PICKET__V1__OUTCOME__OUTCOME_FAILURE);
	assert_int_equal(e->error, EACCES);
	expect_file(call(*state, "syscall=257 success=no exit=-13 a0=ffffff9c a1=0 a2=1 a3=0", CWD,
			PATH_("\"/etc/passwd\"", "NORMAL"), NULL),
	    MODIFY, "/etc/passwd", false);
}

static void
rename_has_both_names(void **state)
{
	const Picket__V1__FileChange *f =
	    expect_file(call(*state, "syscall=82 success=yes exit=0 a0=0 a1=0", CWD, PATH_("\"d/\"", "PARENT"),
			    PATH_("\"e/\"", "PARENT"), PATH_("\"d/old\"", "DELETE"), PATH_("\"e/over\"", "DELETE"),
			    PATH_("\"e/over\"", "CREATE"), NULL),
		RENAME, "/home/d/old", false);

	expect_bytes(f->target_path, "/home/e/over");
	/* renameat2: the old name relative to a descriptor, the new one absolute */
	f = expect_file(call(*state, "syscall=316 success=yes exit=0 a0=10 a1=0 a2=ffffff9c a3=0", CWD,
			    PATH_("\"/home\"", "PARENT"), PATH_("\"/home\"", "PARENT"), PATH_("\"old\"", "DELETE"),
			    PATH_("\"/tmp/new\"", "CREATE"), NULL),
	    RENAME, "old", true);
	expect_bytes(f->target_path, "/tmp/new");
}

static void
delete_link_and_permission(void **state)
{
	const Picket__V1__FileChange *f;

	expect_file(call(*state, "syscall=87 success=yes exit=0 a0=0", CWD, PATH_("\"/tmp/\"", "PARENT"),
			PATH_("\"/tmp/x\"", "DELETE"), NULL),
	    DELETE, "/tmp/x", false);
	expect_file(call(*state, "syscall=263 success=yes exit=0 a0=5 a1=0 a2=0", CWD, PATH_("\"/home\"", "PARENT"),
			PATH_("\"x\"", "DELETE"), NULL),
	    DELETE, "x", true);
	expect_file(call(*state, "syscall=86 success=yes exit=0 a0=0 a1=0", CWD, PATH_("\"/tmp/x\"", "NORMAL"),
			PATH_("\"/tmp/\"", "PARENT"), PATH_("\"/tmp/y\"", "CREATE"), NULL),
	    CREATE, "/tmp/y", false);
	f = expect_file(
	    call(*state, "syscall=90 success=yes exit=0 a0=0 a1=1ed", CWD, PATH_("\"/tmp/x\"", "NORMAL"), NULL),
	    PERMISSION, "/tmp/x", false);
	assert_int_equal(f->mode, S_IFREG | 0755);
	f = expect_file(call(*state, "syscall=268 success=yes exit=0 a0=ffffff9c a1=0 a2=800001a4", CWD,
			    PATH_("\"x\"", "NORMAL"), NULL),
	    PERMISSION, "/home/x", false);
	assert_int_equal(f->mode, S_IFREG | 0644);
	/* fchmod: the name is not known, the inode is */
	f = expect_file(call(*state, "syscall=91 success=yes exit=0 a0=3 a1=1ed", PATH_("(null)", "NORMAL"), NULL),
	    PERMISSION, "", false);
	assert_int_equal(f->inode, 5);
}

static void
paths_are_joined_and_cleaned(void **state)
{
	static const struct {
		const char *cwd, *name, *want;
	} rows[] = {
	    {"\"/home\"", "\"x\"", "/home/x"},
	    {"\"/home\"", "\"./x\"", "/home/x"},
	    {"\"/home\"", "\"a//b/./c\"", "/home/a/b/c"},
	    {"\"/home\"", "\"../x\"", "/home/../x"},
	    {"\"/\"", "\"x\"", "/x"},
	    {"\"/home\"", "\"/a//b\"", "/a/b"},
	    {"\"/home\"", "\"/.hidden\"", "/.hidden"},
	    {"\"/home\"", "\".\"", "/home"},
	    {"\"/home\"", "612062", "/home/a b"},
	    {"2F6120622F", "\"x\"", "/a b/x"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char cwd[64], path[128];

		(void)snprintf(cwd, sizeof(cwd), "CWD cwd=%s", rows[i].cwd);
		(void)snprintf(
		    path, sizeof(path), "PATH item=0 name=%s inode=1 mode=0100644 nametype=DELETE", rows[i].name);
		expect_file(
		    call(*state, "syscall=87 success=yes exit=0 a0=0", cwd, path, NULL), DELETE, rows[i].want, false);
	}
	/* no working directory: nothing to join to */
	expect_file(
	    call(*state, "syscall=87 success=yes exit=0 a0=0", PATH_("\"x\"", "DELETE"), NULL), DELETE, "x", true);
}

static void
a_path_too_long_to_join_stays_relative(void **state)
{
	char cwd[4200], path[4200];

	(void)snprintf(cwd, sizeof(cwd), "CWD cwd=\"/%04000d\"", 0);
	(void)snprintf(path, sizeof(path), "PATH item=0 name=\"%04000d\" inode=1 mode=0100644 nametype=DELETE", 0);
	assert_true(
	    call(*state, "syscall=87 success=yes exit=0 a0=0", cwd, path, NULL)->file_change->directory_unknown);
}

static void
expect_endpoint(const Picket__V1__Endpoint *e, const char *address, size_t len, uint32_t port)
{
	assert_non_null(e);
	assert_int_equal(e->address.len, len);
	assert_memory_equal(e->address.data, address, len);
	assert_int_equal(e->port, port);
}

static void
connections_have_both_directions(void **state)
{
	const Picket__V1__Event *e = call(*state, "syscall=42 success=yes exit=0 a0=3 a1=0 a2=10",
	    "SOCKADDR saddr=020001BB5DB8D8220000000000000000", NULL);

	assert_int_equal(e->type, PICKET__V1__EVENT_TYPE__EVENT_TYPE_CONNECTION);
	assert_int_equal(e->connection->direction, PICKET__V1__NET_DIRECTION__NET_DIRECTION_OUTBOUND);
	assert_int_equal(e->connection->family, AF_INET);
	assert_int_equal(e->connection->fd, 3);
	expect_endpoint(e->connection->remote, "\x5d\xb8\xd8\x22", 4, 443);

	e = call(*state, "syscall=288 success=yes exit=9 a0=3 a1=0 a2=0",
	    "SOCKADDR saddr=0A00D43100000000000000000000000000000000000000010000000000", NULL);
	assert_int_equal(e->connection->direction, PICKET__V1__NET_DIRECTION__NET_DIRECTION_INBOUND);
	assert_int_equal(e->connection->fd, 9);
	expect_endpoint(e->connection->remote, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16, 0xd431);
}

static void
a_connection_under_way_is_of_unknown_outcome(void **state)
{
	const Picket__V1__Event *e = call(*state, "syscall=42 success=no exit=-115 a0=3 a1=0 a2=10",
	    "SOCKADDR saddr=020001BB5DB8D8220000000000000000", NULL);

	assert_int_equal(e->outcome, PICKET__V1__OUTCOME__OUTCOME_UNKNOWN);
	assert_int_equal(e->error, 0);
	e = call(*state, "syscall=42 success=no exit=-111 a0=3 a1=0 a2=10",
	    "SOCKADDR saddr=020001BB5DB8D8220000000000000000", NULL);
	assert_int_equal(e->outcome, PICKET__V1__OUTCOME__OUTCOME_FAILURE);
	assert_int_equal(e->error, ECONNREFUSED);
}

static void
a_listen_knows_the_address_of_its_bind(void **state)
{
	const Picket__V1__Event *e = call(*state, "syscall=49 success=yes exit=0 a0=4 a1=0 a2=10",
	    "SOCKADDR saddr=02001F90000000000000000000000000", NULL);

	assert_int_equal(e->type, PICKET__V1__EVENT_TYPE__EVENT_TYPE_PORTLISTEN);
	assert_true(e->port_listen->bound_only);
	expect_endpoint(e->port_listen->local, "\0\0\0\0", 4, 8080);
	/* another socket of the process, another address */
	assert_non_null(call(*state, "syscall=49 success=yes exit=0 a0=5 a1=0 a2=10",
	    "SOCKADDR saddr=02000001000000000000000000000000", NULL));
	e = call(*state, "syscall=50 success=yes exit=0 a0=4 a1=80", NULL);
	assert_false(e->port_listen->bound_only);
	expect_endpoint(e->port_listen->local, "\0\0\0\0", 4, 8080);
	/* a bind that failed, and a listen without one: the address is not known, so there is nothing to say */
	assert_non_null(call(*state, "syscall=49 success=no exit=-98 a0=6 a1=0 a2=10",
	    "SOCKADDR saddr=02001F90000000000000000000000000", NULL));
	assert_null(call(*state, "syscall=50 success=yes exit=0 a0=6 a1=80", NULL));
}

static void
unix_addresses_end_where_they_end(void **state)
{
	const Picket__V1__Event *e =
	    call(*state, "syscall=42 success=yes exit=0 a0=3", "SOCKADDR saddr=01002F6465762F6C6F6700AABB", NULL);

	expect_bytes(e->connection->remote->path, "/dev/log");
	e = call(*state, "syscall=42 success=yes exit=0 a0=3", "SOCKADDR saddr=0100006162630064", NULL);
	assert_int_equal(e->connection->remote->path.len, 6); /* abstract: NULs belong to it */
}

static void
odd_addresses_do_no_harm(void **state)
{
	static const char *const rows[] = {"SOCKADDR saddr=", "SOCKADDR saddr=02", "SOCKADDR saddr=0200",
	    "SOCKADDR saddr=020001BB5D", "SOCKADDR saddr=0A0001BB5D", "SOCKADDR saddr=1000000000000000",
	    "SOCKADDR saddr=0000000000000000", "SOCKADDR saddr=zz", "SOCKADDR nothing"};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_null(call(*state, "syscall=42 success=yes exit=0 a0=3", rows[i], NULL));
	assert_null(call(*state, "syscall=43 success=no exit=-11 a0=3", NULL)); /* accept: nobody came */
}

static void
socketcall_of_i386_is_read_like_the_calls_it_stands_for(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
	    feed_line(&f->sink,
		"type=SYSCALL msg=audit(1.000:5): arch=40000003 syscall=102 success=yes exit=0 a0=3 a1=0 a2=0 "
		"a3=0 items=0 pid=1 exe=\"/x\" key=(null)"),
	    RECORD_OK);
	assert_int_equal(feed_line(&f->sink, "type=SOCKETCALL msg=audit(1.000:5): nargs=3 a0=8 a1=1 a2=10"), RECORD_OK);
	assert_int_equal(
	    feed_line(&f->sink, "type=SOCKADDR msg=audit(1.000:5): saddr=020001BB5DB8D8220000000000000000"), RECORD_OK);
	pipeline_flush(f->pipeline);
	assert_non_null(f->last.event);
	assert_int_equal(f->last.event->connection->fd, 8);
}

static void
modules_by_name(void **state)
{
	const Picket__V1__Event *e =
	    call(*state, "syscall=313 success=no exit=-38 a0=3 a1=0 a2=0", "KERN_MODULE name=\"evil\"", NULL);

	assert_int_equal(e->type, PICKET__V1__EVENT_TYPE__EVENT_TYPE_MODULE);
	expect_bytes(e->module->name, "evil");
	assert_false(e->module->unload);
	assert_int_equal(e->error, ENOSYS);
	assert_true(
	    call(*state, "syscall=176 success=yes exit=0 a0=3", "KERN_MODULE name=\"evil\"", NULL)->module->unload);
}

static void
log_ons_of_programs_and_of_the_kernel(void **state)
{
	struct fixture *f = *state;
	const Picket__V1__Event *e;

	assert_int_equal(feed_line(&f->sink, "type=USER_LOGIN msg=audit(2.000:6): pid=24 uid=0 auid=1000 ses=1 "
					     "msg='op=login acct=\"a b\" exe=\"/usr/sbin/sshd\" "
					     "hostname=box.example addr=192.0.2.7 terminal=ssh res=failed'"),
	    RECORD_OK);
	e = f->last.event;
	assert_int_equal(e->type, PICKET__V1__EVENT_TYPE__EVENT_TYPE_LOGON);
	assert_int_equal(e->logon->action, PICKET__V1__LOGON_ACTION__LOGON_ACTION_LOGON);
	assert_int_equal(e->outcome, PICKET__V1__OUTCOME__OUTCOME_FAILURE);
	expect_bytes(e->logon->account, "a b");
	expect_bytes(e->logon->remote_host, "192.0.2.7");
	expect_bytes(e->logon->terminal, "ssh");
	expect_bytes(e->logon->program, "/usr/sbin/sshd");
	expect_bytes(e->logon->operation, "login");
	assert_int_equal(e->process->pid, 24);

	assert_int_equal(feed_line(&f->sink,
			     "type=USER_END msg=audit(2.000:7): pid=24 uid=0 auid=1000 ses=1 msg='op=PAM:session_close "
			     "acct=6A6F65 exe=\"/usr/bin/su\" hostname=? addr=? terminal=? res=success'"),
	    RECORD_OK);
	e = f->last.event;
	assert_int_equal(e->logon->action, PICKET__V1__LOGON_ACTION__LOGON_ACTION_SESSION_END);
	expect_bytes(e->logon->account, "joe");
	expect_bytes(e->logon->remote_host, "");

	/* The kernel's own, together with the write(2) that caused it. */
	assert_int_equal(
	    feed_line(&f->sink, "type=LOGIN msg=audit(2.000:8): pid=71 uid=0 old-auid=4294967295 auid=4344 tty=(none) "
				"old-ses=4294967295 ses=4 res=1"),
	    RECORD_OK);
	assert_int_equal(
	    feed_line(&f->sink,
		"type=SYSCALL msg=audit(2.000:8): arch=c000003e syscall=1 success=yes exit=4 a0=3 items=0 ppid=1 "
		"pid=71 auid=4344 uid=0 tty=(none) ses=4 comm=\"sshd\" exe=\"/usr/sbin/sshd\" key=(null)"),
	    RECORD_OK);
	pipeline_flush(f->pipeline);
	e = f->last.event;
	assert_int_equal(e->serial, 8);
	assert_int_equal(e->logon->action, PICKET__V1__LOGON_ACTION__LOGON_ACTION_LOGON);
	assert_int_equal(e->outcome, PICKET__V1__OUTCOME__OUTCOME_SUCCESS);
	assert_int_equal(e->process->auid, 4344);
	assert_int_equal(e->process->ppid, 1);
	expect_bytes(e->logon->program, "/usr/sbin/sshd");
}

static void
pieces_without_their_call_are_counted_and_not_guessed(void **state)
{
	struct fixture *f = *state;
	const struct pipeline_stats *s = pipeline_stats(f->pipeline);

	assert_int_equal(
	    feed_line(&f->sink, "type=PATH msg=audit(1.000:5): item=0 name=\"/x\" nametype=DELETE"), RECORD_OK);
	assert_int_equal(feed_line(&f->sink, "type=PROCTITLE msg=audit(1.000:5): proctitle=00"), RECORD_OK);
	assert_int_equal(s->pieces, 1);
	assert_null(f->last.event);
	assert_int_equal(s->audit_events, s->events + s->ignored + s->excluded + s->pieces);
}

static void
nested_messages_do_not_recurse(void **state)
{
	struct fixture *f = *state;
	static char line[16000];
	int len = snprintf(line, sizeof(line), "type=USER_AUTH msg=audit(2.000:6): pid=1 ");

	while (len < 15900)
		len += snprintf(line + len, sizeof(line) - (size_t)len, "msg=");
	assert_int_equal(feed_line(&f->sink, line), RECORD_OK);
	assert_int_equal(f->last.n, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_actor_is_taken_from_the_call),
	    TEST(keys_of_others_are_told),
	    TEST(exec_has_arguments_directory_path_and_an_identity_that_its_exit_repeats),
	    TEST(an_exec_whose_arguments_are_missing_says_so),
	    TEST(opening_for_writing_is_create_or_modify),
	    TEST(opening_without_changing_is_nothing),
	    TEST(a_failed_open_tells_what_was_tried),
	    TEST(rename_has_both_names),
	    TEST(delete_link_and_permission),
	    TEST(paths_are_joined_and_cleaned),
	    TEST(a_path_too_long_to_join_stays_relative),
	    TEST(connections_have_both_directions),
	    TEST(a_connection_under_way_is_of_unknown_outcome),
	    TEST(a_listen_knows_the_address_of_its_bind),
	    TEST(unix_addresses_end_where_they_end),
	    TEST(odd_addresses_do_no_harm),
	    TEST(socketcall_of_i386_is_read_like_the_calls_it_stands_for),
	    TEST(modules_by_name),
	    TEST(log_ons_of_programs_and_of_the_kernel),
	    TEST(pieces_without_their_call_are_counted_and_not_guessed),
	    TEST(nested_messages_do_not_recurse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
