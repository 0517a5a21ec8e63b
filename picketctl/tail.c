/* Reads the live event stream: see tail.h. Called by cmd_events.c and monitor.c. */
#include "picketctl/tail.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/ipc.h"
#include "common/limits.h"
#include "envelope.pb-c.h"

/* Memory that a record and an event in it may cost, in bytes: 144 KiB of one-letter arguments become 2 MiB. */
#define TAIL_BUDGET MIB(4)

int
ctl_tail_open(struct ctl *ctl, int *ret_fd, char *err, size_t err_size)
{
	Picket__V1__EventsRequest request = PICKET__V1__EVENTS_REQUEST__INIT;
	struct ctl_reply reply;
	int code = ctl_ask(ctl, PICKET__V1__MSG__MSG_EVENTS_REQUEST, &request.base, PICKET__V1__MSG__MSG_EVENTS_REPLY,
	    &picket__v1__events_reply__descriptor, &reply, err, err_size);

	if (code != CTL_EXIT_OK)
		return code;
	pb_arena_free(reply.arena);
	if (reply.fd < 0) {
		(void)snprintf(err, err_size, "agentd sent no event stream: see its log");
		return CTL_EXIT_OTHER;
	}
	*ret_fd = reply.fd;
	return CTL_EXIT_OK;
}

static void
hand_over(const Picket__V1__EventRecord *record, ctl_tail_event on_event, void *ctx)
{
	struct pb_arena *arena = NULL;
	const char *why;
	const Picket__V1__Event *event = (const void *)pb_unpack(
	    &picket__v1__event__descriptor, record->event.data, record->event.len, TAIL_BUDGET, &arena, &why);

	if (event != NULL)
		on_event(record, event, ctx);
	pb_arena_free(arena);
}

int
ctl_tail_read(int fd, ctl_tail_event on_event, ctl_tail_skipped on_skipped, void *ctx)
{
	static uint8_t payload[LIM_IPC_RECORD_BYTES];
	struct ipc_header header;
	struct iovec iov[2] = {{&header, sizeof(header)}, {payload, sizeof(payload)}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	struct pb_arena *arena = NULL;
	const Picket__V1__TailEvents *tail;
	const char *why;
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	if ((msg.msg_flags & MSG_TRUNC) != 0 || (size_t)n < sizeof(header) || header.protocol != IPC_PROTOCOL ||
	    header.type != PICKET__V1__MSG__MSG_TAIL_EVENTS || header.length != (size_t)n - sizeof(header))
		return -EBADMSG;
	tail = (const void *)pb_unpack(
	    &picket__v1__tail_events__descriptor, payload, header.length, TAIL_BUDGET, &arena, &why);
	if (tail == NULL)
		return -EBADMSG;
	if (tail->skipped > 0)
		on_skipped(tail->skipped, ctx);
	for (size_t i = 0; i < tail->n_records; i++)
		hand_over(tail->records[i], on_event, ctx);
	pb_arena_free(arena);
	return 1;
}
