/*
 * Reads one raw audit record into slices. Never allocates, never keeps a pointer, never looks behind the record but for
 * RECORD_PAD bytes. Called by the sources through pipeline.c, once per record: this is the hottest code of the program.
 */
#include "collectord/record.h"

#include <linux/audit.h>

#include "collectord/notices.h"
#include "common/cleanup.h"

#define X 0xff
const uint8_t record_hex_value[256] = {
    /* clang-format off */
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,   X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,   0, 1, 2, 3, 4, 5, 6, 7, 8, 9, X, X, X, X, X, X,
	X,10,11,12,13,14,15, X, X, X, X, X, X, X, X, X,   X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X,10,11,12,13,14,15, X, X, X, X, X, X, X, X, X,   X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,   X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,   X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,   X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,   X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    /* clang-format on */
};
#undef X

/* The types that are read here, that end an event or that come too often to look far for; rare ones are in notices.c. A
 * log names them, netlink numbers them. */
struct type_name {
	const char *name;
	uint8_t len;
	uint16_t type;
};

#define TYPE_NAME(n)                                                                                                   \
	{                                                                                                              \
#n, sizeof(#n) - 1, AUDIT_##n                                                                          \
	}
/* Most frequent first. */
static const struct type_name type_names[] = {
    /* clang-format off */
	TYPE_NAME(PATH), TYPE_NAME(SYSCALL), TYPE_NAME(PROCTITLE), TYPE_NAME(CWD), TYPE_NAME(EOE), TYPE_NAME(EXECVE), TYPE_NAME(SOCKADDR),
	TYPE_NAME(BPRM_FCAPS), TYPE_NAME(MMAP), TYPE_NAME(OBJ_PID),
	TYPE_NAME(LOGIN), TYPE_NAME(KERN_MODULE), TYPE_NAME(OPENAT2), TYPE_NAME(SOCKETCALL),
    /* clang-format on */
    {"USER_AUTH", 9, RECORD_USER_AUTH},
    {"USER_START", 10, RECORD_USER_START},
    {"USER_END", 8, RECORD_USER_END},
    {"USER_LOGIN", 10, RECORD_USER_LOGIN},
    {"USER_LOGOUT", 11, RECORD_USER_LOGOUT},
};

const char *
record_fault_name(enum record_fault fault)
{
	static const char *const names[] = {"ok", "no_type", "no_stamp", "too_long"};

	return (size_t)fault < ARRAY_LEN(names) ? names[fault] : "unknown";
}

static uint16_t
type_number(const uint8_t *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(type_names); i++)
		if (type_names[i].len == len && memcmp(type_names[i].name, name, len) == 0)
			return type_names[i].type;
	return notices_number(name, len);
}

/* FNV-1a; never 0. */
static uint32_t
hash_node(const uint8_t *p, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 16777619u;
	return h | 1;
}

/* One or more digits at *p, which moves behind them. */
static bool
take_number(const uint8_t **p, const uint8_t *end, unsigned int max_digits, uint64_t *ret)
{
	const uint8_t *q = *p;
	uint64_t n = 0;

	while (q < end && (uint8_t)(*q - '0') < 10)
		n = n * 10 + (uint64_t)(*q++ - '0');
	if (q == *p || (unsigned int)(q - *p) > max_digits)
		return false;
	*p = q;
	*ret = n;
	return true;
}

/* "audit(1795492574.373:380834): " at p; the body follows it. */
static enum record_fault
parse_stamp(const uint8_t *p, const uint8_t *end, struct record *ret)
{
	static const char start[] = "audit(";
	uint64_t sec, ms, serial;

	if ((size_t)(end - p) < sizeof(start) - 1 || memcmp(p, start, sizeof(start) - 1) != 0)
		return RECORD_NO_STAMP;
	p += sizeof(start) - 1;
	/* 11 digits of seconds last until the year 5138; serials are 32 bits. */
	if (!take_number(&p, end, 11, &sec) || p == end || *p++ != '.' || !take_number(&p, end, 3, &ms) || p == end ||
	    *p++ != ':' || !take_number(&p, end, 10, &serial) || serial > UINT32_MAX)
		return RECORD_NO_STAMP;
	if (end - p < 2 || p[0] != ')' || p[1] != ':')
		return RECORD_NO_STAMP;
	p += 2;
	if (p < end && *p == ' ')
		p++;
	ret->time_ms = sec * 1000 + ms;
	ret->serial = (uint32_t)serial;
	ret->body = (struct slice){p, (size_t)(end - p)};
	return RECORD_OK;
}

enum record_fault
record_parse_line(const uint8_t *line, size_t len, struct record *ret)
{
	static const char node[] = "node=", type[] = "type=", msg[] = " msg=";
	const uint8_t *p = line, *end = line + len, *q;
	enum record_fault fault;

	if (len > RECORD_MAX_BYTES)
		return RECORD_TOO_LONG;
	ret->node = 0;
	if (len > 5 && memcmp(p, node, 5) == 0) {
		q = memchr(p, ' ', len);
		if (q == NULL)
			return RECORD_NO_TYPE;
		ret->node = hash_node(p + 5, (size_t)(q - p - 5));
		p = q + 1;
	}
	if ((size_t)(end - p) <= 5 || memcmp(p, type, 5) != 0)
		return RECORD_NO_TYPE;
	p += 5;
	q = find_space(p, end);
	if (q == p)
		return RECORD_NO_TYPE;
	ret->type = type_number(p, (size_t)(q - p));
	if (end - q < 5 || memcmp(q, msg, 5) != 0)
		return RECORD_NO_STAMP;
	fault = parse_stamp(q + 5, end, ret);
	/* The title is never read, and is the longest to search. */
	if (fault == RECORD_OK && ret->type != AUDIT_PROCTITLE) {
		q = memchr(ret->body.data, 0x1d, ret->body.len);
		if (q != NULL)
			ret->body.len = (size_t)(q - ret->body.data);
	}
	return fault;
}

enum record_fault
record_parse_netlink(uint16_t type, const uint8_t *payload, size_t len, struct record *ret)
{
	while (len > 0 && (payload[len - 1] == '\0' || payload[len - 1] == '\n'))
		len--;
	if (len > RECORD_MAX_BYTES)
		return RECORD_TOO_LONG;
	ret->node = 0;
	ret->type = type;
	return parse_stamp(payload, payload + len, ret);
}

enum field_form
record_field_form(const struct field *f)
{
	const struct slice v = f->value;

	if (f->quoted)
		return FIELD_LITERAL;
	if (v.len == 0 || (v.len == 1 && v.data[0] == '?') || slice_is(v, "(null)"))
		return FIELD_ABSENT;
	if (v.len % 2 != 0)
		return FIELD_LITERAL;
	for (size_t i = 0; i < v.len; i++)
		if (record_hex_value[v.data[i]] > 15)
			return FIELD_LITERAL;
	return FIELD_HEX;
}

void
record_hex_decode(const uint8_t *digits, size_t n, uint8_t *out)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		*out++ = (uint8_t)(record_hex_value[digits[i]] << 4 | record_hex_value[digits[i + 1]]);
}

size_t
record_field_decode(const struct field *f, uint8_t *out)
{
	switch (record_field_form(f)) {
	case FIELD_ABSENT:
		return 0;
	case FIELD_HEX:
		record_hex_decode(f->value.data, f->value.len, out);
		return f->value.len / 2;
	case FIELD_LITERAL:
		break;
	}
	(void)memcpy(out, f->value.data, f->value.len);
	return f->value.len;
}
