/*
 * The changes that root and the server may ask for. One place, so that both obey the same rules: checked on a copy,
 * persisted, put in force, told to the daemons; a step that fails leaves everything as it was. Called by ctl.c and
 * orders.c.
 */
#include <stdio.h>
#include <string.h>

#include "agentd/agentd.h"
#include "common/log.h"

/* Settings in one request: every key twice. */
#define MAX_CHANGES (2u * AGT_SETTINGS)

/* Bytes of a section or key with its end. */
#define NAME_BYTES 64u

int
agt_decide_task(struct agentd *a, enum agt_task task, bool start, bool with_dependencies, char *why, size_t size)
{
	struct agt_tasks next = a->tasks;
	struct agt_facts facts;
	int code = AGT_EXIT_OK;

	agt_facts(a, &facts);
	if (start)
		code = agt_tasks_start(&next, task, &facts, with_dependencies, wall_now_ms(), why, size);
	else
		agt_tasks_stop(&next, task, wall_now_ms());
	if (code != AGT_EXIT_OK)
		return code;
	if (next.save && agt_store_tasks(a, &next) < 0) {
		(void)snprintf(why, size, "cannot write to the state directory: see agentd's log; nothing was changed");
		return AGT_EXIT_OTHER;
	}
	next.save = false;
	if (a->tasks.task[task].state != next.task[task].state)
		log_notice(
		    "task.asked", KV_STR("task", agt_task_defs[task].name), KV_STR("verb", start ? "start" : "stop"));
	a->tasks = next;
	agt_push(a);
	return AGT_EXIT_OK;
}

/* One protobuf setting into terminated strings. Returns false when it holds a NUL or is too long. */
static bool
copy_setting(
    const Picket__V1__Setting *setting, char section[NAME_BYTES], char key[NAME_BYTES], char *value, size_t size)
{
	return pb_to_str(setting->section, section, NAME_BYTES) == 0 && pb_to_str(setting->key, key, NAME_BYTES) == 0 &&
	       pb_to_str(setting->value, value, size) == 0;
}

int
agt_decide_settings(
    struct agentd *a, const char *task, Picket__V1__Setting *const *settings, size_t n, char *why, size_t size)
{
	static char sections[MAX_CHANGES][NAME_BYTES], keys[MAX_CHANGES][NAME_BYTES];
	static char values[MAX_CHANGES][AGT_VALUE_BYTES];
	struct agt_change changes[MAX_CHANGES];
	struct agt_settings next = a->settings;
	int code;

	if (agt_task_find(task) != AGT_TASK_KATAEDR) {
		(void)snprintf(why, size, "%.64s: no task with settings; KATAEDR (24) has some", task);
		return AGT_EXIT_ARGUMENT;
	}
	if (n == 0 || n > MAX_CHANGES) {
		(void)snprintf(why, size, "1 to %u settings can be set at once", MAX_CHANGES);
		return AGT_EXIT_ARGUMENT;
	}
	for (size_t i = 0; i < n; i++) {
		if (!copy_setting(settings[i], sections[i], keys[i], values[i], sizeof(values[i]))) {
			(void)snprintf(why, size, "setting %zu is too long or holds a NUL", i + 1);
			return AGT_EXIT_VALUE;
		}
		changes[i] = (struct agt_change){sections[i], keys[i], values[i]};
	}
	code = agt_settings_set(&next, changes, n, why, size);
	if (code != AGT_EXIT_OK)
		return code;
	if (next.revision == a->settings.revision)
		return AGT_EXIT_OK;
	if (agt_store_settings(a, &next) < 0) {
		(void)snprintf(why, size, "cannot write to the state directory: see agentd's log; nothing was changed");
		return AGT_EXIT_OTHER;
	}
	a->settings = next;
	for (size_t i = 0; i < n; i++)
		log_notice("settings.set", KV_STR("section", sections[i]), KV_STR("key", keys[i]),
		    KV_STR("value", strcmp(keys[i], "ProxyServer") == 0 ? "(not logged)" : values[i]),
		    KV_U64("revision", next.revision));
	agt_push(a);
	return AGT_EXIT_OK;
}
