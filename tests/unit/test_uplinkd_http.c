/* http.c and tls.c against real TLS servers that misbehave: each failure has its own name, and nothing reaches the
 * wrong end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>

#include "common/loop.h"
#include "uplinkd/http.h"
#include "uplinkd/tls.h"
#include "uplinkd_tls_server.h"

/* Milliseconds: what a test waits for an end that says nothing. */
#define CONNECT_MS 700u
#define REQUEST_MS 700u
/* And after which a test is stuck. */
#define STUCK_S 15

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

struct fixture {
	char dir[32];
	int dirfd;
	struct identity ca, leaf, other_ca, other_leaf, expired, elsewhere, client, stranger;
	struct loop loop;
	struct http *http;
	struct tls_identity tls;
};

struct outcome {
	struct loop *loop;
	int calls;
	enum http_error error;
	int status;
	uint64_t retry_after_ms;
	size_t body_len, address_len;
	char words[256];
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *san = "IP:127.0.0.1,DNS:localhost";

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/picket-http-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->ca = identity_new("Test CA", NULL, NULL, true, -1, 30);
	f->leaf = identity_new("server", san, &f->ca, false, -1, 30);
	f->other_ca = identity_new("Other CA", NULL, NULL, true, -1, 30);
	f->other_leaf = identity_new("server", san, &f->other_ca, false, -1, 30);
	f->expired = identity_new("server", san, &f->ca, false, -10, -1);
	f->elsewhere = identity_new("server", "DNS:elsewhere.example", &f->ca, false, -1, 30);
	f->client = identity_new("agent", NULL, &f->ca, false, -1, 30);
	f->stranger = identity_new("stranger", NULL, &f->other_ca, false, -1, 30);
	assert_int_equal(http_global_init(), 0);
	assert_int_equal(loop_init(&f->loop, NULL, NULL), 0);
	f->http = http_new(&f->loop);
	assert_non_null(f->http);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	static const char *const files[] = {"server.pem", "client.pem", "client.key"};
	struct fixture *f = *state;

