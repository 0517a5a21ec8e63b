/*
 * Reads audit netlink messages in batches. Never decides what the kernel is set to: that is live.c, which calls it.
 *
 * The wire: a unicast record has nlmsg_len without the 16 bytes of its header, so the size that recvmmsg() gives
 * counts; nlmsg_seq is 0.
 */
#include "collectord/source_audit.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collectord/audit_ctl.h"

/* Messages per recvmmsg(): a dozen events. */
#define BATCH 64u

/* Bytes of one message: the kernel's longest record (MAX_AUDIT_MESSAGE_LENGTH 8,970), its header, the pad of the
 * parser. */
#define MESSAGE_BYTES 9216u

/* Batches per call of read(): then the loop has its turn. */
#define BATCHES_PER_READ 8u

/* Number of the registration request: records have 0. */
#define REGISTER_SEQ 1u

struct audit_source {
	struct source source; /* first */
	struct source_audit_conf conf;
	bool registering, answered; /* a registration is under way; the kernel's answer to it came */
	bool asked_ourselves;       /* its question whether the audit daemon lives came here: this socket is registered
				       already */
	int answer;
	struct mmsghdr messages[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_nl from[BATCH];
	uint8_t buffers[BATCH][MESSAGE_BYTES] __attribute__((aligned(8)));
};

uint64_t
source_audit_buffer(int fd, uint64_t bytes)
{
	int want = bytes < INT32_MAX ? (int)bytes : INT32_MAX, granted = 0;
	socklen_t len = sizeof(granted);

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &want, sizeof(want)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof(want));
	(void)getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &granted, &len);
	return granted > 0 ? (uint64_t)granted : 0;
}

bool
source_audit_is_audit(int fd)
{
	int domain = 0, protocol = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_NETLINK &&
	       getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == NETLINK_AUDIT;
}

/* One message of n bytes, header included. */
static void
take_message(struct audit_source *a, const uint8_t *message, size_t n)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)message;
	const uint8_t *payload = message + NLMSG_HDRLEN;
	size_t len = n - NLMSG_HDRLEN;
	struct record record;
	enum record_fault fault;

	switch (header->nlmsg_type) {
	case NLMSG_ERROR:
		if (header->nlmsg_seq == REGISTER_SEQ && len >= sizeof(int)) {
			a->answered = true;
			a->answer = ((const struct nlmsgerr *)(const void *)payload)->error;
		}
		return;
	case AUDIT_REPLACE:
		if (a->registering)
			a->asked_ourselves = true;
		else if (a->conf.on_takeover != NULL)
			a->conf.on_takeover(a->conf.ctx);
		return;
	case NLMSG_NOOP:
	case NLMSG_DONE:
	case NLMSG_OVERRUN:
	case AUDIT_GET:
		return;
	default:
		break;
	}
	fault = record_parse_netlink(header->nlmsg_type, payload, len, &record);
	if (fault == RECORD_OK)
		a->conf.sink.on_record(&record, a->conf.sink.ctx);
	else
		a->conf.sink.on_fault(fault, a->conf.sink.ctx);
}

/* One batch. Returns how many messages came, or a negative errno. */
static int
read_batch(struct audit_source *a)
{
	int n;

	for (size_t i = 0; i < BATCH; i++) {
		a->messages[i].msg_hdr.msg_namelen = sizeof(a->from[i]);
		a->messages[i].msg_hdr.msg_flags = 0;
	}
	n = recvmmsg(a->source.fd, a->messages, BATCH, MSG_DONTWAIT, NULL);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (a->from[i].nl_pid != 0 || a->messages[i].msg_len < NLMSG_HDRLEN)
			continue; /* not from the kernel */
		if (a->messages[i].msg_hdr.msg_flags & MSG_TRUNC)
			a->conf.sink.on_fault(RECORD_TOO_LONG, a->conf.sink.ctx);
		else
			take_message(a, a->buffers[i], a->messages[i].msg_len);
	}
	return n;
}

static int
audit_read(struct source *source)
{
	struct audit_source *a = (struct audit_source *)source;

	for (unsigned int i = 0; i < BATCHES_PER_READ; i++) {
		int n = read_batch(a);

		if (n == -ENOBUFS) {
			/* The buffer overflowed: the kernel says so once and goes on. What is missing shows in the
			 * serials. */
			++*a->conf.enobufs;
			continue;
		}
		if (n == -EAGAIN || n == -EINTR)
			return 0;
		if (n < 0)
			return n;
		if (n < (int)BATCH)
			return 0;
	}
	return 1;
}

static void
audit_close(struct source *source)
{
	(void)close(source->fd);
	free(source);
}

int
source_audit_open(int fd, const struct source_audit_conf *conf, struct source **ret)
{
	struct audit_source *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return -ENOMEM;
	a->source = (struct source){.read = audit_read, .close = audit_close, .fd = fd};
	a->conf = *conf;
	for (size_t i = 0; i < BATCH; i++) {
		a->iov[i] = (struct iovec){a->buffers[i], MESSAGE_BYTES - RECORD_PAD};
		a->messages[i].msg_hdr =
		    (struct msghdr){.msg_iov = &a->iov[i], .msg_iovlen = 1, .msg_name = &a->from[i]};
	}
	*ret = &a->source;
	return 0;
}

int
source_audit_register(struct source *source)
{
	struct audit_source *a = (struct audit_source *)source;
	struct audit_status status = {.mask = AUDIT_STATUS_PID, .pid = (uint32_t)getpid()};
	struct pollfd pfd = {.fd = source->fd, .events = POLLIN};
	int r;

	a->registering = true;
	a->answered = a->asked_ourselves = false;
	r = audit_netlink_send(source->fd, AUDIT_SET, NLM_F_ACK, REGISTER_SEQ, &status, sizeof(status));
	while (r == 0 && !a->answered) {
		r = poll(&pfd, 1, AUDIT_CTL_WAIT_MS);
		if (r == 0) {
			r = -ETIME;
			break;
		}
		r = r < 0 && errno != EINTR ? -errno : read_batch(a);
		if (r == -ENOBUFS)
			++*a->conf.enobufs;
		if (r == -EAGAIN || r == -EINTR || r == -ENOBUFS || r > 0)
			r = 0;
	}
	a->registering = false;
	if (r == 0)
		r = a->answer;
	return r == -EEXIST && a->asked_ourselves ? -EALREADY : r;
}
