/* agentd's keywords in picket.conf. What an administrator changes at run time is not here but in the settings
 * (settings.c). */
#include "agentd/agentd.h"

const struct conf_key agt_conf_keys[] = {
    DAEMON_CONF_KEYS,
    {"agentd", "SourceKeepTime", CONF_MS, offsetof(struct agt_conf, source_keep_ms), "30s", 1000, 3600000, NULL,
	"How long the audit descriptor of a collectord that is gone is kept for the next one. Longer bridges a longer "
	"gap; but once "
	"the kernel's buffer is full, every audited call on the host waits."},
    {NULL, NULL, CONF_STRING, 0, NULL, 0, 0, NULL, NULL},
};
