/*
 * The list of exclusion rules. Never matches anything and never does I/O: collectord gets the masks with its
 * CollectConfig (push.c), and gets none while UseMDR=Yes. Called by ctl.c and store.c.
 */
#include "agentd/exclusions.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/tasks.h"
#include "common/cleanup.h"

void
agt_exclusions_init(struct agt_exclusions *exclusions)
{
	*exclusions = (struct agt_exclusions){.next_id = 1};
}

void
agt_exclusions_done(struct agt_exclusions *exclusions)
{
	for (size_t i = 0; i < exclusions->n; i++)
		free(exclusions->rule[i].mask);
	agt_exclusions_init(exclusions);
}

static size_t
all_bytes(const struct agt_exclusions *exclusions)
{
	size_t bytes = 0;

	for (size_t i = 0; i < exclusions->n; i++)
		bytes += strlen(exclusions->rule[i].mask) + 1;
	return bytes;
}

/* What is wrong with a mask, or NULL. */
static const char *
mask_fault(const char *mask)
{
	for (const char *p = mask; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return "holds a control character";
	if (mask[0] != '/' && strncmp(mask, "**", 2) != 0)
		return "must start with / or **, e.g. /usr/bin/backup or **/node";
	if (strstr(mask, "***") != NULL)
		return "holds ***: use * within a path element, ** across elements";
	/* Nothing but wildcards and slashes matches every program there is. */
	if (mask[strspn(mask, "/*?")] == '\0')
		return "would exclude every program; to collect nothing, stop Behavior_Detection";
	return NULL;
}

int
agt_exclusions_add(struct agt_exclusions *exclusions, const void *mask, size_t len, char *err, size_t err_size)
{
	AUTO_FREE char *copy = NULL;
	const char *fault;

	if (len == 0 || len >= AGT_MASK_BYTES || memchr(mask, '\0', len) != NULL) {
		(void)snprintf(err, err_size, "a process path mask has 1 to %u bytes and no NUL", AGT_MASK_BYTES - 1);
		return AGT_EXIT_ARGUMENT;
	}
	copy = strndup(mask, len);
	if (copy == NULL) {
		(void)snprintf(err, err_size, "out of memory");
		return AGT_EXIT_OTHER;
	}
	fault = mask_fault(copy);
	if (fault != NULL) {
		(void)snprintf(err, err_size, "%.200s: %s", copy, fault);
		return AGT_EXIT_ARGUMENT;
	}
	for (size_t i = 0; i < exclusions->n; i++) {
		if (strcmp(exclusions->rule[i].mask, copy) == 0) {
			(void)snprintf(err, err_size, "rule %u has this mask already", exclusions->rule[i].id);
			return AGT_EXIT_ARGUMENT;
		}
	}
	if (exclusions->n >= AGT_EXCLUSIONS || all_bytes(exclusions) + len + 1 > AGT_MASKS_BYTES) {
		(void)snprintf(err, err_size,
		    "there are %zu rules, which is all that fits: remove one, or join some with * and **",
		    exclusions->n);
		return AGT_EXIT_OTHER;
	}
	exclusions->rule[exclusions->n++] = (struct agt_exclusion){.id = exclusions->next_id++, .mask = copy};
	copy = NULL;
	return AGT_EXIT_OK;
}

int
agt_exclusions_remove(struct agt_exclusions *exclusions, uint32_t id, char *err, size_t err_size)
{
	for (size_t i = 0; i < exclusions->n; i++) {
		if (exclusions->rule[i].id != id)
			continue;
		free(exclusions->rule[i].mask);
		exclusions->n--;
		memmove(
		    &exclusions->rule[i], &exclusions->rule[i + 1], (exclusions->n - i) * sizeof(exclusions->rule[0]));
		return AGT_EXIT_OK;
	}
	(void)snprintf(err, err_size, "there is no exclusion %u; picketctl exclusion list shows those there are", id);
	return AGT_EXIT_ARGUMENT;
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
	for (size_t i = 0; i < exclusions->n; i++)
		(void)fprintf(out, "%u %s\n", exclusions->rule[i].id, exclusions->rule[i].mask);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* "ID MASK" into the set. Returns false when it cannot be used. */
static bool
parse_rule(struct agt_exclusions *exclusions, const char *line, char *err, size_t err_size)
{
	char *end;
	unsigned long id = strtoul(line, &end, 10);

	if (end == line || *end != ' ' || id == 0 || id >= UINT32_MAX) {
		(void)snprintf(err, err_size, "expected \"ID MASK\"");
		return false;
	}
	if (agt_exclusions_add(exclusions, end + 1, strlen(end + 1), err, err_size) != AGT_EXIT_OK)
		return false;
	exclusions->rule[exclusions->n - 1].id = (uint32_t)id;
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
