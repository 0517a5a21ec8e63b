/* isolatord's keywords in picket.conf, and what [Management] means as exceptions. Called by main.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isolatord/isolatord.h"

/* Bytes of a list of addresses or ports: sixteen IPv6 addresses with separators. */
#define LIST_BYTES 1024u

#define SEPARATORS ", \t"

static const char *const backend_names[] = {"auto", "iptables", NULL};

const struct conf_key iso_conf_keys[] = {
    DAEMON_CONF_KEYS,
    {"isolatord", "Backend", CONF_ENUM, offsetof(struct iso_conf, backend), "auto", 0, 0, backend_names,
	"Packet filter: auto takes the one that this kernel has."},
    {"Management", "Addresses", CONF_STRING, offsetof(struct iso_conf, management_addrs), "", 0, 0, NULL,
	"IPv4 and IPv6 addresses of the management server (KSC), separated by commas, that an isolated host still "
	"reaches. Empty: none."},
    {"Management", "Ports", CONF_STRING, offsetof(struct iso_conf, management_ports), "13000,14000", 0, 0, NULL,
	"TCP ports of the management server, separated by commas."},
    {"Management", "AgentPort", CONF_U64, offsetof(struct iso_conf, management_agent_port), "15000", 0, 65535, NULL,
	"UDP port on this host that the management server wakes its agent through. 0: none."},
    {NULL, NULL, CONF_STRING, 0, NULL, 0, 0, NULL, NULL},
};

/* "a, b" to its words, cut in place. Returns how many, or -EINVAL when there are too many or the text is too long. */
static int
split(const char *list, char *buf, size_t size, const char **ret_words, size_t max)
{
	size_t n = 0;

	if (strlen(list) >= size)
		return -EINVAL;
	memcpy(buf, list, strlen(list) + 1);
	for (char *save = NULL, *w = strtok_r(buf, SEPARATORS, &save); w; w = strtok_r(NULL, SEPARATORS, &save)) {
		if (n == max)
			return -EINVAL;
		ret_words[n++] = w;
	}
	return (int)n;
}

static int
parse_addr(const char *text, struct iso_exception *ret)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1) {
		ret->prefix = 32;
		return iso_addr_set(&ret->addr, bytes, 4);
	}
	if (inet_pton(AF_INET6, text, bytes) == 1) {
		ret->prefix = 128;
		return iso_addr_set(&ret->addr, bytes, 16);
	}
	return -EINVAL;
}

static int
parse_port(const char *text, uint16_t *ret)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || port < 1 || port > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

static int
parse_ports(const char *list, uint16_t *ret, char *err, size_t err_size)
{
	const char *words[ISO_MANAGEMENT_PORTS];
	char buf[LIST_BYTES];
	int n = split(list, buf, sizeof(buf), words, ISO_MANAGEMENT_PORTS);

	for (int i = 0; i < n; i++) {
		if (parse_port(words[i], &ret[i]) < 0)
			n = -EINVAL;
	}
	if (n < 0)
		(void)snprintf(err, err_size, "[Management] Ports: at most %u numbers in 1..65535, separated by commas",
		    ISO_MANAGEMENT_PORTS);
	return n;
}

int
iso_conf_management(const struct iso_conf *conf, struct iso_exception *ret, char *err, size_t err_size)
{
	const char *words[ISO_MANAGEMENT_ADDRS];
	uint16_t ports[ISO_MANAGEMENT_PORTS];
	char buf[LIST_BYTES];
	int n_addrs = split(conf->management_addrs, buf, sizeof(buf), words, ISO_MANAGEMENT_ADDRS);
	int n_ports = parse_ports(conf->management_ports, ports, err, err_size);
	int n = 0;

	if (n_ports < 0)
		return -EINVAL;
	for (int i = 0; i < n_addrs; i++) {
		struct iso_exception e = {0};

		if (parse_addr(words[i], &e) < 0) {
			n_addrs = -EINVAL;
			break;
		}
		for (int p = 0; p < n_ports; p++) {
			e.direction = ISO_OUTBOUND;
			e.protocol = IPPROTO_TCP;
			e.remote = (struct iso_ports){ports[p], ports[p]};
			ret[n++] = e;
		}
		if (conf->management_agent_port != 0) {
			uint16_t port = (uint16_t)conf->management_agent_port;

			e.direction = ISO_INBOUND;
			e.protocol = IPPROTO_UDP;
			e.remote = (struct iso_ports){0, 0};
			e.local = (struct iso_ports){port, port};
			ret[n++] = e;
		}
	}
	if (n_addrs < 0)
		(void)snprintf(err, err_size,
		    "[Management] Addresses: at most %u IPv4 or IPv6 addresses (no names: a name cannot be looked up "
		    "on an "
		    "isolated host), separated by commas",
		    ISO_MANAGEMENT_ADDRS);
	return n_addrs < 0 ? -EINVAL : n;
}

int
iso_conf_check(const struct daemon_conf *conf, char *err, size_t err_size)
{
	struct iso_exception rules[ISO_MANAGEMENT_RULES];

	return iso_conf_management((const struct iso_conf *)(const void *)conf, rules, err, err_size) < 0 ? -EINVAL : 0;
}
