/* What telemetry and sync requests share: whether any can be made, to which server, and what an answer says about the
 * link. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "uplinkd/names.h"
#include "uplinkd/uplinkd.h"

uint64_t
upl_random(void)
{
	uint64_t value = 0;

	(void)!getrandom(&value, sizeof(value), GRND_NONBLOCK);
	return value;
}

/* Log once per change, not per attempt. */
static void
set_state(struct uplinkd *u, const char *words)
{
	bool was_up = strcmp(u->link_state, "connected") == 0;
	bool is_up = strcmp(words, "connected") == 0;
	const struct upl_server *server = &u->servers.list[u->servers.current];

	if (strcmp(u->link_state, words) == 0)
		return;
	(void)snprintf(u->link_state, sizeof(u->link_state), "%s", words);
	if (is_up)
		log_notice("link.up", KV_STR("server", server->host), KV_U64("port", server->port));
	else if (was_up)
		log_warning(
		    "link.down", KV_STR("server", server->host), KV_U64("port", server->port), KV_STR("why", words));
	else
		log_info(
		    "link.away", KV_STR("server", server->host), KV_U64("port", server->port), KV_STR("why", words));
	upl_status_changed(u);
}

/* Why nothing can be sent, "" when it can. */
static void
not_ready_words(const struct uplinkd *u, char *words, size_t size)
{
	words[0] = '\0';
	if (!u->settings.known)
		(void)snprintf(words, size, "waiting for agentd");
	else if (!u->settings.enabled)
		(void)snprintf(words, size, "stopped: KATAEDR is not started");
	else if (u->servers.n == 0)
		(void)snprintf(words, size, "no server: set Address with picketctl settings set KATAEDR");
	else if (u->tls.server.text == NULL)
		(void)snprintf(words, size, "no server certificate: %.200s", u->tls.server_state);
	else if (u->settings.client_certificate && u->tls.client.text == NULL)
		(void)snprintf(words, size, "no client certificate: %.200s", u->tls.client_state);
}

bool
upl_link_ready(struct uplinkd *u)
{
	char words[HTTP_WORDS_BYTES];
	bool was_ready = u->link_ready;

	not_ready_words(u, words, sizeof(words));
	u->link_ready = words[0] == '\0';
	if (!u->link_ready)
		set_state(u, words);
	else if (!was_ready)
		set_state(u, "connecting");
	return u->link_ready;
}

void
upl_link_reset(struct uplinkd *u)
{
	u->link_ready = false;
	u->trouble[UPL_SYNC][0] = u->trouble[UPL_TELEMETRY][0] = '\0';
	(void)upl_link_ready(u);
}

/* Telemetry that is refused shows, also while syncs work. */
static void
show_trouble(struct uplinkd *u)
{
	const char *words = u->trouble[UPL_TELEMETRY][0] != '\0' ? u->trouble[UPL_TELEMETRY] : u->trouble[UPL_SYNC];

	set_state(u, words[0] != '\0' ? words : "connected");
}

void
upl_link_up(struct uplinkd *u, enum upl_request kind, size_t server, const struct http_result *result)
{
	struct upl_server *used = u->servers.proxy.host[0] != '\0' ? &u->servers.proxy : &u->servers.list[server];

	upl_servers_worked(&u->servers, server);
	if (upl_servers_learn(used, result->address, result->address_len))
		upl_send_endpoints(u);
	u->counters.last_contact_ms = wall_now_ms();
	u->trouble[kind][0] = '\0';
	show_trouble(u);
	upl_status_changed(u);
	if (kind == UPL_SYNC && u->trouble[UPL_TELEMETRY][0] != '\0')
		upl_delivery_hurry(u, false);
}

bool
upl_link_down(
    struct uplinkd *u, enum upl_request kind, size_t server, const struct http_result *result, enum upl_verdict verdict)
{
	(void)snprintf(u->trouble[kind], sizeof(u->trouble[kind]), "%s",
	    upl_verdict_words(result->error, result->status, result->words));
	show_trouble(u);
	if (result->error != HTTP_OK)
		upl_names_refresh(u);
	/* A server that answers but not well is left as well: another one of its cluster may do better. */
	return verdict == UPL_VERDICT_RETRY && upl_servers_failed(&u->servers, server, mono_now());
}

/* The known addresses of a host as libcurl wants them, the newest first. Returns NULL when libcurl is to look up the
 * name. */
static const char *
pin(const struct upl_server *s, char *buf, size_t size)
{
	size_t len = 0;

	if (s->literal || s->n_addresses == 0)
		return NULL;
	for (size_t i = s->n_addresses; i-- > 0;) {
		char text[UPL_ADDRESS_TEXT];

		len += (size_t)snprintf(buf + len, size - len, "%s%s", len > 0 ? "," : "",
		    upl_address_text(&s->addresses[i], text, sizeof(text)));
	}
	return buf;
}

int
upl_link_post(struct uplinkd *u, size_t server, struct http_request *request, struct http_call **ret_call)
{
	const struct upl_server *s = &u->servers.list[server];
	const struct upl_server *first = u->servers.proxy.host[0] != '\0' ? &u->servers.proxy : s;
	char pinned[UPL_ADDRESSES * (UPL_ADDRESS_TEXT + 1)];

	request->host = s->host;
	request->port = s->port;
	request->pinned_host = first->host;
	request->pinned_port = first->port;
	request->pinned = pin(first, pinned, sizeof(pinned));
	return http_post(u->http, request, ret_call);
}
