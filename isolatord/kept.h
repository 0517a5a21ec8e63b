/* The order in force: decoded, compiled to rules, and on disk; the three never disagree. */
#ifndef PICKET_ISOLATORD_KEPT_H
#define PICKET_ISOLATORD_KEPT_H

#include <stddef.h>
#include <stdint.h>

#include "isolatord/order.h"
#include "isolatord/ruleset.h"
#include "isolatord/store.h"

/* Bytes of a sentence about the file. */
#define KEPT_PROBLEM_BYTES 512u

/*
 * Memory that a packed order may cost when unpacked: 10,000 exceptions of 72 bytes with 16 bytes of address and a
 * pointer each come to 1 MB; the rest of the order is small.
 */
#define KEPT_UNPACK_BYTES (4u * 1024u * 1024u)

/* Borrowed for the life of the kept order. */
struct kept_conf {
	struct ruleset_options rules;
	int state_fd; /* the state directory */
	uint8_t boot_id[STORE_BOOT_ID_BYTES];
};

struct kept {
	const struct kept_conf *conf;
	struct iso_order order; /* on=false: none is kept */
	struct store_record record;
	struct ruleset rules;
	char problem[KEPT_PROBLEM_BYTES]; /* the file is not as it should be, and what to do; "" */
};

enum kept_found { KEPT_NOTHING = 1, KEPT_ORDER, KEPT_LAPSED, KEPT_DAMAGED };

/*
 * kept_take - put an order on disk in place of the one before, and make it the order in force. Its time counts from
 * now.
 * @order:  on; on success taken over, on failure still the caller's.
 * @packed: the message it came from; copied.
 * Returns 0, or a negative errno with nothing changed.
 */
int kept_take(struct kept *kept, struct iso_order *order, const uint8_t *packed, size_t packed_len);

/*
 * kept_forget - no order is in force. A file that cannot be removed does not keep a host isolated: it is logged and
 * shows in `problem`.
 */
void kept_forget(struct kept *kept);

/*
 * kept_load - what was in force when the process ended. KEPT_LAPSED: its time has run out; it is loaded, and should be
 * forgotten. KEPT_DAMAGED: the file is there but cannot be used; `problem` says why and what to do.
 */
enum kept_found kept_load(struct kept *kept);

/* kept_deadline_ms - on CLOCK_BOOTTIME, or STORE_FOREVER. */
uint64_t kept_deadline_ms(const struct kept *kept);

/* Releases memory; the file stays. */
void kept_done(struct kept *kept);

#endif
