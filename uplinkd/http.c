/*
 * libcurl multi on libevent. Never decides what to send or when to try again: delivery.c and sync.c do.
 *
 * Rules of the marriage (CURLMOPT_TIMERFUNCTION, CURLMOPT_SOCKETFUNCTION): inside libcurl's callbacks only events are
 * armed; libcurl is called from event callbacks; done() runs after libcurl has returned, so it may start or cancel
 * requests.
 */
#include "uplinkd/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/limits.h"
#include "common/version.h"
#include "uplinkd/http_error.h"

/* Bytes of an answer that are kept; the protocol's largest (32 commands of 1 KiB and their frame) is well below. */
#define ANSWER_MAX_BYTES KIB(64)
/* Milliseconds beyond connect and request time-out until the watchdog takes the request away from libcurl. */
#define WATCHDOG_GRACE_MS 1000u
/* Seconds that close(2) may wait for unsent data: packet filter rules bound to our user do not match a closed socket.
 */
#define LINGER_S 1

struct http_call {
	struct http_call *prev, *next;
	struct http *http;
	CURL *easy;
	struct curl_slist *headers, *resolve;
	struct event *watchdog;
	uint8_t *answer;
	size_t answer_len;
	bool framed;    /* the answer says how long it is: a cut one is noticed */
	bool too_large; /* more than ANSWER_MAX_BYTES came */
	char error_text[CURL_ERROR_SIZE];
	void (*done)(void *ctx, const struct http_result *result);
	void *ctx;
};

struct http {
	struct loop *loop;
	CURLM *multi;
	struct event *timer;
	struct http_call *calls;
	struct http_conf conf;
	char *proxy;
};

/* ---- libcurl asks for events ---- */

static void http_collect(struct http *http);

static void
on_socket(evutil_socket_t fd, short what, void *ctx)
{
	struct http *http = ctx;
	int running;
	int action = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) | ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);

	(void)curl_multi_socket_action(http->multi, fd, action, &running);
	http_collect(http);
}

static void
on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct http *http = ctx;
	int running;

	(void)fd;
	(void)what;
	(void)curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	http_collect(http);
}

static int
want_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct http *http = ctx;
	struct event *event = socket_ctx;
	short events = (short)(EV_PERSIST | ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
			       ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));

	(void)easy;
	if (event != NULL)
		event_free(event);
	event = NULL;
	if (what != CURL_POLL_REMOVE) {
		event = event_new(http->loop->base, fd, events, on_socket, http);
		if (event == NULL || event_add(event, NULL) != 0)
			return -1;
	}
	return curl_multi_assign(http->multi, fd, event) == CURLM_OK ? 0 : -1;
}

static int
want_timer(CURLM *multi, long timeout_ms, void *ctx)
{
	struct http *http = ctx;

	(void)multi;
	if (timeout_ms < 0)
		(void)evtimer_del(http->timer);
	else
		loop_timer_arm(http->timer, (uint64_t)timeout_ms);
	return 0;
}

/* ---- libcurl hands over what it got ---- */

static size_t
take_body(char *data, size_t size, size_t n, void *ctx)
{
	struct http_call *call = ctx;
	size_t len = size * n;

	if (len > ANSWER_MAX_BYTES - call->answer_len) {
		call->too_large = true;
		return 0;
	}
	if (len > 0)
		memcpy(call->answer + call->answer_len, data, len);
	call->answer_len += len;
	return len;
}

static size_t
take_header(char *data, size_t size, size_t n, void *ctx)
{
	static const char length[] = "content-length:", chunked[] = "transfer-encoding: chunked";
	struct http_call *call = ctx;
	size_t len = size * n;

	if (len > 5 && memcmp(data, "HTTP/", 5) == 0)
		call->framed = false; /* of the proxy's answer before this one */
	if ((len >= sizeof(length) && strncasecmp(data, length, sizeof(length) - 1) == 0) ||
	    (len >= sizeof(chunked) && strncasecmp(data, chunked, sizeof(chunked) - 1) == 0))
		call->framed = true;
	return len;
}

