/* The same log through libauparse and through us: as many events, and the same arguments of every execve. */
#include <auparse.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka needs the above first */
#include <cmocka.h>

#include "collectord/pipeline.h"
#include "collectord/source.h"

/* Bytes of a decompressed corpus at most. */
#define CORPUS_BYTES (16u * 1024u * 1024u)

/* Execves in one corpus at most. */
#define MAX_EXECVES 1024u

/* Events in one corpus at most. */
#define MAX_EVENTS 16384u

/* argv of one execve: each argument as its length and bytes, which cannot be confused with another argv. */
struct argv {
	uint64_t serial;
	uint8_t *text;
	size_t len;
};

/* What one parser found in a log. */
struct found {
	struct argv items[MAX_EXECVES];
	size_t n;
	uint64_t serials[MAX_EVENTS]; /* of the events: each once */
	size_t n_serials;
};

static void
append(struct argv *a, const void *data, size_t len)
{
	a->text = realloc(a->text, a->len + len);
	assert_non_null(a->text);
	(void)memcpy(a->text + a->len, data, len);
	a->len += len;
}

static void
append_argument(struct argv *a, const void *data, size_t len)
{
	uint64_t n = len;

	append(a, &n, sizeof(n));
	if (len > 0)
		append(a, data, len);
}

static struct argv *
new_argv(struct found *list, uint64_t serial)
{
	assert_true(list->n < MAX_EXECVES);
	list->items[list->n] = (struct argv){.serial = serial, .text = malloc(1)};
	return &list->items[list->n++];
}

static void
free_found(struct found *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].text);
	free(list);
}

static void
add_serial(struct found *list, uint64_t serial)
{
	assert_true(list->n_serials < MAX_EVENTS);
	list->serials[list->n_serials++] = serial;
}

