/*
 * Takes the fields of each record of an event. Never judges what they mean: that is normalise.c. Called by assemble.c.
 * Field names and forms: kernel/auditsc.c of Linux 6.x, audit_log_exit() and what it calls.
 */
#include "collectord/event.h"

#include <linux/audit.h>

#define K FIELD_KEY8
#define KEY_ARCH K('a', 'r', 'c', 'h', 0, 0, 0, 0)
#define KEY_SYSCALL K('s', 'y', 's', 'c', 'a', 'l', 'l', 0)
#define KEY_SUCCESS K('s', 'u', 'c', 'c', 'e', 's', 's', 0)
#define KEY_EXIT K('e', 'x', 'i', 't', 0, 0, 0, 0)
#define KEY_A0 K('a', '0', 0, 0, 0, 0, 0, 0)
#define KEY_A1 K('a', '1', 0, 0, 0, 0, 0, 0)
#define KEY_A2 K('a', '2', 0, 0, 0, 0, 0, 0)
#define KEY_A3 K('a', '3', 0, 0, 0, 0, 0, 0)
#define KEY_PPID K('p', 'p', 'i', 'd', 0, 0, 0, 0)
#define KEY_PID K('p', 'i', 'd', 0, 0, 0, 0, 0)
#define KEY_AUID K('a', 'u', 'i', 'd', 0, 0, 0, 0)
#define KEY_UID K('u', 'i', 'd', 0, 0, 0, 0, 0)
#define KEY_GID K('g', 'i', 'd', 0, 0, 0, 0, 0)
#define KEY_EUID K('e', 'u', 'i', 'd', 0, 0, 0, 0)
#define KEY_EGID K('e', 'g', 'i', 'd', 0, 0, 0, 0)
#define KEY_TTY K('t', 't', 'y', 0, 0, 0, 0, 0)
#define KEY_SES K('s', 'e', 's', 0, 0, 0, 0, 0)
#define KEY_COMM K('c', 'o', 'm', 'm', 0, 0, 0, 0)
#define KEY_EXE K('e', 'x', 'e', 0, 0, 0, 0, 0)
#define KEY_KEY K('k', 'e', 'y', 0, 0, 0, 0, 0)
#define KEY_CWD K('c', 'w', 'd', 0, 0, 0, 0, 0)
#define KEY_NAME K('n', 'a', 'm', 'e', 0, 0, 0, 0)
#define KEY_INODE K('i', 'n', 'o', 'd', 'e', 0, 0, 0)
#define KEY_DEV K('d', 'e', 'v', 0, 0, 0, 0, 0)
#define KEY_MODE K('m', 'o', 'd', 'e', 0, 0, 0, 0)
#define KEY_OUID K('o', 'u', 'i', 'd', 0, 0, 0, 0)
#define KEY_OGID K('o', 'g', 'i', 'd', 0, 0, 0, 0)
#define KEY_NAMETYPE K('n', 'a', 'm', 'e', 't', 'y', 'p', 'e')
#define KEY_SADDR K('s', 'a', 'd', 'd', 'r', 0, 0, 0)
#define KEY_OFLAG K('o', 'f', 'l', 'a', 'g', 0, 0, 0)
#define KEY_MSG K('m', 's', 'g', 0, 0, 0, 0, 0)
#define KEY_OP K('o', 'p', 0, 0, 0, 0, 0, 0)
#define KEY_ACCT K('a', 'c', 'c', 't', 0, 0, 0, 0)
#define KEY_HOSTNAME K('h', 'o', 's', 't', 'n', 'a', 'm', 'e')
#define KEY_ADDR K('a', 'd', 'd', 'r', 0, 0, 0, 0)
#define KEY_TERMINAL K('t', 'e', 'r', 'm', 'i', 'n', 'a', 'l')
#define KEY_RES K('r', 'e', 's', 0, 0, 0, 0, 0)
#define KEY_ID K('i', 'd', 0, 0, 0, 0, 0, 0)
#define KEY_GRP K('g', 'r', 'p', 0, 0, 0, 0, 0)
#define KEY_OPID K('o', 'p', 'i', 'd', 0, 0, 0, 0)
#define KEY_OAUID K('o', 'a', 'u', 'i', 'd', 0, 0, 0)
#define KEY_OSES K('o', 's', 'e', 's', 0, 0, 0, 0)
#define KEY_OCOMM K('o', 'c', 'o', 'm', 'm', 0, 0, 0)

void
event_begin(struct audit_event *e, struct arena_pool *pool)
{
	e->parts = 0;
	e->ignored = false;
	e->n_paths = 0;
	e->saddr_len = 0;
	e->cwd = e->module = (struct slice){NULL, 0};
	e->open_flags = 0;
	args_reset(&e->args);
	arena_reset(&e->arena, pool);
}