	http_free(f->http);
	tls_done(&f->tls);
	loop_done(&f->loop);
	struct identity *all[] = {
	    &f->ca, &f->leaf, &f->other_ca, &f->other_leaf, &f->expired, &f->elsewhere, &f->client, &f->stranger};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		identity_free(all[i]);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		(void)unlinkat(f->dirfd, files[i], 0);
	(void)close(f->dirfd);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

static void
load(struct fixture *f)
{
	const struct tls_files files = {.server = "server.pem", .client = "client.pem", .client_key = "client.key"};

	tls_done(&f->tls);
	assert_int_equal(tls_load(f->dirfd, &files, getuid(), &f->tls), 0);
}

/* Trust `pin`; show `client` when there is one. */
__attribute__((nonnull(1, 2, 4))) static void
configure(struct fixture *f, const struct identity *pin, const struct identity *client, const char *proxy)
{
	const struct http_conf conf = {.connect_timeout_ms = CONNECT_MS,
	    .request_timeout_ms = REQUEST_MS,
	    .proxy = proxy,
	    .tls = &f->tls,
	    .client_certificate = client != NULL};

	identity_write(pin, f->dirfd, "server", false);
	if (client != NULL)
		identity_write(client, f->dirfd, "client", true);
	load(f);
	assert_int_equal(http_configure(f->http, &conf), 0);
}

static void
on_done(void *ctx, const struct http_result *result)
{
	struct outcome *o = ctx;

	o->calls++;
	o->error = result->error;
	o->status = result->status;
	o->retry_after_ms = result->retry_after_ms;
	o->body_len = result->body_len;
	o->address_len = result->address_len;
	(void)snprintf(o->words, sizeof(o->words), "%s", result->words);
	loop_stop(o->loop, 0);
}

static struct outcome
post(struct fixture *f, const char *host, uint16_t port)
{
	struct outcome o = {.loop = &f->loop};
	const struct http_request request = {.host = host,
	    .port = port,
	    .path = "/edr/v1/telemetry",
	    .body = "body",
	    .body_len = 4,
	    .done = on_done,
	    .ctx = &o};

	(void)alarm(STUCK_S);
	assert_int_equal(http_post(f->http, &request, NULL), 0);
	assert_int_equal(o.calls, 0);
	(void)loop_run(&f->loop);
	(void)alarm(0);
	assert_int_equal(o.calls, 1);
	return o;
}

/* One request to a server that follows a script. */
static struct outcome
ask(struct fixture *f, const struct script *script)
{
	struct server server = server_start(script);
	struct outcome o = post(f, "127.0.0.1", server.port);

	server_stop(&server);
	return o;
}

static void
assert_error(struct outcome o, enum http_error error)
{
	if (o.error != error)
		fail_msg("got %s (%s), expected %s", http_error_name(o.error), o.words, http_error_name(error));
	assert_int_equal(o.status, 0);
	assert_true(strlen(o.words) > 10);
}

/* ---- whom we trust ---- */

static void
pinned_leaf_and_pinned_ca_are_trusted(void **state)
{
	struct fixture *f = *state;
	const struct script script = {.identity = &f->leaf, .answer = OK_ANSWER};
	struct outcome o;

	configure(f, &f->leaf, NULL, "");
	o = ask(f, &script);
	assert_int_equal(o.error, HTTP_OK);
	assert_int_equal(o.status, 200);
	assert_int_equal(o.body_len, 2);
	assert_int_equal(o.address_len, 4);
	configure(f, &f->ca, NULL, "");
	assert_int_equal(ask(f, &script).status, 200);
}

static void
another_certificate_is_named_and_refused(void **state)
{
	struct fixture *f = *state;

	configure(f, &f->ca, NULL, "");
	assert_error(ask(f, &(struct script){.identity = &f->other_leaf, .answer = OK_ANSWER}), HTTP_TLS_PIN);
	/* Of the same CA, but not the pinned leaf. */
	configure(f, &f->elsewhere, NULL, "");
	assert_error(ask(f, &(struct script){.identity = &f->leaf, .answer = OK_ANSWER}), HTTP_TLS_PIN);
}

static void
expired_certificate_is_named_and_refused(void **state)
{
	struct fixture *f = *state;
	const struct script script = {.identity = &f->expired, .answer = OK_ANSWER};

	configure(f, &f->ca, NULL, "");
	assert_error(ask(f, &script), HTTP_TLS_EXPIRED);
	configure(f, &f->expired, NULL, "");
	assert_error(ask(f, &script), HTTP_TLS_EXPIRED);
}

static void
certificate_for_another_name_is_named_and_refused(void **state)
{
	struct fixture *f = *state;
	const struct script script = {.identity = &f->elsewhere, .answer = OK_ANSWER};

	configure(f, &f->ca, NULL, "");
	assert_error(ask(f, &script), HTTP_TLS_HOST);
	configure(f, &f->elsewhere, NULL, "");
	assert_error(ask(f, &script), HTTP_TLS_HOST);
}

static void
old_tls_is_refused(void **state)
{
	struct fixture *f = *state;

	configure(f, &f->ca, NULL, "");
	assert_error(ask(f, &(struct script){.identity = &f->leaf, .max_version = TLS1_1_VERSION, .answer = OK_ANSWER}),
	    HTTP_TLS);
}

static void
client_certificate_is_shown_when_it_is_wanted(void **state)
{
	struct fixture *f = *state;
	const struct script script = {.identity = &f->leaf, .client_ca = &f->ca, .answer = OK_ANSWER};

	configure(f, &f->ca, &f->client, "");
	assert_int_equal(ask(f, &script).status, 200);
	configure(f, &f->ca, &f->stranger, "");
	assert_int_not_equal(ask(f, &script).error, HTTP_OK);
	configure(f, &f->ca, NULL, "");
	assert_int_not_equal(ask(f, &script).error, HTTP_OK);
}

static void
new_pin_is_in_force_at_once(void **state)
{
	struct fixture *f = *state;
	const struct script script = {.identity = &f->leaf, .answer = OK_ANSWER, .hang = true};
	struct server server = server_start(&script);

	configure(f, &f->ca, NULL, "");
	assert_int_equal(post(f, "127.0.0.1", server.port).status, 200);
	configure(f, &f->other_ca, NULL, "");
	server_stop(&server);
	assert_error(ask(f, &script), HTTP_TLS_PIN);
}

static void
without_a_pinned_certificate_nothing_is_sent(void **state)
{
	struct fixture *f = *state;
	const struct http_conf conf = {
	    .connect_timeout_ms = CONNECT_MS, .request_timeout_ms = REQUEST_MS, .proxy = "", .tls = &f->tls};
	const struct http_request request = {.host = "127.0.0.1", .port = 1, .path = "/", .done = on_done};

	load(f);
	assert_non_null(strstr(f->tls.server_state, "missing"));
	assert_int_equal(http_configure(f->http, &conf), 0);
	assert_int_equal(http_post(f->http, &request, NULL), -ENOKEY);
}

static void
key_that_others_can_read_is_not_used(void **state)
{
	struct fixture *f = *state;

	identity_write(&f->ca, f->dirfd, "server", false);
	identity_write(&f->client, f->dirfd, "client", true);
	load(f);
	assert_non_null(f->tls.client.text);
	assert_string_equal(f->tls.client_state, "present");
	assert_int_equal(fchmodat(f->dirfd, "client.key", 0640, 0), 0);
	load(f);
	assert_null(f->tls.client.text);
	assert_non_null(strstr(f->tls.client_state, "0600"));
	/* Nor the key of another certificate. */
	identity_write(&f->stranger, f->dirfd, "client", true);
	assert_int_equal(fchmodat(f->dirfd, "client.key", 0600, 0), 0);
	identity_write(&f->client, f->dirfd, "client", false);
	load(f);
	assert_null(f->tls.client.text);
}

/* ---- answers ---- */

static void
answers_that_are_cut_or_malformed_are_no_answers(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
	    "HTTP/1.1 200 OK\r\n\r\nno length, so a cut would not be seen",
	    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
	    "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nok",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nbad\r\n",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
	    "not even HTTP",
	    "",
	};
	struct fixture *f = *state;

