/* Matches executables against masks. Never allocates while matching. Called by pipeline.c for every event, by peers.c
 * for new rules. */
#include "collectord/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct filter_rule {
	uint32_t id;
	uint64_t count;
	bool live; /* false: only its count is kept, in case it comes back */
	size_t len;
	uint8_t *mask;
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
		free(f->rules[i].mask);
	free(f);
}

void
filter_clear(struct filter *f)
{
	size_t kept = 0;

	/* Rules that were not brought back since the last time are forgotten for good. */
	for (size_t i = 0; i < f->n; i++) {
		struct filter_rule *r = &f->rules[i];

		free(r->mask);
		r->mask = NULL;
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

int
filter_add(struct filter *f, uint32_t id, const void *mask, size_t len)
{
	struct filter_rule *r;
	uint8_t *copy;

	if (len == 0 || len > FILTER_MASK_BYTES || memchr(mask, 0, len) != NULL)
		return -EINVAL;
	copy = malloc(len);
	if (copy == NULL)
		return -ENOMEM;
	(void)memcpy(copy, mask, len);
	r = rule_for(f, id);
	if (r == NULL) {
		free(copy);
		return -E2BIG;
	}
	r->mask = copy;
	r->len = len;
	r->live = true;
	f->n_live++;
	return 0;
}

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

bool
filter_excludes(struct filter *f, const Picket__V1__Event *event)
{
	ProtobufCBinaryData exe;

	if (f->n_live == 0 || event->process == NULL)
		return false;
	exe = event->process->executable;
	for (size_t i = 0; i < f->n; i++) {
		struct filter_rule *r = &f->rules[i];

		if (r->live && filter_match(r->mask, r->len, exe.data, exe.len)) {
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
