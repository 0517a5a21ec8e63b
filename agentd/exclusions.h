/* Telemetry exclusions: which events are neither analysed nor sent. No I/O; collectord matches them. */
#ifndef PICKET_AGENTD_EXCLUSIONS_H
#define PICKET_AGENTD_EXCLUSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/control.pb-c.h"

/* Rules: at ordinary length (up to 600 bytes each) all of them fit one CollectConfig record. */
#define AGT_EXCLUSIONS 256u

/* Bytes of one mask with its end, of a command line text, and of all rules packed: the CollectConfig record
 * (LIM_IPC_RECORD_BYTES) must hold them. */
#define AGT_MASK_BYTES 4096u
#define AGT_COMMAND_LINE_BYTES 1024u
#define AGT_RULES_BYTES (152u * 1024u)

struct agt_exclusions {
	Picket__V1__Exclusion *rule[AGT_EXCLUSIONS]; /* owned; the id is never given twice, in_force is unused */
	size_t n;
	uint32_t next_id;
};

/* Empty; free with agt_exclusions_done(). */
void agt_exclusions_init(struct agt_exclusions *exclusions);
void agt_exclusions_done(struct agt_exclusions *exclusions);

/*
 * agt_exclusions_add - one rule, copied; its id is ignored and a new one given. Path masks: * within a path element, **
 * across them, ? one character.
 * @err: on refusal one sentence.
 * Returns AGT_EXIT_OK, AGT_EXIT_ARGUMENT (a criterion is bad, none is there, a mask matches everything, or there is
 * such a rule already) or AGT_EXIT_OTHER (too many, no memory).
 */
int agt_exclusions_add(
    struct agt_exclusions *exclusions, const Picket__V1__Exclusion *rule, char *err, size_t err_size);

/* agt_exclusion_in_force - with use_mdr a rule that has a criterion of the process is not. */
bool agt_exclusion_in_force(const Picket__V1__Exclusion *rule, bool use_mdr);

/*
 * agt_exclusions_rows - the rules as they travel, each borrowed, in_force set.
 * @rows, @ptr: AGT_EXCLUSIONS each. @only_in_force: leave the others out. Returns how many.
 */
size_t agt_exclusions_rows(const struct agt_exclusions *exclusions, bool use_mdr, bool only_in_force,
    Picket__V1__Exclusion *rows, Picket__V1__Exclusion **ptr);

/* agt_exclusions_remove - returns AGT_EXIT_OK, or AGT_EXIT_ARGUMENT when there is no such rule. */
int agt_exclusions_remove(struct agt_exclusions *exclusions, uint32_t id, char *err, size_t err_size);

/*
 * agt_exclusions_format - as text: "next ID", then a line per rule: "ID MASK" when it has a process path alone, else
 * "ID NAME=VALUE" with a tab between criteria, which no value holds. Returns a string to free(), or NULL without
 * memory.
 * agt_exclusions_parse - from such a text into an empty set. A line is used whole or not at all: a rule that lost a
 * criterion would exclude more. Returns 0, or -EINVAL with the first line that could not be used in err; the others are
 * in force.
 */
char *agt_exclusions_format(const struct agt_exclusions *exclusions);
int agt_exclusions_parse(struct agt_exclusions *exclusions, const char *text, char *err, size_t err_size);

#endif
