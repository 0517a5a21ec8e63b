/*
 * The body of a telemetry request: agent id, LOSS events, records as they came, joined and compressed. Never unpacks a
 * record. Called by delivery.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/cleanup.h"
#include "common/pb.h"
#include "telemetry.pb-c.h"
#include "uplinkd/uplinkd.h"
#include "uplinkd/wire.h"

/* Level of zstd: 1 costs least and leaves a fifth of telemetry's bytes; higher levels cost the host more than the
 * network saves. */
#define ZSTD_LEVEL 1

/* Tags of TelemetryRequest. */
#define TAG_AGENT_ID (1 << 3 | 2)
#define TAG_RECORDS (2 << 3 | 2)

/* Bytes of the head: agent id, and LOSS events of at most 160 bytes each. */
#define HEAD_BYTES (2 + LIM_ID_BYTES + SPOOL_LOSSES_CLOSED * 192u)

/* One LOSS event as a TelemetryRequest.records field. Returns its length, 0 when it does not fit. */
static size_t
put_loss(uint8_t *out, size_t size, uint64_t own_epoch, const struct spool_loss *loss)
{
	Picket__V1__Loss detail = PICKET__V1__LOSS__INIT;
	Picket__V1__Event event = PICKET__V1__EVENT__INIT;
	Picket__V1__EventRecord record = PICKET__V1__EVENT_RECORD__INIT;
	uint8_t packed[128], head[11];
	size_t len, n;

	detail.stage = PICKET__V1__LOSS_STAGE__LOSS_STAGE_SPOOL;
	detail.events = loss->events;
	detail.first_sequence = loss->first_sequence;
	detail.last_sequence = loss->last_sequence;
	detail.epoch = loss->epoch;
	detail.detail = pb_str(spool_reason_name(loss->reason));
	detail.upper_bound = loss->upper_bound;
	event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_LOSS;
	event.time_ms = wall_now_ms();
	event.detail_case = PICKET__V1__EVENT__DETAIL_LOSS;
	event.loss = &detail;
	if (picket__v1__event__get_packed_size(&event) > sizeof(packed))
		return 0;
	record.epoch = own_epoch;
	record.sequence = loss->own_sequence;
	record.type = event.type;
	record.event = pb_bytes(packed, picket__v1__event__pack(&event, packed));
	len = picket__v1__event_record__get_packed_size(&record);
	head[0] = TAG_RECORDS;
	n = 1 + upl_put_varint(head + 1, len);
	if (n + len > size)
		return 0;
	memcpy(out, head, n);
	return n + picket__v1__event_record__pack(&record, out + n);
}

/* Agent id and LOSS events. Sets what delivery must know of them. Returns the length or a negative errno. */
static ssize_t
put_head(struct uplinkd *u, uint8_t *out, size_t size)
{
	struct upl_delivery *d = &u->delivery;
	size_t id_len = strlen(u->settings.agent_id), len = 0;
	const struct spool_losses *losses;
	int r;

	out[len++] = TAG_AGENT_ID;
	len += upl_put_varint(out + len, id_len);
	memcpy(out + len, u->settings.agent_id, id_len);
	len += id_len;
	d->losses = 0;
	d->loss_last = 0;
	if (!spool_has_losses(u->spool))
		return (ssize_t)len;
	r = spool_losses(u->spool, &losses);
	if (r < 0)
		return r;
	/* Closed in order of their numbers. */
	for (uint32_t i = 0; i < losses->n; i++) {
		size_t n;

		if (losses->list[i].own_sequence == 0)
			continue;
		n = put_loss(out + len, size - len, spool_own_epoch(u->spool), &losses->list[i]);
		if (n == 0)
			break;
		len += n;
		d->losses++;
		d->loss_last = losses->list[i].own_sequence;
	}
	return (ssize_t)len;
}

static int
reserve(struct upl_delivery *d, size_t len)
{
	uint8_t *grown;

	if (len <= d->body_cap)
		return 0;
	grown = realloc(d->body, len);
	if (grown == NULL)
		return -ENOMEM;
	d->body = grown;
	d->body_cap = len;
	return 0;
}

static int
compress(struct upl_delivery *d, const uint8_t *head, size_t head_len)
{
	static ZSTD_CCtx *context; /* one for the process: its tables are worth keeping */
	ZSTD_inBuffer parts[] = {{head, head_len, 0}, {d->package.bytes, d->package.len, 0}};
	ZSTD_outBuffer out = {.dst = d->body, .size = d->body_cap};

	if (context == NULL) {
		context = ZSTD_createCCtx();
		if (context == NULL)
			return -ENOMEM;
		(void)ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, ZSTD_LEVEL);
	}
	(void)ZSTD_CCtx_reset(context, ZSTD_reset_session_only);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		ZSTD_EndDirective end = i + 1 == ARRAY_LEN(parts) ? ZSTD_e_end : ZSTD_e_continue;
		size_t left;

		do {
			left = ZSTD_compressStream2(context, &out, &parts[i], end);
			/* The bound makes room for all of it. */
			if (ZSTD_isError(left) || out.pos == out.size)
				return -EIO;
		} while (parts[i].pos < parts[i].size || (end == ZSTD_e_end && left > 0));
	}
	d->body_len = out.pos;
	return 0;
}

int
upl_package_build(struct uplinkd *u)
{
	struct upl_delivery *d = &u->delivery;
	uint8_t head[HEAD_BYTES];
	ssize_t head_len = put_head(u, head, sizeof(head));
	size_t len;
	int r;

	if (head_len < 0)
		return (int)head_len;
	len = (size_t)head_len + d->package.len;
	d->body_zstd = u->conf.compression == UPL_ZSTD && !d->plain;
	r = reserve(d, d->body_zstd ? ZSTD_compressBound(len) + 64 : len);
	if (r < 0)
		return r;
	u->counters.sent_bytes += len;
	if (d->body_zstd)
		return compress(d, head, (size_t)head_len);
	memcpy(d->body, head, (size_t)head_len);
	if (d->package.len > 0)
		memcpy(d->body + head_len, d->package.bytes, d->package.len);
	d->body_len = len;
	return 0;
}
