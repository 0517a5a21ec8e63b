/* Options and the values that have a grammar: see args.h. Never prints; called by main.c and the cmd_ files. */
#include "picketctl/args.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/limits.h"

/* ---- options ---- */

static void
take_out(struct ctl_args *args, int at, int n)
{
	args->n -= n;
	memmove(&args->arg[at], &args->arg[at + n], (size_t)(args->n - at) * sizeof(args->arg[0]));
}

/* Where options end: at "--", or at the end. */
static int
options_end(const struct ctl_args *args)
{
	int i = 0;

	while (i < args->n && strcmp(args->arg[i], "--") != 0)
		i++;
	return i;
}

bool
ctl_args_flag(struct ctl_args *args, const char *name)
{
	bool found = false;

	for (int i = 0; i < options_end(args);) {
		if (strcmp(args->arg[i], name) != 0) {
			i++;
			continue;
		}
		take_out(args, i, 1);
		found = true;
	}
	return found;
}

int
ctl_args_value(struct ctl_args *args, const char *name, const char **ret_value)
{
	size_t len = strlen(name);
	int end = options_end(args);

	for (int i = 0; i < end; i++) {
		if (strncmp(args->arg[i], name, len) != 0)
			continue;
		if (args->arg[i][len] == '=') {
			*ret_value = args->arg[i] + len + 1;
			take_out(args, i, 1);
			return 1;
		}
		if (args->arg[i][len] != '\0')
			continue;
		if (i + 1 >= end)
			return -1;
		*ret_value = args->arg[i + 1];
		take_out(args, i, 2);
		return 1;
	}
	return 0;
}

const char *
ctl_args_next(struct ctl_args *args)
{
	const char *arg;

	if (args->n > 0 && strcmp(args->arg[0], "--") == 0)
		take_out(args, 0, 1);
	if (args->n == 0)
		return NULL;
	arg = args->arg[0];
	args->n--;
	args->arg++;
	return arg;
}

const char *
ctl_args_unknown(const struct ctl_args *args)
{
	int end = options_end(args);

	/* A lone "-" is standard input. */
	for (int i = 0; i < end; i++)
		if (args->arg[i][0] == '-' && args->arg[i][1] != '\0')
			return args->arg[i];
	return NULL;
}

/* ---- values ---- */

/* Digits only, up to max. Returns false otherwise. */
static bool
parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || value > max)
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	*ret = value;
	return value <= max;
}

int
ctl_parse_duration(const char *text, uint64_t *ret_s, char *err, size_t err_size)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = {{"", 1}, {"s", 1}, {"min", 60}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	size_t digits = strspn(text, "0123456789");
	char number[16];
	uint64_t value;

	(void)snprintf(number, sizeof(number), "%.*s", (int)digits, text);
	for (size_t i = 0; digits > 0 && digits < sizeof(number) && i < ARRAY_LEN(units); i++) {
		if (strcmp(text + digits, units[i].name) != 0 || !parse_number(number, LIM_ISOLATION_S, &value))
			continue;
		value *= units[i].seconds;
		if (value < 1 || value > LIM_ISOLATION_S)
			break;
		*ret_s = value;
		return 0;
	}
	(void)snprintf(err, err_size, "%s: a duration is a number with s, min, h or d, from 1s to 9999h", text);
	return -EINVAL;
}

static bool
parse_protocol(const char *text, uint32_t *ret)
{
	static const struct {
		const char *name;
		uint32_t number;
	} names[] = {
	    {"any", 0}, {"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"icmp", IPPROTO_ICMP}, {"icmpv6", IPPROTO_ICMPV6}};
	uint64_t number;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(text, names[i].name) == 0) {
			*ret = names[i].number;
			return true;
		}
	}
	if (!parse_number(text, 255, &number))
		return false;
	*ret = (uint32_t)number;
	return true;
}

static bool
parse_direction(const char *text, Picket__V1__Direction *ret)
{
	if (strcmp(text, "in") == 0)
		*ret = PICKET__V1__DIRECTION__DIRECTION_INBOUND;
	else if (strcmp(text, "out") == 0)
		*ret = PICKET__V1__DIRECTION__DIRECTION_OUTBOUND;
	else if (strcmp(text, "both") == 0)
		*ret = PICKET__V1__DIRECTION__DIRECTION_BOTH;
	else
		return false;
	return true;
}

/* Clear the bits that the prefix does not cover: a network, not a host in it. */
static void
mask_address(uint8_t *address, size_t len, uint32_t bits)
{
	for (size_t i = 0; i < len; i++) {
		uint32_t from = (uint32_t)(8 * i);

		if (bits <= from)
			address[i] = 0;
		else if (bits < from + 8)
			address[i] &= (uint8_t)(0xff00u >> (bits - from));
	}
}

