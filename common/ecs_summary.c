/*
 * An event as one line of text for a terminal. Never writes a byte that a terminal would act on.
 * Called by picketctl events and the server's event list.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/ecs.h"

/* A line under construction; what does not fit is dropped and `cut` says so. */
struct line {
	char *buf;
	size_t size, len;
	bool cut;
};

static void
put(struct line *l, const char *text, size_t len)
{
	if (l->cut || len >= l->size - l->len) {
		l->cut = true;
		return;
	}
	(void)memcpy(l->buf + l->len, text, len);
	l->len += len;
}

static void __attribute__((format(printf, 2, 3))) put_format(struct line *l, const char *format, ...)
{
	char text[128];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n > 0)
		put(l, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* C1 control characters (U+0080..U+009F) drive some terminals too. */
static bool
is_printable(const uint8_t *text, size_t n)
{
	return n > 0 && text[0] >= 0x20 && text[0] != 0x7f && !(n == 2 && text[0] == 0xc2 && text[1] < 0xa0);
}

static void
put_escaped(struct line *l, ProtobufCBinaryData text)
{
	for (size_t i = 0; i < text.len && !l->cut;) {
		const uint8_t *p = text.data + i;
		size_t n = ecs_utf8_length(p, text.len - i);

		if (is_printable(p, n) && *p != '"' && *p != '\\') {
			put(l, (const char *)p, n);
			i += n;
			continue;
		}
		if (*p == '"' || *p == '\\')
			put_format(l, "\\%c", *p);
		else if (*p == '\n' || *p == '\t')
			put(l, *p == '\n' ? "\\n" : "\\t", 2);
		else
			put_format(l, "\\x%02x", *p);
		i++;
	}
}

/* In quotes when a reader could not tell where it ends. */
static void
put_word(struct line *l, ProtobufCBinaryData text)
{
	bool quotes = text.len == 0;

	for (size_t i = 0; i < text.len && !quotes; i++)
		quotes = text.data[i] <= ' ' || text.data[i] == '"' || text.data[i] == '\\';
	if (quotes)
		put(l, "\"", 1);
	put_escaped(l, text);
	if (quotes)
		put(l, "\"", 1);
}

static void
put_labelled(struct line *l, const char *label, ProtobufCBinaryData text)
{
	if (text.len == 0)
		return;
	put_format(l, "%s", label);
	put_word(l, text);
}

static void
put_endpoint(struct line *l, const Picket__V1__Endpoint *endpoint)
{
	char text[INET6_ADDRSTRLEN];

	if (endpoint == NULL) {
		put(l, "?", 1);
	} else if (endpoint->address.len == 4 &&
		   inet_ntop(AF_INET, endpoint->address.data, text, sizeof(text)) != NULL) {
		put_format(l, "%s:%" PRIu32, text, endpoint->port);
	} else if (endpoint->address.len == 16 &&
		   inet_ntop(AF_INET6, endpoint->address.data, text, sizeof(text)) != NULL) {
		put_format(l, "[%s]:%" PRIu32, text, endpoint->port);
	} else {
		put_labelled(l, "unix:", endpoint->path);
	}
}

static void
put_start(struct line *l, const Picket__V1__Event *e)
{
	put_word(l, e->process != NULL ? e->process->executable : (ProtobufCBinaryData){0});
	for (size_t i = 1; i < e->process_start->n_args && !l->cut; i++) {
		put(l, " ", 1);
		put_word(l, e->process_start->args[i]);
	}
}

static void
put_file(struct line *l, const Picket__V1__FileChange *f)
{
	static const char *const names[] = {"?", "create", "modify", "rename", "delete", "permission"};

	put_format(l, "%s ", names[(size_t)f->action < ARRAY_LEN(names) ? f->action : 0]);
	put_word(l, f->path);
	put_labelled(l, " -> ", f->target_path);
	if (f->action == PICKET__V1__FILE_ACTION__FILE_ACTION_PERMISSION)
		put_format(l, " mode %04" PRIo32, f->mode & 07777);
}

static void
put_logon(struct line *l, const Picket__V1__Logon *g)
{
	static const char *const names[] = {"?", "logon", "logoff", "authentication", "session start", "session end"};

	put_format(l, "%s", names[(size_t)g->action < ARRAY_LEN(names) ? g->action : 0]);
	put_labelled(l, " account ", g->account);
	put_labelled(l, " from ", g->remote_host);
	put_labelled(l, " by ", g->program);
}

static void
put_loss(struct line *l, const Picket__V1__Loss *s)
{
	static const char *const names[] = {"?", "kernel", "serial", "restart", "queue", "spool"};

	put_format(l, "%s %s%" PRIu64 " events", names[(size_t)s->stage < ARRAY_LEN(names) ? s->stage : 0],
	    s->upper_bound ? "at most " : "", s->events);
	if (s->first_serial != 0 || s->last_serial != 0)
		put_format(l, " serial %" PRIu64 "..%" PRIu64, s->first_serial, s->last_serial);
	put_labelled(l, " ", s->detail);
}

static void
put_access(struct line *l, const Picket__V1__ProcessAccess *a)
{
	static const char *const names[] = {"?", "attach to", "read", "write"};

	put_format(l, "%s pid %" PRIu32, names[(size_t)a->action < ARRAY_LEN(names) ? a->action : 0], a->target_pid);
	put_labelled(l, " ", a->target_name);
}

static void
put_account(struct line *l, const Picket__V1__AccountChange *a)
{
	static const char *const names[] = {"?", "add user", "delete user", "change user", "add group", "delete group",
	    "change group", "change credential", "lock", "unlock"};

	put_format(l, "%s", names[(size_t)a->action < ARRAY_LEN(names) ? a->action : 0]);
	put_labelled(l, " ", a->account);
	put_labelled(l, " group ", a->group);
	put_labelled(l, " by ", a->program);
	put_labelled(l, " op ", a->operation);
}

static void
put_audit(struct line *l, const Picket__V1__AuditChange *a)
{
	static const char *const names[] = {"?", "add rule", "remove rule", "change rule", "set", "auditd start",
	    "auditd end", "auditd abort", "auditd change"};

	put_format(l, "%s", names[(size_t)a->action < ARRAY_LEN(names) ? a->action : 0]);
	put_labelled(l, " key ", a->key);
	put_labelled(l, " path ", a->path);
	put_labelled(l, " ", a->setting);
	if (a->setting.len > 0)
		put_format(l, " %" PRIu64 " -> %" PRIu64, a->old_value, a->value);
}

static void
put_netfilter(struct line *l, const Picket__V1__NetfilterChange *c)
{
	put_word(l, c->operation);
	put_labelled(l, " table ", c->table);
	put_format(l, " family %" PRIu32 " entries %" PRIu32, c->family, c->entries);
}

static void
put_security(struct line *l, const Picket__V1__Security *s)
{
	put_word(l, s->record_type);
	put_labelled(l, s->denied ? " denied " : " ", s->permissions);
	put_labelled(l, " ", s->operation);
	put_labelled(l, " subject ", s->subject);
	put_labelled(l, " object ", s->object);
	put_labelled(l, " account ", s->account);
	put_labelled(l, " ", s->setting);
	if (s->value != s->old_value)
		put_format(l, " %" PRIu64 " -> %" PRIu64, s->old_value, s->value);
	if (s->signal != 0)
		put_format(l, " signal %" PRIu32, s->signal);
	if (s->kind == PICKET__V1__SECURITY_KIND__SECURITY_KIND_SECCOMP)
		put_format(l, "%s call %" PRIu32, s->denied ? " denied" : "", s->blocked_number);
}

/* Of these ecs_security.c writes the JSON. */
static void
put_security_detail(struct line *l, const Picket__V1__Event *e)
{
	switch (e->detail_case) {
	case PICKET__V1__EVENT__DETAIL_PROCESS_ACCESS:
		put_access(l, e->process_access);
		break;
	case PICKET__V1__EVENT__DETAIL_ACCOUNT_CHANGE:
		put_account(l, e->account_change);
		return;
	case PICKET__V1__EVENT__DETAIL_AUDIT_CHANGE:
		put_audit(l, e->audit_change);
		break;
	case PICKET__V1__EVENT__DETAIL_NETFILTER_CHANGE:
		put_netfilter(l, e->netfilter_change);
		break;
	case PICKET__V1__EVENT__DETAIL_BPF_PROGRAM:
		put_format(
		    l, "%s program %" PRIu32, e->bpf_program->unload ? "unload" : "load", e->bpf_program->program_id);
		break;
	case PICKET__V1__EVENT__DETAIL_SECURITY:
		put_security(l, e->security);
		break;
	default:
		return;
	}
	put_labelled(l, "  ", e->process != NULL ? e->process->executable : (ProtobufCBinaryData){0});
}

static void
put_detail(struct line *l, const Picket__V1__Event *e)
{
	switch (e->detail_case) {
	case PICKET__V1__EVENT__DETAIL_PROCESS_START:
		put_start(l, e);
		break;
	case PICKET__V1__EVENT__DETAIL_PROCESS_END:
		put_labelled(l, "", e->process != NULL ? e->process->executable : (ProtobufCBinaryData){0});
		put_format(l, " exit %" PRId32, e->process_end->exit_code);
		break;
	case PICKET__V1__EVENT__DETAIL_CONNECTION:
		put(l, e->connection->direction == PICKET__V1__NET_DIRECTION__NET_DIRECTION_INBOUND ? "from " : "to ",
		    e->connection->direction == PICKET__V1__NET_DIRECTION__NET_DIRECTION_INBOUND ? 5 : 3);
		put_endpoint(l, e->connection->remote);
		put_labelled(l, "  ", e->process != NULL ? e->process->executable : (ProtobufCBinaryData){0});
		break;
	case PICKET__V1__EVENT__DETAIL_PORT_LISTEN:
		put_format(l, "%s ", e->port_listen->bound_only ? "bind" : "listen");
		put_endpoint(l, e->port_listen->local);
		put_labelled(l, "  ", e->process != NULL ? e->process->executable : (ProtobufCBinaryData){0});
		break;
	case PICKET__V1__EVENT__DETAIL_FILE_CHANGE:
		put_file(l, e->file_change);
		put_labelled(l, "  ", e->process != NULL ? e->process->executable : (ProtobufCBinaryData){0});
		break;
	case PICKET__V1__EVENT__DETAIL_MODULE:
		put_format(l, "%s ", e->module->unload ? "unload" : "load");
		put_word(l, e->module->name.len > 0 ? e->module->name : e->module->path);
		break;
	case PICKET__V1__EVENT__DETAIL_LOGON:
		put_logon(l, e->logon);
		break;
	case PICKET__V1__EVENT__DETAIL_LOSS:
		put_loss(l, e->loss);
		break;
	default:
		put_security_detail(l, e);
		break;
	}
}

size_t
ecs_summary(char *buf, size_t size, const Picket__V1__Event *event)
{
	static const char dots[] = "...";
	struct line l = {.buf = buf, .size = size};

	if (size <= sizeof(dots)) {
		if (size > 0)
			buf[0] = '\0';
		return 0;
	}
	l.size -= sizeof(dots) - 1; /* room to say that it was cut */
	put_format(&l, "%-10s", ecs_type_name(event->type));
	if (event->process != NULL)
		put_format(&l, " pid %" PRIu32 " uid %" PRIu32 " ", event->process->pid, event->process->uid);
	put(&l, " ", 1);
	put_detail(&l, event);
	if (event->error != 0) {
		const char *name = strerrorname_np((int)event->error);

		put_format(&l, "  failed: %s", name != NULL ? name : "unknown error");
	}
	if (l.cut) {
		(void)memcpy(buf + l.len, dots, sizeof(dots) - 1);
		l.len += sizeof(dots) - 1;
	}
	buf[l.len] = '\0';
	return l.len;
}
