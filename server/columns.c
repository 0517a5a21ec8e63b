/*
 * Reads the searchable part of an Event in place: one pass, no allocation, unknown fields skipped.
 * Never decides whether an event is stored; it is, whatever is in it. Called by store_events.c for every new event.
 */
#include "server/columns.h"

#include <arpa/inet.h>
#include <string.h>

#include "server/text.h"
#include "server/wire.h"

/* Field numbers of proto/event.proto; test_server_columns compares them with the generated code. */
enum { EVENT_TIME_MS = 2, EVENT_SERIAL = 3, EVENT_PROCESS = 6, EVENT_DETAIL_FIRST = 16 };
enum { PROCESS_PID = 1, PROCESS_PPID = 2, PROCESS_UID = 3, PROCESS_EXECUTABLE = 9 };

/* Fields of one detail message that a summary uses; index is the field number. */
#define DETAIL_FIELDS 9

struct detail {
	uint64_t number[DETAIL_FIELDS];
	struct {
		const uint8_t *data;
		size_t len;
	} bytes[DETAIL_FIELDS];
};

static void
say_bytes(struct text *text, const struct detail *d, unsigned int field)
{
	text_add(text, d->bytes[field].data, d->bytes[field].len);
}

/* Read the fields of a detail message; of repeated ones the last. Returns 0, or -1 when malformed. */
static int
detail_read(const uint8_t *data, size_t len, struct detail *d)
{
	struct wire w = wire_open(data, len);
	struct wire_field field;
	int r;

	memset(d, 0, sizeof(*d));
	while ((r = wire_next(&w, &field)) > 0) {
		if (field.number >= DETAIL_FIELDS)
			continue;
		d->number[field.number] = field.value;
		d->bytes[field.number].data = field.data;
		d->bytes[field.number].len = field.len;
	}
	return r;
}

/* ProcessStart: the arguments, separated by blanks. */
static int
say_process_start(struct text *text, const uint8_t *data, size_t len)
{
	enum { START_ARGS = 1 };
	struct wire w = wire_open(data, len);
	struct wire_field field;
	int r;

	while ((r = wire_next(&w, &field)) > 0) {
		if (field.number != START_ARGS || field.type != WIRE_BYTES)
			continue;
		if (text->len > 0)
			text_say(text, " ");
		text_add(text, field.data, field.len);
	}
	return r;
}

static int
say_process_end(struct text *text, const uint8_t *data, size_t len)
{
	enum { END_EXIT_CODE = 1, END_SIGNAL = 2 };
	struct detail d;
	int r = detail_read(data, len, &d);

	text_say(text, d.number[END_SIGNAL] != 0 ? "signal " : "exit ");
	text_number(text, d.number[END_SIGNAL] != 0 ? d.number[END_SIGNAL] : (uint32_t)d.number[END_EXIT_CODE]);
	return r;
}

/* Endpoint: 10.0.0.5:443, [::1]:443 or a path. */
static int
say_endpoint(struct text *text, const uint8_t *data, size_t len)
{
	enum { ENDPOINT_ADDRESS = 1, ENDPOINT_PORT = 2, ENDPOINT_PATH = 3 };
	char address[INET6_ADDRSTRLEN];
	struct detail d;
	int r = detail_read(data, len, &d);
	bool is_v6 = d.bytes[ENDPOINT_ADDRESS].len == 16;

	if (d.bytes[ENDPOINT_PATH].len > 0) {
		say_bytes(text, &d, ENDPOINT_PATH);
		return r;
	}
	if (d.bytes[ENDPOINT_ADDRESS].len != 4 && !is_v6)
		return r;
	(void)inet_ntop(is_v6 ? AF_INET6 : AF_INET, d.bytes[ENDPOINT_ADDRESS].data, address, sizeof(address));
	text_say(text, is_v6 ? "[" : "");
	text_say(text, address);
	text_say(text, is_v6 ? "]:" : ":");
	text_number(text, d.number[ENDPOINT_PORT]);
	return r;
}

static int
say_connection(struct text *text, const uint8_t *data, size_t len)
{
	enum { CONNECTION_DIRECTION = 1, CONNECTION_REMOTE = 3, DIRECTION_INBOUND = 2 };
	struct detail d;
	int r = detail_read(data, len, &d);

	text_say(text, d.number[CONNECTION_DIRECTION] == DIRECTION_INBOUND ? "from " : "to ");
	if (say_endpoint(text, d.bytes[CONNECTION_REMOTE].data, d.bytes[CONNECTION_REMOTE].len) < 0)
		r = -1;
	return r;
}

static int
say_port_listen(struct text *text, const uint8_t *data, size_t len)
{
	enum { LISTEN_LOCAL = 2 };
	struct detail d;
	int r = detail_read(data, len, &d);

	if (say_endpoint(text, d.bytes[LISTEN_LOCAL].data, d.bytes[LISTEN_LOCAL].len) < 0)
		r = -1;
	return r;
}

