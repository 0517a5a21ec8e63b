/*
 * Loads certificates and says in words what is wrong with them. Never opens a socket.
 * Called by main.c before privileges are dropped, and by http.c for the subject.
 */
#include "server/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"

/* Ciphers of TLS 1.2: forward secret and authenticated; what TLS 1.3 offers is so by itself. */
#define TLS_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

/* Certificates between a client's and the CA. */
#define TLS_VERIFY_DEPTH 3

/* Days before the end of our own certificate at which a warning is due. */
#define TLS_WARN_DAYS 14

/* What OpenSSL says last, as text. */
static const char *
reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return text != NULL ? text : "unknown reason";
}

/* The file is there, readable, and a key is not open to all. Returns 0, or -1 with err set. */
static int
check_file(const char *what, const char *option, const char *path, int is_secret, char *err, size_t size)
{
	struct stat st;

	if (stat(path, &st) < 0 || access(path, R_OK) < 0) {
		(void)snprintf(err, size, "cannot read the %s %s: %s; name a PEM file with --%s", what, path,
		    strerror(errno), option);
		return -1;
	}
	if (is_secret && (st.st_mode & S_IRWXO) != 0) {
		(void)snprintf(err, size, "the %s %s is open to every user: chmod 0600 %s", what, path, path);
		return -1;
	}
	return 0;
}

/* A key with a password would make OpenSSL ask on the terminal. */
static int
no_password(char *buf, int size, int rwflag, void *ctx)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)ctx;
	return 0;
}

static int
load_own(SSL_CTX *ctx, const struct tls_files *files, char *err, size_t size)
{
	if (check_file("certificate", "cert", files->certificate, 0, err, size) < 0 ||
	    check_file("private key", "key", files->key, 1, err, size) < 0)
		return -1;
	if (SSL_CTX_use_certificate_chain_file(ctx, files->certificate) != 1) {
		(void)snprintf(
		    err, size, "%s holds no usable certificate in PEM form: %s", files->certificate, reason());
		return -1;
	}
	SSL_CTX_set_default_passwd_cb(ctx, no_password);
	if (SSL_CTX_use_PrivateKey_file(ctx, files->key, SSL_FILETYPE_PEM) != 1) {
		unsigned long code = ERR_peek_last_error();

		if (ERR_GET_LIB(code) == ERR_LIB_X509 && (ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH ||
							     ERR_GET_REASON(code) == X509_R_KEY_TYPE_MISMATCH))
			(void)snprintf(err, size,
			    "the private key %s does not belong to the certificate %s: name the pair with --cert and "
			    "--key",
			    files->key, files->certificate);
		else
			(void)snprintf(err, size, "%s holds no usable private key (PEM, without a password): %s",
			    files->key, reason());
		ERR_clear_error();
		return -1;
	}
	if (SSL_CTX_check_private_key(ctx) != 1) {
		(void)snprintf(err, size,
		    "the private key %s does not belong to the certificate %s: name the pair with --cert and --key",
		    files->key, files->certificate);
		ERR_clear_error();
		return -1;
	}
	return 0;
}

static int
load_client_ca(SSL_CTX *ctx, const struct tls_files *files, char *err, size_t size)
{
	STACK_OF(X509_NAME) * names;

	if (check_file("client CA", "client-ca", files->client_ca, 0, err, size) < 0)
		return -1;
	names = SSL_CTX_load_verify_file(ctx, files->client_ca) == 1 ? SSL_load_client_CA_file(files->client_ca) : NULL;
	if (names == NULL) {
		(void)snprintf(
		    err, size, "%s holds no usable CA certificate in PEM form: %s", files->client_ca, reason());
		return -1;
	}
	SSL_CTX_set_client_CA_list(ctx, names); /* owns them */
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_verify_depth(ctx, TLS_VERIFY_DEPTH);
	return 0;
}

static void
warn_of_expiry(const SSL_CTX *ctx, const char *path)
{
	int days = 0, seconds = 0;

	if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(SSL_CTX_get0_certificate(ctx))) != 1)
		return;
	if (days < 0 || seconds < 0)
		log_error("tls.certificate_expired", KV_STR("file", path), KV_I64("days_ago", -days));
	else if (days < TLS_WARN_DAYS)
		log_warning("tls.certificate_expires", KV_STR("file", path), KV_I64("days_left", days));
}

SSL_CTX *
tls_context_new(const struct tls_files *files, char *err, size_t err_size)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, TLS_CIPHERS) != 1) {
		(void)snprintf(err, err_size, "OpenSSL cannot do TLS 1.2: %s", reason());
		SSL_CTX_free(ctx);
		return NULL;
	}
	/*
	 * No resumption: a ticket would outlive the check of the certificate, and agents keep their connections open
	 * anyway. A peer that closes without close_notify is no error: HTTP has lengths.
	 */
	(void)SSL_CTX_set_options(
	    ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	if (load_own(ctx, files, err, err_size) < 0 || load_client_ca(ctx, files, err, err_size) < 0) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	warn_of_expiry(ctx, files->certificate);
	return ctx;
}

int
tls_subject(SSL *ssl, char *buf, size_t size)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	BIO *bio;
	int n = 0;

	if (certificate == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
		return -ENOENT;
	bio = BIO_new(BIO_s_mem());
	if (bio != NULL && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) > 0 &&
	    BIO_pending(bio) < (long)size)
		n = BIO_read(bio, buf, (int)size - 1);
	BIO_free(bio);
	if (n <= 0)
		return -ENOENT;
	buf[n] = '\0';
	return 0;
}
