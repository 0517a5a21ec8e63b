/* Blocking requests for programs without a loop: picketctl and tests. Never used by a daemon. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/ipc_internal.h"
#include "common/limits.h"
#include "common/pb.h"
#include "envelope.pb-c.h"

/* Returns 0 when readable, -ETIME, or a negative errno. */
static int
wait_readable(int fd, struct mono_ms start, uint64_t timeout_ms)
{
	for (;;) {
		uint64_t spent = mono_since(start, mono_now());
		struct pollfd pfd = {.fd = fd, .events = POLLIN};

		if (spent >= timeout_ms)
			return -ETIME;
		int r = poll(&pfd, 1, (int)(timeout_ms - spent));
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

static int
recv_wait(int fd, struct mono_ms start, uint64_t timeout_ms, struct ipc_header *header, uint8_t *buf, size_t size,
    int *ret_fd)
{
	int fds[IPC_MAX_FDS];
	size_t n_fds;
	int r;

	do {
		r = wait_readable(fd, start, timeout_ms);
		if (r < 0)
			return r;
		r = ipc_frame_recv(fd, header, buf, size, fds, &n_fds);
	} while (r == -EAGAIN);
	if (r == 0 || r == -ECONNRESET)
		return -EACCES; /* it closed on us: refused, or gone */
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_fds; i++) {
		if (i == 0 && ret_fd != NULL)
			*ret_fd = fds[0];
		else
			(void)close(fds[i]);
	}
	return 0;
}

int
ipc_call_connect(const char *path, const char *self, uint64_t timeout_ms)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct mono_ms start = mono_now();
	uint8_t buf[256]; /* bytes: a Hello with a program name and a version */

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, path, strlen(path));

	AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) != 0)
		return -errno;

	struct ipc_header header = {.protocol = IPC_PROTOCOL, .type = PICKET__V1__MSG__MSG_HELLO};
	header.length = (uint32_t)ipc_hello_pack(self, buf, sizeof(buf));
	int r = ipc_frame_send(fd, &header, buf, NULL, 0);
	if (r < 0)
		return r == -EPIPE ? -EACCES : r;
	r = recv_wait(fd, start, timeout_ms, &header, buf, sizeof(buf), NULL);
	if (r < 0)
		return r;
	if (header.type != PICKET__V1__MSG__MSG_HELLO)
		return -EPROTO;
	return STEAL_FD(fd);
}

int
ipc_call(int fd, uint16_t type, const ProtobufCMessage *msg, uint64_t timeout_ms, uint8_t **ret_data, size_t *ret_len,
    int *ret_fd)
{
	static uint32_t last_sequence;
	struct ipc_header header = {.protocol = IPC_PROTOCOL, .type = type, .sequence = ++last_sequence};
	struct mono_ms start = mono_now();
	AUTO_FREE uint8_t *buf = malloc(LIM_IPC_RECORD_BYTES);
	size_t len;
	AUTO_FREE uint8_t *request = pb_pack_new(msg, &len);

	if (buf == NULL || request == NULL)
		return -ENOMEM;
	header.length = (uint32_t)len;
	if (ret_fd != NULL)
		*ret_fd = -1;

	int r = ipc_frame_send(fd, &header, request, NULL, 0);
	if (r < 0)
		return r;
	do {
		r = recv_wait(fd, start, timeout_ms, &header, buf, LIM_IPC_RECORD_BYTES, ret_fd);
		if (r < 0)
			return r;
	} while (header.sequence != last_sequence);

	*ret_len = header.length;
	*ret_data = buf;
	buf = NULL;
	return header.type;
}
