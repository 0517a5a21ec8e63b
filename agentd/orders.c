/*
 * Commands of the server, which uplinkd passes on unread: judged by commands.c, executed here through the same doors as
 * picketctl's requests (decide.c, isolate.c), their results persisted and then handed to uplinkd. A command is executed
 * once; asked again, it is answered from memory.
 */
#include <stdio.h>
#include <string.h>

#include "agentd/agentd.h"
#include "common/log.h"
#include "link.pb-c.h"
#include "uplink.pb-c.h"

/* Memory that one command may cost, in bytes: 10,000 exceptions. */
#define COMMAND_BUDGET MIB(4)

/* Bytes of a task's name with its end. */
#define TASK_BYTES 64u

static const char *
status_word(Picket__V1__CommandStatus status)
{
	const ProtobufCEnumValue *v =
	    protobuf_c_enum_descriptor_get_value(&picket__v1__command_status__descriptor, (int)status);

	return v != NULL ? v->name : "?";
}

/* Hand a result to uplinkd. When it is not connected, the server sends the command again and gets the result then. */
static void
report(struct agentd *a, const char *id, Picket__V1__CommandStatus status, const char *text, uint64_t time_ms)
{
	Picket__V1__CommandResult result = PICKET__V1__COMMAND_RESULT__INIT;
	Picket__V1__CommandResultRecord record = PICKET__V1__COMMAND_RESULT_RECORD__INIT;
	uint8_t packed[LIM_ID_BYTES + AGT_RESULT_BYTES + 64]; /* bytes: the two texts, two numbers, tags */

	result.id = pb_str(id);
	result.status = status;
	result.text = pb_bytes(text, strnlen(text, AGT_RESULT_BYTES - 1));
	result.time_ms = time_ms;
	record.result = pb_bytes(packed, protobuf_c_message_pack(&result.base, packed));
	if (a->peer[AGT_UPLINKD].link != NULL)
		(void)ipc_send(
		    a->peer[AGT_UPLINKD].link, PICKET__V1__MSG__MSG_COMMAND_RESULT, 0, &record.base, NULL, 0);
}

/* A command that is not executed: counted, logged, reported, not remembered. */
static void
refuse(struct agentd *a, const char *id, Picket__V1__CommandStatus status, const char *why)
{
	a->counters.commands_refused++;
	log_warning("command.refused", KV_STR("id", id), KV_STR("status", status_word(status)), KV_STR("why", why));
	report(a, id, status, why, wall_now_ms());
}

void
agt_command_done(struct agentd *a, const char *id, bool ok, const char *text)
{
	const uint64_t now_ms = wall_now_ms();
	Picket__V1__CommandStatus status =
	    ok ? PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_DONE : PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_FAILED;

	if (ok)
		a->counters.commands_done++;
	else
		a->counters.commands_failed++;
	agt_commands_finish(&a->commands, id, status, text, now_ms);
	/* A result that cannot be persisted is still true: at worst the command is executed again, to the same end. */
	(void)agt_store_commands(a);
	log_notice("command.done", KV_STR("id", id), KV_STR("status", status_word(status)), KV_STR("text", text));
	report(a, id, status, text, now_ms);
}

/* ---- kinds: each returns an enum agt_exit with words in `text` ---- */

static int
do_set_settings(struct agentd *a, const Picket__V1__SetSettingsCommand *c, char *text, size_t size)
{
	char task[TASK_BYTES];
	int code;

	if (pb_to_str(c->task, task, sizeof(task)) < 0) {
		(void)snprintf(text, size, "the task's name is too long");
		return AGT_EXIT_ARGUMENT;
	}
	code = agt_decide_settings(a, task, c->settings, c->n_settings, text, size);
	if (code == AGT_EXIT_OK)
		(void)snprintf(text, size, "revision %llu is in force", (unsigned long long)a->settings.revision);
	return code;
}

