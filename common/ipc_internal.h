/* What the files of ipc share: a link from the inside. Included by common/ipc_*.c only. */
#ifndef PICKET_COMMON_IPC_INTERNAL_H
#define PICKET_COMMON_IPC_INTERNAL_H

#include <sys/socket.h>

#include "common/ipc.h"

/* Records that wait for a full socket. Two batches of a slow disk and the small change beside them; more is the
 * sender's own queue. */
#define IPC_QUEUE_RECORDS 64u

/* One record that could not be sent at once. */
struct ipc_queued {
	struct ipc_queued *next;
	struct ipc_header header;
	int fds[IPC_MAX_FDS];
	size_t n_fds;
	uint8_t data[];
};

struct ipc_link {
	struct ipc_link *prev, *next; /* of the listener */
	struct loop *loop;
	const struct ipc_conf *conf;
	enum ipc_peer peer;
	pid_t pid;
	int fd;
	struct event *readable, *writable, *deadline;
	struct ipc_queued *queue_head, **queue_tail;
	size_t queued;
	bool open;      /* both sides have said Hello */
	bool greeted;   /* was open at some time */
	bool closing;   /* to be destroyed when the stack has unwound */
	bool throttled; /* a send got -EAGAIN: on_drain is owed */
	char build[64]; /* bytes of a version string */
	void *data;
	void (*on_gone)(struct ipc_link *link, void *owner); /* listener or client lets go */
	void *owner;
};

/* A link on a connected socket, which it owns; sends Hello. NULL when out of memory (fd is closed). */
struct ipc_link *ipc_link_new(struct loop *loop, int fd, const struct ipc_conf *conf, enum ipc_peer peer, pid_t pid,
    void (*on_gone)(struct ipc_link *link, void *owner), void *owner);

/* Destroy now: on_close when it was open, then on_gone. */
void ipc_link_destroy(struct ipc_link *link);

/* One record out, as it is; no queue. Returns 0 or a negative errno. */
int ipc_frame_send(int fd, const struct ipc_header *header, const void *data, const int *fds, size_t n_fds);

/*
 * One record in. buf holds the payload afterwards; descriptors are the caller's.
 * Returns 1, 0 at end of stream, or a negative errno: -EAGAIN nothing there, -EBADMSG cut, short or of another
 * protocol.
 */
int ipc_frame_recv(int fd, struct ipc_header *ret_header, uint8_t *buf, size_t size, int *ret_fds, size_t *ret_n_fds);

/* Who is on the other end. Returns 0 or a negative errno. */
int ipc_peer_cred(int fd, struct ucred *ret_cred);

/* The Hello of this program, packed into buf (64 + 64 bytes are enough). Returns its length. */
size_t ipc_hello_pack(const char *self, uint8_t *buf, size_t size);

#endif
