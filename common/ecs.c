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
#include "common/ecs_json.h"

/* Version of the schema the names come from. */
#define ECS_VERSION "8.11.0"

/* What kind of thing each event type is in ECS. `action` and `type` of some depend on the detail. */
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
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS_ACCESS]    = {"process_access",    "process",        "access",     "attach"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_ACCOUNT]           = {"account",           "iam",            "change",     "user-change"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_AUDIT_CONFIG]      = {"audit_config",      "configuration",  "change",     "audit-setting"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_NETFILTER]         = {"netfilter",         "configuration",  "change",     "netfilter-change"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_BPF]               = {"bpf",               "driver",         "start",      "bpf-load"},
	[PICKET__V1__EVENT_TYPE__EVENT_TYPE_SECURITY]          = {"security",          "host",           "info",       "anomaly"},
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
		ecs_security_class(e, &c);
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
put_timestamp(struct ecs_json *j, uint64_t time_ms)
{
	unsigned int year, month, day;
	uint64_t s = time_ms / 1000;

	civil_date(s / 86400, &year, &month, &day);
	ecs_json_key(j, "@timestamp");
	(void)fprintf(j->out, "\"%04u-%02u-%02uT%02u:%02u:%02u.%03uZ\"", year, month, day,
	    (unsigned int)(s / 3600 % 24), (unsigned int)(s / 60 % 60), (unsigned int)(s % 60),
	    (unsigned int)(time_ms % 1000));
}

static void
put_event(struct ecs_json *j, const Picket__V1__Event *e, const struct ecs_meta *meta)
{
	static const char *const outcomes[] = {NULL, "success", "failure", "unknown"};
	const struct ecs_class c = class_of(e);

	ecs_json_open(j, "event", '{');
	ecs_json_text(j, "kind", e->type == PICKET__V1__EVENT_TYPE__EVENT_TYPE_LOSS ? "pipeline_error" : "event");
	if (c.category != NULL) {
		ecs_json_open(j, "category", '[');
		ecs_json_separator(j);
		ecs_json_string(j, c.category, strlen(c.category));
		ecs_json_close(j, ']');
	}
	ecs_json_open(j, "type", '[');
	ecs_json_separator(j);
	ecs_json_string(j, c.type, strlen(c.type));
	if (e->type == PICKET__V1__EVENT_TYPE__EVENT_TYPE_CONNECTION) {
		ecs_json_separator(j);
		ecs_json_string(j, "start", 5);
	}
	ecs_json_close(j, ']');
	ecs_json_text(j, "action", c.action);
	if ((size_t)e->outcome < ARRAY_LEN(outcomes) && outcomes[e->outcome] != NULL)
		ecs_json_text(j, "outcome", outcomes[e->outcome]);
	ecs_json_text(j, "code", ecs_type_name(e->type));
	if (meta != NULL && meta->sequence != 0)
		ecs_json_number(j, "sequence", meta->sequence);
	ecs_json_close(j, '}');
}

static void
put_source(struct ecs_json *j, const struct ecs_meta *meta)
{
	ecs_json_open(j, "ecs", '{');
	ecs_json_text(j, "version", ECS_VERSION);
	ecs_json_close(j, '}');
	if (meta == NULL)
		return;
	if (meta->host_name != NULL) {
		ecs_json_open(j, "host", '{');
		ecs_json_text(j, "name", meta->host_name);
		ecs_json_close(j, '}');
	}
	if (meta->agent_id != NULL) {
		ecs_json_open(j, "agent", '{');
		ecs_json_text(j, "id", meta->agent_id);
		ecs_json_text(j, "type", "picket");
		ecs_json_close(j, '}');
	}
}

static void
put_arguments(struct ecs_json *j, const Picket__V1__ProcessStart *start)
{
	ecs_json_open(j, "args", '[');
	for (size_t i = 0; i < start->n_args; i++) {
		ecs_json_separator(j);
		ecs_json_string(j, start->args[i].data, start->args[i].len);
	}
	ecs_json_close(j, ']');
	ecs_json_number(j, "args_count", start->argc);
	ecs_json_key(j, "command_line");
	(void)putc_unlocked('"', j->out);
	for (size_t i = 0; i < start->n_args; i++) {
		if (i > 0)
			(void)putc_unlocked(' ', j->out);
		ecs_json_escaped(j, start->args[i].data, start->args[i].len);
	}
	(void)putc_unlocked('"', j->out);
	ecs_json_bytes(j, "working_directory", start->working_directory);
}

