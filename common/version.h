#ifndef PICKET_COMMON_VERSION_H
#define PICKET_COMMON_VERSION_H

/* Version of this build, from git describe. */
extern const char picket_version[];

#endif
