/* The connecting end: one link that comes back with backoff whenever it is lost. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/ipc_internal.h"
#include "common/log.h"

/* Milliseconds between attempts: soon after a restart, gentle when a daemon is not installed. */
#define BACKOFF_MIN_MS 100u
#define BACKOFF_MAX_MS 5000u

struct ipc_client {
	struct loop *loop;
	const struct ipc_conf *conf;
	struct sockaddr_un sun;
	uid_t uid;
	enum ipc_peer role;
	struct event *retry;
	struct ipc_link *link;
	uint64_t backoff_ms;
	bool down_logged;
};

static void client_connect(struct ipc_client *client);

static void
on_retry(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	client_connect(ctx);
}

static void
retry_later(struct ipc_client *client)
{
	loop_timer_arm(client->retry, client->backoff_ms);
	client->backoff_ms = client->backoff_ms * 2 < BACKOFF_MAX_MS ? client->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void
on_link_gone(struct ipc_link *link, void *owner)
{
	struct ipc_client *client = owner;

	client->link = NULL;
	if (link->greeted)
		client->backoff_ms = BACKOFF_MIN_MS;
	retry_later(client);
}

/* Returns 0 with a link under way, or a negative errno. */
static int
try_connect(struct ipc_client *client)
{
	AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred cred;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&client->sun, sizeof(client->sun)) != 0)
		return -errno;

	int r = ipc_peer_cred(fd, &cred);
	if (r < 0)
		return r;
	if (cred.uid != client->uid && cred.uid != 0)
		return -EPERM;
	client->link =
	    ipc_link_new(client->loop, STEAL_FD(fd), client->conf, client->role, cred.pid, on_link_gone, client);
	return client->link != NULL ? 0 : -ENOMEM;
}

static void
client_connect(struct ipc_client *client)
{
	int r = try_connect(client);

	if (r == 0) {
		client->down_logged = false;
		return;
	}
	if (!client->down_logged) {
		log_warning("ipc.down", KV_STR("socket", client->sun.sun_path), KV_ERRNO(r));
		client->down_logged = true;
	}
	retry_later(client);
}

struct ipc_client *
ipc_client_new(struct loop *loop, const char *path, uid_t uid, enum ipc_peer role, const struct ipc_conf *conf)
{
	struct ipc_client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		return NULL;
	*client =
	    (struct ipc_client){.loop = loop, .conf = conf, .uid = uid, .role = role, .backoff_ms = BACKOFF_MIN_MS};
	client->sun.sun_family = AF_UNIX;
	client->retry = loop_timer_new(loop, on_retry, client);
	if (client->retry == NULL || strlen(path) >= sizeof(client->sun.sun_path)) {
		ipc_client_free(client);
		return NULL;
	}
	memcpy(client->sun.sun_path, path, strlen(path));
	loop_timer_arm(client->retry, 0);
	return client;
}

void
ipc_client_free(struct ipc_client *client)
{
	if (client == NULL)
		return;
	if (client->link != NULL)
		ipc_link_destroy(client->link);
	if (client->retry != NULL)
		event_free(client->retry);
	free(client);
}

struct ipc_link *
ipc_client_link(struct ipc_client *client)
{
	return client->link != NULL && client->link->open ? client->link : NULL;
}
