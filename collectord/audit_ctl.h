/*
 * Requests to the kernel's audit system over a netlink socket of its own, so that answers and events do not mix. Each
 * call waits for the kernel's answer, which comes at once or within AUDIT_CTL_WAIT_MS.
 */
#ifndef PICKET_COLLECTORD_AUDIT_CTL_H
#define PICKET_COLLECTORD_AUDIT_CTL_H

#include <linux/audit.h>
#include <stddef.h>
#include <stdint.h>

/* Milliseconds to wait for an answer: rule lists and status come from a kernel thread, which a busy machine may delay.
 */
#define AUDIT_CTL_WAIT_MS 1000

/* Bytes of one netlink message: a record of RECORD_MAX_BYTES or a rule, and its header. */
#define AUDIT_CTL_MESSAGE_BYTES 16416u

struct audit_ctl;

/* audit_ctl_open - call with CAP_AUDIT_CONTROL at hand. Returns 0 or a negative errno; free with audit_ctl_close(). */
int audit_ctl_open(struct audit_ctl **ret);
void audit_ctl_close(struct audit_ctl *ctl); /* NULL is fine */

/* audit_ctl_status - AUDIT_GET. Returns 0 or a negative errno. */
int audit_ctl_status(struct audit_ctl *ctl, struct audit_status *ret);

/* audit_ctl_set - AUDIT_SET of the values that status->mask names. Returns 0 or the kernel's negative errno. */
int audit_ctl_set(struct audit_ctl *ctl, const struct audit_status *status);

/* audit_ctl_rule - @type: AUDIT_ADD_RULE or AUDIT_DEL_RULE. Returns 0 or the kernel's negative errno. */
int audit_ctl_rule(struct audit_ctl *ctl, uint16_t type, const struct audit_rule_data *rule);

/*
 * audit_ctl_rules - every rule in force, in the kernel's order.
 * @each: returns 0 to go on or a negative errno to stop; the rule is borrowed. It must not call audit_ctl_*.
 */
int audit_ctl_rules(
    struct audit_ctl *ctl, int (*each)(const struct audit_rule_data *rule, size_t len, void *ctx), void *ctx);

/* audit_netlink_open - a bound audit netlink socket that does not block. Returns the descriptor or a negative errno. */
int audit_netlink_open(void);

/* audit_netlink_send - one request. @flags: NLM_F_* beside NLM_F_REQUEST. Returns 0 or a negative errno. */
int audit_netlink_send(int fd, uint16_t type, uint16_t flags, uint32_t seq, const void *data, size_t len);

/* Bytes of a rule with its strings. */
static inline size_t
audit_rule_bytes(const struct audit_rule_data *rule)
{
	return sizeof(*rule) + rule->buflen;
}

#endif
