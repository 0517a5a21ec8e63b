/*
 * The settings table and what one can do with it. Never touches a file or a link. Called by store.c (load, save), ctl.c
 * and orders.c (get, set) and push.c (what uplinkd is told).
 */
#include "agentd/settings.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/tasks.h"
#include "common/cleanup.h"
#include "common/conf.h"
#include "common/inifile.h"

#define SECOND_MS UINT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define OFF(field) offsetof(struct agt_values, field)

#define SERVER_ROWS(item, n)                                                                                           \
	{item, "Address", AGT_SETTING_HOST, OFF(address[n]), "", 0, 0, NULL,                                           \
	    "Further server, tried in order: IPv4, IPv6 or name. Empty: none."},                                       \
	{                                                                                                              \
		item, "Port", AGT_SETTING_NUMBER, OFF(port[n]), "443", 1, 65535, NULL, "TCP port of that server."      \
	}

static const struct agt_setting table[] = {
    /* clang-format off */
    {"", "Address", AGT_SETTING_HOST, OFF(address[0]), "127.0.0.1", 0, 0, NULL, "EDR server: IPv4, IPv6 or name."},
    {"", "Port", AGT_SETTING_NUMBER, OFF(port[0]), "443", 1, 65535, NULL, "TCP port of the server."},
    {"", "UseClientPinnedCertificate", AGT_SETTING_BOOL, OFF(use_client_certificate), "No", 0, 0, NULL,
	"Two-way TLS: the client certificate must be present before the task starts."},
    {"", "SynchronizationPeriod", AGT_SETTING_DURATION, OFF(sync_period_ms), "5", SECOND_MS, 60 * MINUTE_MS, "min",
	"Period of the request that fetches commands, in minutes; shorter ones with a unit, from 1s."},
    {"", "ConnectionTimeout", AGT_SETTING_DURATION, OFF(connection_timeout_ms), "10", SECOND_MS, 600 * SECOND_MS, "s",
	"Longest time to connect to a server, in seconds."},
    {"", "RequestTimeout", AGT_SETTING_DURATION, OFF(request_timeout_ms), "10", SECOND_MS, 600 * SECOND_MS, "s",
	"Longest time for a server's answer, in seconds."},
    {"", "MaximumDataTransferTime", AGT_SETTING_DURATION, OFF(transfer_time_ms), "30", SECOND_MS, 3600 * SECOND_MS, "s",
	"Longest delay of an event before it is sent, in seconds."},
    {"", "MaximumNumberOfEventsInPackage", AGT_SETTING_NUMBER, OFF(package_events), "1024", 1, 100000, NULL,
	"Events at which a package is sent before its time."},
    {"", "EnableTelemetry", AGT_SETTING_BOOL, OFF(telemetry), "Yes", 0, 0, NULL,
	"No: commands and isolation still work, no event is sent."},
    {"", "UseRequestCountLimits", AGT_SETTING_BOOL, OFF(use_limits), "No", 0, 0, NULL,
	"Throttling of event types. Kept, not applied yet: every event is sent."},
    {"", "MaximumNumberOfEventsInHour", AGT_SETTING_NUMBER, OFF(limit_events), "3000", 1, 1000000000, NULL,
	"Events in an hour from which throttling applies."},
    {"", "EventLimitExceededPercentage", AGT_SETTING_NUMBER, OFF(limit_percent), "15", 1, 100, NULL,
	"Share of the hour's events, in percent, above which a type is limited."},
    {"General", "UseProxy", AGT_SETTING_BOOL, OFF(use_proxy), "No", 0, 0, NULL, "Reach the servers through ProxyServer."},
    {"General", "ProxyServer", AGT_SETTING_PROXY, OFF(proxy), "", 0, 0, NULL,
	"[scheme://][user[:password]@]host[:port]; scheme http or https."},
    {"General", "UseMDR", AGT_SETTING_BOOL, OFF(use_mdr), "No", 0, 0, NULL,
	"Managed detection is on: exclusions by process are not applied."},
    SERVER_ROWS("Servers.item_0000", 1),
    SERVER_ROWS("Servers.item_0001", 2),
    SERVER_ROWS("Servers.item_0002", 3),
    SERVER_ROWS("Servers.item_0003", 4),
    SERVER_ROWS("Servers.item_0004", 5),
    SERVER_ROWS("Servers.item_0005", 6),
    SERVER_ROWS("Servers.item_0006", 7),
    /* clang-format on */
};

