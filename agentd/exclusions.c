/*
 * The list of exclusion rules. Never matches anything and never does I/O: collectord gets those in force with its
 * CollectConfig (push.c). The text they are stored as is exclusions_text.c. Called by ctl.c, push.c and store.c.
 */
#include "agentd/exclusions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/tasks.h"
#include "common/cleanup.h"

/* Bytes of the hashes. */
#define MD5_BYTES 16u
#define SHA256_BYTES 32u

/* Types an event may have, beside which a rule names none. */
#define EVENT_TYPES 64u

void
agt_exclusions_init(struct agt_exclusions *exclusions)
{
	*exclusions = (struct agt_exclusions){.next_id = 1};
}

void
agt_exclusions_done(struct agt_exclusions *exclusions)
{
	for (size_t i = 0; i < exclusions->n; i++)
		picket__v1__exclusion__free_unpacked(exclusions->rule[i], NULL);
	agt_exclusions_init(exclusions);
}

static size_t
all_bytes(const struct agt_exclusions *exclusions)
{
	size_t bytes = 0;

	for (size_t i = 0; i < exclusions->n; i++)
		bytes += picket__v1__exclusion__get_packed_size(exclusions->rule[i]);
	return bytes;
}

/* ---- what a criterion may be: what is wrong with it, or NULL ---- */

static const char *
text_fault(ProtobufCBinaryData text, size_t max)
{
	if (text.len > max)
		return "is too long";
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < ' ' || text.data[i] == 0x7f)
			return "holds a control character";
	return NULL;
}

static bool
starts_with(ProtobufCBinaryData text, const char *start)
{
	return text.len >= strlen(start) && memcmp(text.data, start, strlen(start)) == 0;
}

/* Nothing but wildcards and slashes. */
static bool
matches_everything(ProtobufCBinaryData mask)
{
	for (size_t i = 0; i < mask.len; i++)
		if (strchr("/*?", mask.data[i]) == NULL)
			return false;
	return true;
}

static const char *
mask_fault(ProtobufCBinaryData mask)
{
	const char *fault = text_fault(mask, AGT_MASK_BYTES - 1);

	if (mask.len == 0 || fault != NULL)
		return fault;
	if (!starts_with(mask, "/") && !starts_with(mask, "**"))
		return "must start with / or **, e.g. /usr/bin/backup or **/node";
	if (memmem(mask.data, mask.len, "***", 3) != NULL)
		return "holds ***: use * within a path element, ** across elements";
	if (matches_everything(mask))
		return "would exclude everything; to collect nothing, stop Behavior_Detection";
	return NULL;
}

static const char *
user_fault(ProtobufCBinaryData user)
{
	uint64_t n = 0;

	for (size_t i = 0; i < user.len; i++) {
		if (user.data[i] < '0' || user.data[i] > '9' || i >= 10)
			return "must be the number of a user";
		n = n * 10 + (uint64_t)(user.data[i] - '0');
	}
	return n < UINT32_MAX ? NULL : "must be the number of a user";
}

static const char *
hash_fault(ProtobufCBinaryData hash, size_t len)
{
	return hash.len == 0 || hash.len == len ? NULL : "has another length";
}

static const char *
types_fault(const Picket__V1__Exclusion *rule)
{
	if (rule->n_event_types > EVENT_TYPES)
		return "are too many";
	for (size_t i = 0; i < rule->n_event_types; i++)
		if (rule->event_types[i] == PICKET__V1__EVENT_TYPE__EVENT_TYPE_UNSPECIFIED ||
		    rule->event_types[i] == PICKET__V1__EVENT_TYPE__EVENT_TYPE_LOSS ||
		    (uint32_t)rule->event_types[i] >= EVENT_TYPES)
			return "hold one that cannot be excluded";
	return NULL;
}

static bool
has_process_criterion(const Picket__V1__Exclusion *rule)
{
	return rule->process_path.len + rule->command_line.len + rule->user.len + rule->image_md5.len +
		   rule->image_sha256.len >
	       0;
}

