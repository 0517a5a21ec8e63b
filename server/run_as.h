/* --run-as USER[:GROUP] into ids. */
#ifndef PICKET_SERVER_RUN_AS_H
#define PICKET_SERVER_RUN_AS_H

#include <stddef.h>

#include "common/privs.h"

/*
 * run_as_resolve - whom to become.
 * @text: USER or USER:GROUP, names or numbers; "": stay who we are. A number without an account has the group of the
 * same number. Returns 0 with no capability in *ret_privs, or -EINVAL or -EPERM with one line in err.
 */
int run_as_resolve(const char *text, struct privs *ret_privs, char *err, size_t err_size);

#endif
