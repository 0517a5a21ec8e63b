/* What a failed request is called: from libcurl's codes to our names and a sentence with the remedy. Pure. */
#ifndef PICKET_UPLINKD_HTTP_ERROR_H
#define PICKET_UPLINKD_HTTP_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include "uplinkd/http.h"

/* Bytes of a sentence. */
#define HTTP_WORDS_BYTES 256

struct http_failure {
	int code;            /* CURLcode */
	const char *text;    /* CURLOPT_ERRORBUFFER; may be "" */
	long connect_status; /* of the proxy's answer to CONNECT; 0: none */
	long verify_result;  /* OpenSSL's X509_V_ERR_* */
	bool too_large;      /* we refused the answer for its size */
	bool by_proxy;       /* a proxy was to be used */
};

/*
 * http_error_of - name it.
 * @words: one sentence, with what to do; "" for HTTP_OK.
 */
enum http_error http_error_of(const struct http_failure *failure, char *words, size_t size);

#endif
