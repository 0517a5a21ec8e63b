/*
 * Reads and checks the certificates and the key. Never talks to the network; never logs what is in a file.
 * Called by main.c before privileges are dropped.
 */
#include "uplinkd/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Bytes of a PEM file: a chain of a dozen RSA-4096 certificates. */
#define PEM_MAX_BYTES 65536u
/* Memory of the key: whole pages, so that MADV_DONTDUMP covers nothing else. */
#define KEY_MEMORY_BYTES PEM_MAX_BYTES

#define DAY_S 86400

static void
say(char *state, size_t size, const char *file, const char *what, const char *remedy)
{
	(void)snprintf(state, size, "%s %s: %s", file, what, remedy);
}

/*
 * Read a whole file into buf (PEM_MAX_BYTES). Returns its length, or a negative errno; -EACCES for a secret that others
 * can read.
 */
static ssize_t
read_file(int dirfd, const char *name, bool secret, uid_t uid, char *buf)
{
	AUTO_FD int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	size_t len = 0;

	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (secret && ((st.st_mode & 077) != 0 || (st.st_uid != uid && st.st_uid != 0)))
		return -EACCES;
	while (len < PEM_MAX_BYTES - 1) {
		ssize_t n = read(fd, buf + len, PEM_MAX_BYTES - 1 - len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	if (len == PEM_MAX_BYTES - 1)
		return -EFBIG;
	buf[len] = '\0';
	return (ssize_t)len;
}

static X509 *
parse_certificate(const struct tls_pem *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->text, (int)pem->len);
	X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	(void)BIO_free(bio);
	ERR_clear_error();
	return cert;
}

static int64_t
not_after(const X509 *cert)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm);
}

/* Load a certificate; *ret_cert is NULL when there is none to use. Returns 0 or -ENOMEM. */
static int
load_certificate(int dirfd, const char *name, struct tls_pem *pem, char *state, size_t size, X509 **ret_cert)
{
	char *text = malloc(PEM_MAX_BYTES);

	*ret_cert = NULL;
	if (text == NULL)
		return -ENOMEM;

	ssize_t n = read_file(dirfd, name, false, 0, text);
	if (n < 0) {
		say(state, size, name, n == -ENOENT ? "missing" : strerror((int)-n),
		    "put the certificate there as PEM and restart uplinkd");
		free(text);
		return 0;
	}
	*pem = (struct tls_pem){.text = text, .len = (size_t)n};
	*ret_cert = parse_certificate(pem);
	if (*ret_cert == NULL) {
		say(state, size, name, "is not a PEM certificate", "replace it");
		free(text);
		*pem = (struct tls_pem){0};
		return 0;
	}
	(void)snprintf(state, size, "present");
	return 0;
}

static bool
key_fits(const struct tls_pem *key, X509 *cert)
{
	BIO *bio = BIO_new_mem_buf(key->text, (int)key->len);
	EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	bool fits = pkey != NULL && X509_check_private_key(cert, pkey) == 1;

	EVP_PKEY_free(pkey);
	(void)BIO_free(bio);
	ERR_clear_error();
	return fits;
}

static void
drop_client(struct tls_identity *id)
{
	free(id->client.text);
	id->client = (struct tls_pem){0};
	if (id->client_key.text != NULL) {
		OPENSSL_cleanse(id->client_key.text, KEY_MEMORY_BYTES);
		(void)munmap(id->client_key.text, KEY_MEMORY_BYTES);
	}
	id->client_key = (struct tls_pem){0};
}

/* The key of a certificate that is there. Returns 0 or -ENOMEM. */
static int
load_key(int dirfd, const char *name, uid_t uid, X509 *cert, struct tls_identity *id)
{
	char *text = mmap(NULL, KEY_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (text == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(text, KEY_MEMORY_BYTES, MADV_DONTDUMP);
	id->client_key.text = text;

	ssize_t n = read_file(dirfd, name, true, uid, text);
	if (n == -EACCES)
		say(id->client_state, sizeof(id->client_state), name, "can be read by others",
		    "chown it to uplinkd's user and chmod 0600");
	else if (n < 0)
		say(id->client_state, sizeof(id->client_state), name, n == -ENOENT ? "missing" : strerror((int)-n),
		    "put the key of the client certificate there as PEM, mode 0600, and restart uplinkd");
	else {
		id->client_key.len = (size_t)n;
		if (key_fits(&id->client_key, cert))
			return 0;
		say(id->client_state, sizeof(id->client_state), name, "is not the key of the client certificate",
		    "replace one of the two");
	}
	drop_client(id);
	return 0;
}

int
tls_load(int dirfd, const struct tls_files *files, uid_t uid, struct tls_identity *ret)
{
	X509 *cert;

	*ret = (struct tls_identity){0};
	int r =
	    load_certificate(dirfd, files->server, &ret->server, ret->server_state, sizeof(ret->server_state), &cert);
	if (r == 0 && cert != NULL)
		ret->server_not_after = not_after(cert);
	X509_free(cert);
	if (r < 0)
		return r;

	r = load_certificate(dirfd, files->client, &ret->client, ret->client_state, sizeof(ret->client_state), &cert);
	if (r == 0 && cert != NULL) {
		ret->client_not_after = not_after(cert);
		r = load_key(dirfd, files->client_key, uid, cert, ret);
	}
	X509_free(cert);
	if (r < 0)
		tls_done(ret);
	return r;
}

void
tls_done(struct tls_identity *identity)
{
	drop_client(identity);
	free(identity->server.text);
	identity->server = (struct tls_pem){0};
}

int64_t
tls_days_left(int64_t not_after_s, int64_t now)
{
	int64_t left = not_after_s - now;

	return left >= 0 ? left / DAY_S : -((-left + DAY_S - 1) / DAY_S);
}
