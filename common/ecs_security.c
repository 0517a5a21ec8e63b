/*
 * The part of an ECS event for which ECS has few fields: accesses to other processes, accounts, audit's configuration,
 * packet filter, BPF, security modules. Never allocates. Called by ecs.c.
 */
#include <stddef.h>

#include "common/cleanup.h"
#include "common/ecs_json.h"

/* ECS type and action by a number of the detail. */
struct action_row {
	const char *type, *action;
};

static const struct action_row access_rows[] = {
    {"access", "attach"}, {"access", "attach"}, {"access", "memory-read"}, {"change", "memory-write"}};

static const struct action_row account_rows[] = {
    {"change", "user-change"},
    {"creation", "user-add"},
    {"deletion", "user-delete"},
    {"change", "user-change"},
    {"creation", "group-add"},
    {"deletion", "group-delete"},
    {"change", "group-change"},
    {"change", "credential-change"},
    {"change", "lock"},
    {"change", "unlock"},
};

static const struct action_row audit_rows[] = {
    {"change", "audit-setting"},
    {"creation", "audit-rule-add"},
    {"deletion", "audit-rule-remove"},
    {"change", "audit-rule-change"},
    {"change", "audit-setting"},
    {"info", "audit-daemon-start"},
    {"info", "audit-daemon-end"},
    {"info", "audit-daemon-abort"},
    {"change", "audit-daemon-change"},
};

static const struct action_row security_rows[] = {
    {"info", "anomaly"},
    {"info", "access-decision"},
    {"info", "seccomp"},
    {"info", "abnormal-end"},
    {"info", "promiscuous"},
    {"info", "anomaly"},
    {"info", "policy-change"},
};

/* The first row for a number that has none. */
static void
set_row(struct ecs_class *class, const struct action_row *rows, size_t n, size_t i)
{
	const struct action_row *row = &rows[i < n ? i : 0];

	class->type = row->type;
	class->action = row->action;
}

#define SET_ROW(class, rows, i) set_row(class, rows, ARRAY_LEN(rows), (size_t)(i))

void
ecs_security_class(const Picket__V1__Event *event, struct ecs_class *class)
{
	switch (event->detail_case) {
	case PICKET__V1__EVENT__DETAIL_PROCESS_ACCESS:
		SET_ROW(class, access_rows, event->process_access->action);
		break;
	case PICKET__V1__EVENT__DETAIL_ACCOUNT_CHANGE:
		SET_ROW(class, account_rows, event->account_change->action);
		break;
	case PICKET__V1__EVENT__DETAIL_AUDIT_CHANGE:
		SET_ROW(class, audit_rows, event->audit_change->action);
		break;
	case PICKET__V1__EVENT__DETAIL_BPF_PROGRAM:
		if (event->bpf_program->unload)
			*class = (struct ecs_class){class->name, class->category, "end", "bpf-unload"};
		break;
	case PICKET__V1__EVENT__DETAIL_SECURITY:
		SET_ROW(class, security_rows, event->security->kind);
		break;
	default:
		break;
	}
}

static void
number_if_any(struct ecs_json *j, const char *key, uint64_t value)
{
	if (value != 0)
		ecs_json_number(j, key, value);
}

static void
put_access(struct ecs_json *j, const Picket__V1__ProcessAccess *a)
{
	number_if_any(j, "ptrace_request", a->request);
	ecs_json_open(j, "target", '{');
	ecs_json_hex_id(j, "entity_id", a->target_unique_id);
	ecs_json_number(j, "pid", a->target_pid);
	ecs_json_bytes(j, "name", a->target_name);
	if (a->target_known) {
		ecs_json_id(j, "user_id", a->target_uid);
		if (a->target_auid != UINT32_MAX)
			ecs_json_id(j, "audit_user_id", a->target_auid);
		if (a->target_session != UINT32_MAX)
			ecs_json_number(j, "session", a->target_session);
	}
	ecs_json_close(j, '}');
}

static void
put_account(struct ecs_json *j, const Picket__V1__AccountChange *a)
{
	ecs_json_bytes(j, "group", a->group);
	ecs_json_bytes(j, "operation", a->operation);
	ecs_json_bytes(j, "program", a->program);
	ecs_json_bytes(j, "remote_host", a->remote_host);
	ecs_json_bytes(j, "terminal", a->terminal);
}

static void
put_audit(struct ecs_json *j, const Picket__V1__AuditChange *a)
{
	ecs_json_open(j, "audit", '{');
	ecs_json_bytes(j, "operation", a->operation);
	ecs_json_bytes(j, "key", a->key);
	ecs_json_bytes(j, "path", a->path);
	number_if_any(j, "list", a->list);
	if (a->setting.len > 0) {
		ecs_json_bytes(j, "setting", a->setting);
		ecs_json_number(j, "value", a->value);
		ecs_json_number(j, "old_value", a->old_value);
	}
	ecs_json_close(j, '}');
}

static void
put_netfilter(struct ecs_json *j, const Picket__V1__NetfilterChange *c)
{
	ecs_json_open(j, "netfilter", '{');
	ecs_json_bytes(j, "operation", c->operation);
	ecs_json_bytes(j, "table", c->table);
	ecs_json_number(j, "family", c->family);
	ecs_json_number(j, "entries", c->entries);
	number_if_any(j, "records", c->records);
	ecs_json_close(j, '}');
}

static void
put_security(struct ecs_json *j, const Picket__V1__Security *s)
{
	ecs_json_open(j, "security", '{');
	ecs_json_bytes(j, "record_type", s->record_type);
	ecs_json_bool(j, "denied", s->denied);
	ecs_json_bytes(j, "operation", s->operation);
	ecs_json_bytes(j, "permissions", s->permissions);
	ecs_json_bytes(j, "subject", s->subject);
	ecs_json_bytes(j, "object", s->object);
	ecs_json_bytes(j, "object_context", s->object_context);
	ecs_json_bytes(j, "object_class", s->object_class);
	number_if_any(j, "signal", s->signal);
	if (s->kind == PICKET__V1__SECURITY_KIND__SECURITY_KIND_SECCOMP) {
		ecs_json_bytes(j, "blocked_call", s->blocked_call);
		ecs_json_number(j, "blocked_number", s->blocked_number);
		ecs_json_number(j, "seccomp_action", s->seccomp_action);
	}
	ecs_json_bytes(j, "account", s->account);
	ecs_json_bytes(j, "setting", s->setting);
	if (s->value != s->old_value) {
		ecs_json_number(j, "value", s->value);
		ecs_json_number(j, "old_value", s->old_value);
	}
	ecs_json_close(j, '}');
}

void
ecs_security_put(struct ecs_json *j, const Picket__V1__Event *event)
{
	switch (event->detail_case) {
	case PICKET__V1__EVENT__DETAIL_PROCESS_ACCESS:
		put_access(j, event->process_access);
		break;
	case PICKET__V1__EVENT__DETAIL_ACCOUNT_CHANGE:
		put_account(j, event->account_change);
		break;
	case PICKET__V1__EVENT__DETAIL_AUDIT_CHANGE:
		put_audit(j, event->audit_change);
		break;
	case PICKET__V1__EVENT__DETAIL_NETFILTER_CHANGE:
		put_netfilter(j, event->netfilter_change);
		break;
	case PICKET__V1__EVENT__DETAIL_BPF_PROGRAM:
		ecs_json_number(j, "bpf_program", event->bpf_program->program_id);
		break;
	case PICKET__V1__EVENT__DETAIL_SECURITY:
		put_security(j, event->security);
		break;
	default:
		break;
	}
}