static int
set_linger(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
	struct linger linger = {.l_onoff = 1, .l_linger = LINGER_S};

	(void)ctx;
	(void)purpose;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return CURL_SOCKOPT_OK;
}

/* ---- the end of a call ---- */

static void
call_free(struct http_call *call)
{
	struct http *http = call->http;

	if (call->prev != NULL)
		call->prev->next = call->next;
	else if (http->calls == call)
		http->calls = call->next;
	if (call->next != NULL)
		call->next->prev = call->prev;
	if (call->easy != NULL) {
		(void)curl_multi_remove_handle(http->multi, call->easy);
		curl_easy_cleanup(call->easy);
	}
	curl_slist_free_all(call->headers);
	curl_slist_free_all(call->resolve);
	if (call->watchdog != NULL)
		event_free(call->watchdog);
	free(call->answer);
	free(call);
}

static void
get_address(CURL *easy, struct http_result *result)
{
	const char *text = NULL;

	if (curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &text) != CURLE_OK || text == NULL)
		return;
	if (inet_pton(AF_INET, text, result->address) == 1)
		result->address_len = 4;
	else if (inet_pton(AF_INET6, text, result->address) == 1)
		result->address_len = 16;
}

/* Hand over the result and let go. */
static void
call_finish(struct http_call *call, const struct http_result *result)
{
	void (*done)(void *ctx, const struct http_result *result) = call->done;
	void *ctx = call->ctx;
	uint8_t *answer = call->answer;
	char words[HTTP_WORDS_BYTES];
	struct http_result copy = *result;

	(void)snprintf(words, sizeof(words), "%s", result->words);
	copy.words = words;
	call->answer = NULL;
	call_free(call);
	done(ctx, &copy);
	free(answer);
}

static void
call_done(struct http_call *call, CURLcode code)
{
	struct http_result result = {.body = call->answer, .body_len = call->answer_len};
	struct http_failure failure = {.code = code,
	    .text = call->error_text,
	    .too_large = call->too_large,
	    .by_proxy = call->http->proxy[0] != '\0'};
	char words[HTTP_WORDS_BYTES];
	curl_off_t retry_after_s = 0;
	long status = 0;

	(void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &failure.connect_status);
	(void)curl_easy_getinfo(call->easy, CURLINFO_SSL_VERIFYRESULT, &failure.verify_result);
	get_address(call->easy, &result);
	result.error = http_error_of(&failure, words, sizeof(words));
	if (result.error == HTTP_OK && !call->framed && status != 204) {
		result.error = HTTP_REPLY;
		(void)snprintf(words, sizeof(words),
		    "the answer does not say how long it is: a cut one could not be told from a whole one");
	}
	if (result.error == HTTP_OK) {
		result.status = (int)status;
		if (curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after_s) == CURLE_OK &&
		    retry_after_s > 0)
			result.retry_after_ms = (uint64_t)retry_after_s * 1000;
		(void)snprintf(words, sizeof(words), "HTTP status %ld", status);
	}
	result.words = words;
	call_finish(call, &result);
}

static void
call_end(struct http_call *call, enum http_error error, const char *words)
{
	struct http_result result = {.error = error, .words = words};

	call_finish(call, &result);
}

static void
http_collect(struct http *http)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(http->multi, &left)) != NULL) {
		struct http_call *call = NULL;
		CURLcode code = msg->data.result; /* msg does not survive the next call into libcurl */

		if (msg->msg != CURLMSG_DONE)
			continue;
		if (curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call) == CURLE_OK && call != NULL)
			call_done(call, code);
	}
}

static void
on_watchdog(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	call_end(ctx, HTTP_TIMEOUT,
	    "no complete answer in time: raise ConnectionTimeout or RequestTimeout if the link is slow");
}

