/*
 * Compiles an isolation order to a list of rules. Pure: no I/O, no clock, no global state; never knows which packet
 * filter installs the list. Called by engine.c; golden tests hold its output.
 */
#include "isolatord/ruleset.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isolatord/digest.h"

/* ICMP numbers (RFC 792, 4443, 4861, 2710, 3810): the kernel headers for them cannot be included beside each other. */
enum {
	ICMP4_UNREACHABLE = 3,
	ICMP4_FRAGMENTATION_NEEDED = 4, /* code of ICMP4_UNREACHABLE */
	ICMP6_TOO_BIG = 2,
	ICMP6_MLD_QUERY = 130,
	ICMP6_MLD_REPORT = 131,
	ICMP6_MLD_DONE = 132,
	ICMP6_ROUTER_SOLICITATION = 133,
	ICMP6_NEIGHBOUR_ADVERTISEMENT = 136,
	ICMP6_MLD2_REPORT = 143,
};

#define ND_HOP_LIMIT 255 /* RFC 4861: proves that no router forwarded the packet */
#define MLD_HOP_LIMIT 1  /* RFC 2710: never leaves the link */

/* First growth of the list: the rules of an order without exceptions fit. */
#define RULES_AT_FIRST 64u

struct build {
	struct ruleset set;
	const struct iso_order *order;
	const struct ruleset_options *options;
	uint8_t family; /* of the rules being added */
	enum rule_chain chain;
	bool failed; /* out of memory: adding goes on into `sink` */
	struct rule sink;
};

/* The next rule of the list, zeroed but for what all rules of this place share. */
static struct rule *
add(struct build *b, enum rule_verdict verdict, enum rule_why why)
{
	struct rule *r = &b->sink;

	if (!b->failed && b->set.n == b->set.capacity) {
		size_t capacity = b->set.capacity ? b->set.capacity * 2u : RULES_AT_FIRST;
		struct rule *grown = realloc(b->set.rules, capacity * sizeof(*grown));

		if (grown != NULL) {
			b->set.rules = grown;
			b->set.capacity = capacity;
		} else {
			b->failed = true;
		}
	}
	if (!b->failed)
		r = &b->set.rules[b->set.n++];
	memset(r, 0, sizeof(*r));
	r->chain = b->chain;
	r->family = b->family;
	r->verdict = verdict;
	r->why = why;
	return r;
}

static void
add_icmp(struct build *b, enum rule_why why, uint8_t type, int16_t code, uint8_t hop_limit)
{
	struct rule *r = add(b, RULE_RETURN, why);

	r->protocol = b->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	r->has_icmp = true;
	r->icmp_type = type;
	r->icmp_code = code;
	r->hop_limit = hop_limit;
}

/*
 * What IP itself needs. Path-MTU messages come in always; this host sends them only as a router, so they go out only
 * with transit: else they would be a way to send data to any host.
 */
static void
add_icmp_needs(struct build *b)
{
	if (b->chain == RULE_IN || b->order->allow_transit) {
		if (b->family == AF_INET)
			add_icmp(b, RULE_WHY_PATH_MTU, ICMP4_UNREACHABLE, ICMP4_FRAGMENTATION_NEEDED, 0);
		else
			add_icmp(b, RULE_WHY_PATH_MTU, ICMP6_TOO_BIG, RULE_ANY_CODE, 0);
	}
	if (b->family != AF_INET6)
		return;
	for (int type = ICMP6_ROUTER_SOLICITATION; type <= ICMP6_NEIGHBOUR_ADVERTISEMENT; type++)
		add_icmp(b, RULE_WHY_NEIGHBOUR, (uint8_t)type, RULE_ANY_CODE, ND_HOP_LIMIT);
	for (int type = ICMP6_MLD_QUERY; type <= ICMP6_MLD_DONE; type++)
		add_icmp(b, RULE_WHY_MULTICAST, (uint8_t)type, RULE_ANY_CODE, MLD_HOP_LIMIT);
	add_icmp(b, RULE_WHY_MULTICAST, ICMP6_MLD2_REPORT, RULE_ANY_CODE, MLD_HOP_LIMIT);
}

/* The server's address and port: out only from uplinkd's uid, in only what is no new connection. */
static void
add_uplink(struct build *b)
{
	for (size_t i = 0; i < b->order->n_uplink; i++) {
		const struct iso_endpoint *e = &b->order->uplink[i];
		struct rule *r;

		if (e->addr.family != b->family)
			continue;
		r = add(b, RULE_RETURN, RULE_WHY_UPLINK);
		r->protocol = IPPROTO_TCP;
		r->remote = e->addr;
		r->prefix = b->family == AF_INET ? 32 : 128;
		r->remote_ports = (struct iso_ports){e->port, e->port};
		if (b->chain == RULE_OUT) {
			r->has_uid = true;
			r->uid = b->options->uplink_uid;
		} else {
			r->not_syn = true;
		}
	}
}

