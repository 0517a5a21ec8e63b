/* picketctl: the administrator's command. Options and the table of verbs; talks to nobody but agentd, and has no
 * privilege of its own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/daemon.h"
#include "common/version.h"
#include "picketctl/ctl.h"

/* Bytes of a socket's path: sun_path has 108. */
#define SOCKET_BYTES 128u

struct verb {
	const char *name;
	const char *args;
	int (*handler)(struct ctl *ctl, struct ctl_args *args);
	const char *help;
};

static const struct verb verbs[] = {
    /* clang-format off */
    {"status",    "",                                                        ctl_cmd_status,    "is this host protected, reporting, isolated, losing anything, and if not why"},
    {"stats",     "",                                                        ctl_cmd_stats,     "what every daemon counts"},
    {"task",      "list",                                                    ctl_cmd_task,      "tasks, their state and why"},
    {"task",      "start|stop TASK [--with-dependencies]",                   ctl_cmd_task,      "TASK is a name or a number: 20 Behavior_Detection, 24 KATAEDR"},
    {"settings",  "get KATAEDR [Key...]",                                    ctl_cmd_settings,  "as an INI file that settings set --file takes"},
    {"settings",  "set KATAEDR [--file FILE] [Key=Value...]",                ctl_cmd_settings,  "all or nothing; Section.Key=Value for keys in a section"},
    {"isolate",   "on [--duration 2h] [--allow out:tcp:10.0.0.5/32:443]...", ctl_cmd_isolate,   "cut the host off, but for loopback, the server and what is allowed"},
    {"isolate",   "off",                                                     ctl_cmd_isolate,   "release it"},
    {"isolate",   "status",                                                  ctl_cmd_isolate,   "what is in force"},
    {"exclusion", "list",                                                    ctl_cmd_exclusion, "programs whose events are neither analysed nor sent"},
    {"exclusion", "add PATHMASK",                                            ctl_cmd_exclusion, "* within a path element, ** across, ? one character"},
    {"exclusion", "remove ID",                                               ctl_cmd_exclusion, ""},
    {"events",    "--follow [--type TYPE]",                                  ctl_cmd_events,    "events as they are seen, one a line"},
    {"monitor",   "",                                                        ctl_cmd_monitor,   "status header and live events, until Ctrl-C"},
    {NULL, NULL, NULL, NULL},
    /* clang-format on */
};

static void
usage(FILE *out)
{
	(void)fputs("usage: picketctl [--json] [--config FILE | --socket PATH] VERB ...\n\n", out);
	for (const struct verb *v = verbs; v->name != NULL; v++)
		(void)fprintf(out, "  %s %s%s%s\n", v->name, v->args, v->help[0] != '\0' ? "\n        " : "", v->help);
	(void)fputs("\n"
		    "  --json          objects with stable keys instead of text, for every verb\n"
		    "  --config FILE   where RuntimeDirectory stands (default " DAEMON_CONFIG ")\n"
		    "  --socket PATH   agentd's socket, whatever the configuration says\n"
		    "  --version, --help\n"
		    "\n"
		    "exit: 0 ok, 1 bad arguments, 2 bad setting value, 64 daemon not running, 65 other error, 68 "
		    "refused, 70 wrong task "
		    "state, 128 unknown\n"
		    "manual: picketctl(1)\n",
	    out);
}

static const struct conf_key conf_keys[] = {
    DAEMON_CONF_KEYS,
    {NULL, NULL, CONF_STRING, 0, NULL, 0, 0, NULL, NULL},
};

/* agentd's socket as the configuration says. Without a --config a missing file means the defaults. Returns an exit
 * code. */
static int
find_socket(const char *config, char *path, size_t size)
{
	struct daemon_conf conf = {0};
	char err[1024]; /* bytes of one line */
	int r;

	if (config == NULL && access(DAEMON_CONFIG, F_OK) != 0 && errno == ENOENT) {
		(void)snprintf(path, size, "/run/picket/agentd.sock");
		return CTL_EXIT_OK;
	}
	r = conf_load(conf_keys, &conf, config != NULL ? config : DAEMON_CONFIG, err, sizeof(err));
	if (r < 0)
		return ctl_fail(CTL_EXIT_ARGUMENT, "%s", err);
	(void)daemon_socket_path(&conf, "agentd", path, size);
	conf_done(conf_keys, &conf);
	return CTL_EXIT_OK;
}

/* Of an option given twice, as by an alias and by hand, the last counts. Returns 0, or -1 when a value is missing. */
static int
last_value(struct ctl_args *args, const char *name, const char **ret_value)
{
	int r;

	while ((r = ctl_args_value(args, name, ret_value)) > 0)
		;
	return r;
}

/* The options that every verb has. Returns 0 to go on, or 1 with the exit code. */
static int
common_options(struct ctl *ctl, struct ctl_args *args, char *path, size_t size, int *ret_exit)
{
	const char *config = NULL, *socket = NULL;

	*ret_exit = CTL_EXIT_OK;
	if (ctl_args_flag(args, "--help")) {
		usage(stdout);
		return 1;
	}
	if (ctl_args_flag(args, "--version")) {
		(void)printf("picketctl %s\n", picket_version);
		return 1;
	}
	ctl->json = ctl_args_flag(args, "--json");
	if (last_value(args, "--config", &config) < 0 || last_value(args, "--socket", &socket) < 0) {
		*ret_exit = ctl_fail(CTL_EXIT_ARGUMENT, "--config and --socket need a path");
		return 1;
	}
	if (args->n == 0) {
		usage(stderr);
		*ret_exit = CTL_EXIT_ARGUMENT;
		return 1;
	}
	if (socket != NULL)
		(void)snprintf(path, size, "%s", socket);
	else
		*ret_exit = find_socket(config, path, size);
	return *ret_exit == CTL_EXIT_OK ? 0 : 1;
}

int
main(int argc, char **argv)
{
	char path[SOCKET_BYTES];
	struct ctl ctl = {.socket = path, .patience_ms = CTL_PATIENCE_MS, .fd = -1};
	struct ctl_args args = {.n = argc - 1, .arg = argv + 1};
	const char *name;
	int code;

	ctl.colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
	if (common_options(&ctl, &args, path, sizeof(path), &code) != 0)
		return code;
	name = ctl_args_next(&args);
	for (const struct verb *v = verbs; v->name != NULL; v++) {
		if (strcmp(v->name, name) != 0)
			continue;
		code = v->handler(&ctl, &args);
		if (fflush(stdout) != 0 && code == CTL_EXIT_OK)
			code = CTL_EXIT_OTHER;
		if (ctl.fd >= 0)
			(void)close(ctl.fd);
		return code;
	}
	return ctl_fail(CTL_EXIT_ARGUMENT, "%s: no such verb; picketctl --help lists them", name);
}
