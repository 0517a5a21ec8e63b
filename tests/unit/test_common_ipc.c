/* Links between processes: each rule of the table is enforced, and a peer that breaks one loses its link, not the
 * daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/ipc_internal.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pb.h"
#include "control.pb-c.h"
#include "envelope.pb-c.h"

/* Milliseconds a test waits for something that must happen. */
#define DEADLINE_MS 5000

static struct {
	struct loop loop;
	char dir[64], path[96];
	struct ipc_listener *listener;
	enum ipc_peer identity; /* what identify() answers */
	uint32_t state;
	struct ipc_link *link; /* accepted */
	int opened, closed, handled, drained;
	char last_task[64];
	int last_fd;
} t;

static int
on_task(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__TaskRequest *req = (const Picket__V1__TaskRequest *)(const void *)msg->pb;
	Picket__V1__TaskReply reply = PICKET__V1__TASK_REPLY__INIT;

	(void)ctx;
	t.handled++;
	if (pb_to_str(req->task, t.last_task, sizeof(t.last_task)) < 0)
		return -EINVAL;
	return ipc_send(link, PICKET__V1__MSG__MSG_TASK_REPLY, msg->sequence, &reply.base, NULL, 0);
}

static int
on_keep(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	(void)link;
	(void)ctx;
	t.handled++;
	t.last_fd = msg->fds[0];
	msg->fds[0] = -1;
	return 0;
}

static int
on_raw(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	(void)link;
	(void)ctx;
	assert_null(msg->pb);
	t.handled++;
	return 0;
}

static const struct ipc_rule rules[] = {
    /* clang-format off */
    {PICKET__V1__MSG__MSG_TASK_REQUEST, IPC_PEER_ROOT,       IPC_ANY_STATE, 256,                  0, 0, &picket__v1__task_request__descriptor, on_task},
    {PICKET__V1__MSG__MSG_SOURCE_KEEP,  IPC_PEER_ROOT,       1u << 1,       256,                  1, 1, NULL,                                  on_keep},
    {PICKET__V1__MSG__MSG_EVENT_BATCH,  IPC_PEER_ROOT,       IPC_ANY_STATE, LIM_IPC_RECORD_BYTES, 0, 0, NULL,                                  on_raw},
    {PICKET__V1__MSG__MSG_BATCH_ACK,    IPC_PEER_COLLECTORD, IPC_ANY_STATE, 256,                  0, 0, NULL,                                  on_raw},
    {0},
    /* clang-format on */
};

static uint32_t
get_state(void *ctx)
{
	(void)ctx;
	return t.state;
}

static enum ipc_peer
identify(pid_t pid, uid_t uid, gid_t gid, void *ctx)
{
	(void)gid;
	(void)ctx;
	assert_int_equal(pid, getpid());
	assert_int_equal(uid, getuid());
	return t.identity;
}

static void
on_open(struct ipc_link *link, void *ctx)
{
	(void)ctx;
	t.opened++;
	t.link = link;
}

static void
on_close(struct ipc_link *link, void *ctx)
{
	(void)ctx;
	assert_ptr_equal(link, t.link);
	t.closed++;
	t.link = NULL;
}

static void
on_drain(struct ipc_link *link, void *ctx)
{
	(void)link;
	(void)ctx;
	t.drained++;
}

static const struct ipc_conf conf = {.self = "test",
    .rules = rules,
    .state = get_state,
    .identify = identify,
    .on_open = on_open,
    .on_close = on_close,
    .on_drain = on_drain};

static int
set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.identity = IPC_PEER_ROOT;
	t.state = 1u << 0;
	t.last_fd = -1;
	(void)log_open("test", "/dev/null", LOG_LEVEL_ERROR);
	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/picket-ipc-XXXXXX");
	if (mkdtemp(t.dir) == NULL || loop_init(&t.loop, NULL, NULL) < 0)
		return -1;
	(void)snprintf(t.path, sizeof(t.path), "%s/a.sock", t.dir);
	int fd = ipc_listen_open(t.path, 0600, (gid_t)-1);
	if (fd < 0)
		return -1;
	t.listener = ipc_listen(&t.loop, fd, &conf);
	return t.listener != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	ipc_listener_free(t.listener);
	loop_done(&t.loop);
	(void)unlink(t.path);
	return rmdir(t.dir);
}

