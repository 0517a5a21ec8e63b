/* The keys of [collectord] and the names of its counters. Called by main.c, peers.c. */
#include <stddef.h>

#include "collectord/collectord.h"

#define KEY(name, type, field, fallback, low, high, help)                                                              \
	{                                                                                                              \
		"collectord", name, type, offsetof(struct col_conf, field), fallback, low, high, NULL, help            \
	}

const struct conf_key col_conf_keys[] = {
    /* clang-format off */
	DAEMON_CONF_KEYS,
	KEY("BacklogLimit", CONF_U64, backlog_limit, "8192", 64, 1048576,
	    "Records the kernel queues for collectord while it is open. The kernel's default of 64 overflows."),
	KEY("BacklogWaitTime", CONF_MS, backlog_wait_ms, "500ms", 0, 60000,
	    "How long an audited process waits for room in that queue before its record is dropped and counted. 0: never waits."),
	KEY("ReceiveBuffer", CONF_BYTES, receive_buffer_bytes, "32MiB", 65536, 1073741824,
	    "Socket buffer: what the kernel can deliver while collectord is being restarted."),
	KEY("QueueSize", CONF_BYTES, queue_bytes, "16MiB", 1048576, 1073741824,
	    "Events kept in memory until uplinkd has them on disk. Beyond it new events are dropped and counted."),
	KEY("BatchDelay", CONF_MS, batch_delay_ms, "50ms", 1, 10000, "Longest time an event waits for others before it is handed to uplinkd."),
	KEY("UnixSockets", CONF_BOOL, unix_sockets, "no", 0, 0, "Report connections and listeners of Unix sockets too."),
	{.key = NULL},
    /* clang-format on */
};

#define ROW(field) STATS_NAME(struct col_counters, field)

const struct stats_name col_counter_names[] = {
    ROW(records),
    ROW(malformed),
    ROW(malformed_no_type),
    ROW(malformed_no_stamp),
    ROW(malformed_too_long),
    ROW(audit_events),
    ROW(unended),
    ROW(incomplete),
    ROW(ignored),
    ROW(excluded),
    ROW(events),
    ROW(losses),
    ROW(lost_kernel),
    ROW(lost_serial),
    ROW(lost_restart),
    ROW(enobufs),
    ROW(serials_late),
    ROW(takeovers),
    ROW(sent),
    ROW(queue_dropped),
    ROW(not_sent),
    ROW(queued),
    ROW(queued_bytes),
    ROW(acked),
    ROW(batches_sent),
    ROW(tail_events),
    ROW(tail_skipped),
    ROW(rules_loaded),
    ROW(backlog),
    ROW(backlog_limit),
    {.name = NULL},
};
