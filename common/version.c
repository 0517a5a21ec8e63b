/* The one object that knows the version. */
#include "common/version.h"

const char picket_version[] = PICKET_VERSION;
