/* Undoing Content-Encoding, with a cap on what comes out: a small body can be a bomb. */
#ifndef PICKET_SERVER_BODY_H
#define PICKET_SERVER_BODY_H

#include <stddef.h>
#include <stdint.h>

struct body_decoder;

/* NULL when out of memory. */
struct body_decoder *body_decoder_new(void);
void body_decoder_free(struct body_decoder *decoder); /* NULL is fine */

/*
 * body_decode - the plain bytes of a body.
 * @encoding: the Content-Encoding header; NULL: none.
 * @max:      bytes that may come out.
 * @ret_data: borrowed: from `data`, or from the decoder until its next call.
 * Returns 0; -EOPNOTSUPP for an encoding other than identity and zstd; -EFBIG when more than max bytes would come out;
 * -EBADMSG when the bytes are not complete zstd frames or ask for a window above 8 MiB; or -ENOMEM.
 */
int body_decode(struct body_decoder *decoder, const char *encoding, const uint8_t *data, size_t len, size_t max,
    const uint8_t **ret_data, size_t *ret_len);

#endif
