/* HTTPS on libevent: connections, limits, routes. What a request means is api.h's business. */
#ifndef PICKET_SERVER_HTTP_H
#define PICKET_SERVER_HTTP_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "common/limits.h"
#include "common/loop.h"
#include "server/api.h"

/* Bytes of a request body as sent, and after undoing Content-Encoding. A package of 1,024 events is below 1 MiB. */
#define HTTP_BODY_BYTES MIB(8)
#define HTTP_DECODED_BYTES MIB(32)

/* Bytes of request line and header together: an agent sends a few hundred. */
#define HTTP_HEADER_BYTES KIB(16)

/* Milliseconds for a TLS handshake, from the accept on. */
#define HTTP_HANDSHAKE_MS 10000u

struct http_conf {
	struct loop *loop; /* borrowed, as all of these */
	SSL_CTX *tls;
	struct api *api;
	int listen_fd;               /* listening; owned from here on */
	uint64_t idle_timeout_ms;    /* nothing arrives */
	uint64_t request_timeout_ms; /* beside it, for a request that arrives in small pieces */
	uint64_t max_connections;
};

struct http;

/* http_start - accept connections. Returns NULL when out of memory; listen_fd is closed then too. */
struct http *http_start(const struct http_conf *conf);
void http_free(struct http *http); /* closes every connection; NULL is fine */

#endif
