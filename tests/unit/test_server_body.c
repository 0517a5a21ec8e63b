/* Content-Encoding: whole frames come out, bombs and broken ones do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/limits.h"
#include "server/body.h"

static struct body_decoder *decoder;
static const uint8_t *out;
static size_t out_len;

static int
setup(void **state)
{
	(void)state;
	decoder = body_decoder_new();
	return decoder == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	body_decoder_free(decoder);
	return 0;
}

/* One frame of n equal bytes; without_size leaves the content size out of the header. Free it. */
static uint8_t *
frame(char byte, size_t n, int without_size, int window_log, size_t *ret_len)
{
	size_t bound = ZSTD_compressBound(n);
	char *plain = malloc(n > 0 ? n : 1);
	uint8_t *packed = malloc(bound);
	ZSTD_CCtx *ctx = ZSTD_createCCtx();

	assert_true(plain != NULL && packed != NULL && ctx != NULL);
	memset(plain, byte, n);
	(void)ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, !without_size);
	(void)ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
	if (window_log != 0)
		(void)ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, window_log);
	*ret_len = ZSTD_compress2(ctx, packed, bound, plain, n);
	assert_false(ZSTD_isError(*ret_len));
	(void)ZSTD_freeCCtx(ctx);
	free(plain);
	return packed;
}

static int
decode(const char *encoding, const uint8_t *data, size_t len, size_t max)
{
	return body_decode(decoder, encoding, data, len, max, &out, &out_len);
}

static void
identity_is_handed_on_as_it_is(void **state)
{
	static const uint8_t data[] = "abc";

	(void)state;
	assert_int_equal(decode(NULL, data, 3, 3), 0);
	assert_ptr_equal(out, data);
	assert_int_equal(out_len, 3);
	assert_int_equal(decode("Identity", data, 3, 3), 0);
	assert_int_equal(decode("identity", data, 3, 2), -EFBIG);
}

static void
other_encodings_are_not_guessed(void **state)
{
	(void)state;
	assert_int_equal(decode("gzip", (const uint8_t *)"x", 1, 10), -EOPNOTSUPP);
	assert_int_equal(decode("zstd, zstd", (const uint8_t *)"x", 1, 10), -EOPNOTSUPP);
	assert_int_equal(decode("", (const uint8_t *)"x", 1, 10), -EOPNOTSUPP);
}

static void
frames_come_out_whole_with_and_without_a_stated_size(void **state)
{
	static const size_t sizes[] = {1, 1000, KIB(256), KIB(256) + 1, MIB(3)};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int without_size = 0; without_size < 2; without_size++) {
			size_t len;
			uint8_t *packed = frame('a', sizes[i], without_size, 0, &len);

			assert_int_equal(decode("zstd", packed, len, MIB(4)), 0);
			assert_int_equal(out_len, sizes[i]);
			assert_int_equal(out[out_len - 1], 'a');
			/* Exactly at the cap is in, one below it is not. */
			assert_int_equal(decode("zstd", packed, len, sizes[i]), 0);
			assert_int_equal(decode("zstd", packed, len, sizes[i] - 1), -EFBIG);
			free(packed);
		}
	}
}

static void
joined_frames_are_one_body(void **state)
{
	size_t a_len, b_len;
	uint8_t *a = frame('a', 1000, 0, 0, &a_len), *b = frame('b', 2000, 1, 0, &b_len);
	uint8_t *both = malloc(a_len + b_len);

	(void)state;
	assert_non_null(both);
	memcpy(both, a, a_len);
	memcpy(both + a_len, b, b_len);
	assert_int_equal(decode("zstd", both, a_len + b_len, MIB(1)), 0);
	assert_int_equal(out_len, 3000);
	assert_int_equal(out[999], 'a');
	assert_int_equal(out[1000], 'b');
	assert_int_equal(decode("zstd", both, a_len + b_len, 2999), -EFBIG);
	free(both);
	free(a);
	free(b);
}

static void
a_bomb_stops_at_the_cap(void **state)
{
	size_t len;
	uint8_t *packed = frame('\0', MIB(64), 1, 0, &len);

	(void)state;
	assert_true(len < KIB(16));
	assert_int_equal(decode("zstd", packed, len, MIB(32)), -EFBIG);
	/* And the decoder still works. */
	free(packed);
	packed = frame('a', 10, 0, 0, &len);
	assert_int_equal(decode("zstd", packed, len, MIB(32)), 0);
	assert_int_equal(out_len, 10);
	free(packed);
}

static void
a_frame_cut_anywhere_is_refused(void **state)
{
	size_t len;
	uint8_t *packed = frame('a', 5000, 0, 0, &len);

	(void)state;
	for (size_t cut = 1; cut < len; cut++)
		assert_int_equal(decode("zstd", packed, cut, MIB(1)), -EBADMSG);
	assert_int_equal(decode("zstd", (const uint8_t *)"not zstd", 8, MIB(1)), -EBADMSG);
	packed[len - 1] ^= 1; /* the checksum */
	assert_int_equal(decode("zstd", packed, len, MIB(1)), -EBADMSG);
	free(packed);
}

static void
a_window_above_8_mib_is_refused(void **state)
{
	size_t len;
	uint8_t *packed = frame('a', MIB(20), 1, 24, &len);

	(void)state;
	assert_int_equal(decode("zstd", packed, len, MIB(32)), -EBADMSG);
	free(packed);
	packed = frame('a', MIB(20), 1, 23, &len);
	assert_int_equal(decode("zstd", packed, len, MIB(32)), 0);
	free(packed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(identity_is_handed_on_as_it_is, setup, teardown),
	    cmocka_unit_test_setup_teardown(other_encodings_are_not_guessed, setup, teardown),
	    cmocka_unit_test_setup_teardown(frames_come_out_whole_with_and_without_a_stated_size, setup, teardown),
	    cmocka_unit_test_setup_teardown(joined_frames_are_one_body, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_bomb_stops_at_the_cap, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_frame_cut_anywhere_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_window_above_8_mib_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
