/* Looks up the user to become; dropping is common/privs.c's. Called by main.c while account files can be read. */
#include "server/run_as.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* Bytes of a user's or group's name: useradd(8) allows 32. */
#define NAME_BYTES 64u

/* A whole number below 2^32 - 1 (the one that means "unchanged"). Returns 0 or -EINVAL. */
static int
parse_id(const char *text, uint32_t *ret)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || value >= UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)value;
	return 0;
}

static int
find_user(const char *name, struct privs *privs)
{
	uint32_t id = 0;
	bool is_number = parse_id(name, &id) == 0;
	const struct passwd *pw = is_number ? getpwuid(id) : getpwnam(name);

	if (pw == NULL && !is_number)
		return -EINVAL;
	privs->uid = pw != NULL ? pw->pw_uid : id;
	privs->gid = pw != NULL ? pw->pw_gid : id;
	return 0;
}

static int
find_group(const char *name, struct privs *privs)
{
	uint32_t id;
	const struct group *gr = getgrnam(name);

	if (gr != NULL)
		privs->gid = gr->gr_gid;
	else if (parse_id(name, &id) == 0)
		privs->gid = id;
	else
		return -EINVAL;
	return 0;
}

int
run_as_resolve(const char *text, struct privs *ret_privs, char *err, size_t err_size)
{
	struct privs privs = {.uid = getuid(), .gid = getgid()};
	char user[NAME_BYTES];
	const char *colon = strchr(text, ':');
	size_t n = colon != NULL ? (size_t)(colon - text) : strlen(text);

	if (text[0] == '\0') {
		if (privs.uid == 0)
			log_warning("server.runs_as_root", KV_STR("remedy", "give --run-as USER"));
		*ret_privs = privs;
		return 0;
	}
	(void)snprintf(user, sizeof(user), "%.*s", (int)n, text);
	if (n >= sizeof(user) || find_user(user, &privs) < 0) {
		(void)snprintf(err, err_size, "there is no user %s: create it, or give a number to --run-as", user);
		return -EINVAL;
	}
	if (colon != NULL && find_group(colon + 1, &privs) < 0) {
		(void)snprintf(
		    err, err_size, "there is no group %s: create it, or give a number to --run-as", colon + 1);
		return -EINVAL;
	}
	if (getuid() != 0 && privs.uid != getuid()) {
		(void)snprintf(
		    err, err_size, "only root can become %s: start as root, or as %s, or without --run-as", user, user);
		return -EPERM;
	}
	*ret_privs = privs;
	return 0;
}
