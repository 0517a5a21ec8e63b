/* Socket addresses as text. Called by http.c and listen.c. */
#include "server/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

uint16_t
peer_address(const struct sockaddr *sa, char *address, size_t size)
{

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;

		(void)inet_ntop(AF_INET, &in->sin_addr, address, (socklen_t)size);
		return ntohs(in->sin_port);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;

		(void)inet_ntop(AF_INET6, &in6->sin6_addr, address, (socklen_t)size);
		return ntohs(in6->sin6_port);
	}
	(void)snprintf(address, size, "unknown");
	return 0;
}

const char *
peer_name(int fd, char *buf, size_t size)
{
	char address[INET6_ADDRSTRLEN];
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (fd < 0 || getpeername(fd, (struct sockaddr *)&ss, &len) < 0) {
		(void)snprintf(buf, size, "unknown");
		return buf;
	}
	uint16_t port = peer_address((const struct sockaddr *)&ss, address, sizeof(address));
	(void)snprintf(buf, size, ss.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", address, (unsigned int)port);
	return buf;
}
