/*
 * Writes an event as one line of ECS JSON. Never reads anything but its argument and never allocates.
 * Called by collectord (--output ndjson), picketctl and the server.
 */
#include "common/ecs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"

/* Version of the schema the names come from. */
#define ECS_VERSION "8.11.0"

/* First character that stands for a stray byte, less the byte: U+EF80 stands for 0x80. */
#define STRAY_BASE 0xef00u

struct json {
	FILE *out;
	bool comma; /* the next member needs one before it */
};

size_t
ecs_utf8_length(const uint8_t *text, size_t len)
{
	uint8_t c = text[0];
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;

	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] > 0x9f) || (c == 0xf0 && text[1] < 0x90) ||
	    (c == 0xf4 && text[1] > 0x8f))
		return 0;
	return n;
}

/* U+EF80..U+EFFF, the characters that stand for stray bytes: EE BE 80 .. EE BF BF in UTF-8. */
static bool
is_stray_mark(const uint8_t *text, size_t n)
{
	return n == 3 && text[0] == 0xee && text[1] >= 0xbe;
}

/* The inside of a string: escapes, and stray bytes as the header says. */
static void
put_escaped(struct json *j, const uint8_t *text, size_t len)
{
	size_t plain = 0;

	for (size_t i = 0; i < len;) {
		uint8_t c = text[i];
		size_t n = c >= 0x20 && c < 0x7f ? 1 : ecs_utf8_length(text + i, len - i);

		if (n > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && !is_stray_mark(text + i, n)) {
			i += n;
			continue;
		}
		(void)fwrite_unlocked(text + plain, 1, i - plain, j->out);
		if (c == '"' || c == '\\')
			(void)fprintf(j->out, "\\%c", c);
		else
			(void)fprintf(j->out, "\\u%04x", c < 0x80 ? c : STRAY_BASE + c);
		plain = ++i;
	}
	(void)fwrite_unlocked(text + plain, 1, len - plain, j->out);
}

static void
put_string(struct json *j, const void *text, size_t len)
{
	(void)putc_unlocked('"', j->out);
	put_escaped(j, text, len);
	(void)putc_unlocked('"', j->out);
}

static void
put_separator(struct json *j)
{
	if (j->comma)
		(void)putc_unlocked(',', j->out);
	j->comma = true;
}

static void
put_key(struct json *j, const char *key)
{
	put_separator(j);
	(void)fprintf(j->out, "\"%s\":", key);
}

static void
open_member(struct json *j, const char *key, char bracket)
{
	put_key(j, key);
	(void)putc_unlocked(bracket, j->out);
	j->comma = false;
}

static void
close_member(struct json *j, char bracket)
{
	(void)putc_unlocked(bracket, j->out);
	j->comma = true;
}

static void
member_text(struct json *j, const char *key, const char *text)
{
	put_key(j, key);
	put_string(j, text, strlen(text));
}

/* Left out when empty: absent and empty are the same in our events. */
static void
member_bytes(struct json *j, const char *key, ProtobufCBinaryData value)
{
	if (value.len == 0)
		return;
	put_key(j, key);
	put_string(j, value.data, value.len);
}

static void
member_number(struct json *j, const char *key, uint64_t value)
{
	put_key(j, key);
	(void)fprintf(j->out, "%" PRIu64, value);
}

/* ECS keeps ids as keywords. */
static void
member_id(struct json *j, const char *key, uint64_t value)
{
	put_key(j, key);
	(void)fprintf(j->out, "\"%" PRIu64 "\"", value);
}

static void
member_hex_id(struct json *j, const char *key, uint64_t value)
{
	if (value == 0)
		return;
	put_key(j, key);
	(void)fprintf(j->out, "\"%016" PRIx64 "\"", value);
}

static void
member_bool(struct json *j, const char *key, bool value)
{
	put_key(j, key);
	(void)fputs(value ? "true" : "false", j->out);
}

static void
member_address(struct json *j, const char *key, ProtobufCBinaryData address)
{
	char text[INET6_ADDRSTRLEN];

	if ((address.len == 4 || address.len == 16) &&
	    inet_ntop(address.len == 4 ? AF_INET : AF_INET6, address.data, text, sizeof(text)) != NULL)
		member_text(j, key, text);
}

/* What kind of thing each event type is in ECS. `action` and `type` of some depend on the detail. */
struct ecs_class {
	const char *name;     /* as an analyst filters */
	const char *category; /* NULL: none */
	const char *type;
	const char *action;
};

