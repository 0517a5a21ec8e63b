/*
 * Lists TCP sockets through sock_diag and closes the foreign ones (SOCK_DESTROY, needs CAP_NET_ADMIN). Never looks at
 * listening sockets, never at other namespaces. UDP needs no cut: its next send fails. Called by engine.c once the
 * rules are in force.
 */
#include "isolatord/cut.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Bytes of one answer of the kernel: it fills at most 32 KiB of a dump at a time (NETLINK_DUMP:
 * SKB_WITH_OVERHEAD(32768)). */
#define ANSWER_BYTES 32768u

/* Seconds to wait for an answer: the kernel gives it within the call, so this only guards against a lost one. */
#define ANSWER_S 2

/* First growth of the list of sockets. */
#define SOCKETS_AT_FIRST 256u

/* A connection, or the beginning or end of one. TIME_WAIT and SYN_RECV have no socket that could send data. */
#define STATES                                                                                                         \
	(1u << TCP_ESTABLISHED | 1u << TCP_SYN_SENT | 1u << TCP_FIN_WAIT1 | 1u << TCP_FIN_WAIT2 |                      \
	    1u << TCP_CLOSE_WAIT | 1u << TCP_LAST_ACK | 1u << TCP_CLOSING)

struct socket_info {
	uint8_t family;
	uid_t uid;
	struct inet_diag_sockid id;
};

struct socket_list {
	struct socket_info *sockets;
	size_t n, capacity;
};

struct addr_list {
	struct iso_addr *addrs;
	size_t n;
};

struct request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

int
cut_open(void)
{
	const struct timeval patience = {.tv_sec = ANSWER_S};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	return fd;
}

static int
ask(int fd, uint16_t type, uint16_t flags, const struct inet_diag_req_v2 *body)
{
	struct request request = {
	    .header = {.nlmsg_len = sizeof(request),
		.nlmsg_type = type,
		.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)},
	    .body = *body,
	};

	return send(fd, &request, sizeof(request), 0) < 0 ? -errno : 0;
}

static int
list_add(struct socket_list *list, const struct inet_diag_msg *msg)
{
	if (list->n == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2u : SOCKETS_AT_FIRST;
		struct socket_info *grown = realloc(list->sockets, capacity * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		list->sockets = grown;
		list->capacity = capacity;
	}
	list->sockets[list->n++] =
	    (struct socket_info){.family = msg->idiag_family, .uid = msg->idiag_uid, .id = msg->id};
	return 0;
}

/* One packet of answers. Returns 1 when more follow, 0 after the last, or a negative errno. */
static int
take_answers(int fd, struct socket_list *list)
{
	_Alignas(struct nlmsghdr) static char buf[ANSWER_BYTES];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);
	const struct nlmsghdr *h = (const void *)buf;

	if (n < 0)
		return -errno;
	for (; NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n)) {
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
		if (list != NULL && h->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
		    h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg))) {
			int r = list_add(list, NLMSG_DATA(h));

			if (r < 0)
				return r;
		}
	}
	return 1;
}

static int
list_family(int fd, uint8_t family, struct socket_list *list)
{
	const struct inet_diag_req_v2 body = {
	    .sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = STATES};
	int r = ask(fd, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &body);

	if (r < 0)
		return r;
	while ((r = take_answers(fd, list)) > 0)
		continue;
	/* The host has no IPv6. */
	return family == AF_INET6 && (r == -ENOENT || r == -EAFNOSUPPORT) ? 0 : r;
}

/* An IPv6 socket that talks IPv4 shows ::ffff:a.b.c.d. */
static void
set_addr(struct iso_addr *ret, uint8_t family, const __be32 *words)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const uint8_t *bytes = (const void *)words;

	if (family == AF_INET6 && memcmp(bytes, mapped, sizeof(mapped)) == 0)
		(void)iso_addr_set(ret, bytes + sizeof(mapped), 4);
	else
		(void)iso_addr_set(ret, bytes, family == AF_INET ? 4 : 16);
}

static bool
is_loopback(const struct iso_addr *addr)
{
	static const uint8_t v6[16] = {[15] = 1};

	return addr->family == AF_INET ? addr->bytes[0] == 127 : memcmp(addr->bytes, v6, sizeof(v6)) == 0;
}

static bool
addrs_hold(const struct addr_list *list, const struct iso_addr *addr)
{
	for (size_t i = 0; i < list->n; i++) {
		if (iso_addr_equal(&list->addrs[i], addr))
			return true;
	}
	return false;
}

/*
 * The addresses that sockets here have as their own, each once. A connection to one of them leads to this host itself:
 * its other end is in the list of sockets too.
 */
static int
list_own_addrs(const struct socket_list *sockets, struct addr_list *ret)
{
	for (size_t i = 0; i < sockets->n; i++) {
		struct iso_addr addr, *grown;

		set_addr(&addr, sockets->sockets[i].family, sockets->sockets[i].id.idiag_src);
		if (addrs_hold(ret, &addr))
			continue;
		grown = realloc(ret->addrs, (ret->n + 1) * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		ret->addrs = grown;
		ret->addrs[ret->n++] = addr;
	}
	return 0;
}

static bool
is_spared(const struct addr_list *own, const struct socket_info *s, const struct ruleset *rules)
{
	struct ruleset_flow flow = {
	    .protocol = IPPROTO_TCP,
	    .local_port = ntohs(s->id.idiag_sport),
	    .remote_port = ntohs(s->id.idiag_dport),
	    .uid = s->uid,
	};

	set_addr(&flow.remote, s->family, s->id.idiag_dst);
	return is_loopback(&flow.remote) || addrs_hold(own, &flow.remote) || ruleset_permits(rules, &flow);
}

/* A socket that has gone by itself is as good as closed. */
static int
close_one(int fd, const struct socket_info *s)
{
	const struct inet_diag_req_v2 body = {
	    .sdiag_family = s->family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = STATES, .id = s->id};
	int r = ask(fd, SOCK_DESTROY, NLM_F_ACK, &body);

	if (r == 0)
		r = take_answers(fd, NULL);
	return r == -ENOENT ? 0 : r;
}

int
cut_sockets(int fd, const struct ruleset *rules, struct cut_result *ret)
{
	struct socket_list list = {0};
	struct addr_list own = {0};
	struct cut_result result = {0};
	int r = list_family(fd, AF_INET, &list);

	if (r == 0)
		r = list_family(fd, AF_INET6, &list);
	if (r == 0)
		r = list_own_addrs(&list, &own);
	for (size_t i = 0; r == 0 && i < list.n; i++) {
		if (is_spared(&own, &list.sockets[i], rules))
			result.spared++;
		else if (close_one(fd, &list.sockets[i]) == 0)
			result.closed++;
		else
			result.refused++;
	}
	free(list.sockets);
	free(own.addrs);
	if (r == 0)
		*ret = result;
	return r;
}
