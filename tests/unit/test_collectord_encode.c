/* The hand-written encoder gives the bytes of protobuf-c, for every event of the recorded logs and for events made up
 * at random. */
#include <errno.h>
#include <unistd.h>

#include "collectord/encode.h"
#include "collectord/source.h"
#include "collectord_feed.h"
#include "common/limits.h"
#include "proto/telemetry.pb-c.h"

static uint8_t buffer[LIM_IPC_RECORD_BYTES], expected[LIM_IPC_RECORD_BYTES];
static size_t compared;

static void
compare(const Picket__V1__Event *event, uint64_t epoch, uint64_t sequence)
{
	Picket__V1__EventRecord record = PICKET__V1__EVENT_RECORD__INIT, *rows[] = {&record};
	Picket__V1__EventBatch batch = PICKET__V1__EVENT_BATCH__INIT;
	const uint8_t *got, *inner;
	size_t n = picket__v1__event__pack(event, expected);

	assert_int_equal(encode_event(event, buffer, sizeof(buffer), &got), n);
	assert_memory_equal(got, expected, n);

	record.epoch = epoch;
	record.sequence = sequence;
	record.type = event->type;
	record.event.data = malloc(n + 1);
	record.event.len = n;
	(void)memcpy(record.event.data, expected, n);
	batch.records = rows;
	batch.n_records = 1;
	n = picket__v1__event_batch__pack(&batch, expected);
	assert_int_equal(encode_record(event, epoch, sequence, buffer, sizeof(buffer), &got, &inner), n);
	assert_memory_equal(got, expected, n);
	assert_int_equal(picket__v1__event_record__pack(&record, expected), got + n - inner);
	assert_memory_equal(inner, expected, (size_t)(got + n - inner));
	free(record.event.data);
	compared++;
}

static void
on_event(const Picket__V1__Event *event, void *ctx)
{
	uint64_t *sequence = ctx;

	compare(event, UINT64_C(0x1122334455667788), ++*sequence);
}

static void
compare_corpus(const char *name)
{
	uint64_t sequence = 0;
	const struct pipeline_conf conf = {
	    .normalise = {.unix_sockets = true}, .on_event = on_event, .ctx = &sequence, .clock_from_records = true};
	struct pipeline *p = pipeline_new(&conf);
	struct source_sink sink = pipeline_sink(p);
	struct source *source;
	char command[128];
	FILE *in;
	int r;

	(void)snprintf(command, sizeof(command), "zcat tests/data/%s", name);
	in = popen(command, "r");
	assert_non_null(in);
	assert_int_equal(source_replay_open(dup(fileno(in)), &sink, &source), 0);
	do
		r = source_read(source);
	while (r >= 0);
	assert_int_equal(r, -ENODATA);
	pipeline_flush(p);
	assert_true(sequence > 100);
	source_close(source);
	assert_int_equal(pclose(in), 0);
	pipeline_free(p);
}

static void
recorded_events_are_packed_like_protobuf_c_does(void **state)
{
	(void)state;
	compare_corpus("audit-small.log.gz");
	compare_corpus("audit-odd.log.gz");
	compare_corpus("audit-enriched.log.gz");
}

/* ---- made up ---- */

static uint64_t
number(void)
{
	static const uint64_t edges[] = {
	    0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_C(1) << 56, UINT64_MAX, INT32_MAX};

	return feed_random() % 2 != 0 ? edges[feed_random() % 10] : feed_random();
}

static ProtobufCBinaryData
bytes(void)
{
	static uint8_t text[20000];
	static const size_t lens[] = {0, 0, 1, 5, 127, 128, 300, 16384};

	return (ProtobufCBinaryData){.len = lens[feed_random() % 8], .data = text};
}

