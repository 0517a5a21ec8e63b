/* Command line arguments: options taken out one by one, what is left is positional; and the values that have a grammar.
 * Pure. */
#ifndef PICKET_PICKETCTL_ARGS_H
#define PICKET_PICKETCTL_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isolation.pb-c.h"

/* What is left of argv; the strings are borrowed. Options end at "--". */
struct ctl_args {
	int n;
	char **arg;
};

/* ctl_args_flag - take every --name out. Returns whether there was one. */
bool ctl_args_flag(struct ctl_args *args, const char *name);

/*
 * ctl_args_value - take the first "--name VALUE" or "--name=VALUE" out.
 * Returns 1 with *ret_value, 0 when there is none, -1 when its value is missing.
 */
int ctl_args_value(struct ctl_args *args, const char *name, const char **ret_value);

/* ctl_args_next - take the first positional argument out, or NULL. */
const char *ctl_args_next(struct ctl_args *args);

/* ctl_args_unknown - an option that nobody took, or NULL. Call it after the options, before ctl_args_next(). */
const char *ctl_args_unknown(const struct ctl_args *args);

/*
 * ctl_parse_duration - "90", "90s", "30min", "2h", "7d" in whole seconds.
 * Returns 0 and 1 to LIM_ISOLATION_S seconds, or -EINVAL with err.
 */
int ctl_parse_duration(const char *text, uint64_t *ret_s, char *err, size_t err_size);

/* An exception and the bytes its address points to. */
struct ctl_allow {
	Picket__V1__IsolationException pb;
	uint8_t address[16];
};

/*
 * ctl_parse_allow - DIRECTION:PROTOCOL:ADDRESS[/BITS][:PORT[-PORT]].
 * DIRECTION is in, out or both; PROTOCOL tcp, udp, icmp, icmpv6, any or a number; ADDRESS IPv4, [IPv6] or any. Ports
 * are the host's own with in, the remote ones with out, and need tcp or udp. Returns 0, or -EINVAL with err. *ret_allow
 * must not move afterwards.
 */
int ctl_parse_allow(const char *text, struct ctl_allow *ret_allow, char *err, size_t err_size);

#endif
