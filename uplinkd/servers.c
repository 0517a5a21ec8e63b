/* The list of servers as a state of its own. Pure: no I/O, no clock. Called by link.c and settings.c. */
#include "uplinkd/servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Milliseconds between attempts at the first server while another one is used. */
#define PROBE_MS 60000u

bool
upl_address_parse(const char *text, struct upl_address *ret)
{
	if (inet_pton(AF_INET, text, ret->bytes) == 1)
		ret->len = 4;
	else if (inet_pton(AF_INET6, text, ret->bytes) == 1)
		ret->len = 16;
	else
		return false;
	return true;
}

const char *
upl_address_text(const struct upl_address *address, char *buf, size_t size)
{
	if (inet_ntop(address->len == 4 ? AF_INET : AF_INET6, address->bytes, buf, (socklen_t)size) == NULL)
		buf[0] = '\0';
	return buf;
}

int
upl_server_set(struct upl_server *server, const char *host, size_t host_len, uint32_t port)
{
	if (host_len == 0 || host_len >= UPL_HOST_BYTES || memchr(host, '\0', host_len) != NULL || port == 0 ||
	    port > UINT16_MAX)
		return -EINVAL;
	*server = (struct upl_server){.port = (uint16_t)port};
	memcpy(server->host, host, host_len);
	server->literal = upl_address_parse(server->host, &server->addresses[0]);
	server->n_addresses = server->literal ? 1 : 0;
	return 0;
}

static bool
same_server(const struct upl_server *a, const struct upl_server *b)
{
	return a->port == b->port && strcmp(a->host, b->host) == 0;
}

void
upl_servers_replace(struct upl_servers *servers, const struct upl_server *list, size_t n, struct mono_ms now)
{
	struct upl_servers old = *servers;

	servers->n = n < UPL_SERVERS ? n : UPL_SERVERS;
	servers->current = 0;
	servers->failed_in_a_row = 0;
	servers->probe_at = now;
	for (size_t i = 0; i < servers->n; i++) {
		servers->list[i] = list[i];
		for (size_t k = 0; k < old.n; k++) {
			if (!same_server(&old.list[k], &list[i]))
				continue;
			servers->list[i] = old.list[k];
			if (k == old.current) {
				servers->current = i;
				servers->probe_at = old.probe_at;
			}
		}
	}
}

bool
upl_servers_same(const struct upl_servers *a, const struct upl_servers *b)
{
	if (a->n != b->n || !same_server(&a->proxy, &b->proxy))
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!same_server(&a->list[i], &b->list[i]))
			return false;
	return true;
}

int
upl_servers_proxy(struct upl_servers *servers, const char *proxy)
{
	const char *scheme = strstr(proxy, "://");
	const char *host = scheme != NULL ? scheme + 3 : proxy;
	bool https = strncmp(proxy, "https://", 8) == 0;
	/* As libcurl: 1080 unless the scheme says otherwise. */
	unsigned long port = https ? 443 : 1080;
	struct upl_server found;
	const char *end, *at;

	if (proxy[0] == '\0') {
		servers->proxy = (struct upl_server){0};
		return 0;
	}
	at = strrchr(host, '@');
	host = at != NULL ? at + 1 : host;
	if (host[0] == '[') {
		host++;
		end = strchr(host, ']');
		if (end == NULL)
			return -EINVAL;
		at = end + 1;
	} else {
		end = host + strcspn(host, ":/");
		at = end;
	}
	if (at[0] == ':')
		port = strtoul(at + 1, NULL, 10);
	if (port > UINT16_MAX || upl_server_set(&found, host, (size_t)(end - host), (uint32_t)port) < 0)
		return -EINVAL;
	if (!same_server(&found, &servers->proxy))
		servers->proxy = found;
	return 0;
}

size_t
upl_servers_pick(struct upl_servers *servers, bool may_probe, struct mono_ms now)
{
	if (servers->current != 0 && may_probe && now.ms >= servers->probe_at.ms) {
		servers->probe_at.ms = now.ms + PROBE_MS;
		return 0;
	}
	return servers->current;
}

void
upl_servers_worked(struct upl_servers *servers, size_t server)
{
	servers->failed_in_a_row = 0;
	servers->current = server;
}

bool
upl_servers_failed(struct upl_servers *servers, size_t server, struct mono_ms now)
{
	if (server == 0)
		servers->probe_at.ms = now.ms + PROBE_MS;
	/* A probe, or a request from before the change: the current one is not to blame. */
	if (server != servers->current)
		return true;
	servers->failed_in_a_row++;
	servers->current = servers->n > 0 ? (server + 1) % servers->n : 0;
	if (servers->failed_in_a_row < servers->n)
		return true;
	servers->failed_in_a_row = 0;
	return false;
}

bool
upl_servers_learn(struct upl_server *server, const uint8_t *address, size_t len)
{
	if (len != 4 && len != 16)
		return false;
	for (size_t i = 0; i < server->n_addresses; i++)
		if (server->addresses[i].len == len && memcmp(server->addresses[i].bytes, address, len) == 0)
			return false;
	/* The oldest makes room. */
	if (server->n_addresses == UPL_ADDRESSES) {
		memmove(
		    &server->addresses[0], &server->addresses[1], (UPL_ADDRESSES - 1) * sizeof(server->addresses[0]));
		server->n_addresses--;
	}
	server->addresses[server->n_addresses].len = (uint8_t)len;
	memcpy(server->addresses[server->n_addresses++].bytes, address, len);
	return true;
}
