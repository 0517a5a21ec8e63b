/*
 * The verbs that work on the database beside a running server: table, options, dispatch. What a verb prints or queues
 * is in cli_show.c and cli_order.c. Called by main.c.
 */
#include "server/cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/limits.h"
#include "server/conf.h"

/* Bytes of one error line. */
#define ERR_BYTES 1024u

/* Seconds of --wait: a day. */
#define WAIT_MAX_S 86400u

static const struct verb {
	const char *name;
	int min_args, max_args; /* max -1: any number */
	uint32_t options;
	int (*run)(struct cli *cli);
} verbs[] = {
    {"hosts", 0, 0, CLI_JSON, cli_hosts},
    {"events", 0, 0, CLI_JSON | CLI_HOST | CLI_TYPE | CLI_TEXT | CLI_LIMIT | CLI_SINCE | CLI_UNTIL | CLI_FOLLOW,
	cli_events},
    {"commands", 0, 1, CLI_JSON | CLI_HOST | CLI_LIMIT, cli_commands},
    {"isolate", 1, 1, CLI_JSON | CLI_DURATION | CLI_ALLOW | CLI_WAIT | CLI_EXPIRES, cli_isolate},
    {"release", 1, 1, CLI_JSON | CLI_WAIT | CLI_EXPIRES, cli_release},
    {"settings", 3, -1, CLI_JSON | CLI_WAIT | CLI_EXPIRES, cli_settings},
    {"task", 3, 3, CLI_JSON | CLI_WAIT | CLI_EXPIRES, cli_task},
};

const char srv_verb_help[] =
    "verbs (each with --db FILE or --config FILE, and --json):\n"
    "  hosts                                      every host: last seen, state, isolation\n"
    "  events [--host HOST] [--type TYPE] [--text TEXT] [--since WHEN] [--until WHEN] [--limit N] [--follow]\n"
    "  commands [ID] [--host HOST] [--limit N]    what was ordered and what came of it\n"
    "  isolate HOST [--duration TIME] [--allow RULE]...\n"
    "  release HOST\n"
    "  settings HOST TASK [SECTION.]KEY=VALUE...\n"
    "  task HOST start|stop TASK\n"
    "  HOST is an agent id, a unique beginning of one, or a host name. Orders: --wait SECONDS, --expires TIME.\n"
    "  WHEN is a time ago (90s, 15min, 2h, 1d) or 2026-11-24T06:00:00Z. RULE is e.g. out,tcp,10.0.0.5,443.\n";

static const struct {
	struct option option;
	uint32_t bit; /* 0: every verb */
} options[] = {
    {{"db", required_argument, NULL, 'd'}, 0},
    {{"config", required_argument, NULL, 'c'}, 0},
    {{"json", no_argument, NULL, 'j'}, CLI_JSON},
    {{"host", required_argument, NULL, 'H'}, CLI_HOST},
    {{"type", required_argument, NULL, 't'}, CLI_TYPE},
    {{"text", required_argument, NULL, 'x'}, CLI_TEXT},
    {{"limit", required_argument, NULL, 'l'}, CLI_LIMIT},
    {{"since", required_argument, NULL, 's'}, CLI_SINCE},
    {{"until", required_argument, NULL, 'u'}, CLI_UNTIL},
    {{"follow", no_argument, NULL, 'f'}, CLI_FOLLOW},
    {{"duration", required_argument, NULL, 'D'}, CLI_DURATION},
    {{"allow", required_argument, NULL, 'a'}, CLI_ALLOW},
    {{"wait", required_argument, NULL, 'w'}, CLI_WAIT},
    {{"expires", required_argument, NULL, 'e'}, CLI_EXPIRES},
};

/* A time or a number by the rules of the configuration file. Returns 0, or SERVER_EXIT_VALUE after saying why. */
static int
parse_value(const char *option, const char *text, enum conf_type type, uint64_t min, uint64_t max, uint64_t *ret)
{
	const struct conf_key row = {.section = "", .key = option, .type = type, .min = min, .max = max};
	char err[ERR_BYTES];

	if (conf_parse_value(&row, ret, text, err, sizeof(err)) == 0)
		return 0;
	srv_complain("--%s", err); /* "option=text: what is allowed" */
	return SERVER_EXIT_VALUE;
}

/* WHEN: a time ago, or a point in time (RFC 3339, UTC). */
static int
parse_when(const char *option, const char *text, uint64_t now_ms, uint64_t *ret)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	uint64_t ago_ms;

	if (end != NULL && (strcmp(end, "Z") == 0 || *end == '\0')) {
		*ret = (uint64_t)timegm(&tm) * 1000u;
		return 0;
	}
	int r = parse_value(option, text, CONF_MS, 0, now_ms, &ago_ms);
	if (r == 0)
		*ret = now_ms - ago_ms;
	return r;
}

