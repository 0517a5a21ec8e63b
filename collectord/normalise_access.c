/*
 * One process reaching into another: ptrace and process_vm_*. Never does I/O. Called by normalise.c.
 */
#include <linux/ptrace.h>

#include "collectord/normalise_internal.h"

#define ATTACH PICKET__V1__PROCESS_ACCESS_ACTION__PROCESS_ACCESS_ACTION_ATTACH
#define READ PICKET__V1__PROCESS_ACCESS_ACTION__PROCESS_ACCESS_ACTION_READ
#define WRITE PICKET__V1__PROCESS_ACCESS_ACTION__PROCESS_ACCESS_ACTION_WRITE

/* Requests of ptrace(2) that take hold of another process, read or change it. The others steer one that is held
 * already, or, as TRACEME does, ask the parent to. */
static const struct {
	uint64_t request;
	Picket__V1__ProcessAccessAction action;
} requests[] = {
    {PTRACE_PEEKTEXT, READ},
    {PTRACE_PEEKDATA, READ},
    {PTRACE_PEEKUSR, READ},
    {PTRACE_POKETEXT, WRITE},
    {PTRACE_POKEDATA, WRITE},
    {PTRACE_POKEUSR, WRITE},
    {12, READ},  /* PTRACE_GETREGS of x86 */
    {13, WRITE}, /* PTRACE_SETREGS of x86 */
    {14, READ},  /* PTRACE_GETFPREGS of x86 */
    {15, WRITE}, /* PTRACE_SETFPREGS of x86 */
    {PTRACE_ATTACH, ATTACH},
    {PTRACE_SEIZE, ATTACH},
    {PTRACE_GETREGSET, READ},
    {PTRACE_SETREGSET, WRITE},
};

static Picket__V1__ProcessAccessAction
request_action(uint64_t request)
{
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		if (requests[i].request == request)
			return requests[i].action;
	return PICKET__V1__PROCESS_ACCESS_ACTION__PROCESS_ACCESS_ACTION_UNSPECIFIED;
}

bool
normalise_access(struct normaliser *n, const struct audit_event *e)
{
	const struct event_target *t = &e->target;
	bool is_ptrace = e->sys.call->kind == CALL_PTRACE;
	Picket__V1__ProcessAccess *d = &n->detail.access;

	picket__v1__process_access__init(d);
	if (is_ptrace) {
		d->request = (uint32_t)e->sys.a[0];
		d->action = request_action(e->sys.a[0]);
	} else {
		d->action = e->sys.call->kind == CALL_VM_READ ? READ : WRITE;
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