/* ADDRESS with its /BITS already cut off. */
static bool
parse_address(const char *text, const char *bits, struct ctl_allow *allow)
{
	uint64_t prefix;

	if (strcmp(text, "any") == 0)
		return bits == NULL;
	if (inet_pton(AF_INET, text, allow->address) == 1)
		allow->pb.address.len = 4;
	else if (inet_pton(AF_INET6, text, allow->address) == 1)
		allow->pb.address.len = 16;
	else
		return false;
	prefix = 8 * allow->pb.address.len;
	if (bits != NULL && !parse_number(bits, 8 * allow->pb.address.len, &prefix))
		return false;
	allow->pb.address.data = allow->address;
	allow->pb.prefix_length = (uint32_t)prefix;
	mask_address(allow->address, allow->pb.address.len, allow->pb.prefix_length);
	return true;
}

static bool
parse_ports(char *text, struct ctl_allow *allow)
{
	char *dash = strchr(text, '-');
	uint64_t first, last;
	bool in = allow->pb.direction == PICKET__V1__DIRECTION__DIRECTION_INBOUND;

	if (dash != NULL)
		*dash = '\0';
	if (!parse_number(text, 65535, &first) || !parse_number(dash != NULL ? dash + 1 : text, 65535, &last) ||
	    first == 0 || first > last)
		return false;
	*(in ? &allow->pb.local_port_first : &allow->pb.remote_port_first) = (uint32_t)first;
	*(in ? &allow->pb.local_port_last : &allow->pb.remote_port_last) = (uint32_t)last;
	return true;
}

/* Cut "ADDRESS[/BITS][:PORTS]" in place; what is not there is NULL. An IPv6 address with something behind it stands in
 * brackets. */
static bool
split_target(char *target, char **ret_address, char **ret_bits, char **ret_ports)
{
	char *rest = target;

	*ret_address = target;
	*ret_bits = *ret_ports = NULL;
	if (target[0] == '[') {
		rest = strchr(target, ']');
		if (rest == NULL)
			return false;
		*ret_address = target + 1;
		*rest++ = '\0';
	} else if (strchr(target, ':') != strrchr(target, ':')) {
		rest = target + strcspn(target, "/"); /* a bare IPv6 address: every colon is its own */
	} else {
		rest = target + strcspn(target, "/:");
	}
	if (*rest == '/') {
		*rest++ = '\0';
		*ret_bits = rest;
		rest += strcspn(rest, ":");
	}
	if (*rest == ':') {
		*rest++ = '\0';
		*ret_ports = rest;
		return true;
	}
	return *rest == '\0';
}

static int
bad_allow(const char *text, const char *what, char *err, size_t err_size)
{
	(void)snprintf(err, err_size,
	    "--allow %s: %s; the form is DIRECTION:PROTOCOL:ADDRESS[/BITS][:PORT[-PORT]], e.g. out:tcp:10.0.0.5:443",
	    text, what);
	return -EINVAL;
}

int
ctl_parse_allow(const char *text, struct ctl_allow *ret_allow, char *err, size_t err_size)
{
	char copy[128]; /* bytes: the longest is a bracketed IPv6 address with everything */
	char *protocol, *target, *address, *bits, *ports;

	*ret_allow = (struct ctl_allow){.address = {0}};
	picket__v1__isolation_exception__init(&ret_allow->pb);
	if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
		return bad_allow("...", "too long", err, err_size);
	protocol = strchr(copy, ':');
	target = protocol != NULL ? strchr(protocol + 1, ':') : NULL;
	if (target == NULL)
		return bad_allow(text, "a part is missing", err, err_size);
	*protocol++ = '\0';
	*target++ = '\0';
	if (!parse_direction(copy, &ret_allow->pb.direction))
		return bad_allow(text, "the direction is in, out or both", err, err_size);
	if (!parse_protocol(protocol, &ret_allow->pb.protocol))
		return bad_allow(text, "the protocol is tcp, udp, icmp, icmpv6, any or 0 to 255", err, err_size);
	if (!split_target(target, &address, &bits, &ports) || !parse_address(address, bits, ret_allow))
		return bad_allow(text, "the address is IPv4, [IPv6] or any, with /BITS for a network", err, err_size);
	if (ports == NULL)
		return 0;
	if (ret_allow->pb.direction == PICKET__V1__DIRECTION__DIRECTION_BOTH)
		return bad_allow(text, "ports go with in or out, not with both", err, err_size);
	if (ret_allow->pb.protocol != IPPROTO_TCP && ret_allow->pb.protocol != IPPROTO_UDP)
		return bad_allow(text, "ports need tcp or udp", err, err_size);
	if (!parse_ports(ports, ret_allow))
		return bad_allow(text, "ports are 1 to 65535, the first not above the last", err, err_size);
	return 0;
}
