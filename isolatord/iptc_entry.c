/*
 * Builds and compares raw iptables entries. Never talks to the kernel. Called by iptc.c.
 *
 * An entry is a header (addresses, protocol, interface), matches and one target, each a multiple of XT_ALIGN(1) long.
 * All of it starts as zero: the kernel compares what it is given and hands back only what it knows.
 */
#include "isolatord/iptc_entry.h"

#include <libiptc/libip6tc.h>
#include <libiptc/libiptc.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_owner.h>
#include <linux/netfilter_ipv4/ipt_REJECT.h>
#include <linux/netfilter_ipv6/ip6t_REJECT.h>
#include <linux/netfilter_ipv6/ip6t_hl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

/* Flags that tell the first packet of a TCP connection: SYN alone of these four. */
#define TCP_FLAGS_LOOKED_AT (TH_SYN | TH_RST | TH_ACK | TH_FIN)

#define LOOPBACK_NAME "lo"

/* Bytes of struct ip6t_ip6 without the padding at its end. */
#define IP6_HEADER_BYTES (offsetof(struct ip6t_ip6, invflags) + sizeof(((struct ip6t_ip6 *)0)->invflags))

static struct ipt_entry *
v4_of(struct iptc_entry *e)
{
	return (struct ipt_entry *)(void *)e->bytes;
}

static struct ip6t_entry *
v6_of(struct iptc_entry *e)
{
	return (struct ip6t_entry *)(void *)e->bytes;
}

/* `len` more zeroed bytes; the callers stay within IPTC_ENTRY_BYTES by construction, a miscount is a bug. */
static void *
extend(struct iptc_entry *e, size_t len)
{
	void *at = e->bytes + e->len;

	if (len > sizeof(e->bytes) - e->len)
		abort();
	e->len += len;
	return at;
}

static void
start(struct iptc_entry *e, uint8_t family)
{
	memset(e, 0, sizeof(*e));
	e->family = family;
	(void)extend(e, family == AF_INET ? sizeof(struct ipt_entry) : sizeof(struct ip6t_entry));
}

/* Returns the match's own data. */
static void *
add_match(struct iptc_entry *e, const char *name, uint8_t revision, size_t size)
{
	size_t len = XT_ALIGN(sizeof(struct xt_entry_match) + size);
	struct xt_entry_match *m = extend(e, len);

	m->u.user.match_size = (uint16_t)len;
	m->u.user.revision = revision;
	strncpy(m->u.user.name, name, sizeof(m->u.user.name) - 1);
	return m->data;
}

/* The last part. Returns the target's own data. */
static void *
add_target(struct iptc_entry *e, const char *name, size_t size)
{
	size_t at = e->len;
	size_t len = XT_ALIGN(sizeof(struct xt_entry_target) + size);
	struct xt_entry_target *t = extend(e, len);

	t->u.user.target_size = (uint16_t)len;
	strncpy(t->u.user.name, name, sizeof(t->u.user.name) - 1);
	if (e->family == AF_INET) {
		v4_of(e)->target_offset = (uint16_t)at;
		v4_of(e)->next_offset = (uint16_t)e->len;
	} else {
		v6_of(e)->target_offset = (uint16_t)at;
		v6_of(e)->next_offset = (uint16_t)e->len;
	}
	return t->data;
}

/* RETURN, DROP or a chain: libiptc turns the name into a verdict. */
static void
add_standard_target(struct iptc_entry *e, const char *name)
{
	(void)add_target(e, name, sizeof(struct xt_standard_target) - sizeof(struct xt_entry_target));
}

static void
add_comment(struct iptc_entry *e, const char *comment)
{
	struct xt_comment_info *info;

	if (comment == NULL)
		return;
	info = add_match(e, "comment", 0, sizeof(*info));
	strncpy(info->comment, comment, sizeof(info->comment) - 1);
}

static void
prefix_mask(uint8_t *mask, size_t size, uint8_t prefix)
{
	for (size_t i = 0; i < size; i++) {
		size_t bits = prefix > i * 8u ? prefix - i * 8u : 0;

		mask[i] = bits >= 8 ? 0xff : (uint8_t)(0xff00u >> bits);
	}
}