/* Turn the loop until *value reaches at least `want`. */
static void
run_until(const int *value, int want)
{
	struct timespec start, now;

	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	while (*value < want) {
		(void)event_base_loop(t.loop.base, EVLOOP_NONBLOCK);
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		if ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 > DEADLINE_MS)
			fail_msg("waited %d ms for %d, have %d", DEADLINE_MS, want, *value);
	}
}

static int
raw_connect(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	memcpy(sun.sun_path, t.path, strlen(t.path));
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static void
say_hello(int fd)
{
	uint8_t buf[256];
	struct ipc_header header = {.protocol = IPC_PROTOCOL, .type = PICKET__V1__MSG__MSG_HELLO};

	header.length = (uint32_t)ipc_hello_pack("peer", buf, sizeof(buf));
	assert_int_equal(ipc_frame_send(fd, &header, buf, NULL, 0), 0);
}

static int
open_link(void)
{
	int fd = raw_connect();

	say_hello(fd);
	run_until(&t.opened, 1);
	return fd;
}

static void
send_record(int fd, uint16_t type, const void *data, size_t len, const int *fds, size_t n_fds)
{
	struct ipc_header header = {.protocol = IPC_PROTOCOL, .type = type, .length = (uint32_t)len, .sequence = 9};

	assert_int_equal(ipc_frame_send(fd, &header, data, fds, n_fds), 0);
}

static size_t
pack_task(const char *task, uint8_t *buf)
{
	Picket__V1__TaskRequest req = PICKET__V1__TASK_REQUEST__INIT;

	req.verb = PICKET__V1__TASK_VERB__TASK_VERB_START;
	req.task = pb_str(task);
	return picket__v1__task_request__pack(&req, buf);
}

/* The link must be closed without the handler having run, and the listener must still serve the next peer. */
static void
link_is_lost_unhandled(int fd)
{
	int handled = t.handled;

	run_until(&t.closed, 1);
	assert_int_equal(t.handled, handled);
	(void)close(fd);
	t.opened = 0;
	(void)close(open_link());
}

static void
legal_request_is_handled_and_answered_with_its_sequence(void **state)
{
	uint8_t buf[256];
	struct ipc_header header;
	int fd = open_link(), fds[IPC_MAX_FDS];
	size_t n_fds;

	(void)state;
	send_record(fd, PICKET__V1__MSG__MSG_TASK_REQUEST, buf, pack_task("KATAEDR", buf), NULL, 0);
	run_until(&t.handled, 1);
	assert_string_equal(t.last_task, "KATAEDR");
	assert_int_equal(ipc_frame_recv(fd, &header, buf, sizeof(buf), fds, &n_fds), 1); /* Hello */
	assert_int_equal(ipc_frame_recv(fd, &header, buf, sizeof(buf), fds, &n_fds), 1);
	assert_int_equal(header.type, PICKET__V1__MSG__MSG_TASK_REPLY);
	assert_int_equal(header.sequence, 9);
	(void)close(fd);
	run_until(&t.closed, 1);
}

static void
unknown_type_ends_the_link(void **state)
{
	int fd = open_link();

	(void)state;
	send_record(fd, 999, NULL, 0, NULL, 0);
	link_is_lost_unhandled(fd);
}

static void
wrong_peer_ends_the_link(void **state)
{
	int fd = open_link();

	(void)state;
	send_record(fd, PICKET__V1__MSG__MSG_BATCH_ACK, NULL, 0, NULL, 0);
	link_is_lost_unhandled(fd);
}

static void
wrong_state_ends_the_link(void **state)
{
	int fd = open_link(), null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	send_record(fd, PICKET__V1__MSG__MSG_SOURCE_KEEP, NULL, 0, &null, 1);
	(void)close(null);
	link_is_lost_unhandled(fd);
}

static void
oversize_payload_ends_the_link(void **state)
{
	uint8_t big[300] = {0};
	int fd = open_link();

	(void)state;
	send_record(fd, PICKET__V1__MSG__MSG_TASK_REQUEST, big, sizeof(big), NULL, 0);
	link_is_lost_unhandled(fd);
}

static void
extra_descriptor_ends_the_link_and_is_not_leaked(void **state)
{
	uint8_t buf[256];
	int fd = open_link(), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int before = fcntl(0, F_DUPFD_CLOEXEC, 3);

	(void)state;
	(void)close(before);
	send_record(fd, PICKET__V1__MSG__MSG_TASK_REQUEST, buf, pack_task("x", buf), &null, 1);
	run_until(&t.closed, 1);
	assert_int_equal(t.handled, 0);

	int after = fcntl(0, F_DUPFD_CLOEXEC, 3);
	assert_true(after <= before); /* the received copy is closed again */
	(void)close(after);
	(void)close(null);
	(void)close(fd);
}

static void
missing_descriptor_ends_the_link(void **state)
{
	int fd = open_link();

	(void)state;
	t.state = 1u << 1;
	send_record(fd, PICKET__V1__MSG__MSG_SOURCE_KEEP, NULL, 0, NULL, 0);
	link_is_lost_unhandled(fd);
}

static void
descriptor_arrives_close_on_exec(void **state)
{
	int fd = open_link(), null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	t.state = 1u << 1;
	send_record(fd, PICKET__V1__MSG__MSG_SOURCE_KEEP, NULL, 0, &null, 1);
	run_until(&t.handled, 1);
	assert_true(t.last_fd >= 0);
	assert_int_equal(fcntl(t.last_fd, F_GETFD), FD_CLOEXEC);
	(void)close(t.last_fd);
	(void)close(null);
	(void)close(fd);
}

static void
malformed_unknown_field_and_bad_enum_end_the_link(void **state)
{
	static const struct {
		uint8_t data[4];
		size_t len;
	} bad[] = {
	    {{0x12, 0xff, 0xff}, 3}, /* length beyond the end */
	    {{0xf8, 0x01, 0x01}, 3}, /* field 31, which TaskRequest does not have */
	    {{0x08, 0x63}, 2},       /* verb 99 */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		t.opened = t.closed = 0;
		int fd = open_link();
		send_record(fd, PICKET__V1__MSG__MSG_TASK_REQUEST, bad[i].data, bad[i].len, NULL, 0);
		run_until(&t.closed, 1);
		assert_int_equal(t.handled, 0);
		(void)close(fd);
	}
}

static void
record_before_hello_ends_the_link(void **state)
{
	uint8_t buf[256];
	int fd = raw_connect();
	char byte;

	(void)state;
	send_record(fd, PICKET__V1__MSG__MSG_TASK_REQUEST, buf, pack_task("x", buf), NULL, 0);
	for (int turn = 0; turn < 100; turn++)
		(void)event_base_loop(t.loop.base, EVLOOP_NONBLOCK);
	assert_int_equal(t.opened, 0);
	assert_int_equal(t.handled, 0);
	while (recv(fd, &byte, 1, MSG_DONTWAIT) > 0)
		continue; /* the listener's own Hello */
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), errno == ECONNRESET ? -1 : 0);
	(void)close(fd);
}