/* Fill every field by its descriptor, so that none is forgotten. */
static void
fill(ProtobufCMessage *m)
{
	for (unsigned int i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		void *at = (char *)m + f->offset;

		if (f->label == PROTOBUF_C_LABEL_REPEATED || f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
			continue;
		switch (f->type) {
		case PROTOBUF_C_TYPE_UINT32:
		case PROTOBUF_C_TYPE_INT32:
			*(uint32_t *)at = (uint32_t)number();
			break;
		case PROTOBUF_C_TYPE_ENUM:
			*(int *)at = (int)(feed_random() % 6);
			break;
		case PROTOBUF_C_TYPE_UINT64:
		case PROTOBUF_C_TYPE_FIXED64:
			*(uint64_t *)at = number();
			break;
		case PROTOBUF_C_TYPE_BOOL:
			*(protobuf_c_boolean *)at = (int)(feed_random() % 2);
			break;
		case PROTOBUF_C_TYPE_BYTES:
			*(ProtobufCBinaryData *)at = bytes();
			break;
		case PROTOBUF_C_TYPE_MESSAGE:
			break; /* set by the caller */
		default:
			fail_msg("a field type that encode.c does not know: %s", f->name);
		}
	}
}

static void
any_event_is_packed_like_protobuf_c_does(void **state)
{
	(void)state;
	for (int i = 0; i < 20000; i++) {
		Picket__V1__Event e = PICKET__V1__EVENT__INIT;
		Picket__V1__Process process = PICKET__V1__PROCESS__INIT;
		Picket__V1__Endpoint a = PICKET__V1__ENDPOINT__INIT, b = PICKET__V1__ENDPOINT__INIT;
		Picket__V1__ProcessStart start = PICKET__V1__PROCESS_START__INIT;
		Picket__V1__ProcessEnd end = PICKET__V1__PROCESS_END__INIT;
		Picket__V1__Connection connection = PICKET__V1__CONNECTION__INIT;
		Picket__V1__PortListen listens = PICKET__V1__PORT_LISTEN__INIT;
		Picket__V1__FileChange file = PICKET__V1__FILE_CHANGE__INIT;
		Picket__V1__Module module = PICKET__V1__MODULE__INIT;
		Picket__V1__Logon logon = PICKET__V1__LOGON__INIT;
		Picket__V1__Loss loss = PICKET__V1__LOSS__INIT;
		Picket__V1__ProcessAccess access = PICKET__V1__PROCESS_ACCESS__INIT;
		Picket__V1__AccountChange account = PICKET__V1__ACCOUNT_CHANGE__INIT;
		Picket__V1__AuditChange audit = PICKET__V1__AUDIT_CHANGE__INIT;
		Picket__V1__NetfilterChange netfilter = PICKET__V1__NETFILTER_CHANGE__INIT;
		Picket__V1__BpfProgram bpf = PICKET__V1__BPF_PROGRAM__INIT;
		Picket__V1__Security security = PICKET__V1__SECURITY__INIT;
		ProtobufCMessage *const all[] = {&e.base, &process.base, &a.base, &b.base, &start.base, &end.base,
		    &connection.base, &listens.base, &file.base, &module.base, &logon.base, &loss.base, &access.base,
		    &account.base, &audit.base, &netfilter.base, &bpf.base, &security.base};
		ProtobufCBinaryData list[8];
		void *const details[] = {&start, &end, &connection, &listens, &file, &module, &logon, &loss, &access,
		    &account, &audit, &netfilter, &bpf, &security};
		const size_t n_details = sizeof(details) / sizeof(details[0]);
		size_t which = feed_random() % (n_details + 1);

		for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
			fill(all[k]);
		for (size_t k = 0; k < 8; k++)
			list[k] = bytes();
		start.args = e.keys = list;
		start.n_args = feed_random() % 9;
		e.n_keys = feed_random() % 3;
		e.process = feed_random() % 4 != 0 ? &process : NULL;
		connection.remote = feed_random() % 4 != 0 ? &a : NULL;
		connection.local = feed_random() % 4 != 0 ? &b : NULL;
		listens.local = feed_random() % 4 != 0 ? &a : NULL;
		if (feed_random() % 8 == 0)
			picket__v1__endpoint__init(&a); /* there, and empty */
		if (which < n_details) {
			e.detail_case = (Picket__V1__Event__DetailCase)(16 + which);
			e.process_start = details[which];
		}
		if (picket__v1__event__get_packed_size(&e) < sizeof(buffer) - 100)
			compare(&e, number(), number());
	}
	assert_true(compared > 15000);
}

static void
what_does_not_fit_is_refused(void **state)
{
	Picket__V1__Event e = PICKET__V1__EVENT__INIT;
	Picket__V1__Process process = PICKET__V1__PROCESS__INIT;
	const uint8_t *got;
	size_t n;

	(void)state;
	fill(&e.base);
	fill(&process.base);
	e.process = &process;
	n = encode_event(&e, buffer, sizeof(buffer), &got);
	assert_true(n > 0);
	for (size_t size = 0; size < n; size++)
		assert_int_equal(encode_event(&e, buffer, size, &got), 0);
	assert_int_equal(encode_event(&e, buffer, n, &got), n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(recorded_events_are_packed_like_protobuf_c_does),
	    cmocka_unit_test(any_event_is_packed_like_protobuf_c_does),
	    cmocka_unit_test(what_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
