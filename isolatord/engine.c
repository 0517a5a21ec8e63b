/*
 * The hands of the state machine: every side effect of isolation happens here, in the order that makes a kill at any
 * moment harmless (file first, then kernel). Never parses messages, never waits. Called by peers.c and main.c.
 */
#include "isolatord/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "isolatord/cut.h"

/* Milliseconds between two tries for the packet filter's lock: an iptables command holds it for 10 to 50 ms. */
#define LOCK_RETRY_MS 10u

/* Milliseconds after which an order is carried out without the lock: long enough for any honest command. */
#define LOCK_PATIENCE_MS 2000u

/* The same when rules are missing: who removed them may hold the lock on purpose, and they must be back within 500 ms.
 */
#define HEAL_PATIENCE_MS 100u

/* Milliseconds between two looks at the kernel while isolated: with apply and lock the rules are back within 500 ms. */
#define WATCH_MS 250u

/* Milliseconds between two tries when the kernel refused: each costs a few milliseconds and may log. */
#define RETRY_MS 1000u

/* Rules that are compared at every look, which takes below 5 ms of CPU time; longer lists only when their size changed
 * or after FULL_MS. */
#define COMPARE_ALWAYS_RULES 2000u
#define FULL_MS 5000u

static void feed(struct engine *e, enum fsm_event event);

/* ---- the order in force ---- */

static void
arm_deadline(struct engine *e)
{
	struct itimerspec when = {0}; /* zero: disarmed */
	uint64_t at = kept_deadline_ms(&e->kept);

	if (at != STORE_FOREVER) {
		at += at == 0;
		when.it_value = (struct timespec){(time_t)(at / 1000u), (long)(at % 1000u) * 1000000};
	}
	if (timerfd_settime(e->deadline_fd, TFD_TIMER_ABSTIME, &when, NULL) != 0)
		log_error("isolation.no_deadline", KV_ERRNO(errno));
}

static void
forget_order(struct engine *e)
{
	kept_forget(&e->kept);
	arm_deadline(e);
}

static void
log_order(const struct iso_order *order)
{
	log_notice("order.received", KV_STR("wanted", order->on ? "isolate" : "release"),
	    KV_STR("origin", order->origin == ISO_ORIGIN_SERVER ? "server" : "local"),
	    KV_U64("duration_s", order->duration_s), KV_U64("exceptions", order->n_exceptions),
	    KV_U64("uplink", order->n_uplink), KV_BYTES("command", order->command_id, order->command_id_len));
}

int
engine_order(
    struct engine *e, struct iso_order *order, const uint8_t *packed, size_t packed_len, char *why, size_t why_size)
{
	enum fsm_event event = order->on ? FSM_ORDER_ON : FSM_ORDER_OFF;
	int r;

	log_order(order);
	if (order->on) {
		r = kept_take(&e->kept, order, packed, packed_len);
		if (r < 0) {
			(void)snprintf(why, why_size, "the order cannot be kept on disk (%s), so it is not carried out",
			    strerror(-r));
			log_error("order.not_kept", KV_ERRNO(r));
			iso_order_done(order);
			e->stats.orders_refused++;
			return r;
		}
		arm_deadline(e);
	} else {
		forget_order(e);
		iso_order_done(order);
	}
	e->stats.orders++;
	feed(e, event);
	return 0;
}

/* ---- actions; each returns the event that its outcome is, or FSM_EVENT_UNSET ---- */

static uint64_t
patience_ms(enum fsm_state state)
{
	return state == FSM_HEALING || state == FSM_FAILED || state == FSM_STUCK ? HEAL_PATIENCE_MS : LOCK_PATIENCE_MS;
}

static enum fsm_event
try_lock(struct engine *e)
{
	if (!e->locked && e->conf.backend->ops->lock(e->conf.backend) == 0)
		e->locked = true;
	if (!e->locked && mono_since(e->waiting_since, mono_now()) < patience_ms(e->state))
		return FSM_EVENT_UNSET;
	if (!e->locked) {
		e->stats.lock_timeouts++;
		log_warning("backend.lock_held", KV_U64("waited_ms", patience_ms(e->state)));
	}
	e->waiting = false;
	return FSM_TURN;
}