/* Source of what comes in, destination of what goes out. */
static void
header_v4(struct ipt_ip *ip, const struct rule *rule)
{
	struct in_addr *addr = rule->chain == RULE_OUT ? &ip->dst : &ip->src;
	struct in_addr *mask = rule->chain == RULE_OUT ? &ip->dmsk : &ip->smsk;

	if (rule->remote.family != 0) {
		memcpy(addr, rule->remote.bytes, sizeof(*addr));
		prefix_mask((uint8_t *)mask, sizeof(*mask), rule->prefix);
	}
	ip->proto = rule->protocol;
	ip->invflags = rule->protocol_not ? IPT_INV_PROTO : 0;
	if (rule->loopback) {
		memcpy(rule->chain == RULE_OUT ? ip->outiface : ip->iniface, LOOPBACK_NAME, sizeof(LOOPBACK_NAME));
		memset(rule->chain == RULE_OUT ? ip->outiface_mask : ip->iniface_mask, 0xff, sizeof(LOOPBACK_NAME));
	}
}

static void
header_v6(struct ip6t_ip6 *ip, const struct rule *rule)
{
	struct in6_addr *addr = rule->chain == RULE_OUT ? &ip->dst : &ip->src;
	struct in6_addr *mask = rule->chain == RULE_OUT ? &ip->dmsk : &ip->smsk;

	if (rule->remote.family != 0) {
		memcpy(addr, rule->remote.bytes, sizeof(*addr));
		prefix_mask((uint8_t *)mask, sizeof(*mask), rule->prefix);
	}
	ip->proto = rule->protocol;
	ip->flags = rule->protocol != 0 ? IP6T_F_PROTO : 0; /* without it the kernel does not look at proto */
	ip->invflags = rule->protocol_not ? IP6T_INV_PROTO : 0;
	if (rule->loopback) {
		memcpy(rule->chain == RULE_OUT ? ip->outiface : ip->iniface, LOOPBACK_NAME, sizeof(LOOPBACK_NAME));
		memset(rule->chain == RULE_OUT ? ip->outiface_mask : ip->iniface_mask, 0xff, sizeof(LOOPBACK_NAME));
	}
}

static void
set_ports(uint16_t *ret_range, struct iso_ports ports)
{
	ret_range[0] = ports.first;
	ret_range[1] = ports.last == 0 ? UINT16_MAX : ports.last;
}

static void
add_port_match(struct iptc_entry *e, const struct rule *rule)
{
	bool out = rule->chain == RULE_OUT;
	struct iso_ports source = out ? rule->local_ports : rule->remote_ports;
	struct iso_ports destination = out ? rule->remote_ports : rule->local_ports;

	if (source.last == 0 && destination.last == 0 && !rule->not_syn)
		return;
	if (rule->protocol == IPPROTO_TCP) {
		struct xt_tcp *tcp = add_match(e, "tcp", 0, sizeof(*tcp));

		set_ports(tcp->spts, source);
		set_ports(tcp->dpts, destination);
		if (rule->not_syn) {
			tcp->flg_mask = TCP_FLAGS_LOOKED_AT;
			tcp->flg_cmp = TH_SYN;
			tcp->invflags = XT_TCP_INV_FLAGS;
		}
	} else {
		struct xt_udp *udp = add_match(e, "udp", 0, sizeof(*udp));

		set_ports(udp->spts, source);
		set_ports(udp->dpts, destination);
	}
}

static void
set_icmp_codes(uint8_t *ret_range, int16_t code)
{
	ret_range[0] = code == RULE_ANY_CODE ? 0 : (uint8_t)code;
	ret_range[1] = code == RULE_ANY_CODE ? UINT8_MAX : (uint8_t)code;
}

static void
add_icmp_match(struct iptc_entry *e, const struct rule *rule)
{
	if (!rule->has_icmp)
		return;
	if (rule->family == AF_INET) {
		struct ipt_icmp *icmp = add_match(e, "icmp", 0, sizeof(*icmp));

		icmp->type = rule->icmp_type;
		set_icmp_codes(icmp->code, rule->icmp_code);
	} else {
		struct ip6t_icmp *icmp = add_match(e, "icmp6", 0, sizeof(*icmp));

		icmp->type = rule->icmp_type;
		set_icmp_codes(icmp->code, rule->icmp_code);
	}
}

