/* Whole paths from what the kernel tells: a name and a working directory. Pure. */
#ifndef PICKET_COLLECTORD_PATHS_H
#define PICKET_COLLECTORD_PATHS_H

#include <stdbool.h>
#include <stdint.h>

#include "collectord/record.h"

/*
 * Bytes of a joined path: with the arguments, working directory and executable of the longest process event it must
 * stay below LIM_EVENT_BYTES. A longer one stays relative.
 */
#define PATHS_JOINED_BYTES 6144u

/*
 * paths_resolve - join a name to the directory it is relative to; "." and empty elements go, ".." stays.
 * @dir: absolute; empty when it is not known.
 * @out: of PATHS_JOINED_BYTES; used only when the path must be built.
 * @ret_unknown: set to true when the path stays relative; else untouched.
 * Returns the path: in name or in out; empty for an empty name.
 */
struct slice paths_resolve(struct slice name, struct slice dir, uint8_t *out, bool *ret_unknown);

#endif
