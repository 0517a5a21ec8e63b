/* Telemetry exclusions: which programs' events are neither analysed nor sent. No I/O; collectord matches them. */
#ifndef PICKET_AGENTD_EXCLUSIONS_H
#define PICKET_AGENTD_EXCLUSIONS_H

#include <stddef.h>
#include <stdint.h>

/* Rules: with masks of ordinary length (up to 600 bytes each) all of them fit one CollectConfig record. */
#define AGT_EXCLUSIONS 256u

/* Bytes of one mask with its end, and of all of them together: the CollectConfig record (LIM_IPC_RECORD_BYTES) must
 * hold them. */
#define AGT_MASK_BYTES 4096u
#define AGT_MASKS_BYTES (152u * 1024u)

struct agt_exclusion {
	uint32_t id; /* never given twice */
	char *mask;
};

struct agt_exclusions {
	struct agt_exclusion rule[AGT_EXCLUSIONS];
	size_t n;
	uint32_t next_id;
};

/* Empty; free with agt_exclusions_done(). */
void agt_exclusions_init(struct agt_exclusions *exclusions);
void agt_exclusions_done(struct agt_exclusions *exclusions);

/*
 * agt_exclusions_add - one rule by process path mask: * within a path element, ** across them, ? one character.
 * @mask: `len` bytes, not terminated.
 * @err: on refusal one sentence.
 * Returns AGT_EXIT_OK, AGT_EXIT_ARGUMENT (the mask is bad, there already, or matches every program) or AGT_EXIT_OTHER
 * (too many, no memory).
 */
int agt_exclusions_add(struct agt_exclusions *exclusions, const void *mask, size_t len, char *err, size_t err_size);

/* agt_exclusions_remove - returns AGT_EXIT_OK, or AGT_EXIT_ARGUMENT when there is no such rule. */
int agt_exclusions_remove(struct agt_exclusions *exclusions, uint32_t id, char *err, size_t err_size);

/*
 * agt_exclusions_format - as text: "next ID", then a line "ID MASK" per rule. Returns a string to free(), or NULL
 * without memory. agt_exclusions_parse  - from such a text into an empty set. Returns 0, or -EINVAL with the first line
 * that could not be used in err; the others are in force.
 */
char *agt_exclusions_format(const struct agt_exclusions *exclusions);
int agt_exclusions_parse(struct agt_exclusions *exclusions, const char *text, char *err, size_t err_size);

#endif
