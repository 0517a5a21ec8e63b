/*
 * Keeps the order on disk and computes what is left of its time. Never decides what to do about a damaged file, never
 * looks into the order. Called by engine.c.
 *
 * File, little endian: "PKTISO\0" and the version (8 bytes), digest of all that follows (8), boot id (16), since,
 * counted from, deadline on CLOCK_BOOTTIME, deadline on the wall clock (8 each), length of the order (8), the order.
 */
#include "isolatord/store.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "isolatord/digest.h"

#define STORE_VERSION 1

enum {
	AT_MAGIC = 0,
	AT_VERSION = 7,
	AT_DIGEST = 8,
	AT_BOOT_ID = 16,
	AT_SINCE = 32,
	AT_COUNTED_FROM = 40,
	AT_DEADLINE_BOOT = 48,
	AT_DEADLINE_WALL = 56,
	AT_LENGTH = 64,
	AT_ORDER = 72,
};

static const uint8_t magic[AT_VERSION] = {'P', 'K', 'T', 'I', 'S', 'O', 0};

static void
put_u64(uint8_t *at, uint64_t value)
{
	uint64_t le = htole64(value);

	memcpy(at, &le, sizeof(le));
}

static uint64_t
get_u64(const uint8_t *at)
{
	uint64_t le;

	memcpy(&le, at, sizeof(le));
	return le64toh(le);
}

/* a + b, at most the largest time that is not "for ever". */
static uint64_t
time_add(uint64_t a, uint64_t b)
{
	return b < STORE_FOREVER - 1 - a ? a + b : STORE_FOREVER - 1;
}

void
store_stamp(struct store_record *record, const struct store_now *now, uint64_t duration_ms)
{
	memcpy(record->boot_id, now->boot_id, sizeof(record->boot_id));
	record->counted_from_wall_ms = now->wall_ms;
	record->deadline_boot_ms = STORE_FOREVER;
	record->deadline_wall_ms = STORE_FOREVER;
	if (duration_ms != STORE_FOREVER) {
		record->deadline_boot_ms = time_add(now->boot_ms, duration_ms);
		record->deadline_wall_ms = time_add(now->wall_ms, duration_ms);
	}
}

static uint64_t
time_left(uint64_t deadline, uint64_t now)
{
	return deadline > now ? deadline - now : 0;
}

uint64_t
store_remaining(const struct store_record *record, const struct store_now *now)
{
	if (record->deadline_boot_ms == STORE_FOREVER)
		return STORE_FOREVER;
	if (memcmp(record->boot_id, now->boot_id, sizeof(now->boot_id)) == 0)
		return time_left(record->deadline_boot_ms, now->boot_ms);
	/* A clock that reads earlier than the order was set back: nothing has been counted yet. */
	if (now->wall_ms < record->counted_from_wall_ms)
		return time_left(record->deadline_wall_ms, record->counted_from_wall_ms);
	return time_left(record->deadline_wall_ms, now->wall_ms);
}

int
store_encode(const struct store_record *record, uint8_t **ret_data, size_t *ret_len)
{
	size_t len = AT_ORDER + record->order_len;
	uint8_t *data = calloc(1, len);

	if (data == NULL)
		return -ENOMEM;
	memcpy(data + AT_MAGIC, magic, sizeof(magic));
	data[AT_VERSION] = STORE_VERSION;
	memcpy(data + AT_BOOT_ID, record->boot_id, sizeof(record->boot_id));
	put_u64(data + AT_SINCE, record->since_wall_ms);
	put_u64(data + AT_COUNTED_FROM, record->counted_from_wall_ms);
	put_u64(data + AT_DEADLINE_BOOT, record->deadline_boot_ms);
	put_u64(data + AT_DEADLINE_WALL, record->deadline_wall_ms);
	put_u64(data + AT_LENGTH, record->order_len);
	if (record->order_len > 0)
		memcpy(data + AT_ORDER, record->order, record->order_len);
	put_u64(data + AT_DIGEST, digest_add(DIGEST_START, data + AT_BOOT_ID, len - AT_BOOT_ID));
	*ret_data = data;
	*ret_len = len;
	return 0;
}

int
store_decode(const uint8_t *data, size_t len, struct store_record *ret, const char **ret_why)
{
	struct store_record record = {0};

	*ret_why = NULL;
	if (len < AT_ORDER || memcmp(data + AT_MAGIC, magic, sizeof(magic)) != 0)
		*ret_why = "it is not an order file";
	else if (data[AT_VERSION] != STORE_VERSION)
		*ret_why = "it was written by another version";
	else if (get_u64(data + AT_LENGTH) != len - AT_ORDER)
		*ret_why = "it was cut";
	else if (get_u64(data + AT_DIGEST) != digest_add(DIGEST_START, data + AT_BOOT_ID, len - AT_BOOT_ID))
		*ret_why = "its checksum is wrong";
	if (*ret_why != NULL)
		return -EBADMSG;
	memcpy(record.boot_id, data + AT_BOOT_ID, sizeof(record.boot_id));
	record.since_wall_ms = get_u64(data + AT_SINCE);
	record.counted_from_wall_ms = get_u64(data + AT_COUNTED_FROM);
	record.deadline_boot_ms = get_u64(data + AT_DEADLINE_BOOT);
	record.deadline_wall_ms = get_u64(data + AT_DEADLINE_WALL);
	record.order_len = len - AT_ORDER;
	record.order = malloc(record.order_len + 1);
	if (record.order == NULL)
		return -ENOMEM;
	memcpy(record.order, data + AT_ORDER, record.order_len);
	*ret = record;
	return 0;
}

int
store_save(int dirfd, const struct store_record *record)
{
	AUTO_FREE uint8_t *data = NULL;
	size_t len;
	int r;

	if (record->order_len > STORE_ORDER_BYTES)
		return -EFBIG;
	r = store_encode(record, &data, &len);
	if (r < 0)
		return r;
	return atomic_file_write(dirfd, STORE_FILE, 0600, data, len);
}

int
store_load(int dirfd, struct store_record *ret, const char **ret_why)
{
	AUTO_FREE uint8_t *data = NULL;
	size_t len;
	int r;

	*ret_why = NULL;
	r = atomic_file_read(dirfd, STORE_FILE, AT_ORDER + STORE_ORDER_BYTES, &data, &len);
	if (r == -EFBIG) {
		*ret_why = "it is too large";
		return -EBADMSG;
	}
	if (r < 0)
		return r;
	return store_decode(data, len, ret, ret_why);
}

int
store_forget(int dirfd)
{
	return atomic_file_remove(dirfd, STORE_FILE);
}

void
store_record_done(struct store_record *record)
{
	free(record->order);
	memset(record, 0, sizeof(*record));
}
