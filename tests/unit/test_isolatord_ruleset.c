/* From an order to rules: golden lists, and what the list lets through. tests/golden/ruleset.N.in -> .ok;
 * GOLDEN_UPDATE=1 writes the .ok files. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "isolatord/isolatord.h"

#define UPLINK_UID 60582u

/* Of ruleset.1.in. */
#define GENERATION_OF_1 UINT64_C(0x1d8c142fdfb4289f)

/* A message as an order file describes it; everything is on the stack of the test. */
struct order_text {
	Picket__V1__IsolationOrder pb;
	Picket__V1__IsolationEndpoint uplink[8], *uplink_ptrs[8];
	Picket__V1__IsolationException exceptions[32], *exception_ptrs[32];
	uint8_t addrs[64][16];
	size_t n_addrs;
	struct iso_exception management[ISO_MANAGEMENT_RULES];
	size_t n_management;
};

static void
order_text_init(struct order_text *t)
{
	memset(t, 0, sizeof(*t));
	picket__v1__isolation_order__init(&t->pb);
	t->pb.on = true;
	t->pb.origin = PICKET__V1__ISOLATION_ORIGIN__ISOLATION_ORIGIN_LOCAL;
	t->pb.uplink = t->uplink_ptrs;
	t->pb.exceptions = t->exception_ptrs;
}

static ProtobufCBinaryData
parse_addr(struct order_text *t, const char *text)
{
	uint8_t *bytes = t->addrs[t->n_addrs++];
	size_t len = strchr(text, ':') != NULL ? 16 : 4;

	assert_int_equal(inet_pton(len == 16 ? AF_INET6 : AF_INET, text, bytes), 1);
	return (ProtobufCBinaryData){.len = len, .data = bytes};
}

static void
add_uplink(struct order_text *t, const char *line)
{
	Picket__V1__IsolationEndpoint *e = &t->uplink[t->pb.n_uplink];
	char addr[64];

	picket__v1__isolation_endpoint__init(e);
	assert_int_equal(sscanf(line, "uplink %63s %u", addr, &e->port), 2);
	e->address = parse_addr(t, addr);
	t->uplink_ptrs[t->pb.n_uplink++] = e;
}

static void
add_exception(struct order_text *t, const char *line)
{
	Picket__V1__IsolationException *e = &t->exceptions[t->pb.n_exceptions];
	char direction[16], addr[64] = "-", which[16] = "";
	unsigned int first = 0, last = 0;
	char *slash;

	picket__v1__isolation_exception__init(e);
	assert_true(sscanf(line, "exception %15s %u %63s %15s %u-%u", direction, &e->protocol, addr, which, &first,
			&last) >= 2);
	e->direction = direction[0] == 'b'   ? PICKET__V1__DIRECTION__DIRECTION_BOTH
		       : direction[0] == 'i' ? PICKET__V1__DIRECTION__DIRECTION_INBOUND
					     : PICKET__V1__DIRECTION__DIRECTION_OUTBOUND;
	slash = strchr(addr, '/');
	if (slash != NULL) {
		e->prefix_length = (uint32_t)strtoul(slash + 1, NULL, 10);
		*slash = '\0';
		e->address = parse_addr(t, addr);
	}
	if (which[0] == 'l') {
		e->local_port_first = first;
		e->local_port_last = last;
	} else {
		e->remote_port_first = first;
		e->remote_port_last = last;
	}
	t->exception_ptrs[t->pb.n_exceptions++] = e;
}

static void
add_management(struct order_text *t, char *list)
{
	char ports[] = "13000,14000", err[256];
	const struct iso_conf conf = {
	    .management_addrs = list, .management_ports = ports, .management_agent_port = 15000};
	int n = iso_conf_management(&conf, t->management, err, sizeof(err));

	assert_true(n >= 0);
	t->n_management = (size_t)n;
}

