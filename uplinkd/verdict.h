/* What an answer means for the package and for the link. Pure: proto/LINK.md as a function. */
#ifndef PICKET_UPLINKD_VERDICT_H
#define PICKET_UPLINKD_VERDICT_H

#include "uplinkd/http.h"

enum upl_verdict {
	UPL_VERDICT_UNSET = 0,
	UPL_VERDICT_OK,    /* 200: look into the body */
	UPL_VERDICT_RETRY, /* no answer, or not a useful one: again, at another server if there is one */
	UPL_VERDICT_LATER, /* 429, 503: the server wants a pause */
	UPL_VERDICT_LINK,  /* 401, 403, 404, 405, 409: wrong server or identity, not the package: keep it, a person must
			      act */
	UPL_VERDICT_SPLIT, /* 413 */
	UPL_VERDICT_PLAIN, /* 415: without compression */
	UPL_VERDICT_REFUSE, /* any other 4xx: this package will never be taken */
};

enum upl_verdict upl_verdict(enum http_error error, int status);

/* A sentence for status and log, with what to do, for an answer that is not 200. */
const char *upl_verdict_words(enum http_error error, int status, const char *words);

#endif
