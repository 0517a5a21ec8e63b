/*
 * Drives the state machine of fsm.c for every task and says why a task is as it is. Never does I/O: it sets `save` and
 * `tell` for its owner (push.c, ctl.c, orders.c), which also says what the outside looks like (struct agt_facts).
 */
#include "agentd/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const struct agt_task_def agt_task_defs[AGT_TASKS] = {
    [AGT_TASK_BEHAVIOR_DETECTION] = {20, "Behavior_Detection", AGT_COLLECTORD, -1},
    [AGT_TASK_KATAEDR] = {24, "KATAEDR", AGT_UPLINKD, AGT_TASK_BEHAVIOR_DETECTION},
};

const char *const agt_daemon_names[AGT_DAEMONS] = {
    [AGT_COLLECTORD] = "collectord",
    [AGT_UPLINKD] = "uplinkd",
    [AGT_ISOLATORD] = "isolatord",
};

static const char *
state_word(enum agt_state state)
{
	switch (state) {
	case AGT_STATE_STARTING:
		return "starting";
	case AGT_STATE_STARTED:
		return "started";
	case AGT_STATE_STOPPING:
		return "stopping";
	case AGT_STATE_STOPPED:
	case AGT_STATE_UNSET:
	case AGT_STATES:
		break;
	}
	return "stopped";
}

void
agt_tasks_init(struct agt_tasks *tasks, uint64_t now_ms)
{
	*tasks = (struct agt_tasks){.certificate_ok = true};
	for (int i = 0; i < AGT_TASKS; i++) {
		tasks->task[i].state = AGT_STATE_STOPPED;
		tasks->task[i].since_ms = now_ms;
	}
}

int
agt_task_find(const char *text)
{
	char *end;
	unsigned long id = strtoul(text, &end, 10);

	for (int i = 0; i < AGT_TASKS; i++) {
		if (strcasecmp(text, agt_task_defs[i].name) == 0)
			return i;
		if (*text >= '0' && *text <= '9' && *end == '\0' && id == agt_task_defs[i].id)
			return i;
	}
	return -1;
}

/* One step; a task that gets to or leaves Started is an event for those that need it. */
static enum agt_action
step(struct agt_tasks *tasks, enum agt_task task, enum agt_event event, uint64_t now_ms)
{
	enum agt_state from = tasks->task[task].state;
	struct agt_step s = agt_fsm_step(from, event);

	tasks->save = tasks->save || s.action == AGT_ACTION_SAVE;
	tasks->tell = tasks->tell || s.action == AGT_ACTION_SAVE || s.action == AGT_ACTION_TELL;
	if (s.next == from)
		return s.action;
	tasks->task[task].state = s.next;
	tasks->task[task].since_ms = now_ms;
	for (int i = 0; i < AGT_TASKS; i++) {
		if (agt_task_defs[i].needs != (int)task)
			continue;
		if (s.next == AGT_STATE_STARTED)
			(void)step(tasks, (enum agt_task)i, AGT_EVENT_NEED_MET, now_ms);
		else if (from == AGT_STATE_STARTED)
			(void)step(tasks, (enum agt_task)i, AGT_EVENT_NEED_LOST, now_ms);
	}
	return s.action;
}

bool
agt_tasks_wanted(const struct agt_tasks *tasks, enum agt_task task)
{
	return tasks->task[task].state == AGT_STATE_STARTING || tasks->task[task].state == AGT_STATE_STARTED;
}

bool
agt_facts_certificate_ok(const struct agt_facts *facts)
{
	return !facts->wants_certificate || strcmp(facts->certificate, "present") == 0;
}

/*
 * Whether something the task needs is not there, in words. A dependency on its way is good enough for one who asked for
 * it to be started. A certificate that uplinkd has not reported on yet does not refuse: the task waits in Starting for
 * the report.
 */
static bool
start_is_refused(const struct agt_tasks *tasks, enum agt_task task, const struct agt_facts *facts,
    bool with_dependencies, char *why, size_t size)
{
	const struct agt_task_def *def = &agt_task_defs[task];

	if (def->needs >= 0 && tasks->task[def->needs].state != AGT_STATE_STARTED &&
	    !(with_dependencies && tasks->task[def->needs].state == AGT_STATE_STARTING)) {
		char reason[AGT_TEXT_BYTES];

		(void)agt_tasks_reason(tasks, (enum agt_task)def->needs, facts, reason, sizeof(reason));
		(void)snprintf(why, size, "%s needs %s, which is %s%s%s%s: start it first, or use --with-dependencies",
		    def->name, agt_task_defs[def->needs].name, state_word(tasks->task[def->needs].state),
		    reason[0] != '\0' ? " (" : "", reason, reason[0] != '\0' ? ")" : "");
		return true;
	}
	if (task == AGT_TASK_KATAEDR && facts->certificate[0] != '\0' && !agt_facts_certificate_ok(facts)) {
		(void)snprintf(why, size,
		    "KATAEDR needs the client certificate (UseClientPinnedCertificate=Yes), which uplinkd reports as "
		    "\"%s\": give uplinkd one (picket-uplinkd(8)), or set UseClientPinnedCertificate=No",
		    facts->certificate);
		return true;
	}
	return false;
}

