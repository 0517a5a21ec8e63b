/* Checks and address lists for isolating: see isolation.h. Called by isolate.c; decides nothing and sends nothing. */
#include "agentd/isolation.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define PORT_MAX 65535u
#define PROTOCOL_MAX 255u

static bool
has_ports(uint32_t first, uint32_t last)
{
	return first != 0 || last != 0;
}

/* What is wrong with one, or NULL. The rules stand in isolation.proto. */
static const char *
exception_fault(const Picket__V1__IsolationException *e)
{
	bool local = has_ports(e->local_port_first, e->local_port_last);
	bool remote = has_ports(e->remote_port_first, e->remote_port_last);

	if (e->direction == PICKET__V1__DIRECTION__DIRECTION_UNSPECIFIED)
		return "the direction is missing: inbound, outbound or both";
	if (e->protocol > PROTOCOL_MAX)
		return "the protocol is not 0 to 255";
	if (e->address.len != 0 && e->address.len != 4 && e->address.len != 16)
		return "the address is neither IPv4 nor IPv6";
	if (e->prefix_length > 8 * e->address.len)
		return "the prefix is longer than the address";
	if (local && e->direction != PICKET__V1__DIRECTION__DIRECTION_INBOUND)
		return "local ports go only with direction inbound";
	if (remote && e->direction != PICKET__V1__DIRECTION__DIRECTION_OUTBOUND)
		return "remote ports go only with direction outbound";
	if ((local || remote) && e->protocol != IPPROTO_TCP && e->protocol != IPPROTO_UDP)
		return "ports need the protocol TCP (6) or UDP (17)";
	if (local &&
	    (e->local_port_first == 0 || e->local_port_first > e->local_port_last || e->local_port_last > PORT_MAX))
		return "the local ports are not a range within 1 to 65535";
	if (remote &&
	    (e->remote_port_first == 0 || e->remote_port_first > e->remote_port_last || e->remote_port_last > PORT_MAX))
		return "the remote ports are not a range within 1 to 65535";
	return NULL;
}

int
agt_exceptions_check(Picket__V1__IsolationException *const *exceptions, size_t n, char *err, size_t err_size)
{
	if (n > LIM_ISOLATION_EXCEPTIONS) {
		(void)snprintf(err, err_size, "%zu exceptions: at most %u", n, LIM_ISOLATION_EXCEPTIONS);
		return -EINVAL;
	}
	for (size_t i = 0; i < n; i++) {
		const char *fault = exception_fault(exceptions[i]);

		if (fault != NULL) {
			(void)snprintf(err, err_size, "exception %zu: %s", i + 1, fault);
			return -EINVAL;
		}
	}
	return 0;
}

int
agt_endpoints_read(struct agt_endpoints *endpoints, Picket__V1__IsolationEndpoint *const *list, size_t n)
{
	struct agt_endpoints next = {.n = n};

	if (n > LIM_ISOLATION_ENDPOINTS)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if ((list[i]->address.len != 4 && list[i]->address.len != 16) || list[i]->port == 0 ||
		    list[i]->port > PORT_MAX)
			return -EINVAL;
		memcpy(next.at[i].address, list[i]->address.data, list[i]->address.len);
		next.at[i].len = (uint8_t)list[i]->address.len;
		next.at[i].port = (uint16_t)list[i]->port;
	}
	*endpoints = next;
	return 0;
}

static bool
has_endpoint(const struct agt_endpoints *endpoints, const struct agt_endpoint *e)
{
	for (size_t i = 0; i < endpoints->n; i++) {
		const struct agt_endpoint *at = &endpoints->at[i];

		if (at->len == e->len && at->port == e->port && memcmp(at->address, e->address, e->len) == 0)
			return true;
	}
	return false;
}

bool
agt_endpoints_join(struct agt_endpoints *endpoints, const struct agt_endpoints *more)
{
	struct agt_endpoints joined = {.n = 0};

	for (size_t i = 0; i < more->n; i++)
		if (!has_endpoint(endpoints, &more->at[i]) && !has_endpoint(&joined, &more->at[i]))
			joined.at[joined.n++] = more->at[i];
	if (joined.n == 0)
		return false;
	for (size_t i = 0; i < endpoints->n && joined.n < LIM_ISOLATION_ENDPOINTS; i++)
		joined.at[joined.n++] = endpoints->at[i];
	*endpoints = joined;
	return true;
}

void
agt_endpoints_view(const struct agt_endpoints *endpoints, struct agt_endpoints_view *view)
{
	for (size_t i = 0; i < endpoints->n; i++) {
		picket__v1__isolation_endpoint__init(&view->row[i]);
		view->row[i].address.data = (uint8_t *)(uintptr_t)endpoints->at[i].address;
		view->row[i].address.len = endpoints->at[i].len;
		view->row[i].port = endpoints->at[i].port;
		view->ptr[i] = &view->row[i];
	}
}

uint64_t
agt_remaining_s(uint64_t until_ms, uint64_t now_ms)
{
	if (until_ms <= now_ms)
		return 1;
	return (until_ms - now_ms + 999) / 1000;
}
