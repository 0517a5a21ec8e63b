/*
 * The settings of KATAEDR and the General keys it depends on: one table row per key, values of one type each,
 * all-or-nothing changes. No I/O: the owner persists the text that agt_settings_format() makes. Key names are those of
 * the reference product.
 */
#ifndef PICKET_AGENTD_SETTINGS_H
#define PICKET_AGENTD_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nodes of a fault-tolerant server: the first and Servers.item_0000 to item_0006. With eight addresses each they fit
 * LIM_ISOLATION_ENDPOINTS. */
#define AGT_SERVERS 8

/* Bytes of a host name with its end (RFC 1035: 253 characters). */
#define AGT_HOST_BYTES 254u

/* Bytes of a proxy URL with its end: host name, user and password of 100 characters each, scheme and port. */
#define AGT_PROXY_BYTES 512u

/* Bytes of any value as text, with its end. */
#define AGT_VALUE_BYTES AGT_PROXY_BYTES

/* Rows of the table; a test counts them. */
#define AGT_SETTINGS 29

/* Values in force. Durations are milliseconds and whole seconds. */
struct agt_values {
	char address[AGT_SERVERS][AGT_HOST_BYTES]; /* "": no such server */
	uint64_t port[AGT_SERVERS];
	bool use_client_certificate;
	uint64_t sync_period_ms, connection_timeout_ms, request_timeout_ms, transfer_time_ms;
	uint64_t package_events;
	bool telemetry;
	bool use_limits;
	uint64_t limit_events, limit_percent;
	bool use_proxy;
	char proxy[AGT_PROXY_BYTES];
	bool use_mdr;
};

enum agt_setting_type {
	AGT_SETTING_HOST = 1,
	AGT_SETTING_NUMBER,
	AGT_SETTING_DURATION,
	AGT_SETTING_BOOL,
	AGT_SETTING_PROXY,
};

struct agt_setting {
	const char *section; /* "": the task's own */
	const char *key;
	enum agt_setting_type type;
	size_t offset; /* in struct agt_values */
	const char *default_text;
	uint64_t min, max;      /* numbers; durations in ms */
	const char *plain_unit; /* durations: what a number without a unit means, "s" or "min" */
	const char *help;       /* one line, says the unit */
};

struct agt_settings {
	struct agt_values values;
	bool local[AGT_SETTINGS]; /* set on this host; else the default is in force */
	uint64_t revision;        /* rises by one with every change */
};

/* One change asked for. Strings are borrowed. An empty section also finds the keys of General. */
struct agt_change {
	const char *section, *key, *value;
};

/* Row `index` of the table, 0 to AGT_SETTINGS - 1. */
const struct agt_setting *agt_setting_row(size_t index);

/* agt_setting_find - the row of a key as in struct agt_change. Returns its index, or -1. */
int agt_setting_find(const char *section, const char *key);

/* All defaults, revision 0. */
void agt_settings_init(struct agt_settings *settings);

/*
 * agt_settings_set - apply changes, all or none.
 * @err: on failure one line: the key, what is wrong, what is allowed.
 * Returns 0 and a revision one higher (the same when every value was in force already), or AGT_EXIT_VALUE for an
 * unknown key or a bad value: nothing has changed then.
 */
int agt_settings_set(
    struct agt_settings *settings, const struct agt_change *changes, size_t n, char *err, size_t err_size);

/* agt_setting_text - the value in force of row `index` as text that parses back to it. Returns buf (AGT_VALUE_BYTES).
 */
const char *agt_setting_text(const struct agt_settings *settings, size_t index, char *buf, size_t size);

/* True for a row that is printed only when it has a value: the further servers. */
bool agt_setting_is_hidden(const struct agt_settings *settings, size_t index);

/* agt_proxy_mask - copy a proxy URL with its password replaced by ***: for those who may not know it. Returns buf. */
const char *agt_proxy_mask(const char *proxy, char *buf, size_t size);

/*
 * agt_settings_format - what was set on this host, and the revision, as INI text. Returns a string to free(), or NULL
 * without memory. agt_settings_parse  - from such a text over the defaults. Returns 0, or -EINVAL with the first line
 * that could not be used in err: the others are in force.
 */
char *agt_settings_format(const struct agt_settings *settings);
int agt_settings_parse(struct agt_settings *settings, const char *text, size_t len, char *err, size_t err_size);

#endif
