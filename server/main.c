/*
 * The start-up checklist of the running server; verbs that only ask or queue go to cli.c.
 * No logic here: each step is one call, each failure one line and a documented exit code.
 */
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/conf.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "common/version.h"
#include "server/api.h"
#include "server/conf.h"
#include "server/http.h"
#include "server/listen.h"
#include "server/run_as.h"
#include "server/server.h"
#include "server/tls.h"

/* Bytes of one error line. */
#define ERR_BYTES 1024u

/* Beside what every daemon may: SQLite's files and locks, and connections from the network. */
static const struct sandbox_call calls[] = {
    {.nr = SCMP_SYS(access)},          /* SQLite: is there a journal to recover? */
    {.nr = SCMP_SYS(stat)},            /* older libc */
    {.nr = SCMP_SYS(lstat)},           /* older libc */
    {.nr = SCMP_SYS(readlink)},        /* SQLite: full name of the file, when it opens it */
    {.nr = SCMP_SYS(getcwd)},          /* the same */
    {.nr = SCMP_SYS(unlink)},          /* SQLite: the WAL, at close */
    {.nr = SCMP_SYS(fchown)},          /* SQLite: WAL and shared memory get the owner of the database */
    {.nr = SCMP_SYS(clock_nanosleep)}, /* SQLite: waiting for another writer's lock */
    {.nr = SCMP_SYS(setsockopt), {{SANDBOX_EQ, 1, SOL_SOCKET, 0}, {SANDBOX_EQ, 2, SO_KEEPALIVE, 0}}}, /* libevent */
    SANDBOX_END,
};

struct server {
	struct server_conf conf;
	const char *probe;
	SSL_CTX *tls;
	int listen_fd, port_file_fd;
	char address[INET6_ADDRSTRLEN];
	uint16_t port;
	struct loop loop;
	struct api api;
	struct http *http;
};

static void
usage(FILE *out)
{
	(void)fprintf(out, "usage: picket-server [--config FILE] [option ...]    run the server in the foreground\n"
			   "       picket-server VERB [argument ...]             ask it or command hosts\n\noptions:\n"
			   "  --config FILE           read section [server] of FILE; options go before it\n");
	for (const struct srv_conf_option *o = srv_conf_options; o->option != NULL; o++)
		(void)fprintf(out, "  --%s %-*s %s\n", o->option, (int)(20 - strlen(o->option)), o->argument, o->help);
	(void)fprintf(out,
	    "  -n | -T | --sample      check the configuration, print it, or print every key with its default\n"
	    "  --sandbox-probe NAME    enter the sandbox, try a call that must fail, say what happened\n"
	    "  --version, --help\n\n%s\nmanual: picket-server(8)\n",
	    srv_verb_help);
}

enum mode { MODE_RUN, MODE_CHECK, MODE_DUMP };

struct options {
	const char *config;
	const char *values[16]; /* by row of srv_conf_options; NULL: not given */
	enum mode mode;
};

