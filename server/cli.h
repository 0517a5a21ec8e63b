/* The verbs of the command line: one row each, parsed options, an open database. Only cli*.c include this. */
#ifndef PICKET_SERVER_CLI_H
#define PICKET_SERVER_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/server.h"
#include "server/store.h"

/* --allow options of one isolation: what fits a command line. */
#define CLI_ALLOWS_MAX 256u

/* Events, or commands, without --limit. */
#define CLI_LIMIT_DEFAULT 50u

/* Options; a verb's row says which it takes. */
enum cli_option {
	CLI_JSON = 1u << 0,
	CLI_HOST = 1u << 1,
	CLI_TYPE = 1u << 2,
	CLI_TEXT = 1u << 3,
	CLI_LIMIT = 1u << 4,
	CLI_SINCE = 1u << 5,
	CLI_UNTIL = 1u << 6,
	CLI_FOLLOW = 1u << 7,
	CLI_DURATION = 1u << 8,
	CLI_ALLOW = 1u << 9,
	CLI_WAIT = 1u << 10,
	CLI_EXPIRES = 1u << 11,
};

struct cli {
	struct store *store;
	const char *verb;
	char **args; /* positional */
	int n_args;
	uint64_t now_ms;
	bool json, follow;
	const char *host, *type, *text;
	uint64_t limit;
	uint64_t since_ms, until_ms; /* wall clock; 0: not given */
	uint64_t duration_s;         /* 0: until released */
	uint64_t wait_s;             /* 0: do not wait */
	uint64_t expires_ms;         /* from now; 0: never */
	const char *allows[CLI_ALLOWS_MAX];
	size_t n_allows;
};

/* Each returns an enum server_exit and has printed what there is to say. */
int cli_hosts(struct cli *cli);
int cli_events(struct cli *cli);
int cli_commands(struct cli *cli);
int cli_isolate(struct cli *cli);
int cli_release(struct cli *cli);
int cli_settings(struct cli *cli);
int cli_task(struct cli *cli);

/* cli_find_host - HOST of the command line. Returns 0, or an enum server_exit after saying why. */
int cli_find_host(struct cli *cli, const char *text, int64_t *ret_host, char *agent_id, size_t agent_id_size);

/* cli_say_store - complain of the database. Returns SERVER_EXIT_OTHER. */
int cli_say_store(struct cli *cli);

/* cli_time - milliseconds since 1970 as 2026-11-24T06:31:43.892Z; "-" for 0. Returns buf. */
#define CLI_TIME_BYTES 32u
const char *cli_time(uint64_t ms, char buf[static CLI_TIME_BYTES]);

#endif
