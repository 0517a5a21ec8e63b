/*
 * A link: receives records, checks them against the receiver's rules, hands them over; sends, and queues when the
 * socket is full. Never blocks; never trusts a field for identity. Used by ipc_listen.c and ipc_client.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/ipc_internal.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pb.h"
#include "envelope.pb-c.h"

/* Records handled in one turn of the loop, so that one busy peer does not starve the rest. */
#define RECORDS_PER_TURN 16
/* Milliseconds for the peer's Hello: it is sent at once, so only a stuck or foreign peer needs longer. */
#define HELLO_MS 5000u
/* Memory that one control message may cost, as a multiple of its size, and at least this many bytes (protobuf-c's worst
 * case is about 48). */
#define UNPACK_FACTOR 16u
#define UNPACK_FLOOR_BYTES KIB(16)

/* One receive buffer for the process: a record is handled before the next is read. */
static uint8_t rx_buf[LIM_IPC_RECORD_BYTES];

static void
queue_free(struct ipc_queued *q)
{
	for (size_t i = 0; i < q->n_fds; i++)
		(void)close(q->fds[i]);
	free(q);
}

static void
queue_pop(struct ipc_link *link)
{
	struct ipc_queued *q = link->queue_head;

	link->queue_head = q->next;
	if (link->queue_head == NULL)
		link->queue_tail = &link->queue_head;
	link->queued--;
	queue_free(q);
}

void
ipc_link_destroy(struct ipc_link *link)
{
	bool was_open = link->open;

	link->closing = true;
	link->open = false;
	if (was_open && link->conf->on_close != NULL)
		link->conf->on_close(link, link->conf->ctx);
	if (link->on_gone != NULL)
		link->on_gone(link, link->owner);
	while (link->queue_head != NULL)
		queue_pop(link);
	if (link->readable != NULL)
		event_free(link->readable);
	if (link->writable != NULL)
		event_free(link->writable);
	if (link->deadline != NULL)
		event_free(link->deadline);
	(void)close(link->fd);
	free(link);
}

/* Let the loop destroy it in its next turn: the caller may be deep inside a handler. */
static void
link_doom(struct ipc_link *link)
{
	if (link->closing)
		return;
	link->closing = true;
	loop_timer_arm(link->deadline, 0);
}

static void
on_deadline(evutil_socket_t fd, short what, void *ctx)
{
	struct ipc_link *link = ctx;

	(void)fd;
	(void)what;
	if (!link->closing)
		log_warning("ipc.silent", KV_I64("pid", link->pid), KV_U64("waited_ms", HELLO_MS));
	ipc_link_destroy(link);
}

static void
violation(struct ipc_link *link, const struct ipc_header *header, const char *why)
{
	log_warning("ipc.violation", KV_U64("peer", link->peer), KV_I64("pid", link->pid), KV_U64("type", header->type),
	    KV_U64("bytes", header->length), KV_STR("why", why));
	if (link->open && (link->peer & (IPC_PEER_ROOT | IPC_PEER_READER)) != 0)
		(void)ipc_send_error(link, header->sequence, 1, why);
	link_doom(link);
}

static void
take_hello(struct ipc_link *link, const struct ipc_header *header, const uint8_t *data)
{
	struct pb_arena *arena;
	const char *why;

	if (header->type != PICKET__V1__MSG__MSG_HELLO) {
		violation(link, header, "first record is not Hello");
		return;
	}

	ProtobufCMessage *msg = pb_unpack(&picket__v1__hello__descriptor, data, header->length, KIB(4), &arena, &why);
	if (msg == NULL) {
		violation(link, header, why);
		return;
	}

	const Picket__V1__Hello *hello = (const Picket__V1__Hello *)(const void *)msg;
	if (hello->protocol != IPC_PROTOCOL) {
		violation(link, header,
		    "Hello of another protocol version: install the same version of every Picket program");
	} else {
		(void)pb_to_str(hello->build, link->build, sizeof(link->build));
		link->open = true;
		link->greeted = true;
		(void)event_del(link->deadline);
		if (link->conf->on_open != NULL)
			link->conf->on_open(link, link->conf->ctx);
	}
	pb_arena_free(arena);
}

