/* The listening socket. */
#ifndef PICKET_SERVER_LISTEN_H
#define PICKET_SERVER_LISTEN_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/*
 * listen_open - a bound and listening socket; call before privileges are dropped.
 * @address: ADDRESS:PORT or [ADDRESS]:PORT; port 0 takes a free one.
 * @ret_address, @ret_port: what it became; the address needs INET6_ADDRSTRLEN bytes.
 * Returns the descriptor, or a negative errno with one line in err.
 */
int listen_open(
    const char *address, char *ret_address, size_t address_size, uint16_t *ret_port, char *err, size_t err_size);

#endif
