/*
 * A TLS server in a child process that answers one way per test, and the certificates for it. For tests of http.c
 * against hostile ends. Included by one test program at a time.
 */
#ifndef PICKET_TEST_TLS_SERVER_H
#define PICKET_TEST_TLS_SERVER_H

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};

/* Days of validity around now; a negative `to` is an expired certificate. issuer NULL: signed by itself. */
static inline struct identity
identity_new(const char *name, const char *san, const struct identity *issuer, bool ca, int from_days, int to_days)
{
	struct identity id = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
	X509V3_CTX ctx;
	static long serial = 1;

	assert(id.key != NULL && id.cert != NULL);
	(void)X509_set_version(id.cert, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
	(void)X509_gmtime_adj(X509_getm_notBefore(id.cert), from_days * 86400L);
	(void)X509_gmtime_adj(X509_getm_notAfter(id.cert), to_days * 86400L);
	(void)X509_set_pubkey(id.cert, id.key);
	(void)X509_NAME_add_entry_by_txt(
	    X509_get_subject_name(id.cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	(void)X509_set_issuer_name(id.cert, X509_get_subject_name(issuer != NULL ? issuer->cert : id.cert));
	X509V3_set_ctx(&ctx, issuer != NULL ? issuer->cert : id.cert, id.cert, NULL, NULL, 0);
	const struct {
		int nid;
		const char *value;
	} extensions[] = {
	    {NID_basic_constraints, ca ? "critical,CA:TRUE" : "critical,CA:FALSE"}, {NID_subject_alt_name, san}};
	for (size_t i = 0; i < 2; i++) {
		X509_EXTENSION *x = extensions[i].value != NULL
					? X509V3_EXT_conf_nid(NULL, &ctx, extensions[i].nid, extensions[i].value)
					: NULL;

		if (x == NULL)
			continue;
		(void)X509_add_ext(id.cert, x, -1);
		X509_EXTENSION_free(x);
	}
	assert(X509_sign(id.cert, issuer != NULL ? issuer->key : id.key, EVP_sha256()) > 0);
	return id;
}

static inline void
identity_free(struct identity *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
}

/* Write PEM files NAME.pem and, with `key`, NAME.key (0600). */
static inline void
identity_write(const struct identity *id, int dirfd, const char *name, bool key)
{
	char path[64];
	int fd;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s.pem", name);
	fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	f = fdopen(fd, "w");
	assert(f != NULL && PEM_write_X509(f, id->cert) == 1);
	(void)fclose(f);
	if (!key)
		return;
	(void)snprintf(path, sizeof(path), "%s.key", name);
	fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	f = fdopen(fd, "w");
	assert(f != NULL && PEM_write_PrivateKey(f, id->key, NULL, NULL, 0, NULL, NULL) == 1);
	(void)fclose(f);
}

/* How the server behaves. */
struct script {
	const struct identity *identity;  /* NULL: no TLS at all */
	const struct identity *client_ca; /* a client certificate of it is demanded */
	int max_version;                  /* e.g. TLS1_1_VERSION; 0: any */
	const char *answer;               /* sent after the request's head and body */
	const char *repeat;               /* then this, again and again */
	int drip_ms;                      /* pause between bytes of the answer */
	bool hang;                        /* then keep the connection open, saying nothing */
	const char *proxy;                /* answer to CONNECT, in clear, before TLS */
	bool mute;                        /* accept, and never say a word */
};

struct server {
	pid_t pid;
	uint16_t port;
};

/* Returns false when the client is gone. */
static inline bool
server_write(SSL *ssl, int fd, const char *data, size_t len)
{
	return (ssl != NULL ? SSL_write(ssl, data, (int)len) : (int)send(fd, data, len, MSG_NOSIGNAL)) > 0;
}

static inline void
server_read_request(SSL *ssl, int fd)
{
	char buf[65536];
	size_t have = 0, want = 0;

	while (have < sizeof(buf) - 1) {
		int n = ssl != NULL ? SSL_read(ssl, buf + have, (int)(sizeof(buf) - 1 - have))
				    : (int)recv(fd, buf + have, sizeof(buf) - 1 - have, 0);
		char *end, *length;

		if (n <= 0)
			return;
		have += (size_t)n;
		buf[have] = '\0';
		end = strstr(buf, "\r\n\r\n");
		if (end == NULL)
			continue;
		length = strcasestr(buf, "content-length:");
		want = (size_t)(end + 4 - buf) + (length != NULL && length < end ? strtoul(length + 15, NULL, 10) : 0);
		if (have >= want)
			return;
	}
}

static inline void
server_answer(const struct script *script, SSL *ssl, int fd)
{
	server_read_request(ssl, fd);
	for (const char *p = script->answer; p != NULL && *p != '\0'; p += script->drip_ms > 0 ? 1 : strlen(p)) {
		if (!server_write(ssl, fd, p, script->drip_ms > 0 ? 1 : strlen(p)))
			return;
		if (script->drip_ms > 0)
			(void)poll(NULL, 0, script->drip_ms);
	}
	while (script->repeat != NULL)
		if (!server_write(ssl, fd, script->repeat, strlen(script->repeat)))
			return;
	if (script->hang)
		(void)pause();
}

static inline SSL_CTX *
server_context(const struct script *script)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	SSL_CTX_set_security_level(ctx, 0);
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	(void)SSL_CTX_set_max_proto_version(ctx, script->max_version);
	(void)SSL_CTX_use_certificate(ctx, script->identity->cert);
	(void)SSL_CTX_use_PrivateKey(ctx, script->identity->key);
	if (script->client_ca != NULL) {
		(void)X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), script->client_ca->cert);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	return ctx;
}

static inline void
server_connection(const struct script *script, int fd)
{
	SSL_CTX *ctx;
	SSL *ssl;

	if (script->mute)
		(void)pause();
	if (script->proxy != NULL) {
		server_read_request(NULL, fd);
		(void)server_write(NULL, fd, script->proxy, strlen(script->proxy));
	}
	if (script->identity == NULL) {
		server_answer(script, NULL, fd);
		return;
	}
	ctx = server_context(script);
	ssl = SSL_new(ctx);
	(void)SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1)
		server_answer(script, ssl, fd);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

static inline struct server
server_start(const struct script *script)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct server server;

	assert(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 16) == 0);
	assert(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
	server.port = ntohs(address.sin_port);
	server.pid = fork();
	assert(server.pid >= 0);
	if (server.pid > 0) {
		(void)close(listener);
		return server;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGPIPE, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			_exit(1);
		server_connection(script, fd);
		(void)close(fd);
	}
}

static inline void
server_stop(struct server *server)
{
	(void)kill(server->pid, SIGKILL);
	(void)waitpid(server->pid, NULL, 0);
}

#endif