int
agt_tasks_start(struct agt_tasks *tasks, enum agt_task task, const struct agt_facts *facts, bool with_dependencies,
    uint64_t now_ms, char *why, size_t size)
{
	struct agt_tasks next = *tasks;
	const struct agt_task_def *def = &agt_task_defs[task];
	enum agt_event event;

	if (with_dependencies && def->needs >= 0) {
		int r = agt_tasks_start(&next, (enum agt_task)def->needs, facts, true, now_ms, why, size);

		if (r != AGT_EXIT_OK)
			return r;
	}
	event = start_is_refused(&next, task, facts, with_dependencies, why, size) ? AGT_EVENT_START_REFUSED
										   : AGT_EVENT_START;
	if (step(&next, task, event, now_ms) == AGT_ACTION_REFUSE)
		return AGT_EXIT_STATE;
	*tasks = next;
	return AGT_EXIT_OK;
}

void
agt_tasks_stop(struct agt_tasks *tasks, enum agt_task task, uint64_t now_ms)
{
	(void)step(tasks, task, AGT_EVENT_STOP, now_ms);
}

void
agt_tasks_restore(struct agt_tasks *tasks, enum agt_task task, uint64_t now_ms)
{
	(void)step(tasks, task, AGT_EVENT_RESTORE, now_ms);
}

void
agt_tasks_told(
    struct agt_tasks *tasks, enum agt_daemon daemon, bool told, const struct agt_facts *facts, uint64_t now_ms)
{
	for (int i = 0; i < AGT_TASKS; i++) {
		if (agt_task_defs[i].worker != daemon)
			continue;
		/* Without its certificate KATAEDR was told to wait, not to work. */
		if (told && i == AGT_TASK_KATAEDR && tasks->task[i].state == AGT_STATE_STARTING &&
		    !agt_facts_certificate_ok(facts))
			continue;
		(void)step(tasks, (enum agt_task)i, told ? AGT_EVENT_TOLD : AGT_EVENT_LOST, now_ms);
	}
}

void
agt_tasks_observe(struct agt_tasks *tasks, const struct agt_facts *facts, uint64_t now_ms)
{
	bool ok = agt_facts_certificate_ok(facts);

	if (ok == tasks->certificate_ok)
		return;
	tasks->certificate_ok = ok;
	(void)step(tasks, AGT_TASK_KATAEDR, ok ? AGT_EVENT_NEED_MET : AGT_EVENT_NEED_LOST, now_ms);
}

/* Append a clause, given in two pieces, to a sentence of several. */
static void
add_clause(char *buf, size_t size, const char *first, const char *rest)
{
	size_t at = strlen(buf);

	(void)snprintf(buf + at, size - at, "%s%s%s", at > 0 ? "; " : "", first, rest);
}

static void
add_suspended(const struct agt_tasks *tasks, enum agt_task need, const struct agt_facts *facts, char *buf, size_t size)
{
	const struct agt_task_def *def = &agt_task_defs[need];
	char what[64];

	if (tasks->task[need].state != AGT_STATE_STARTED)
		(void)snprintf(what, sizeof(what), "%s is %s", def->name, state_word(tasks->task[need].state));
	else if (!facts->open[def->worker])
		(void)snprintf(what, sizeof(what), "%s is not connected", agt_daemon_names[def->worker]);
	else
		return;
	add_clause(buf, size, "telemetry suspended: ", what);
}

const char *
agt_tasks_reason(
    const struct agt_tasks *tasks, enum agt_task task, const struct agt_facts *facts, char *buf, size_t size)
{
	const struct agt_task_def *def = &agt_task_defs[task];

	buf[0] = '\0';
	if (!agt_tasks_wanted(tasks, task))
		return buf;
	if (!facts->open[def->worker])
		add_clause(buf, size, agt_daemon_names[def->worker], " is not connected");
	else if (task == AGT_TASK_KATAEDR && !agt_facts_certificate_ok(facts))
		add_clause(buf, size, "client certificate: ",
		    facts->certificate[0] != '\0' ? facts->certificate : "not reported by uplinkd yet");
	if (task == AGT_TASK_KATAEDR && facts->server_certificate[0] != '\0' &&
	    strcmp(facts->server_certificate, "present") != 0)
		add_clause(buf, size, "server certificate: ", facts->server_certificate);
	if (def->needs >= 0)
		add_suspended(tasks, (enum agt_task)def->needs, facts, buf, size);
	return buf;
}

size_t
agt_tasks_format(const struct agt_tasks *tasks, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (int i = 0; i < AGT_TASKS; i++) {
		(void)snprintf(buf + len, size - len, "%u %s\n", agt_task_defs[i].id,
		    agt_tasks_wanted(tasks, (enum agt_task)i) ? "started" : "stopped");
		len += strlen(buf + len);
	}
	return len;
}

void
agt_tasks_parse(struct agt_tasks *tasks, const char *text, uint64_t now_ms)
{
	while (*text != '\0') {
		char id[16], word[16];
		int task;

		if (sscanf(text, "%15s %15s", id, word) == 2 && strcmp(word, "started") == 0 &&
		    (task = agt_task_find(id)) >= 0)
			agt_tasks_restore(tasks, (enum agt_task)task, now_ms);
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
}
