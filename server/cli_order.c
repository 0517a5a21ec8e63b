/*
 * isolate, release, settings, task: queue a command, and wait for its result when asked to. Never talks to a host
 * itself. Called by cli.c.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/pb.h"
#include "server/allow.h"
#include "server/cli.h"
#include "server/order.h"

/* Milliseconds between two looks for the result; a look is one indexed row. */
#define POLL_MS 100u

/* Bytes of one error line. */
#define ERR_BYTES 512u

/* Settings of one command: more than the task has. */
#define SETTINGS_MAX 64u

struct answer {
	enum store_command_state state;
	char text[1024]; /* bytes: what the server keeps of a result */
};

static int
take_answer(const struct store_command *command, void *ctx)
{
	struct answer *answer = ctx;

	answer->state = command->state;
	(void)snprintf(answer->text, sizeof(answer->text), "%s", command->result);
	return 1;
}

/* Look until the host has answered or the time is over. Returns 0 or a negative errno. */
static int
wait_for_answer(struct cli *cli, const char *id, struct answer *ret)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
	struct mono_ms start = mono_now();

	for (;;) {
		int r = store_commands_each(cli->store, id, 0, 1, take_answer, ret);
		if (r < 0)
			return r;
		if (!store_command_is_open(ret->state) || mono_since(start, mono_now()) >= cli->wait_s * 1000)
			return 0;
		(void)nanosleep(&pause, NULL);
	}
}

static int
exit_of(enum store_command_state state, bool waited)
{
	switch (state) {
	case STORE_COMMAND_FAILED:
		return SERVER_EXIT_FAILED;
	case STORE_COMMAND_REFUSED:
		return SERVER_EXIT_REFUSED;
	case STORE_COMMAND_EXPIRED:
		return SERVER_EXIT_EXPIRED;
	case STORE_COMMAND_QUEUED:
	case STORE_COMMAND_SENT:
		return waited ? SERVER_EXIT_NO_ANSWER : SERVER_EXIT_OK;
	default:
		return SERVER_EXIT_OK;
	}
}

static void
print_answer(const struct cli *cli, const char *id, const char *agent_id, const struct answer *answer)
{
	const char *state = store_command_state_name(answer->state);

	if (cli->json) {
		json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", id, "agent_id", agent_id, "kind", cli->verb,
		    "state", state, "result", answer->text);

		(void)json_dumpf(o, stdout, JSON_COMPACT);
		(void)putchar('\n');
		json_decref(o);
	} else {
		(void)printf("%s %s for %s is %s%s%s\n", cli->verb, id, agent_id, state,
		    answer->text[0] != '\0' ? ": " : "", answer->text);
	}
}

/* The common end of every order. */
static int
queue(struct cli *cli, const char *host_text, Picket__V1__Command *command)
{
	struct answer answer = {.state = STORE_COMMAND_QUEUED};
	char agent_id[LIM_ID_BYTES + 1], id[ORDER_ID_BYTES];
	int64_t host;
	int r = cli_find_host(cli, host_text, &host, agent_id, sizeof(agent_id));

	if (r != 0)
		return r;
	uint64_t expires_ms = cli->expires_ms != 0 ? cli->now_ms + cli->expires_ms : 0;
	r = order_queue(cli->store, host, agent_id, cli->verb, command, cli->now_ms, expires_ms, id);
	if (r == -EMSGSIZE) {
		srv_complain("the order is larger than an agent takes (%zu bytes): give fewer --allow or settings",
		    ORDER_BYTES_MAX);
		return SERVER_EXIT_VALUE;
	}
	if (r < 0)
		return cli_say_store(cli);
	if (cli->wait_s != 0 && wait_for_answer(cli, id, &answer) < 0)
		return cli_say_store(cli);
	print_answer(cli, id, agent_id, &answer);
	if (cli->wait_s != 0 && store_command_is_open(answer.state))
		srv_complain("no answer within %llu s; the order stays queued, see `picket-server commands %s`",
		    (unsigned long long)cli->wait_s, id);
	return exit_of(answer.state, cli->wait_s != 0);
}

