/* One record on a SOCK_SEQPACKET socket: header, payload, descriptors. Knows no message but Hello. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/ipc_internal.h"
#include "common/pb.h"
#include "common/version.h"
#include "envelope.pb-c.h"

int
ipc_frame_send(int fd, const struct ipc_header *header, const void *data, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * IPC_MAX_FDS)];
	} control = {0};
	struct iovec iov[2] = {
	    {.iov_base = (void *)(uintptr_t)header, .iov_len = sizeof(*header)},
	    {.iov_base = (void *)(uintptr_t)data, .iov_len = header->length},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = header->length > 0 ? 2 : 1};

	if (n_fds > IPC_MAX_FDS)
		return -EINVAL;
	if (n_fds > 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);

		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
	}
	for (;;) {
		if (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

static void
take_fds(struct msghdr *msg, int *ret_fds, size_t *ret_n_fds)
{
	size_t n = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		size_t len = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < len; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			if (n < IPC_MAX_FDS)
				ret_fds[n++] = fd;
			else
				(void)close(fd);
		}
	}
	*ret_n_fds = n;
}

int
ipc_frame_recv(int fd, struct ipc_header *ret_header, uint8_t *buf, size_t size, int *ret_fds, size_t *ret_n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * IPC_MAX_FDS)];
	} control;
	struct iovec iov[2] = {
	    {.iov_base = ret_header, .iov_len = sizeof(*ret_header)},
	    {.iov_base = buf, .iov_len = size},
	};
	struct msghdr msg = {
	    .msg_iov = iov, .msg_iovlen = 2, .msg_control = control.buf, .msg_controllen = sizeof(control.buf)};
	ssize_t n;

	*ret_n_fds = 0;
	do
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	take_fds(&msg, ret_fds, ret_n_fds);
	if ((size_t)n < sizeof(*ret_header) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
	    ret_header->protocol != IPC_PROTOCOL || ret_header->flags != 0 ||
	    ret_header->length != (size_t)n - sizeof(*ret_header)) {
		for (size_t i = 0; i < *ret_n_fds; i++)
			(void)close(ret_fds[i]);
		*ret_n_fds = 0;
		return -EBADMSG;
	}
	return 1;
}

int
ipc_peer_cred(int fd, struct ucred *ret_cred)
{
	socklen_t len = sizeof(*ret_cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_cred, &len) == 0 ? 0 : -errno;
}

size_t
ipc_hello_pack(const char *self, uint8_t *buf, size_t size)
{
	Picket__V1__Hello hello = PICKET__V1__HELLO__INIT;

	hello.protocol = IPC_PROTOCOL;
	hello.daemon = pb_str(self);
	hello.build = pb_str(picket_version);
	if (picket__v1__hello__get_packed_size(&hello) > size)
		return 0;
	return picket__v1__hello__pack(&hello, buf);
}
