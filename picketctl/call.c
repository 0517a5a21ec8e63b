/* The link to agentd: one request, one reply, every failure in one sentence that says what to do. Called by the cmd_
 * files. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/ipc.h"
#include "common/limits.h"
#include "envelope.pb-c.h"
#include "picketctl/ctl.h"

/* Milliseconds for the greeting: agentd answers from memory, so that a second means it hangs; a loaded machine gets
 * five. */
#define CONNECT_MS 5000u

/* Memory that a reply may cost, in bytes: every counter of every daemon, or all exclusions. */
#define REPLY_BUDGET MIB(4)

int
ctl_fail(int code, const char *format, ...)
{
	va_list ap;

	(void)fflush(stdout);
	(void)fputs("picketctl: ", stderr);
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	return code;
}

static int
say(int code, char *err, size_t err_size, const char *socket, const char *what)
{
	(void)snprintf(err, err_size, "%s: %s", socket, what);
	return code;
}

static int
open_link(struct ctl *ctl, char *err, size_t err_size)
{
	if (ctl->fd >= 0)
		return CTL_EXIT_OK;
	ctl->fd =
	    ipc_call_connect(ctl->socket, "picketctl", ctl->patience_ms < CONNECT_MS ? ctl->patience_ms : CONNECT_MS);
	switch (ctl->fd < 0 ? -ctl->fd : 0) {
	case 0:
		return CTL_EXIT_OK;
	case ENOENT:
	case ECONNREFUSED:
		return say(CTL_EXIT_NOT_RUNNING, err, err_size, ctl->socket,
		    "agentd is not running: start it (systemctl start picket-agentd), or say where it listens "
		    "(--config, --socket)");
	case EACCES:
		return say(CTL_EXIT_POLICY, err, err_size, ctl->socket,
		    "agentd does not let you in: try sudo picketctl, or become a member of group picket");
	case ETIME:
		return say(CTL_EXIT_NOT_RUNNING, err, err_size, ctl->socket,
		    "agentd does not answer: see its log, or restart it (systemctl restart picket-agentd)");
	default:
		return say(CTL_EXIT_OTHER, err, err_size, ctl->socket, strerror(-ctl->fd));
	}
}

/* After a failure the link is of no use: an answer may still come. */
static void
drop_link(struct ctl *ctl)
{
	if (ctl->fd >= 0)
		(void)close(ctl->fd);
	ctl->fd = -1;
}

/* agentd's Error in words. */
static int
take_error(const uint8_t *data, size_t len, char *err, size_t err_size)
{
	struct pb_arena *arena = NULL;
	const char *why;
	int code = CTL_EXIT_UNKNOWN;
	const Picket__V1__Error *error =
	    (const void *)pb_unpack(&picket__v1__error__descriptor, data, len, REPLY_BUDGET, &arena, &why);

	if (error == NULL) {
		(void)snprintf(err, err_size, "agentd refused, and its reason is not readable: %s", why);
		return CTL_EXIT_UNKNOWN;
	}
	if (error->exit_code > 0 && error->exit_code <= CTL_EXIT_UNKNOWN)
		code = (int)error->exit_code;
	(void)ctl_escape(error->text, err, err_size);
	pb_arena_free(arena);
	return code;
}

int
ctl_ask(struct ctl *ctl, uint16_t type, const ProtobufCMessage *request, uint16_t reply_type,
    const ProtobufCMessageDescriptor *reply_desc, struct ctl_reply *ret_reply, char *err, size_t err_size)
{
	AUTO_FREE uint8_t *data = NULL;
	size_t len = 0;
	const char *why;
	int fd = -1, r, code = open_link(ctl, err, err_size);

	if (code != CTL_EXIT_OK)
		return code;
	r = ipc_call(ctl->fd, type, request, ctl->patience_ms, &data, &len, &fd);
	if (r == PICKET__V1__MSG__MSG_ERROR)
		return take_error(data, len, err, err_size);
	if (r < 0) {
		drop_link(ctl);
		return say(CTL_EXIT_NOT_RUNNING, err, err_size, ctl->socket,
		    r == -ETIME ? "agentd did not answer in time: see its log" : "agentd went away: see its log");
	}
	*ret_reply = (struct ctl_reply){.fd = -1};
	if (r == (int)reply_type)
		ret_reply->pb = pb_unpack(reply_desc, data, len, REPLY_BUDGET, &ret_reply->arena, &why);
	if (ret_reply->pb == NULL) {
		if (fd >= 0)
			(void)close(fd);
		drop_link(ctl);
		return say(CTL_EXIT_UNKNOWN, err, err_size, ctl->socket,
		    "agentd's reply is not readable: install the same version of every Picket program");
	}
	ret_reply->fd = fd;
	return CTL_EXIT_OK;
}

int
ctl_request(struct ctl *ctl, uint16_t type, const ProtobufCMessage *request, uint16_t reply_type,
    const ProtobufCMessageDescriptor *reply_desc, struct ctl_reply *ret_reply)
{
	char err[CTL_TEXT_BYTES];
	int code = ctl_ask(ctl, type, request, reply_type, reply_desc, ret_reply, err, sizeof(err));

	return code == CTL_EXIT_OK ? code : ctl_fail(code, "%s", err);
}

struct ctl_render *
ctl_render(const struct ctl *ctl)
{
	return ctl_render_new(stdout, ctl->json, ctl->colour);
}

int
ctl_expect_no_more(struct ctl_args *args)
{
	const char *option = ctl_args_unknown(args);
	const char *more;

	if (option != NULL)
		return ctl_fail(CTL_EXIT_ARGUMENT, "%s: no such option here; picketctl --help lists the verbs", option);
	more = ctl_args_next(args);
	if (more != NULL)
		return ctl_fail(CTL_EXIT_ARGUMENT, "%s: one argument too many; picketctl --help lists the verbs", more);
	return CTL_EXIT_OK;
}