static enum fsm_event
begin_lock(struct engine *e)
{
	if (!e->waiting)
		e->waiting_since = mono_now();
	e->waiting = true;
	return try_lock(e);
}

static void
unlock(struct engine *e)
{
	if (e->locked)
		e->conf.backend->ops->unlock(e->conf.backend);
	e->locked = false;
}

/* Compares everything. */
static enum fsm_event
verify(struct engine *e, const struct ruleset *rules)
{
	int r = e->conf.backend->ops->verify(e->conf.backend, rules, &e->report);

	e->stats.verifications++;
	e->compared = mono_now();
	return r == 0 ? FSM_GOOD : FSM_BAD;
}

/* A look at the kernel while isolated: long lists are compared only when there is a reason. */
static enum fsm_event
watch(struct engine *e)
{
	if (e->state == FSM_ISOLATED && e->kept.rules.n > COMPARE_ALWAYS_RULES &&
	    mono_since(e->compared, mono_now()) < FULL_MS && !e->conf.backend->ops->changed(e->conf.backend))
		return FSM_GOOD;
	if (verify(e, &e->kept.rules) == FSM_GOOD)
		return FSM_GOOD;
	if (e->state == FSM_ISOLATED)
		log_warning("rules.missing", KV_STR("what", e->report.detail));
	return FSM_BAD;
}

static enum fsm_event
apply(struct engine *e)
{
	struct mono_ms start = mono_now();
	struct backend_report applied;
	int r = e->conf.backend->ops->apply(e->conf.backend, &e->kept.rules, &e->report);

	unlock(e);
	applied = e->report;
	e->stats.applies++;
	e->stats.commit_retries += applied.retries;
	if (r < 0)
		return FSM_BAD;
	if (verify(e, &e->kept.rules) == FSM_BAD)
		return FSM_BAD;
	e->report = applied;
	e->stats.last_apply_ms = mono_since(start, mono_now());
	return FSM_GOOD;
}

static enum fsm_event
take_out(struct engine *e)
{
	int r = e->conf.backend->ops->remove(e->conf.backend, &e->report);

	unlock(e);
	e->stats.removals++;
	e->stats.commit_retries += e->report.retries;
	return r < 0 ? FSM_BAD : verify(e, NULL);
}

static void
cut(struct engine *e)
{
	struct cut_result result = {0};
	int r = e->conf.diag_fd >= 0 ? cut_sockets(e->conf.diag_fd, &e->kept.rules, &result) : -ENOTSUP;

	e->stats.sockets_closed += result.closed;
	e->stats.sockets_spared += result.spared;
	if (r < 0 || result.refused > 0)
		log_warning("cut.incomplete", KV_U64("refused", result.refused), KV_ERRNO(r));
	if (result.closed > 0)
		log_notice("cut.done", KV_U64("closed", result.closed), KV_U64("spared", result.spared));
}

static enum fsm_event
confirm(struct engine *e)
{
	cut(e);
	log_notice("isolation.on", KV_STR("backend", e->conf.backend->ops->name), KV_U64("rules", e->kept.rules.n),
	    KV_U64("generation", e->kept.rules.generation), KV_U64("took_ms", e->stats.last_apply_ms));
	if (e->report.uncovered[0] != '\0')
		log_warning("isolation.uncovered", KV_STR("what", e->report.uncovered));
	return FSM_EVENT_UNSET;
}

static enum fsm_event
healed(struct engine *e)
{
	e->stats.heals++;
	cut(e);
	log_notice("rules.healed", KV_U64("heals", e->stats.heals), KV_U64("took_ms", e->stats.last_apply_ms));
	return FSM_EVENT_UNSET;
}

