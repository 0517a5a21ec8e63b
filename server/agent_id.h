/* The id by which an agent names itself. */
#ifndef PICKET_SERVER_AGENT_ID_H
#define PICKET_SERVER_AGENT_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* It goes into logs, commands and queries: 1 to LIM_ID_BYTES letters, digits or . _ : - */
bool agent_id_is_valid(const uint8_t *id, size_t len);

/* The same in words, for the agent's administrator. */
extern const char agent_id_rule[];

#endif