/* Says what is wrong with a rule. */
static bool
is_usable(const Picket__V1__Exclusion *rule, char *err, size_t err_size)
{
	const struct {
		const char *name, *fault;
		ProtobufCBinaryData value; /* shown where it is text */
	} rows[] = {
	    {"process path", mask_fault(rule->process_path), rule->process_path},
	    {"file path", mask_fault(rule->file_path), rule->file_path},
	    {"command line", text_fault(rule->command_line, AGT_COMMAND_LINE_BYTES), rule->command_line},
	    {"user", user_fault(rule->user), rule->user},
	    {"MD5", hash_fault(rule->image_md5, MD5_BYTES), {0}},
	    {"SHA-256", hash_fault(rule->image_sha256, SHA256_BYTES), {0}},
	    {"event types", types_fault(rule), {0}},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].fault == NULL)
			continue;
		(void)snprintf(err, err_size, "%s %.*s: %s", rows[i].name,
		    (int)(rows[i].value.len < 200 ? rows[i].value.len : 200), (const char *)rows[i].value.data,
		    rows[i].fault);
		return false;
	}
	if (!has_process_criterion(rule) && rule->file_path.len == 0) {
		(void)snprintf(err, err_size,
		    "a rule needs a criterion: process path, file path, command line, user, MD5 or SHA-256");
		return false;
	}
	return true;
}

static bool
same_bytes(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static bool
same_criteria(const Picket__V1__Exclusion *a, const Picket__V1__Exclusion *b)
{
	return same_bytes(a->process_path, b->process_path) && same_bytes(a->file_path, b->file_path) &&
	       same_bytes(a->command_line, b->command_line) && same_bytes(a->user, b->user) &&
	       same_bytes(a->image_md5, b->image_md5) && same_bytes(a->image_sha256, b->image_sha256) &&
	       a->n_event_types == b->n_event_types &&
	       (a->n_event_types == 0 ||
		   memcmp(a->event_types, b->event_types, a->n_event_types * sizeof(a->event_types[0])) == 0);
}

/* A copy on the heap, or NULL. */
static Picket__V1__Exclusion *
copy_rule(const Picket__V1__Exclusion *rule)
{
	size_t len = picket__v1__exclusion__get_packed_size(rule);
	AUTO_FREE uint8_t *packed = malloc(len + 1);

	if (packed == NULL)
		return NULL;
	(void)picket__v1__exclusion__pack(rule, packed);
	return picket__v1__exclusion__unpack(NULL, len, packed);
}

int
agt_exclusions_add(struct agt_exclusions *exclusions, const Picket__V1__Exclusion *rule, char *err, size_t err_size)
{
	Picket__V1__Exclusion *copy;

	if (!is_usable(rule, err, err_size))
		return AGT_EXIT_ARGUMENT;
	for (size_t i = 0; i < exclusions->n; i++) {
		if (same_criteria(exclusions->rule[i], rule)) {
			(void)snprintf(err, err_size, "rule %u says this already", exclusions->rule[i]->id);
			return AGT_EXIT_ARGUMENT;
		}
	}
	if (exclusions->n >= AGT_EXCLUSIONS ||
	    all_bytes(exclusions) + picket__v1__exclusion__get_packed_size(rule) > AGT_RULES_BYTES) {
		(void)snprintf(err, err_size,
		    "there are %zu rules, which is all that fits: remove one, or join some with * and **",
		    exclusions->n);
		return AGT_EXIT_OTHER;
	}
	copy = copy_rule(rule);
	if (copy == NULL) {
		(void)snprintf(err, err_size, "out of memory");
		return AGT_EXIT_OTHER;
	}
	copy->id = exclusions->next_id++;
	copy->in_force = false;
	exclusions->rule[exclusions->n++] = copy;
	return AGT_EXIT_OK;
}

int
agt_exclusions_remove(struct agt_exclusions *exclusions, uint32_t id, char *err, size_t err_size)
{
	for (size_t i = 0; i < exclusions->n; i++) {
		if (exclusions->rule[i]->id != id)
			continue;
		picket__v1__exclusion__free_unpacked(exclusions->rule[i], NULL);
		exclusions->n--;
		for (; i < exclusions->n; i++)
			exclusions->rule[i] = exclusions->rule[i + 1];
		return AGT_EXIT_OK;
	}
	(void)snprintf(err, err_size, "there is no exclusion %u; picketctl exclusion list shows those there are", id);
	return AGT_EXIT_ARGUMENT;
}

bool
agt_exclusion_in_force(const Picket__V1__Exclusion *rule, bool use_mdr)
{
	return !use_mdr || !has_process_criterion(rule);
}

size_t
agt_exclusions_rows(const struct agt_exclusions *exclusions, bool use_mdr, bool only_in_force,
    Picket__V1__Exclusion *rows, Picket__V1__Exclusion **ptr)
{
	size_t n = 0;

	for (size_t i = 0; i < exclusions->n; i++) {
		bool in_force = agt_exclusion_in_force(exclusions->rule[i], use_mdr);

		if (only_in_force && !in_force)
			continue;
		rows[n] = *exclusions->rule[i];
		rows[n].in_force = in_force;
		ptr[n] = &rows[n];
		n++;
	}
	return n;
}
