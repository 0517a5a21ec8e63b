/*
 * Judges the server's commands and remembers them. Never executes one (orders.c does) and never does I/O. A command
 * interrupted by a crash has no result in the memory and is executed when the server sends it again: every kind states
 * a whole wanted state, so that once more is the same.
 */
#include "agentd/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/pb.h"

/* ---- the id of what may be anything ---- */

/* One varint of at most ten bytes. Returns how many it took, or 0. */
static size_t
read_varint(const uint8_t *data, size_t len, uint64_t *ret)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len && i < 10; i++) {
		value |= (uint64_t)(data[i] & 0x7f) << (7 * i);
		if ((data[i] & 0x80) == 0) {
			*ret = value;
			return i + 1;
		}
	}
	return 0;
}

/* Bytes that a field of this wire type takes after its tag; a length-delimited one starts at *ret_skip. Returns false
 * when it is cut. */
static bool
field_extent(const uint8_t *data, size_t len, unsigned int wire_type, size_t *ret_skip, size_t *ret_bytes)
{
	uint64_t value;
	size_t n;

	*ret_skip = 0;
	switch (wire_type) {
	case 0:
		*ret_bytes = read_varint(data, len, &value);
		return *ret_bytes > 0;
	case 1:
		*ret_bytes = 8;
		return len >= 8;
	case 2:
		n = read_varint(data, len, &value);
		if (n == 0 || value > len - n)
			return false;
		*ret_skip = n;
		*ret_bytes = (size_t)value;
		return true;
	case 5:
		*ret_bytes = 4;
		return len >= 4;
	default:
		return false;
	}
}

static bool
is_id(const uint8_t *data, size_t len)
{
	if (len == 0 || len > LIM_ID_BYTES)
		return false;
	for (size_t i = 0; i < len; i++)
		if (data[i] <= ' ' || data[i] >= 0x7f)
			return false;
	return true;
}

int
agt_command_id(const uint8_t *data, size_t len, char *id, size_t size)
{
	const uint64_t id_tag = 1 << 3 | 2; /* field 1, length-delimited */

	while (len > 0) {
		uint64_t tag;
		size_t skip, bytes, n = read_varint(data, len, &tag);

		if (n == 0 || !field_extent(data + n, len - n, (unsigned int)(tag & 7), &skip, &bytes))
			return -EINVAL;
		data += n + skip;
		len -= n + skip;
		if (tag == id_tag)
			return is_id(data, bytes) ? pb_to_str(pb_bytes(data, bytes), id, size) : -EINVAL;
		data += bytes;
		len -= bytes;
	}
	return -EINVAL;
}

/* ---- judging ---- */

static enum agt_command_verdict
refuse(
    Picket__V1__CommandStatus status, const char *why, Picket__V1__CommandStatus *ret_status, char *text, size_t size)
{
	*ret_status = status;
	(void)snprintf(text, size, "%s", why);
	return AGT_COMMAND_REFUSE;
}

enum agt_command_verdict
agt_command_check(const struct agt_commands *commands, const Picket__V1__Command *command, const char *agent_id,
    uint64_t now_ms, Picket__V1__CommandStatus *ret_status, char *text, size_t size)
{
	const Picket__V1__CommandStatus refused = PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_REFUSED;
	const Picket__V1__CommandStatus expired = PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_EXPIRED;

	if (!is_id(command->id.data, command->id.len))
		return refuse(refused, "the id is not 1 to 64 printable characters", ret_status, text, size);
	if (!pb_equals(command->agent_id, agent_id))
		return refuse(refused, "it is for another agent", ret_status, text, size);
	for (size_t i = 0; i < commands->n; i++) {
		if (!pb_equals(command->id, commands->record[i].id))
			continue;
		return commands->record[i].status == PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_UNSPECIFIED
			   ? AGT_COMMAND_RUNNING
			   : AGT_COMMAND_REPEAT;
	}
	if (command->kind_case == PICKET__V1__COMMAND__KIND__NOT_SET)
		return refuse(refused, "it is of no kind that this version knows", ret_status, text, size);
	if (command->expires_ms != 0 && now_ms > command->expires_ms)
		return refuse(expired, "it came after its time", ret_status, text, size);
	if (command->issued_ms <= commands->floor_ms && commands->floor_ms != 0)
		return refuse(expired, "it is older than what this agent remembers: send it again as a new one",
		    ret_status, text, size);
	return AGT_COMMAND_EXECUTE;
}

