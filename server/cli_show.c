/*
 * hosts, events, commands: what the database holds, as lines for people or one JSON object per line. Only reads.
 * Called by cli.c.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/ecs.h"
#include "common/limits.h"
#include "common/pb.h"
#include "server/cli.h"

/* Milliseconds between two looks of --follow. */
#define FOLLOW_MS 200u

/* Events per look of --follow. */
#define FOLLOW_BATCH 1000u

/* Bytes of memory to unpack one event: its largest size, its parts and their pointers. */
#define EVENT_BUDGET MIB(4)

/* Bytes of one line of text about an event. */
#define LINE_BYTES 4096u

static void
print_json(json_t *o)
{
	(void)json_dumpf(o, stdout, JSON_COMPACT);
	(void)putchar('\n');
	json_decref(o);
}

/* "a b c" as a JSON array. */
static json_t *
json_words(const char *text)
{
	json_t *array = json_array();

	while (*text != '\0') {
		size_t n = strcspn(text, " ");

		(void)json_array_append_new(array, json_stringn(text, n));
		text += n;
		text += strspn(text, " ");
	}
	return array;
}

/* "Name=state Name=state" as a JSON object. */
static json_t *
json_tasks(const char *text)
{
	json_t *object = json_object();

	while (*text != '\0') {
		size_t n = strcspn(text, " "), name = strcspn(text, "= ");

		if (text[name] == '=') {
			AUTO_FREE char *key = strndup(text, name);

			if (key != NULL)
				(void)json_object_set_new(object, key, json_stringn(text + name + 1, n - name - 1));
		}
		text += n;
		text += strspn(text, " ");
	}
	return object;
}

/* ---- hosts ---- */

static void
print_host_json(const struct store_host *h)
{
	const struct store_host_state *s = &h->state;
	json_t *isolation =
	    json_pack("{s:s, s:I, s:I, s:s}", "state", s->isolation, "since_ms", (json_int_t)s->isolation_since_ms,
		"until_ms", (json_int_t)s->isolation_until_ms, "detail", s->isolation_detail);
	json_t *o = json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:o, s:o}", "agent_id", h->agent_id,
	    "name", s->name, "subject", h->subject, "addresses", json_words(s->addresses), "macs", json_words(s->macs),
	    "os_name", s->os_name, "os_version", s->os_version, "kernel", s->kernel, "agent_version", s->agent_version,
	    "tasks", json_tasks(s->tasks), "isolation", isolation);
	const struct {
		const char *key;
		json_int_t value;
	} numbers[] = {
	    {"settings_revision", (json_int_t)s->settings_revision},
	    {"spooled_events", (json_int_t)h->spooled_events},
	    {"clock_offset_ms", (json_int_t)h->clock_offset_ms},
	    {"first_seen_ms", (json_int_t)h->first_seen_ms},
	    {"last_seen_ms", (json_int_t)h->last_seen_ms},
	    {"events", (json_int_t)h->events},
	    {"duplicates", (json_int_t)h->duplicates},
	    {"malformed", (json_int_t)h->malformed},
	};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		(void)json_object_set_new(o, numbers[i].key, json_integer(numbers[i].value));
	print_json(o);
}

static int
print_host(const struct store_host *h, void *ctx)
{
	const struct cli *cli = ctx;
	char seen[CLI_TIME_BYTES];

	if (cli->json)
		print_host_json(h);
	else
		(void)printf("%-20s %-36s %-24s %-9s %10" PRIu64 " %8" PRIu64 " %-15s %s\n", h->state.name, h->agent_id,
		    cli_time(h->last_seen_ms, seen), h->state.isolation[0] != '\0' ? h->state.isolation : "-",
		    h->events, h->spooled_events, h->state.addresses[0] != '\0' ? h->state.addresses : "-",
		    h->state.tasks[0] != '\0' ? h->state.tasks : "-");
	return 0;
}

int
cli_hosts(struct cli *cli)
{
	if (!cli->json)
		(void)printf("%-20s %-36s %-24s %-9s %10s %8s %-15s %s\n", "NAME", "AGENT", "LAST SEEN", "ISOLATION",
		    "EVENTS", "SPOOLED", "ADDRESSES", "TASKS");
	int n = store_hosts_each(cli->store, print_host, cli);
	return n < 0 ? cli_say_store(cli) : SERVER_EXIT_OK;
}

/* ---- events ---- */

struct printer {
	const struct cli *cli;
	int64_t last_id;
};

/* An event that this program cannot read: from a newer agent, or damaged. Its columns are all there is to say. */
static void
print_unread(const struct cli *cli, const struct store_event *e)
{
	const char *type = ecs_type_name((Picket__V1__EventType)e->type);
	char when[CLI_TIME_BYTES], epoch[24], sequence[24]; /* bytes: 64 bits in decimal */

	(void)cli_time(e->time_ms, when);
	if (!cli->json) {
		(void)printf("%s %s  %s  unreadable event of type %" PRIu64 "  pid %" PRIu32 "  %s %s\n", when,
		    e->host_name, type, e->type, e->pid, e->executable, e->summary);
		return;
	}
	(void)snprintf(epoch, sizeof(epoch), "%" PRIu64, e->epoch);
	(void)snprintf(sequence, sizeof(sequence), "%" PRIu64, e->sequence);
	print_json(json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s}, s:{s:s, s:s, s:I, s:b, s:s}}", "@timestamp", when,
	    "message", e->summary, "host", "name", e->host_name, "id", e->agent_id, "agent", "id", e->agent_id,
	    "picket", "epoch", epoch, "sequence", sequence, "type_number", (json_int_t)e->type, "unreadable", 1, "type",
	    type));
}

