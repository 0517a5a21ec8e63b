/*
 * HTTPS requests on the event loop: libcurl's multi interface behind one call. A request goes out, one result comes
 * back, whatever the other end does.
 *
 * Fixed here: https only, TLS 1.2 or later, the pinned certificate is the only trust anchor, host name checked, no
 * redirects, HTTP/1.1, no environment variable steers anything, answers are capped and must be complete, and a watchdog
 * of our own ends what libcurl does not.
 */
#ifndef PICKET_UPLINKD_HTTP_H
#define PICKET_UPLINKD_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/loop.h"
#include "uplinkd/tls.h"

enum http_error {
	HTTP_OK,          /* a complete answer: look at status */
	HTTP_RESOLVE,     /* the name has no address */
	HTTP_CONNECT,     /* nobody answers there */
	HTTP_TLS_PIN,     /* the certificate is not, and is not issued by, the pinned one */
	HTTP_TLS_HOST,    /* the certificate is for another name */
	HTTP_TLS_EXPIRED, /* the certificate's validity is over or has not begun */
	HTTP_TLS,         /* any other failure of the handshake, e.g. our client certificate is refused */
	HTTP_PROXY_AUTH,  /* 407 */
	HTTP_PROXY,       /* the proxy cannot be reached or refuses the tunnel */
	HTTP_TIMEOUT,
	HTTP_REPLY,   /* cut, malformed, too large */
	HTTP_ABORTED, /* by http_configure() or http_free() */
};

struct http_conf {
	uint64_t connect_timeout_ms; /* to a finished handshake */
	uint64_t request_timeout_ms; /* from then to the whole answer */
	const char *proxy;           /* [scheme://][user[:password]@]host[:port]; "": none; secret */
	const struct tls_identity *tls;
	bool client_certificate; /* show ours */
};

struct http_result {
	enum http_error error;
	int status;              /* HTTP status when error is HTTP_OK, else 0 */
	uint64_t retry_after_ms; /* of the answer; 0: none */
	const uint8_t *body;     /* valid until the callback returns */
	size_t body_len;
	uint8_t address[16]; /* that we were connected to: the server's, or the proxy's */
	size_t address_len;  /* 4, 16, or 0: never connected */
	const char *words;   /* one sentence for status and log; valid until the callback returns */
};

struct http_request {
	const char *host; /* name, IPv4, or IPv6 without brackets */
	uint16_t port;
	const char *path;
	/* Numeric addresses, with commas between them, to use for a host and port (the server or the proxy); NULL: look
	 * up. */
	const char *pinned, *pinned_host;
	uint16_t pinned_port;
	const void *body; /* the caller's until the callback */
	size_t body_len;
	bool zstd;                                                 /* the body is compressed: says Content-Encoding */
	void (*done)(void *ctx, const struct http_result *result); /* once, from the loop, never inside http_post() */
	void *ctx;
};

struct http;
struct http_call;

/* http_global_init - libcurl, OpenSSL and the resolver's libraries, before the sandbox. Returns 0 or -ENOMEM. */
int http_global_init(void);

/* NULL when out of memory. Configure it before the first request. */
struct http *http_new(struct loop *loop);

/*
 * http_configure - take new settings; what is under way ends with HTTP_ABORTED, old connections are closed.
 * @conf: the strings are copied; conf->tls is borrowed until the next http_configure() or http_free().
 * Returns 0 or -ENOMEM.
 */
int http_configure(struct http *http, const struct http_conf *conf);

/*
 * http_post - start a request.
 * @ret_call: for http_cancel(); valid until done() is called. May be NULL.
 * Returns 0, -ENOMEM, or -ENOKEY when there is no pinned certificate to trust.
 */
int http_post(struct http *http, const struct http_request *request, struct http_call **ret_call);

/* Forget a request; done() will not be called. */
void http_cancel(struct http_call *call);

/* Ends what is under way with HTTP_ABORTED. NULL is fine. */
void http_free(struct http *http);

/* A stable short name, e.g. tls_pin. */
const char *http_error_name(enum http_error error);

#endif
