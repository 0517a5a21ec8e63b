/* The accepting end: bind or inherit a socket, accept, ask who it is, make a link. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/ipc_internal.h"
#include "common/log.h"

/* Connections that wait for accept(2). */
#define BACKLOG 64
/* Links of one listener: four daemons and sixty picketctl at once. */
#define MAX_LINKS 64u
/* First descriptor that a supervisor passes (sd_listen_fds(3)). */
#define LISTEN_FDS_START 3

struct ipc_listener {
	struct loop *loop;
	const struct ipc_conf *conf;
	struct event *acceptable;
	int fd;
	struct ipc_link *links;
	size_t n_links;
};

static int
set_address(struct sockaddr_un *sun, const char *path)
{
	*sun = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	memcpy(sun->sun_path, path, strlen(path));
	return 0;
}

/* A listening socket on `path` that the supervisor passed, or -1. */
static int
inherited(const char *path)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");

	if (pid == NULL || n == NULL || strtol(pid, NULL, 10) != (long)getpid())
		return -1;
	for (int i = 0; i < (int)strtol(n, NULL, 10); i++) {
		struct sockaddr_un sun = {0};
		socklen_t len = sizeof(sun);

		if (getsockname(LISTEN_FDS_START + i, (struct sockaddr *)&sun, &len) == 0 &&
		    sun.sun_family == AF_UNIX && strncmp(sun.sun_path, path, sizeof(sun.sun_path)) == 0)
			return LISTEN_FDS_START + i;
	}
	return -1;
}

/* Remove what a killed process left behind; refuse when somebody listens or it is not a socket. */
static int
clear_stale(const struct sockaddr_un *sun)
{
	struct stat st;

	if (lstat(sun->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;

	AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	return unlink(sun->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

int
ipc_listen_open(const char *path, mode_t mode, gid_t gid)
{
	struct sockaddr_un sun;
	int r = inherited(path);

	if (r >= 0)
		return r;
	r = set_address(&sun, path);
	if (r < 0)
		return r;
	r = clear_stale(&sun);
	if (r < 0)
		return r;

	AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;

	mode_t old = umask(0777); /* nobody connects before mode and group are right */
	r = bind(fd, (const struct sockaddr *)&sun, sizeof(sun));
	(void)umask(old);
	if (r != 0)
		return -errno;
	if (chown(path, (uid_t)-1, gid) != 0 || chmod(path, mode) != 0 || listen(fd, BACKLOG) != 0) {
		r = -errno;
		(void)unlink(path);
		return r;
	}
	return STEAL_FD(fd);
}

static void
on_link_gone(struct ipc_link *link, void *owner)
{
	struct ipc_listener *listener = owner;

	if (link->prev != NULL)
		link->prev->next = link->next;
	else
		listener->links = link->next;
	if (link->next != NULL)
		link->next->prev = link->prev;
	listener->n_links--;
}

static void
accept_one(struct ipc_listener *listener, int fd)
{
	const struct ipc_conf *conf = listener->conf;
	struct ucred cred;
	enum ipc_peer peer = IPC_PEER_NONE;

	if (ipc_peer_cred(fd, &cred) == 0)
		peer = conf->identify(cred.pid, cred.uid, cred.gid, conf->ctx);
	if (peer == IPC_PEER_NONE || listener->n_links >= MAX_LINKS) {
		log_warning("ipc.refused", KV_I64("pid", cred.pid), KV_U64("uid", cred.uid),
		    KV_STR("why", peer == IPC_PEER_NONE ? "this user has no business here" : "too many connections"));
		(void)close(fd);
		return;
	}

	struct ipc_link *link = ipc_link_new(listener->loop, fd, conf, peer, cred.pid, on_link_gone, listener);
	if (link == NULL)
		return;
	link->next = listener->links;
	if (link->next != NULL)
		link->next->prev = link;
	listener->links = link;
	listener->n_links++;
}

static void
on_acceptable(evutil_socket_t lfd, short what, void *ctx)
{
	(void)what;
	for (;;) {
		int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return; /* EAGAIN: done; EMFILE and the like: the backlog holds them until the next turn */
		accept_one(ctx, fd);
	}
}

struct ipc_listener *
ipc_listen(struct loop *loop, int fd, const struct ipc_conf *conf)
{
	struct ipc_listener *listener = calloc(1, sizeof(*listener));

	if (listener == NULL)
		return NULL;
	*listener = (struct ipc_listener){.loop = loop, .conf = conf, .fd = fd};
	(void)evutil_make_socket_nonblocking(fd);
	listener->acceptable = event_new(loop->base, fd, EV_READ | EV_PERSIST, on_acceptable, listener);
	if (listener->acceptable == NULL || event_add(listener->acceptable, NULL) != 0) {
		ipc_listener_free(listener);
		return NULL;
	}
	return listener;
}

void
ipc_listener_free(struct ipc_listener *listener)
{
	if (listener == NULL)
		return;
	while (listener->links != NULL)
		ipc_link_destroy(listener->links);
	if (listener->acceptable != NULL)
		event_free(listener->acceptable);
	(void)close(listener->fd);
	free(listener);
}
