/*
 * Requests in, replies out: client identity, routes, encodings, status codes, and the clocks that slow clients run
 * against. Never reads a protobuf message and never touches the database: api.c does, within the callback (one thread,
 * one request at a time). Called by main.c.
 */
#include "server/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "server/body.h"
#include "server/peer.h"
#include "server/tls.h"

/* Milliseconds between two looks at the clocks of all connections. */
#define HTTP_SWEEP_MS 1000u

/* One TLS connection; lives in its SSL as application data and is freed with it. */
struct conn {
	struct http *http;
	LIST_ENTRY(conn) link;
	SSL *ssl;
	struct mono_ms since; /* accepted, or end of the last request */
	bool is_open;         /* the handshake is done */
	char subject[TLS_SUBJECT_BYTES];
};

struct http {
	struct http_conf conf;
	struct evhttp *evhttp;
	struct evconnlistener *listener;
	struct event *sweep;
	struct body_decoder *decoder;
	LIST_HEAD(, conn) conns;
	uint64_t n_conns;
	bool is_full; /* the listener is off */
	int ssl_index;
};

struct route {
	const char *path;
	void (*handler)(struct api *api, const struct api_request *request, struct api_reply *ret_reply);
};

static const struct route routes[] = {
    {"/edr/v1/sync", api_sync},
    {"/edr/v1/telemetry", api_telemetry},
};

static const struct {
	int status;
	const char *reason;
} reasons[] = {
    {200, "OK"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {503, "Service Unavailable"},
};

/* ---- connections ---- */

/* OpenSSL calls it from SSL_free(), which libevent calls for every connection that ends, however it ends. */
static void
on_ssl_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	struct conn *conn = ptr;

	(void)parent;
	(void)ad;
	(void)index;
	(void)argl;
	(void)argp;
	if (conn == NULL)
		return;
	struct http *http = conn->http;
	LIST_REMOVE(conn, link);
	http->n_conns--;
	if (http->is_full && http->listener != NULL && http->n_conns < http->conf.max_connections) {
		http->is_full = false;
		(void)evconnlistener_enable(http->listener);
	}
	free(conn);
}

static struct conn *
conn_of(const struct http *http, const SSL *ssl)
{
	return ssl != NULL ? SSL_get_ex_data(ssl, http->ssl_index) : NULL;
}

/* Why a handshake failed: the administrator of an agent sees only "connection reset". */
static void
log_refusal(const SSL *ssl, bool is_ours, int code)
{
	/* OpenSSL knows the reason before it sends the alert, which says less. */
	const char *why = ERR_reason_error_string(ERR_peek_last_error());
	long verified = SSL_get_verify_result(ssl);
	char peer[PEER_BYTES];

	(void)peer_name(SSL_get_fd(ssl), peer, sizeof(peer));
	if (!is_ours)
		log_warning(
		    "tls.refused_by_client", KV_STR("peer", peer), KV_STR("alert", SSL_alert_desc_string_long(code)));
	else
		log_warning("tls.refused", KV_STR("peer", peer),
		    KV_STR("why", why != NULL ? why : SSL_alert_desc_string_long(code)),
		    KV_STR("certificate",
			verified == X509_V_OK ? "none or not checked" : X509_verify_cert_error_string(verified)));
}

static void
on_tls_info(const SSL *ssl, int where, int code)
{
	struct http *http = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct conn *conn = conn_of(http, ssl);

	if (conn == NULL)
		return;
	if ((where & SSL_CB_HANDSHAKE_DONE) != 0 && !conn->is_open) {
		conn->is_open = true;
		conn->since = mono_now();
		if (tls_subject(conn->ssl, conn->subject, sizeof(conn->subject)) < 0)
			conn->subject[0] = '\0';
	} else if ((where & SSL_CB_ALERT) != 0 && (code >> 8) == SSL3_AL_FATAL) {
		log_refusal(ssl, (where & SSL_CB_WRITE) != 0, code);
	}
}

/*
 * A bufferevent for a connection that was just accepted. When there is no memory libevent would go on in plain text
 * with a NULL; such a connection has no SSL, thus no subject, and every request on it is refused (find_conn()).
 */