_Static_assert(ARRAY_LEN(table) == AGT_SETTINGS, "AGT_SETTINGS must count the rows");

/* Where the revision stands in the stored text; no setting of the reference product has this section. */
#define STORE_SECTION "Picket"

const struct agt_setting *
agt_setting_row(size_t index)
{
	return &table[index];
}

int
agt_setting_find(const char *section, const char *key)
{
	for (size_t i = 0; i < AGT_SETTINGS; i++) {
		bool here = strcmp(table[i].section, section) == 0 ||
			    (section[0] == '\0' && strcmp(table[i].section, "General") == 0);

		if (here && strcmp(table[i].key, key) == 0)
			return (int)i;
	}
	return -1;
}

/* ---- one value ---- */

static bool
is_host(const char *s)
{
	struct in6_addr addr;

	if (inet_pton(AF_INET, s, &addr) == 1 || inet_pton(AF_INET6, s, &addr) == 1)
		return true;
	if (!isalnum((unsigned char)s[0]) || strlen(s) >= AGT_HOST_BYTES)
		return false;
	/* All digits and dots that is no IPv4 address is a mistyped one, not a name. */
	if (s[strspn(s, "0123456789.")] == '\0')
		return false;
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] == '\0';
}

/* A port: 1 to 65535 in digits and nothing else. */
static bool
is_port(const char *s)
{
	size_t len = strlen(s);

	unsigned long port = strtoul(s, NULL, 10);

	return len >= 1 && len <= 5 && strspn(s, "0123456789") == len && port >= 1 && port <= 65535;
}

/* host[:port], an IPv6 host in brackets when a port follows. */
static bool
is_host_port(const char *s)
{
	char host[AGT_PROXY_BYTES];
	char *colon;

	(void)snprintf(host, sizeof(host), "%s", s);
	if (host[0] == '[') {
		char *close = strchr(host, ']');

		if (close == NULL || (close[1] != '\0' && (close[1] != ':' || !is_port(close + 2))))
			return false;
		*close = '\0';
		return strchr(host, ':') != NULL && is_host(host + 1);
	}
	colon = strchr(host, ':');
	if (colon != NULL) {
		if (!is_port(colon + 1))
			return false;
		*colon = '\0';
	}
	return is_host(host);
}