/* Returns 0 to go on, or 1 with the exit code. */
static int
parse_options(int argc, char **argv, struct server *server, struct options *options, int *ret_exit)
{
	enum { OPT_VALUE = 256, OPT_CONFIG = 512, OPT_SAMPLE, OPT_PROBE, OPT_VERSION, OPT_HELP };
	struct option longs[ARRAY_LEN(options->values) + 6] = {
	    {"config", required_argument, NULL, OPT_CONFIG},
	    {"sample", no_argument, NULL, OPT_SAMPLE},
	    {"sandbox-probe", required_argument, NULL, OPT_PROBE},
	    {"version", no_argument, NULL, OPT_VERSION},
	    {"help", no_argument, NULL, OPT_HELP},
	};
	int c;

	for (int i = 0; srv_conf_options[i].option != NULL; i++)
		longs[5 + i] = (struct option){srv_conf_options[i].option, required_argument, NULL, OPT_VALUE + i};
	*ret_exit = DAEMON_EXIT_OK;
	while ((c = getopt_long(argc, argv, "nT", longs, NULL)) != -1) {
		if (c >= OPT_VALUE && c < OPT_CONFIG) {
			options->values[c - OPT_VALUE] = optarg;
			continue;
		}
		switch (c) {
		case 'n':
			options->mode = MODE_CHECK;
			break;
		case 'T':
			options->mode = MODE_DUMP;
			break;
		case OPT_CONFIG:
			options->config = optarg;
			break;
		case OPT_SAMPLE:
			conf_sample(srv_conf_keys, false, stdout);
			return 1;
		case OPT_PROBE:
			server->probe = optarg;
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

/* File, then options. Returns 0, or -1 after printing an error. */
static int
load_conf(struct server *server, const struct options *options)
{
	char err[ERR_BYTES];

	if (conf_load(srv_conf_keys, &server->conf, options->config, err, sizeof(err)) < 0) {
		srv_complain("%s", err);
		return -1;
	}
	for (int i = 0; srv_conf_options[i].option != NULL; i++) {
		const struct srv_conf_option *option = &srv_conf_options[i];

		if (options->values[i] != NULL &&
		    srv_conf_set(&server->conf, option->key, options->values[i], err, sizeof(err)) < 0) {
			srv_complain("--%s: %s", option->option, err);
			return -1;
		}
	}
	if (srv_conf_check(&server->conf, err, sizeof(err)) < 0) {
		srv_complain("%s", err);
		return -1;
	}
	return 0;
}

/* What needs the privileges that we start with: certificates, the socket, the port file. Returns 0, or -1 after
 * printing an error. */
static int
open_privileged(struct server *server)
{
	const struct server_conf *conf = &server->conf;
	const struct tls_files files = {conf->certificate, conf->key, conf->client_ca};
	char err[ERR_BYTES];

	server->tls = tls_context_new(&files, err, sizeof(err));
	if (server->tls == NULL) {
		srv_complain("%s", err);
		return -1;
	}
	server->listen_fd =
	    listen_open(conf->listen, server->address, sizeof(server->address), &server->port, err, sizeof(err));
	if (server->listen_fd < 0) {
		srv_complain("%s", err);
		return -1;
	}
	if (conf->port_file[0] != '\0') {
		server->port_file_fd =
		    open(conf->port_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (server->port_file_fd < 0) {
			srv_complain(
			    "cannot write the port file %s: %m; name one in a directory that exists", conf->port_file);
			return -1;
		}
	}
	return 0;
}

/* Returns 0, or -1 after printing an error. */
static int
confine(struct server *server, const struct privs *privs)
{
	AUTO_FREE char *path = strdup(server->conf.database);
	struct stat st;

	if (path == NULL)
		return -1;
	const char *directory = dirname(path);
	if (stat(directory, &st) < 0) {
		srv_complain("the directory of the database, %s: %m; make it, owned by the server's user", directory);
		return -1;
	}
	const struct sandbox_path paths[] = {{directory, SANDBOX_WRITE}, {NULL, 0}};
	const struct sandbox sandbox = {.calls = calls, .paths = paths, .inet = false};
	struct daemon daemon = {.name = "picket-server", .probe = server->probe, .state_fd = -1};

	return daemon_confine(&daemon, privs, &sandbox) < 0 ? -1 : 0;
}

static void
say_ready(struct server *server)
{
	log_info("server.listening", KV_STR("address", server->address), KV_U64("port", server->port),
	    KV_STR("database", server->conf.database));
	if (server->port_file_fd >= 0) {
		(void)dprintf(server->port_file_fd, "%u\n", (unsigned int)server->port);
		(void)close(server->port_file_fd);
		server->port_file_fd = -1;
	}
	notify_send("READY=1");
}

static void
say_stopped(const struct server *server)
{
	const struct api_stats *s = &server->api.stats;

	log_info("server.stopped", KV_U64("packages", s->packages), KV_U64("stored", s->stored),
	    KV_U64("duplicates", s->duplicates), KV_U64("malformed", s->malformed), KV_U64("syncs", s->syncs),
	    KV_U64("commands", s->commands), KV_U64("results", s->results));
}

static int
run(struct server *server)
{
	char err[ERR_BYTES];

	if (store_open(server->conf.database, STORE_SERVE, &server->api.store, err, sizeof(err)) < 0) {
		srv_complain("%s", err);
		return DAEMON_EXIT_START;
	}
	const struct http_conf http = {
	    .loop = &server->loop,
	    .tls = server->tls,
	    .api = &server->api,
	    .listen_fd = STEAL_FD(server->listen_fd),
	    .idle_timeout_ms = server->conf.idle_timeout_ms,
	    .request_timeout_ms = server->conf.request_timeout_ms,
	    .max_connections = server->conf.max_connections,
	};
	server->http = http_start(&http);
	if (server->http == NULL) {
		srv_complain("out of memory");
		return DAEMON_EXIT_START;
	}
	say_ready(server);
	int code = loop_run(&server->loop);
	notify_send("STOPPING=1");
	say_stopped(server);
	return code;
}

static int
serve(struct server *server, const struct options *options)
{
	char err[ERR_BYTES];
	struct privs privs;

	if (load_conf(server, options) < 0)
		return DAEMON_EXIT_CONFIG;
	if (options->mode == MODE_DUMP)
		conf_dump(srv_conf_keys, &server->conf, stdout);
	else if (options->mode == MODE_CHECK)
		(void)puts("picket-server: configuration OK");
	if (options->mode != MODE_RUN)
		return DAEMON_EXIT_OK;
	(void)log_open("picket-server", NULL, (enum log_level)(LOG_LEVEL_ERROR + server->conf.log_level));
	notify_open();
	if (run_as_resolve(server->conf.run_as, &privs, err, sizeof(err)) < 0) {
		srv_complain("%s", err);
		return DAEMON_EXIT_SANDBOX;
	}
	if (open_privileged(server) < 0)
		return DAEMON_EXIT_START;
	if (loop_init(&server->loop, NULL, NULL) < 0) {
		srv_complain("out of memory");
		return DAEMON_EXIT_START;
	}
	if (confine(server, &privs) < 0)
		return DAEMON_EXIT_SANDBOX;
	return run(server);
}

static void
server_done(struct server *server)
{
	http_free(server->http);
	store_close(server->api.store);
	if (server->loop.base != NULL)
		loop_done(&server->loop);
	SSL_CTX_free(server->tls);
	if (server->listen_fd >= 0)
		(void)close(server->listen_fd);
	if (server->port_file_fd >= 0)
		(void)close(server->port_file_fd);
	conf_done(srv_conf_keys, &server->conf);
}

int
main(int argc, char **argv)
{
	struct server server = {.listen_fd = -1, .port_file_fd = -1};
	struct options options = {0};
	int code;

	if (srv_verb_run(argc, argv, &code) != 0 || parse_options(argc, argv, &server, &options, &code) != 0)
		return code;
	code = serve(&server, &options);
	server_done(&server);
	return code;
}