static void
put_process(struct ecs_json *j, const Picket__V1__Event *e)
{
	const Picket__V1__Process *p = e->process;

	if (p == NULL)
		return;
	ecs_json_open(j, "process", '{');
	ecs_json_hex_id(j, "entity_id", p->unique_id);
	ecs_json_number(j, "pid", p->pid);
	ecs_json_bytes(j, "name", p->name);
	ecs_json_bytes(j, "executable", p->executable);
	if (p->image_md5.len > 0 || p->image_sha256.len > 0) {
		ecs_json_open(j, "hash", '{');
		ecs_json_hex(j, "md5", p->image_md5);
		ecs_json_hex(j, "sha256", p->image_sha256);
		ecs_json_close(j, '}');
	}
	if (p->ppid != 0) {
		ecs_json_open(j, "parent", '{');
		ecs_json_hex_id(j, "entity_id", p->parent_unique_id);
		ecs_json_number(j, "pid", p->ppid);
		ecs_json_close(j, '}');
	}
	ecs_json_open(j, "user", '{');
	ecs_json_id(j, "id", p->euid);
	ecs_json_close(j, '}');
	ecs_json_open(j, "real_user", '{');
	ecs_json_id(j, "id", p->uid);
	ecs_json_close(j, '}');
	ecs_json_open(j, "group", '{');
	ecs_json_id(j, "id", p->egid);
	ecs_json_close(j, '}');
	ecs_json_open(j, "real_group", '{');
	ecs_json_id(j, "id", p->gid);
	ecs_json_close(j, '}');
	if (e->detail_case == PICKET__V1__EVENT__DETAIL_PROCESS_START)
		put_arguments(j, e->process_start);
	if (e->detail_case == PICKET__V1__EVENT__DETAIL_PROCESS_END) {
		ecs_json_key(j, "exit_code");
		(void)fprintf(j->out, "%" PRId32, e->process_end->exit_code);
	}
	ecs_json_close(j, '}');
}

/* "user" is who acted; the login user (auid) stays the same through su and sudo. */
static void
put_user(struct ecs_json *j, const Picket__V1__Event *e)
{
	const Picket__V1__Process *p = e->process;

	if (p == NULL)
		return;
	ecs_json_open(j, "user", '{');
	ecs_json_id(j, "id", p->uid);
	if (e->detail_case == PICKET__V1__EVENT__DETAIL_LOGON)
		ecs_json_bytes(j, "name", e->logon->account);
	if (e->detail_case == PICKET__V1__EVENT__DETAIL_ACCOUNT_CHANGE && e->account_change->account.len > 0) {
		ecs_json_open(j, "target", '{');
		ecs_json_bytes(j, "name", e->account_change->account);
		ecs_json_close(j, '}');
	}
	ecs_json_open(j, "effective", '{');
	ecs_json_id(j, "id", p->euid);
	ecs_json_close(j, '}');
	if (p->auid != UINT32_MAX) {
		ecs_json_open(j, "audit", '{');
		ecs_json_id(j, "id", p->auid);
		ecs_json_close(j, '}');
	}
	ecs_json_close(j, '}');
}

static void
put_endpoint(struct ecs_json *j, const char *key, const Picket__V1__Endpoint *endpoint)
{
	if (endpoint == NULL)
		return;
	ecs_json_open(j, key, '{');
	ecs_json_address(j, "ip", endpoint->address);
	if (endpoint->address.len > 0)
		ecs_json_number(j, "port", endpoint->port);
	ecs_json_bytes(j, "address", endpoint->path);
	ecs_json_close(j, '}');
}

static void
put_network(struct ecs_json *j, uint32_t family, uint32_t protocol, const char *direction)
{
	ecs_json_open(j, "network", '{');
	if (family == AF_INET || family == AF_INET6)
		ecs_json_text(j, "type", family == AF_INET ? "ipv4" : "ipv6");
	else if (family == AF_UNIX)
		ecs_json_text(j, "type", "unix");
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)
		ecs_json_text(j, "transport", protocol == IPPROTO_TCP ? "tcp" : "udp");
	if (direction != NULL)
		ecs_json_text(j, "direction", direction);
	ecs_json_close(j, '}');
}

static void
put_connection(struct ecs_json *j, const Picket__V1__Connection *c)
{
	bool inbound = c->direction == PICKET__V1__NET_DIRECTION__NET_DIRECTION_INBOUND;

	put_network(j, c->family, c->protocol, inbound ? "ingress" : "egress");
	put_endpoint(j, "source", inbound ? c->remote : c->local);
	put_endpoint(j, "destination", inbound ? c->local : c->remote);
}

static void
put_file(struct ecs_json *j, const Picket__V1__FileChange *f)
{
	ecs_json_open(j, "file", '{');
	ecs_json_bytes(j, "path", f->path);
	ecs_json_bytes(j, "target_path", f->target_path);
	if (f->inode != 0) {
		ecs_json_id(j, "inode", f->inode);
		ecs_json_key(j, "device");
		(void)fprintf(j->out, "\"%" PRIx32 ":%" PRIx32 "\"", f->device_major, f->device_minor);
		ecs_json_id(j, "uid", f->owner_uid);
		ecs_json_id(j, "gid", f->owner_gid);
	}
	if (f->mode != 0) {
		ecs_json_key(j, "mode");
		(void)fprintf(j->out, "\"%04" PRIo32 "\"", f->mode & 07777);
	}
	ecs_json_close(j, '}');
}