/* ---- memory ---- */

struct agt_command_record *
agt_commands_find(struct agt_commands *commands, const char *id)
{
	for (size_t i = 0; i < commands->n; i++)
		if (strcmp(commands->record[i].id, id) == 0)
			return &commands->record[i];
	return NULL;
}

struct agt_command_record *
agt_commands_begin(struct agt_commands *commands, const char *id, uint64_t issued_ms)
{
	struct agt_command_record *record = agt_commands_find(commands, id);

	if (record != NULL)
		return record;
	if (commands->n == AGT_COMMANDS) {
		if (commands->record[0].issued_ms > commands->floor_ms)
			commands->floor_ms = commands->record[0].issued_ms;
		commands->n--;
		memmove(&commands->record[0], &commands->record[1], commands->n * sizeof(commands->record[0]));
	}
	record = &commands->record[commands->n++];
	*record = (struct agt_command_record){.issued_ms = issued_ms};
	(void)snprintf(record->id, sizeof(record->id), "%s", id);
	return record;
}

void
agt_commands_finish(
    struct agt_commands *commands, const char *id, Picket__V1__CommandStatus status, const char *text, uint64_t now_ms)
{
	struct agt_command_record *record = agt_commands_find(commands, id);

	if (record == NULL)
		return;
	record->status = status;
	record->time_ms = now_ms;
	(void)snprintf(record->text, sizeof(record->text), "%s", text);
	for (char *p = record->text; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
}

char *
agt_commands_format(const struct agt_commands *commands)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	(void)fprintf(out, "floor %llu\n", (unsigned long long)commands->floor_ms);
	for (size_t i = 0; i < commands->n; i++) {
		const struct agt_command_record *r = &commands->record[i];

		/* Without a result it is left out: after a restart it counts as not executed. */
		if (r->status != PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_UNSPECIFIED)
			(void)fprintf(out, "%s %d %llu %llu %s\n", r->id, (int)r->status,
			    (unsigned long long)r->issued_ms, (unsigned long long)r->time_ms, r->text);
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* "ID STATUS ISSUED TIME TEXT" into the memory. Returns false when it is not that. */
static bool
parse_record(struct agt_commands *commands, const char *line)
{
	char id[LIM_ID_BYTES + 1];
	unsigned long long issued_ms, time_ms;
	int status, text_at = 0;

	_Static_assert(LIM_ID_BYTES == 64, "the format below has the number");
	if (sscanf(line, "%64s %d %llu %llu %n", id, &status, &issued_ms, &time_ms, &text_at) != 4 || text_at == 0)
		return false;
	if (status <= 0 ||
	    protobuf_c_enum_descriptor_get_value(&picket__v1__command_status__descriptor, status) == NULL)
		return false;
	(void)agt_commands_begin(commands, id, issued_ms);
	agt_commands_finish(commands, id, (Picket__V1__CommandStatus)status, line + text_at, time_ms);
	return true;
}

size_t
agt_commands_parse(struct agt_commands *commands, const char *text)
{
	AUTO_FREE char *copy = strdup(text);
	unsigned long long floor_ms = 0;
	size_t skipped = 0;
	char *save = NULL;

	if (copy == NULL)
		return 0;
	for (char *line = strtok_r(copy, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		bool first = line == copy;

		if (!(first && sscanf(line, "floor %llu", &floor_ms) == 1) && !parse_record(commands, line))
			skipped++;
	}
	if (floor_ms > commands->floor_ms)
		commands->floor_ms = floor_ms;
	return skipped;
}
