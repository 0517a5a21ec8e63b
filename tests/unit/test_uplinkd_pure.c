/* uplinkd's functions without I/O: checksum, pauses, verdicts, the list of servers, the reader of batches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uplinkd/backoff.h"
#include "uplinkd/crc32c.h"
#include "uplinkd/servers.h"
#include "uplinkd/verdict.h"
#include "uplinkd/wire.h"

/* ---- crc32c ---- */

static void
crc32c_gives_the_published_values(void **state)
{
	/* RFC 3720 B.4 and the usual check value. */
	uint8_t zeros[32] = {0}, ones[32], rising[32];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (size_t i = 0; i < sizeof(rising); i++)
		rising[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa);
	assert_int_equal(crc32c(0, ones, sizeof(ones)), 0x62a8ab43);
	assert_int_equal(crc32c(0, rising, sizeof(rising)), 0x46dd794e);
	assert_int_equal(crc32c(0, "", 0), 0);
}

static void
crc32c_table_and_instruction_agree_at_every_length_and_offset(void **state)
{
	uint8_t bytes[300];

	(void)state;
	if (!crc32c_has_instruction())
		skip();
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7919 >> 3);
	for (size_t from = 0; from < 9; from++)
		for (size_t len = 0; from + len <= sizeof(bytes); len++)
			assert_int_equal(crc32c_by_table((uint32_t)len, bytes + from, len),
			    crc32c_by_instruction((uint32_t)len, bytes + from, len));
}

