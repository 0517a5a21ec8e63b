/* The server's side of TLS: own certificate, and nobody in without one that the client CA issued. */
#ifndef PICKET_SERVER_TLS_H
#define PICKET_SERVER_TLS_H

#include <openssl/ssl.h>
#include <stddef.h>

/* Bytes of a certificate's subject in words, terminator included. */
#define TLS_SUBJECT_BYTES 1024u

struct tls_files {
	const char *certificate, *key, *client_ca;
};

/*
 * tls_context_new - TLS 1.2 or later, client certificate required.
 * @err: on failure one line that names the file and the remedy.
 * Returns the context (SSL_CTX_free() it), or NULL.
 */
SSL_CTX *tls_context_new(const struct tls_files *files, char *err, size_t err_size);

/*
 * tls_subject - the verified client certificate's subject, RFC 2253.
 * Returns 0, or -ENOENT when there is no verified certificate or its subject is empty or does not fit.
 */
int tls_subject(SSL *ssl, char *buf, size_t size);

#endif
