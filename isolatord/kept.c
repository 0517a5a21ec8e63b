/*
 * Keeps order, rules and file together. Never touches the packet filter, never decides when to isolate. Called by
 * engine.c.
 */
#include "isolatord/kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pb.h"

static void
now_on_all_clocks(const struct kept *kept, struct store_now *ret)
{
	struct timespec ts;

	memcpy(ret->boot_id, kept->conf->boot_id, sizeof(ret->boot_id));
	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	ret->boot_ms = (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
	ret->wall_ms = wall_now_ms();
}

void
kept_done(struct kept *kept)
{
	iso_order_done(&kept->order);
	store_record_done(&kept->record);
	ruleset_done(&kept->rules);
}

static int
save(const struct kept *kept, const struct iso_order *order, const uint8_t *packed, size_t packed_len,
    struct store_record *ret)
{
	struct store_record record = {.order_len = packed_len};
	struct store_now now;
	int r;

	now_on_all_clocks(kept, &now);
	record.since_wall_ms = kept->order.on ? kept->record.since_wall_ms : now.wall_ms;
	store_stamp(&record, &now, order->duration_s == 0 ? STORE_FOREVER : order->duration_s * 1000u);
	record.order = malloc(packed_len + 1);
	if (record.order == NULL)
		return -ENOMEM;
	if (packed_len > 0)
		memcpy(record.order, packed, packed_len);
	r = store_save(kept->conf->state_fd, &record);
	if (r < 0)
		store_record_done(&record);
	else
		*ret = record;
	return r;
}

int
kept_take(struct kept *kept, struct iso_order *order, const uint8_t *packed, size_t packed_len)
{
	struct store_record record;
	struct ruleset rules;
	int r = ruleset_build(order, &kept->conf->rules, &rules);

	if (r < 0)
		return r;
	r = save(kept, order, packed, packed_len, &record);
	if (r < 0) {
		ruleset_done(&rules);
		return r;
	}
	kept_done(kept);
	kept->order = *order;
	kept->record = record;
	kept->rules = rules;
	kept->problem[0] = '\0';
	memset(order, 0, sizeof(*order));
	return 0;
}

void
kept_forget(struct kept *kept)
{
	int r = store_forget(kept->conf->state_fd);

	kept->problem[0] = '\0';
	if (r < 0) {
		(void)snprintf(kept->problem, sizeof(kept->problem),
		    "the file %s in the state directory could not be removed (%s): remove it, or the isolation comes "
		    "back when isolatord starts again",
		    STORE_FILE, strerror(-r));
		log_error("order.not_forgotten", KV_STR("file", STORE_FILE), KV_ERRNO(r));
	}
	kept_done(kept);
}

/* After a reboot the deadline goes on from what the wall clock says is left; from then on nobody can set it. */
static void
renew_deadline(struct kept *kept, const struct store_now *now)
{
	int r;

	if (memcmp(kept->record.boot_id, now->boot_id, sizeof(now->boot_id)) == 0)
		return;
	store_stamp(&kept->record, now, store_remaining(&kept->record, now));
	r = store_save(kept->conf->state_fd, &kept->record);
	if (r < 0)
		log_warning("order.not_renewed", KV_ERRNO(r));
}

/* From kept->record to order and rules. Returns 0 or a negative errno with a reason. */
static int
decode_record(struct kept *kept, char *why, size_t why_size)
{
	struct pb_arena *arena = NULL;
	const char *pb_why = NULL;
	const ProtobufCMessage *pb = pb_unpack(&picket__v1__isolation_order__descriptor, kept->record.order,
	    kept->record.order_len, KEPT_UNPACK_BYTES, &arena, &pb_why);
	int r = -EBADMSG;

	if (pb != NULL)
		r = iso_order_decode((const Picket__V1__IsolationOrder *)pb, &kept->order, why, why_size);
	else
		(void)snprintf(why, why_size, "%s", pb_why);
	pb_arena_free(arena);
	if (r == 0 && !kept->order.on) {
		(void)snprintf(why, why_size, "it does not isolate");
		return -EBADMSG;
	}
	return r == 0 ? ruleset_build(&kept->order, &kept->conf->rules, &kept->rules) : r;
}

enum kept_found
kept_load(struct kept *kept)
{
	char why[KEPT_PROBLEM_BYTES / 2] = "out of memory";
	const char *store_why = NULL;
	struct store_now now;
	int r = store_load(kept->conf->state_fd, &kept->record, &store_why);

	if (r == -ENOENT)
		return KEPT_NOTHING;
	if (r == 0)
		r = decode_record(kept, why, sizeof(why));
	else
		(void)snprintf(why, sizeof(why), "%s", store_why != NULL ? store_why : strerror(-r));
	if (r < 0) {
		(void)snprintf(kept->problem, sizeof(kept->problem),
		    "the kept order cannot be used (%s): the packet filter is left as it is; isolate or release to "
		    "decide, or run isolatord --release",
		    why);
		kept_done(kept);
		return KEPT_DAMAGED;
	}
	now_on_all_clocks(kept, &now);
	if (store_remaining(&kept->record, &now) == 0)
		return KEPT_LAPSED;
	renew_deadline(kept, &now);
	return KEPT_ORDER;
}

uint64_t
kept_deadline_ms(const struct kept *kept)
{
	return kept->order.on ? kept->record.deadline_boot_ms : STORE_FOREVER;
}
