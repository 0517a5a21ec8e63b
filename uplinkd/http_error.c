/* Names failures. Called by http.c when a request has ended. */
#include "uplinkd/http_error.h"

#include <curl/curl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

static enum http_error
certificate_error(const struct http_failure *failure)
{
	switch (failure->verify_result) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return HTTP_TLS_EXPIRED;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
	case X509_V_OK:              /* the chain is good, so libcurl's own check of the name failed */
	case X509_V_ERR_UNSPECIFIED: /* and libcurl before 8 asks for the chain's result only after it */
		return HTTP_TLS_HOST;
	default:
		return HTTP_TLS_PIN;
	}
}

static enum http_error
name_of(const struct http_failure *failure)
{
	if (failure->too_large)
		return HTTP_REPLY;
	switch ((CURLcode)failure->code) {
	case CURLE_OK:
		return HTTP_OK;
	case CURLE_COULDNT_RESOLVE_HOST:
		return HTTP_RESOLVE;
	case CURLE_COULDNT_CONNECT:
		return failure->by_proxy ? HTTP_PROXY : HTTP_CONNECT;
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_TIMEOUT;
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_PROXY:
		return HTTP_PROXY;
	case CURLE_PEER_FAILED_VERIFICATION:
		return certificate_error(failure);
	default:
		break;
	}
	if (failure->connect_status == 407)
		return HTTP_PROXY_AUTH;
	if (failure->connect_status >= 300)
		return HTTP_PROXY;
	if (failure->code == CURLE_SSL_CONNECT_ERROR || failure->code == CURLE_SSL_CERTPROBLEM ||
	    strstr(failure->text, "alert") != NULL)
		return HTTP_TLS;
	return HTTP_REPLY;
}

static const struct {
	const char *name;
	const char *words;
} names[] = {
    [HTTP_OK] = {"ok", ""},
    [HTTP_RESOLVE] = {"resolve", "the server's name has no address: check Address and DNS"},
    [HTTP_CONNECT] = {"connect", "cannot connect: check Address, Port and the way there"},
    [HTTP_TLS_PIN] = {"tls_pin",
	"the server's certificate is not the pinned one: wrong server, or install its new certificate"},
    [HTTP_TLS_HOST] = {"tls_host", "the server's certificate is for another name: set Address to a name it carries"},
    [HTTP_TLS_EXPIRED] = {"tls_expired",
	"the server's certificate is expired or not yet valid: renew it, or check both clocks"},
    [HTTP_TLS] = {"tls",
	"the TLS handshake failed: the server may refuse our client certificate, or speak only TLS before 1.2"},
    [HTTP_PROXY_AUTH] = {"proxy_auth",
	"the proxy wants other credentials (407): check the user and password in ProxyServer"},
    [HTTP_PROXY] = {"proxy",
	"the proxy cannot be reached or refuses the connection: check ProxyServer and the proxy's rules"},
    [HTTP_TIMEOUT] = {"timeout",
	"no complete answer in time: raise ConnectionTimeout or RequestTimeout if the link is slow"},
    [HTTP_REPLY] = {"reply", "the answer is cut, malformed or too large: is this an EDR server?"},
    [HTTP_ABORTED] = {"aborted", "the request was given up"},
};

enum http_error
http_error_of(const struct http_failure *failure, char *words, size_t size)
{
	enum http_error error = name_of(failure);

	(void)snprintf(words, size, "%s", names[error].words);
	if (error == HTTP_PROXY && failure->connect_status >= 300)
		(void)snprintf(words, size, "the proxy answers %ld: check ProxyServer and the proxy's rules",
		    failure->connect_status);
	return error;
}

const char *
http_error_name(enum http_error error)
{
	return names[error].name;
}