static void
add_line(struct order_text *t, char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "uplink ", 7) == 0)
		add_uplink(t, line);
	else if (strncmp(line, "exception ", 10) == 0)
		add_exception(t, line);
	else if (strncmp(line, "management ", 11) == 0)
		add_management(t, line + 11);
	else if (strcmp(line, "transit") == 0)
		t->pb.allow_transit = true;
	else
		assert_true(line[0] == '#' || line[0] == '\0');
}

static void
build(const struct order_text *t, struct ruleset *ret)
{
	const struct ruleset_options options = {
	    .uplink_uid = UPLINK_UID, .management = t->management, .n_management = t->n_management};
	struct iso_order order;
	char why[256] = "";

	if (iso_order_decode(&t->pb, &order, why, sizeof(why)) < 0)
		fail_msg("refused: %s", why);
	assert_int_equal(ruleset_build(&order, &options, ret), 0);
	iso_order_done(&order);
}

static void
build_from_file(const char *path, struct ruleset *ret)
{
	AUTO_FILE FILE *in = fopen(path, "r");
	struct order_text t;
	char line[256];

	assert_non_null(in);
	order_text_init(&t);
	while (fgets(line, sizeof(line), in) != NULL)
		add_line(&t, line);
	build(&t, ret);
}

static void
write_rules(FILE *out, const struct ruleset *set)
{
	char text[256];

	for (size_t i = 0; i < set->n; i++)
		(void)fprintf(out, "%s\n", rule_format(&set->rules[i], text, sizeof(text)));
}

static void
check_golden(int nr)
{
	char in[64], ok[64], want[256], have[256];
	struct ruleset set;

	(void)snprintf(in, sizeof(in), "tests/golden/ruleset.%d.in", nr);
	(void)snprintf(ok, sizeof(ok), "tests/golden/ruleset.%d.ok", nr);
	build_from_file(in, &set);
	if (getenv("GOLDEN_UPDATE") != NULL) {
		AUTO_FILE FILE *out = fopen(ok, "w");

		assert_non_null(out);
		write_rules(out, &set);
	} else {
		AUTO_FILE FILE *out = fopen(ok, "r");

		assert_non_null(out);
		for (size_t i = 0; i < set.n; i++) {
			assert_non_null(fgets(want, sizeof(want), out));
			want[strcspn(want, "\n")] = '\0';
			assert_string_equal(rule_format(&set.rules[i], have, sizeof(have)), want);
		}
		assert_null(fgets(want, sizeof(want), out));
	}
	ruleset_done(&set);
}

static void
orders_compile_to_the_golden_rules(void **state)
{
	(void)state;
	for (int nr = 1; nr <= 4; nr++)
		check_golden(nr);
}

/* Every chain must end the packets that no rule returned: the default is to cut. */
static void
every_chain_ends_with_a_rule_for_all_the_rest(void **state)
{
	struct ruleset set;

	(void)state;
	build_from_file("tests/golden/ruleset.2.in", &set);
	for (size_t i = 0; i < set.n; i++) {
		const struct rule *r = &set.rules[i];
		bool last =
		    i + 1 == set.n || set.rules[i + 1].chain != r->chain || set.rules[i + 1].family != r->family;

		if (!last)
			continue;
		assert_int_equal(r->why, RULE_WHY_REST);
		assert_true(r->verdict != RULE_RETURN && r->protocol == 0 && r->remote.family == 0);
	}
	ruleset_done(&set);
}

/* Isolation only takes away: no verdict of ours accepts. */
static void
copy_for_security_only_drops(void **state)
{
	(void)state;
	assert_int_equal(ruleset_drop_only(RULE_RETURN), RULE_RETURN);
	assert_int_equal(ruleset_drop_only(RULE_DROP), RULE_DROP);
	assert_int_equal(ruleset_drop_only(RULE_REJECT_RESET), RULE_DROP);
	assert_int_equal(ruleset_drop_only(RULE_REJECT_ADMIN), RULE_DROP);
}

static void
equal_orders_have_equal_generations(void **state)
{
	struct ruleset a, b, c;

	(void)state;
	build_from_file("tests/golden/ruleset.1.in", &a);
	build_from_file("tests/golden/ruleset.1.in", &b);
	build_from_file("tests/golden/ruleset.4.in", &c);
	assert_true(a.generation == b.generation);
	assert_true(a.generation != c.generation);
	ruleset_done(&a);
	ruleset_done(&b);
	ruleset_done(&c);
}

