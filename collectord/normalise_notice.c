/*
 * What notices mean: changes of audit's configuration and of the packet filter, BPF programs, reports of the kernel's
 * security parts. Never does I/O. Called by normalise.c.
 */
#include <linux/seccomp.h>
#include <string.h>

#include "collectord/normalise_internal.h"
#include "collectord/rules.h"

static ProtobufCBinaryData
text(const struct event_notice *v, enum notice_text slot)
{
	return bytes_of(v->text[slot]);
}

static bool
has(const struct event_notice *v, enum notice_number slot)
{
	return v->numbers & 1u << slot;
}

static uint32_t
number(const struct event_notice *v, enum notice_number slot, uint32_t otherwise)
{
	return has(v, slot) ? (uint32_t)v->number[slot] : otherwise;
}

/* Without the system call, which says more. CONFIG_CHANGE names nobody but the login user; who is not known is left
 * out. */
static void
set_actor(struct normaliser *n, const struct event_notice *v)
{
	if (!has(v, NOTICE_PID) && !has(v, NOTICE_UID) && number(v, NOTICE_AUID, UINT32_MAX) == UINT32_MAX) {
		n->event.process = NULL;
		return;
	}
	n->process.pid = number(v, NOTICE_PID, 0);
	n->process.ppid = number(v, NOTICE_PPID, 0);
	n->process.uid = n->process.euid = number(v, NOTICE_UID, UINT32_MAX);
	n->process.gid = n->process.egid = number(v, NOTICE_GID, UINT32_MAX);
	n->process.auid = number(v, NOTICE_AUID, UINT32_MAX);
	n->process.session = number(v, NOTICE_SESSION, UINT32_MAX);
	n->process.executable = text(v, NOTICE_EXE);
	n->process.name = text(v, NOTICE_COMM);
	n->process.unique_id = procs_id(n->procs, n->process.pid);
}

/* ---- audit's configuration ---- */

static Picket__V1__AuditAction
audit_action(const struct event_notice *v)
{
	static const struct {
		const char *op;
		Picket__V1__AuditAction action;
	} rows[] = {
	    {"add_rule", PICKET__V1__AUDIT_ACTION__AUDIT_ACTION_RULE_ADD},
	    {"remove_rule", PICKET__V1__AUDIT_ACTION__AUDIT_ACTION_RULE_REMOVE},
	    {"updated_rules", PICKET__V1__AUDIT_ACTION__AUDIT_ACTION_RULE_CHANGE},
	    {"autoremove_rule", PICKET__V1__AUDIT_ACTION__AUDIT_ACTION_RULE_CHANGE},
	};

	if (v->type->what != PICKET__V1__AUDIT_ACTION__AUDIT_ACTION_UNSPECIFIED)
		return (Picket__V1__AuditAction)v->type->what;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (slice_is(v->text[NOTICE_OP], rows[i].op))
			return rows[i].action;
	return PICKET__V1__AUDIT_ACTION__AUDIT_ACTION_SETTING;
}

/* Rules that collectord loads: dozens at each start. That one of them goes is told, whoever did it. */
static bool
is_own_rule(const struct event_notice *v)
{
	const struct slice key = v->text[NOTICE_KEY];
	const size_t prefix = sizeof(RULES_KEY_PREFIX) - 1;

	return key.len >= prefix && memcmp(key.data, RULES_KEY_PREFIX, prefix) == 0;
}

static bool
on_audit(struct normaliser *n, const struct event_notice *v)
{
	Picket__V1__AuditChange *d = &n->detail.audit;

	picket__v1__audit_change__init(d);
	d->action = audit_action(v);
	if (d->action == PICKET__V1__AUDIT_ACTION__AUDIT_ACTION_RULE_ADD && is_own_rule(v))
		return false;
	d->operation = text(v, NOTICE_OP);
	d->key = text(v, NOTICE_KEY);
	d->path = text(v, NOTICE_OBJECT);
	d->list = number(v, NOTICE_LIST, 0);
	d->setting = text(v, NOTICE_SETTING);
	d->value = v->number[NOTICE_VALUE];
	d->old_value = v->number[NOTICE_OLD_VALUE];
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_AUDIT_CONFIG;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_AUDIT_CHANGE;
	n->event.audit_change = d;
	return true;
}

/* ---- packet filter, BPF ---- */

