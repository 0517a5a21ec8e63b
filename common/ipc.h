/*
 * Records between Picket processes: SOCK_SEQPACKET, a 16-byte header, a protobuf message.
 *
 * Who the peer is comes from SO_PEERCRED, never from a field. The receiver owns one table of rules; a record that is
 * unknown, from the wrong peer, in the wrong state, too large, with the wrong number of descriptors, malformed or with
 * unknown fields ends the link and is logged as ipc.violation. (A picketctl gets an Error first.) Nothing here blocks.
 */
#ifndef PICKET_COMMON_IPC_H
#define PICKET_COMMON_IPC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "loop.h"

/* Raised when a change to header or messages is not readable by the version before. */
#define IPC_PROTOCOL 1u

/* Descriptors one record may carry. */
#define IPC_MAX_FDS 4

/* Host byte order: both ends are on one machine. */
struct ipc_header {
	uint16_t protocol; /* IPC_PROTOCOL */
	uint16_t type;     /* enum Msg of envelope.proto */
	uint32_t flags;    /* 0 */
	uint32_t length;   /* bytes of payload that follow in this record */
	uint32_t sequence; /* of a request, chosen by the asker; a reply repeats it; 0: not a request */
};

/* Roles a peer can have; bits, because a rule allows several. */
enum ipc_peer {
	IPC_PEER_NONE = 0,
	IPC_PEER_AGENTD = 1u << 0,
	IPC_PEER_COLLECTORD = 1u << 1,
	IPC_PEER_UPLINKD = 1u << 2,
	IPC_PEER_ISOLATORD = 1u << 3,
	IPC_PEER_ROOT = 1u << 4,   /* picketctl run by root */
	IPC_PEER_READER = 1u << 5, /* picketctl run by a member of group picket */
};

/* Any state: the default for receivers without a state machine. */
#define IPC_ANY_STATE UINT32_MAX

struct ipc_link;

/* A received record. All pointers are valid until the handler returns. */
struct ipc_msg {
	uint16_t type;
	uint32_t sequence;
	const uint8_t *data; /* payload */
	size_t len;
	const ProtobufCMessage *pb; /* unpacked, when the rule has a descriptor, else NULL */
	int *fds;                   /* the handler takes one by setting it to -1; the rest is closed after it */
	size_t n_fds;
};

/* Returns 0, or a negative errno: the link is then closed (the handler has logged why). */
typedef int (*ipc_handler)(struct ipc_link *link, const struct ipc_msg *msg, void *ctx);

struct ipc_rule {
	uint16_t type;
	uint32_t peers;   /* enum ipc_peer bits */
	uint32_t states;  /* bits of the receiver's states, or IPC_ANY_STATE */
	size_t max_bytes; /* payload */
	uint8_t min_fds, max_fds;
	const ProtobufCMessageDescriptor *desc; /* NULL: handed over as bytes */
	ipc_handler handler;
};

/* What an endpoint is made of; borrowed for the endpoint's life. */
struct ipc_conf {
	const char *self;             /* program name for Hello */
	const struct ipc_rule *rules; /* ended by a row of type 0 */
	uint32_t (*state)(void *ctx); /* bit of the state now; NULL: IPC_ANY_STATE */
	/* Accepting end only: who the peer is; IPC_PEER_NONE refuses it (logged as ipc.refused). */
	enum ipc_peer (*identify)(pid_t pid, uid_t uid, gid_t gid, void *ctx);
	void (*on_open)(struct ipc_link *link, void *ctx);  /* both sides have said Hello; may send */
	void (*on_close)(struct ipc_link *link, void *ctx); /* only after on_open; the link is gone afterwards */
	void (*on_drain)(struct ipc_link *link, void *ctx); /* the send queue became empty after -EAGAIN; may be NULL */
	void *ctx;
};

/* ---- accepting end ---- */
struct ipc_listener;

/*
 * ipc_listen_open - bind and listen; call before dropping privileges.
 * @path:   socket path; a stale socket there is replaced, anything else is refused with -EEXIST.
 * @mode, @gid: of the socket file (gid -1 unsigned: unchanged).
 * Takes an inherited descriptor instead when LISTEN_FDS passes one bound to the same path.
 * Returns the descriptor, or a negative errno.
 */
int ipc_listen_open(const char *path, mode_t mode, gid_t gid);

/* ipc_listen - accept on a listening descriptor, which it owns from here on. NULL when out of memory. */
struct ipc_listener *ipc_listen(struct loop *loop, int fd, const struct ipc_conf *conf);
void ipc_listener_free(struct ipc_listener *listener); /* closes every link of it */

/* ---- connecting end ---- */
struct ipc_client;

/*
 * ipc_client_new - keep a link to a listener, reconnecting with backoff (100 ms to 5 s).
 * @uid:    the listener must run as this uid or as root (its socket was opened before it dropped).
 * @role:   what the rules call the peer.
 */
struct ipc_client *ipc_client_new(
    struct loop *loop, const char *path, uid_t uid, enum ipc_peer role, const struct ipc_conf *conf);
void ipc_client_free(struct ipc_client *client);
/* The open link, or NULL while there is none. */
struct ipc_link *ipc_client_link(struct ipc_client *client);

/* ---- either end ---- */
enum ipc_peer ipc_link_peer(const struct ipc_link *link);
pid_t ipc_link_pid(const struct ipc_link *link);
const char *ipc_link_build(const struct ipc_link *link); /* from the peer's Hello */
void *ipc_link_data(const struct ipc_link *link);        /* the owner's pointer, NULL at first */
void ipc_link_set_data(struct ipc_link *link, void *data);

/*
 * ipc_send - pack and send; queued when the socket is full.
 * @fds: duplicated by the kernel, still the caller's.
 * Returns 0; -EAGAIN when the queue (LIM: 64 records) is full: on_drain tells when to go on, nothing was sent; or
 * -EPIPE, -ENOMEM, -EMSGSIZE. The link is closed by the loop later, never inside this call.
 */
int ipc_send(
    struct ipc_link *link, uint16_t type, uint32_t sequence, const ProtobufCMessage *msg, const int *fds, size_t n_fds);

/* ipc_send_raw - the same for a payload that is packed already. Copies only when it must queue. */
int ipc_send_raw(struct ipc_link *link, uint16_t type, uint32_t sequence, const void *data, size_t len);

/* ipc_send_error - the Error message. exit_code as in picketctl(1). */
int ipc_send_error(struct ipc_link *link, uint32_t sequence, uint32_t exit_code, const char *text);

/* Close after this handler returns; what is queued is sent first if the socket takes it at once. */
void ipc_link_close(struct ipc_link *link);

/* ---- blocking, for picketctl and tests; never in a daemon ---- */

/*
 * ipc_call_connect - connect to a listener and exchange Hello.
 * Returns the descriptor, or a negative errno: -ECONNREFUSED and -ENOENT mean that nothing listens, -EACCES that the
 * peer refused us.
 */
int ipc_call_connect(const char *path, const char *self, uint64_t timeout_ms);

/*
 * ipc_call - send one request and wait for its reply (or Error).
 * @ret_data: payload, free with free().
 * @ret_fd:   a descriptor that came along, or -1; NULL when none is expected.
 * Returns the reply's type, or a negative errno (-ETIME when the peer did not answer).
 */
int ipc_call(int fd, uint16_t type, const ProtobufCMessage *msg, uint64_t timeout_ms, uint8_t **ret_data,
    size_t *ret_len, int *ret_fd);

#endif
