/*
 * Name look-ups beside the loop. One thread at a time asks for all names; its answer comes back over a socket pair.
 * Addresses are only ever added (the oldest make room): a name service that is away takes nothing. Never decides which
 * address is used: libcurl gets all of them. Called by main.c, peers.c and link.c.
 */
#include "uplinkd/names.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "uplinkd/uplinkd.h"

/* Milliseconds between look-ups: DNS entries that are moved usually live as long. */
#define REFRESH_MS 300000u
/* Milliseconds that a look-up after a failed connection keeps away from the one before. */
#define REFRESH_MIN_MS 10000u

/* What is remembered: lines of HOST PORT ADDRESS. */
#define FILE_NAME "addresses"
#define FILE_MAX_BYTES KIB(16)

/* Every server and the proxy. */
#define NAMES (UPL_SERVERS + 1)

/* Bytes of the look-up thread's stack: getaddrinfo needs some 20 KiB, plug-ins of the name service more. */
#define STACK_BYTES KIB(256)

/* One round of look-ups: the thread's while it runs, the loop's before and after. */
struct round {
	int answer_to; /* descriptor on which the thread sends the pointer to its round */
	struct {
		char host[UPL_HOST_BYTES];
		int error; /* of getaddrinfo */
		struct upl_address addresses[UPL_ADDRESSES];
		size_t n;
	} names[NAMES];
	size_t n;
};

/* What comes over the socket pair. */
struct answer {
	struct round *round;
};

/* ---- in the thread: nothing of struct uplinkd is touched here ---- */