static void
wrong_protocol_version_ends_the_link(void **state)
{
	struct ipc_header header = {.protocol = IPC_PROTOCOL + 1, .type = PICKET__V1__MSG__MSG_HELLO};
	int fd = open_link();

	(void)state;
	assert_int_equal(ipc_frame_send(fd, &header, NULL, NULL, 0), 0);
	link_is_lost_unhandled(fd);
}

static void
length_field_that_lies_ends_the_link(void **state)
{
	struct ipc_header header = {.protocol = IPC_PROTOCOL, .type = PICKET__V1__MSG__MSG_TASK_REQUEST, .length = 100};
	int fd = open_link();

	(void)state;
	assert_int_equal(send(fd, &header, sizeof(header), 0), sizeof(header));
	link_is_lost_unhandled(fd);
}

static void
stranger_is_refused_before_anything_is_read(void **state)
{
	char byte;
	int fd;

	(void)state;
	t.identity = IPC_PEER_NONE;
	fd = raw_connect();
	say_hello(fd);
	for (int turn = 0; turn < 100; turn++)
		(void)event_base_loop(t.loop.base, EVLOOP_NONBLOCK);
	assert_int_equal(t.opened, 0);
	assert_true(recv(fd, &byte, 1, MSG_DONTWAIT) <= 0 && errno != EAGAIN);
	(void)close(fd);
}

