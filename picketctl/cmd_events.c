/* picketctl events --follow: one line per event, for people or (ECS JSON) for programs, until Ctrl-C or the stream
 * ends. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/ecs.h"
#include "envelope.pb-c.h"
#include "picketctl/ctl.h"
#include "picketctl/tail.h"

struct follow {
	const struct ctl *ctl;
	const char *type; /* only these, or NULL */
	char host[128], agent_id[64];
};

/* Who says so, for the JSON. */
static int
ask_identity(struct ctl *ctl, struct follow *f)
{
	Picket__V1__StatusRequest request = PICKET__V1__STATUS_REQUEST__INIT;
	const Picket__V1__StatusReply *status;
	struct ctl_reply reply;
	int code = ctl_request(ctl, PICKET__V1__MSG__MSG_STATUS_REQUEST, &request.base,
	    PICKET__V1__MSG__MSG_STATUS_REPLY, &picket__v1__status_reply__descriptor, &reply);

	if (code != CTL_EXIT_OK)
		return code;
	status = (const void *)reply.pb;
	(void)pb_to_str(status->host, f->host, sizeof(f->host));
	(void)pb_to_str(status->agent_id, f->agent_id, sizeof(f->agent_id));
	for (size_t i = 0; i < status->n_tasks; i++)
		if (status->tasks[i]->id == 20 && status->tasks[i]->state != PICKET__V1__TASK_STATE__TASK_STATE_STARTED)
			(void)fprintf(stderr, "picketctl: Behavior_Detection is %s: no events until it is started\n",
			    ctl_task_state(status->tasks[i]->state));
	pb_arena_free(reply.arena);
	return CTL_EXIT_OK;
}

static void
on_event(const Picket__V1__EventRecord *record, const Picket__V1__Event *event, void *ctx)
{
	const struct follow *f = ctx;
	const struct ecs_meta meta = {
	    .host_name = f->host, .agent_id = f->agent_id, .epoch = record->epoch, .sequence = record->sequence};
	char time[32], line[4096]; /* bytes: what a person reads of one event */

	if (f->type != NULL && strcmp(f->type, ecs_type_name(event->type)) != 0)
		return;
	if (f->ctl->json) {
		(void)ecs_write(stdout, event, &meta);
		return;
	}
	(void)ecs_summary(line, sizeof(line), event);
	(void)printf("%s %s\n", ctl_local_time(event->time_ms, time, sizeof(time)), line);
}

static void
on_skipped(uint64_t events, void *ctx)
{
	(void)ctx;
	(void)fflush(stdout);
	(void)fprintf(stderr,
	    "picketctl: %llu events skipped here: this output is too slow. The server gets them all.\n",
	    (unsigned long long)events);
}

/* The types there are, to check --type and to name them. */
static bool
is_type(const char *type, char *list, size_t size)
{
	size_t at = 0;
	bool found = false;

	for (unsigned int i = 0; i < picket__v1__event_type__descriptor.n_values; i++) {
		const char *name;
		int value = picket__v1__event_type__descriptor.values[i].value;

		if (value == PICKET__V1__EVENT_TYPE__EVENT_TYPE_UNSPECIFIED)
			continue;
		name = ecs_type_name((Picket__V1__EventType)value);
		found = found || strcmp(name, type) == 0;
		if (at < size)
			at += (size_t)snprintf(list + at, size - at, "%s%s", at > 0 ? ", " : "", name);
	}
	return found;
}

static int
read_options(struct ctl_args *args, struct follow *f)
{
	char list[256];
	int has_type = ctl_args_value(args, "--type", &f->type);
	bool follow = ctl_args_flag(args, "--follow");
	int code = ctl_expect_no_more(args);

	if (code != CTL_EXIT_OK)
		return code;
	if (has_type < 0 || (has_type > 0 && !is_type(f->type, list, sizeof(list)))) {
		(void)is_type("", list, sizeof(list));
		return ctl_fail(CTL_EXIT_ARGUMENT, "--type is one of %s", list);
	}
	if (!follow)
		return ctl_fail(CTL_EXIT_ARGUMENT, "events --follow shows events as they are seen; those that have "
						   "passed are at the server (picket-server events)");
	return CTL_EXIT_OK;
}

int
ctl_cmd_events(struct ctl *ctl, struct ctl_args *args)
{
	struct follow f = {.ctl = ctl};
	char err[CTL_TEXT_BYTES];
	struct pollfd pfd = {.events = POLLIN};
	int r = 0, code = read_options(args, &f);

	if (code == CTL_EXIT_OK)
		code = ask_identity(ctl, &f);
	if (code != CTL_EXIT_OK)
		return code;
	code = ctl_tail_open(ctl, &pfd.fd, err, sizeof(err));
	if (code != CTL_EXIT_OK)
		return ctl_fail(code, "%s", err);
	while (r >= 0 && ferror(stdout) == 0) {
		r = ctl_tail_read(pfd.fd, on_event, on_skipped, &f);
		if (r == 0) {
			(void)fflush(stdout);
			(void)poll(&pfd, 1, -1);
		}
	}
	(void)close(pfd.fd);
	if (r == -EPIPE)
		return ctl_fail(CTL_EXIT_NOT_RUNNING, "collectord ended the stream; picketctl status says why");
	return r < 0 ? ctl_fail(CTL_EXIT_OTHER, "the event stream is not readable: %s", strerror(-r)) : CTL_EXIT_OK;
}
