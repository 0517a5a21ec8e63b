/*
 * Puts the arguments of an execve together. Never keeps more than LIM_EVENT_ARGS_BYTES of them. Called by event.c.
 * Record format: kernel/auditsc.c, audit_log_execve_info().
 */
#include "collectord/args.h"

#include <stdlib.h>

#include "common/limits.h"

/* First allocation: nine of ten command lines fit. */
#define FIRST_BYTES 1024u
#define FIRST_ARGS 32u

/* Buffers larger than this are freed at reset: a recycled event must not keep the memory of one large command line. */
#define KEEP_BYTES KIB(8)
#define KEEP_ARGS 512u

void
args_reset(struct args *a)
{
	if (a->size > KEEP_BYTES || a->ends_size > KEEP_ARGS)
		args_free(a);
	a->len = a->n = a->cost = 0;
	a->argc = 0;
	a->part_want = 0;
	a->in_parts = a->truncated = false;
}

void
args_free(struct args *a)
{
	free(a->bytes);
	free(a->ends);
	*a = (struct args){0};
}

static bool
grow_bytes(struct args *a, size_t more)
{
	size_t size = a->size > 0 ? a->size : FIRST_BYTES;
	uint8_t *p;

	if (a->len + more <= a->size)
		return true;
	while (size < a->len + more)
		size *= 2;
	p = realloc(a->bytes, size);
	if (p == NULL)
		return false;
	a->bytes = p;
	a->size = size;
	return true;
}

static bool
grow_ends(struct args *a)
{
	size_t size = a->ends_size > 0 ? a->ends_size * 2 : FIRST_ARGS;
	uint32_t *p;

	if (a->n < a->ends_size)
		return true;
	p = realloc(a->ends, size * sizeof(*p));
	if (p == NULL)
		return false;
	a->ends = p;
	a->ends_size = size;
	return true;
}

/* Bytes of a length before an argument, and of its tag: what protobuf adds. */
static size_t
frame_bytes(size_t len)
{
	return len < 128 ? 2 : len < 16384 ? 3 : 4;
}

/* Append to the argument that was started last. */
static void
append(struct args *a, const struct field *f)
{
	bool hex = record_field_form(f) == FIELD_HEX;
	size_t n = hex ? f->value.len / 2 : f->value.len;

	if (a->cost + n > LIM_EVENT_ARGS_BYTES) {
		n = LIM_EVENT_ARGS_BYTES - a->cost;
		a->truncated = true;
	}
	if (n == 0 || !grow_bytes(a, n)) {
		a->truncated = a->truncated || n > 0;
		return;
	}
	if (hex)
		record_hex_decode(f->value.data, n * 2, a->bytes + a->len);
	else
		(void)memcpy(a->bytes + a->len, f->value.data, n);
	a->len += n;
	a->cost += n;
	a->ends[a->n - 1] = (uint32_t)a->len;
}

/* Begin argument number a->n. @len: its length, where it is known. */
static bool
start(struct args *a, size_t len)
{
	size_t frame = frame_bytes(len);

	if (a->cost + frame > LIM_EVENT_ARGS_BYTES || !grow_ends(a)) {
		a->truncated = true;
		return false;
	}
	a->cost += frame;
	a->ends[a->n] = (uint32_t)a->len;
	a->n++;
	return true;
}

static void
whole(struct args *a, const struct field *f, uint64_t index)
{
	if (a->part_want > 0 || index != a->n) {
		a->truncated = true; /* parts or arguments before it are missing */
		return;
	}
	a->in_parts = false;
	if (start(a, f->value.len))
		append(a, f);
}

static void
part(struct args *a, const struct field *f, uint64_t index, uint64_t number)
{
	if (number == 0 && index == a->n) {
		a->in_parts = start(a, LIM_EVENT_ARGS_BYTES);
		a->part_next = 0;
	} else if (!a->in_parts || index + 1 != a->n || number != a->part_next) {
		a->in_parts = false;
		a->truncated = true; /* a part is missing */
	}
	if (!a->in_parts)
		return;
	append(a, f);
	a->part_next++;
	a->part_want -= f->value.len < a->part_want ? f->value.len : a->part_want;
}

/* "a12", "a12[3]" or "a12_len": false when it is none of them. */
static bool
take_name(struct slice name, uint64_t *ret_index, uint64_t *ret_part, bool *ret_is_part, bool *ret_is_len)
{
	const uint8_t *p = name.data + 1, *end = name.data + name.len;
	uint64_t n = 0, m = 0;

	if (name.len < 2 || name.data[0] != 'a' || name.len > 24)
		return false;
	while (p < end && (uint8_t)(*p - '0') < 10)
		n = n * 10 + (uint64_t)(*p++ - '0');
	if (p == name.data + 1)
		return false;
	*ret_index = n;
	*ret_is_part = p < end && *p == '[';
	*ret_is_len = end - p == 4 && memcmp(p, "_len", 4) == 0;
	if (*ret_is_part) {
		for (p++; p < end && (uint8_t)(*p - '0') < 10; p++)
			m = m * 10 + (uint64_t)(*p - '0');
		if (end - p != 1 || *p != ']')
			return false;
		*ret_part = m;
	}
	return *ret_is_part || *ret_is_len || p == end;
}

void
args_add(struct args *a, struct slice body)
{
	struct fields it = fields_of(body);
	struct field f;

	while (field_next(&it, &f)) {
		uint64_t index, number = 0;
		bool is_part, is_len;

		if (f.key == FIELD_KEY8('a', 'r', 'g', 'c', 0, 0, 0, 0)) {
			a->argc = (uint32_t)slice_decimal(f.value);
		} else if (a->truncated || !take_name(f.name, &index, &number, &is_part, &is_len)) {
			continue;
		} else if (is_len) {
			a->truncated = a->truncated || a->part_want > 0 || index != a->n;
			a->part_want = slice_decimal(f.value);
		} else if (is_part) {
			part(a, &f, index, number);
		} else {
			whole(a, &f, index);
		}
	}
}

bool
args_complete(const struct args *a)
{
	return !a->truncated && a->n == a->argc && a->part_want == 0;
}