static void
look_up(struct round *round, size_t i)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;

	round->names[i].error = getaddrinfo(round->names[i].host, NULL, &hints, &list);
	if (round->names[i].error != 0)
		return;
	for (const struct addrinfo *a = list; a != NULL && round->names[i].n < UPL_ADDRESSES; a = a->ai_next) {
		struct upl_address *out = &round->names[i].addresses[round->names[i].n];

		if (a->ai_family == AF_INET) {
			memcpy(out->bytes, &((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr, 4);
			out->len = 4;
		} else if (a->ai_family == AF_INET6) {
			memcpy(out->bytes, &((const struct sockaddr_in6 *)(const void *)a->ai_addr)->sin6_addr, 16);
			out->len = 16;
		} else {
			continue;
		}
		round->names[i].n++;
	}
	freeaddrinfo(list);
}

static void *
run(void *arg)
{
	const struct answer answer = {arg};

	for (size_t i = 0; i < answer.round->n; i++)
		look_up(answer.round, i);
	/* A loop that has ended does not read it: then the process ends, and with it the round. */
	(void)!write(answer.round->answer_to, &answer, sizeof(answer));
	return NULL;
}

/* ---- what the disk remembers ---- */

/* The n-th name's owner: a server, or the proxy behind the last of them. */
static struct upl_server *
owner(struct uplinkd *u, size_t i)
{
	return i < u->servers.n ? &u->servers.list[i] : &u->servers.proxy;
}

static void
save(struct uplinkd *u)
{
	AUTO_FREE char *text = malloc(FILE_MAX_BYTES);
	size_t len = 0;
	int r;

	if (text == NULL)
		return;
	for (size_t i = 0; i <= u->servers.n; i++) {
		const struct upl_server *s = owner(u, i);

		for (size_t k = 0; !s->literal && k < s->n_addresses && len < FILE_MAX_BYTES; k++) {
			char address[UPL_ADDRESS_TEXT];

			len += (size_t)snprintf(text + len, FILE_MAX_BYTES - len, "%s %u %s\n", s->host,
			    (unsigned int)s->port, upl_address_text(&s->addresses[k], address, sizeof(address)));
		}
	}
	if (len >= FILE_MAX_BYTES)
		return;
	r = atomic_file_write(u->daemon.state_fd, FILE_NAME, 0600, text, len);
	if (r < 0)
		log_warning("names.not_saved", KV_ERRNO(r),
		    KV_STR("remedy",
			"make room on the disk of StateDirectory: a reboot while isolated needs the addresses"));
}

static bool
learn_line(struct uplinkd *u, char *line)
{
	char *rest, *host = strtok_r(line, " ", &rest);
	char *port = strtok_r(NULL, " ", &rest), *text = strtok_r(NULL, " ", &rest);
	struct upl_address address;
	bool new = false;

	if (text == NULL || !upl_address_parse(text, &address))
		return false;
	for (size_t i = 0; i <= u->servers.n; i++) {
		struct upl_server *s = owner(u, i);

		if (!s->literal && strcmp(s->host, host) == 0 && strtoul(port, NULL, 10) == s->port)
			new |= upl_servers_learn(s, address.bytes, address.len);
	}
	return new;
}

static void
load(struct uplinkd *u)
{
	AUTO_FREE uint8_t *data = NULL;
	size_t len;
	char *rest = NULL;

	if (atomic_file_read(u->daemon.state_fd, FILE_NAME, FILE_MAX_BYTES, &data, &len) < 0)
		return;
	for (char *line = strtok_r((char *)data, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
		(void)learn_line(u, line);
}

/* ---- in the loop ---- */

static void
take_answer(struct uplinkd *u, const struct round *round)
{
	bool new = false;

	for (size_t n = 0; n < round->n; n++) {
		if (round->names[n].error != 0)
			log_warning("names.unresolved", KV_STR("host", round->names[n].host),
			    KV_STR("why", gai_strerror(round->names[n].error)));
		for (size_t i = 0; i <= u->servers.n; i++) {
			struct upl_server *s = owner(u, i);

			/* From the last: libcurl gets the newest first. */
			for (size_t k = round->names[n].n; strcmp(s->host, round->names[n].host) == 0 && k-- > 0;)
				new |= upl_servers_learn(
				    s, round->names[n].addresses[k].bytes, round->names[n].addresses[k].len);
		}
	}
	if (!new)
		return;
	save(u);
	upl_send_endpoints(u);
}

static void
on_answer(evutil_socket_t fd, short what, void *ctx)
{
	struct uplinkd *u = ctx;
	struct answer answer;

	(void)what;
	if (read(fd, &answer, sizeof(answer)) != (ssize_t)sizeof(answer))
		return;
	u->names.busy = false;
	take_answer(u, answer.round);
	free(answer.round);
	loop_timer_arm(u->names.timer, u->names.again ? 0 : REFRESH_MS);
	u->names.again = false;
}

static int
start_thread(struct round *round)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r = pthread_attr_init(&attr);

	if (r != 0)
		return -r;
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	r = pthread_create(&thread, &attr, run, round);
	(void)pthread_attr_destroy(&attr);
	return -r;
}

static void
look_up_all(struct uplinkd *u)
{
	struct round *round = calloc(1, sizeof(*round));
	int r;

	if (round == NULL)
		return;
	round->answer_to = u->names.pair[1];
	for (size_t i = 0; i <= u->servers.n && round->n < NAMES; i++) {
		const struct upl_server *s = owner(u, i);

		/* Behind a proxy it is the proxy that looks up the servers. */
		if (s->literal || s->host[0] == '\0' || (i < u->servers.n && u->servers.proxy.host[0] != '\0'))
			continue;
		(void)snprintf(round->names[round->n++].host, UPL_HOST_BYTES, "%s", s->host);
	}
	r = round->n > 0 ? start_thread(round) : -ENOENT;
	if (r < 0) {
		free(round);
		if (r != -ENOENT)
			log_warning("names.failed", KV_ERRNO(r));
		return;
	}
	u->names.busy = true;
	u->names.started = mono_now();
}

static void
on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct uplinkd *u = ctx;

	(void)fd;
	(void)what;
	if (u->names.busy)
		u->names.again = true;
	else
		look_up_all(u);
}

void
upl_names_changed(struct uplinkd *u)
{
	load(u);
	loop_timer_arm(u->names.timer, 0);
}

void
upl_names_refresh(struct uplinkd *u)
{
	if (!u->names.busy && mono_since(u->names.started, mono_now()) >= REFRESH_MIN_MS)
		look_up_all(u);
}

int
upl_names_start(struct uplinkd *u)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, u->names.pair) < 0)
		return -errno;
	u->names.timer = loop_timer_new(&u->loop, on_timer, u);
	u->names.answer = event_new(u->loop.base, u->names.pair[0], EV_READ | EV_PERSIST, on_answer, u);
	return u->names.timer != NULL && u->names.answer != NULL && event_add(u->names.answer, NULL) == 0 ? 0 : -ENOMEM;
}

void
upl_names_stop(struct uplinkd *u)
{
	/* A thread that is still looking up keeps its end of the pair until the process ends. */
	event_free(u->names.answer);
	event_free(u->names.timer);
}
