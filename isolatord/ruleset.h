/*
 * From an order to packet-filter rules that belong to no packet filter: the list that every backend installs, that
 * --dry-run prints and that decides which live sockets survive the cut.
 *
 * Isolation only ever takes away: an exception RETURNs to the administrator's own rules, it never accepts. No rule
 * looks at connection tracking, so switching isolation on does not change the fate of packets that it lets through.
 */
#ifndef PICKET_ISOLATORD_RULESET_H
#define PICKET_ISOLATORD_RULESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "isolatord/order.h"

enum rule_chain { RULE_CHAIN_UNSET, RULE_IN, RULE_OUT, RULE_FORWARD };

enum rule_verdict {
	RULE_VERDICT_UNSET,
	RULE_RETURN,       /* to the host's own rules */
	RULE_DROP,         /* silently */
	RULE_REJECT_RESET, /* local programs get ECONNREFUSED or ECONNRESET at once instead of waiting */
	RULE_REJECT_ADMIN, /* ICMP "administratively prohibited": local programs get an error at once */
};

/* Why a rule is there: shown to administrators, and the unit of the counters per rule. */
enum rule_why {
	RULE_WHY_UNSET,
	RULE_WHY_LOOPBACK,
	RULE_WHY_PATH_MTU,
	RULE_WHY_NEIGHBOUR, /* IPv6 neighbour discovery */
	RULE_WHY_MULTICAST, /* IPv6 multicast listener discovery: without it, switches stop forwarding neighbour
			       discovery */
	RULE_WHY_UPLINK,
	RULE_WHY_MANAGEMENT,
	RULE_WHY_EXCEPTION,
	RULE_WHY_TRANSIT,
	RULE_WHY_REST,
};

#define RULE_ANY_CODE (-1)

/* A packet matches when every condition that is set holds. A zeroed condition is not set. */
struct rule {
	enum rule_chain chain;
	enum rule_verdict verdict;
	enum rule_why why;
	uint8_t family; /* AF_INET or AF_INET6, always set */
	uint8_t protocol;
	bool protocol_not; /* any protocol but `protocol` */
	bool loopback;     /* comes in by, or goes out by, the loopback interface */
	bool not_syn;      /* TCP: not the first packet of a connection */
	bool has_uid;      /* OUT: sent by a socket that this uid opened */
	bool has_icmp;
	uint8_t icmp_type;
	int16_t icmp_code; /* RULE_ANY_CODE */
	uint8_t hop_limit; /* IPv6 */
	uint8_t prefix;
	struct iso_addr remote; /* the other host: source of IN, destination of OUT; family 0: any */
	struct iso_ports local_ports, remote_ports;
	uid_t uid;
};

struct ruleset {
	struct rule *rules; /* grouped by family, then chain */
	size_t n, capacity;
	uint64_t generation; /* digest of the rules: equal lists have equal generations, across restarts and hosts */
};

/* What the host's configuration adds to an order. */
struct ruleset_options {
	uid_t uplink_uid;
	const struct iso_exception *management; /* borrowed during ruleset_build() */
	size_t n_management;
};

/*
 * ruleset_build - the rules of an order that is on.
 * @ret: on success owned by the caller, released with ruleset_done(); untouched on failure.
 * Returns 0 or -ENOMEM.
 */
int ruleset_build(const struct iso_order *order, const struct ruleset_options *options, struct ruleset *ret);

void ruleset_done(struct ruleset *ruleset);

/*
 * ruleset_drop_only - the verdict for a second copy of the rules in a place that cannot reject (iptables: table
 * security).
 */
enum rule_verdict ruleset_drop_only(enum rule_verdict verdict);

/* One packet of a connection under way, seen from this host. */
struct ruleset_flow {
	uint8_t protocol;
	struct iso_addr remote;
	uint16_t local_port, remote_port;
	uid_t uid;
};

/*
 * ruleset_permits - would a packet that this host sends on the flow get past the rules?
 * Looks at OUT only: a flow whose answers cannot get in dies of silence, one that cannot send dies now.
 */
bool ruleset_permits(const struct ruleset *ruleset, const struct ruleset_flow *flow);

/*
 * rule_format - one rule as text, e.g. "out v4 return uplink proto=6 remote=192.0.2.1/32 remote_ports=443 uid=60582".
 * Returns buf, always terminated.
 */
const char *rule_format(const struct rule *rule, char *buf, size_t size);

#endif
