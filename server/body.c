/*
 * zstd and identity bodies. Never holds more than the cap, nor more than BODY_KEEP_BYTES between two requests.
 * Called by http.c for every request.
 */
#include "server/body.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <zstd.h>

#include "common/limits.h"

/* log2 of the largest zstd window taken: 8 MiB, what level 19 uses; it is memory that the sender decides about. */
#define BODY_WINDOW_LOG_MAX 23

/* Bytes of first buffer when the frame does not say its size, and the factor it grows by. */
#define BODY_START_BYTES KIB(256)
#define BODY_GROWTH 4u

/* Bytes of buffer kept for the next request: several packages of 1,024 events. */
#define BODY_KEEP_BYTES MIB(4)

struct body_decoder {
	ZSTD_DCtx *zstd;
	uint8_t *buf;
	size_t size;
};

struct body_decoder *
body_decoder_new(void)
{
	struct body_decoder *decoder = calloc(1, sizeof(*decoder));

	if (decoder == NULL)
		return NULL;
	decoder->zstd = ZSTD_createDCtx();
	if (decoder->zstd == NULL ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(decoder->zstd, ZSTD_d_windowLogMax, BODY_WINDOW_LOG_MAX))) {
		body_decoder_free(decoder);
		return NULL;
	}
	return decoder;
}

void
body_decoder_free(struct body_decoder *decoder)
{
	if (decoder == NULL)
		return;
	(void)ZSTD_freeDCtx(decoder->zstd);
	free(decoder->buf);
	free(decoder);
}

static int
reserve(struct body_decoder *decoder, size_t size)
{
	if (decoder->size >= size)
		return 0;
	uint8_t *buf = realloc(decoder->buf, size);
	if (buf == NULL)
		return -ENOMEM;
	decoder->buf = buf;
	decoder->size = size;
	return 0;
}

/* Bytes to start with: what the first frame states, as far as it is believable. */
static size_t
start_size(const uint8_t *data, size_t len, size_t max)
{
	unsigned long long stated = ZSTD_getFrameContentSize(data, len);

	if (stated == ZSTD_CONTENTSIZE_UNKNOWN || stated == ZSTD_CONTENTSIZE_ERROR || stated == 0)
		stated = BODY_START_BYTES;
	return stated > max ? max : (size_t)stated;
}

static int
decode_zstd(struct body_decoder *decoder, const uint8_t *data, size_t len, size_t max, size_t *ret_len)
{
	ZSTD_inBuffer in = {data, len, 0};
	size_t out_len = 0, pending = 0;
	int r = reserve(decoder, start_size(data, len, max));

	if (r < 0)
		return r;
	(void)ZSTD_DCtx_reset(decoder->zstd, ZSTD_reset_session_only);
	while (in.pos < in.size || pending > 0) {
		ZSTD_outBuffer out = {decoder->buf, decoder->size, out_len};
		size_t in_before = in.pos;

		pending = ZSTD_decompressStream(decoder->zstd, &out, &in);
		if (ZSTD_isError(pending))
			return -EBADMSG;
		if (out.pos == out.size && (pending > 0 || in.pos < in.size)) {
			/* Full with more to come: perhaps only the end of the frame, so grow by one at the cap to find
			 * out. */
			if (decoder->size > max)
				return -EFBIG;
			r = reserve(
			    decoder, decoder->size >= max / BODY_GROWTH ? max + 1 : decoder->size * BODY_GROWTH);
			if (r < 0)
				return r;
		} else if (in.pos == in_before && out.pos == out_len && in.pos == in.size) {
			return -EBADMSG; /* cut off */
		}
		out_len = out.pos;
	}
	if (out_len > max)
		return -EFBIG;
	*ret_len = out_len;
	return 0;
}

int
body_decode(struct body_decoder *decoder, const char *encoding, const uint8_t *data, size_t len, size_t max,
    const uint8_t **ret_data, size_t *ret_len)
{
	int r;

	if (encoding == NULL || strcasecmp(encoding, "identity") == 0) {
		if (len > max)
			return -EFBIG;
		*ret_data = data;
		*ret_len = len;
		return 0;
	}
	if (strcasecmp(encoding, "zstd") != 0)
		return -EOPNOTSUPP;
	if (decoder->size > BODY_KEEP_BYTES) {
		free(decoder->buf);
		decoder->buf = NULL;
		decoder->size = 0;
	}
	r = decode_zstd(decoder, data, len, max, ret_len);
	if (r < 0)
		return r;
	*ret_data = decoder->buf;
	return 0;
}
