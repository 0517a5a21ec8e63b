/* agentd's UplinkConfig: checked as a whole, copied, compared with the one before. Never sends anything. Called by
 * peers.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/pb.h"
#include "uplink.pb-c.h"
#include "uplinkd/uplinkd.h"

/* What a value out of range is brought to, instead of refusing the whole: agentd has checked them against its own
 * table. */
static uint64_t
seconds(uint32_t value, uint32_t low, uint32_t high)
{
	uint32_t s = value < low ? low : value > high ? high : value;

	return (uint64_t)s * 1000u;
}

static int
take_servers(const Picket__V1__UplinkConfig *msg, struct upl_server *list, size_t *ret_n)
{
	if (msg->n_servers > UPL_SERVERS)
		return -EINVAL;
	for (size_t i = 0; i < msg->n_servers; i++)
		if (upl_server_set(&list[i], (const char *)msg->servers[i]->host.data, msg->servers[i]->host.len,
			msg->servers[i]->port) < 0)
			return -EINVAL;
	*ret_n = msg->n_servers;
	return 0;
}

int
upl_settings_take(struct uplinkd *u, const Picket__V1__UplinkConfig *msg, const char **ret_why)
{
	struct upl_settings next = {
	    .known = true,
	    .enabled = msg->enabled,
	    .telemetry = msg->enable_telemetry,
	    .client_certificate = msg->client_certificate,
	    .sync_period_ms = seconds(msg->sync_period_s, 1, 3600),
	    .connect_timeout_ms = seconds(msg->connection_timeout_s, 1, 3600),
	    .request_timeout_ms = seconds(msg->request_timeout_s, 1, 3600),
	    .transfer_ms = seconds(msg->maximum_data_transfer_time_s, 0, 3600),
	    .package_events =
		msg->maximum_number_of_events_in_package > 0 ? msg->maximum_number_of_events_in_package : 1,
	    .agent_state_len = msg->agent_state.len,
	};
	struct upl_server list[UPL_SERVERS];
	size_t n;

	*ret_why = "servers";
	if (take_servers(msg, list, &n) < 0)
		return -EINVAL;
	*ret_why = "agent id";
	if (pb_to_str(msg->agent_id, next.agent_id, sizeof(next.agent_id)) < 0 || next.agent_id[0] == '\0')
		return -EINVAL;
	*ret_why = "proxy";
	if (pb_to_str(msg->proxy, next.proxy, sizeof(next.proxy)) < 0 || upl_servers_proxy(&u->servers, next.proxy) < 0)
		return -EINVAL;
	*ret_why = "memory";
	next.agent_state = malloc(next.agent_state_len + 1);
	if (next.agent_state == NULL)
		return -ENOMEM;
	if (next.agent_state_len > 0)
		memcpy(next.agent_state, msg->agent_state.data, next.agent_state_len);
	upl_servers_replace(&u->servers, list, n, mono_now());
	upl_settings_done(&u->settings);
	u->settings = next;
	explicit_bzero(next.proxy, sizeof(next.proxy));
	return 0;
}

void
upl_settings_done(struct upl_settings *settings)
{
	free(settings->agent_state);
	explicit_bzero(settings, sizeof(*settings));
}
