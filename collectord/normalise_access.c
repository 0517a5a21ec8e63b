/*
 * One process reaching into another: ptrace and process_vm_*. Never does I/O. Called by normalise.c.
 */
#include "collectord/normalise_internal.h"

bool
normalise_access(struct normaliser *n, const struct audit_event *e)
{
	static const Picket__V1__ProcessAccessAction actions[] = {
	    [PTRACE_STEERS] = PICKET__V1__PROCESS_ACCESS_ACTION__PROCESS_ACCESS_ACTION_UNSPECIFIED,
	    [PTRACE_ATTACHES] = PICKET__V1__PROCESS_ACCESS_ACTION__PROCESS_ACCESS_ACTION_ATTACH,
	    [PTRACE_READS] = PICKET__V1__PROCESS_ACCESS_ACTION__PROCESS_ACCESS_ACTION_READ,
	    [PTRACE_WRITES] = PICKET__V1__PROCESS_ACCESS_ACTION__PROCESS_ACCESS_ACTION_WRITE,
	};
	const struct event_target *t = &e->target;
	bool is_ptrace = e->sys.call->kind == CALL_PTRACE;
	Picket__V1__ProcessAccess *d = &n->detail.access;

	picket__v1__process_access__init(d);
	if (is_ptrace) {
		d->request = (uint32_t)e->sys.a[0];
		d->action = actions[calls_ptrace(e->sys.a[0])];
	} else {
		d->action = actions[e->sys.call->kind == CALL_VM_READ ? PTRACE_READS : PTRACE_WRITES];
	}
	if (d->action == PICKET__V1__PROCESS_ACCESS_ACTION__PROCESS_ACCESS_ACTION_UNSPECIFIED)
		return false;
	d->target_pid = (uint32_t)(is_ptrace ? e->sys.a[1] : e->sys.a[0]);
	if (e->parts & EVENT_TARGET) {
		d->target_known = true;
		d->target_pid = t->pid;
		d->target_uid = t->uid;
		d->target_auid = t->auid;
		d->target_session = t->session;
		d->target_name = bytes_of(t->comm);
		d->target_unique_id = procs_id(n->procs, t->pid);
	}
	n->event.type = PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS_ACCESS;
	n->event.detail_case = PICKET__V1__EVENT__DETAIL_PROCESS_ACCESS;
	n->event.process_access = d;
	return true;
}