/* Returns NULL when the record may be handled, else what is wrong with it. */
static const char *
check_rule(const struct ipc_link *link, const struct ipc_rule *rule, const struct ipc_header *header, size_t n_fds)
{
	uint32_t state = link->conf->state != NULL ? link->conf->state(link->conf->ctx) : IPC_ANY_STATE;

	if (rule->type == 0)
		return "unknown type";
	if ((rule->peers & link->peer) == 0)
		return "not allowed for this peer";
	if ((rule->states & state) == 0)
		return "not allowed in this state";
	if (header->length > rule->max_bytes)
		return "larger than this type may be";
	if (n_fds < rule->min_fds || n_fds > rule->max_fds)
		return "wrong number of descriptors";
	return NULL;
}

static void
dispatch(struct ipc_link *link, const struct ipc_header *header, int *fds, size_t n_fds)
{
	struct ipc_msg msg = {.type = header->type,
	    .sequence = header->sequence,
	    .data = rx_buf,
	    .len = header->length,
	    .fds = fds,
	    .n_fds = n_fds};
	const struct ipc_rule *rule = link->conf->rules;
	struct pb_arena *arena = NULL;

	while (rule->type != 0 && rule->type != header->type)
		rule++;

	const char *why = check_rule(link, rule, header, n_fds);
	if (why == NULL && rule->desc != NULL) {
		msg.pb = pb_unpack(rule->desc, rx_buf, header->length,
		    UNPACK_FLOOR_BYTES + header->length * UNPACK_FACTOR, &arena, &why);
	}
	if (msg.pb == NULL && (why != NULL || rule->desc != NULL))
		violation(link, header, why);
	else if (rule->handler(link, &msg, link->conf->ctx) < 0)
		link_doom(link);
	pb_arena_free(arena);
}

static void
on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct ipc_link *link = ctx;

	(void)what;
	for (int i = 0; i < RECORDS_PER_TURN && !link->closing; i++) {
		struct ipc_header header;
		int fds[IPC_MAX_FDS];
		size_t n_fds;
		int r = ipc_frame_recv(fd, &header, rx_buf, sizeof(rx_buf), fds, &n_fds);

		if (r == -EAGAIN)
			return;
		if (r == -EBADMSG) {
			violation(link, &(struct ipc_header){0}, "record cut, short or of another protocol version");
			return;
		}
		if (r <= 0) {
			ipc_link_destroy(link);
			return;
		}
		if (link->open)
			dispatch(link, &header, fds, n_fds);
		else
			take_hello(link, &header, rx_buf);
		for (size_t j = 0; j < n_fds; j++) {
			if (fds[j] >= 0)
				(void)close(fds[j]);
		}
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *ctx)
{
	struct ipc_link *link = ctx;

	(void)what;
	while (link->queue_head != NULL) {
		struct ipc_queued *q = link->queue_head;
		int r = ipc_frame_send(fd, &q->header, q->data, q->fds, q->n_fds);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			link_doom(link);
			return;
		}
		queue_pop(link);
	}
	(void)event_del(link->writable);
	if (link->throttled && link->open) {
		link->throttled = false;
		if (link->conf->on_drain != NULL)
			link->conf->on_drain(link, link->conf->ctx);
	}
}

static int
queue_push(struct ipc_link *link, const struct ipc_header *header, const void *data, const int *fds, size_t n_fds)
{
	if (link->queued >= IPC_QUEUE_RECORDS) {
		link->throttled = true;
		return -EAGAIN;
	}

	struct ipc_queued *q = malloc(sizeof(*q) + header->length);
	if (q == NULL)
		return -ENOMEM;
	q->next = NULL;
	q->header = *header;
	if (header->length > 0)
		memcpy(q->data, data, header->length);
	for (q->n_fds = 0; q->n_fds < n_fds; q->n_fds++) {
		q->fds[q->n_fds] = fcntl(fds[q->n_fds], F_DUPFD_CLOEXEC, 3);
		if (q->fds[q->n_fds] < 0) {
			int r = -errno;

			queue_free(q);
			return r;
		}
	}
	*link->queue_tail = q;
	link->queue_tail = &q->next;
	link->queued++;
	(void)event_add(link->writable, NULL);
	return 0;
}

