/* Command line of the running server, and the configuration it makes. */
#ifndef PICKET_SERVER_OPTIONS_H
#define PICKET_SERVER_OPTIONS_H

#include "server/conf.h"

enum options_mode { OPTIONS_RUN, OPTIONS_CHECK, OPTIONS_DUMP };

/* Borrows from argv. */
struct options {
	const char *config;                   /* NULL: none */
	const char *probe;                    /* --sandbox-probe, or NULL */
	const char *values[SRV_CONF_OPTIONS]; /* by row of srv_conf_options; NULL: not given */
	enum options_mode mode;
};

/*
 * options_parse - read argv.
 * @options: zeroed.
 * Returns 0 to go on, or 1 with the exit code (enum daemon_exit): --help and the like have done their work, or an error
 * was printed.
 */
int options_parse(int argc, char **argv, struct options *options, int *ret_exit);

/*
 * options_load - the file, then the options over it.
 * @ret_conf: zeroed; free with conf_done() in either case.
 * Returns 0, or -1 after printing an error.
 */
int options_load(const struct options *options, struct server_conf *ret_conf);

#endif