static const struct ecs_class classes[] = {
    /* clang-format off */
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_UNSPECIFIED]       = {"unknown",           NULL,             "info",       "unknown"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS]           = {"process",           "process",        "start",      "exec"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS_TERMINATE] = {"process_terminate", "process",        "end",        "exit"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_CONNECTION]        = {"connection",        "network",        "connection", "connect"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_PORTLISTEN]        = {"portlisten",        "network",        "info",       "listen"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_FILECHANGE]        = {"filechange",        "file",           "change",     "modify"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_MODULE]            = {"module",            "driver",         "start",      "load"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_LOGON]             = {"logon",             "authentication", "info",       "authentication"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_LOSS]              = {"loss",              NULL,             "error",      "loss"},
    /* clang-format on */
};

static const struct ecs_class file_classes[] = {
    [PICKET__V1__FILE_ACTION__FILE_ACTION_UNSPECIFIED] = {"", "file", "change", "modify"},
    [PICKET__V1__FILE_ACTION__FILE_ACTION_CREATE] = {"", "file", "creation", "create"},
    [PICKET__V1__FILE_ACTION__FILE_ACTION_MODIFY] = {"", "file", "change", "modify"},
    [PICKET__V1__FILE_ACTION__FILE_ACTION_RENAME] = {"", "file", "change", "rename"},
    [PICKET__V1__FILE_ACTION__FILE_ACTION_DELETE] = {"", "file", "deletion", "delete"},
    [PICKET__V1__FILE_ACTION__FILE_ACTION_PERMISSION] = {"", "file", "change", "permission"},
};

static const struct ecs_class logon_classes[] = {
    [PICKET__V1__LOGON_ACTION__LOGON_ACTION_UNSPECIFIED] = {"", "authentication", "info", "authentication"},
    [PICKET__V1__LOGON_ACTION__LOGON_ACTION_LOGON] = {"", "authentication", "start", "logon"},
    [PICKET__V1__LOGON_ACTION__LOGON_ACTION_LOGOFF] = {"", "authentication", "end", "logoff"},
    [PICKET__V1__LOGON_ACTION__LOGON_ACTION_AUTHENTICATION] = {"", "authentication", "info", "authentication"},
    [PICKET__V1__LOGON_ACTION__LOGON_ACTION_SESSION_START] = {"", "session", "start", "session-start"},
    [PICKET__V1__LOGON_ACTION__LOGON_ACTION_SESSION_END] = {"", "session", "end", "session-end"},
};

const char *
ecs_type_name(Picket__V1__EventType type)
{
	return (size_t)type < ARRAY_LEN(classes) ? classes[type].name : "unknown";
}

/* A row of a table by a number from outside: the first row for one that has none. */
static const struct ecs_class *
class_row(const struct ecs_class *rows, size_t n, size_t i)
{
	return &rows[i < n ? i : 0];
}

static struct ecs_class
class_of(const Picket__V1__Event *e)
{
	struct ecs_class c = *class_row(classes, ARRAY_LEN(classes), (size_t)e->type);

	switch (e->detail_case) {
	case PICKET__V1__EVENT__DETAIL_FILE_CHANGE:
		c = *class_row(file_classes, ARRAY_LEN(file_classes), (size_t)e->file_change->action);
		break;
	case PICKET__V1__EVENT__DETAIL_LOGON:
		c = *class_row(logon_classes, ARRAY_LEN(logon_classes), (size_t)e->logon->action);
		break;
	case PICKET__V1__EVENT__DETAIL_CONNECTION:
		if (e->connection->direction == PICKET__V1__NET_DIRECTION__NET_DIRECTION_INBOUND)
			c.action = "accept";
		break;
	case PICKET__V1__EVENT__DETAIL_PORT_LISTEN:
		if (e->port_listen->bound_only)
			c.action = "bind";
		break;
	case PICKET__V1__EVENT__DETAIL_MODULE:
		if (e->module->unload) {
			c.type = "end";
			c.action = "unload";
		}
		break;
	default:
		break;
	}
	return c;
}

/* Days since 1970 to a date (Howard Hinnant, chrono-compatible date algorithms): gmtime() would look for a time zone
 * file. */
