/* Matches events against exclusion rules. Never allocates while matching. Called by pipeline.c for every event, by
 * peers.c for new rules. */
#include "collectord/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the hashes. */
#define MD5_BYTES 16u
#define SHA256_BYTES 32u

_Static_assert(FILTER_TEXT_BYTES <= UINT16_MAX, "the table of a text counts in 16 bits");

/* What a rule asks for: the criteria that are there. */
struct criteria {
	uint64_t types; /* 1 << type; all bits: any */
	bool has_user;
	uint32_t user;
	ProtobufCBinaryData process_path, file_path, command_line, md5, sha256; /* empty: not asked for */
	const uint16_t *retry; /* of the command line: see build_retry() */
};

struct filter_rule {
	uint32_t id;
	uint64_t count;
	bool live; /* false: only its count is kept, in case it comes back */
	struct criteria criteria;
	void *memory; /* what criteria points to */
};

struct filter {
	size_t n;
	size_t n_live;
	struct filter_rule rules[FILTER_RULES];
};

struct filter *
filter_new(void)
{
	return calloc(1, sizeof(struct filter));
}

void
filter_free(struct filter *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->n; i++)
		free(f->rules[i].memory);
	free(f);
}

void
filter_clear(struct filter *f)
{
	size_t kept = 0;

	/* Rules that were not brought back since the last time are forgotten for good. */
	for (size_t i = 0; i < f->n; i++) {
		struct filter_rule *r = &f->rules[i];

		free(r->memory);
		r->memory = NULL;
		if (!r->live)
			continue;
		r->live = false;
		f->rules[kept++] = *r;
	}
	f->n = kept;
	f->n_live = 0;
}

static struct filter_rule *
rule_for(struct filter *f, uint32_t id)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->rules[i].id == id && !f->rules[i].live)
			return &f->rules[i];
	if (f->n == FILTER_RULES)
		return NULL;
	f->rules[f->n] = (struct filter_rule){.id = id};
	return &f->rules[f->n++];
}

/* ---- compiling ---- */

static bool
usable(ProtobufCBinaryData text, size_t max)
{
	return text.len <= max && (text.len == 0 || memchr(text.data, 0, text.len) == NULL);
}

/* A decimal number below 2^32 - 1, which is no user. */
static bool
parse_user(ProtobufCBinaryData text, uint32_t *ret)
{
	uint64_t n = 0;

	if (text.len > 10)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(text.data[i] - '0');
	}
	*ret = (uint32_t)n;
	return n < UINT32_MAX;
}

static bool
type_bits(const Picket__V1__Exclusion *rule, uint64_t *ret)
{
	*ret = rule->n_event_types > 0 ? 0 : UINT64_MAX;
	for (size_t i = 0; i < rule->n_event_types; i++) {
		uint32_t type = (uint32_t)rule->event_types[i];

		if (type == PICKET__V1__EVENT_TYPE__EVENT_TYPE_UNSPECIFIED || type >= 64)
			return false;
		*ret |= UINT64_C(1) << type;
	}
	return true;
}

/*
 * retry[i]: how much of the text's start is matched still when byte i does not follow (Knuth, Morris, Pratt), so that a
 * command line is read once, whatever stands in it.
 */
static void
build_retry(ProtobufCBinaryData text, uint16_t *retry)
{
	uint16_t k = 0;

	for (size_t i = 1; i < text.len; i++) {
		retry[i] = k;
		while (k > 0 && text.data[i] != text.data[k])
			k = retry[k];
		if (text.data[i] == text.data[k])
			k++;
	}
}

static ProtobufCBinaryData
keep(uint8_t **at, ProtobufCBinaryData from)
{
	ProtobufCBinaryData copy = {.len = from.len, .data = *at};

	if (from.len > 0)
		(void)memcpy(*at, from.data, from.len);
	*at += from.len;
	return copy;
}

/* Everything in one piece of memory: the table first, because it must be aligned. */
static int
compile(const Picket__V1__Exclusion *rule, struct criteria *ret, void **ret_memory)
{
	size_t table = rule->command_line.len * sizeof(uint16_t);
	uint8_t *memory, *at;

	*ret = (struct criteria){.has_user = rule->user.len > 0};
	if (!usable(rule->process_path, FILTER_MASK_BYTES) || !usable(rule->file_path, FILTER_MASK_BYTES) ||
	    !usable(rule->command_line, FILTER_TEXT_BYTES) || !parse_user(rule->user, &ret->user) ||
	    !type_bits(rule, &ret->types) || (rule->image_md5.len > 0 && rule->image_md5.len != MD5_BYTES) ||
	    (rule->image_sha256.len > 0 && rule->image_sha256.len != SHA256_BYTES))
		return -EINVAL;
	if (rule->process_path.len + rule->file_path.len + rule->command_line.len + rule->user.len +
		rule->image_md5.len + rule->image_sha256.len ==
	    0)
		return -EINVAL;
	memory = calloc(1, table + rule->process_path.len + rule->file_path.len + rule->command_line.len +
			       rule->image_md5.len + rule->image_sha256.len + 1);
	if (memory == NULL)
		return -ENOMEM;
	at = memory + table;
	ret->process_path = keep(&at, rule->process_path);
	ret->file_path = keep(&at, rule->file_path);
	ret->command_line = keep(&at, rule->command_line);
	ret->md5 = keep(&at, rule->image_md5);
	ret->sha256 = keep(&at, rule->image_sha256);
	build_retry(ret->command_line, (uint16_t *)(void *)memory);
	ret->retry = (uint16_t *)(void *)memory;
	*ret_memory = memory;
	return 0;
}

