/* Who is at the other end of a socket, for the log. */
#ifndef PICKET_SERVER_PEER_H
#define PICKET_SERVER_PEER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Bytes of "[IPv6]:port" with terminator. */
#define PEER_BYTES 64u

/* peer_address - the address alone, as text. Returns the port. */
uint16_t peer_address(const struct sockaddr *sa, char *address, size_t size);

/* peer_name - the other end of a connected socket, "unknown" when there is none. Returns buf. */
const char *peer_name(int fd, char *buf, size_t size);

#endif
