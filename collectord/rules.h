#ifndef PICKET_COLLECTORD_RULES_H
#define PICKET_COLLECTORD_RULES_H

/* What the keys of our audit rules begin with. */
#define RULES_KEY_PREFIX "picket-"

#endif
