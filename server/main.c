/*
 * The start-up checklist of the running server; verbs that only ask or queue go to cli.c.
 * No logic here: each step is one call, each failure one line and a documented exit code.
 */
#include <fcntl.h>
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
#include "server/api.h"
#include "server/conf.h"
#include "server/http.h"
#include "server/listen.h"
#include "server/options.h"
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
	SSL_CTX *tls;
	int listen_fd, port_file_fd;
	char *db_directory; /* all that the sandbox leaves us of the file system */
	char address[INET6_ADDRSTRLEN];
	uint16_t port;
	struct loop loop;
	struct api api;
	struct http *http;
};

/* Returns 0, or -1 after printing an error. */
static int
find_directory(struct server *server)
{
	AUTO_FREE char *path = strdup(server->conf.database);
	struct stat st;

	server->db_directory = path != NULL ? strdup(dirname(path)) : NULL;
	if (server->db_directory != NULL && stat(server->db_directory, &st) == 0)
		return 0;
	srv_complain(
	    "the directory of the database %s: %m; make it, owned by the server's user", server->conf.database);
	return -1;
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

static int
confine(const struct server *server, const struct options *options, const struct privs *privs)
{
	const struct sandbox_path paths[] = {{server->db_directory, SANDBOX_WRITE}, {NULL, 0}};
	const struct sandbox sandbox = {.calls = calls, .paths = paths, .inet = false};
	struct daemon daemon = {.name = "picket-server", .probe = options->probe, .state_fd = -1};

	return daemon_confine(&daemon, privs, &sandbox);
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

	if (options_load(options, &server->conf) < 0)
		return DAEMON_EXIT_CONFIG;
	if (options->mode == OPTIONS_DUMP)
		conf_dump(srv_conf_keys, &server->conf, stdout);
	else if (options->mode == OPTIONS_CHECK)
		(void)puts("picket-server: configuration OK");
	if (options->mode != OPTIONS_RUN)
		return DAEMON_EXIT_OK;
	(void)log_open("picket-server", NULL, (enum log_level)(LOG_LEVEL_ERROR + server->conf.log_level));
	notify_open();
	if (run_as_resolve(server->conf.run_as, &privs, err, sizeof(err)) < 0) {
		srv_complain("%s", err);
		return DAEMON_EXIT_SANDBOX;
	}
	if (find_directory(server) < 0 || open_privileged(server) < 0)
		return DAEMON_EXIT_START;
	if (loop_init(&server->loop, NULL, NULL) < 0) {
		srv_complain("out of memory");
		return DAEMON_EXIT_START;
	}
	if (confine(server, options, &privs) < 0)
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
	free(server->db_directory);
	conf_done(srv_conf_keys, &server->conf);
}

int
main(int argc, char **argv)
{
	struct server server = {.listen_fd = -1, .port_file_fd = -1};
	struct options options = {0};
	int code;

	if (srv_verb_run(argc, argv, &code) != 0 || options_parse(argc, argv, &options, &code) != 0)
		return code;
	code = serve(&server, &options);
	server_done(&server);
	return code;
}