int
cli_isolate(struct cli *cli)
{
	Picket__V1__IsolateCommand isolate = PICKET__V1__ISOLATE_COMMAND__INIT;
	Picket__V1__Command command = PICKET__V1__COMMAND__INIT;
	Picket__V1__IsolationException *exceptions[CLI_ALLOWS_MAX];
	AUTO_FREE struct allow *allows = calloc(cli->n_allows + 1, sizeof(*allows));
	char err[ERR_BYTES];

	if (allows == NULL)
		return SERVER_EXIT_OTHER;
	for (size_t i = 0; i < cli->n_allows; i++) {
		if (allow_parse(cli->allows[i], &allows[i], err, sizeof(err)) < 0) {
			srv_complain("%s", err);
			return SERVER_EXIT_VALUE;
		}
		exceptions[i] = &allows[i].exception;
	}
	isolate.duration_s = cli->duration_s;
	isolate.exceptions = exceptions;
	isolate.n_exceptions = cli->n_allows;
	command.kind_case = PICKET__V1__COMMAND__KIND_ISOLATE;
	command.isolate = &isolate;
	return queue(cli, cli->args[0], &command);
}

int
cli_release(struct cli *cli)
{
	Picket__V1__ReleaseCommand release = PICKET__V1__RELEASE_COMMAND__INIT;
	Picket__V1__Command command = PICKET__V1__COMMAND__INIT;

	command.kind_case = PICKET__V1__COMMAND__KIND_RELEASE;
	command.release = &release;
	return queue(cli, cli->args[0], &command);
}

/* [SECTION.]KEY=VALUE; a section may have points itself. Returns 0 or -EINVAL. The setting borrows from text. */
static int
parse_setting(const char *text, Picket__V1__Setting *ret)
{
	const char *equals = strchr(text, '='), *key = text;

	picket__v1__setting__init(ret);
	if (equals == NULL || equals == text)
		return -EINVAL;
	for (const char *p = text; p < equals; p++) {
		if (*p == '.')
			key = p + 1;
	}
	if (key == equals || key == text + 1)
		return -EINVAL;
	ret->section = pb_bytes(text, key > text ? (size_t)(key - text) - 1 : 0);
	ret->key = pb_bytes(key, (size_t)(equals - key));
	ret->value = pb_str(equals + 1);
	return 0;
}

int
cli_settings(struct cli *cli)
{
	Picket__V1__SetSettingsCommand set = PICKET__V1__SET_SETTINGS_COMMAND__INIT;
	Picket__V1__Command command = PICKET__V1__COMMAND__INIT;
	Picket__V1__Setting settings[SETTINGS_MAX];
	Picket__V1__Setting *pointers[SETTINGS_MAX];
	int n = cli->n_args - 2;

	if (n > (int)SETTINGS_MAX) {
		srv_complain("more than %u settings at once", SETTINGS_MAX);
		return SERVER_EXIT_USAGE;
	}
	for (int i = 0; i < n; i++) {
		if (parse_setting(cli->args[2 + i], &settings[i]) < 0) {
			srv_complain("%s is not [SECTION.]KEY=VALUE", cli->args[2 + i]);
			return SERVER_EXIT_USAGE;
		}
		pointers[i] = &settings[i];
	}
	set.task = pb_str(cli->args[1]);
	set.settings = pointers;
	set.n_settings = (size_t)n;
	command.kind_case = PICKET__V1__COMMAND__KIND_SET_SETTINGS;
	command.set_settings = &set;
	return queue(cli, cli->args[0], &command);
}

int
cli_task(struct cli *cli)
{
	Picket__V1__TaskCommand task = PICKET__V1__TASK_COMMAND__INIT;
	Picket__V1__Command command = PICKET__V1__COMMAND__INIT;
	bool start = strcmp(cli->args[1], "start") == 0;

	if (!start && strcmp(cli->args[1], "stop") != 0) {
		srv_complain("task HOST start|stop TASK: %s is neither", cli->args[1]);
		return SERVER_EXIT_USAGE;
	}
	task.task = pb_str(cli->args[2]);
	task.verb = start ? PICKET__V1__TASK_VERB__TASK_VERB_START : PICKET__V1__TASK_VERB__TASK_VERB_STOP;
	command.kind_case = PICKET__V1__COMMAND__KIND_TASK;
	command.task = &task;
	return queue(cli, cli->args[0], &command);
}
