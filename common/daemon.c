/* The start-up steps that every daemon shares: options, configuration, log, state directory, confinement. Called by
 * main.c files only. */
#include "common/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/version.h"

/* Bytes of one error line. */
#define ERR_BYTES 1024u

const char *const daemon_level_names[] = {"error", "warning", "notice", "info", "debug", NULL};

enum mode { MODE_RUN, MODE_CHECK, MODE_DUMP, MODE_SAMPLE, MODE_SAMPLE_GENERAL };

struct options {
	const char *config;
	enum mode mode;
};

static void
usage(const struct daemon *d, FILE *out)
{
	(void)fprintf(out,
	    "usage: %s [--config FILE] [-n | -T | --sample | --sandbox-probe NAME]\n"
	    "  --config FILE         configuration (default %s)\n"
	    "  -n                    check the configuration and exit\n"
	    "  -T                    print every value in force and exit\n"
	    "  --sample              print this program's keys with defaults and exit\n"
	    "  --sample-general      print the keys that all programs share and exit\n"
	    "  --sandbox-probe NAME  enter the sandbox, try a call that must fail, say what happened\n"
	    "  --version, --help\n%s"
	    "manual: picket-%s(8)\n",
	    d->name, DAEMON_CONFIG, d->usage_extra != NULL ? d->usage_extra : "", d->name);
}

/* Returns 0 to go on, or 1 with the exit code. */
static int
parse_options(struct daemon *d, int argc, char **argv, struct options *options, int *ret_exit)
{
	enum { OPT_CONFIG = 256, OPT_SAMPLE, OPT_SAMPLE_GENERAL, OPT_PROBE, OPT_VERSION, OPT_HELP };
	static const struct option longs[] = {
	    {"config", required_argument, NULL, OPT_CONFIG},
	    {"sample", no_argument, NULL, OPT_SAMPLE},
	    {"sample-general", no_argument, NULL, OPT_SAMPLE_GENERAL},
	    {"sandbox-probe", required_argument, NULL, OPT_PROBE},
	    {"version", no_argument, NULL, OPT_VERSION},
	    {"help", no_argument, NULL, OPT_HELP},
	    {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "nT", longs, NULL)) != -1) {
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
			options->mode = MODE_SAMPLE;
			break;
		case OPT_SAMPLE_GENERAL:
			options->mode = MODE_SAMPLE_GENERAL;
			break;
		case OPT_PROBE:
			d->probe = optarg;
			break;
		case OPT_VERSION:
			(void)printf("%s %s\n", d->name, picket_version);
			*ret_exit = DAEMON_EXIT_OK;
			return 1;
		case OPT_HELP:
			usage(d, stdout);
			*ret_exit = DAEMON_EXIT_OK;
			return 1;
		default:
			usage(d, stderr);
			*ret_exit = DAEMON_EXIT_USAGE;
			return 1;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "%s: unexpected argument %s\n", d->name, argv[optind]);
		usage(d, stderr);
		*ret_exit = DAEMON_EXIT_USAGE;
		return 1;
	}
	return 0;
}

/* The users must differ, or taking over one daemon takes over the next. Returns 0 or -EINVAL. */
static int
check_users(const struct daemon_conf *conf, char *err, size_t size)
{
	const uint32_t ids[] = {conf->agentd_uid, conf->collectord_uid, conf->uplinkd_uid};

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		if (ids[i] == 0 || ids[i] == ids[(i + 1) % ARRAY_LEN(ids)]) {
			(void)snprintf(err, size,
			    "AgentdUser, CollectordUser and UplinkdUser must be three users, none of them root: set "
			    "them in [General]");
			return -EINVAL;
		}
	}
	return 0;
}

static int
open_log(const struct daemon *d, char *err, size_t size)
{
	char path[512]; /* bytes: directory, name, suffix */
	enum log_level level = LOG_LEVEL_INFO;

	(void)log_level_parse(daemon_level_names[d->conf->log_level], &level);
	path[0] = '\0';
	if (d->conf->log_dir[0] != '\0')
		(void)snprintf(path, sizeof(path), "%s/%s.log", d->conf->log_dir, d->name);
	int r = log_open(d->name, path, level);
	if (r < 0)
		(void)snprintf(
		    err, size, "cannot open %s: %s; create its directory or clear LogDirectory", path, strerror(-r));
	return r;
}