/*
 * One exception in one chain. The chain of its direction lets everything through that it names; the chain of the
 * answers lets through what cannot open a TCP connection the other way.
 */
static void
add_exception(struct build *b, const struct iso_exception *e, enum rule_why why)
{
	enum rule_chain way = e->direction == ISO_INBOUND ? RULE_IN : RULE_OUT;
	bool answers = e->direction != ISO_BOTH && b->chain != way;
	struct rule *r;

	if (e->addr.family != 0 && e->addr.family != b->family)
		return;
	r = add(b, RULE_RETURN, why);
	r->protocol = e->protocol;
	r->remote = e->addr;
	r->prefix = e->prefix;
	r->local_ports = e->local;
	r->remote_ports = e->remote;
	if (!answers)
		return;
	if (e->protocol == IPPROTO_TCP) {
		r->not_syn = true;
	} else if (e->protocol == 0) {
		struct rule *tcp;

		r->protocol = IPPROTO_TCP;
		r->protocol_not = true;
		tcp = add(b, RULE_RETURN, why);
		tcp->protocol = IPPROTO_TCP;
		tcp->not_syn = true;
		tcp->remote = e->addr;
		tcp->prefix = e->prefix;
	}
}

static void
add_host_chain(struct build *b, enum rule_chain chain)
{
	b->chain = chain;
	add(b, RULE_RETURN, RULE_WHY_LOOPBACK)->loopback = true;
	add_icmp_needs(b);
	add_uplink(b);
	for (size_t i = 0; i < b->options->n_management; i++)
		add_exception(b, &b->options->management[i], RULE_WHY_MANAGEMENT);
	for (size_t i = 0; i < b->order->n_exceptions; i++)
		add_exception(b, &b->order->exceptions[i], RULE_WHY_EXCEPTION);
	if (chain == RULE_OUT) {
		add(b, RULE_REJECT_RESET, RULE_WHY_REST)->protocol = IPPROTO_TCP;
		add(b, RULE_REJECT_ADMIN, RULE_WHY_REST);
	} else {
		add(b, RULE_DROP, RULE_WHY_REST);
	}
}

/* Exceptions are this host's, not those of the machines behind it: transit passes whole or not at all. */
static void
add_forward_chain(struct build *b)
{
	b->chain = RULE_FORWARD;
	if (b->order->allow_transit)
		add(b, RULE_RETURN, RULE_WHY_TRANSIT);
	else
		add(b, RULE_DROP, RULE_WHY_REST);
}

/* By field: the padding of a struct has no defined value. */
static uint64_t
rule_digest(uint64_t digest, const struct rule *r)
{
	const uint32_t fields[] = {
	    (uint32_t)r->chain << 24 | (uint32_t)r->verdict << 16 | (uint32_t)r->why << 8 | r->family,
	    (uint32_t)r->protocol << 24 | (uint32_t)r->icmp_type << 16 | (uint32_t)(uint16_t)r->icmp_code,
	    (uint32_t)r->hop_limit << 24 | (uint32_t)r->prefix << 16 | (uint32_t)r->remote.family << 8 |
		(uint32_t)(r->protocol_not | r->loopback << 1 | r->not_syn << 2 | r->has_uid << 3 | r->has_icmp << 4),
	    (uint32_t)r->local_ports.first << 16 | r->local_ports.last,
	    (uint32_t)r->remote_ports.first << 16 | r->remote_ports.last,
	    r->uid,
	};

	digest = digest_add(digest, fields, sizeof(fields));
	return digest_add(digest, r->remote.bytes, sizeof(r->remote.bytes));
}

int
ruleset_build(const struct iso_order *order, const struct ruleset_options *options, struct ruleset *ret)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct build b = {.order = order, .options = options};

	for (size_t i = 0; i < sizeof(families); i++) {
		b.family = families[i];
		add_host_chain(&b, RULE_IN);
		add_host_chain(&b, RULE_OUT);
		add_forward_chain(&b);
	}
	if (b.failed) {
		free(b.set.rules);
		return -ENOMEM;
	}
	b.set.generation = DIGEST_START;
	for (size_t i = 0; i < b.set.n; i++)
		b.set.generation = rule_digest(b.set.generation, &b.set.rules[i]);
	*ret = b.set;
	return 0;
}

void
ruleset_done(struct ruleset *ruleset)
{
	free(ruleset->rules);
	memset(ruleset, 0, sizeof(*ruleset));
}