static void
full_socket_queues_then_refuses_and_says_when_it_drained(void **state)
{
	static uint8_t big[KIB(64)];
	int fd = open_link(), sent = 0, r;

	(void)state;
	while ((r = ipc_send_raw(t.link, PICKET__V1__MSG__MSG_EVENT_BATCH, 0, big, sizeof(big))) == 0)
		sent++;
	assert_int_equal(r, -EAGAIN);
	assert_true(sent >= (int)IPC_QUEUE_RECORDS);

	static uint8_t buf[KIB(64)];
	int got = 0;
	while (got < sent + 1) { /* Hello too */
		struct ipc_header header;
		int fds[IPC_MAX_FDS];
		size_t n_fds;

		r = ipc_frame_recv(fd, &header, buf, sizeof(buf), fds, &n_fds);
		if (r == 1)
			got++;
		else
			(void)event_base_loop(t.loop.base, EVLOOP_NONBLOCK);
	}
	run_until(&t.drained, 1);
	assert_int_equal(ipc_send_raw(t.link, PICKET__V1__MSG__MSG_EVENT_BATCH, 0, big, 1), 0);
	(void)close(fd);
}

static void
largest_record_passes_and_one_byte_more_is_refused_by_the_sender(void **state)
{
	uint8_t *big = calloc(1, LIM_IPC_RECORD_BYTES + 1);
	int fd = open_link();

	(void)state;
	assert_non_null(big);
	assert_int_equal(
	    ipc_send_raw(t.link, PICKET__V1__MSG__MSG_EVENT_BATCH, 0, big, LIM_IPC_RECORD_BYTES + 1), -EMSGSIZE);
	send_record(fd, PICKET__V1__MSG__MSG_EVENT_BATCH, big, LIM_IPC_RECORD_BYTES, NULL, 0);
	run_until(&t.handled, 1);
	free(big);
	(void)close(fd);
}

static int client_opened, client_closed;

static void
on_client_open(struct ipc_link *link, void *ctx)
{
	(void)link;
	(void)ctx;
	client_opened++;
}

static void
on_client_close(struct ipc_link *link, void *ctx)
{
	(void)link;
	(void)ctx;
	client_closed++;
}

static const struct ipc_conf client_conf = {
    .self = "client", .rules = rules, .on_open = on_client_open, .on_close = on_client_close};

static void
client_comes_back_after_the_listener_was_gone(void **state)
{
	(void)state;
	client_opened = client_closed = 0;
	struct ipc_client *client = ipc_client_new(&t.loop, t.path, getuid(), IPC_PEER_AGENTD, &client_conf);

	run_until(&client_opened, 1);
	assert_non_null(ipc_client_link(client));
	ipc_listener_free(t.listener);
	run_until(&client_closed, 1);
	assert_null(ipc_client_link(client));

	int fd = ipc_listen_open(t.path, 0600, (gid_t)-1); /* over the stale socket */
	assert_true(fd >= 0);
	t.listener = ipc_listen(&t.loop, fd, &conf);
	run_until(&client_opened, 2);
	ipc_client_free(client);
}

