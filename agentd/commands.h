/*
 * Commands of the server: is it for this agent, in time, of a known kind, and new? And what came of those before,
 * across restarts. No I/O: orders.c executes, store.c persists.
 */
#ifndef PICKET_AGENTD_COMMANDS_H
#define PICKET_AGENTD_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"
#include "link.pb-c.h"

/* Commands remembered; the oldest goes first, and then no command issued before it is executed any more. */
#define AGT_COMMANDS 256u

/* Bytes of a result's text with its end. */
#define AGT_RESULT_BYTES 256u

struct agt_command_record {
	char id[LIM_ID_BYTES + 1];
	Picket__V1__CommandStatus status; /* UNSPECIFIED: begun, no result yet */
	uint64_t issued_ms;               /* server's wall clock */
	uint64_t time_ms;                 /* of the result, this host's wall clock */
	char text[AGT_RESULT_BYTES];
};

/* In order of arrival. */
struct agt_commands {
	struct agt_command_record record[AGT_COMMANDS];
	size_t n;
	uint64_t floor_ms; /* issued_ms of the newest command that was forgotten; 0: none */
};

enum agt_command_verdict {
	AGT_COMMAND_EXECUTE = 1, /* new, or begun before a crash and not finished */
	AGT_COMMAND_REPEAT,      /* finished before: report the result again */
	AGT_COMMAND_RUNNING,     /* begun in this run and not finished: its result follows */
	AGT_COMMAND_REFUSE,      /* report the status and text, do not execute */
};

/*
 * agt_command_id - the id of a packed Command, also of one that does not unpack, so that its refusal can be reported.
 * Returns 0, or -EINVAL when there is no id of 1 to LIM_ID_BYTES printable ASCII characters without blanks.
 */
int agt_command_id(const uint8_t *data, size_t len, char *id, size_t size);

/*
 * agt_command_check - what to do with a command.
 * @agent_id: this agent's.
 * @ret_status, @text: for REFUSE: what to report.
 */
enum agt_command_verdict agt_command_check(const struct agt_commands *commands, const Picket__V1__Command *command,
    const char *agent_id, uint64_t now_ms, Picket__V1__CommandStatus *ret_status, char *text, size_t size);

/* agt_commands_find - the record of an id, or NULL. Valid until the next begin. */
struct agt_command_record *agt_commands_find(struct agt_commands *commands, const char *id);

/* agt_commands_begin - remember that it is being executed. Returns its record, which may be one begun before. */
struct agt_command_record *agt_commands_begin(struct agt_commands *commands, const char *id, uint64_t issued_ms);

/* agt_commands_finish - remember the result. Nothing happens when the id is not known any more. */
void agt_commands_finish(
    struct agt_commands *commands, const char *id, Picket__V1__CommandStatus status, const char *text, uint64_t now_ms);

/*
 * agt_commands_format - as text. Returns a string to free(), or NULL without memory.
 * agt_commands_parse  - from such a text; lines it does not understand are skipped. Returns how many were.
 */
char *agt_commands_format(const struct agt_commands *commands);
size_t agt_commands_parse(struct agt_commands *commands, const char *text);

#endif