static struct bufferevent *
on_accept(struct event_base *base, void *ctx)
{
	struct http *http = ctx;
	struct conn *conn = calloc(1, sizeof(*conn));
	SSL *ssl = SSL_new(http->conf.tls);

	if (conn == NULL || ssl == NULL || SSL_set_ex_data(ssl, http->ssl_index, conn) != 1) {
		log_error("http.no_memory");
		SSL_free(ssl);
		free(conn);
		return NULL;
	}
	*conn = (struct conn){.http = http, .ssl = ssl, .since = mono_now()};
	LIST_INSERT_HEAD(&http->conns, conn, link);
	if (++http->n_conns >= http->conf.max_connections && !http->is_full) {
		http->is_full = true;
		(void)evconnlistener_disable(http->listener);
		log_warning("http.full", KV_U64("connections", http->n_conns));
	}
	struct bufferevent *bev =
	    bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (bev == NULL)
		log_error("http.no_memory"); /* libevent has freed ssl */
	return bev;
}

/* Ends connections whose handshake or request takes too long; libevent itself ends those on which nothing moves. */
static void
on_sweep(evutil_socket_t fd, short what, void *ctx)
{
	struct http *http = ctx;
	struct mono_ms now = mono_now();
	struct conn *conn;

	(void)fd;
	(void)what;
	LIST_FOREACH(conn, &http->conns, link)
	{
		uint64_t limit_ms =
		    conn->is_open ? http->conf.idle_timeout_ms + http->conf.request_timeout_ms : HTTP_HANDSHAKE_MS;

		/* libevent sees the end of the stream and frees the connection. */
		if (mono_since(conn->since, now) > limit_ms && SSL_get_fd(conn->ssl) >= 0)
			(void)shutdown(SSL_get_fd(conn->ssl), SHUT_RDWR);
	}
	loop_timer_arm(http->sweep, HTTP_SWEEP_MS);
}

/* ---- requests ---- */

static const char *
reason_of(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (reasons[i].status == status)
			return reasons[i].reason;
	}
	return "";
}

static void
answer(struct evhttp_request *req, const struct api_reply *reply)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	struct evbuffer *body = evhttp_request_get_output_buffer(req);
	char number[16]; /* bytes: an unsigned int */

	if (reply->status == 200) {
		(void)evhttp_add_header(headers, "Content-Type", "application/x-protobuf");
		(void)evbuffer_add(body, reply->body, reply->len);
	} else {
		(void)evhttp_add_header(headers, "Content-Type", "text/plain; charset=utf-8");
		(void)evbuffer_add_printf(body, "%s\n", reply->text);
	}
	if (reply->status == 405)
		(void)evhttp_add_header(headers, "Allow", "POST");
	if (reply->status == 415)
		(void)evhttp_add_header(headers, "Accept-Encoding", "zstd, identity");
	if (reply->retry_s > 0) {
		(void)snprintf(number, sizeof(number), "%u", reply->retry_s);
		(void)evhttp_add_header(headers, "Retry-After", number);
	}
	evhttp_send_reply(req, reply->status, reason_of(reply->status), NULL);
}

static void
refuse(struct api_reply *reply, int status, const char *text)
{
	*reply = (struct api_reply){.status = status, .text = text};
}

static const struct route *
find_route(struct evhttp_request *req)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;

	for (size_t i = 0; path != NULL && i < ARRAY_LEN(routes); i++) {
		if (strcmp(path, routes[i].path) == 0)
			return &routes[i];
	}
	return NULL;
}

static struct conn *
find_conn(const struct http *http, struct evhttp_request *req)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(req);

	return conn_of(http, bufferevent_openssl_get_ssl(evhttp_connection_get_bufferevent(evcon)));
}

static void
run_route(struct http *http, struct evhttp_request *req, const struct route *route, const char *subject,
    struct api_reply *reply)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(req);
	const char *encoding = evhttp_find_header(evhttp_request_get_input_headers(req), "Content-Encoding");
	size_t len = evbuffer_get_length(input);
	const uint8_t *raw = len > 0 ? evbuffer_pullup(input, -1) : (const uint8_t *)"";
	struct api_request request = {.subject = subject, .now_ms = wall_now_ms()};

	if (raw == NULL) {
		refuse(reply, 503, "out of memory");
		return;
	}
	switch (-body_decode(http->decoder, encoding, raw, len, HTTP_DECODED_BYTES, &request.body, &request.len)) {
	case 0:
		route->handler(http->conf.api, &request, reply);
		break;
	case EOPNOTSUPP:
		refuse(reply, 415, "Content-Encoding must be zstd or identity");
		break;
	case EFBIG:
		refuse(reply, 413, "the decoded body is larger than 32 MiB");
		break;
	case ENOMEM:
		refuse(reply, 503, "out of memory");
		break;
	default:
		refuse(reply, 400, "the body is not whole zstd frames with windows of at most 8 MiB");
		break;
	}
}

