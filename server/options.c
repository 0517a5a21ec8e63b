/*
 * Turns argv and a configuration file into values. Never opens what they name. Called by main.c.
 */
#include "server/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/daemon.h"
#include "common/version.h"
#include "server/server.h"

/* Bytes of one error line. */
#define ERR_BYTES 1024u

/* Options that are not rows of srv_conf_options, and the end of the table. */
#define OPTIONS_OWN 6

static void
usage(FILE *out)
{
	(void)fprintf(out, "usage: picket-server [--config FILE] [option ...]    run the server in the foreground\n"
			   "       picket-server VERB [argument ...]             ask it or command hosts\n\noptions:\n"
			   "  --config FILE           read section [server] of FILE; options override it\n");
	for (const struct srv_conf_option *o = srv_conf_options; o->option != NULL; o++)
		(void)fprintf(out, "  --%s %-*s %s\n", o->option, (int)(20 - strlen(o->option)), o->argument, o->help);
	(void)fprintf(out,
	    "  -n | -T | --sample      check the configuration, print it, or print every key with its default\n"
	    "  --sandbox-probe NAME    enter the sandbox, try a call that must fail, say what happened\n"
	    "  --version, --help\n\n%s\nmanual: picket-server(8)\n",
	    srv_verb_help);
}

int
options_parse(int argc, char **argv, struct options *options, int *ret_exit)
{
	enum { OPT_VALUE = 256, OPT_CONFIG = 512, OPT_SAMPLE, OPT_PROBE, OPT_VERSION, OPT_HELP };
	struct option longs[SRV_CONF_OPTIONS + OPTIONS_OWN] = {
	    {"config", required_argument, NULL, OPT_CONFIG},
	    {"sample", no_argument, NULL, OPT_SAMPLE},
	    {"sandbox-probe", required_argument, NULL, OPT_PROBE},
	    {"version", no_argument, NULL, OPT_VERSION},
	    {"help", no_argument, NULL, OPT_HELP},
	};
	int c;

	for (int i = 0; srv_conf_options[i].option != NULL; i++)
		longs[OPTIONS_OWN - 1 + i] =
		    (struct option){srv_conf_options[i].option, required_argument, NULL, OPT_VALUE + i};
	*ret_exit = DAEMON_EXIT_OK;
	while ((c = getopt_long(argc, argv, "nT", longs, NULL)) != -1) {
		if (c >= OPT_VALUE && c < OPT_VALUE + SRV_CONF_OPTIONS) {
			options->values[c - OPT_VALUE] = optarg;
			continue;
		}
		switch (c) {
		case 'n':
			options->mode = OPTIONS_CHECK;
			break;
		case 'T':
			options->mode = OPTIONS_DUMP;
			break;
		case OPT_CONFIG:
			options->config = optarg;
			break;
		case OPT_SAMPLE:
			conf_sample(srv_conf_keys, false, stdout);
			return 1;
		case OPT_PROBE:
			options->probe = optarg;
			break;
		case OPT_VERSION:
			(void)printf("picket-server %s\n", picket_version);
			return 1;
		case OPT_HELP:
			usage(stdout);
			return 1;
		default:
			*ret_exit = DAEMON_EXIT_USAGE;
			return 1;
		}
	}
	if (optind < argc) {
		srv_complain("unexpected argument %s: there is no such verb, see --help", argv[optind]);
		*ret_exit = DAEMON_EXIT_USAGE;
		return 1;
	}
	return 0;
}

int
options_load(const struct options *options, struct server_conf *ret_conf)
{
	char err[ERR_BYTES];

	if (conf_load(srv_conf_keys, ret_conf, options->config, err, sizeof(err)) < 0) {
		srv_complain("%s", err);
		return -1;
	}
	for (int i = 0; srv_conf_options[i].option != NULL; i++) {
		const struct srv_conf_option *option = &srv_conf_options[i];

		if (options->values[i] != NULL &&
		    srv_conf_set(ret_conf, option->key, options->values[i], err, sizeof(err)) < 0) {
			srv_complain("--%s: %s", option->option, err);
			return -1;
		}
	}
	if (srv_conf_check(ret_conf, err, sizeof(err)) < 0) {
		srv_complain("%s", err);
		return -1;
	}
	return 0;
}
