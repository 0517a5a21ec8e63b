/* Requests to the kernel's audit system. Never logs, never keeps state but the request number. Called by rules.c,
 * source_audit.c and live.c. */
#include "collectord/audit_ctl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct audit_ctl {
	int fd;
	uint32_t seq;
	size_t len; /* of the message in buffer */
	union {
		struct nlmsghdr header;
		uint8_t bytes[AUDIT_CTL_MESSAGE_BYTES];
	} buffer;
};

int
audit_netlink_open(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_AUDIT);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	return fd;
}

int
audit_netlink_send(int fd, uint16_t type, uint16_t flags, uint32_t seq, const void *data, size_t len)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	union {
		struct nlmsghdr header;
		uint8_t bytes[AUDIT_CTL_MESSAGE_BYTES];
	} message;
	size_t total = NLMSG_LENGTH(len);

	if (NLMSG_ALIGN(total) > sizeof(message))
		return -EMSGSIZE;
	(void)memset(&message, 0, NLMSG_ALIGN(total));
	message.header.nlmsg_len = (uint32_t)total;
	message.header.nlmsg_type = type;
	message.header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	message.header.nlmsg_seq = seq;
	if (len > 0)
		(void)memcpy(NLMSG_DATA(&message.header), data, len);
	if (sendto(fd, &message, NLMSG_ALIGN(total), 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

int
audit_ctl_open(struct audit_ctl **ret)
{
	struct audit_ctl *ctl = calloc(1, sizeof(*ctl));

	if (ctl == NULL)
		return -ENOMEM;
	ctl->fd = audit_netlink_open();
	if (ctl->fd < 0) {
		int r = ctl->fd;

		free(ctl);
		return r;
	}
	*ret = ctl;
	return 0;
}

void
audit_ctl_close(struct audit_ctl *ctl)
{
	if (ctl == NULL)
		return;
	(void)close(ctl->fd);
	free(ctl);
}

/* The next message that answers the current request. Returns 0 or a negative errno. */
static int
receive(struct audit_ctl *ctl)
{
	struct pollfd pfd = {.fd = ctl->fd, .events = POLLIN};

	for (;;) {
		struct sockaddr_nl from = {0};
		socklen_t from_len = sizeof(from);
		ssize_t n =
		    recvfrom(ctl->fd, &ctl->buffer, sizeof(ctl->buffer), 0, (struct sockaddr *)&from, &from_len);

		if (n < 0 && errno == EAGAIN) {
			int r = poll(&pfd, 1, AUDIT_CTL_WAIT_MS);

			if (r == 0)
				return -ETIME;
			if (r < 0 && errno != EINTR)
				return -errno;
			continue;
		}
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n < (ssize_t)NLMSG_HDRLEN || from.nl_pid != 0 || ctl->buffer.header.nlmsg_seq != ctl->seq)
			continue; /* an answer to a request that timed out, or not from the kernel */
		ctl->len = (size_t)n - NLMSG_HDRLEN;
		return 0;
	}
}

static const void *
payload(const struct audit_ctl *ctl)
{
	return ctl->buffer.bytes + NLMSG_HDRLEN;
}

/* The kernel's verdict when the message is one: sets *ret_done. */
static int
verdict(const struct audit_ctl *ctl, bool *ret_done)
{
	const struct nlmsgerr *error = payload(ctl);

	*ret_done = ctl->buffer.header.nlmsg_type == NLMSG_ERROR && ctl->len >= sizeof(error->error);
	return *ret_done ? error->error : 0;
}

/* Send and wait for the acknowledgement. */
static int
request(struct audit_ctl *ctl, uint16_t type, const void *data, size_t len)
{
	int r = audit_netlink_send(ctl->fd, type, NLM_F_ACK, ++ctl->seq, data, len);
	bool done = false;

	while (r == 0 && !done) {
		r = receive(ctl);
		if (r == 0)
			r = verdict(ctl, &done);
	}
	return r;
}

int
audit_ctl_status(struct audit_ctl *ctl, struct audit_status *ret)
{
	int r = audit_netlink_send(ctl->fd, AUDIT_GET, 0, ++ctl->seq, NULL, 0);
	bool done = false;

	while (r == 0 && !done) {
		r = receive(ctl);
		if (r < 0)
			break;
		if (ctl->buffer.header.nlmsg_type == AUDIT_GET) {
			/* Older kernels have a shorter structure. */
			(void)memset(ret, 0, sizeof(*ret));
			(void)memcpy(ret, payload(ctl), ctl->len < sizeof(*ret) ? ctl->len : sizeof(*ret));
			return 0;
		}
		r = verdict(ctl, &done);
	}
	return r < 0 ? r : -EPROTO;
}

int
audit_ctl_set(struct audit_ctl *ctl, const struct audit_status *status)
{
	return request(ctl, AUDIT_SET, status, sizeof(*status));
}

int
audit_ctl_rule(struct audit_ctl *ctl, uint16_t type, const struct audit_rule_data *rule)
{
	return request(ctl, type, rule, audit_rule_bytes(rule));
}

int
audit_ctl_rules(
    struct audit_ctl *ctl, int (*each)(const struct audit_rule_data *rule, size_t len, void *ctx), void *ctx)
{
	int r = audit_netlink_send(ctl->fd, AUDIT_LIST_RULES, 0, ++ctl->seq, NULL, 0);
	bool done = false;

	while (r == 0) {
		const struct audit_rule_data *rule = payload(ctl);

		r = receive(ctl);
		if (r < 0)
			return r;
		if (ctl->buffer.header.nlmsg_type == NLMSG_DONE)
			return 0;
		r = verdict(ctl, &done);
		if (done)
			return r < 0 ? r : -EPROTO;
		if (ctl->buffer.header.nlmsg_type == AUDIT_LIST_RULES && ctl->len >= sizeof(*rule) &&
		    ctl->len >= audit_rule_bytes(rule) && rule->field_count <= AUDIT_MAX_FIELDS)
			r = each(rule, ctl->len, ctx);
	}
	return r;
}