static int
send_payload(
    struct ipc_link *link, uint16_t type, uint32_t sequence, const void *data, size_t len, const int *fds, size_t n_fds)
{
	struct ipc_header header = {
	    .protocol = IPC_PROTOCOL, .type = type, .length = (uint32_t)len, .sequence = sequence};

	if (len > LIM_IPC_RECORD_BYTES || n_fds > IPC_MAX_FDS)
		return -EMSGSIZE;
	if (link->closing)
		return -EPIPE;
	if (link->queue_head != NULL)
		return queue_push(link, &header, data, fds, n_fds);

	int r = ipc_frame_send(link->fd, &header, data, fds, n_fds);
	if (r == -EAGAIN)
		return queue_push(link, &header, data, fds, n_fds);
	if (r < 0 && r != -EMSGSIZE) {
		link_doom(link);
		return -EPIPE;
	}
	return r;
}

int
ipc_send(
    struct ipc_link *link, uint16_t type, uint32_t sequence, const ProtobufCMessage *msg, const int *fds, size_t n_fds)
{
	uint8_t small[1024]; /* bytes; nearly every control message fits, so no allocation */
	size_t len = protobuf_c_message_get_packed_size(msg);

	if (len > LIM_IPC_RECORD_BYTES)
		return -EMSGSIZE;

	uint8_t *data = len <= sizeof(small) ? small : malloc(len);
	if (data == NULL)
		return -ENOMEM;
	(void)protobuf_c_message_pack(msg, data);
	int r = send_payload(link, type, sequence, data, len, fds, n_fds);
	if (data != small)
		free(data);
	return r;
}

int
ipc_send_raw(struct ipc_link *link, uint16_t type, uint32_t sequence, const void *data, size_t len)
{
	return send_payload(link, type, sequence, data, len, NULL, 0);
}

int
ipc_send_error(struct ipc_link *link, uint32_t sequence, uint32_t exit_code, const char *text)
{
	Picket__V1__Error error = PICKET__V1__ERROR__INIT;

	error.exit_code = exit_code;
	error.text = pb_str(text);
	return ipc_send(link, PICKET__V1__MSG__MSG_ERROR, sequence, &error.base, NULL, 0);
}

struct ipc_link *
ipc_link_new(struct loop *loop, int fd, const struct ipc_conf *conf, enum ipc_peer peer, pid_t pid,
    void (*on_gone)(struct ipc_link *link, void *owner), void *owner)
{
	struct ipc_link *link = calloc(1, sizeof(*link));
	uint8_t hello[128]; /* bytes: program name and version */

	if (link == NULL) {
		(void)close(fd);
		return NULL;
	}
	*link = (struct ipc_link){.loop = loop, .fd = fd, .conf = conf, .peer = peer, .pid = pid};
	link->queue_tail = &link->queue_head;
	link->readable = event_new(loop->base, fd, EV_READ | EV_PERSIST, on_readable, link);
	link->writable = event_new(loop->base, fd, EV_WRITE | EV_PERSIST, on_writable, link);
	link->deadline = loop_timer_new(loop, on_deadline, link);
	if (link->readable == NULL || link->writable == NULL || link->deadline == NULL ||
	    event_add(link->readable, NULL) != 0) {
		ipc_link_destroy(link);
		return NULL;
	}
	link->on_gone = on_gone;
	link->owner = owner;
	loop_timer_arm(link->deadline, HELLO_MS);
	(void)send_payload(
	    link, PICKET__V1__MSG__MSG_HELLO, 0, hello, ipc_hello_pack(conf->self, hello, sizeof(hello)), NULL, 0);
	return link;
}

void
ipc_link_close(struct ipc_link *link)
{
	link_doom(link);
}

enum ipc_peer
ipc_link_peer(const struct ipc_link *link)
{
	return link->peer;
}

pid_t
ipc_link_pid(const struct ipc_link *link)
{
	return link->pid;
}

const char *
ipc_link_build(const struct ipc_link *link)
{
	return link->build;
}

void *
ipc_link_data(const struct ipc_link *link)
{
	return link->data;
}

void
ipc_link_set_data(struct ipc_link *link, void *data)
{
	link->data = data;
}