struct slice
event_keep_text(struct audit_event *e, const struct field *f)
{
	enum field_form form = record_field_form(f);
	size_t n = form == FIELD_HEX ? f->value.len / 2 : f->value.len;
	uint8_t *p;

	if (form == FIELD_ABSENT)
		return (struct slice){NULL, 0};
	if (n > EVENT_TEXT_BYTES) {
		e->parts |= EVENT_CUT;
		n = EVENT_TEXT_BYTES;
	}
	p = arena_alloc(&e->arena, n);
	if (p == NULL) {
		e->parts |= EVENT_CUT;
		return (struct slice){NULL, 0};
	}
	if (form == FIELD_HEX)
		record_hex_decode(f->value.data, n * 2, p);
	else
		(void)memcpy(p, f->value.data, n);
	return (struct slice){p, n};
}

struct slice
event_keep_plain(struct audit_event *e, struct slice value)
{
	const struct field literal = {.value = value, .quoted = true};

	if (slice_is(value, "?") || slice_is(value, "(none)") || slice_is(value, "(null)"))
		return (struct slice){NULL, 0};
	return event_keep_text(e, &literal);
}

static void
add_syscall(struct audit_event *e, struct slice body)
{
	struct event_syscall *s = &e->sys;
	struct fields it = fields_of(body);
	struct field f;
	uint32_t arch = 0;

	*s = (struct event_syscall){.auid = UINT32_MAX, .session = UINT32_MAX};
	e->parts |= EVENT_SYSCALL;
	while (field_next(&it, &f)) {
		switch (f.key) {
		case KEY_ARCH:
			arch = (uint32_t)slice_hex(f.value);
			break;
		case KEY_SYSCALL:
			s->nr = (uint32_t)slice_decimal(f.value);
			s->call = calls_find(arch, s->nr);
			/* LOGIN events carry the write(2) that set the login user, notices the call they came from. */
			if (s->call == NULL && !(e->parts & (EVENT_LOGIN | EVENT_NOTICE))) {
				e->ignored = true;
				return;
			}
			break;
		case KEY_SUCCESS:
			s->has_result = true;
			s->success = f.value.len == 3;
			break;
		case KEY_EXIT:
			s->exit = slice_signed(f.value);
			break;
		case KEY_A0:
			s->a[0] = slice_hex(f.value);
			/* Most of what a debugger does. */
			if (s->call != NULL && s->call->kind == CALL_PTRACE && !(e->parts & EVENT_NOTICE) &&
			    calls_ptrace(s->a[0]) == PTRACE_STEERS) {
				e->ignored = true;
				return;
			}
			break;
		case KEY_A1:
			s->a[1] = slice_hex(f.value);
			break;
		case KEY_A2:
			s->a[2] = slice_hex(f.value);
			break;
		case KEY_A3:
			s->a[3] = slice_hex(f.value);
			break;
		case KEY_PPID:
			s->ppid = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_PID:
			s->pid = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_AUID:
			s->auid = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_UID:
			s->uid = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_GID:
			s->gid = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_EUID:
			s->euid = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_EGID:
			s->egid = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_SES:
			s->session = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_TTY:
			s->tty = event_keep_plain(e, f.value);
			break;
		case KEY_COMM:
			s->comm = event_keep_text(e, &f);
			break;
		case KEY_EXE:
			s->exe = event_keep_text(e, &f);
			break;
		case KEY_KEY:
			s->key = event_keep_text(e, &f);
			return; /* the last field */
		default:
			break;
		}
	}
}

static enum event_name_type
name_type(struct slice value)
{
	switch (value.len > 0 ? value.data[0] : 0) {
	case 'N':
		return NAME_NORMAL;
	case 'P':
		return NAME_PARENT;
	case 'C':
		return NAME_CREATE;
	case 'D':
		return NAME_DELETE;
	default:
		return NAME_UNKNOWN;
	}
}

/* "fe:00": both hexadecimal. */
static void
parse_device(struct slice value, struct event_path *p)
{
	const uint8_t *colon = memchr(value.data, ':', value.len);

	if (colon == NULL)
		return;
	p->dev_major = (uint32_t)slice_hex(value);
	p->dev_minor = (uint32_t)slice_hex((struct slice){colon + 1, (size_t)(value.data + value.len - colon - 1)});
}