static void
add_other_matches(struct iptc_entry *e, const struct rule *rule)
{
	if (rule->hop_limit != 0) {
		struct ip6t_hl_info *hl = add_match(e, "hl", 0, sizeof(*hl));

		hl->mode = IP6T_HL_EQ;
		hl->hop_limit = rule->hop_limit;
	}
	if (rule->has_uid) {
		struct xt_owner_match_info *owner = add_match(e, "owner", 1, sizeof(*owner));

		owner->uid_min = rule->uid;
		owner->uid_max = rule->uid;
		owner->match = XT_OWNER_UID;
	}
}

static void
add_verdict(struct iptc_entry *e, enum rule_verdict verdict)
{
	bool reset = verdict == RULE_REJECT_RESET;

	switch (verdict) {
	case RULE_RETURN:
		add_standard_target(e, "RETURN");
		return;
	case RULE_REJECT_RESET:
	case RULE_REJECT_ADMIN:
		if (e->family == AF_INET) {
			struct ipt_reject_info *info = add_target(e, "REJECT", sizeof(*info));

			info->with = reset ? IPT_TCP_RESET : IPT_ICMP_ADMIN_PROHIBITED;
		} else {
			struct ip6t_reject_info *info = add_target(e, "REJECT", sizeof(*info));

			info->with = reset ? IP6T_TCP_RESET : IP6T_ICMP6_ADM_PROHIBITED;
		}
		return;
	case RULE_DROP:
	case RULE_VERDICT_UNSET:
		add_standard_target(e, "DROP");
		return;
	}
}

void
iptc_entry_rule(struct iptc_entry *e, const struct rule *rule, enum rule_verdict verdict, const char *comment)
{
	start(e, rule->family);
	if (rule->family == AF_INET)
		header_v4(&v4_of(e)->ip, rule);
	else
		header_v6(&v6_of(e)->ipv6, rule);
	add_port_match(e, rule);
	add_icmp_match(e, rule);
	add_other_matches(e, rule);
	add_comment(e, comment);
	add_verdict(e, verdict);
}

void
iptc_entry_jump(struct iptc_entry *e, uint8_t family, const char *chain, const char *comment)
{
	start(e, family);
	add_comment(e, comment);
	add_standard_target(e, chain);
}

/* Names are compared as strings: what the kernel leaves behind their end is undefined. */
static bool
matches_equal(const uint8_t *want, const uint8_t *have, size_t from, size_t to)
{
	for (size_t at = from; at < to;) {
		const struct xt_entry_match *w = (const void *)(want + at);
		const struct xt_entry_match *h = (const void *)(have + at);

		if (w->u.user.match_size != h->u.user.match_size || w->u.user.revision != h->u.user.revision ||
		    strncmp(w->u.user.name, h->u.user.name, sizeof(w->u.user.name)) != 0 ||
		    memcmp(w->data, h->data, w->u.user.match_size - sizeof(*w)) != 0)
			return false;
		at += w->u.user.match_size;
	}
	return true;
}

bool
iptc_entry_equal(const struct iptc_entry *want, const void *have, const char *target)
{
	size_t header, target_at;
	const struct xt_entry_target *w;
	const struct xt_entry_target *h;

	if (want->family == AF_INET) {
		const struct ipt_entry *we = (const void *)want->bytes;
		const struct ipt_entry *he = have;

		header = sizeof(*we);
		target_at = we->target_offset;
		if (memcmp(&we->ip, &he->ip, sizeof(we->ip)) != 0 || we->target_offset != he->target_offset ||
		    we->next_offset != he->next_offset)
			return false;
	} else {
		const struct ip6t_entry *we = (const void *)want->bytes;
		const struct ip6t_entry *he = have;

		header = sizeof(*we);
		target_at = we->target_offset;
		if (memcmp(&we->ipv6, &he->ipv6, IP6_HEADER_BYTES) != 0 || we->target_offset != he->target_offset ||
		    we->next_offset != he->next_offset)
			return false;
	}
	if (!matches_equal(want->bytes, have, header, target_at))
		return false;
	w = (const void *)(want->bytes + target_at);
	h = (const void *)((const uint8_t *)have + target_at);
	if (target == NULL || strcmp(w->u.user.name, target) != 0)
		return false;
	/* Of standard targets the data is the verdict, which the name says already. */
	return strcmp(target, "REJECT") != 0 || memcmp(w->data, h->data, w->u.target_size - sizeof(*w)) == 0;
}