int
filter_add(struct filter *f, const Picket__V1__Exclusion *rule)
{
	struct criteria criteria;
	struct filter_rule *slot;
	void *memory = NULL;
	int r = compile(rule, &criteria, &memory);

	if (r < 0)
		return r;
	slot = rule_for(f, rule->id);
	if (slot == NULL) {
		free(memory);
		return -E2BIG;
	}
	slot->criteria = criteria;
	slot->memory = memory;
	slot->live = true;
	f->n_live++;
	return 0;
}

/* ---- matching ---- */

/*
 * On a mismatch the last star takes one character more; a * that would have to take a slash gives up to the last **.
 * The stars before the last one of their kind need no second try: what lies behind them was matched at its first place.
 */
bool
filter_match(const uint8_t *mask, size_t mask_len, const uint8_t *path, size_t path_len)
{
	const size_t none = SIZE_MAX;
	size_t m = 0, p = 0;
	size_t star_m = none, star_p = 0; /* behind the last *, and what it has taken */
	size_t deep_m = none, deep_p = 0; /* the same for ** */

	for (;;) {
		if (m < mask_len && mask[m] == '*') {
			if (m + 1 < mask_len && mask[m + 1] == '*') {
				while (m < mask_len && mask[m] == '*')
					m++;
				deep_m = m;
				deep_p = p;
				star_m = none;
			} else {
				star_m = ++m;
				star_p = p;
			}
			continue;
		}
		if (p == path_len && m == mask_len)
			return true;
		if (p < path_len && m < mask_len && (mask[m] == path[p] || (mask[m] == '?' && path[p] != '/'))) {
			m++;
			p++;
			continue;
		}
		if (star_m != none && star_p < path_len && path[star_p] != '/') {
			m = star_m;
			p = ++star_p;
		} else if (deep_m != none && deep_p < path_len) {
			m = deep_m;
			p = ++deep_p;
			star_m = none;
		} else {
			return false;
		}
	}
}

/* One piece of the command line after another; *matched bytes of the text's start end where the piece before ended. */
static bool
find_text(const struct criteria *c, const uint8_t *piece, size_t len, size_t *matched)
{
	const uint8_t *text = c->command_line.data;
	size_t k = *matched;

	for (size_t i = 0; i < len; i++) {
		if (k == 0 && piece[i] != text[0]) {
			const uint8_t *next = memchr(piece + i, text[0], len - i);

			if (next == NULL)
				break;
			i = (size_t)(next - piece);
		}
		while (k > 0 && piece[i] != text[k])
			k = c->retry[k];
		if (piece[i] == text[k] && ++k == c->command_line.len)
			return true;
	}
	*matched = k;
	return false;
}

static bool
command_line_holds(const struct criteria *c, const Picket__V1__Event *event)
{
	const Picket__V1__ProcessStart *start = event->process_start;
	size_t matched = 0;

	if (event->detail_case != PICKET__V1__EVENT__DETAIL_PROCESS_START)
		return false;
	for (size_t i = 0; i < start->n_args; i++) {
		if (i > 0 && find_text(c, (const uint8_t *)" ", 1, &matched))
			return true;
		if (find_text(c, start->args[i].data, start->args[i].len, &matched))
			return true;
	}
	return false;
}

static bool
mask_holds(ProtobufCBinaryData mask, ProtobufCBinaryData path)
{
	return path.len > 0 && filter_match(mask.data, mask.len, path.data, path.len);
}

static bool
file_holds(const struct criteria *c, const Picket__V1__Event *event)
{
	switch (event->detail_case) {
	case PICKET__V1__EVENT__DETAIL_FILE_CHANGE:
		/* What is moved out of the excluded place, or into it, is told. */
		return mask_holds(c->file_path, event->file_change->path) &&
		       (event->file_change->target_path.len == 0 ||
			   mask_holds(c->file_path, event->file_change->target_path));
	case PICKET__V1__EVENT__DETAIL_MODULE:
		return mask_holds(c->file_path, event->module->path);
	default:
		return false;
	}
}

static bool
same_hash(ProtobufCBinaryData want, ProtobufCBinaryData got)
{
	return want.len == got.len && memcmp(want.data, got.data, want.len) == 0;
}

static bool
process_holds(const struct criteria *c, const Picket__V1__Process *p)
{
	if (!c->has_user && c->process_path.len == 0 && c->md5.len == 0 && c->sha256.len == 0)
		return true;
	return p != NULL && (!c->has_user || c->user == p->uid) &&
	       (c->md5.len == 0 || same_hash(c->md5, p->image_md5)) &&
	       (c->sha256.len == 0 || same_hash(c->sha256, p->image_sha256)) &&
	       (c->process_path.len == 0 || mask_holds(c->process_path, p->executable));
}

/* Cheapest first. */
static bool
all_hold(const struct criteria *c, const Picket__V1__Event *event)
{
	return c->types >> event->type & 1 && process_holds(c, event->process) &&
	       (c->file_path.len == 0 || file_holds(c, event)) &&
	       (c->command_line.len == 0 || command_line_holds(c, event));
}

bool
filter_excludes(struct filter *f, const Picket__V1__Event *event)
{
	if (f->n_live == 0 || event->type == PICKET__V1__EVENT_TYPE__EVENT_TYPE_LOSS)
		return false;
	for (size_t i = 0; i < f->n; i++) {
		struct filter_rule *r = &f->rules[i];

		if (r->live && all_hold(&r->criteria, event)) {
			r->count++;
			return true;
		}
	}
	return false;
}

bool
filter_count(const struct filter *f, size_t i, uint32_t *ret_id, uint64_t *ret_count)
{
	for (size_t j = 0; j < f->n; j++) {
		if (!f->rules[j].live || i-- > 0)
			continue;
		*ret_id = f->rules[j].id;
		*ret_count = f->rules[j].count;
		return true;
	}
	return false;
}