static void
civil_date(uint64_t days, unsigned int *ret_year, unsigned int *ret_month, unsigned int *ret_day)
{
	uint64_t z = days + 719468; /* days from 0000-03-01 to 1970-01-01 */
	uint64_t era = z / 146097;  /* 400 years */
	uint64_t doe = z % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint64_t mp = (5 * doy + 2) / 153; /* month from March */

	*ret_day = (unsigned int)(doy - (153 * mp + 2) / 5 + 1);
	*ret_month = (unsigned int)(mp < 10 ? mp + 3 : mp - 9);
	*ret_year = (unsigned int)(yoe + era * 400 + (*ret_month <= 2));
}

static void
put_timestamp(struct json *j, uint64_t time_ms)
{
	unsigned int year, month, day;
	uint64_t s = time_ms / 1000;

	civil_date(s / 86400, &year, &month, &day);
	put_key(j, "@timestamp");
	(void)fprintf(j->out, "\"%04u-%02u-%02uT%02u:%02u:%02u.%03uZ\"", year, month, day,
	    (unsigned int)(s / 3600 % 24), (unsigned int)(s / 60 % 60), (unsigned int)(s % 60),
	    (unsigned int)(time_ms % 1000));
}

static void
put_event(struct json *j, const Picket__V1__Event *e, const struct ecs_meta *meta)
{
	static const char *const outcomes[] = {NULL, "success", "failure", "unknown"};
	const struct ecs_class c = class_of(e);

	open_member(j, "event", '{');
	member_text(j, "kind", e->type == PICKET__V1__EVENT_TYPE__EVENT_TYPE_LOSS ? "pipeline_error" : "event");
	if (c.category != NULL) {
		open_member(j, "category", '[');
		put_separator(j);
		put_string(j, c.category, strlen(c.category));
		close_member(j, ']');
	}
	open_member(j, "type", '[');
	put_separator(j);
	put_string(j, c.type, strlen(c.type));
	if (e->type == PICKET__V1__EVENT_TYPE__EVENT_TYPE_CONNECTION) {
		put_separator(j);
		put_string(j, "start", 5);
	}
	close_member(j, ']');
	member_text(j, "action", c.action);
	if ((size_t)e->outcome < ARRAY_LEN(outcomes) && outcomes[e->outcome] != NULL)
		member_text(j, "outcome", outcomes[e->outcome]);
	member_text(j, "code", ecs_type_name(e->type));
	if (meta != NULL && meta->sequence != 0)
		member_number(j, "sequence", meta->sequence);
	close_member(j, '}');
}

static void
put_source(struct json *j, const struct ecs_meta *meta)
{
	open_member(j, "ecs", '{');
	member_text(j, "version", ECS_VERSION);
	close_member(j, '}');
	if (meta == NULL)
		return;
	if (meta->host_name != NULL) {
		open_member(j, "host", '{');
		member_text(j, "name", meta->host_name);
		close_member(j, '}');
	}
	if (meta->agent_id != NULL) {
		open_member(j, "agent", '{');
		member_text(j, "id", meta->agent_id);
		member_text(j, "type", "picket");
		close_member(j, '}');
	}
}

static void
put_arguments(struct json *j, const Picket__V1__ProcessStart *start)
{
	open_member(j, "args", '[');
	for (size_t i = 0; i < start->n_args; i++) {
		put_separator(j);
		put_string(j, start->args[i].data, start->args[i].len);
	}
	close_member(j, ']');
	member_number(j, "args_count", start->argc);
	put_key(j, "command_line");
	(void)putc_unlocked('"', j->out);
	for (size_t i = 0; i < start->n_args; i++) {
		if (i > 0)
			(void)putc_unlocked(' ', j->out);
		put_escaped(j, start->args[i].data, start->args[i].len);
	}
	(void)putc_unlocked('"', j->out);
	member_bytes(j, "working_directory", start->working_directory);
}