/* ---- the start of a call ---- */

static int
set_trust(CURL *easy, const struct http_conf *conf)
{
	const struct tls_identity *tls = conf->tls;
	struct curl_blob server = {.data = tls->server.text, .len = tls->server.len, .flags = CURL_BLOB_NOCOPY};
	struct curl_blob client = {.data = tls->client.text, .len = tls->client.len, .flags = CURL_BLOB_NOCOPY};
	struct curl_blob key = {.data = tls->client_key.text, .len = tls->client_key.len, .flags = CURL_BLOB_NOCOPY};
	bool ok = curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &server) == CURLE_OK &&
		  /* Distributions build in a directory of trusted CAs, which would be asked as well. */
		  curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK &&
		  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
		  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
		  curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;

	/* A proxy that is reached by https:// is held to the same certificate; so it fails where the library cannot do
	 * that. */
	ok = ok && curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL) == CURLE_OK &&
	     curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, NULL) == CURLE_OK;
#if LIBCURL_VERSION_NUM >= 0x074d00
	ok = ok && curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO_BLOB, &server) == CURLE_OK;
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	(void)curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
	if (ok && conf->client_certificate && tls->client.text != NULL) {
		ok = curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM") == CURLE_OK &&
		     curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &client) == CURLE_OK &&
		     curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM") == CURLE_OK &&
		     curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &key) == CURLE_OK;
	}
	return ok ? 0 : -ENOMEM;
}

/* What must not be left to libcurl's defaults or to the environment. */
static int
set_transport(CURL *easy, const struct http *http)
{
	const struct http_conf *conf = &http->conf;
	bool ok = curl_easy_setopt(easy, CURLOPT_PROXY, http->proxy) == CURLE_OK &&
		  curl_easy_setopt(easy, CURLOPT_NOPROXY, "") == CURLE_OK;

	(void)curl_easy_setopt(easy, CURLOPT_PROXYAUTH, (long)(CURLAUTH_BASIC | CURLAUTH_DIGEST));
#if LIBCURL_VERSION_NUM >= 0x075500
	ok = ok && curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK;
#else
	ok = ok && curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)CURLPROTO_HTTPS) == CURLE_OK;
#endif
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, set_linger);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)conf->connect_timeout_ms);
	(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(conf->connect_timeout_ms + conf->request_timeout_ms));
	return ok ? 0 : -ENOMEM;
}

static int
set_request(struct http_call *call, const struct http_request *request)
{
	bool v6 = strchr(request->host, ':') != NULL;
	char line[1024]; /* bytes: a host name has at most 253, eight addresses at most 376 */

	(void)snprintf(line, sizeof(line), "https://%s%s%s:%u%s", v6 ? "[" : "", request->host, v6 ? "]" : "",
	    (unsigned int)request->port, request->path);
	if (curl_easy_setopt(call->easy, CURLOPT_URL, line) != CURLE_OK)
		return -ENOMEM;
	if (request->pinned != NULL) {
		/* "+": not for ever, a later request may resolve the name again. */
		(void)snprintf(line, sizeof(line), "%s%s:%u:%s", LIBCURL_VERSION_NUM >= 0x074b00 ? "+" : "",
		    request->pinned_host, (unsigned int)request->pinned_port, request->pinned);
		call->resolve = curl_slist_append(NULL, line);
		(void)curl_easy_setopt(call->easy, CURLOPT_RESOLVE, call->resolve);
	}

	static const char *const always[] = {
	    "Content-Type: application/x-protobuf", "Accept: application/x-protobuf", "Expect:"};
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]) + (request->zstd ? 1 : 0); i++) {
		const char *text = i < sizeof(always) / sizeof(always[0]) ? always[i] : "Content-Encoding: zstd";
		struct curl_slist *longer = curl_slist_append(call->headers, text);

		if (longer == NULL)
			return -ENOMEM;
		call->headers = longer;
	}
	(void)snprintf(line, sizeof(line), "picket/%s", picket_version);
	(void)curl_easy_setopt(call->easy, CURLOPT_USERAGENT, line);
	(void)curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
	(void)curl_easy_setopt(call->easy, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, request->body);
	(void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
	(void)curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
	(void)curl_easy_setopt(call->easy, CURLOPT_HEADERFUNCTION, take_header);
	(void)curl_easy_setopt(call->easy, CURLOPT_HEADERDATA, call);
	(void)curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->error_text);
	(void)curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
	return 0;
}