int
daemon_start(struct daemon *d, int argc, char **argv, int *ret_exit)
{
	struct options options = {.config = DAEMON_CONFIG};
	char err[ERR_BYTES];

	d->state_fd = -1;
	(void)log_open(d->name, NULL, LOG_LEVEL_INFO);
	if (parse_options(d, argc, argv, &options, ret_exit) != 0)
		return 1;
	if (options.mode == MODE_SAMPLE || options.mode == MODE_SAMPLE_GENERAL) {
		conf_sample(d->keys, options.mode == MODE_SAMPLE_GENERAL, stdout);
		*ret_exit = DAEMON_EXIT_OK;
		return 1;
	}
	if (conf_load(d->keys, d->conf, options.config, err, sizeof(err)) < 0 ||
	    check_users(d->conf, err, sizeof(err)) < 0 ||
	    (d->check != NULL && d->check(d->conf, err, sizeof(err)) < 0)) {
		(void)fprintf(stderr, "%s: %s\n", d->name, err);
		*ret_exit = DAEMON_EXIT_CONFIG;
		return 1;
	}
	if (options.mode == MODE_CHECK || options.mode == MODE_DUMP) {
		if (options.mode == MODE_DUMP)
			conf_dump(d->keys, d->conf, stdout);
		else
			(void)printf("%s: configuration OK\n", d->name);
		*ret_exit = DAEMON_EXIT_OK;
		return 1;
	}
	if (open_log(d, err, sizeof(err)) < 0) {
		(void)fprintf(stderr, "%s: %s\n", d->name, err);
		*ret_exit = DAEMON_EXIT_START;
		return 1;
	}
	notify_open();
	return 0;
}

int
daemon_state_dir(struct daemon *d, uid_t uid, gid_t gid)
{
	AUTO_FD int base = open(d->conf->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (base < 0) {
		int r = -errno;

		log_error("start.failed", KV_STR("directory", d->conf->state_dir), KV_ERRNO(r),
		    KV_STR("remedy", "create it, owned by root, mode 0755, or set StateDirectory"));
		return r;
	}
	if (mkdirat(base, d->name, 0700) == 0) {
		if (fchownat(base, d->name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
			return -errno;
	} else if (errno != EEXIST) {
		int r = -errno;

		log_error(
		    "start.failed", KV_STR("directory", d->conf->state_dir), KV_STR("name", d->name), KV_ERRNO(r));
		return r;
	}

	AUTO_FD int fd = openat(base, d->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	if (st.st_uid != uid || (st.st_mode & 077) != 0) {
		log_error("start.failed", KV_STR("directory", d->conf->state_dir), KV_STR("name", d->name),
		    KV_U64("owner", st.st_uid), KV_STR("remedy", "it must belong to this daemon's user, mode 0700"));
		return -EPERM;
	}
	d->state_fd = STEAL_FD(fd);
	return 0;
}

const char *
daemon_socket_path(const struct daemon_conf *conf, const char *name, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s/%s.sock", conf->runtime_dir, name);
	return buf;
}

/* Says what the probe did and ends the process; being killed before that is the good end for a dangerous call. */
static void __attribute__((noreturn)) run_probe(const struct daemon *d)
{
	int r = sandbox_probe(d->probe);

	if (r == -EINVAL) {
		(void)fprintf(stderr, "%s: unknown probe %s\n", d->name, d->probe);
		_exit(DAEMON_EXIT_USAGE);
	}
	(void)fprintf(
	    stderr, "%s: %s %s\n", d->name, d->probe, r == 0 ? "was refused" : "WENT THROUGH: the sandbox has a hole");
	_exit(r == 0 ? DAEMON_EXIT_OK : DAEMON_EXIT_SANDBOX);
}

int
daemon_confine(struct daemon *d, const struct privs *privs, const struct sandbox *sandbox)
{
	char err[ERR_BYTES] = "";
	int abi = 0;

	if (privs_drop(privs, err, sizeof(err)) < 0 || privs_prove(privs, err, sizeof(err)) < 0 ||
	    sandbox_enter(sandbox, &abi, err, sizeof(err)) < 0) {
		log_error("sandbox.failed", KV_STR("why", err));
		return -EPERM;
	}
	if (d->probe != NULL)
		run_probe(d);
	log_info("sandbox.on", KV_U64("uid", privs->uid), KV_U64("caps", privs->caps), KV_I64("landlock_abi", abi));
	return 0;
}
