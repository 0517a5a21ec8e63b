/* Raw entries: laid out as the kernel wants them, and every difference to what the kernel holds is seen. */
#include <libiptc/libip6tc.h>
#include <libiptc/libiptc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "isolatord/iptc_entry.h"

/* One rule with every condition that can stand together. */
static struct rule
full_rule(uint8_t family)
{
	struct rule r = {.chain = RULE_OUT,
	    .verdict = RULE_REJECT_RESET,
	    .family = family,
	    .protocol = 6,
	    .loopback = true,
	    .not_syn = true,
	    .has_uid = true,
	    .uid = 60582,
	    .hop_limit = family == AF_INET6 ? 255 : 0,
	    .prefix = 20,
	    .local_ports = {1, 2},
	    .remote_ports = {443, 443}};
	uint8_t bytes[16] = {192, 0, 2};

	assert_int_equal(iso_addr_set(&r.remote, bytes, family == AF_INET ? 4 : 16), 0);
	return r;
}

static const uint8_t families[] = {AF_INET, AF_INET6};

static void
parts_are_aligned_and_fill_the_entry(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct rule rule = full_rule(families[i]);
		struct iptc_entry e;
		size_t at, target_at;

		iptc_entry_rule(&e, &rule, rule.verdict, "a comment");
		at = families[i] == AF_INET ? sizeof(struct ipt_entry) : sizeof(struct ip6t_entry);
		target_at = families[i] == AF_INET ? ((struct ipt_entry *)(void *)e.bytes)->target_offset
						   : ((struct ip6t_entry *)(void *)e.bytes)->target_offset;
		while (at < target_at) {
			const struct xt_entry_match *m = (const void *)(e.bytes + at);

			assert_int_equal(m->u.match_size, XT_ALIGN(m->u.match_size));
			assert_true(m->u.match_size > sizeof(*m));
			at += m->u.match_size;
		}
		assert_int_equal(at, target_at);
		assert_int_equal(
		    at + ((const struct xt_entry_target *)(const void *)(e.bytes + at))->u.target_size, e.len);
	}
}

static void
ipv6_protocol_is_flagged(void **state)
{
	struct rule rule = full_rule(AF_INET6);
	struct iptc_entry e;

	(void)state;
	iptc_entry_rule(&e, &rule, rule.verdict, NULL);
	assert_true(((struct ip6t_entry *)(void *)e.bytes)->ipv6.flags & IP6T_F_PROTO);
	rule.protocol_not = true;
	rule.not_syn = false;
	rule.local_ports = rule.remote_ports = (struct iso_ports){0, 0};
	iptc_entry_rule(&e, &rule, RULE_RETURN, NULL);
	assert_true(((struct ip6t_entry *)(void *)e.bytes)->ipv6.invflags & IP6T_INV_PROTO);
}

static void
address_is_source_inwards_and_destination_outwards(void **state)
{
	struct rule rule = full_rule(AF_INET);
	struct iptc_entry e;
	const struct ipt_ip *ip = &((const struct ipt_entry *)(const void *)e.bytes)->ip;

	(void)state;
	iptc_entry_rule(&e, &rule, RULE_RETURN, NULL);
	assert_int_equal(ip->dst.s_addr, htonl(0xc0000200));
	assert_int_equal(ip->dmsk.s_addr, htonl(0xfffff000));
	assert_int_equal(ip->smsk.s_addr, 0);
	assert_string_equal(ip->outiface, "lo");
	rule.chain = RULE_IN;
	rule.has_uid = false;
	iptc_entry_rule(&e, &rule, RULE_RETURN, NULL);
	assert_int_equal(ip->src.s_addr, htonl(0xc0000200));
	assert_int_equal(ip->dmsk.s_addr, 0);
	assert_string_equal(ip->iniface, "lo");
}

static const char *
target_name(const struct iptc_entry *e)
{
	size_t at = e->family == AF_INET ? ((const struct ipt_entry *)(const void *)e->bytes)->target_offset
					 : ((const struct ip6t_entry *)(const void *)e->bytes)->target_offset;

	return ((const struct xt_entry_target *)(const void *)(e->bytes + at))->u.user.name;
}

/* Every byte that decides about packets counts; counters and what follows the end of a name do not. */
static void
equal_is_equal_and_different_is_different(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct rule rule = full_rule(families[i]), other = rule;
		struct iptc_entry want, have;

		iptc_entry_rule(&want, &rule, rule.verdict, "picket 1");
		have = want;
		assert_true(iptc_entry_equal(&want, have.bytes, target_name(&have)));
		if (families[i] == AF_INET)
			((struct ipt_entry *)(void *)have.bytes)->counters.pcnt = 5;
		else
			((struct ip6t_entry *)(void *)have.bytes)->counters.pcnt = 5;
		assert_true(iptc_entry_equal(&want, have.bytes, target_name(&have)));
		assert_false(iptc_entry_equal(&want, have.bytes, "ACCEPT"));
		assert_false(iptc_entry_equal(&want, have.bytes, NULL));

#define DIFFERS(field, value)                                                                                          \
	do {                                                                                                           \
		other = rule;                                                                                          \
		other.field = (value);                                                                                 \
		iptc_entry_rule(&have, &other, other.verdict, "picket 1");                                             \
		assert_false(iptc_entry_equal(&want, have.bytes, target_name(&have)));                                 \
	} while (0)
		DIFFERS(verdict, RULE_REJECT_ADMIN);
		DIFFERS(verdict, RULE_RETURN);
		DIFFERS(uid, 0);
		DIFFERS(has_uid, false);
		DIFFERS(not_syn, false);
		DIFFERS(loopback, false);
		DIFFERS(prefix, 21);
		DIFFERS(remote_ports.last, 444);
		DIFFERS(local_ports.first, 2);
		DIFFERS(chain, RULE_IN);
		DIFFERS(remote.bytes[0], 193);
#undef DIFFERS
		iptc_entry_rule(&have, &rule, rule.verdict, "picket 2");
		assert_false(iptc_entry_equal(&want, have.bytes, target_name(&have)));
		iptc_entry_rule(&have, &rule, rule.verdict, NULL);
		assert_false(iptc_entry_equal(&want, have.bytes, target_name(&have)));
	}
}

static void
jump_names_its_chain(void **state)
{
	struct iptc_entry e, other;

	(void)state;
	iptc_entry_jump(&e, AF_INET6, "PICKET-IN", "picket 1");
	assert_string_equal(target_name(&e), "PICKET-IN");
	iptc_entry_jump(&other, AF_INET6, "PICKET-OUT", "picket 1");
	assert_false(iptc_entry_equal(&e, other.bytes, target_name(&other)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parts_are_aligned_and_fill_the_entry),
	    cmocka_unit_test(ipv6_protocol_is_flagged),
	    cmocka_unit_test(address_is_source_inwards_and_destination_outwards),
	    cmocka_unit_test(equal_is_equal_and_different_is_different),
	    cmocka_unit_test(jump_names_its_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
