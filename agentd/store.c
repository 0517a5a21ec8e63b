/*
 * What survives a restart: small files in STATE/agentd, each replaced whole (atomic_file.h). A file that is missing is
 * a default; one that is damaged is logged, used as far as it goes, and replaced by the next change. Called by main.c
 * (load) and by whoever changes something.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/agentd.h"
#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "common/log.h"

#define TASKS_FILE "tasks"
#define SETTINGS_FILE "settings.ini"
#define EXCLUSIONS_FILE "exclusions"
#define COMMANDS_FILE "commands"
#define ENDPOINTS_FILE "uplink-endpoints"
#define ORDER_FILE "isolation-order"

/* Bytes of the largest of them: the exclusions, or an isolation order as large as a record. */
#define STORE_BYTES (LIM_IPC_RECORD_BYTES + KIB(64))

/* Memory that unpacking a stored message may cost, in bytes. */
#define UNPACK_BYTES MIB(4)

static void
bad_file(const char *name, const char *why)
{
	log_error("store.bad", KV_STR("file", name), KV_STR("why", why),
	    KV_STR("remedy", "check the settings with picketctl; the next change writes the file anew"));
}

/* The content as a string, or NULL when there is none to use. Free it. */
static char *
load(struct agentd *a, const char *name, size_t *ret_len)
{
	uint8_t *data = NULL;
	int r = atomic_file_read(a->daemon.state_fd, name, STORE_BYTES, &data, ret_len);

	if (r < 0 && r != -ENOENT)
		bad_file(name, strerror(-r));
	return r < 0 ? NULL : (char *)data;
}

static int
save(struct agentd *a, const char *name, const void *data, size_t len)
{
	int r = data == NULL ? -ENOMEM : atomic_file_write(a->daemon.state_fd, name, 0600, data, len);

	if (r < 0) {
		a->counters.store_errors++;
		log_error("store.failed", KV_STR("file", name), KV_ERRNO(r),
		    KV_STR("remedy", "check space and permissions of StateDirectory"));
	}
	return r;
}

static int
save_text(struct agentd *a, const char *name, char *text)
{
	int r = save(a, name, text, text != NULL ? strlen(text) : 0);

	free(text);
	return r;
}

/* ---- load ---- */

static void
load_settings(struct agentd *a)
{
	size_t len;
	AUTO_FREE char *text = load(a, SETTINGS_FILE, &len);
	char why[AGT_TEXT_BYTES];

	agt_settings_init(&a->settings);
	if (text != NULL && agt_settings_parse(&a->settings, text, len, why, sizeof(why)) < 0)
		bad_file(SETTINGS_FILE, why);
}

static void
load_exclusions(struct agentd *a)
{
	size_t len;
	AUTO_FREE char *text = load(a, EXCLUSIONS_FILE, &len);
	char why[AGT_TEXT_BYTES] = "";

	agt_exclusions_init(&a->exclusions);
	if (text != NULL && agt_exclusions_parse(&a->exclusions, text, why, sizeof(why)) < 0)
		bad_file(EXCLUSIONS_FILE, why);
}

static void
load_commands(struct agentd *a)
{
	size_t len;
	AUTO_FREE char *text = load(a, COMMANDS_FILE, &len);

	if (text != NULL && agt_commands_parse(&a->commands, text) > 0)
		bad_file(COMMANDS_FILE, "lines that are no record");
}

static void
load_endpoints(struct agentd *a)
{
	size_t len;
	AUTO_FREE char *data = load(a, ENDPOINTS_FILE, &len);
	struct pb_arena *arena = NULL;
	const char *why = "an address or port is none";
	ProtobufCMessage *msg;

	if (data == NULL)
		return;
	msg = pb_unpack(&picket__v1__uplink_endpoints__descriptor, (uint8_t *)data, len, UNPACK_BYTES, &arena, &why);
	if (msg != NULL) {
		const Picket__V1__UplinkEndpoints *e = (const void *)msg;

		if (agt_endpoints_read(&a->isolator.reported, e->endpoints, e->n_endpoints) == 0)
			why = NULL;
		pb_arena_free(arena);
	}
	if (why != NULL)
		bad_file(ENDPOINTS_FILE, why);
}

void
agt_store_load(struct agentd *a)
{
	size_t len;
	AUTO_FREE char *tasks = load(a, TASKS_FILE, &len);

	agt_tasks_init(&a->tasks, wall_now_ms());
	if (tasks != NULL)
		agt_tasks_parse(&a->tasks, tasks, wall_now_ms());
	load_settings(a);
	load_exclusions(a);
	load_commands(a);
	load_endpoints(a);
	a->isolator.order = (uint8_t *)load(a, ORDER_FILE, &a->isolator.order_len);
}

/* ---- save ---- */

int
agt_store_tasks(struct agentd *a, const struct agt_tasks *tasks)
{
	char text[256]; /* bytes: a line of at most 20 per task */

	return save(a, TASKS_FILE, text, agt_tasks_format(tasks, text, sizeof(text)));
}

int
agt_store_settings(struct agentd *a, const struct agt_settings *settings)
{
	return save_text(a, SETTINGS_FILE, agt_settings_format(settings));
}

int
agt_store_exclusions(struct agentd *a)
{
	return save_text(a, EXCLUSIONS_FILE, agt_exclusions_format(&a->exclusions));
}

int
agt_store_commands(struct agentd *a)
{
	return save_text(a, COMMANDS_FILE, agt_commands_format(&a->commands));
}

int
agt_store_endpoints(struct agentd *a)
{
	Picket__V1__UplinkEndpoints msg = PICKET__V1__UPLINK_ENDPOINTS__INIT;
	struct agt_endpoints_view view;
	size_t len = 0;
	AUTO_FREE uint8_t *data = NULL;

	agt_endpoints_view(&a->isolator.reported, &view);
	msg.endpoints = view.ptr;
	msg.n_endpoints = a->isolator.reported.n;
	data = pb_pack_new(&msg.base, &len);
	return save(a, ENDPOINTS_FILE, data, len);
}

int
agt_store_order(struct agentd *a)
{
	if (a->isolator.order == NULL)
		return atomic_file_remove(a->daemon.state_fd, ORDER_FILE);
	return save(a, ORDER_FILE, a->isolator.order, a->isolator.order_len);
}
