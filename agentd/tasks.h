/* The tasks: which there are, what each needs, what state each is in and why. No I/O: the owner persists and tells the
 * daemons. */
#ifndef PICKET_AGENTD_TASKS_H
#define PICKET_AGENTD_TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/fsm.h"

/* The daemons that report to agentd and take orders from it. */
enum agt_daemon { AGT_COLLECTORD, AGT_UPLINKD, AGT_ISOLATORD, AGT_DAEMONS };

extern const char *const agt_daemon_names[AGT_DAEMONS];

enum agt_task { AGT_TASK_BEHAVIOR_DETECTION, AGT_TASK_KATAEDR, AGT_TASKS };

struct agt_task_def {
	uint32_t id; /* as in the reference product */
	const char *name;
	enum agt_daemon worker; /* does the work */
	int needs;              /* enum agt_task that must be started first, or -1 */
};

extern const struct agt_task_def agt_task_defs[AGT_TASKS];

/* Exit codes of picketctl(1) that agentd answers with (KATA names them). */
enum agt_exit {
	AGT_EXIT_OK = 0,
	AGT_EXIT_ARGUMENT = 1,
	AGT_EXIT_VALUE = 2,
	AGT_EXIT_NOT_RUNNING = 64,
	AGT_EXIT_OTHER = 65,
	AGT_EXIT_POLICY = 68,
	AGT_EXIT_STATE = 70,
};

/* Bytes of a reason or an error sentence, with its end. */
#define AGT_TEXT_BYTES 512u

/* What the tasks depend on outside of themselves. */
struct agt_facts {
	bool open[AGT_DAEMONS];       /* the daemon's link is open */
	bool wants_certificate;       /* UseClientPinnedCertificate=Yes */
	char certificate[256];        /* uplinkd's client_certificate: "present", or why not; "": not reported yet */
	char server_certificate[256]; /* likewise; without it uplinkd sends nothing */
};

struct agt_tasks {
	struct {
		enum agt_state state;
		uint64_t since_ms; /* wall clock of the last change */
	} task[AGT_TASKS];
	bool certificate_ok; /* as last seen, to notice the change */
	bool save, tell;     /* asked for by a step; the owner acts and clears them */
};

/* agt_tasks_init - all stopped since `now_ms` (wall clock, as every now_ms below). */
void agt_tasks_init(struct agt_tasks *tasks, uint64_t now_ms);

/* agt_task_find - by name (any case) or number. Returns an enum agt_task, or -1. */
int agt_task_find(const char *text);

/*
 * agt_tasks_start - start a task that the administrator or the server asks for.
 * @with_dependencies: start what it needs too.
 * @why: on refusal one sentence that says what to do.
 * Returns AGT_EXIT_OK (also when it is started already) or AGT_EXIT_STATE: then nothing has changed.
 */
int agt_tasks_start(struct agt_tasks *tasks, enum agt_task task, const struct agt_facts *facts, bool with_dependencies,
    uint64_t now_ms, char *why, size_t size);

void agt_tasks_stop(struct agt_tasks *tasks, enum agt_task task, uint64_t now_ms);

/* agt_tasks_restore - it was started when agentd stopped: start it whatever it needs; the reason tells what is missing.
 */
void agt_tasks_restore(struct agt_tasks *tasks, enum agt_task task, uint64_t now_ms);

/* agt_tasks_told - `daemon` has the orders in force (told), or is not connected (!told): moves the tasks it works for.
 */
void agt_tasks_told(
    struct agt_tasks *tasks, enum agt_daemon daemon, bool told, const struct agt_facts *facts, uint64_t now_ms);

/* agt_tasks_observe - the facts may have changed. */
void agt_tasks_observe(struct agt_tasks *tasks, const struct agt_facts *facts, uint64_t now_ms);

/* True when it is meant to run: started or on the way there. */
bool agt_tasks_wanted(const struct agt_tasks *tasks, enum agt_task task);

/* True when the client certificate is there or not asked for. */
bool agt_facts_certificate_ok(const struct agt_facts *facts);

/* agt_tasks_reason - why the task is not simply running, in words; "" when there is nothing to say. Returns buf. */
const char *agt_tasks_reason(
    const struct agt_tasks *tasks, enum agt_task task, const struct agt_facts *facts, char *buf, size_t size);

/*
 * agt_tasks_format - what survives a restart, as text: a line "ID started|stopped" per task. Returns the length, below
 * size. agt_tasks_parse  - restores what it says. Lines it does not understand are skipped: a newer version's tasks.
 */
size_t agt_tasks_format(const struct agt_tasks *tasks, char *buf, size_t size);
void agt_tasks_parse(struct agt_tasks *tasks, const char *text, uint64_t now_ms);

#endif