static int
print_event(const struct store_event *e, void *ctx)
{
	struct printer *printer = ctx;
	struct pb_arena *arena = NULL;
	const char *why;
	char line[LINE_BYTES], when[CLI_TIME_BYTES];
	const Picket__V1__Event *event = (const Picket__V1__Event *)pb_unpack(
	    &picket__v1__event__descriptor, e->bytes, e->len, EVENT_BUDGET, &arena, &why);

	printer->last_id = e->id;
	if (event == NULL) {
		print_unread(printer->cli, e);
	} else if (printer->cli->json) {
		const struct ecs_meta meta = {e->host_name, e->agent_id, e->epoch, e->sequence};

		(void)ecs_write(stdout, event, &meta);
	} else {
		(void)ecs_summary(line, sizeof(line), event);
		(void)printf("%s %s  %s\n", cli_time(e->time_ms, when), e->host_name, line);
	}
	pb_arena_free(arena);
	return ferror(stdout);
}

/* A type by name, or by number for those this program does not know. Returns 0, or SERVER_EXIT_VALUE after saying why.
 */
static int
parse_type(const char *text, int64_t *ret)
{
	const ProtobufCEnumDescriptor *types = &picket__v1__event_type__descriptor;
	char *end;

	for (unsigned int i = 0; i < types->n_values; i++) {
		int value = types->values[i].value;

		if (value != 0 && strcmp(ecs_type_name((Picket__V1__EventType)value), text) == 0) {
			*ret = value;
			return 0;
		}
	}
	*ret = strtol(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && *end == '\0')
		return 0;
	(void)fprintf(stderr, "picket-server: --type %s: it must be a number or one of", text);
	for (unsigned int i = 0; i < types->n_values; i++) {
		if (types->values[i].value != 0)
			(void)fprintf(stderr, " %s", ecs_type_name((Picket__V1__EventType)types->values[i].value));
	}
	(void)fputc('\n', stderr);
	return SERVER_EXIT_VALUE;
}

/* Print later arrivals until the reader goes away. */
static int
follow(struct cli *cli, struct store_event_query *query, struct printer *printer)
{
	const struct timespec pause = {.tv_nsec = FOLLOW_MS * 1000000L};

	query->limit = FOLLOW_BATCH;
	query->since_ms = query->until_ms = 0;
	for (;;) {
		query->after_id = printer->last_id;
		int n = store_events_each(cli->store, query, print_event, printer);
		if (n < 0)
			return cli_say_store(cli);
		if (fflush(stdout) != 0)
			return SERVER_EXIT_OTHER;
		if (n < (int)FOLLOW_BATCH)
			(void)nanosleep(&pause, NULL);
	}
}

int
cli_events(struct cli *cli)
{
	struct printer printer = {.cli = cli};
	struct store_event_query query = {
	    .type = -1,
	    .since_ms = cli->since_ms,
	    .until_ms = cli->until_ms,
	    .text = cli->text,
	    .after_id = -1,
	    .limit = cli->limit,
	};
	char agent_id[LIM_ID_BYTES + 1];
	int64_t newest = 0;
	int r = cli->host != NULL ? cli_find_host(cli, cli->host, &query.host, agent_id, sizeof(agent_id)) : 0;

	if (r == 0 && cli->type != NULL)
		r = parse_type(cli->type, &query.type);
	if (r != 0)
		return r;
	/* Asked before the list: what arrives meanwhile is then shown twice rather than never. */
	if (store_events_last(cli->store, &newest) < 0 ||
	    store_events_each(cli->store, &query, print_event, &printer) < 0)
		return cli_say_store(cli);
	if (!cli->follow)
		return SERVER_EXIT_OK;
	printer.last_id = newest;
	return follow(cli, &query, &printer);
}

/* ---- commands ---- */

static int
print_command(const struct store_command *c, void *ctx)
{
	const struct cli *cli = ctx;
	char created[CLI_TIME_BYTES];

	if (!cli->json) {
		(void)printf("%s  %s  %-36s  %-8s  %-7s  %s\n", cli_time(c->created_ms, created), c->id, c->agent_id,
		    c->kind, store_command_state_name(c->state), c->result);
		return 0;
	}
	print_json(json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "id", c->id, "agent_id", c->agent_id,
	    "kind", c->kind, "state", store_command_state_name(c->state), "result", c->result, "created_ms",
	    (json_int_t)c->created_ms, "expires_ms", (json_int_t)c->expires_ms, "sent_ms", (json_int_t)c->sent_ms,
	    "sent_count", (json_int_t)c->sent_count, "finished_ms", (json_int_t)c->finished_ms));
	return 0;
}

int
cli_commands(struct cli *cli)
{
	const char *id = cli->n_args > 0 ? cli->args[0] : NULL;
	char agent_id[LIM_ID_BYTES + 1];
	int64_t host = 0;
	int r = cli->host != NULL ? cli_find_host(cli, cli->host, &host, agent_id, sizeof(agent_id)) : 0;

	if (r != 0)
		return r;
	int n = store_commands_each(cli->store, id, host, cli->limit, print_command, cli);
	if (n < 0)
		return cli_say_store(cli);
	if (id != NULL && n == 0) {
		srv_complain("no command %s", id);
		return SERVER_EXIT_OTHER;
	}
	return SERVER_EXIT_OK;
}
