/* uplinkd's keywords in picket.conf. Where the servers are and how often to ask them is not here: agentd's settings say
 * it. */
#include "uplinkd/uplinkd.h"

static const char *const compression_names[] = {"zstd", "none", NULL};

const struct conf_key upl_conf_keys[] = {
    DAEMON_CONF_KEYS,
    {"uplinkd", "ServerCertificate", CONF_STRING, offsetof(struct upl_conf, server_certificate), "server.pem", 0, 0,
	NULL,
	"Certificate (PEM) that the EDR server must show, or the CA that issued it: the only one trusted. In uplinkd's "
	"state directory, or an "
	"absolute path."},
    {"uplinkd", "ClientCertificate", CONF_STRING, offsetof(struct upl_conf, client_certificate), "client.pem", 0, 0,
	NULL, "Certificate (PEM) of this host, shown to the server when UseClientPinnedCertificate is on."},
    {"uplinkd", "ClientKey", CONF_STRING, offsetof(struct upl_conf, client_key), "client.key", 0, 0, NULL,
	"Its private key (PEM), mode 0600, owned by uplinkd's user or root."},
    {"uplinkd", "SpoolSize", CONF_BYTES, offsetof(struct upl_conf, spool_bytes), "512MiB", MIB(32), MIB(1024 * 1024),
	NULL,
	"Most that events waiting for the server take on disk. Beyond it the oldest are dropped, counted and "
	"reported."},
    {"uplinkd", "SpoolAge", CONF_MS, offsetof(struct upl_conf, spool_age_ms), "30d", 0, UINT64_C(366) * 86400000, NULL,
	"Events that have waited longer are dropped, counted and reported. 0s: never."},
    {"uplinkd", "CommitDelay", CONF_MS, offsetof(struct upl_conf, commit_ms), "100ms", 1, 10000, NULL,
	"Longest time an event waits for the fdatasync that makes it safe. Longer: fewer writes, more to send again "
	"after a crash."},
    {"uplinkd", "CommitEvents", CONF_U64, offsetof(struct upl_conf, commit_events), "256", 1, 65536, NULL,
	"Events after which that fdatasync does not wait."},
    {"uplinkd", "Compression", CONF_ENUM, offsetof(struct upl_conf, compression), "zstd", 0, 0, compression_names,
	"zstd or none: of what is sent."},
    {NULL, NULL, CONF_STRING, 0, NULL, 0, 0, NULL, NULL},
};
