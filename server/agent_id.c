/* Says which agent ids are fit to be stored, logged and typed. Called for every request. */
#include "server/agent_id.h"

#include "common/limits.h"

const char agent_id_rule[] = "agent_id must be 1 to 64 letters, digits or . _ : -";

bool
agent_id_is_valid(const uint8_t *id, size_t len)
{
	if (len == 0 || len > LIM_ID_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		uint8_t c = id[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
			c == '_' || c == ':' || c == '-'))
			return false;
	}
	return true;
}
