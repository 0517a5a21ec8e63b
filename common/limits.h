/*
 * Every cap and time-out that more than one file knows: value, unit, reason.
 * A limit that only one file knows stands at the top of that file.
 */
#ifndef PICKET_COMMON_LIMITS_H
#define PICKET_COMMON_LIMITS_H

#define KIB(n) ((size_t)(n)*1024u)
#define MIB(n) ((size_t)(n)*1024u * 1024u)

/*
 * Bytes of arguments kept of one execve. The kernel's cap for one argument is 131,072 (MAX_ARG_STRLEN) and must fit
 * whole with others beside it; the whole event must fit LIM_IPC_RECORD_BYTES. Beyond it args_truncated is set.
 */
#define LIM_EVENT_ARGS_BYTES KIB(144)

/* Bytes of one encoded Event: the arguments, two paths of PATH_MAX (4,096) and the fixed fields. */
#define LIM_EVENT_BYTES KIB(160)

/*
 * Bytes of payload of one IPC record: one event of the largest size and its frame. Below the 212,960 bytes that a
 * SOCK_SEQPACKET record can hold with the default send buffer of Linux (net.core.wmem_default).
 */
#define LIM_IPC_RECORD_BYTES KIB(192)

/* Bytes at which collectord closes a batch: a third of the send buffer, so that two batches can be under way. */
#define LIM_BATCH_BYTES KIB(64)

/* Events at which collectord closes a batch: uplinkd's group commit covers as many (DESIGN: 256 events or 100 ms). */
#define LIM_BATCH_EVENTS 256u

/* Bytes of a command id or an origin's id: a UUID with a prefix fits. */
#define LIM_ID_BYTES 64u

/* Exceptions in an isolation order. */
#define LIM_ISOLATION_EXCEPTIONS 10000u

/* Uplink endpoints in an isolation order: eight servers or proxies with eight addresses each. */
#define LIM_ISOLATION_ENDPOINTS 64u

/* Seconds of an isolation: 9,999 hours, the longest that the reference accepts. */
#define LIM_ISOLATION_S (9999u * 3600u)

#endif
