/*
 * Takes the fields of a notice: each type of record has its own, which the table below brings to one structure. Never
 * judges what they mean: that is normalise_notice.c. Called by event.c, for rare records only.
 */
#include <string.h>

#include "collectord/event.h"
#include "common/cleanup.h"

enum form {
	FORM_TEXT,    /* quoted, or hexadecimal when it has bytes that cannot stand there */
	FORM_PLAIN,   /* as it stands: never hexadecimal */
	FORM_DECIMAL, /* may be negative */
	FORM_HEX,     /* with or without 0x */
	FORM_RESULT,  /* 1 or success */
	FORM_NAMED,   /* a number, and the field's name is the setting */
};

struct field_row {
	const char *name;
	uint8_t slot; /* enum notice_text or notice_number */
	uint8_t form;
};

/* Where two fields have the same place, the first one in the record counts. */
static const struct field_row field_rows[] = {
    /* clang-format off */
	{"op",             NOTICE_OP,           FORM_PLAIN},
	{"operation",      NOTICE_OP,           FORM_TEXT}, /* AppArmor */
	{"path",           NOTICE_OBJECT,       FORM_TEXT},
	{"dir",            NOTICE_OBJECT,       FORM_TEXT},
	{"name",           NOTICE_OBJECT,       FORM_TEXT},
	{"dev",            NOTICE_OBJECT,       FORM_TEXT},
	{"table",          NOTICE_OBJECT,       FORM_PLAIN},
	{"scontext",       NOTICE_SUBJECT,      FORM_PLAIN},
	{"profile",        NOTICE_SUBJECT,      FORM_TEXT},
	{"tcontext",       NOTICE_CONTEXT,      FORM_PLAIN},
	{"tclass",         NOTICE_OBJECT_CLASS, FORM_PLAIN},
	{"class",          NOTICE_OBJECT_CLASS, FORM_TEXT},
	{"requested_mask", NOTICE_PERMISSIONS,  FORM_TEXT},
	{"apparmor",       NOTICE_VERDICT,      FORM_TEXT},
	{"key",            NOTICE_KEY,          FORM_TEXT},
	{"bool",           NOTICE_SETTING,      FORM_PLAIN},
	{"acct",           NOTICE_ACCT,         FORM_TEXT},
	{"comm",           NOTICE_COMM,         FORM_TEXT},
	{"exe",            NOTICE_EXE,          FORM_TEXT},
	{"pid",            NOTICE_PID,          FORM_DECIMAL},
	{"ppid",           NOTICE_PPID,         FORM_DECIMAL},
	{"uid",            NOTICE_UID,          FORM_DECIMAL},
	{"gid",            NOTICE_GID,          FORM_DECIMAL},
	{"auid",           NOTICE_AUID,         FORM_DECIMAL},
	{"ses",            NOTICE_SESSION,      FORM_DECIMAL},
	{"list",           NOTICE_LIST,         FORM_DECIMAL},
	{"family",         NOTICE_FAMILY,       FORM_DECIMAL},
	{"entries",        NOTICE_ENTRIES,      FORM_DECIMAL},
	{"prog-id",        NOTICE_PROGRAM,      FORM_DECIMAL},
	{"sig",            NOTICE_SIGNAL,       FORM_DECIMAL},
	{"arch",           NOTICE_ARCH,         FORM_HEX},
	{"syscall",        NOTICE_SYSCALL,      FORM_DECIMAL},
	{"code",           NOTICE_CODE,         FORM_HEX},
	{"permissive",     NOTICE_PERMISSIVE,   FORM_DECIMAL},
	{"res",            NOTICE_RESULT,       FORM_RESULT},
	{"val",            NOTICE_VALUE,        FORM_DECIMAL},
	{"prom",           NOTICE_VALUE,        FORM_DECIMAL},
	{"enforcing",      NOTICE_VALUE,        FORM_NAMED},
	{"old",            NOTICE_OLD_VALUE,    FORM_DECIMAL},
	{"old_val",        NOTICE_OLD_VALUE,    FORM_DECIMAL},
	{"old_prom",       NOTICE_OLD_VALUE,    FORM_DECIMAL},
	{"old_enforcing",  NOTICE_OLD_VALUE,    FORM_DECIMAL},
    /* clang-format on */
};