static int
take_option(struct cli *cli, int c)
{
	uint64_t ms;
	int r;

	switch (c) {
	case 'j':
		cli->json = true;
		return 0;
	case 'H':
		cli->host = optarg;
		return 0;
	case 't':
		cli->type = optarg;
		return 0;
	case 'x':
		cli->text = optarg;
		return 0;
	case 'f':
		cli->follow = true;
		return 0;
	case 'l':
		return parse_value("limit", optarg, CONF_U64, 1, INT64_MAX, &cli->limit);
	case 's':
		return parse_when("since", optarg, cli->now_ms, &cli->since_ms);
	case 'u':
		return parse_when("until", optarg, cli->now_ms, &cli->until_ms);
	case 'D':
		r = parse_value("duration", optarg, CONF_MS, 1000, LIM_ISOLATION_S * UINT64_C(1000), &ms);
		if (r == 0)
			cli->duration_s = ms / 1000;
		return r;
	case 'w':
		return parse_value("wait", optarg, CONF_U64, 1, WAIT_MAX_S, &cli->wait_s);
	case 'e':
		return parse_value("expires", optarg, CONF_MS, 1000, INT64_MAX, &cli->expires_ms);
	default:
		if (cli->n_allows == CLI_ALLOWS_MAX) {
			srv_complain("more than %u --allow", CLI_ALLOWS_MAX);
			return SERVER_EXIT_USAGE;
		}
		cli->allows[cli->n_allows++] = optarg;
		return 0;
	}
}

struct place {
	const char *db, *config;
};

/* Returns 0, or an enum server_exit after saying why. */
static int
parse_options(struct cli *cli, const struct verb *verb, int argc, char **argv, struct place *place)
{
	struct option longs[ARRAY_LEN(options) + 1] = {0};
	int c, index = 0;

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		longs[i] = options[i].option;
	while ((c = getopt_long(argc, argv, "", longs, &index)) != -1) {
		int r = 0;

		if (c == '?')
			return SERVER_EXIT_USAGE;
		if (options[index].bit != 0 && (options[index].bit & verb->options) == 0) {
			srv_complain("%s has no option --%s, see --help", verb->name, options[index].option.name);
			return SERVER_EXIT_USAGE;
		}
		if (c == 'd')
			place->db = optarg;
		else if (c == 'c')
			place->config = optarg;
		else
			r = take_option(cli, c);
		if (r != 0)
			return r;
	}
	cli->args = argv + optind;
	cli->n_args = argc - optind;
	if (cli->n_args < verb->min_args || (verb->max_args >= 0 && cli->n_args > verb->max_args)) {
		srv_complain("%s: wrong number of arguments, see --help", verb->name);
		return SERVER_EXIT_USAGE;
	}
	return 0;
}

/* The database of --db, or of the configuration. Returns 0, or an enum server_exit after saying why. */
static int
open_store(struct cli *cli, const struct place *place)
{
	struct server_conf conf = {0};
	char err[ERR_BYTES];

	if (place->db == NULL && place->config == NULL) {
		srv_complain("name the running server's database with --db FILE, or its --config FILE");
		return SERVER_EXIT_USAGE;
	}
	if (conf_load(srv_conf_keys, &conf, place->config, err, sizeof(err)) < 0) {
		srv_complain("%s", err);
		return SERVER_EXIT_OTHER;
	}
	int r = store_open(place->db != NULL ? place->db : conf.database, STORE_TOOL, &cli->store, err, sizeof(err));
	if (r < 0)
		srv_complain("%s", err);
	conf_done(srv_conf_keys, &conf);
	return r < 0 ? SERVER_EXIT_OTHER : 0;
}

int
srv_verb_run(int argc, char **argv, int *ret_exit)
{
	struct cli cli = {.now_ms = wall_now_ms(), .limit = CLI_LIMIT_DEFAULT};
	struct place place = {NULL, NULL};
	const struct verb *verb = NULL;

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(verbs); i++) {
		if (strcmp(argv[1], verbs[i].name) == 0)
			verb = &verbs[i];
	}
	if (verb == NULL)
		return 0;
	cli.verb = verb->name;
	/* Files that SQLite makes beside the database are for its owner only. */
	(void)umask(0077);
	int r = parse_options(&cli, verb, argc - 1, argv + 1, &place);
	if (r == 0)
		r = open_store(&cli, &place);
	if (r == 0)
		r = verb->run(&cli);
	store_close(cli.store);
	if (r == 0 && (fflush(stdout) != 0 || ferror(stdout))) {
		srv_complain("cannot write to standard output: %m");
		r = SERVER_EXIT_OTHER;
	}
	*ret_exit = r;
	return 1;
}

int
cli_say_store(struct cli *cli)
{
	srv_complain("the database failed: %s", store_error(cli->store));
	return SERVER_EXIT_OTHER;
}

int
cli_find_host(struct cli *cli, const char *text, int64_t *ret_host, char *agent_id, size_t agent_id_size)
{
	switch (-store_host_find(cli->store, text, ret_host, agent_id, agent_id_size)) {
	case 0:
		return 0;
	case ENOENT:
		srv_complain("no host %s: `picket-server hosts` lists those that have reported", text);
		return SERVER_EXIT_OTHER;
	case ENOTUNIQ:
		srv_complain("several hosts match %s: give more of the agent id", text);
		return SERVER_EXIT_OTHER;
	default:
		return cli_say_store(cli);
	}
}

const char *
cli_time(uint64_t ms, char buf[static CLI_TIME_BYTES])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (ms == 0 || gmtime_r(&seconds, &tm) == NULL ||
	    strftime(buf, CLI_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
		(void)snprintf(buf, CLI_TIME_BYTES, "-");
		return buf;
	}
	size_t n = strlen(buf);
	(void)snprintf(buf + n, CLI_TIME_BYTES - n, ".%03uZ", (unsigned int)(ms % 1000));
	return buf;
}
