/* What telemetry and sync requests share: whether any can be made, to which server, and what an answer says about the
 * link. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "uplinkd/uplinkd.h"

/* Bytes of "ADDRESS" in text, with room for IPv6. */
#define ADDRESS_TEXT 46

/* Milliseconds until a name that could not be resolved is looked up again, while addresses from before are used. */
#define NAMES_RETRY_MS 300000u

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

bool
upl_link_ready(struct uplinkd *u)
{
	char words[HTTP_WORDS_BYTES];

	if (!u->settings.known) {
		set_state(u, "waiting for agentd");
	} else if (!u->settings.enabled) {
		set_state(u, "stopped: KATAEDR is not started");
	} else if (u->servers.n == 0) {
		set_state(u, "no server: set Address with picketctl settings set KATAEDR");
	} else if (u->tls.server.text == NULL) {
		(void)snprintf(words, sizeof(words), "no server certificate: %.200s", u->tls.server_state);
		set_state(u, words);
	} else if (u->settings.client_certificate && u->tls.client.text == NULL) {
		(void)snprintf(words, sizeof(words), "no client certificate: %.200s", u->tls.client_state);
		set_state(u, words);
	} else {
		return true;
	}
	return false;
}

void
upl_link_up(struct uplinkd *u, size_t server, const struct http_result *result)
{
	bool was_away = strcmp(u->link_state, "connected") != 0;
	struct upl_server *used = u->servers.proxy.host[0] != '\0' ? &u->servers.proxy : &u->servers.list[server];

	upl_servers_worked(&u->servers, server);
	if (upl_servers_learn(used, result->address, result->address_len))
		upl_send_endpoints(u);
	u->counters.last_contact_ms = wall_now_ms();
	set_state(u, "connected");
	upl_status_changed(u);
	if (was_away)
		upl_delivery_hurry(u);
}

bool
upl_link_down(struct uplinkd *u, size_t server, const struct http_result *result, enum upl_verdict verdict)
{
	struct upl_server *s = &u->servers.list[server];

	set_state(u, upl_verdict_words(result->error, result->status, result->words));
	if (result->error == HTTP_RESOLVE && s->n_addresses > 0 && mono_now().ms >= s->unresolved_until.ms) {
		s->unresolved_until.ms = mono_now().ms + NAMES_RETRY_MS;
		return true;
	}
	/* A server that answers but not well is left as well: another one of its cluster may do better. */
	return verdict == UPL_VERDICT_RETRY && upl_servers_failed(&u->servers, server, mono_now());
}

int
upl_link_post(struct uplinkd *u, size_t server, struct http_request *request, struct http_call **ret_call)
{
	const struct upl_server *s = &u->servers.list[server];
	char pinned[UPL_ADDRESSES * (ADDRESS_TEXT + 1)];
	size_t len = 0;

	/* The addresses that worked stand in for a name service that no longer answers, as on an isolated host. */
	for (size_t i = 0; mono_now().ms < s->unresolved_until.ms && i < s->n_addresses; i++) {
		char text[ADDRESS_TEXT];
		int n = snprintf(pinned + len, sizeof(pinned) - len, "%s%s", len > 0 ? "," : "",
		    upl_address_text(&s->addresses[i], text, sizeof(text)));

		len += (size_t)n;
	}
	request->host = s->host;
	request->port = s->port;
	request->pinned = len > 0 ? pinned : NULL;
	return http_post(u->http, request, ret_call);
}
