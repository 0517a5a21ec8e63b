/*
 * What programs tell audit of users: log-ons, and changes of accounts. Never does I/O. Called by normalise.c.
 */
#include "collectord/normalise_internal.h"

/* Who sent the message, and what it says of the outcome. The kernel's LOGIN may come with the system call that caused
 * it. */
static void
set_sender(struct normaliser *n, const struct audit_event *e)
{
	const struct event_user *u = &e->user;

	if (!has_syscall(e)) {
		n->process.pid = u->pid;
		n->process.uid = n->process.euid = u->uid;
		n->process.executable = bytes_of(u->exe);
		n->process.unique_id = procs_id(n->procs, u->pid);
	}
	n->process.auid = u->auid;
	n->process.session = u->session;
	n->event.outcome = !u->has_result ? PICKET__V1__OUTCOME__OUTCOME_UNKNOWN
			   : u->success   ? PICKET__V1__OUTCOME__OUTCOME_SUCCESS
					  : PICKET__V1__OUTCOME__OUTCOME_FAILURE;
	n->event.error = 0;
}

static Picket__V1__LogonAction
logon_action(uint16_t type)
{
	switch (type) {
	case RECORD_USER_LOGIN:
	case AUDIT_LOGIN:
		return PICKET__V1__LOGON_ACTION__LOGON_ACTION_LOGON;
	case RECORD_USER_LOGOUT:
		return PICKET__V1__LOGON_ACTION__LOGON_ACTION_LOGOFF;
	case RECORD_USER_START:
		return PICKET__V1__LOGON_ACTION__LOGON_ACTION_SESSION_START;
	case RECORD_USER_END:
		return PICKET__V1__LOGON_ACTION__LOGON_ACTION_SESSION_END;
	default:
		return PICKET__V1__LOGON_ACTION__LOGON_ACTION_AUTHENTICATION;
	}
}

/* A message of a login program, or the kernel's own LOGIN, which may come with the system call that caused it. */
bool
normalise_logon(struct normaliser *n, const struct audit_event *e)
{
	const struct event_user *u = &e->user;
	Picket__V1__Logon *d = &n->detail.logon;

	picket__v1__logon__init(d);
	d->action = logon_action(u->type);
	d->account = bytes_of(u->acct);
	d->remote_host = bytes_of(u->addr.len > 0 ? u->addr : u->hostname);
	d->terminal = bytes_of(u->terminal);
	d->operation = bytes_of(u->op);
	d->program = bytes_of(u->exe);
	if (d->program.len == 0 && has_syscall(e))
		d->program = bytes_of(e->sys.exe);
	set_sender(n, e);
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_LOGON;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_LOGON;
	n->event.logon = d;
	return true;
}

bool
normalise_account(struct normaliser *n, const struct audit_event *e)
{
	const struct event_user *u = &e->user;
	const struct notice_type *type = notices_find(u->type);
	Picket__V1__AccountChange *d = &n->detail.account;

	picket__v1__account_change__init(d);
	d->action = (Picket__V1__AccountAction)type->what;
	d->account = bytes_of(u->acct);
	d->group = bytes_of(u->grp);
	d->operation = bytes_of(u->op);
	d->program = bytes_of(u->exe);
	d->remote_host = bytes_of(u->addr.len > 0 ? u->addr : u->hostname);
	d->terminal = bytes_of(u->terminal);
	set_sender(n, e);
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_ACCOUNT;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_ACCOUNT_CHANGE;
	n->event.account_change = d;
	return true;
}