static int
by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int
by_serial(const void *a, const void *b)
{
	const struct argv *x = a, *y = b;

	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static char *
read_corpus(const char *name, size_t *ret_len)
{
	char command[256];
	char *text = malloc(CORPUS_BYTES);
	FILE *in;

	assert_non_null(text);
	(void)snprintf(command, sizeof(command), "zcat tests/data/%s", name);
	in = popen(command, "r");
	assert_non_null(in);
	*ret_len = fread(text, 1, CORPUS_BYTES - 1, in);
	assert_int_equal(pclose(in), 0);
	assert_true(*ret_len > 0);
	text[*ret_len] = '\0';
	return text;
}

/* ---- libauparse ---- */

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* An argument as the log has it: quoted text or hexadecimal; decoded to out. Returns the length. */
static size_t
decode(const char *raw, uint8_t *out)
{
	size_t n = strlen(raw);

	if (raw[0] == '"') {
		(void)memcpy(out, raw + 1, n - 2);
		return n - 2;
	}
	for (size_t i = 0; i + 1 < n; i += 2)
		out[i / 2] = (uint8_t)(hex_digit(raw[i]) << 4 | hex_digit(raw[i + 1]));
	return n / 2;
}

/* One EXECVE record's fields: whole arguments and parts, which are joined. */
static void
take_execve(auparse_state_t *au, struct argv *a, uint8_t *whole, size_t *len)
{
	assert_int_equal(auparse_first_field(au), 1);
	do {
		const char *name = auparse_get_field_name(au), *raw = auparse_get_field_str(au);
		unsigned int index, part;
		char rest;

		if (name == NULL || name[0] != 'a' || strstr(name, "_len") != NULL)
			continue;
		if (sscanf(name, "a%u[%u]%c", &index, &part, &rest) == 2) {
			*len += decode(raw, whole + *len);
		} else if (sscanf(name, "a%u%c", &index, &rest) == 1) {
			if (*len > 0)
				append_argument(a, whole, *len);
			*len = decode(raw, whole);
			append_argument(a, whole, *len);
			*len = 0;
		}
	} while (auparse_next_field(au) > 0);
}

/*
 * libauparse 3 hands on a LOGIN record as an event of its own and then the rest of the same event; later versions and
 * the kernel say that they are one. So the event that follows a lone LOGIN with the same serial is not counted again.
 */
static void
read_with_auparse(const char *text, struct found *found)
{
	auparse_state_t *au = auparse_init(AUSOURCE_BUFFER, text);
	uint8_t *whole = malloc(CORPUS_BYTES);
	uint64_t login = 0;

	assert_non_null(au);
	assert_non_null(whole);
	while (auparse_next_event(au) > 0) {
		uint64_t serial = auparse_get_serial(au);
		struct argv *a = NULL;
		size_t len = 0;

		if (serial != login)
			add_serial(found, serial);
		assert_int_equal(auparse_first_record(au), 1);
		login = auparse_get_num_records(au) == 1 && auparse_get_type(au) == AUDIT_LOGIN ? serial : 0;
		do {
			if (auparse_get_type(au) != AUDIT_EXECVE)
				continue;
			if (a == NULL)
				a = new_argv(found, serial);
			take_execve(au, a, whole, &len);
		} while (auparse_next_record(au) > 0);
		if (len > 0)
			append_argument(a, whole, len);
	}
	free(whole);
	auparse_destroy(au);
}

/* ---- ours ---- */

static void
on_event(const Picket__V1__Event *event, void *ctx)
{
	const Picket__V1__ProcessStart *start;
	struct argv *a;

	if (event->detail_case != PICKET__V1__EVENT__DETAIL_PROCESS_START)
		return;
	start = event->process_start;
	if (start->n_args == 0 && start->argc == 0)
		return; /* failed: no EXECVE record */
	assert_false(start->args_truncated);
	assert_int_equal(start->n_args, start->argc);
	a = new_argv(ctx, event->serial);
	for (size_t i = 0; i < start->n_args; i++)
		append_argument(a, start->args[i].data, start->args[i].len);
}

static void
on_serial(uint32_t serial, void *ctx)
{
	add_serial(ctx, serial);
}

static void
read_with_ours(const char *text, size_t len, struct found *found)
{
	const struct pipeline_conf conf = {
	    .on_event = on_event, .on_serial = on_serial, .ctx = found, .clock_from_records = true};
	struct pipeline *p = pipeline_new(&conf);
	struct source_sink sink;
	struct source *source;
	FILE *file = tmpfile();
	int r;

	assert_non_null(p);
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	rewind(file);
	sink = pipeline_sink(p);
	assert_int_equal(source_replay_open(dup(fileno(file)), &sink, &source), 0);
	do
		r = source_read(source);
	while (r >= 0);
	assert_int_equal(r, -ENODATA);
	pipeline_flush(p);
	assert_int_equal(pipeline_stats(p)->audit_events, found->n_serials);
	assert_int_equal(pipeline_stats(p)->malformed, 0);
	source_close(source);
	pipeline_free(p);
	(void)fclose(file);
}

static void
compare(const char *corpus)
{
	struct found *theirs = calloc(1, sizeof(*theirs)), *ours = calloc(1, sizeof(*ours));
	size_t len;
	char *text = read_corpus(corpus, &len);

	assert_non_null(theirs);
	assert_non_null(ours);
	read_with_auparse(text, theirs);
	read_with_ours(text, len, ours);
	/* Events may come in another order: theirs wait for older ones. */
	qsort(theirs->serials, theirs->n_serials, sizeof(theirs->serials[0]), by_number);
	qsort(ours->serials, ours->n_serials, sizeof(ours->serials[0]), by_number);
	assert_int_equal(theirs->n_serials, ours->n_serials);
	assert_memory_equal(theirs->serials, ours->serials, ours->n_serials * sizeof(ours->serials[0]));

	qsort(theirs->items, theirs->n, sizeof(theirs->items[0]), by_serial);
	qsort(ours->items, ours->n, sizeof(ours->items[0]), by_serial);
	assert_true(ours->n > 100);
	assert_int_equal(theirs->n, ours->n);
	for (size_t i = 0; i < ours->n; i++) {
		assert_int_equal(theirs->items[i].serial, ours->items[i].serial);
		assert_int_equal(theirs->items[i].len, ours->items[i].len);
		assert_memory_equal(theirs->items[i].text, ours->items[i].text, ours->items[i].len);
	}
	(void)printf("%s: %zu events, %zu execves alike\n", corpus, ours->n_serials, ours->n);
	free(text);
	free_found(theirs);
	free_found(ours);
}

static void
small_log_gives_the_events_and_arguments_of_libauparse(void **state)
{
	(void)state;
	compare("audit-small.log.gz");
}

static void
odd_log_gives_the_events_and_arguments_of_libauparse(void **state)
{
	(void)state;
	compare("audit-odd.log.gz");
}

static void
enriched_log_gives_the_events_and_arguments_of_libauparse(void **state)
{
	(void)state;
	compare("audit-enriched.log.gz");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(small_log_gives_the_events_and_arguments_of_libauparse),
	    cmocka_unit_test(odd_log_gives_the_events_and_arguments_of_libauparse),
	    cmocka_unit_test(enriched_log_gives_the_events_and_arguments_of_libauparse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
