/*
 * One raw audit record: its type, its stamp and its fields.
 *
 * Two forms, one structure: a line of a log ("node=H type=X msg=audit(sec.ms:serial): k=v ..." with or without the
 * enriched part behind a 0x1d byte) and a netlink message (a number and "audit(sec.ms:serial): k=v ..."). Nothing is
 * copied: slices point into the caller's buffer.
 *
 * The buffer must be readable for RECORD_PAD bytes behind the record: fields are found eight bytes at a time.
 */
#ifndef PICKET_COLLECTORD_RECORD_H
#define PICKET_COLLECTORD_RECORD_H

#include <linux/audit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that must be readable (any value) behind what is parsed: one 64-bit load that starts at the last byte, and one
 * more. */
#define RECORD_PAD 16u

/*
 * Bytes of one record. The kernel sends at most MAX_AUDIT_MESSAGE_LENGTH (8,970); auditd's enriched form adds names. A
 * longer line is not from either.
 */
#define RECORD_MAX_BYTES 16384u

/* Types are the kernel's numbers (linux/audit.h); a type that nobody here reads has this one. */
#define RECORD_TYPE_OTHER 0u

/* User messages that are read: as in libaudit.h, which the parser does without. */
#define RECORD_USER_AUTH 1100u
#define RECORD_USER_START 1105u
#define RECORD_USER_END 1106u
#define RECORD_USER_LOGIN 1112u
#define RECORD_USER_LOGOUT 1113u

/* Kernel 5.16; not in every linux/audit.h. */
#ifndef AUDIT_OPENAT2
#define AUDIT_OPENAT2 1337
#endif

struct slice {
	const uint8_t *data;
	size_t len;
};

struct record {
	uint16_t type;
	uint32_t serial;
	uint32_t node;     /* hash of node=, 0 without one: logs of several hosts in one file */
	uint64_t time_ms;  /* milliseconds since 1970 */
	struct slice body; /* fields, without the enriched part */
};

enum record_fault {
	RECORD_OK = 0,
	RECORD_NO_TYPE,  /* does not start with type= (or node=) */
	RECORD_NO_STAMP, /* no msg=audit(sec.ms:serial): */
	RECORD_TOO_LONG, /* over RECORD_MAX_BYTES */
	RECORD_FAULTS,   /* how many there are */
};

/* Name of a fault for counters. */
const char *record_fault_name(enum record_fault fault);

/* record_parse_line - a line of a log, without its newline. *ret is complete only after RECORD_OK. */
enum record_fault record_parse_line(const uint8_t *line, size_t len, struct record *ret);

/* record_parse_netlink - the payload of a netlink message of type `type`; a trailing NUL or newline is not part of it.
 */
enum record_fault record_parse_netlink(uint16_t type, const uint8_t *payload, size_t len, struct record *ret);

/* ---- fields ---- */