int
http_post(struct http *http, const struct http_request *request, struct http_call **ret_call)
{
	if (http->conf.tls == NULL || http->conf.tls->server.text == NULL)
		return -ENOKEY;

	struct http_call *call = calloc(1, sizeof(*call));
	if (call == NULL)
		return -ENOMEM;
	call->http = http;
	call->done = request->done;
	call->ctx = request->ctx;
	call->easy = curl_easy_init();
	call->answer = malloc(ANSWER_MAX_BYTES);
	call->watchdog = loop_timer_new(http->loop, on_watchdog, call);
	call->next = http->calls;
	if (call->next != NULL)
		call->next->prev = call;
	http->calls = call;
	if (call->easy == NULL || call->answer == NULL || call->watchdog == NULL || set_request(call, request) < 0 ||
	    set_trust(call->easy, &http->conf) < 0 || set_transport(call->easy, http) < 0 ||
	    curl_multi_add_handle(http->multi, call->easy) != CURLM_OK) {
		call_free(call);
		return -ENOMEM;
	}
	loop_timer_arm(
	    call->watchdog, http->conf.connect_timeout_ms + http->conf.request_timeout_ms + WATCHDOG_GRACE_MS);
	if (ret_call != NULL)
		*ret_call = call;
	return 0;
}

void
http_cancel(struct http_call *call)
{
	call_free(call);
}

/* ---- the whole ---- */

int
http_global_init(void)
{
	static const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	struct addrinfo *info = NULL;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	/* The name service loads its libraries at the first real look-up: later they could not be opened. */
	if (getaddrinfo("localhost", "443", NULL, &info) == 0)
		freeaddrinfo(info);
	if (getaddrinfo("127.0.0.1", "443", &hints, &info) == 0)
		freeaddrinfo(info);
	return 0;
}

static int
multi_open(struct http *http)
{
	http->multi = curl_multi_init();
	if (http->multi == NULL)
		return -ENOMEM;
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	return 0;
}

static void
multi_close(struct http *http)
{
	http->conf.tls = NULL; /* done() callbacks cannot start anything new */
	while (http->calls != NULL)
		call_end(http->calls, HTTP_ABORTED, "the link's settings changed");
	if (http->multi != NULL)
		(void)curl_multi_cleanup(http->multi);
	http->multi = NULL;
	(void)evtimer_del(http->timer);
}

struct http *
http_new(struct loop *loop)
{
	struct http *http = calloc(1, sizeof(*http));

	if (http == NULL)
		return NULL;
	http->loop = loop;
	http->timer = loop_timer_new(loop, on_timer, http);
	if (http->timer == NULL) {
		free(http);
		return NULL;
	}
	return http;
}

static void
forget_proxy(struct http *http)
{
	if (http->proxy != NULL)
		explicit_bzero(http->proxy, strlen(http->proxy));
	free(http->proxy);
	http->proxy = NULL;
}

int
http_configure(struct http *http, const struct http_conf *conf)
{
	multi_close(http);
	forget_proxy(http);
	http->conf = *conf;
	http->conf.proxy = NULL;
	http->proxy = strdup(conf->proxy);
	return http->proxy != NULL ? multi_open(http) : -ENOMEM;
}

void
http_free(struct http *http)
{
	if (http == NULL)
		return;
	multi_close(http);
	event_free(http->timer);
	forget_proxy(http);
	free(http);
}
