/*
 * Puts what agentd says about its host into words. Never touches the database. Called by api.c for every sync.
 */
#include "server/host_state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/limits.h"
#include "common/pb.h"
#include "link.pb-c.h"
#include "server/text.h"

/* Bytes of memory for one AgentState: hundreds of addresses. */
#define HOST_STATE_BUDGET KIB(256)

static const char *const task_states[] = {
    [PICKET__V1__TASK_STATE__TASK_STATE_UNSPECIFIED] = "unknown",
    [PICKET__V1__TASK_STATE__TASK_STATE_STOPPED] = "stopped",
    [PICKET__V1__TASK_STATE__TASK_STATE_STARTING] = "starting",
    [PICKET__V1__TASK_STATE__TASK_STATE_STARTED] = "started",
    [PICKET__V1__TASK_STATE__TASK_STATE_STOPPING] = "stopping",
};

static const char *const isolation_states[] = {
    [PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_UNSPECIFIED] = "",
    [PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_RELEASED] = "released",
    [PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_ISOLATED] = "isolated",
    [PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_FAILED] = "failed",
};

/* A list of words in a terminated buffer. */
struct list {
	char *buf;
	size_t len, size;
};

static struct list
list_open(char *buf, size_t size)
{
	buf[0] = '\0';
	return (struct list){buf, 0, size};
}

static void
list_add(struct list *list, const char *word)
{
	size_t n = strlen(word), gap = list->len > 0;

	if (list->len + gap + n + 1 > list->size)
		return;
	if (gap)
		list->buf[list->len] = ' ';
	memcpy(list->buf + list->len + gap, word, n + 1);
	list->len += gap + n;
}

static void
read_addresses(const Picket__V1__AgentState *state, struct host_state *ret)
{
	struct list list = list_open(ret->addresses, sizeof(ret->addresses));

	for (size_t i = 0; i < state->n_addresses; i++) {
		char word[INET6_ADDRSTRLEN];
		const ProtobufCBinaryData *a = &state->addresses[i];

		if (a->len == 4 || a->len == 16)
			list_add(&list, inet_ntop(a->len == 4 ? AF_INET : AF_INET6, a->data, word, sizeof(word)));
	}
}

static void
read_macs(const Picket__V1__AgentState *state, struct host_state *ret)
{
	struct list list = list_open(ret->macs, sizeof(ret->macs));

	for (size_t i = 0; i < state->n_macs; i++) {
		char word[sizeof("00:00:00:00:00:00")];
		const uint8_t *m = state->macs[i].data;

		if (state->macs[i].len != 6)
			continue;
		(void)snprintf(word, sizeof(word), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
		list_add(&list, word);
	}
}

static void
read_tasks(const Picket__V1__AgentState *state, struct host_state *ret)
{
	struct list list = list_open(ret->tasks, sizeof(ret->tasks));

	for (size_t i = 0; i < state->n_tasks; i++) {
		char name[64]; /* bytes: the longest task name has 24 */
		char word[sizeof(name) + 16];
		const Picket__V1__TaskInfo *task = state->tasks[i];

		(void)text_copy(name, sizeof(name), task->name.data, task->name.len);
		(void)snprintf(word, sizeof(word), "%s=%s", name, task_states[task->state]);
		list_add(&list, word);
	}
}

static void
read_isolation(const Picket__V1__IsolationStatus *isolation, struct host_state *ret)
{
	ret->isolation_detail[0] = '\0';
	ret->texts.isolation = "";
	if (isolation == NULL)
		return;
	ret->texts.isolation = isolation_states[isolation->state];
	ret->texts.isolation_since_ms = isolation->since_ms;
	ret->texts.isolation_until_ms = isolation->until_ms;
	(void)text_copy(
	    ret->isolation_detail, sizeof(ret->isolation_detail), isolation->detail.data, isolation->detail.len);
}

int
host_state_read(const uint8_t *data, size_t len, struct host_state *ret, const char **ret_why)
{
	struct pb_arena *arena = NULL;
	/* pb_unpack() refuses enum values that have no name, so the tables above may be indexed by them. */
	const Picket__V1__AgentState *state = (const Picket__V1__AgentState *)pb_unpack(
	    &picket__v1__agent_state__descriptor, data, len, HOST_STATE_BUDGET, &arena, ret_why);

	if (state == NULL)
		return -EBADMSG;
	const struct {
		const ProtobufCBinaryData *from;
		char *to;
	} names[] = {
	    {&state->host_name, ret->name},
	    {&state->os_name, ret->os_name},
	    {&state->os_version, ret->os_version},
	    {&state->kernel, ret->kernel},
	    {&state->agent_version, ret->agent_version},
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)text_copy(names[i].to, HOST_STATE_NAME_BYTES, names[i].from->data, names[i].from->len);
	ret->texts = (struct store_host_state){
	    .name = ret->name,
	    .addresses = ret->addresses,
	    .macs = ret->macs,
	    .os_name = ret->os_name,
	    .os_version = ret->os_version,
	    .kernel = ret->kernel,
	    .agent_version = ret->agent_version,
	    .tasks = ret->tasks,
	    .isolation_detail = ret->isolation_detail,
	    .settings_revision = state->settings_revision,
	};
	read_addresses(state, ret);
	read_macs(state, ret);
	read_tasks(state, ret);
	read_isolation(state->isolation, ret);
	pb_arena_free(arena);
	return 0;
}