static void
add_path(struct audit_event *e, struct slice body)
{
	struct fields it = fields_of(body);
	struct field f;
	struct event_path *p;

	if (e->n_paths == EVENT_PATHS)
		return;
	p = &e->paths[e->n_paths++];
	*p = (struct event_path){0};
	while (field_next(&it, &f)) {
		switch (f.key) {
		case KEY_NAME:
			p->name = event_keep_text(e, &f);
			break;
		case KEY_INODE:
			p->inode = slice_decimal(f.value);
			break;
		case KEY_DEV:
			parse_device(f.value, p);
			break;
		case KEY_MODE:
			p->mode = slice_octal(f.value);
			break;
		case KEY_OUID:
			p->uid = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_OGID:
			p->gid = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_NAMETYPE:
			p->type = name_type(f.value);
			return; /* file capabilities follow, which are not read */
		default:
			break;
		}
	}
}

static void
add_saddr(struct audit_event *e, struct slice body)
{
	struct fields it = fields_of(body);
	struct field f;

	while (field_next(&it, &f)) {
		if (f.key != KEY_SADDR || record_field_form(&f) != FIELD_HEX)
			continue;
		e->saddr_len = f.value.len / 2 < EVENT_SADDR_BYTES ? f.value.len / 2 : EVENT_SADDR_BYTES;
		record_hex_decode(f.value.data, e->saddr_len * 2, e->saddr);
		e->parts |= EVENT_SADDR;
		return;
	}
}

/* One text field of a record that has nothing else of interest. */
static struct slice
text_field(struct audit_event *e, struct slice body, uint64_t key)
{
	struct fields it = fields_of(body);
	struct field f;

	while (field_next(&it, &f))
		if (f.key == key)
			return event_keep_text(e, &f);
	return (struct slice){NULL, 0};
}

static void
add_open_flags(struct audit_event *e, struct slice body)
{
	struct fields it = fields_of(body);
	struct field f;

	while (field_next(&it, &f))
		if (f.key == KEY_OFLAG)
			e->open_flags = slice_octal(f.value);
	e->parts |= EVENT_OPENAT2;
}

static void
add_socketcall(struct audit_event *e, struct slice body)
{
	struct fields it = fields_of(body);
	struct field f;

	while (field_next(&it, &f)) {
		if (f.key == KEY_A0)
			e->socketcall[0] = slice_hex(f.value);
		else if (f.key == KEY_A1)
			e->socketcall[1] = slice_hex(f.value);
		else if (f.key == KEY_A2)
			e->socketcall[2] = slice_hex(f.value);
	}
	e->parts |= EVENT_SOCKETCALL;
}

/* The first one: ptrace and the like have one target. */
static void
add_target(struct audit_event *e, struct slice body)
{
	struct event_target *t = &e->target;
	struct fields it = fields_of(body);
	struct field f;

	if (e->parts & EVENT_TARGET)
		return;
	*t = (struct event_target){.auid = UINT32_MAX, .session = UINT32_MAX};
	e->parts |= EVENT_TARGET;
	while (field_next(&it, &f)) {
		if (f.key == KEY_OPID)
			t->pid = (uint32_t)slice_decimal(f.value);
		else if (f.key == KEY_OUID)
			t->uid = (uint32_t)slice_decimal(f.value);
		else if (f.key == KEY_OAUID)
			t->auid = (uint32_t)slice_signed(f.value); /* -1: none */
		else if (f.key == KEY_OSES)
			t->session = (uint32_t)slice_signed(f.value);
		else if (f.key == KEY_OCOMM)
			t->comm = event_keep_text(e, &f);
	}
}

/* op= of some programs has several words: "op=adding user id=7". It goes up to the next field. */
static struct slice
whole_op(struct field op, struct fields rest)
{
	struct field next;

	if (op.quoted)
		return op.value;
	if (!field_next(&rest, &next))
		return (struct slice){op.value.data, (size_t)(rest.end - op.value.data)};
	while (next.name.data[-1] == ' ')
		next.name.data--;
	return (struct slice){op.value.data, (size_t)(next.name.data - op.value.data)};
}

/* The inside of msg='...' and the fields before it have different keys, so one walk serves both. */
static void
add_user_fields(struct audit_event *e, struct slice body, bool inside)
{
	struct event_user *u = &e->user;
	struct fields it = fields_of(body);
	struct field f;

	while (field_next(&it, &f)) {
		switch (f.key) {
		case KEY_PID:
			u->pid = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_UID:
			u->uid = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_AUID:
			u->auid = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_SES:
			u->session = (uint32_t)slice_decimal(f.value);
			break;
		case KEY_OP:
			u->op = event_keep_plain(e, whole_op(f, it));
			break;
		case KEY_ACCT:
		case KEY_ID: /* USER_LOGIN of sshd and login: a number or a name */
			if (u->acct.data == NULL)
				u->acct = f.key == KEY_ID ? event_keep_plain(e, f.value) : event_keep_text(e, &f);
			break;
		case KEY_GRP:
			u->grp = event_keep_text(e, &f);
			break;
		case KEY_EXE:
			u->exe = event_keep_text(e, &f);
			break;
		case KEY_HOSTNAME:
			u->hostname = event_keep_plain(e, f.value);
			break;
		case KEY_ADDR:
			u->addr = event_keep_plain(e, f.value);
			break;
		case KEY_TERMINAL:
		case KEY_TTY:
			u->terminal = event_keep_plain(e, f.value);
			break;
		case KEY_RES:
			u->has_result = true;
			u->success = f.value.len > 0 && (f.value.data[0] == 's' || f.value.data[0] == '1');
			break;
		case KEY_MSG:
			if (!inside)
				add_user_fields(e, f.value, true);
			return;
		default:
			break;
		}
	}
}