/* Written down: a generation must be the same on every machine and after every restart, or a restart would rewrite the
 * rules. */
static void
generation_depends_on_nothing_but_the_rules(void **state)
{
	struct ruleset set;

	(void)state;
	build_from_file("tests/golden/ruleset.1.in", &set);
	assert_int_equal(set.generation, GENERATION_OF_1);
	ruleset_done(&set);
}

static bool
permits(const struct ruleset *set, const char *remote, uint8_t protocol, uint16_t local_port, uint16_t remote_port,
    uid_t uid)
{
	struct ruleset_flow flow = {
	    .protocol = protocol, .local_port = local_port, .remote_port = remote_port, .uid = uid};
	uint8_t bytes[16];
	size_t len = strchr(remote, ':') != NULL ? 16 : 4;

	assert_int_equal(inet_pton(len == 16 ? AF_INET6 : AF_INET, remote, bytes), 1);
	assert_int_equal(iso_addr_set(&flow.remote, bytes, len), 0);
	return ruleset_permits(set, &flow);
}

static void
live_flows_are_judged_by_the_rules(void **state)
{
	struct ruleset set;

	(void)state;
	build_from_file("tests/golden/ruleset.2.in", &set);
	/* uplink: user, address and port */
	assert_true(permits(&set, "192.0.2.1", IPPROTO_TCP, 40000, 443, UPLINK_UID));
	assert_false(permits(&set, "192.0.2.1", IPPROTO_TCP, 40000, 443, 0));
	assert_false(permits(&set, "192.0.2.1", IPPROTO_TCP, 40000, 444, UPLINK_UID));
	assert_false(permits(&set, "192.0.2.2", IPPROTO_TCP, 40000, 443, UPLINK_UID));
	assert_false(permits(&set, "192.0.2.1", IPPROTO_UDP, 40000, 443, UPLINK_UID));
	/* exceptions */
	assert_true(permits(&set, "198.51.100.5", IPPROTO_TCP, 40000, 443, 1000));
	assert_false(permits(&set, "198.51.100.5", IPPROTO_TCP, 443, 40000, 1000));
	assert_true(permits(&set, "2001:db8:5::5", IPPROTO_TCP, 40000, 8099, 1000));
	assert_false(permits(&set, "2001:db8:5::5", IPPROTO_TCP, 40000, 8100, 1000));
	assert_true(permits(&set, "203.0.113.200", IPPROTO_TCP, 22, 50000, 0));
	assert_false(permits(&set, "203.0.113.200", IPPROTO_TCP, 23, 50000, 0));
	assert_true(permits(&set, "2001:db8:8::99", IPPROTO_TCP, 1, 1, 0));
	assert_false(permits(&set, "2001:db8:9::99", IPPROTO_TCP, 1, 1, 0));
	assert_true(permits(&set, "8.8.8.8", IPPROTO_UDP, 1, 123, 0));
	assert_false(permits(&set, "8.8.8.8", IPPROTO_UDP, 1, 53, 0));
	ruleset_done(&set);
}

static void
rule_text_is_cut_not_overrun(void **state)
{
	const struct rule rule = {.chain = RULE_OUT, .family = AF_INET, .verdict = RULE_RETURN, .why = RULE_WHY_UPLINK};
	char text[8];

	(void)state;
	assert_string_equal(rule_format(&rule, text, sizeof(text)), "out v4 ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(orders_compile_to_the_golden_rules),
	    cmocka_unit_test(every_chain_ends_with_a_rule_for_all_the_rest),
	    cmocka_unit_test(copy_for_security_only_drops),
	    cmocka_unit_test(equal_orders_have_equal_generations),
	    cmocka_unit_test(generation_depends_on_nothing_but_the_rules),
	    cmocka_unit_test(live_flows_are_judged_by_the_rules),
	    cmocka_unit_test(rule_text_is_cut_not_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
