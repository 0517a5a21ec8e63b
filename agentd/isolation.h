/* What agentd knows about isolating the host, apart from the link to isolatord: checks, the uplink's addresses, the
 * order in force. No I/O. */
#ifndef PICKET_AGENTD_ISOLATION_H
#define PICKET_AGENTD_ISOLATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"
#include "isolation.pb-c.h"
#include "uplink.pb-c.h"

struct agt_endpoint {
	uint8_t address[16];
	uint8_t len; /* 4 or 16 */
	uint16_t port;
};

struct agt_endpoints {
	struct agt_endpoint at[LIM_ISOLATION_ENDPOINTS];
	size_t n;
};

/*
 * agt_exceptions_check - what isolatord would refuse, refused before it is asked.
 * @err: the number of the exception, from 1, and what is wrong.
 * Returns 0 or -EINVAL.
 */
int agt_exceptions_check(Picket__V1__IsolationException *const *exceptions, size_t n, char *err, size_t err_size);

/* agt_endpoints_read - from a message. Returns 0, or -EINVAL (nothing changed) when an address or port is none, or
 * there are too many. */
int agt_endpoints_read(struct agt_endpoints *endpoints, Picket__V1__IsolationEndpoint *const *list, size_t n);

/*
 * agt_endpoints_join - put those of `more` that are missing in front; what does not fit falls off the end, the oldest
 * first. Returns whether anything was missing.
 */
bool agt_endpoints_join(struct agt_endpoints *endpoints, const struct agt_endpoints *more);

/* A view of endpoints as protobuf wants them: valid as long as both are. */
struct agt_endpoints_view {
	Picket__V1__IsolationEndpoint row[LIM_ISOLATION_ENDPOINTS];
	Picket__V1__IsolationEndpoint *ptr[LIM_ISOLATION_ENDPOINTS];
};
void agt_endpoints_view(const struct agt_endpoints *endpoints, struct agt_endpoints_view *view);

/*
 * agt_remaining_s - seconds from now until `until_ms` (wall clock), rounded up; at least 1.
 * For sending an order again: isolatord counts anew from the moment it persists it.
 */
uint64_t agt_remaining_s(uint64_t until_ms, uint64_t now_ms);

#endif