static void
put_process(struct json *j, const Picket__V1__Event *e)
{
	const Picket__V1__Process *p = e->process;

	if (p == NULL)
		return;
	open_member(j, "process", '{');
	member_hex_id(j, "entity_id", p->unique_id);
	member_number(j, "pid", p->pid);
	member_bytes(j, "name", p->name);
	member_bytes(j, "executable", p->executable);
	if (p->ppid != 0) {
		open_member(j, "parent", '{');
		member_hex_id(j, "entity_id", p->parent_unique_id);
		member_number(j, "pid", p->ppid);
		close_member(j, '}');
	}
	open_member(j, "user", '{');
	member_id(j, "id", p->euid);
	close_member(j, '}');
	open_member(j, "real_user", '{');
	member_id(j, "id", p->uid);
	close_member(j, '}');
	open_member(j, "group", '{');
	member_id(j, "id", p->egid);
	close_member(j, '}');
	open_member(j, "real_group", '{');
	member_id(j, "id", p->gid);
	close_member(j, '}');
	if (e->detail_case == PICKET__V1__EVENT__DETAIL_PROCESS_START)
		put_arguments(j, e->process_start);
	if (e->detail_case == PICKET__V1__EVENT__DETAIL_PROCESS_END) {
		put_key(j, "exit_code");
		(void)fprintf(j->out, "%" PRId32, e->process_end->exit_code);
	}
	close_member(j, '}');
}

/* "user" is who acted; the login user (auid) stays the same through su and sudo. */
static void
put_user(struct json *j, const Picket__V1__Event *e)
{
	const Picket__V1__Process *p = e->process;

	if (p == NULL)
		return;
	open_member(j, "user", '{');
	member_id(j, "id", p->uid);
	if (e->detail_case == PICKET__V1__EVENT__DETAIL_LOGON)
		member_bytes(j, "name", e->logon->account);
	open_member(j, "effective", '{');
	member_id(j, "id", p->euid);
	close_member(j, '}');
	if (p->auid != UINT32_MAX) {
		open_member(j, "audit", '{');
		member_id(j, "id", p->auid);
		close_member(j, '}');
	}
	close_member(j, '}');
}

static void
put_endpoint(struct json *j, const char *key, const Picket__V1__Endpoint *endpoint)
{
	if (endpoint == NULL)
		return;
	open_member(j, key, '{');
	member_address(j, "ip", endpoint->address);
	if (endpoint->address.len > 0)
		member_number(j, "port", endpoint->port);
	member_bytes(j, "address", endpoint->path);
	close_member(j, '}');
}

static void
put_network(struct json *j, uint32_t family, uint32_t protocol, const char *direction)
{
	open_member(j, "network", '{');
	if (family == AF_INET || family == AF_INET6)
		member_text(j, "type", family == AF_INET ? "ipv4" : "ipv6");
	else if (family == AF_UNIX)
		member_text(j, "type", "unix");
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)
		member_text(j, "transport", protocol == IPPROTO_TCP ? "tcp" : "udp");
	if (direction != NULL)
		member_text(j, "direction", direction);
	close_member(j, '}');
}

static void
put_connection(struct json *j, const Picket__V1__Connection *c)
{
	bool inbound = c->direction == PICKET__V1__NET_DIRECTION__NET_DIRECTION_INBOUND;

	put_network(j, c->family, c->protocol, inbound ? "ingress" : "egress");
	put_endpoint(j, "source", inbound ? c->remote : c->local);
	put_endpoint(j, "destination", inbound ? c->local : c->remote);
}

static void
put_file(struct json *j, const Picket__V1__FileChange *f)
{
	open_member(j, "file", '{');
	member_bytes(j, "path", f->path);
	member_bytes(j, "target_path", f->target_path);
	if (f->inode != 0) {
		member_id(j, "inode", f->inode);
		put_key(j, "device");
		(void)fprintf(j->out, "\"%" PRIx32 ":%" PRIx32 "\"", f->device_major, f->device_minor);
		member_id(j, "uid", f->owner_uid);
		member_id(j, "gid", f->owner_gid);
	}
	if (f->mode != 0) {
		put_key(j, "mode");
		(void)fprintf(j->out, "\"%04" PRIo32 "\"", f->mode & 07777);
	}
	close_member(j, '}');
}

static void
put_logon(struct json *j, const Picket__V1__Logon *l)
{
	if (l->remote_host.len == 0)
		return;
	open_member(j, "source", '{');
	member_bytes(j, "address", l->remote_host);
	close_member(j, '}');
}