static void
add_user(struct audit_event *e, const struct record *r, enum event_part part)
{
	e->user = (struct event_user){.type = r->type, .auid = UINT32_MAX, .session = UINT32_MAX};
	add_user_fields(e, r->body, false);
	e->parts |= part;
}

/* Sent by programs, one record each. */
static bool
is_user_message(uint16_t type)
{
	return (type >= AUDIT_FIRST_USER_MSG && type <= AUDIT_LAST_USER_MSG) ||
	       (type >= AUDIT_FIRST_USER_MSG2 && type <= AUDIT_LAST_USER_MSG2);
}

static bool
is_logon(uint16_t type)
{
	return type == RECORD_USER_AUTH || type == RECORD_USER_START || type == RECORD_USER_END ||
	       type == RECORD_USER_LOGIN || type == RECORD_USER_LOGOUT;
}

/* Never comes without the SYSCALL record of the same event. */
static bool
is_piece(uint16_t type)
{
	switch (type) {
	case AUDIT_PATH:
	case AUDIT_IPC:
	case AUDIT_SOCKETCALL:
	case AUDIT_SOCKADDR:
	case AUDIT_CWD:
	case AUDIT_EXECVE:
	case AUDIT_IPC_SET_PERM:
	case AUDIT_MQ_OPEN:
	case AUDIT_MQ_SENDRECV:
	case AUDIT_MQ_NOTIFY:
	case AUDIT_MQ_GETSETATTR:
	case AUDIT_FD_PAIR:
	case AUDIT_OBJ_PID:
	case AUDIT_BPRM_FCAPS:
	case AUDIT_CAPSET:
	case AUDIT_MMAP:
	case AUDIT_KERN_MODULE:
	case AUDIT_OPENAT2:
		return true;
	default:
		return false;
	}
}

/* A record that says something by itself. Returns true when the event ends with it. */
static bool
take_alone(struct audit_event *e, const struct record *r)
{
	const struct notice_type *notice;

	if (is_user_message(r->type) && is_logon(r->type)) {
		add_user(e, r, EVENT_USER);
		return true;
	}
	e->parts |= EVENT_OTHER;
	notice = notices_find(r->type);
	if (notice != NULL && notice->class == NOTICE_ACCOUNT)
		add_user(e, r, EVENT_ACCOUNT);
	else if (notice != NULL)
		event_take_notice(e, notice, r->body);
	return is_user_message(r->type);
}

bool
event_take(struct audit_event *e, const struct record *r)
{
	switch (r->type) {
	case AUDIT_PROCTITLE:
		e->parts |= EVENT_PIECE | EVENT_ENDED;
		return true;
	case AUDIT_EOE:
		e->parts |= EVENT_ENDED;
		return true;
	case AUDIT_SYSCALL:
		add_syscall(e, r->body);
		return false;
	case AUDIT_LOGIN:
		add_user(e, r, EVENT_LOGIN);
		return false;
	default:
		break;
	}
	if (!is_piece(r->type))
		return take_alone(e, r);
	e->parts |= EVENT_PIECE;
	if (e->ignored)
		return false;
	switch (r->type) {
	case AUDIT_PATH:
		add_path(e, r->body);
		break;
	case AUDIT_CWD:
		e->cwd = text_field(e, r->body, KEY_CWD);
		e->parts |= EVENT_CWD;
		break;
	case AUDIT_EXECVE:
		args_add(&e->args, r->body);
		e->parts |= EVENT_EXECVE;
		break;
	case AUDIT_SOCKADDR:
		add_saddr(e, r->body);
		break;
	case AUDIT_OBJ_PID:
		add_target(e, r->body);
		break;
	case AUDIT_KERN_MODULE:
		e->module = text_field(e, r->body, KEY_NAME);
		e->parts |= EVENT_MODULE;
		break;
	case AUDIT_OPENAT2:
		add_open_flags(e, r->body);
		break;
	case AUDIT_SOCKETCALL:
		add_socketcall(e, r->body);
		break;
	default:
		break;
	}
	return false;
}
