/* Configuration of the running server: section [server] of a file, and options that override it. */
#ifndef PICKET_SERVER_CONF_H
#define PICKET_SERVER_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"

struct server_conf {
	char *listen;      /* ADDRESS:PORT */
	char *database;    /* SQLite file */
	char *certificate; /* PEM chain, leaf first */
	char *key;         /* PEM */
	char *client_ca;   /* PEM: who issues the agents' certificates */
	char *run_as;      /* USER[:GROUP], names or numbers; "": whoever started it */
	char *port_file;   /* "": none */
	uint64_t idle_timeout_ms;
	uint64_t request_timeout_ms;
	uint64_t max_connections;
	int log_level; /* index into daemon_level_names */
};

extern const struct conf_key srv_conf_keys[];

/* What an option of the command line is called in the file; ended by option NULL. */
struct srv_conf_option {
	const char *option;   /* without "--" */
	const char *argument; /* for --help */
	const char *key;
	const char *help;
};
#define SRV_CONF_OPTIONS 8 /* rows before the last */
extern const struct srv_conf_option srv_conf_options[SRV_CONF_OPTIONS + 1];

/*
 * srv_conf_set - one value by its key, as an option of the command line does.
 * Returns 0, or -EINVAL with one line in err.
 */
int srv_conf_set(struct server_conf *conf, const char *key, const char *value, char *err, size_t err_size);

/* srv_conf_check - everything that has no default is there. Returns 0, or -EINVAL with one line in err. */
int srv_conf_check(const struct server_conf *conf, char *err, size_t err_size);

#endif