	configure(f, &f->ca, NULL, "");
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		assert_error(ask(f, &(struct script){.identity = &f->leaf, .answer = answers[i]}), HTTP_REPLY);
}

static void
endless_answers_end(void **state)
{
	struct fixture *f = *state;

	configure(f, &f->ca, NULL, "");
	assert_error(ask(f, &(struct script){.identity = &f->leaf,
				.answer = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n",
				.repeat = "0123456789abcdef"}),
	    HTTP_REPLY);
	assert_error(ask(f, &(struct script){.identity = &f->leaf,
				.answer = "HTTP/1.1 200 OK\r\n",
				.repeat = "X-Header: 0123456789abcdef\r\n"}),
	    HTTP_REPLY);
}

static void
compressed_answer_is_not_blown_up(void **state)
{
	struct fixture *f = *state;
	struct outcome o;

	configure(f, &f->ca, NULL, "");
	o = ask(
	    f, &(struct script){.identity = &f->leaf,
		   .answer = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08!"});
	assert_int_equal(o.error, HTTP_OK);
	assert_int_equal(o.body_len, 4);
}

static void
silence_ends_with_a_timeout(void **state)
{
	struct fixture *f = *state;

	configure(f, &f->ca, NULL, "");
	assert_error(ask(f, &(struct script){.mute = true}), HTTP_TIMEOUT);
	assert_error(ask(f, &(struct script){.identity = &f->leaf, .answer = "HTTP/1.1 200 OK\r\n", .hang = true}),
	    HTTP_TIMEOUT);
	assert_error(
	    ask(f, &(struct script){.identity = &f->leaf, .answer = OK_ANSWER OK_ANSWER OK_ANSWER, .drip_ms = 100}),
	    HTTP_TIMEOUT);
}

static void
redirect_is_an_answer_and_not_followed(void **state)
{
	struct fixture *f = *state;

	configure(f, &f->ca, NULL, "");
	assert_int_equal(
	    ask(f, &(struct script){.identity = &f->leaf,
		       .answer =
			   "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n"})
		.status,
	    302);
}

static void
retry_after_is_handed_over(void **state)
{
	struct fixture *f = *state;
	struct outcome o;

	configure(f, &f->ca, NULL, "");
	o = ask(f, &(struct script){.identity = &f->leaf,
		       .answer = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"});
	assert_int_equal(o.status, 503);
	assert_int_equal(o.retry_after_ms, 7000);
}

static void
nobody_there_is_named(void **state)
{
	struct fixture *f = *state;
	struct server server = server_start(&(struct script){.mute = true});

	configure(f, &f->ca, NULL, "");
	server_stop(&server);
	assert_error(post(f, "127.0.0.1", server.port), HTTP_CONNECT);
	/* A label longer than 63 characters has no address anywhere. */
	assert_error(
	    post(f, "a123456789b123456789c123456789d123456789e123456789f123456789g1234.example", 443), HTTP_RESOLVE);
}

/* ---- proxies ---- */

static void
proxy_failures_have_their_own_names(void **state)
{
	static const struct {
		const char *answer;
		enum http_error error;
	} rows[] = {
	    {"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
		HTTP_PROXY_AUTH},
	    {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", HTTP_PROXY},
	    {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", HTTP_PROXY},
	};
	struct fixture *f = *state;
	char proxy[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct server server = server_start(&(struct script){.proxy = rows[i].answer});

		(void)snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", (unsigned int)server.port);
		configure(f, &f->ca, NULL, proxy);
		assert_error(post(f, "192.0.2.1", 443), rows[i].error);
		server_stop(&server);
		/* And nobody at the proxy's address. */
		assert_error(post(f, "192.0.2.1", 443), HTTP_PROXY);
	}
}

static void
server_behind_a_proxy_is_checked_like_any_other(void **state)
{
	static const char connected[] = "HTTP/1.1 200 Connected\r\n\r\n";
	struct fixture *f = *state;
	struct server good =
	    server_start(&(struct script){.proxy = connected, .identity = &f->leaf, .answer = OK_ANSWER});
	struct server bad =
	    server_start(&(struct script){.proxy = connected, .identity = &f->other_leaf, .answer = OK_ANSWER});
	struct server clear = server_start(&(struct script){.proxy = connected, .answer = OK_ANSWER});
	char proxy[64];

	(void)snprintf(proxy, sizeof(proxy), "http://user:secret@127.0.0.1:%u", (unsigned int)good.port);
	configure(f, &f->ca, NULL, proxy);
	assert_int_equal(post(f, "127.0.0.1", 443).status, 200);
	(void)snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", (unsigned int)bad.port);
	configure(f, &f->ca, NULL, proxy);
	assert_error(post(f, "127.0.0.1", 443), HTTP_TLS_PIN);
	(void)snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", (unsigned int)clear.port);
	configure(f, &f->ca, NULL, proxy);
	assert_int_not_equal(post(f, "127.0.0.1", 443).error, HTTP_OK);
	server_stop(&good);
	server_stop(&bad);
	server_stop(&clear);
}

static void
environment_does_not_redirect(void **state)
{
	static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(setenv(names[i], "http://127.0.0.1:1", 1), 0);
	configure(f, &f->ca, NULL, "");
	assert_int_equal(ask(f, &(struct script){.identity = &f->leaf, .answer = OK_ANSWER}).status, 200);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unsetenv(names[i]);
}

/* ---- life of a request ---- */

static void
new_settings_end_what_is_under_way(void **state)
{
	struct fixture *f = *state;
	const struct http_conf conf = {
	    .connect_timeout_ms = CONNECT_MS, .request_timeout_ms = REQUEST_MS, .proxy = "", .tls = &f->tls};
	struct server server = server_start(&(struct script){.mute = true});
	struct outcome o = {.loop = &f->loop};
	const struct http_request request = {
	    .host = "127.0.0.1", .port = server.port, .path = "/", .body = "", .done = on_done, .ctx = &o};
	struct http_call *call;

	configure(f, &f->ca, NULL, "");
	assert_int_equal(http_post(f->http, &request, NULL), 0);
	assert_int_equal(http_configure(f->http, &conf), 0);
	assert_int_equal(o.calls, 1);
	assert_int_equal(o.error, HTTP_ABORTED);
	/* A cancelled one says nothing. */
	assert_int_equal(http_post(f->http, &request, &call), 0);
	http_cancel(call);
	assert_int_equal(http_configure(f->http, &conf), 0);
	assert_int_equal(o.calls, 1);
	server_stop(&server);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(pinned_leaf_and_pinned_ca_are_trusted),
	    TEST(another_certificate_is_named_and_refused),
	    TEST(expired_certificate_is_named_and_refused),
	    TEST(certificate_for_another_name_is_named_and_refused),
	    TEST(old_tls_is_refused),
	    TEST(client_certificate_is_shown_when_it_is_wanted),
	    TEST(new_pin_is_in_force_at_once),
	    TEST(without_a_pinned_certificate_nothing_is_sent),
	    TEST(key_that_others_can_read_is_not_used),
	    TEST(answers_that_are_cut_or_malformed_are_no_answers),
	    TEST(endless_answers_end),
	    TEST(compressed_answer_is_not_blown_up),
	    TEST(silence_ends_with_a_timeout),
	    TEST(redirect_is_an_answer_and_not_followed),
	    TEST(retry_after_is_handed_over),
	    TEST(nobody_there_is_named),
	    TEST(proxy_failures_have_their_own_names),
	    TEST(server_behind_a_proxy_is_checked_like_any_other),
	    TEST(environment_does_not_redirect),
	    TEST(new_settings_end_what_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
