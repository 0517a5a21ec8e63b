/*
 * Parses --allow. The rules about directions and ports are the reference product's (an inbound exception has local
 * ports, an outbound one remote ports). Pure; called by cli_order.c.
 */
#include "server/allow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* Bytes of one --allow: all its words at their longest. */
#define ALLOW_BYTES 128u

struct parsed {
	struct allow *allow;
	bool has_direction, has_protocol, has_address, has_ports;
	uint32_t port_first, port_last;
};

/* A whole number up to max. Returns 0 or -EINVAL. */
static int
parse_number(const char *text, uint32_t max, uint32_t *ret)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	unsigned long value = strtoul(text, &end, 10);
	if (*end != '\0' || value > max)
		return -EINVAL;
	*ret = (uint32_t)value;
	return 0;
}

static bool
take_direction(struct parsed *p, const char *word)
{
	static const struct {
		const char *word;
		Picket__V1__Direction direction;
	} directions[] = {
	    {"in", PICKET__V1__DIRECTION__DIRECTION_INBOUND},
	    {"out", PICKET__V1__DIRECTION__DIRECTION_OUTBOUND},
	    {"both", PICKET__V1__DIRECTION__DIRECTION_BOTH},
	};

	for (size_t i = 0; i < ARRAY_LEN(directions); i++) {
		if (strcmp(word, directions[i].word) != 0)
			continue;
		p->has_direction = true;
		p->allow->exception.direction = directions[i].direction;
		return true;
	}
	return false;
}

static bool
take_protocol(struct parsed *p, const char *word)
{
	static const struct {
		const char *word;
		uint32_t number;
	} protocols[] = {
	    {"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"icmp", IPPROTO_ICMP}, {"icmpv6", IPPROTO_ICMPV6}};

	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		if (strcmp(word, protocols[i].word) == 0) {
			p->allow->exception.protocol = protocols[i].number;
			return p->has_protocol = true;
		}
	}
	if (strncmp(word, "proto=", strlen("proto=")) != 0)
		return false;
	return p->has_protocol = parse_number(word + strlen("proto="), UINT8_MAX, &p->allow->exception.protocol) == 0;
}

static bool
take_ports(struct parsed *p, char *word)
{
	char *dash = strchr(word, '-');

	if (dash != NULL)
		*dash = '\0';
	bool ok = parse_number(word, UINT16_MAX, &p->port_first) == 0;
	p->port_last = p->port_first;
	if (ok && dash != NULL)
		ok = parse_number(dash + 1, UINT16_MAX, &p->port_last) == 0;
	if (dash != NULL)
		*dash = '-';
	if (!ok || p->port_first == 0 || p->port_last < p->port_first)
		return false;
	return p->has_ports = true;
}

static bool
take_address(struct parsed *p, char *word)
{
	Picket__V1__IsolationException *e = &p->allow->exception;
	bool is_v6 = strchr(word, ':') != NULL;
	uint32_t bits = is_v6 ? 128 : 32;
	char *slash = strchr(word, '/');
	bool ok = true;

	e->prefix_length = bits;
	if (slash != NULL) {
		*slash = '\0';
		ok = parse_number(slash + 1, bits, &e->prefix_length) == 0;
	}
	ok = ok && inet_pton(is_v6 ? AF_INET6 : AF_INET, word, p->allow->address) == 1;
	if (slash != NULL)
		*slash = '/';
	if (!ok)
		return false;
	e->address = (ProtobufCBinaryData){.len = is_v6 ? 16 : 4, .data = p->allow->address};
	return p->has_address = true;
}

/* What the words may not be together. Returns NULL or what is wrong. */
static const char *
put_ports(struct parsed *p)
{
	Picket__V1__IsolationException *e = &p->allow->exception;

	if (!p->has_ports)
		return NULL;
	if (e->protocol != IPPROTO_TCP && e->protocol != IPPROTO_UDP)
		return "ports need tcp or udp";
	if (e->direction == PICKET__V1__DIRECTION__DIRECTION_BOTH)
		return "ports need in (local ports) or out (remote ports)";
	if (e->direction == PICKET__V1__DIRECTION__DIRECTION_INBOUND) {
		e->local_port_first = p->port_first;
		e->local_port_last = p->port_last;
	} else {
		e->remote_port_first = p->port_first;
		e->remote_port_last = p->port_last;
	}
	return NULL;
}

int
allow_parse(const char *text, struct allow *ret, char *err, size_t err_size)
{
	struct parsed p = {.allow = ret};
	char copy[ALLOW_BYTES];
	char *save = NULL;
	const char *why = NULL;

	picket__v1__isolation_exception__init(&ret->exception);
	ret->exception.direction = PICKET__V1__DIRECTION__DIRECTION_BOTH;
	if (strlen(text) >= sizeof(copy)) {
		(void)snprintf(err, err_size, "--allow: longer than %zu characters", sizeof(copy) - 1);
		return -EINVAL;
	}
	memcpy(copy, text, strlen(text) + 1);
	for (char *word = strtok_r(copy, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
		if ((!p.has_direction && take_direction(&p, word)) || (!p.has_protocol && take_protocol(&p, word)) ||
		    (!p.has_ports && take_ports(&p, word)) || (!p.has_address && take_address(&p, word)))
			continue;
		(void)snprintf(err, err_size,
		    "--allow %s: %s is not in, out, both, tcp, udp, icmp, icmpv6, proto=N, an address, a prefix or a "
		    "port, or the second of its kind",
		    text, word);
		return -EINVAL;
	}
	if (!p.has_address && !p.has_protocol && !p.has_ports)
		why = "an address, a protocol or a port is needed: everything would stay open";
	else
		why = put_ports(&p);
	if (why == NULL)
		return 0;
	(void)snprintf(err, err_size, "--allow %s: %s", text, why);
	return -EINVAL;
}
