/* The two halves of sandbox_enter(). Only sandbox.c calls them. */
#ifndef PICKET_COMMON_SANDBOX_INTERNAL_H
#define PICKET_COMMON_SANDBOX_INTERNAL_H

#include "common/sandbox.h"

/* sandbox_landlock - confine the files (and, with inet false, TCP). Returns 0 or a negative errno with one line in err.
 */
int sandbox_landlock(const struct sandbox *sandbox, int *ret_abi, char *err, size_t err_size);

/* sandbox_seccomp - load the filter. Returns 0 or a negative errno with one line in err. */
int sandbox_seccomp(const struct sandbox *sandbox, char *err, size_t err_size);

#endif