static void
crc32c_continues_over_parts(void **state)
{
	(void)state;
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

/* ---- backoff ---- */

static void
pause_grows_to_its_cap_and_never_overflows(void **state)
{
	(void)state;
	assert_int_equal(upl_backoff_ms(0, 200, 30000, 12345, 0), 0);
	/* The largest random number gives the widest pause of each attempt. */
	assert_int_equal(upl_backoff_ms(1, 200, 30000, 200, 0), 200);
	assert_int_equal(upl_backoff_ms(2, 200, 30000, 400, 0), 400);
	assert_int_equal(upl_backoff_ms(3, 200, 30000, 800, 0), 800);
	for (uint32_t attempt = 9; attempt < 5000; attempt += 97)
		assert_true(upl_backoff_ms(attempt, 200, 30000, UINT64_MAX - attempt, 0) <= 30000);
	assert_true(upl_backoff_ms(UINT32_MAX, UINT64_MAX / 2, UINT64_MAX, 7, 0) <= UINT64_MAX);
}

static void
pause_is_spread_from_zero_and_sits_on_its_floor(void **state)
{
	(void)state;
	assert_int_equal(upl_backoff_ms(5, 200, 30000, 0, 0), 0);
	assert_int_equal(upl_backoff_ms(5, 200, 30000, 0, 7000), 7000);
	assert_true(upl_backoff_ms(5, 200, 30000, 999999, 7000) > 7000);
}

/* ---- verdict ---- */

static void
verdicts_are_those_of_the_protocol(void **state)
{
	static const struct {
		int status;
		enum upl_verdict verdict;
	} rows[] = {
	    {200, UPL_VERDICT_OK},
	    {204, UPL_VERDICT_RETRY},
	    {302, UPL_VERDICT_RETRY},
	    {400, UPL_VERDICT_REFUSE},
	    {401, UPL_VERDICT_LINK},
	    {403, UPL_VERDICT_LINK},
	    {404, UPL_VERDICT_LINK},
	    {405, UPL_VERDICT_LINK},
	    {408, UPL_VERDICT_RETRY},
	    {409, UPL_VERDICT_LINK},
	    {413, UPL_VERDICT_SPLIT},
	    {415, UPL_VERDICT_PLAIN},
	    {422, UPL_VERDICT_REFUSE},
	    {429, UPL_VERDICT_LATER},
	    {500, UPL_VERDICT_RETRY},
	    {502, UPL_VERDICT_RETRY},
	    {503, UPL_VERDICT_LATER},
	    {0, UPL_VERDICT_RETRY},
	    {999, UPL_VERDICT_RETRY},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(upl_verdict(HTTP_OK, rows[i].status), rows[i].verdict);
}

static void
no_answer_is_never_taken_for_one(void **state)
{
	(void)state;
	for (int error = HTTP_RESOLVE; error <= HTTP_ABORTED; error++)
		assert_int_equal(upl_verdict((enum http_error)error, 200), UPL_VERDICT_RETRY);
}

/* ---- servers ---- */

static void
add(struct upl_server *list, const char *host, uint32_t port)
{
	assert_int_equal(upl_server_set(list, host, strlen(host), port), 0);
}

static void
bad_servers_are_refused(void **state)
{
	struct upl_server s;
	char longest[UPL_HOST_BYTES + 1];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	assert_int_equal(upl_server_set(&s, "", 0, 443), -EINVAL);
	assert_int_equal(upl_server_set(&s, "a", 1, 0), -EINVAL);
	assert_int_equal(upl_server_set(&s, "a", 1, 65536), -EINVAL);
	assert_int_equal(upl_server_set(&s, "a\0b", 3, 443), -EINVAL);
	assert_int_equal(upl_server_set(&s, longest, UPL_HOST_BYTES, 443), -EINVAL);
	assert_int_equal(upl_server_set(&s, longest, UPL_HOST_BYTES - 1, 443), 0);
}

static void
literal_addresses_are_known_at_once(void **state)
{
	struct upl_server s;

	(void)state;
	add(&s, "192.0.2.1", 443);
	assert_true(s.literal && s.n_addresses == 1 && s.addresses[0].len == 4);
	add(&s, "2001:db8::1", 443);
	assert_true(s.literal && s.n_addresses == 1 && s.addresses[0].len == 16);
	add(&s, "edr.example", 443);
	assert_true(!s.literal && s.n_addresses == 0);
}

static void
failure_moves_to_the_next_server_and_says_when_all_have_failed(void **state)
{
	struct upl_servers s = {0};
	struct upl_server list[3];
	struct mono_ms now = {1000};

	(void)state;
	add(&list[0], "a", 1);
	add(&list[1], "b", 2);
	add(&list[2], "c", 3);
	upl_servers_replace(&s, list, 3, now);
	assert_int_equal(upl_servers_pick(&s, true, now), 0);
	assert_true(upl_servers_failed(&s, 0, now));
	assert_int_equal(upl_servers_pick(&s, true, now), 1);
	assert_true(upl_servers_failed(&s, 1, now));
	assert_int_equal(upl_servers_pick(&s, true, now), 2);
	assert_false(upl_servers_failed(&s, 2, now));
	assert_int_equal(upl_servers_pick(&s, true, now), 0);
	/* A round more, and one that works. */
	assert_true(upl_servers_failed(&s, 0, now));
	upl_servers_worked(&s, 1);
	assert_int_equal(upl_servers_pick(&s, false, now), 1);
}

static void
single_server_that_fails_asks_for_a_pause(void **state)
{
	struct upl_servers s = {0};
	struct upl_server list[1];
	struct mono_ms now = {1000};

	(void)state;
	add(&list[0], "a", 1);
	upl_servers_replace(&s, list, 1, now);
	for (int i = 0; i < 3; i++)
		assert_false(upl_servers_failed(&s, 0, now));
}

static void
first_server_is_probed_now_and_then_and_taken_back(void **state)
{
	struct upl_servers s = {0};
	struct upl_server list[2];
	struct mono_ms now = {1000};

	(void)state;
	add(&list[0], "a", 1);
	add(&list[1], "b", 2);
	upl_servers_replace(&s, list, 2, now);
	assert_true(upl_servers_failed(&s, 0, now));
	upl_servers_worked(&s, 1);
	assert_int_equal(upl_servers_pick(&s, true, now), 1);
	now.ms += 60000;
	assert_int_equal(upl_servers_pick(&s, false, now), 1);
	assert_int_equal(upl_servers_pick(&s, true, now), 0);
	/* One probe at a time. */
	assert_int_equal(upl_servers_pick(&s, true, now), 1);
	/* A probe that fails leaves the one in use alone. */
	assert_true(upl_servers_failed(&s, 0, now));
	assert_int_equal(upl_servers_pick(&s, true, now), 1);
	now.ms += 60000;
	assert_int_equal(upl_servers_pick(&s, true, now), 0);
	upl_servers_worked(&s, 0);
	assert_int_equal(upl_servers_pick(&s, true, now), 0);
}

static void
new_list_keeps_what_is_known_of_old_servers(void **state)
{
	static const uint8_t address[4] = {192, 0, 2, 7};
	struct upl_servers s = {0};
	struct upl_server list[2], next[2];
	struct mono_ms now = {1000};

	(void)state;
	add(&list[0], "a", 1);
	add(&list[1], "b", 2);
	upl_servers_replace(&s, list, 2, now);
	upl_servers_worked(&s, 1);
	assert_true(upl_servers_learn(&s.list[1], address, 4));
	assert_false(upl_servers_learn(&s.list[1], address, 4));
	add(&next[0], "b", 2);
	add(&next[1], "c", 3);
	upl_servers_replace(&s, next, 2, now);
	assert_int_equal(s.current, 0);
	assert_int_equal(s.list[0].n_addresses, 1);
	assert_int_equal(s.list[1].n_addresses, 0);
	/* The same name on another port is another server. */
	next[0].port = 9;
	upl_servers_replace(&s, next, 2, now);
	assert_int_equal(s.list[0].n_addresses, 0);
}

static void
learned_addresses_are_bounded(void **state)
{
	struct upl_server s;
	uint8_t address[4] = {10, 0, 0, 0};

	(void)state;
	add(&s, "a", 1);
	for (int i = 0; i < 100; i++) {
		address[3] = (uint8_t)i;
		assert_true(upl_servers_learn(&s, address, 4));
	}
	assert_int_equal(s.n_addresses, UPL_ADDRESSES);
	assert_int_equal(s.addresses[UPL_ADDRESSES - 1].bytes[3], 99);
	assert_false(upl_servers_learn(&s, address, 5));
	assert_false(upl_servers_learn(&s, address, 0));
}

static void
proxy_text_gives_host_and_port(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} rows[] = {
	    {"proxy.example:3128", "proxy.example", 3128},
	    {"proxy.example", "proxy.example", 1080},
	    {"http://proxy.example:3128/", "proxy.example", 3128},
	    {"https://proxy.example", "proxy.example", 443},
	    {"http://user:p@ss:w@10.0.0.1:8080", "10.0.0.1", 8080},
	    {"http://[2001:db8::5]:3128", "2001:db8::5", 3128},
	    {"[::1]", "::1", 1080},
	    {"", "", 0},
	};
	static const char *const bad[] = {"http://", ":3128", "[::1", "host:0", "host:70000", "user@:1"};
	struct upl_servers s = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(upl_servers_proxy(&s, rows[i].text), 0);
		assert_string_equal(s.proxy.host, rows[i].host);
		assert_int_equal(s.proxy.port, rows[i].port);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(upl_servers_proxy(&s, bad[i]), -EINVAL);
}

/* ---- wire ---- */

/* Two records: epoch 1, sequences 300 and 301, types 1 and 8, events "ab" and "". */
static const uint8_t two[] = {
    0x12, 18, 0x09, 1, 0, 0, 0, 0, 0, 0, 0, 0x10, 0xac, 0x02, 0x18, 1, 0x22, 2, 'a', 'b', /* */
    0x12, 16, 0x09, 1, 0, 0, 0, 0, 0, 0, 0, 0x10, 0xad, 0x02, 0x18, 8, 0x22, 0,           /* */
};

static void
batch_gives_its_records_as_they_stand(void **state)
{
	struct upl_batch batch = {two, two + sizeof(two)};
	struct upl_record record;

	(void)state;
	assert_int_equal(upl_batch_next(&batch, &record), 1);
	assert_int_equal(record.epoch, 1);
	assert_int_equal(record.sequence, 300);
	assert_int_equal(record.type, 1);
	assert_ptr_equal(record.bytes, two);
	assert_int_equal(record.len, 20);
	assert_int_equal(upl_batch_next(&batch, &record), 1);
	assert_int_equal(record.sequence, 301);
	assert_int_equal(record.type, 8);
	assert_int_equal(upl_batch_next(&batch, &record), 0);
}

static int
walk(const uint8_t *bytes, size_t len)
{
	struct upl_batch batch = {bytes, bytes + len};
	struct upl_record record;
	int r;

	do
		r = upl_batch_next(&batch, &record);
	while (r > 0);
	return r;
}

static void
every_truncation_of_a_batch_is_refused(void **state)
{
	(void)state;
	for (size_t len = 0; len <= sizeof(two); len++) {
		/* A copy of its own, so that reading behind it is noticed. */
		uint8_t *copy = malloc(len > 0 ? len : 1);

		assert_non_null(copy);
		memcpy(copy, two, len);
		assert_int_equal(walk(copy, len), len == 0 || len == 20 || len == sizeof(two) ? 0 : -EBADMSG);
		free(copy);
	}
}

static void
every_byte_of_a_batch_can_be_anything(void **state)
{
	(void)state;
	for (size_t at = 0; at < sizeof(two); at++) {
		for (int value = 0; value < 256; value++) {
			uint8_t *copy = malloc(sizeof(two));

			assert_non_null(copy);
			memcpy(copy, two, sizeof(two));
			copy[at] = (uint8_t)value;
			(void)walk(copy, sizeof(two));
			free(copy);
		}
	}
}

static void
malformed_records_are_refused(void **state)
{
/* clang-format off */
#define RECORD(...) {.bytes = {__VA_ARGS__}, .len = sizeof((const uint8_t[]){__VA_ARGS__})}
/* clang-format on */
#define EPOCH_1 0x09, 1, 0, 0, 0, 0, 0, 0, 0
	static const struct {
		uint8_t bytes[32];
		size_t len;
	} rows[] = {
	    /* clang-format off */
	    RECORD(0x12, 0),                                                        /* nothing in it */
	    RECORD(0x0a, 15, EPOCH_1, 0x10, 1, 0x18, 1, 0x22, 0),                   /* field 1 */
	    RECORD(0x12, 13, EPOCH_1, 0x10, 1, 0x18, 1),                            /* no event */
	    RECORD(0x12, 13, EPOCH_1, 0x10, 1, 0x22, 0),                            /* no type */
	    RECORD(0x12, 13, EPOCH_1, 0x18, 1, 0x22, 0),                            /* no sequence */
	    RECORD(0x12, 6, 0x10, 1, 0x18, 1, 0x22, 0),                             /* no epoch */
	    RECORD(0x12, 15, EPOCH_1, 0x10, 0, 0x18, 1, 0x22, 0),                   /* sequence 0 */
	    RECORD(0x12, 15, EPOCH_1, 0x10, 1, 0x18, 0, 0x22, 0),                   /* type 0 */
	    RECORD(0x12, 15, EPOCH_1, 0x10, 1, 0x18, 100, 0x22, 0),                 /* type unknown */
	    RECORD(0x12, 17, EPOCH_1, 0x10, 1, 0x10, 2, 0x18, 1, 0x22, 0),          /* sequence twice */
	    RECORD(0x12, 17, EPOCH_1, 0x10, 1, 0x18, 1, 0x22, 0, 0x22, 0),          /* event twice */
	    RECORD(0x12, 17, EPOCH_1, 0x10, 1, 0x18, 1, 0x22, 0, 0x28, 1),          /* field 5 */
	    RECORD(0x12, 15, EPOCH_1, 0x10, 1, 0x18, 1, 0x22, 1),                   /* event longer than the record */
	    RECORD(0x12, 24, EPOCH_1, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x18, 1, 0x22, 0), /* 70 bits */
	    /* clang-format on */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(walk(rows[i].bytes, rows[i].len), -EBADMSG);
}

static void
varints_are_written_shortest(void **state)
{
	uint8_t out[10];

	(void)state;
	assert_int_equal(upl_put_varint(out, 0), 1);
	assert_int_equal(upl_put_varint(out, 127), 1);
	assert_int_equal(upl_put_varint(out, 128), 2);
	assert_int_equal(out[0], 0x80);
	assert_int_equal(out[1], 1);
	assert_int_equal(upl_put_varint(out, UINT64_MAX), 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(crc32c_gives_the_published_values),
	    cmocka_unit_test(crc32c_table_and_instruction_agree_at_every_length_and_offset),
	    cmocka_unit_test(crc32c_continues_over_parts),
	    cmocka_unit_test(pause_grows_to_its_cap_and_never_overflows),
	    cmocka_unit_test(pause_is_spread_from_zero_and_sits_on_its_floor),
	    cmocka_unit_test(verdicts_are_those_of_the_protocol),
	    cmocka_unit_test(no_answer_is_never_taken_for_one),
	    cmocka_unit_test(bad_servers_are_refused),
	    cmocka_unit_test(literal_addresses_are_known_at_once),
	    cmocka_unit_test(failure_moves_to_the_next_server_and_says_when_all_have_failed),
	    cmocka_unit_test(single_server_that_fails_asks_for_a_pause),
	    cmocka_unit_test(first_server_is_probed_now_and_then_and_taken_back),
	    cmocka_unit_test(new_list_keeps_what_is_known_of_old_servers),
	    cmocka_unit_test(learned_addresses_are_bounded),
	    cmocka_unit_test(proxy_text_gives_host_and_port),
	    cmocka_unit_test(batch_gives_its_records_as_they_stand),
	    cmocka_unit_test(every_truncation_of_a_batch_is_refused),
	    cmocka_unit_test(every_byte_of_a_batch_can_be_anything),
	    cmocka_unit_test(malformed_records_are_refused),
	    cmocka_unit_test(varints_are_written_shortest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
