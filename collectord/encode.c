/*
 * A protobuf writer for the messages of event.proto and EventRecord. Never allocates. Called by pipeline.c for every
 * event. Fields stand in falling order of number, because the writing goes backwards. Like protobuf-c for proto3:
 * scalars that are zero and empty bytes are left out, a sub-message that is there is written even when it is empty.
 */
#include "collectord/encode.h"

#include <stdbool.h>
#include <string.h>

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2 };

struct writer {
	uint8_t *start; /* of the buffer */
	uint8_t *p;     /* of what is written */
	bool full;
};

static inline bool
take(struct writer *w, size_t n)
{
	if ((size_t)(w->p - w->start) < n) {
		w->full = true;
		return false;
	}
	w->p -= n;
	return true;
}

static inline size_t
varint_size(uint64_t v)
{
	return (size_t)(70 - __builtin_clzll(v | 1)) / 7;
}

static inline void
put_varint(struct writer *w, uint64_t v)
{
	size_t n = varint_size(v);
	uint8_t *p;

	if (!take(w, n))
		return;
	p = w->p;
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p = (uint8_t)v;
}

static inline void
put_tag(struct writer *w, uint32_t field, enum wire wire)
{
	put_varint(w, field << 3 | wire);
}

static inline void
put_number(struct writer *w, uint32_t field, uint64_t v)
{
	if (v == 0)
		return;
	put_varint(w, v);
	put_tag(w, field, WIRE_VARINT);
}

static inline void
put_fixed64(struct writer *w, uint32_t field, uint64_t v)
{
	if (v == 0 || !take(w, 8))
		return;
	for (unsigned int i = 0; i < 8; i++)
		w->p[i] = (uint8_t)(v >> 8 * i);
	put_tag(w, field, WIRE_FIXED64);
}

/* Bytes even when empty: an element of a repeated field. */
static inline void
put_element(struct writer *w, uint32_t field, ProtobufCBinaryData v)
{
	if (!take(w, v.len))
		return;
	if (v.len > 0)
		(void)memcpy(w->p, v.data, v.len);
	put_varint(w, v.len);
	put_tag(w, field, WIRE_BYTES);
}

static inline void
put_bytes(struct writer *w, uint32_t field, ProtobufCBinaryData v)
{
	if (v.len > 0)
		put_element(w, field, v);
}

/* The header of a message whose content ends at `end`. */
static inline void
put_header(struct writer *w, uint32_t field, const uint8_t *end)
{
	put_varint(w, (uint64_t)(end - w->p));
	put_tag(w, field, WIRE_BYTES);
}

static void
put_process(struct writer *w, const Picket__V1__Process *p)
{
	put_bytes(w, 15, p->image_sha256);
	put_bytes(w, 14, p->image_md5);
	put_fixed64(w, 13, p->parent_unique_id);
	put_fixed64(w, 12, p->unique_id);
	put_bytes(w, 11, p->tty);
	put_bytes(w, 10, p->name);
	put_bytes(w, 9, p->executable);
	put_number(w, 8, p->session);
	put_number(w, 7, p->auid);
	put_number(w, 6, p->egid);
	put_number(w, 5, p->euid);
	put_number(w, 4, p->gid);
	put_number(w, 3, p->uid);
	put_number(w, 2, p->ppid);
	put_number(w, 1, p->pid);
}

static void
put_process_start(struct writer *w, const Picket__V1__ProcessStart *s)
{
	put_number(w, 5, s->argc);
	put_number(w, 4, (uint64_t)(s->args_truncated != 0));
	put_bytes(w, 3, s->path);
	put_bytes(w, 2, s->working_directory);
	for (size_t i = s->n_args; i > 0; i--)
		put_element(w, 1, s->args[i - 1]);
}

static void
put_process_end(struct writer *w, const Picket__V1__ProcessEnd *e)
{
	put_fixed64(w, 3, e->start_unique_id);
	put_number(w, 2, e->signal);
	put_number(w, 1, (uint64_t)(int64_t)e->exit_code); /* a negative int32 takes ten bytes */
}

static void
put_endpoint(struct writer *w, uint32_t field, const Picket__V1__Endpoint *e)
{
	const uint8_t *end = w->p;

	if (e == NULL)
		return;
	put_bytes(w, 3, e->path);
	put_number(w, 2, e->port);
	put_bytes(w, 1, e->address);
	put_header(w, field, end);
}

