/*
 * Exclusion rules as the text they are stored as, and back. Never does I/O. Called by ctl.c and store.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/exclusions.h"
#include "agentd/tasks.h"
#include "common/cleanup.h"
#include "common/pb.h"

/* Types that a line may name. */
#define MAX_TYPES 64u

/* Bytes of the longest hash. */
#define HASH_BYTES 32u

enum form { FORM_TEXT, FORM_HASH, FORM_TYPES };

/* The criteria by the names they are stored under. */
static const struct {
	const char *name;
	enum form form;
	size_t offset;
} criteria[] = {
    {"process_path", FORM_TEXT, offsetof(Picket__V1__Exclusion, process_path)},
    {"command_line", FORM_TEXT, offsetof(Picket__V1__Exclusion, command_line)},
    {"user", FORM_TEXT, offsetof(Picket__V1__Exclusion, user)},
    {"image_md5", FORM_HASH, offsetof(Picket__V1__Exclusion, image_md5)},
    {"image_sha256", FORM_HASH, offsetof(Picket__V1__Exclusion, image_sha256)},
    {"file_path", FORM_TEXT, offsetof(Picket__V1__Exclusion, file_path)},
    {"event_types", FORM_TYPES, 0},
};

/* What a line is parsed into: the rule borrows from here and from the line. */
struct parsed {
	Picket__V1__Exclusion rule;
	uint8_t hash[ARRAY_LEN(criteria)][HASH_BYTES];
	Picket__V1__EventType types[MAX_TYPES];
};

/* ---- writing ---- */

static void
write_value(FILE *out, const Picket__V1__Exclusion *rule, size_t i, const char *separator)
{
	const ProtobufCBinaryData *bytes = (const void *)((const char *)rule + criteria[i].offset);
	bool is_types = criteria[i].form == FORM_TYPES;

	if (is_types ? rule->n_event_types == 0 : bytes->len == 0)
		return;
	(void)fprintf(out, "%s%s=", separator, criteria[i].name);
	if (criteria[i].form == FORM_TEXT) {
		(void)fwrite(bytes->data, 1, bytes->len, out);
	} else if (criteria[i].form == FORM_HASH) {
		for (size_t k = 0; k < bytes->len; k++)
			(void)fprintf(out, "%02x", bytes->data[k]);
	} else {
		for (size_t k = 0; k < rule->n_event_types; k++)
			(void)fprintf(out, "%s%u", k > 0 ? "," : "", (unsigned int)rule->event_types[k]);
	}
}

/* As every version before this one wrote it, and reads it. */
static bool
is_path_alone(const Picket__V1__Exclusion *rule)
{
	return rule->process_path.len > 0 && rule->command_line.len + rule->user.len + rule->image_md5.len +
						     rule->image_sha256.len + rule->file_path.len +
						     rule->n_event_types ==
						 0;
}

char *
agt_exclusions_format(const struct agt_exclusions *exclusions)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	(void)fprintf(out, "next %u\n", exclusions->next_id);
	for (size_t i = 0; i < exclusions->n; i++) {
		const Picket__V1__Exclusion *rule = exclusions->rule[i];
		long start;

		(void)fprintf(out, "%u ", rule->id);
		start = ftell(out);
		if (is_path_alone(rule))
			(void)fwrite(rule->process_path.data, 1, rule->process_path.len, out);
		else
			for (size_t k = 0; k < ARRAY_LEN(criteria); k++)
				write_value(out, rule, k, ftell(out) > start ? "\t" : "");
		(void)fputc('\n', out);
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- reading ---- */

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
parse_hash(const char *value, uint8_t *hash, ProtobufCBinaryData *ret)
{
	size_t len = strlen(value);

	if (len % 2 != 0 || len > 2 * HASH_BYTES)
		return false;
	for (size_t i = 0; i < len; i += 2) {
		int high = hex_digit(value[i]), low = hex_digit(value[i + 1]);

		if (high < 0 || low < 0)
			return false;
		hash[i / 2] = (uint8_t)(high << 4 | low);
	}
	*ret = pb_bytes(hash, len / 2);
	return true;
}

static bool
parse_types(const char *value, struct parsed *p)
{
	Picket__V1__Exclusion *rule = &p->rule;
	char *end;

	for (;;) {
		unsigned long type = strtoul(value, &end, 10);

		if (*value < '0' || *value > '9' || type >= MAX_TYPES || rule->n_event_types == MAX_TYPES)
			return false;
		p->types[rule->n_event_types++] = (Picket__V1__EventType)type;
		if (*end == '\0')
			break;
		if (*end != ',')
			return false;
		value = end + 1;
	}
	rule->event_types = p->types;
	return true;
}

/* "NAME=VALUE"; each name once. */
static bool
parse_criterion(const char *text, struct parsed *p)
{
	const char *value = strchr(text, '=');

	if (value == NULL)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(criteria); i++) {
		ProtobufCBinaryData *bytes = (void *)((char *)&p->rule + criteria[i].offset);

		if (strlen(criteria[i].name) != (size_t)(value - text) ||
		    memcmp(criteria[i].name, text, (size_t)(value - text)) != 0)
			continue;
		if (criteria[i].form == FORM_TYPES)
			return p->rule.n_event_types == 0 && parse_types(value + 1, p);
		if (bytes->len > 0 || value[1] == '\0')
			return false;
		if (criteria[i].form == FORM_HASH)
			return parse_hash(value + 1, p->hash[i], bytes);
		*bytes = pb_str(value + 1);
		return true;
	}
	return false;
}

static bool
parse_criteria(char *text, struct parsed *p)
{
	char *save = NULL;

	picket__v1__exclusion__init(&p->rule);
	if (*text == '/' || *text == '*') {
		p->rule.process_path = pb_str(text);
		return true;
	}
	for (char *one = strtok_r(text, "\t", &save); one != NULL; one = strtok_r(NULL, "\t", &save))
		if (!parse_criterion(one, p))
			return false;
	return true;
}

/* "ID CRITERIA" into the set. Returns false when it cannot be used. Cuts the line into pieces. */
static bool
parse_rule(struct agt_exclusions *exclusions, char *line, char *err, size_t err_size)
{
	struct parsed parsed;
	char *end;
	unsigned long id = strtoul(line, &end, 10);

	if (end == line || *end != ' ' || id == 0 || id >= UINT32_MAX || !parse_criteria(end + 1, &parsed)) {
		(void)snprintf(err, err_size, "expected \"ID MASK\" or \"ID NAME=VALUE\"");
		return false;
	}
	if (agt_exclusions_add(exclusions, &parsed.rule, err, err_size) != AGT_EXIT_OK)
		return false;
	exclusions->rule[exclusions->n - 1]->id = (uint32_t)id;
	if (id >= exclusions->next_id)
		exclusions->next_id = (uint32_t)id + 1;
	return true;
}

int
agt_exclusions_parse(struct agt_exclusions *exclusions, const char *text, char *err, size_t err_size)
{
	AUTO_FREE char *copy = strdup(text);
	char what[AGT_TEXT_BYTES];
	uint32_t next = 1;
	char *save = NULL;
	int r = 0;

	if (copy == NULL)
		return -ENOMEM;
	for (char *line = strtok_r(copy, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "next %u", &next) == 1 || parse_rule(exclusions, line, what, sizeof(what)))
			continue;
		if (r == 0)
			(void)snprintf(err, err_size, "\"%.100s\": %s", line, what);
		r = -EINVAL;
	}
	if (next > exclusions->next_id)
		exclusions->next_id = next;
	return r;
}