static enum fsm_event
report(struct engine *e)
{
	struct engine_status status;

	engine_status(e, &status);
	log_error("isolation.failed", KV_STR("state", fsm_state_name(e->state)), KV_STR("why", status.detail));
	return FSM_EVENT_UNSET;
}

static enum fsm_event
expire(struct engine *e)
{
	log_notice("isolation.expired", KV_U64("since_ms", e->kept.record.since_wall_ms));
	forget_order(e);
	return begin_lock(e);
}

static enum fsm_event
act(struct engine *e, enum fsm_action action)
{
	switch (action) {
	case FSM_VERIFY:
		return watch(e);
	case FSM_LOOK:
		return verify(e, NULL);
	case FSM_LOCK:
		return begin_lock(e);
	case FSM_APPLY:
		return apply(e);
	case FSM_REMOVE:
		return take_out(e);
	case FSM_CONFIRM:
		return confirm(e);
	case FSM_HEALED:
		return healed(e);
	case FSM_DONE:
		log_notice("isolation.off", KV_STR("backend", e->conf.backend->ops->name));
		return FSM_EVENT_UNSET;
	case FSM_REPORT:
		return report(e);
	case FSM_EXPIRE:
		return expire(e);
	case FSM_NONE:
	case FSM_IMPOSSIBLE:
	case FSM_ACTION_UNSET:
	case FSM_ACTIONS:
		return FSM_EVENT_UNSET;
	}
	return FSM_EVENT_UNSET;
}

/* ---- events ---- */

static void
arm_tick(struct engine *e)
{
	if (e->waiting)
		loop_timer_arm(e->tick, LOCK_RETRY_MS);
	else if (e->state == FSM_ISOLATED)
		loop_timer_arm(e->tick, WATCH_MS);
	else if (e->state == FSM_FAILED || e->state == FSM_STUCK)
		loop_timer_arm(e->tick, RETRY_MS);
	else
		(void)event_del(e->tick);
}

/* Steps until nothing more follows at once; then says so when anything that a status shows is new. */
static void
feed(struct engine *e, enum fsm_event event)
{
	enum fsm_state before = e->state;
	uint64_t heals = e->stats.heals;
	bool outcome = false;

	while (event != FSM_EVENT_UNSET) {
		struct fsm_step step = fsm_step(e->state, event);

		if (step.action == FSM_IMPOSSIBLE)
			log_error("state.impossible", KV_STR("state", fsm_state_name(e->state)),
			    KV_STR("event", fsm_event_name(event)));
		if (step.next != e->state)
			log_info("state.change", KV_STR("from", fsm_state_name(e->state)),
			    KV_STR("to", fsm_state_name(step.next)), KV_STR("why", fsm_event_name(event)));
		e->state = step.next;
		outcome |= step.action == FSM_CONFIRM || step.action == FSM_DONE || step.action == FSM_REPORT;
		event = act(e, step.action);
	}
	if (!e->waiting)
		unlock(e);
	arm_tick(e);
	if (outcome || e->state != before || e->stats.heals != heals)
		e->conf.on_change(e->conf.ctx);
}

static void
on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct engine *e = ctx;
	enum fsm_event event = FSM_TICK;

	(void)fd;
	(void)what;
	if (e->waiting)
		event = try_lock(e);
	if (event != FSM_EVENT_UNSET)
		feed(e, event);
	else
		arm_tick(e);
}

static void
on_deadline(evutil_socket_t fd, short what, void *ctx)
{
	struct engine *e = ctx;
	uint64_t expirations;

	(void)what;
	if (read(fd, &expirations, sizeof(expirations)) < 0)
		return;
	feed(e, FSM_DEADLINE);
}

/* ---- life ---- */