static void
client_refuses_a_listener_of_another_user(void **state)
{
	const uid_t other = 65534; /* nobody */

	(void)state;
	if (getuid() != 0)
		skip(); /* needs root to listen as somebody else */
	ipc_listener_free(t.listener);
	assert_int_equal(unlink(t.path), 0);
	assert_int_equal(chmod(t.dir, 0777), 0);
	assert_int_equal(seteuid(other), 0); /* SO_PEERCRED of a listener is its user at listen(2) */
	int fd = ipc_listen_open(t.path, 0666, (gid_t)-1);
	assert_int_equal(seteuid(0), 0);
	assert_true(fd >= 0);
	t.listener = ipc_listen(&t.loop, fd, &conf);

	client_opened = 0;
	struct ipc_client *client = ipc_client_new(&t.loop, t.path, other + 1, IPC_PEER_AGENTD, &client_conf);
	for (int turn = 0; turn < 100; turn++)
		(void)event_base_loop(t.loop.base, EVLOOP_NONBLOCK);
	assert_int_equal(client_opened, 0);
	ipc_client_free(client);

	client = ipc_client_new(&t.loop, t.path, other, IPC_PEER_AGENTD, &client_conf);
	run_until(&client_opened, 1);
	ipc_client_free(client);
}

static void
listening_twice_is_refused_and_a_file_is_not_removed(void **state)
{
	char path[128];

	(void)state;
	assert_int_equal(ipc_listen_open(t.path, 0600, (gid_t)-1), -EADDRINUSE);
	(void)snprintf(path, sizeof(path), "%s/file", t.dir);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(ipc_listen_open(path, 0600, (gid_t)-1), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	(void)unlink(path);
}

static void
socket_file_has_the_mode_it_was_given(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(t.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

/* In a child, whose descriptor 3 can be what a supervisor would pass. Exits 0 when ipc_listen_open() took it. */
static int
inherit_in_child(const char *path, pid_t listen_pid, bool bound_here)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		char text[16];
		int fd = bound_here ? ipc_listen_open(path, 0600, (gid_t)-1) : open("/dev/null", O_RDONLY);

		(void)snprintf(text, sizeof(text), "%d", (int)(listen_pid != 0 ? listen_pid : getpid()));
		(void)setenv("LISTEN_PID", text, 1);
		(void)setenv("LISTEN_FDS", "1", 1);
		if (fd < 0 || dup2(fd, 3) != 3)
			_exit(2);
		_exit(ipc_listen_open(path, 0600, (gid_t)-1) == 3 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
socket_of_the_supervisor_is_taken_only_if_it_is_the_right_one(void **state)
{
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/inherited.sock", t.dir);
	assert_int_equal(inherit_in_child(path, 0, true), 0);
	assert_int_equal(inherit_in_child(path, 1, true), 1);  /* meant for another process */
	assert_int_equal(inherit_in_child(path, 0, false), 1); /* not a socket */
	(void)unlink(path);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(legal_request_is_handled_and_answered_with_its_sequence),
	    T(unknown_type_ends_the_link),
	    T(wrong_peer_ends_the_link),
	    T(wrong_state_ends_the_link),
	    T(oversize_payload_ends_the_link),
	    T(extra_descriptor_ends_the_link_and_is_not_leaked),
	    T(missing_descriptor_ends_the_link),
	    T(descriptor_arrives_close_on_exec),
	    T(malformed_unknown_field_and_bad_enum_end_the_link),
	    T(record_before_hello_ends_the_link),
	    T(wrong_protocol_version_ends_the_link),
	    T(length_field_that_lies_ends_the_link),
	    T(stranger_is_refused_before_anything_is_read),
	    T(full_socket_queues_then_refuses_and_says_when_it_drained),
	    T(largest_record_passes_and_one_byte_more_is_refused_by_the_sender),
	    T(client_comes_back_after_the_listener_was_gone),
	    T(client_refuses_a_listener_of_another_user),
	    T(listening_twice_is_refused_and_a_file_is_not_removed),
	    T(socket_file_has_the_mode_it_was_given),
	    T(socket_of_the_supervisor_is_taken_only_if_it_is_the_right_one),
	};
#undef T

	return cmocka_run_group_tests_name("common_ipc", tests, NULL, NULL);
}