static void
put_logon(struct ecs_json *j, const Picket__V1__Logon *l)
{
	if (l->remote_host.len == 0)
		return;
	ecs_json_open(j, "source", '{');
	ecs_json_bytes(j, "address", l->remote_host);
	ecs_json_close(j, '}');
}

static void
put_loss(struct ecs_json *j, const Picket__V1__Loss *l)
{
	static const char *const stages[] = {"unknown", "kernel", "serial", "restart", "queue", "spool"};

	ecs_json_open(j, "loss", '{');
	ecs_json_text(j, "stage", stages[(size_t)l->stage < ARRAY_LEN(stages) ? l->stage : 0]);
	ecs_json_number(j, "events", l->events);
	ecs_json_bool(j, "upper_bound", l->upper_bound);
	if (l->first_serial != 0 || l->last_serial != 0) {
		ecs_json_number(j, "first_serial", l->first_serial);
		ecs_json_number(j, "last_serial", l->last_serial);
	}
	if (l->epoch != 0) {
		ecs_json_id(j, "epoch", l->epoch);
		ecs_json_number(j, "first_sequence", l->first_sequence);
		ecs_json_number(j, "last_sequence", l->last_sequence);
	}
	ecs_json_bytes(j, "detail", l->detail);
	ecs_json_close(j, '}');
}

/* What ECS has no field for. */
static void
put_picket(struct ecs_json *j, const Picket__V1__Event *e, const struct ecs_meta *meta)
{
	ecs_json_open(j, "picket", '{');
	ecs_json_text(j, "event_type", ecs_type_name(e->type));
	if (e->serial != 0)
		ecs_json_number(j, "serial", e->serial);
	ecs_json_bytes(j, "syscall", e->syscall);
	if (meta != NULL && meta->epoch != 0)
		ecs_json_id(j, "epoch", meta->epoch);
	if (e->process != NULL) {
		if (e->process->session != UINT32_MAX)
			ecs_json_number(j, "session", e->process->session);
		ecs_json_bytes(j, "tty", e->process->tty);
	}
	switch (e->detail_case) {
	case PICKET__V1__EVENT__DETAIL_PROCESS_START:
		ecs_json_bytes(j, "path", e->process_start->path);
		if (e->process_start->args_truncated)
			ecs_json_bool(j, "args_truncated", true);
		break;
	case PICKET__V1__EVENT__DETAIL_PROCESS_END:
		if (e->process_end->signal != 0)
			ecs_json_number(j, "signal", e->process_end->signal);
		ecs_json_hex_id(j, "start_entity_id", e->process_end->start_unique_id);
		break;
	case PICKET__V1__EVENT__DETAIL_FILE_CHANGE:
		if (e->file_change->directory_unknown)
			ecs_json_bool(j, "directory_unknown", true);
		break;
	case PICKET__V1__EVENT__DETAIL_MODULE:
		ecs_json_bytes(j, "module", e->module->name);
		break;
	case PICKET__V1__EVENT__DETAIL_LOGON:
		ecs_json_bytes(j, "operation", e->logon->operation);
		ecs_json_bytes(j, "program", e->logon->program);
		ecs_json_bytes(j, "terminal", e->logon->terminal);
		break;
	case PICKET__V1__EVENT__DETAIL_LOSS:
		put_loss(j, e->loss);
		break;
	default:
		ecs_security_put(j, e);
		break;
	}
	ecs_json_close(j, '}');
}

static void
put_detail(struct ecs_json *j, const Picket__V1__Event *e)
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
		ecs_json_open(j, "file", '{');
		ecs_json_bytes(j, "path", e->module->path);
		ecs_json_close(j, '}');
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
	struct ecs_json j = {.out = out};

	(void)putc_unlocked('{', out);
	put_timestamp(&j, event->time_ms);
	put_event(&j, event, meta);
	put_process(&j, event);
	put_user(&j, event);
	put_detail(&j, event);
	if (event->error != 0) {
		const char *name = strerrorname_np((int)event->error);

		ecs_json_open(&j, "error", '{');
		ecs_json_id(&j, "code", event->error);
		if (name != NULL)
			ecs_json_text(&j, "message", name);
		ecs_json_close(&j, '}');
	}
	if (event->n_keys > 0) {
		ecs_json_open(&j, "rule", '{');
		ecs_json_open(&j, "name", '[');
		for (size_t i = 0; i < event->n_keys; i++) {
			ecs_json_separator(&j);
			ecs_json_string(&j, event->keys[i].data, event->keys[i].len);
		}
		ecs_json_close(&j, ']');
		ecs_json_close(&j, '}');
	}
	put_picket(&j, event, meta);
	put_source(&j, meta);
	(void)fputs("}\n", out);
	return ferror(out) ? -EIO : 0;
}