enum rule_verdict
ruleset_drop_only(enum rule_verdict verdict)
{
	return verdict == RULE_RETURN ? RULE_RETURN : RULE_DROP;
}

static bool
ports_hold(struct iso_ports ports, uint16_t port)
{
	return ports.last == 0 || (port >= ports.first && port <= ports.last);
}

static bool
rule_matches_out(const struct rule *r, const struct ruleset_flow *flow)
{
	if (r->chain != RULE_OUT || r->family != flow->remote.family || r->loopback || r->has_icmp || r->hop_limit != 0)
		return false;
	if (r->protocol != 0 && (r->protocol == flow->protocol) == r->protocol_not)
		return false;
	if (r->has_uid && r->uid != flow->uid)
		return false;
	if (!ports_hold(r->local_ports, flow->local_port) || !ports_hold(r->remote_ports, flow->remote_port))
		return false;
	return r->remote.family == 0 || iso_addr_in(&flow->remote, &r->remote, r->prefix);
}

bool
ruleset_permits(const struct ruleset *ruleset, const struct ruleset_flow *flow)
{
	for (size_t i = 0; i < ruleset->n; i++) {
		if (rule_matches_out(&ruleset->rules[i], flow))
			return ruleset->rules[i].verdict == RULE_RETURN;
	}
	return false;
}

/* ---- text ---- */

struct text {
	char *buf;
	size_t size, len;
};

__attribute__((format(printf, 2, 3))) static void
put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len = t->len + (size_t)n < t->size ? t->len + (size_t)n : t->size - 1;
}

static const char *
chain_name(enum rule_chain chain)
{
	switch (chain) {
	case RULE_IN:
		return "in";
	case RULE_OUT:
		return "out";
	case RULE_FORWARD:
		return "forward";
	case RULE_CHAIN_UNSET:
		break;
	}
	return "?";
}

static const char *
verdict_name(enum rule_verdict verdict)
{
	switch (verdict) {
	case RULE_RETURN:
		return "return";
	case RULE_DROP:
		return "drop";
	case RULE_REJECT_RESET:
		return "reset";
	case RULE_REJECT_ADMIN:
		return "reject";
	case RULE_VERDICT_UNSET:
		break;
	}
	return "?";
}

static const char *
why_name(enum rule_why why)
{
	switch (why) {
	case RULE_WHY_LOOPBACK:
		return "loopback";
	case RULE_WHY_PATH_MTU:
		return "path-mtu";
	case RULE_WHY_NEIGHBOUR:
		return "neighbour";
	case RULE_WHY_MULTICAST:
		return "multicast";
	case RULE_WHY_UPLINK:
		return "uplink";
	case RULE_WHY_MANAGEMENT:
		return "management";
	case RULE_WHY_EXCEPTION:
		return "exception";
	case RULE_WHY_TRANSIT:
		return "transit";
	case RULE_WHY_REST:
		return "rest";
	case RULE_WHY_UNSET:
		break;
	}
	return "?";
}

static void
put_ports(struct text *t, const char *name, struct iso_ports ports)
{
	if (ports.last == 0)
		return;
	put(t, " %s=%u", name, ports.first);
	if (ports.last != ports.first)
		put(t, "-%u", ports.last);
}

const char *
rule_format(const struct rule *rule, char *buf, size_t size)
{
	struct text t = {buf, size, 0};
	char addr[INET6_ADDRSTRLEN];

	put(&t, "%s %s %s %s", chain_name(rule->chain), rule->family == AF_INET ? "v4" : "v6",
	    verdict_name(rule->verdict), why_name(rule->why));
	if (rule->protocol != 0)
		put(&t, " proto%s=%u", rule->protocol_not ? "!" : "", rule->protocol);
	if (rule->loopback)
		put(&t, " interface=lo");
	if (rule->has_icmp)
		put(&t, " icmp=%u", rule->icmp_type);
	if (rule->has_icmp && rule->icmp_code != RULE_ANY_CODE)
		put(&t, "/%d", rule->icmp_code);
	if (rule->hop_limit != 0)
		put(&t, " hop_limit=%u", rule->hop_limit);
	if (rule->remote.family != 0 && inet_ntop(rule->remote.family, rule->remote.bytes, addr, sizeof(addr)) != NULL)
		put(&t, " remote=%s/%u", addr, rule->prefix);
	put_ports(&t, "local_ports", rule->local_ports);
	put_ports(&t, "remote_ports", rule->remote_ports);
	if (rule->not_syn)
		put(&t, " not_syn");
	if (rule->has_uid)
		put(&t, " uid=%u", rule->uid);
	return buf;
}
