/* What the parts of picket-server's command line share. */
#ifndef PICKET_SERVER_SERVER_H
#define PICKET_SERVER_SERVER_H

/* Exit codes of the verbs (KATA.md 8); the running server has those of common/daemon.h. */
enum server_exit {
	SERVER_EXIT_OK = 0,
	SERVER_EXIT_USAGE = 1,      /* wrong arguments */
	SERVER_EXIT_VALUE = 2,      /* a value out of its range */
	SERVER_EXIT_NO_ANSWER = 64, /* --wait passed without a result from the host */
	SERVER_EXIT_OTHER = 65,     /* the database, or no such host */
	SERVER_EXIT_REFUSED = 68,   /* the host refused the command */
	SERVER_EXIT_FAILED = 70,    /* the host could not do it */
	SERVER_EXIT_EXPIRED = 71,   /* its time passed before the host took it */
};

/* Errors go to standard error as one line, "picket-server: ...". */
void srv_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* srv_verb_run - `picket-server VERB ...`. Returns 1 with the exit code in *ret_exit, or 0 when argv[1] is no verb.
 */
int srv_verb_run(int argc, char **argv, int *ret_exit);

/* The lines of --help about the verbs. */
extern const char srv_verb_help[];

#endif
