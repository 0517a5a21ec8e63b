/* Who is at the other end of a socket, for the log. */
#ifndef PICKET_SERVER_PEER_H
#define PICKET_SERVER_PEER_H

#include <stddef.h>

/* Bytes of "[IPv6]:port" with terminator. */
#define PEER_BYTES 64u

/* peer_name - the other end of a connected socket, "unknown" when there is none. Returns buf. */
const char *peer_name(int fd, char *buf, size_t size);

#endif
