/* What an answer means. Pure. Called by delivery.c, sync.c and link.c. */
#include "uplinkd/verdict.h"

enum upl_verdict
upl_verdict(enum http_error error, int status)
{
	if (error != HTTP_OK)
		return UPL_VERDICT_RETRY;
	switch (status) {
	case 200:
		return UPL_VERDICT_OK;
	case 401:
	case 403:
	case 404:
	case 405:
	case 409:
		return UPL_VERDICT_LINK;
	case 413:
		return UPL_VERDICT_SPLIT;
	case 415:
		return UPL_VERDICT_PLAIN;
	case 408:
		return UPL_VERDICT_RETRY;
	case 429:
	case 503:
		return UPL_VERDICT_LATER;
	default:
		return status >= 400 && status <= 499 ? UPL_VERDICT_REFUSE : UPL_VERDICT_RETRY;
	}
}

const char *
upl_verdict_words(enum http_error error, int status, const char *words)
{
	if (error != HTTP_OK)
		return words;
	switch (status) {
	case 401:
		return "HTTP status 401: the server wants a client certificate: set UseClientPinnedCertificate and add "
		       "one";
	case 403:
		return "HTTP status 403: the server refuses this agent: its id belongs to another certificate, or it "
		       "is not admitted";
	case 404:
	case 405:
		return "HTTP status 404 or 405: this is no EDR server: check Address and Port";
	case 409:
		return "HTTP status 409: the server contradicts this agent: look into the server's log";
	case 429:
	case 503:
		return "HTTP status 429 or 503: the server is busy and asks for a pause";
	default:
		break;
	}
	if (upl_verdict(error, status) == UPL_VERDICT_REFUSE)
		return "the server refuses the events that are sent (4xx): are agent and server of versions that fit?";
	return words;
}