/* Returns the event that starts the machine. */
static enum fsm_event
load(struct engine *e)
{
	enum kept_found found = kept_load(&e->kept);

	arm_deadline(e);
	switch (found) {
	case KEPT_NOTHING:
		return FSM_ORDER_OFF;
	case KEPT_ORDER:
		return FSM_ORDER_ON;
	case KEPT_LAPSED:
		return FSM_DEADLINE;
	case KEPT_DAMAGED:
		break;
	}
	return FSM_UNREADABLE;
}

int
engine_init(struct engine *e, const struct engine_conf *conf)
{
	memset(e, 0, sizeof(*e));
	e->conf = *conf;
	e->kept.conf = &e->conf.kept;
	e->state = FSM_STARTING;
	e->deadline_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	e->tick = loop_timer_new(conf->loop, on_tick, e);
	if (e->deadline_fd >= 0)
		e->deadline = event_new(conf->loop->base, e->deadline_fd, EV_READ | EV_PERSIST, on_deadline, e);
	if (e->tick == NULL || e->deadline == NULL || event_add(e->deadline, NULL) != 0) {
		int r = e->deadline_fd < 0 ? -errno : -ENOMEM;

		log_error("start.failed", KV_STR("what", "timers"), KV_ERRNO(r));
		return r;
	}
	return 0;
}

void
engine_start(struct engine *e)
{
	feed(e, load(e));
}

bool
engine_is_settled(const struct engine *e)
{
	switch (e->state) {
	case FSM_RELEASED:
	case FSM_ISOLATED:
	case FSM_FAILED:
	case FSM_STUCK:
	case FSM_DAMAGED:
		return true;
	case FSM_STARTING:
	case FSM_RESUMING:
	case FSM_CLEANING:
	case FSM_APPLYING:
	case FSM_HEALING:
	case FSM_RELEASING:
	case FSM_STATE_UNSET:
	case FSM_STATES:
		break;
	}
	return false;
}

static void
describe(const struct engine *e, char *buf, size_t size)
{
	const char *uplink = e->kept.order.on && e->kept.order.n_uplink == 0
				 ? "the order names no server address: the server cannot be reached"
				 : "";

	switch (e->state) {
	case FSM_ISOLATED:
		(void)snprintf(buf, size, "%s%s%s", uplink,
		    uplink[0] != '\0' && e->report.uncovered[0] != '\0' ? "; " : "", e->report.uncovered);
		return;
	case FSM_APPLYING:
	case FSM_HEALING:
		(void)snprintf(buf, size, "the rules are being put in");
		return;
	case FSM_RELEASING:
		(void)snprintf(buf, size, "the rules are being taken out");
		return;
	case FSM_FAILED:
		(void)snprintf(
		    buf, size, "ordered on, but not in force: %s; tried again every second", e->report.detail);
		return;
	case FSM_STUCK:
		(void)snprintf(
		    buf, size, "ordered off, but rules are left: %s; tried again every second", e->report.detail);
		return;
	case FSM_RELEASED:
	case FSM_DAMAGED:
		(void)snprintf(buf, size, "%s", e->kept.problem);
		return;
	case FSM_STARTING:
	case FSM_RESUMING:
	case FSM_CLEANING:
	case FSM_STATE_UNSET:
	case FSM_STATES:
		break;
	}
	buf[0] = '\0';
}

void
engine_status(const struct engine *e, struct engine_status *ret)
{
	*ret =
	    (struct engine_status){.state = e->state, .order = &e->kept.order, .generation = e->kept.rules.generation};
	if (e->kept.order.on) {
		ret->since_ms = e->kept.record.since_wall_ms;
		ret->until_ms = e->kept.record.deadline_wall_ms == STORE_FOREVER ? 0 : e->kept.record.deadline_wall_ms;
	}
	describe(e, ret->detail, sizeof(ret->detail));
}

void
engine_done(struct engine *e)
{
	unlock(e);
	kept_done(&e->kept);
	if (e->deadline != NULL)
		event_free(e->deadline);
	if (e->tick != NULL)
		event_free(e->tick);
	if (e->deadline_fd >= 0)
		(void)close(e->deadline_fd);
}