static void
put_connection(struct writer *w, const Picket__V1__Connection *c)
{
	put_number(w, 6, c->fd);
	put_number(w, 5, c->protocol);
	put_endpoint(w, 4, c->local);
	put_endpoint(w, 3, c->remote);
	put_number(w, 2, c->family);
	put_number(w, 1, (uint64_t)c->direction);
}

static void
put_port_listen(struct writer *w, const Picket__V1__PortListen *l)
{
	put_number(w, 4, l->fd);
	put_number(w, 3, (uint64_t)(l->bound_only != 0));
	put_endpoint(w, 2, l->local);
	put_number(w, 1, l->family);
}

static void
put_file_change(struct writer *w, const Picket__V1__FileChange *f)
{
	put_number(w, 11, f->count);
	put_number(w, 10, (uint64_t)(f->directory_unknown != 0));
	put_number(w, 9, f->owner_gid);
	put_number(w, 8, f->owner_uid);
	put_number(w, 7, f->mode);
	put_number(w, 6, f->device_minor);
	put_number(w, 5, f->device_major);
	put_number(w, 4, f->inode);
	put_bytes(w, 3, f->target_path);
	put_bytes(w, 2, f->path);
	put_number(w, 1, (uint64_t)f->action);
}

static void
put_module(struct writer *w, const Picket__V1__Module *m)
{
	put_number(w, 3, (uint64_t)(m->unload != 0));
	put_bytes(w, 2, m->path);
	put_bytes(w, 1, m->name);
}

static void
put_logon(struct writer *w, const Picket__V1__Logon *l)
{
	put_bytes(w, 6, l->operation);
	put_bytes(w, 5, l->program);
	put_bytes(w, 4, l->terminal);
	put_bytes(w, 3, l->remote_host);
	put_bytes(w, 2, l->account);
	put_number(w, 1, (uint64_t)l->action);
}

static void
put_loss(struct writer *w, const Picket__V1__Loss *l)
{
	put_number(w, 9, (uint64_t)(l->upper_bound != 0));
	put_bytes(w, 8, l->detail);
	put_fixed64(w, 7, l->epoch);
	put_number(w, 6, l->last_sequence);
	put_number(w, 5, l->first_sequence);
	put_number(w, 4, l->last_serial);
	put_number(w, 3, l->first_serial);
	put_number(w, 2, l->events);
	put_number(w, 1, (uint64_t)l->stage);
}

static void
put_access(struct writer *w, const Picket__V1__ProcessAccess *a)
{
	put_number(w, 9, (uint64_t)(a->target_known != 0));
	put_fixed64(w, 8, a->target_unique_id);
	put_bytes(w, 7, a->target_name);
	put_number(w, 6, a->target_session);
	put_number(w, 5, a->target_auid);
	put_number(w, 4, a->target_uid);
	put_number(w, 3, a->target_pid);
	put_number(w, 2, a->request);
	put_number(w, 1, (uint64_t)a->action);
}

static void
put_account(struct writer *w, const Picket__V1__AccountChange *a)
{
	put_bytes(w, 7, a->terminal);
	put_bytes(w, 6, a->remote_host);
	put_bytes(w, 5, a->program);
	put_bytes(w, 4, a->operation);
	put_bytes(w, 3, a->group);
	put_bytes(w, 2, a->account);
	put_number(w, 1, (uint64_t)a->action);
}

static void
put_audit(struct writer *w, const Picket__V1__AuditChange *a)
{
	put_number(w, 8, a->old_value);
	put_number(w, 7, a->value);
	put_bytes(w, 6, a->setting);
	put_number(w, 5, a->list);
	put_bytes(w, 4, a->path);
	put_bytes(w, 3, a->key);
	put_bytes(w, 2, a->operation);
	put_number(w, 1, (uint64_t)a->action);
}

static void
put_netfilter(struct writer *w, const Picket__V1__NetfilterChange *c)
{
	put_number(w, 5, c->records);
	put_bytes(w, 4, c->operation);
	put_number(w, 3, c->entries);
	put_number(w, 2, c->family);
	put_bytes(w, 1, c->table);
}

static void
put_bpf(struct writer *w, const Picket__V1__BpfProgram *b)
{
	put_number(w, 2, (uint64_t)(b->unload != 0));
	put_number(w, 1, b->program_id);
}

