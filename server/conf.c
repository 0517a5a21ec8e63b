/*
 * The keyword table of the server. Never opens what the keys name. Called by main.c and the command line.
 */
#include "server/conf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/conf.h"
#include "common/daemon.h"

/* Most connections at once: each may hold a body of 8 MiB while it arrives, and one descriptor. */
#define CONF_CONNECTIONS_MAX 4096

const struct conf_key srv_conf_keys[] = {
    {"server", "Listen", CONF_STRING, offsetof(struct server_conf, listen), "127.0.0.1:8443", 0, 0, NULL,
	"ADDRESS:PORT, IPv6 in brackets. Port 0: any free one, see PortFile."},
    {"server", "Database", CONF_STRING, offsetof(struct server_conf, database), NULL, 0, 0, NULL,
	"SQLite file. Its directory must belong to the server's user."},
    {"server", "Certificate", CONF_STRING, offsetof(struct server_conf, certificate), NULL, 0, 0, NULL,
	"The server's certificate (PEM), followed by its issuers when there are any between it and the CA."},
    {"server", "Key", CONF_STRING, offsetof(struct server_conf, key), NULL, 0, 0, NULL,
	"Its private key (PEM, without a password), readable for the owner only."},
    {"server", "ClientCA", CONF_STRING, offsetof(struct server_conf, client_ca), NULL, 0, 0, NULL,
	"Certificates (PEM) of the authorities that issue client certificates. Nobody else gets in."},
    {"server", "RunAs", CONF_STRING, offsetof(struct server_conf, run_as), NULL, 0, 0, NULL,
	"USER[:GROUP], names or numbers, to become when started as root. Empty: stay who started it, without "
	"capabilities."},
    {"server", "PortFile", CONF_STRING, offsetof(struct server_conf, port_file), NULL, 0, 0, NULL,
	"Written with the port number once the server answers. Empty: none."},
    {"server", "IdleTimeout", CONF_MS, offsetof(struct server_conf, idle_timeout_ms), "60s", 100, 3600000, NULL,
	"A connection on which nothing arrives for so long is closed."},
    {"server", "RequestTimeout", CONF_MS, offsetof(struct server_conf, request_timeout_ms), "2min", 100, 3600000, NULL,
	"A request of which something arrives now and then must be whole within this and IdleTimeout together."},
    {"server", "MaximumConnections", CONF_U64, offsetof(struct server_conf, max_connections), "256", 1,
	CONF_CONNECTIONS_MAX, NULL, "More clients wait until one leaves."},
    {"server", "LogLevel", CONF_ENUM, offsetof(struct server_conf, log_level), "info", 0, 0, daemon_level_names,
	"error, warning, notice, info or debug."},
    {.key = NULL},
};

const struct srv_conf_option srv_conf_options[SRV_CONF_OPTIONS + 1] = {
    {"listen", "ADDRESS:PORT", "Listen", "where to listen (default 127.0.0.1:8443); port 0: any free one"},
    {"db", "FILE", "Database", "SQLite file"},
    {"cert", "FILE", "Certificate", "the server's certificate, PEM"},
    {"key", "FILE", "Key", "its private key, PEM"},
    {"client-ca", "FILE", "ClientCA", "authorities of the client certificates, PEM"},
    {"run-as", "USER[:GROUP]", "RunAs", "whom to become when started as root"},
    {"port-file", "FILE", "PortFile", "write the port number there once the server answers"},
    {"log-level", "LEVEL", "LogLevel", "error, warning, notice, info (default) or debug"},
    {.option = NULL},
};

int
srv_conf_set(struct server_conf *conf, const char *key, const char *value, char *err, size_t err_size)
{
	for (const struct conf_key *row = srv_conf_keys; row->key != NULL; row++) {
		if (strcmp(row->key, key) == 0)
			return conf_parse_value(row, conf, value, err, err_size);
	}
	(void)snprintf(err, err_size, "no such key: %s", key);
	return -EINVAL;
}

int
srv_conf_check(const struct server_conf *conf, char *err, size_t err_size)
{
	const struct {
		const char *value, *option, *key;
	} needed[] = {
	    {conf->database, "db", "Database"},
	    {conf->certificate, "cert", "Certificate"},
	    {conf->key, "key", "Key"},
	    {conf->client_ca, "client-ca", "ClientCA"},
	};

	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		if (needed[i].value[0] != '\0')
			continue;
		(void)snprintf(err, err_size, "%s is not set: give --%s FILE, or %s in [server] of --config FILE",
		    needed[i].key, needed[i].option, needed[i].key);
		return -EINVAL;
	}
	return 0;
}
