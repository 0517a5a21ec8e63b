/* picketctl task list|start|stop. */
#include <string.h>

#include "envelope.pb-c.h"
#include "picketctl/ctl.h"

const char *
ctl_task_state(Picket__V1__TaskState state)
{
	switch (state) {
	case PICKET__V1__TASK_STATE__TASK_STATE_STOPPED:
		return "Stopped";
	case PICKET__V1__TASK_STATE__TASK_STATE_STARTING:
		return "Starting";
	case PICKET__V1__TASK_STATE__TASK_STATE_STARTED:
		return "Started";
	case PICKET__V1__TASK_STATE__TASK_STATE_STOPPING:
		return "Stopping";
	case PICKET__V1__TASK_STATE__TASK_STATE_UNSPECIFIED:
	case _PICKET__V1__TASK_STATE_IS_INT_SIZE:
		break;
	}
	return "Unknown";
}

void
ctl_render_tasks(struct ctl_render *r, Picket__V1__TaskInfo *const *tasks, size_t n, const char *heading)
{
	ctl_render_table(r, "tasks", heading);
	for (size_t i = 0; i < n; i++) {
		bool started = tasks[i]->state == PICKET__V1__TASK_STATE__TASK_STATE_STARTED;
		enum ctl_mood mood = !started || tasks[i]->reason.len > 0 ? CTL_WARN : CTL_GOOD;

		ctl_render_row(r);
		ctl_render_u64(r, "id", "ID", tasks[i]->id);
		ctl_render_bytes(r, "name", "NAME", tasks[i]->name, CTL_PLAIN);
		ctl_render_str(r, "state", "STATE", ctl_task_state(tasks[i]->state), mood);
		ctl_render_time(r, "since_ms", "SINCE", tasks[i]->since_ms);
		ctl_render_bytes(r, "reason", "REASON", tasks[i]->reason, CTL_PLAIN);
		ctl_render_end(r);
	}
	ctl_render_end(r);
}

int
ctl_cmd_task(struct ctl *ctl, struct ctl_args *args)
{
	Picket__V1__TaskRequest request = PICKET__V1__TASK_REQUEST__INIT;
	const Picket__V1__TaskReply *tasks;
	struct ctl_reply reply;
	struct ctl_render *r;
	const char *verb, *task;
	int code;

	request.with_dependencies = ctl_args_flag(args, "--with-dependencies");
	if (ctl_args_unknown(args) != NULL)
		return ctl_expect_no_more(args);
	verb = ctl_args_next(args);
	if (verb != NULL && strcmp(verb, "list") == 0)
		request.verb = PICKET__V1__TASK_VERB__TASK_VERB_LIST;
	else if (verb != NULL && strcmp(verb, "start") == 0)
		request.verb = PICKET__V1__TASK_VERB__TASK_VERB_START;
	else if (verb != NULL && strcmp(verb, "stop") == 0)
		request.verb = PICKET__V1__TASK_VERB__TASK_VERB_STOP;
	else
		return ctl_fail(CTL_EXIT_ARGUMENT, "task list, task start TASK, or task stop TASK");
	if (request.verb != PICKET__V1__TASK_VERB__TASK_VERB_LIST) {
		task = ctl_args_next(args);
		if (task == NULL)
			return ctl_fail(CTL_EXIT_ARGUMENT, "task %s: which one? picketctl task list shows them", verb);
		request.task = pb_str(task);
	}
	code = ctl_expect_no_more(args);
	if (code != CTL_EXIT_OK)
		return code;
	code = ctl_request(ctl, PICKET__V1__MSG__MSG_TASK_REQUEST, &request.base, PICKET__V1__MSG__MSG_TASK_REPLY,
	    &picket__v1__task_reply__descriptor, &reply);
	if (code != CTL_EXIT_OK)
		return code;
	tasks = (const void *)reply.pb;
	r = ctl_render(ctl);
	ctl_render_tasks(r, tasks->tasks, tasks->n_tasks, NULL);
	ctl_render_done(r);
	pb_arena_free(reply.arena);
	return CTL_EXIT_OK;
}
