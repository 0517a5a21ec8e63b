/*
 * What the kernel's audit system is told while events are collected, and how that is taken back. Never touches a rule
 * or a registration of others. Called by live.c.
 */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "collectord/collectord.h"
#include "common/log.h"

/* Value of audit_enabled after auditctl -e 2: nothing can be changed until the next boot (kernel/audit.h). */
#define AUDIT_ENABLED_LOCKED 2u

/* Times, and milliseconds apart, that the kernel is asked to let go of a registration that a dead process left: half a
 * second in all. */
#define LET_GO_TRIES 25
#define LET_GO_MS 20

/* Milliseconds in the kernel's ticks, which is what it counts in: the coarse clock moves once a tick. */
static uint32_t
kernel_ticks(uint64_t ms)
{
	struct timespec tick = {0};

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) < 0 || tick.tv_nsec <= 0)
		tick.tv_nsec = 4000000; /* HZ 250 */
	return (uint32_t)(ms * 1000000u / (uint64_t)tick.tv_nsec);
}

/* Our values into the kernel, after its own were saved once. Refusals are told and lived with. */
void
col_kernel_set(struct collectord *c, const struct audit_status *before)
{
	struct audit_status saved,
	    want = {
		.mask = AUDIT_STATUS_BACKLOG_LIMIT | AUDIT_STATUS_BACKLOG_WAIT_TIME | AUDIT_STATUS_ENABLED,
		.enabled = 1,
		.backlog_limit = (uint32_t)c->conf.backlog_limit,
		.backlog_wait_time = kernel_ticks(c->conf.backlog_wait_ms),
	    };
	int r;

	if (!books_kernel(c->books, &saved))
		books_kernel_save(c->books, before);
	if (before->enabled == AUDIT_ENABLED_LOCKED) {
		log_warning("source.locked",
		    KV_STR("what", "audit is locked (auditctl -e 2): no rule can be loaded until the next boot"),
		    KV_STR("remedy", "load the rules of picket before the lock"));
		return;
	}
	r = audit_ctl_set(c->ctl, &want);
	if (r < 0)
		log_warning("source.setting", KV_STR("what", "backlog limit, wait time, enabled"), KV_ERRNO(r));
}

void
col_kernel_rules(struct collectord *c)
{
	struct rules_result result;
	int r = rules_load(c->rules, c->ctl, &result);

	c->counters.rules_loaded = result.added + result.kept;
	c->blind = result.blind;
	c->rules_fact = r < 0 ? "none" : result.refused > 0 ? "partly loaded" : "loaded";
	if (r < 0) {
		log_error("rules.refused", KV_ERRNO(r),
		    KV_STR("remedy", "auditctl -s: enabled 2 means locked until the next boot"));
		return;
	}
	if (result.refused > 0)
		log_warning("rules.partly", KV_U64("refused", result.refused), KV_ERRNO(result.error));
	if (result.blind)
		log_error("rules.blind",
		    KV_STR("what", "the rule -a never,task keeps every new process from being audited"),
		    KV_STR("remedy", "auditctl -d never,task, and remove it from /etc/audit/rules.d"));
	log_info("rules.loaded", KV_U64("added", result.added), KV_U64("kept", result.kept),
	    KV_U64("removed", result.removed));
}

/* The kernel's values as they were before us. */
static void
restore_kernel(struct collectord *c)
{
	struct audit_status saved;
	int r;

	if (!books_kernel(c->books, &saved))
		return;
	saved.mask = AUDIT_STATUS_BACKLOG_LIMIT | AUDIT_STATUS_BACKLOG_WAIT_TIME | AUDIT_STATUS_ENABLED;
	r = saved.enabled == AUDIT_ENABLED_LOCKED ? 0 : audit_ctl_set(c->ctl, &saved);
	if (r < 0)
		log_warning(
		    "source.setting", KV_STR("what", "restoring backlog limit, wait time, enabled"), KV_ERRNO(r));
	books_kernel_save(c->books, NULL);
}

/*
 * End the registration. The kernel lets only the process that registered do so; when that one is dead, it finds out by
 * itself once the last descriptor is closed (agentd closes its own when it reads the message) and somebody asks.
 */
static void
unregister(struct collectord *c)
{
	struct audit_status none = {.mask = AUDIT_STATUS_PID};
	int r = -EACCES;

	for (int i = 0; i < LET_GO_TRIES && r == -EACCES; i++) {
		if (i > 0)
			(void)poll(NULL, 0, LET_GO_MS);
		r = audit_ctl_set(c->ctl, &none);
	}
	if (r < 0)
		log_warning("source.setting", KV_STR("what", "ending the registration"), KV_ERRNO(r));
}

void
col_kernel_put_back(struct collectord *c)
{
	unregister(c);
	restore_kernel(c);
}