static int
say_file_change(struct text *text, const uint8_t *data, size_t len)
{
	enum { FILE_ACTION = 1, FILE_PATH = 2, FILE_TARGET = 3 };
	static const char *const actions[] = {"", "create ", "modify ", "rename ", "delete ", "permission "};
	struct detail d;
	int r = detail_read(data, len, &d);

	if (d.number[FILE_ACTION] < sizeof(actions) / sizeof(actions[0]))
		text_say(text, actions[d.number[FILE_ACTION]]);
	say_bytes(text, &d, FILE_PATH);
	if (d.bytes[FILE_TARGET].len > 0) {
		text_say(text, " -> ");
		say_bytes(text, &d, FILE_TARGET);
	}
	return r;
}

static int
say_module(struct text *text, const uint8_t *data, size_t len)
{
	enum { MODULE_NAME = 1, MODULE_PATH = 2, MODULE_UNLOAD = 3 };
	struct detail d;
	int r = detail_read(data, len, &d);

	text_say(text, d.number[MODULE_UNLOAD] != 0 ? "unload " : "load ");
	say_bytes(text, &d, d.bytes[MODULE_PATH].len > 0 ? MODULE_PATH : MODULE_NAME);
	return r;
}

static int
say_logon(struct text *text, const uint8_t *data, size_t len)
{
	enum { LOGON_ACTION = 1, LOGON_ACCOUNT = 2, LOGON_REMOTE_HOST = 3 };
	static const char *const actions[] = {
	    "", "logon ", "logoff ", "authentication ", "session start ", "session end "};
	struct detail d;
	int r = detail_read(data, len, &d);

	if (d.number[LOGON_ACTION] < sizeof(actions) / sizeof(actions[0]))
		text_say(text, actions[d.number[LOGON_ACTION]]);
	say_bytes(text, &d, LOGON_ACCOUNT);
	if (d.bytes[LOGON_REMOTE_HOST].len > 0) {
		text_say(text, " from ");
		say_bytes(text, &d, LOGON_REMOTE_HOST);
	}
	return r;
}

static int
say_loss(struct text *text, const uint8_t *data, size_t len)
{
	enum { LOSS_EVENTS = 2, LOSS_DETAIL = 8 };
	struct detail d;
	int r = detail_read(data, len, &d);

	text_number(text, d.number[LOSS_EVENTS]);
	text_say(text, " events lost ");
	say_bytes(text, &d, LOSS_DETAIL);
	return r;
}

/* By field number in the oneof of Event, from EVENT_DETAIL_FIRST on. */
static int (*const sayers[])(struct text *text, const uint8_t *data, size_t len) = {
    say_process_start,
    say_process_end,
    say_connection,
    say_port_listen,
    say_file_change,
    say_module,
    say_logon,
    say_loss,
};

static int
read_process(struct columns *c, const uint8_t *data, size_t len)
{
	struct wire w = wire_open(data, len);
	struct wire_field field;
	int r;

	c->has_process = true;
	while ((r = wire_next(&w, &field)) > 0) {
		switch (field.number) {
		case PROCESS_PID:
			c->pid = (uint32_t)field.value;
			break;
		case PROCESS_PPID:
			c->ppid = (uint32_t)field.value;
			break;
		case PROCESS_UID:
			c->uid = (uint32_t)field.value;
			break;
		case PROCESS_EXECUTABLE:
			c->executable.len = 0;
			text_add(&c->executable, field.data, field.len);
			break;
		default:
			break;
		}
	}
	return r;
}

/* One field of Event. Returns 0, or negative when what it holds is malformed. */
static int
read_field(struct columns *c, const struct wire_field *field)
{
	if (field->number == EVENT_TIME_MS && field->type == WIRE_VARINT) {
		c->time_ms = field->value;
		return 0;
	}
	if (field->number == EVENT_SERIAL && field->type == WIRE_VARINT) {
		c->serial = field->value;
		return 0;
	}
	if (field->type != WIRE_BYTES)
		return 0;
	if (field->number == EVENT_PROCESS)
		return read_process(c, field->data, field->len);
	if (field->number >= EVENT_DETAIL_FIRST &&
	    field->number - EVENT_DETAIL_FIRST < sizeof(sayers) / sizeof(sayers[0])) {
		c->summary.len = 0;
		return sayers[field->number - EVENT_DETAIL_FIRST](&c->summary, field->data, field->len);
	}
	return 0;
}

void
columns_read(const uint8_t *event, size_t len, struct columns *ret)
{
	struct wire w = wire_open(event, len);
	struct wire_field field;
	int r;

	ret->time_ms = ret->serial = 0;
	ret->pid = ret->ppid = ret->uid = 0;
	ret->has_process = ret->malformed = false;
	ret->executable = text_open(ret->executable_buf, sizeof(ret->executable_buf));
	ret->summary = text_open(ret->summary_buf, sizeof(ret->summary_buf));
	while ((r = wire_next(&w, &field)) > 0) {
		if (read_field(ret, &field) < 0)
			ret->malformed = true;
	}
	if (r < 0)
		ret->malformed = true;
}
