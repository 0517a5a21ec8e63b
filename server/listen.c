/* Binds the listening socket; what is wrong with the address is said in words. Called by main.c before privileges are
 * dropped. */
#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "server/peer.h"

/* Connections the kernel keeps for us while we are in a transaction; it cuts it to net.core.somaxconn. */
#define LISTEN_BACKLOG 512

/* ADDRESS:PORT or [ADDRESS]:PORT. Returns 0 or -EINVAL. */
static int
parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	char host[INET6_ADDRSTRLEN];
	const char *colon = strrchr(text, ':');
	char *end;

	if (colon == NULL || colon[1] < '0' || colon[1] > '9')
		return -EINVAL;
	unsigned long port = strtoul(colon + 1, &end, 10);
	bool is_v6 = text[0] == '[';
	if (port > UINT16_MAX || *end != '\0' || (is_v6 && (colon == text || colon[-1] != ']')))
		return -EINVAL;
	int n = (int)(colon - text) - (is_v6 ? 2 : 0);
	if (n < 0 || snprintf(host, sizeof(host), "%.*s", n, text + is_v6) >= (int)sizeof(host))
		return -EINVAL;
	if (inet_pton(is_v6 ? AF_INET6 : AF_INET, host, is_v6 ? (void *)&in6.sin6_addr : (void *)&in.sin_addr) != 1)
		return -EINVAL;
	in.sin_port = in6.sin6_port = htons((uint16_t)port);
	*ret_len = is_v6 ? sizeof(in6) : sizeof(in);
	memcpy(ret, is_v6 ? (const void *)&in6 : (const void *)&in, *ret_len);
	return 0;
}

static const char *
remedy_of(int error)
{
	switch (error) {
	case EADDRINUSE:
		return "another process has this port: stop it, or listen on another one";
	case EADDRNOTAVAIL:
		return "no interface of this machine has this address";
	case EACCES:
		return "ports below 1024 need root";
	default:
		return "choose another address or port";
	}
}

int
listen_open(const char *address, char *ret_address, size_t address_size, uint16_t *ret_port, char *err, size_t err_size)
{
	struct sockaddr_storage ss = {0};
	const int on = 1;
	socklen_t len;

	if (parse(address, &ss, &len) < 0) {
		(void)snprintf(err, err_size,
		    "cannot listen on %s: it must be ADDRESS:PORT or [IPV6ADDRESS]:PORT, not a name", address);
		return -EINVAL;
	}
	AUTO_FD int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Accepted sockets inherit TCP_NODELAY: a reply in two segments would wait 40 ms for the client's delayed
	 * acknowledgement. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)&ss, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
		int error = errno;

		(void)snprintf(
		    err, err_size, "cannot listen on %s: %s; %s", address, strerror(error), remedy_of(error));
		return -error;
	}
	socklen_t bound = sizeof(ss);
	(void)getsockname(fd, (struct sockaddr *)&ss, &bound);
	*ret_port = peer_address((const struct sockaddr *)&ss, ret_address, address_size);
	return STEAL_FD(fd);
}