static bool
on_netfilter(struct normaliser *n, const struct event_notice *v)
{
	Picket__V1__NetfilterChange *d = &n->detail.netfilter;

	picket__v1__netfilter_change__init(d);
	d->table = text(v, NOTICE_OBJECT);
	d->family = number(v, NOTICE_FAMILY, 0);
	d->entries = number(v, NOTICE_ENTRIES, 0);
	d->operation = text(v, NOTICE_OP);
	d->records = v->records > 1 ? v->records : 0;
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_NETFILTER;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_NETFILTER_CHANGE;
	n->event.netfilter_change = d;
	return true;
}

static bool
on_bpf(struct normaliser *n, const struct event_notice *v)
{
	Picket__V1__BpfProgram *d = &n->detail.bpf;

	picket__v1__bpf_program__init(d);
	d->program_id = number(v, NOTICE_PROGRAM, 0);
	d->unload = slice_is(v->text[NOTICE_OP], "UNLOAD");
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_BPF;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_BPF_PROGRAM;
	n->event.bpf_program = d;
	return true;
}

/* ---- security ---- */

/* LOG, ALLOW and TRACE let the call through. */
static bool
seccomp_denies(uint32_t code)
{
	uint32_t action = code & SECCOMP_RET_ACTION_FULL;

	return action != SECCOMP_RET_LOG && action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_TRACE;
}

static bool
is_denied(const struct event_notice *v, Picket__V1__SecurityKind kind)
{
	if (kind == PICKET__V1__SECURITY_KIND__SECURITY_KIND_SECCOMP)
		return seccomp_denies(number(v, NOTICE_CODE, 0));
	if (kind != PICKET__V1__SECURITY_KIND__SECURITY_KIND_ACCESS)
		return false;
	return slice_is(v->text[NOTICE_VERDICT], "DENIED") || (v->denied && number(v, NOTICE_PERMISSIVE, 0) == 0);
}

static bool
on_security(struct normaliser *n, const struct event_notice *v)
{
	Picket__V1__Security *d = &n->detail.security;

	picket__v1__security__init(d);
	d->kind = (Picket__V1__SecurityKind)v->type->what;
	d->record_type = pb_str(v->type->name);
	d->denied = is_denied(v, d->kind);
	d->operation = text(v, NOTICE_OP);
	d->permissions = text(v, NOTICE_PERMISSIONS);
	d->subject = text(v, NOTICE_SUBJECT);
	d->object = text(v, NOTICE_OBJECT);
	d->object_context = text(v, NOTICE_CONTEXT);
	d->object_class = text(v, NOTICE_OBJECT_CLASS);
	d->account = text(v, NOTICE_ACCT);
	d->setting = text(v, NOTICE_SETTING);
	d->value = v->number[NOTICE_VALUE];
	d->old_value = v->number[NOTICE_OLD_VALUE];
	d->signal = number(v, NOTICE_SIGNAL, 0);
	if (d->kind == PICKET__V1__SECURITY_KIND__SECURITY_KIND_SECCOMP) {
		const struct call *call = calls_find(number(v, NOTICE_ARCH, 0), number(v, NOTICE_SYSCALL, 0));

		d->blocked_number = number(v, NOTICE_SYSCALL, 0);
		d->seccomp_action = number(v, NOTICE_CODE, 0);
		if (call != NULL)
			d->blocked_call = pb_str(call->name);
	}
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_SECURITY;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_SECURITY;
	n->event.security = d;
	return true;
}

bool
normalise_notice(struct normaliser *n, const struct audit_event *e)
{
	static bool (*const on_class[NOTICE_CLASSES])(struct normaliser *, const struct event_notice *) = {
	    [NOTICE_AUDIT] = on_audit,
	    [NOTICE_NETFILTER] = on_netfilter,
	    [NOTICE_BPF] = on_bpf,
	    [NOTICE_SECURITY] = on_security,
	};
	const struct event_notice *v = &e->notice;

	if (!on_class[v->type->class](n, v))
		return false;
	if (!has_syscall(e)) {
		set_actor(n, v);
		n->event.outcome = PICKET__V1__OUTCOME__OUTCOME_SUCCESS;
	}
	if (n->event.detail_case == PICKET__V1__EVENT__DETAIL_SECURITY && n->detail.security.denied)
		n->event.outcome = PICKET__V1__OUTCOME__OUTCOME_FAILURE;
	else if (has(v, NOTICE_RESULT))
		n->event.outcome = v->number[NOTICE_RESULT] ? PICKET__V1__OUTCOME__OUTCOME_SUCCESS
							    : PICKET__V1__OUTCOME__OUTCOME_FAILURE;
	return true;
}