static int
do_task(struct agentd *a, const Picket__V1__TaskCommand *c, char *text, size_t size)
{
	char name[TASK_BYTES];
	int task = pb_to_str(c->task, name, sizeof(name)) == 0 ? agt_task_find(name) : -1;
	bool start = c->verb == PICKET__V1__TASK_VERB__TASK_VERB_START;
	int code;

	if (task < 0 || (!start && c->verb != PICKET__V1__TASK_VERB__TASK_VERB_STOP)) {
		(void)snprintf(text, size, task < 0 ? "no such task" : "a task command starts or stops");
		return AGT_EXIT_ARGUMENT;
	}
	code = agt_decide_task(a, (enum agt_task)task, start, false, text, size);
	if (code == AGT_EXIT_OK)
		(void)snprintf(
		    text, size, "%s is %s", agt_task_defs[task].name, agt_fsm_state_name(a->tasks.task[task].state));
	return code;
}

/* Execute. What concerns isolatord is finished later (agt_command_done), the rest here. */
static void
execute(struct agentd *a, const Picket__V1__Command *c, const char *id)
{
	const struct agt_asker asker = {.command_id = id};
	char text[AGT_TEXT_BYTES] = "";
	int code = AGT_EXIT_ARGUMENT;

	(void)agt_commands_begin(&a->commands, id, c->issued_ms);
	switch (c->kind_case) {
	case PICKET__V1__COMMAND__KIND_ISOLATE:
		code = agt_isolate(a, true, c->isolate->duration_s, c->isolate->exceptions, c->isolate->n_exceptions,
		    &asker, text, sizeof(text));
		if (code == AGT_EXIT_OK)
			return;
		break;
	case PICKET__V1__COMMAND__KIND_RELEASE:
		code = agt_isolate(a, false, 0, NULL, 0, &asker, text, sizeof(text));
		if (code == AGT_EXIT_OK)
			return;
		break;
	case PICKET__V1__COMMAND__KIND_SET_SETTINGS:
		code = do_set_settings(a, c->set_settings, text, sizeof(text));
		break;
	case PICKET__V1__COMMAND__KIND_TASK:
		code = do_task(a, c->task, text, sizeof(text));
		break;
	case PICKET__V1__COMMAND__KIND__NOT_SET:
	default:
		break; /* agt_command_check() lets none through */
	}
	agt_command_done(a, id, code == AGT_EXIT_OK, text);
}

static void
repeat(struct agentd *a, const char *id)
{
	const struct agt_command_record *record = agt_commands_find(&a->commands, id);

	a->counters.commands_repeated++;
	log_info("command.repeated", KV_STR("id", id), KV_STR("status", status_word(record->status)));
	report(a, id, record->status, record->text, record->time_ms);
}

int
agt_on_server_command(struct ipc_link *link, const struct ipc_msg *msg, void *ctx)
{
	const Picket__V1__ServerCommandRecord *record = (const void *)msg->pb;
	struct agentd *a = ctx;
	Picket__V1__CommandStatus status;
	char id[LIM_ID_BYTES + 1], text[AGT_RESULT_BYTES];
	struct pb_arena *arena = NULL;
	const char *why = NULL;
	const Picket__V1__Command *command;

	(void)link;
	if (agt_command_id(record->command.data, record->command.len, id, sizeof(id)) < 0) {
		a->counters.commands_refused++;
		log_warning("command.refused", KV_STR("id", NULL), KV_STR("why", "it has no usable id"));
		return 0;
	}
	command = (const void *)pb_unpack(
	    &picket__v1__command__descriptor, record->command.data, record->command.len, COMMAND_BUDGET, &arena, &why);
	if (command == NULL) {
		refuse(a, id, PICKET__V1__COMMAND_STATUS__COMMAND_STATUS_REFUSED, why);
		return 0;
	}
	switch (agt_command_check(&a->commands, command, a->agent_id, wall_now_ms(), &status, text, sizeof(text))) {
	case AGT_COMMAND_EXECUTE:
		log_notice("command.accepted", KV_STR("id", id), KV_U64("kind", command->kind_case));
		execute(a, command, id);
		break;
	case AGT_COMMAND_REPEAT:
		repeat(a, id);
		break;
	case AGT_COMMAND_RUNNING:
		break;
	case AGT_COMMAND_REFUSE:
		refuse(a, id, status, text);
		break;
	}
	pb_arena_free(arena);
	return 0;
}