static void
on_request(struct evhttp_request *req, void *ctx)
{
	struct http *http = ctx;
	struct conn *conn = find_conn(http, req);
	const struct route *route = find_route(req);
	struct api_reply reply = {0};
	char peer[PEER_BYTES];

	if (conn == NULL || conn->subject[0] == '\0')
		refuse(&reply, 401, "a client certificate with a subject is needed");
	else if (route == NULL)
		refuse(&reply, 404, "there are POST /edr/v1/sync and POST /edr/v1/telemetry");
	else if (evhttp_request_get_command(req) != EVHTTP_REQ_POST)
		refuse(&reply, 405, "use POST");
	else
		run_route(http, req, route, conn->subject, &reply);
	if (reply.status != 200 && reply.status != 503)
		log_warning("http.refused", KV_I64("status", reply.status), KV_STR("why", reply.text),
		    KV_STR("path", evhttp_request_get_uri(req)), KV_STR("subject", conn != NULL ? conn->subject : ""),
		    KV_STR("peer", peer_name(conn != NULL ? SSL_get_fd(conn->ssl) : -1, peer, sizeof(peer))));
	if (conn != NULL)
		conn->since = mono_now();
	answer(req, &reply);
	free(reply.body);
}

/* ---- life ---- */

static int
start_evhttp(struct http *http)
{
	struct timeval idle = {
	    .tv_sec = (time_t)(http->conf.idle_timeout_ms / 1000),
	    .tv_usec = (suseconds_t)(http->conf.idle_timeout_ms % 1000 * 1000),
	};

	http->evhttp = evhttp_new(http->conf.loop->base);
	if (http->evhttp == NULL)
		return -ENOMEM;
	evhttp_set_max_headers_size(http->evhttp, (ev_ssize_t)HTTP_HEADER_BYTES);
	evhttp_set_max_body_size(http->evhttp, (ev_ssize_t)HTTP_BODY_BYTES);
	evhttp_set_timeout_tv(http->evhttp, &idle);
	/* A body that is too large is read to its end before the 413: else the reply would be lost in a reset. */
	(void)evhttp_set_flags(http->evhttp, EVHTTP_SERVER_LINGERING_CLOSE);
	/* All of them, so that the answer to a wrong one is our 405. */
	evhttp_set_allowed_methods(http->evhttp, UINT16_MAX);
	evhttp_set_bevcb(http->evhttp, on_accept, http);
	evhttp_set_gencb(http->evhttp, on_request, http);
	if (evhttp_bind_listener(http->evhttp, http->listener) == NULL)
		return -ENOMEM;
	return 0;
}

struct http *
http_start(const struct http_conf *conf)
{
	struct http *http = calloc(1, sizeof(*http));

	if (http == NULL) {
		(void)close(conf->listen_fd);
		return NULL;
	}
	http->conf = *conf;
	LIST_INIT(&http->conns);
	http->ssl_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_free);
	(void)SSL_CTX_set_app_data(conf->tls, http);
	SSL_CTX_set_info_callback(conf->tls, on_tls_info);
	http->listener = evconnlistener_new(
	    conf->loop->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, conf->listen_fd);
	if (http->listener == NULL)
		(void)close(conf->listen_fd);
	http->decoder = body_decoder_new();
	http->sweep = loop_timer_new(conf->loop, on_sweep, http);
	if (http->listener == NULL || http->decoder == NULL || http->sweep == NULL || start_evhttp(http) < 0) {
		http_free(http);
		return NULL;
	}
	loop_timer_arm(http->sweep, HTTP_SWEEP_MS);
	return http;
}

void
http_free(struct http *http)
{
	if (http == NULL)
		return;
	struct evconnlistener *listener = http->listener;
	http->listener = NULL; /* connections that end now must not switch it on again */
	if (http->evhttp != NULL)
		evhttp_free(http->evhttp); /* frees the listener it was bound to */
	else if (listener != NULL)
		evconnlistener_free(listener);
	if (http->sweep != NULL)
		event_free(http->sweep);
	body_decoder_free(http->decoder);
	free(http);
}