static bool
is_proxy(const char *s)
{
	const char *scheme_end = strstr(s, "://");
	const char *at;

	if (strlen(s) >= AGT_PROXY_BYTES)
		return false;
	for (const char *p = s; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return false;
	if (scheme_end != NULL) {
		if (strncmp(s, "http://", 7) != 0 && strncmp(s, "https://", 8) != 0)
			return false;
		s = scheme_end + 3;
	}
	at = strrchr(s, '@');
	if (at == s)
		return false;
	return is_host_port(at != NULL ? at + 1 : s);
}

const char *
agt_proxy_mask(const char *proxy, char *buf, size_t size)
{
	const char *scheme_end = strstr(proxy, "://");
	const char *user = scheme_end != NULL ? scheme_end + 3 : proxy;
	const char *at = strrchr(user, '@');
	const char *colon = strchr(user, ':');

	if (at != NULL && colon != NULL && colon < at)
		(void)snprintf(buf, size, "%.*s:***%s", (int)(colon - proxy), proxy, at);
	else
		(void)snprintf(buf, size, "%s", proxy);
	return buf;
}

/* What a row allows, for error messages. */
static const char *
allowed(const struct agt_setting *row, char *buf, size_t size)
{
	uint64_t unit = row->plain_unit != NULL && strcmp(row->plain_unit, "min") == 0 ? MINUTE_MS : SECOND_MS;

	switch (row->type) {
	case AGT_SETTING_BOOL:
		return "Yes or No";
	case AGT_SETTING_HOST:
		return "an IPv4 or IPv6 address or a host name";
	case AGT_SETTING_PROXY:
		return "[scheme://][user[:password]@]host[:port] with scheme http or https";
	case AGT_SETTING_NUMBER:
		(void)snprintf(buf, size, "%llu to %llu", (unsigned long long)row->min, (unsigned long long)row->max);
		return buf;
	case AGT_SETTING_DURATION:
		(void)snprintf(buf, size, "1 to %llu %s, or whole seconds with a unit, from 1s",
		    (unsigned long long)(row->max / unit), unit == MINUTE_MS ? "minutes" : "seconds");
		return buf;
	}
	return "";
}

/* A number of the row's plain unit, or with one of conf.h's units; whole seconds. */
static int
parse_duration(const struct agt_setting *row, const struct conf_key *key, struct agt_values *values, const char *text)
{
	char with_unit[64], err[128];
	uint64_t *field = (uint64_t *)(void *)((char *)values + row->offset);
	uint64_t before = *field;
	bool plain = *text != '\0' && text[strspn(text, "0123456789")] == '\0';
	int r;

	if ((size_t)snprintf(with_unit, sizeof(with_unit), "%s%s", text, plain ? row->plain_unit : "") >=
	    sizeof(with_unit))
		return -EINVAL;
	r = conf_parse_value(key, values, with_unit, err, sizeof(err));
	if (r == 0 && *field % SECOND_MS != 0) {
		*field = before;
		return -EINVAL;
	}
	return r;
}

/* One value into its field; on -EINVAL the field is unchanged. */
static int
parse_value(const struct agt_setting *row, struct agt_values *values, const char *text)
{
	/* conf.h's parsers do the numbers: one row of its table, made from ours. */
	struct conf_key key = {
	    .section = row->section, .key = row->key, .offset = row->offset, .min = row->min, .max = row->max};
	char *field = (char *)values + row->offset;
	char err[128];

	switch (row->type) {
	case AGT_SETTING_HOST:
		/* The first server cannot be taken away; the others are by an empty address. */
		if (!is_host(text) && (*text != '\0' || row->section[0] == '\0'))
			return -EINVAL;
		(void)snprintf(field, AGT_HOST_BYTES, "%s", text);
		return 0;
	case AGT_SETTING_PROXY:
		if (*text != '\0' && !is_proxy(text))
			return -EINVAL;
		(void)snprintf(field, AGT_PROXY_BYTES, "%s", text);
		return 0;
	case AGT_SETTING_BOOL:
		key.type = CONF_BOOL;
		return conf_parse_value(&key, values, text, err, sizeof(err));
	case AGT_SETTING_NUMBER:
		key.type = CONF_U64;
		return conf_parse_value(&key, values, text, err, sizeof(err));
	case AGT_SETTING_DURATION:
		key.type = CONF_MS;
		return parse_duration(row, &key, values, text);
	}
	return -EINVAL;
}

static const char *
format_value(const struct agt_setting *row, const struct agt_values *values, char *buf, size_t size)
{
	const char *field = (const char *)values + row->offset;

	switch (row->type) {
	case AGT_SETTING_HOST:
	case AGT_SETTING_PROXY:
		(void)snprintf(buf, size, "%s", field);
		break;
	case AGT_SETTING_BOOL:
		(void)snprintf(buf, size, "%s", *(const bool *)field ? "Yes" : "No");
		break;
	case AGT_SETTING_NUMBER:
		(void)snprintf(buf, size, "%llu", (unsigned long long)*(const uint64_t *)(const void *)field);
		break;
	case AGT_SETTING_DURATION: {
		uint64_t ms = *(const uint64_t *)(const void *)field;

		if (strcmp(row->plain_unit, "s") == 0)
			(void)snprintf(buf, size, "%llu", (unsigned long long)(ms / SECOND_MS));
		else if (ms % MINUTE_MS == 0)
			(void)snprintf(buf, size, "%llu", (unsigned long long)(ms / MINUTE_MS));
		else
			(void)snprintf(buf, size, "%llus", (unsigned long long)(ms / SECOND_MS));
		break;
	}
	}
	return buf;
}

/* ---- all of them ---- */

void
agt_settings_init(struct agt_settings *settings)
{
	*settings = (struct agt_settings){.revision = 0};
	for (size_t i = 0; i < AGT_SETTINGS; i++)
		(void)parse_value(&table[i], &settings->values, table[i].default_text);
}

/* One change into a copy. Returns 0, or AGT_EXIT_VALUE with err. */
static int
set_one(struct agt_settings *settings, const struct agt_change *change, char *err, size_t err_size)
{
	int i = agt_setting_find(change->section, change->key);
	const char *dot = change->section[0] != '\0' ? "." : "";
	char range[96];

	if (i < 0) {
		(void)snprintf(err, err_size, "%s%s%s: no such setting; picketctl settings get KATAEDR lists them",
		    change->section, dot, change->key);
		return AGT_EXIT_VALUE;
	}
	if (parse_value(&table[i], &settings->values, change->value) < 0) {
		/* A refused proxy may hold a password: it is not repeated. */
		(void)snprintf(err, err_size, "%s%s%s%s%s: allowed is %s", change->section, dot, change->key,
		    table[i].type == AGT_SETTING_PROXY ? "" : "=",
		    table[i].type == AGT_SETTING_PROXY ? "" : change->value, allowed(&table[i], range, sizeof(range)));
		return AGT_EXIT_VALUE;
	}
	settings->local[i] = true;
	return 0;
}

static bool
differs(const struct agt_settings *a, const struct agt_settings *b)
{
	char text_a[AGT_VALUE_BYTES], text_b[AGT_VALUE_BYTES];

	for (size_t i = 0; i < AGT_SETTINGS; i++)
		if (a->local[i] != b->local[i] || strcmp(agt_setting_text(a, i, text_a, sizeof(text_a)),
						      agt_setting_text(b, i, text_b, sizeof(text_b))) != 0)
			return true;
	return false;
}

int
agt_settings_set(struct agt_settings *settings, const struct agt_change *changes, size_t n, char *err, size_t err_size)
{
	struct agt_settings next = *settings;

	for (size_t i = 0; i < n; i++) {
		int r = set_one(&next, &changes[i], err, err_size);

		if (r != 0)
			return r;
	}
	if (next.values.use_proxy && next.values.proxy[0] == '\0') {
		(void)snprintf(
		    err, err_size, "UseProxy=Yes: needs ProxyServer=[scheme://][user[:password]@]host[:port]");
		return AGT_EXIT_VALUE;
	}
	if (differs(&next, settings))
		next.revision++;
	*settings = next;
	return 0;
}

const char *
agt_setting_text(const struct agt_settings *settings, size_t index, char *buf, size_t size)
{
	return format_value(&table[index], &settings->values, buf, size);
}

bool
agt_setting_is_hidden(const struct agt_settings *settings, size_t index)
{
	for (size_t server = 1; server < AGT_SERVERS; server++)
		if (table[index].offset == OFF(port) + server * sizeof(uint64_t) ||
		    table[index].offset == OFF(address) + server * AGT_HOST_BYTES)
			return settings->values.address[server][0] == '\0';
	return false;
}

static void
print_local(const struct agt_settings *settings, FILE *out)
{
	const char *section = "";
	char value[AGT_VALUE_BYTES];

	(void)fprintf(out, "# Written by agentd. Change it with: picketctl settings set KATAEDR Key=Value\n");
	for (size_t i = 0; i < AGT_SETTINGS; i++) {
		if (!settings->local[i])
			continue;
		if (strcmp(section, table[i].section) != 0)
			(void)fprintf(out, "[%s]\n", table[i].section);
		section = table[i].section;
		(void)fprintf(out, "%s=%s\n", table[i].key, agt_setting_text(settings, i, value, sizeof(value)));
	}
	(void)fprintf(out, "[" STORE_SECTION "]\nRevision=%llu\n", (unsigned long long)settings->revision);
}

char *
agt_settings_format(const struct agt_settings *settings)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	print_local(settings, out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

struct loading {
	struct agt_settings *settings;
	char *err;
	size_t err_size;
	int result;
};

static int
load_entry(const char *section, const char *key, const char *value, unsigned int line, void *ctx)
{
	struct loading *loading = ctx;
	struct agt_change change = {section, key, value};
	char what[AGT_TEXT_BYTES];

	if (strcmp(section, STORE_SECTION) == 0 && strcmp(key, "Revision") == 0) {
		loading->settings->revision = strtoull(value, NULL, 10);
		return 0;
	}
	if (set_one(loading->settings, &change, what, sizeof(what)) != 0 && loading->result == 0) {
		loading->result = -EINVAL;
		(void)snprintf(loading->err, loading->err_size, "line %u: %s", line, what);
	}
	return 0;
}

int
agt_settings_parse(struct agt_settings *settings, const char *text, size_t len, char *err, size_t err_size)
{
	struct loading loading = {.settings = settings, .err = err, .err_size = err_size};
	int r;

	agt_settings_init(settings);
	r = inifile_parse(text, len, load_entry, &loading, err, err_size);
	return r < 0 ? r : loading.result;
}
