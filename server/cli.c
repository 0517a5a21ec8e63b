/*
 * The verbs that work on the database beside a running server.
 * Called by main.c.
 */
#include "server/server.h"

const char server_verb_help[] = "";

int
server_verb_run(int argc, char **argv, int *ret_exit)
{
	(void)argc;
	(void)argv;
	(void)ret_exit;
	return 0;
}
