/*
 * Who we are and whom we trust: the pinned server certificate, the client certificate and its key, as PEM in memory.
 * Files are read once, at start, while they can be; the key is wiped when it is let go.
 */
#ifndef PICKET_UPLINKD_TLS_H
#define PICKET_UPLINKD_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A PEM file in memory, terminated by a NUL that len does not count. */
struct tls_pem {
	char *text;
	size_t len;
};

struct tls_identity {
	struct tls_pem
	    server; /* leaf or CA that the server must show or chain to; text NULL: none, nothing may be sent */
	struct tls_pem client;                      /* certificate, text NULL: none */
	struct tls_pem client_key;                  /* secret; kept out of core dumps, wiped by tls_done() */
	int64_t server_not_after, client_not_after; /* seconds since 1970; 0: not known */
	char server_state[256], client_state[256];  /* "present", or in words what is wrong and what to do */
};

struct tls_files {
	const char *server, *client, *client_key; /* names in the state directory, or absolute paths */
};

/*
 * tls_load - read and check the three files.
 * @dirfd: the state directory.
 * @uid:   uplinkd's user: the key must belong to it or to root, and be closed to everybody else.
 * @ret:   free with tls_done(). A file that is missing or bad leaves its part empty and says why in its state: none of
 * them is fatal. Returns 0 or -ENOMEM.
 */
int tls_load(int dirfd, const struct tls_files *files, uid_t uid, struct tls_identity *ret);

void tls_done(struct tls_identity *identity);

/* Whole days from `now` (seconds since 1970) to the end of a validity; negative when it is over. */
int64_t tls_days_left(int64_t not_after, int64_t now);

#endif