/* A key of up to eight bytes as a number; 0 stands for every longer one. */
#define FIELD_KEY8(a, b, c, d, e, f, g, h)                                                                             \
	((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 | (uint64_t)(e) << 32 |        \
	    (uint64_t)(f) << 40 | (uint64_t)(g) << 48 | (uint64_t)(h) << 56)

struct field {
	uint64_t key;       /* FIELD_KEY8, 0 when longer */
	struct slice name;  /* the key as text */
	struct slice value; /* without quotes */
	bool quoted;        /* by "..." (literal) or '...' (nested fields) */
};

struct fields {
	const uint8_t *next, *end;
};

static inline struct fields
fields_of(struct slice body)
{
	return (struct fields){body.data, body.data + body.len};
}

/* Eight bytes as a little-endian number. */
static inline uint64_t
load_le64(const uint8_t *p)
{
	uint64_t word;

	(void)memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

/* The high bit of the first byte of `word` that equals the one repeated in `pattern`; bits above it mean nothing. */
static inline uint64_t
find_byte(uint64_t word, uint64_t pattern)
{
	uint64_t x = word ^ pattern;

	return (x - UINT64_C(0x0101010101010101)) & ~x & UINT64_C(0x8080808080808080);
}

#define EIGHT_SPACES UINT64_C(0x2020202020202020)
#define EIGHT_EQUALS UINT64_C(0x3d3d3d3d3d3d3d3d)

/* First space at or after p, or end. */
static inline const uint8_t *
find_space(const uint8_t *p, const uint8_t *end)
{
	for (; p < end; p += 8) {
		uint64_t hit = find_byte(load_le64(p), EIGHT_SPACES);

		if (hit != 0) {
			p += (unsigned int)__builtin_ctzll(hit) / 8;
			return p < end ? p : end;
		}
	}
	return end;
}

/* The key at p: its end (the '='), or NULL when a space or the end comes first. */
static inline const uint8_t *
find_key_end(const uint8_t *p, const uint8_t *end, uint64_t *ret_key)
{
	uint64_t word = load_le64(p);
	uint64_t equals = find_byte(word, EIGHT_EQUALS), space = find_byte(word, EIGHT_SPACES);

	if (equals != 0 && (space == 0 || __builtin_ctzll(equals) < __builtin_ctzll(space))) {
		unsigned int bits = (unsigned int)__builtin_ctzll(equals) & ~7u;

		*ret_key = word & ((UINT64_C(1) << bits) - 1);
		p += bits / 8;
		return p < end ? p : NULL;
	}
	*ret_key = 0;
	for (; p < end && *p != ' '; p++)
		if (*p == '=')
			return p;
	return NULL;
}

/*
 * field_next - the next k=v; words without '=' are skipped.
 * Returns false at the end. A quote that is not closed takes the rest of the record as its value.
 */
static inline bool
field_next(struct fields *f, struct field *ret)
{
	const uint8_t *p = f->next, *end = f->end, *eq, *v, *v_end;

	for (;;) {
		while (p < end && *p == ' ')
			p++;
		if (p >= end) {
			f->next = end;
			return false;
		}
		eq = find_key_end(p, end, &ret->key);
		if (eq != NULL)
			break;
		p = find_space(p, end);
	}
	/* A key of exactly eight bytes has its '=' in the next word. */
	if (eq - p == 8)
		ret->key = load_le64(p);
	ret->name = (struct slice){p, (size_t)(eq - p)};
	v = eq + 1;
	ret->quoted = v < end && (*v == '"' || *v == '\'');
	if (ret->quoted) {
		v_end = memchr(v + 1, *v, (size_t)(end - v - 1));
		v++;
		if (v_end == NULL)
			v_end = end;
		f->next = v_end < end ? v_end + 1 : end;
	} else {
		v_end = find_space(v, end);
		f->next = v_end;
	}
	ret->value = (struct slice){v, (size_t)(v_end - v)};
	return true;
}

/* Digits up to the first byte that is none; what does not fit wraps. */
static inline uint64_t
slice_decimal(struct slice s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.len && (uint8_t)(s.data[i] - '0') < 10; i++)
		n = n * 10 + (uint64_t)(s.data[i] - '0');
	return n;
}

static inline int64_t
slice_signed(struct slice s)
{
	if (s.len > 0 && s.data[0] == '-')
		return -(int64_t)slice_decimal((struct slice){s.data + 1, s.len - 1});
	return (int64_t)slice_decimal(s);
}

static inline uint32_t
slice_octal(struct slice s)
{
	uint32_t n = 0;

	for (size_t i = 0; i < s.len && (uint8_t)(s.data[i] - '0') < 8; i++)
		n = n * 8 + (uint32_t)(s.data[i] - '0');
	return n;
}

/* Value of a hexadecimal digit, or above 15 for any other byte. */
extern const uint8_t record_hex_value[256];

static inline uint64_t
slice_hex(struct slice s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.len && record_hex_value[s.data[i]] < 16; i++)
		n = n << 4 | record_hex_value[s.data[i]];
	return n;
}

static inline bool
slice_is(struct slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* How a value is written: decided by the writer (kernel: audit_log_untrustedstring), so read it before using one. */
enum field_form {
	FIELD_ABSENT,  /* (null) without quotes, ? or nothing */
	FIELD_LITERAL, /* quoted, or text that is not hexadecimal */
	FIELD_HEX,     /* unquoted, an even number of hexadecimal digits */
};

enum field_form record_field_form(const struct field *f);

/*
 * record_field_decode - the bytes that a value stands for.
 * @out: at least f->value.len bytes.
 * Returns how many were written; 0 also for an absent one.
 */
size_t record_field_decode(const struct field *f, uint8_t *out);

/* record_hex_decode - n / 2 bytes from n digits that are known to be hexadecimal. */
void record_hex_decode(const uint8_t *digits, size_t n, uint8_t *out);

#endif