/* audit_enabled=, audit_backlog_limit= ...: what CONFIG_CHANGE calls its settings. */
static const struct field_row audit_setting = {"audit_", NOTICE_VALUE, FORM_NAMED};

static const struct field_row *
row_of(struct slice name)
{
	size_t prefix = strlen(audit_setting.name);

	for (size_t i = 0; i < ARRAY_LEN(field_rows); i++)
		if (slice_is(name, field_rows[i].name))
			return &field_rows[i];
	if (name.len > prefix && memcmp(name.data, audit_setting.name, prefix) == 0)
		return &audit_setting;
	return NULL;
}

static uint64_t
number_of(struct slice value, enum form form)
{
	switch (form) {
	case FORM_HEX:
		if (value.len > 2 && value.data[1] == 'x')
			value = (struct slice){value.data + 2, value.len - 2};
		return slice_hex(value);
	case FORM_RESULT:
		return value.len > 0 && (value.data[0] == 's' || value.data[0] == '1');
	default:
		return (uint64_t)slice_signed(value);
	}
}

static void
take_field(struct audit_event *e, const struct field *f)
{
	struct event_notice *n = &e->notice;
	const struct field_row *row = row_of(f->name);

	if (row == NULL)
		return;
	if (row->form == FORM_TEXT || row->form == FORM_PLAIN) {
		if (n->text[row->slot].data == NULL)
			n->text[row->slot] =
			    row->form == FORM_TEXT ? event_keep_text(e, f) : event_keep_plain(e, f->value);
		return;
	}
	if (n->numbers & 1u << row->slot)
		return;
	n->numbers |= 1u << row->slot;
	n->number[row->slot] = number_of(f->value, row->form);
	if (row->form == FORM_NAMED)
		n->text[NOTICE_SETTING] = event_keep_plain(e, f->name);
}

/* "avc:  denied  { read write } for  pid=...": SELinux's verdict stands before the fields. */
static void
take_verdict(struct audit_event *e, struct slice body)
{
	static const char start[] = "avc:";
	const uint8_t *open, *close;
	struct slice words;

	if (body.len < sizeof(start) - 1 || memcmp(body.data, start, sizeof(start) - 1) != 0)
		return;
	open = memchr(body.data, '{', body.len);
	if (open == NULL)
		return;
	close = memchr(open, '}', (size_t)(body.data + body.len - open));
	if (close == NULL)
		return;
	e->notice.denied = memmem(body.data, (size_t)(open - body.data), "denied", 6) != NULL;
	words = (struct slice){open + 1, (size_t)(close - open - 1)};
	while (words.len > 0 && words.data[0] == ' ')
		words = (struct slice){words.data + 1, words.len - 1};
	while (words.len > 0 && words.data[words.len - 1] == ' ')
		words.len--;
	e->notice.text[NOTICE_PERMISSIONS] = event_keep_plain(e, words);
}

static void
take_fields(struct audit_event *e, struct slice body)
{
	struct fields it = fields_of(body);
	struct field f, inner;

	take_verdict(e, body);
	while (field_next(&it, &f)) {
		if (!slice_is(f.name, "msg")) {
			take_field(e, &f);
			continue;
		}
		/* What a program said, in quotes: never more than one level. */
		struct fields inside = fields_of(f.value);

		take_verdict(e, f.value);
		while (field_next(&inside, &inner))
			take_field(e, &inner);
	}
}

void
event_take_notice(struct audit_event *e, const struct notice_type *type, struct slice body)
{
	if (e->parts & EVENT_NOTICE) {
		e->notice.records++;
		return;
	}
	e->parts |= EVENT_NOTICE;
	e->notice = (struct event_notice){.type = type, .records = 1};
	take_fields(e, body);
}