static void
put_loss(struct json *j, const Picket__V1__Loss *l)
{
	static const char *const stages[] = {"unknown", "kernel", "serial", "restart", "queue", "spool"};

	open_member(j, "loss", '{');
	member_text(j, "stage", stages[(size_t)l->stage < ARRAY_LEN(stages) ? l->stage : 0]);
	member_number(j, "events", l->events);
	member_bool(j, "upper_bound", l->upper_bound);
	if (l->first_serial != 0 || l->last_serial != 0) {
		member_number(j, "first_serial", l->first_serial);
		member_number(j, "last_serial", l->last_serial);
	}
	if (l->epoch != 0) {
		member_id(j, "epoch", l->epoch);
		member_number(j, "first_sequence", l->first_sequence);
		member_number(j, "last_sequence", l->last_sequence);
	}
	member_bytes(j, "detail", l->detail);
	close_member(j, '}');
}

/* What ECS has no field for. */
static void
put_picket(struct json *j, const Picket__V1__Event *e, const struct ecs_meta *meta)
{
	open_member(j, "picket", '{');
	member_text(j, "event_type", ecs_type_name(e->type));
	if (e->serial != 0)
		member_number(j, "serial", e->serial);
	member_bytes(j, "syscall", e->syscall);
	if (meta != NULL && meta->epoch != 0)
		member_id(j, "epoch", meta->epoch);
	if (e->process != NULL) {
		if (e->process->session != UINT32_MAX)
			member_number(j, "session", e->process->session);
		member_bytes(j, "tty", e->process->tty);
	}
	switch (e->detail_case) {
	case PICKET__V1__EVENT__DETAIL_PROCESS_START:
		member_bytes(j, "path", e->process_start->path);
		if (e->process_start->args_truncated)
			member_bool(j, "args_truncated", true);
		break;
	case PICKET__V1__EVENT__DETAIL_PROCESS_END:
		if (e->process_end->signal != 0)
			member_number(j, "signal", e->process_end->signal);
		member_hex_id(j, "start_entity_id", e->process_end->start_unique_id);
		break;
	case PICKET__V1__EVENT__DETAIL_FILE_CHANGE:
		if (e->file_change->directory_unknown)
			member_bool(j, "directory_unknown", true);
		break;
	case PICKET__V1__EVENT__DETAIL_MODULE:
		member_bytes(j, "module", e->module->name);
		break;
	case PICKET__V1__EVENT__DETAIL_LOGON:
		member_bytes(j, "operation", e->logon->operation);
		member_bytes(j, "program", e->logon->program);
		member_bytes(j, "terminal", e->logon->terminal);
		break;
	case PICKET__V1__EVENT__DETAIL_LOSS:
		put_loss(j, e->loss);
		break;
	default:
		break;
	}
	close_member(j, '}');
}

static void
put_detail(struct json *j, const Picket__V1__Event *e)
{
	switch (e->detail_case) {
	case PICKET__V1__EVENT__DETAIL_CONNECTION:
		put_connection(j, e->connection);
		break;
	case PICKET__V1__EVENT__DETAIL_PORT_LISTEN:
		put_network(j, e->port_listen->family, 0, NULL);
		put_endpoint(j, "destination", e->port_listen->local);
		break;
	case PICKET__V1__EVENT__DETAIL_FILE_CHANGE:
		put_file(j, e->file_change);
		break;
	case PICKET__V1__EVENT__DETAIL_MODULE:
		open_member(j, "file", '{');
		member_bytes(j, "path", e->module->path);
		close_member(j, '}');
		break;
	case PICKET__V1__EVENT__DETAIL_LOGON:
		put_logon(j, e->logon);
		break;
	default:
		break;
	}
}

int
ecs_write(FILE *out, const Picket__V1__Event *event, const struct ecs_meta *meta)
{
	struct json j = {.out = out};

	(void)putc_unlocked('{', out);
	put_timestamp(&j, event->time_ms);
	put_event(&j, event, meta);
	put_process(&j, event);
	put_user(&j, event);
	put_detail(&j, event);
	if (event->error != 0) {
		const char *name = strerrorname_np((int)event->error);

		open_member(&j, "error", '{');
		member_id(&j, "code", event->error);
		if (name != NULL)
			member_text(&j, "message", name);
		close_member(&j, '}');
	}
	if (event->n_keys > 0) {
		open_member(&j, "rule", '{');
		open_member(&j, "name", '[');
		for (size_t i = 0; i < event->n_keys; i++) {
			put_separator(&j);
			put_string(&j, event->keys[i].data, event->keys[i].len);
		}
		close_member(&j, ']');
		close_member(&j, '}');
	}
	put_picket(&j, event, meta);
	put_source(&j, meta);
	(void)fputs("}\n", out);
	return ferror(out) ? -EIO : 0;
}
