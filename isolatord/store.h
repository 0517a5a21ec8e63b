/*
 * The order that survives isolatord: one file, present while an order is on, absent when released.
 *
 * A deadline is kept on two clocks. Within one boot CLOCK_BOOTTIME counts, which nobody can set and which goes on in
 * suspend. After a reboot only the wall clock can tell how much is left; it is believed as far as it lies between the
 * start and the end of the order.
 */
#ifndef PICKET_ISOLATORD_STORE_H
#define PICKET_ISOLATORD_STORE_H

#include <stddef.h>
#include <stdint.h>

/* File in the state directory. */
#define STORE_FILE "order"

/*
 * Bytes of a packed order: 10,000 exceptions of 40 bytes and 64 endpoints of 24 come to 402 KB; twice that leaves room
 * for the fields to come.
 */
#define STORE_ORDER_BYTES (800u * 1024u)

/* No deadline. */
#define STORE_FOREVER UINT64_MAX

#define STORE_BOOT_ID_BYTES 16u

/* The clocks at one moment. */
struct store_now {
	uint8_t boot_id[STORE_BOOT_ID_BYTES];
	uint64_t boot_ms; /* CLOCK_BOOTTIME */
	uint64_t wall_ms; /* since 1970 */
};

struct store_record {
	uint8_t boot_id[STORE_BOOT_ID_BYTES]; /* of the boot that deadline_boot_ms belongs to */
	uint64_t since_wall_ms;               /* start of the isolation */
	uint64_t counted_from_wall_ms;        /* when the deadline began to count */
	uint64_t deadline_boot_ms;            /* CLOCK_BOOTTIME; STORE_FOREVER */
	uint64_t deadline_wall_ms;            /* since 1970; STORE_FOREVER */
	uint8_t *order;                       /* packed IsolationOrder; owned, released with store_record_done() */
	size_t order_len;
};

/*
 * store_stamp - set boot id and deadlines of a record for an order that begins to count now.
 * @duration_ms: STORE_FOREVER or how long it lasts.
 */
void store_stamp(struct store_record *record, const struct store_now *now, uint64_t duration_ms);

/* store_remaining - milliseconds until the record's order lapses; 0: it has lapsed; STORE_FOREVER. */
uint64_t store_remaining(const struct store_record *record, const struct store_now *now);

/*
 * store_encode, store_decode - the file's content. Pure.
 * @ret_data: free with free().
 * store_decode returns 0 with the order copied, -ENOMEM, or -EBADMSG with a reason in *ret_why (a constant string).
 */
int store_encode(const struct store_record *record, uint8_t **ret_data, size_t *ret_len);
int store_decode(const uint8_t *data, size_t len, struct store_record *ret, const char **ret_why);

/*
 * store_save - returns 0 once the record is on disk, or a negative errno: what was there before is then still there.
 * store_load - returns 0, -ENOENT when no order is on, -EBADMSG when the file is damaged (reason in *ret_why), or the
 * errno of reading it. store_forget - returns 0 once no order is on disk, or a negative errno.
 */
int store_save(int dirfd, const struct store_record *record);
int store_load(int dirfd, struct store_record *ret, const char **ret_why);
int store_forget(int dirfd);

void store_record_done(struct store_record *record);

#endif