static void
put_security(struct writer *w, const Picket__V1__Security *s)
{
	put_number(w, 17, s->old_value);
	put_number(w, 16, s->value);
	put_bytes(w, 15, s->setting);
	put_bytes(w, 14, s->account);
	put_number(w, 13, s->seccomp_action);
	put_number(w, 12, s->blocked_number);
	put_bytes(w, 11, s->blocked_call);
	put_number(w, 10, s->signal);
	put_bytes(w, 9, s->object_class);
	put_bytes(w, 8, s->object_context);
	put_bytes(w, 7, s->object);
	put_bytes(w, 6, s->subject);
	put_bytes(w, 5, s->permissions);
	put_bytes(w, 4, s->operation);
	put_number(w, 3, (uint64_t)(s->denied != 0));
	put_bytes(w, 2, s->record_type);
	put_number(w, 1, (uint64_t)s->kind);
}

static void
put_detail(struct writer *w, const Picket__V1__Event *e)
{
	const uint8_t *end = w->p;

	switch (e->detail_case) {
	case PICKET__V1__EVENT__DETAIL_PROCESS_START:
		put_process_start(w, e->process_start);
		break;
	case PICKET__V1__EVENT__DETAIL_PROCESS_END:
		put_process_end(w, e->process_end);
		break;
	case PICKET__V1__EVENT__DETAIL_CONNECTION:
		put_connection(w, e->connection);
		break;
	case PICKET__V1__EVENT__DETAIL_PORT_LISTEN:
		put_port_listen(w, e->port_listen);
		break;
	case PICKET__V1__EVENT__DETAIL_FILE_CHANGE:
		put_file_change(w, e->file_change);
		break;
	case PICKET__V1__EVENT__DETAIL_MODULE:
		put_module(w, e->module);
		break;
	case PICKET__V1__EVENT__DETAIL_LOGON:
		put_logon(w, e->logon);
		break;
	case PICKET__V1__EVENT__DETAIL_LOSS:
		put_loss(w, e->loss);
		break;
	case PICKET__V1__EVENT__DETAIL_PROCESS_ACCESS:
		put_access(w, e->process_access);
		break;
	case PICKET__V1__EVENT__DETAIL_ACCOUNT_CHANGE:
		put_account(w, e->account_change);
		break;
	case PICKET__V1__EVENT__DETAIL_AUDIT_CHANGE:
		put_audit(w, e->audit_change);
		break;
	case PICKET__V1__EVENT__DETAIL_NETFILTER_CHANGE:
		put_netfilter(w, e->netfilter_change);
		break;
	case PICKET__V1__EVENT__DETAIL_BPF_PROGRAM:
		put_bpf(w, e->bpf_program);
		break;
	case PICKET__V1__EVENT__DETAIL_SECURITY:
		put_security(w, e->security);
		break;
	default:
		return;
	}
	put_header(w, (uint32_t)e->detail_case, end); /* the case is the field's number */
}

static void
put_event(struct writer *w, const Picket__V1__Event *e)
{
	const uint8_t *end;

	put_detail(w, e);
	for (size_t i = e->n_keys; i > 0; i--)
		put_element(w, 8, e->keys[i - 1]);
	put_bytes(w, 7, e->syscall);
	if (e->process != NULL) {
		end = w->p;
		put_process(w, e->process);
		put_header(w, 6, end);
	}
	put_number(w, 5, e->error);
	put_number(w, 4, (uint64_t)e->outcome);
	put_number(w, 3, e->serial);
	put_number(w, 2, e->time_ms);
	put_number(w, 1, (uint64_t)e->type);
}

size_t
encode_event(const Picket__V1__Event *event, uint8_t *buf, size_t size, const uint8_t **ret)
{
	struct writer w = {.start = buf, .p = buf + size};

	put_event(&w, event);
	*ret = w.p;
	return w.full ? 0 : (size_t)(buf + size - w.p);
}

size_t
encode_record(const Picket__V1__Event *event, uint64_t epoch, uint64_t sequence, uint8_t *buf, size_t size,
    const uint8_t **ret, const uint8_t **ret_record)
{
	struct writer w = {.start = buf, .p = buf + size};

	put_event(&w, event);
	put_header(&w, 4, buf + size);
	put_number(&w, 3, (uint64_t)event->type);
	put_number(&w, 2, sequence);
	put_fixed64(&w, 1, epoch);
	if (ret_record != NULL)
		*ret_record = w.p;
	put_header(&w, 2, buf + size);
	*ret = w.p;
	return w.full ? 0 : (size_t)(buf + size - w.p);
}
