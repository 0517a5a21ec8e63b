/* Raw iptables entries: from a neutral rule to the bytes that libiptc takes, and the comparison with what the kernel
 * gives back. Pure. */
#ifndef PICKET_ISOLATORD_IPTC_ENTRY_H
#define PICKET_ISOLATORD_IPTC_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isolatord/ruleset.h"

/* Bytes of the largest entry we build: IPv6 header 168, tcp 48, icmp6 40, hl 40, owner 56, comment 288, target 40. */
#define IPTC_ENTRY_BYTES 704u

struct iptc_entry {
	_Alignas(8) uint8_t bytes[IPTC_ENTRY_BYTES];
	size_t len;
	uint8_t family;
};

/*
 * iptc_entry_rule - the entry of a rule.
 * @verdict: instead of the rule's own.
 * @comment: for administrators, or NULL.
 */
void iptc_entry_rule(struct iptc_entry *e, const struct rule *rule, enum rule_verdict verdict, const char *comment);

/* iptc_entry_jump - a jump to a chain, for every packet of the family. */
void iptc_entry_jump(struct iptc_entry *e, uint8_t family, const char *chain, const char *comment);

/*
 * iptc_entry_equal - is the entry that libiptc read the one we would write? Counters do not matter.
 * @have:   struct ipt_entry or ip6t_entry from libiptc.
 * @target: its target's name, from libiptc.
 */
bool iptc_entry_equal(const struct iptc_entry *want, const void *have, const char *target);

#endif
