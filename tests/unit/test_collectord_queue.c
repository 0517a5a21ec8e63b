/* The queue to uplinkd: order, batches, bounds, sending again. */
#include <errno.h>

#include "collectord/queue.h"
#include "collectord_feed.h"
#include "common/limits.h"

static int
add(struct queue *q, uint64_t sequence, size_t len, bool *ret_closed)
{
	static uint8_t record[LIM_IPC_RECORD_BYTES];

	(void)memset(record, (int)(sequence & 0xff), len);
	return queue_add(q, sequence, record, len, ret_closed);
}

static void
batches_close_at_their_number_of_events(void **state)
{
	struct queue *q = queue_new(MIB(1));
	struct queue_batch b;
	bool closed;

	(void)state;
	for (uint64_t i = 1; i <= LIM_BATCH_EVENTS + 1; i++) {
		assert_int_equal(add(q, i, 10, &closed), 0);
		assert_int_equal(closed, i == LIM_BATCH_EVENTS + 1);
	}
	assert_true(queue_next(q, &b));
	assert_int_equal(b.first_sequence, 1);
	assert_int_equal(b.last_sequence, LIM_BATCH_EVENTS);
	assert_int_equal(b.len, LIM_BATCH_EVENTS * 10);
	queue_sent(q);
	assert_false(queue_next(q, &b));
	assert_true(queue_close(q));
	assert_false(queue_close(q));
	assert_true(queue_next(q, &b));
	assert_int_equal(b.first_sequence, LIM_BATCH_EVENTS + 1);
	queue_free(q);
}

static void
batches_close_at_their_bytes_and_one_event_may_be_larger(void **state)
{
	struct queue *q = queue_new(MIB(1));
	struct queue_batch b;
	bool closed;

	(void)state;
	assert_int_equal(add(q, 1, LIM_BATCH_BYTES - 5, &closed), 0);
	assert_int_equal(add(q, 2, 6, &closed), 0);
	assert_true(closed);
	assert_int_equal(add(q, 3, KIB(160), &closed), 0);
	assert_true(closed);
	assert_true(queue_close(q));
	for (uint64_t i = 1; i <= 3; i++) {
		assert_true(queue_next(q, &b));
		assert_int_equal(b.last_sequence, i);
		queue_sent(q);
	}
	queue_free(q);
}

static void
what_is_not_acknowledged_is_sent_again_from_the_oldest(void **state)
{
	struct queue *q = queue_new(MIB(1));
	struct queue_batch b;
	bool closed;

	(void)state;
	for (uint64_t i = 1; i <= 6; i++) {
		assert_int_equal(add(q, i, 100, &closed), 0);
		if (i % 2 == 0)
			(void)queue_close(q);
	}
	while (queue_next(q, &b))
		queue_sent(q);
	assert_int_equal(queue_in_flight(q), 3);
	assert_int_equal(queue_ack(q, 2), 2);
	assert_int_equal(queue_ack(q, 3), 0); /* within a batch: it stays whole */
	assert_int_equal(queue_events(q), 4);
	queue_rewind(q);
	assert_true(queue_next(q, &b));
	assert_int_equal(b.first_sequence, 3);
	assert_int_equal(queue_ack(q, 6), 4);
	assert_int_equal(queue_events(q), 0);
	assert_int_equal(queue_bytes(q), 0);
	assert_false(queue_next(q, &b));
	queue_free(q);
}

static void
a_full_queue_refuses_and_takes_again_after_an_acknowledgement(void **state)
{
	struct queue *q = queue_new(KIB(256));
	struct queue_batch b;
	uint64_t n = 0;
	bool closed;

	(void)state;
	while (add(q, n + 1, 1000, &closed) == 0)
		n++;
	assert_true(n >= 255 && n <= 262);
	assert_int_equal(queue_events(q), n);
	assert_int_equal(add(q, n + 1, 1000, &closed), -ENOBUFS);
	assert_true(queue_next(q, &b));
	assert_true(queue_ack(q, b.last_sequence) > 0);
	assert_int_equal(add(q, n + 1, 1000, &closed), 0);
	queue_free(q);
}

static void
the_number_of_batches_is_bounded_too(void **state)
{
	struct queue *q = queue_new(MIB(16));
	uint64_t n = 0;
	bool closed;

	(void)state;
	while (add(q, n + 1, 10, &closed) == 0) {
		n++;
		(void)queue_close(q);
	}
	assert_int_equal(n, QUEUE_BATCHES);
	assert_int_equal(queue_batches(q), QUEUE_BATCHES);
	queue_free(q);
}

/* Random sizes, closings, sendings and acknowledgements: every byte of every batch is what was put in, in order,
 * without a hole. */
static void
random_use_keeps_order_and_content(void **state)
{
	struct queue *q = queue_new(KIB(256));
	uint64_t next = 1, sent = 0, acked = 0, refused = 0, wrapped = 0;
	static size_t lens[1 << 20];
	const uint8_t *last_data = NULL;
	bool closed;

	(void)state;
	for (int step = 0; step < 200000; step++) {
		struct queue_batch b;
		size_t len = feed_random() % 50 == 0 ? feed_random() % KIB(100) + 1 : feed_random() % 600 + 1;

		switch (feed_random() % 8) {
		default:
			if (add(q, next, len, &closed) == 0)
				lens[next++ & ((1 << 20) - 1)] = len;
			else
				refused++;
			break;
		case 0:
			(void)queue_close(q);
			break;
		case 1:
			while (queue_next(q, &b)) {
				const uint8_t *p = b.data;

				assert_int_equal(b.first_sequence, sent + 1);
				for (uint64_t s = b.first_sequence; s <= b.last_sequence; s++)
					for (size_t i = 0; i < lens[s & ((1 << 20) - 1)]; i++)
						assert_int_equal(*p++, s & 0xff);
				assert_int_equal(p - b.data, b.len);
				wrapped += b.data < last_data;
				last_data = b.data;
				sent = b.last_sequence;
				queue_sent(q);
			}
			break;
		case 2:
			if (feed_random() % 4 == 0) {
				queue_rewind(q);
				sent = acked;
				break;
			}
			if (sent > acked) {
				/* Acknowledge up to some batch's end: only those are known to be kept or dropped whole.
				 */
				uint64_t before = queue_events(q),
					 gone = queue_ack(q, acked + feed_random() % (sent - acked) + 1);

				acked += gone;
				assert_int_equal(queue_events(q), before - gone);
			}
			break;
		}
		assert_int_equal(queue_events(q), next - 1 - acked);
	}
	assert_true(refused > 100 && wrapped > 100 && acked > 10000);
	queue_free(q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(batches_close_at_their_number_of_events),
	    cmocka_unit_test(batches_close_at_their_bytes_and_one_event_may_be_larger),
	    cmocka_unit_test(what_is_not_acknowledged_is_sent_again_from_the_oldest),
	    cmocka_unit_test(a_full_queue_refuses_and_takes_again_after_an_acknowledgement),
	    cmocka_unit_test(the_number_of_batches_is_bounded_too),
	    cmocka_unit_test(random_use_keeps_order_and_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
