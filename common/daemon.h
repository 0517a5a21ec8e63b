/*
 * The start-up steps that every daemon shares, so that each main() is a checklist.
 * Options of every daemon: --config FILE, -n (check), -T (dump), --sample, --sample-general, --sandbox-probe NAME,
 * --version, --help.
 */
#ifndef PICKET_COMMON_DAEMON_H
#define PICKET_COMMON_DAEMON_H

#include "conf.h"
#include "privs.h"
#include "sandbox.h"

/* Where picket.conf is looked for without --config. */
#define DAEMON_CONFIG "/etc/picket/picket.conf"

/* Exit codes of every daemon (its manual page lists them). */
enum daemon_exit {
	DAEMON_EXIT_OK = 0,      /* asked to stop */
	DAEMON_EXIT_START = 1,   /* start-up failed */
	DAEMON_EXIT_USAGE = 2,   /* command line */
	DAEMON_EXIT_CONFIG = 3,  /* configuration */
	DAEMON_EXIT_SANDBOX = 4, /* privileges or sandbox */
	DAEMON_EXIT_PEER = 5,    /* lost a peer it cannot live without */
};

/* What all of [General] says; the first member of every daemon's conf struct. */
struct daemon_conf {
	char *runtime_dir; /* sockets */
	char *state_dir;   /* each daemon has a directory of its name in it */
	char *log_dir;     /* NAME.log in it; "": stderr */
	int log_level;     /* index into error warning notice info debug */
	uint32_t agentd_uid, collectord_uid, uplinkd_uid;
	uint32_t gid; /* group picket: may ask agentd (read only) */
};

/* Rows of [General], for a daemon's table: struct daemon_conf must be at offset 0. */
#define DAEMON_CONF_KEYS                                                                                               \
	{"General", "RuntimeDirectory", CONF_PATH, offsetof(struct daemon_conf, runtime_dir), "/run/picket", 0, 0,     \
	    NULL, "Sockets of the daemons. Owned by root."},                                                           \
	    {"General", "StateDirectory", CONF_PATH, offsetof(struct daemon_conf, state_dir), "/var/lib/picket", 0, 0, \
		NULL, "One directory per daemon in it, each owned by that daemon's user."},                            \
	    {"General", "LogDirectory", CONF_STRING, offsetof(struct daemon_conf, log_dir), "", 0, 0, NULL,            \
		"One NAME.log per daemon. Empty: standard error, which journald keeps."},                              \
	    {"General", "LogLevel", CONF_ENUM, offsetof(struct daemon_conf, log_level), "info", 0, 0,                  \
		daemon_level_names, "error, warning, notice, info or debug."},                                         \
	    {"General", "AgentdUser", CONF_USER, offsetof(struct daemon_conf, agentd_uid), "picket", 0, 0, NULL,       \
		"Name or number."},                                                                                    \
	    {"General", "CollectordUser", CONF_USER, offsetof(struct daemon_conf, collectord_uid), "picket-collect",   \
		0, 0, NULL, "Name or number."},                                                                        \
	    {"General", "UplinkdUser", CONF_USER, offsetof(struct daemon_conf, uplinkd_uid), "picket-uplink", 0, 0,    \
		NULL, "Name or number. While the host is isolated only this user reaches the EDR server."},            \
	{                                                                                                              \
		"General", "Group", CONF_GROUP, offsetof(struct daemon_conf, gid), "picket", 0, 0, NULL,               \
		    "Members may read status and events with picketctl."                                               \
	}

extern const char *const daemon_level_names[];

struct daemon {
	const char *name;            /* e.g. uplinkd */
	const struct conf_key *keys; /* with DAEMON_CONF_KEYS */
	struct daemon_conf *conf;    /* the daemon's conf struct */
	const char *probe;           /* --sandbox-probe, or NULL */
	const char *usage_extra;     /* lines for --help, or NULL */
	/* What no row of `keys` can check alone; -n asks it too. Returns 0, or -EINVAL with one line in err. May be
	 * NULL. */
	int (*check)(const struct daemon_conf *conf, char *err, size_t err_size);
	int state_fd; /* after daemon_state_dir() */
};

/*
 * daemon_start - options, configuration, log.
 * Returns 0 to go on, or 1 with the exit code in *ret_exit: -n, -T, --help and so on have done their work, or an error
 * was printed.
 */
int daemon_start(struct daemon *d, int argc, char **argv, int *ret_exit);

/*
 * daemon_state_dir - open STATE/NAME (created 0700 when missing, owner uid:gid) as d->state_fd; call as root.
 * Returns 0, or a negative errno after logging it.
 */
int daemon_state_dir(struct daemon *d, uid_t uid, gid_t gid);

/* daemon_socket_path - RUNTIME/NAME.sock. Returns buf. */
const char *daemon_socket_path(const struct daemon_conf *conf, const char *name, char *buf, size_t size);

/*
 * daemon_confine - privs_drop, privs_prove, sandbox_enter, the probe if one was asked for; logs sandbox.on.
 * Returns 0, or -EPERM after logging (exit with DAEMON_EXIT_SANDBOX). With a probe it does not return.
 */
int daemon_confine(struct daemon *d, const struct privs *privs, const struct sandbox *sandbox);

#endif
