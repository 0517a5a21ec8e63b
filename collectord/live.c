/*
 * The kernel source: opens it when events are wanted, reads, watches the kernel's own counters, closes it. Never sends
 * anything itself. Called by main.c and peers.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collectord/collectord.h"
#include "collectord/source_audit.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

/* Milliseconds between looks at the clock, the kernel's counters and open events. */
#define CLOCK_MS 1000u

/* Milliseconds between two ticks of the serial window: longer than an event may stay open (ASSEMBLE_WAIT_MS). */
#define SERIALS_TICK_MS 3000u

/* Milliseconds to wait for agentd's handover before a new source is opened. */
#define HANDOVER_MS 1000u

/* Milliseconds until a source that was refused is tried again. */
#define RETRY_MS 10000u

/* ---- before the sandbox ---- */

/* Name of a process, "" when it cannot be read. */
static void
read_comm(uint32_t pid, char *name, size_t size)
{
	char path[32];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/comm", pid);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, name, size - 1) : 0;
	name[n > 0 ? n : 0] = '\0';
	name[strcspn(name, "\n")] = '\0';
}

/* Our own programs stand in one directory. Returns how many were found. */
static size_t
find_self(const struct daemon_conf *conf, char paths[][256], struct rules_self *self)
{
	const struct {
		const char *name;
		uint32_t uid;
	} programs[] = {{"agentd", conf->agentd_uid}, {"collectord", conf->collectord_uid},
	    {"uplinkd", conf->uplinkd_uid}, {"isolatord", 0}};
	char exe[200];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	size_t n = 0;
	char *slash;

	if (len <= 0)
		return 0;
	exe[len] = '\0';
	slash = strrchr(exe, '/');
	if (slash == NULL)
		return 0;
	*slash = '\0';
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		(void)snprintf(paths[n], 256, "%s/%s", exe, programs[i].name);
		if (access(paths[n], F_OK) != 0)
			continue;
		self[n] = (struct rules_self){programs[i].uid, paths[n]};
		n++;
	}
	return n;
}

int
col_live_prepare(struct collectord *c)
{
	char paths[4][256], err[256] = "";
	struct rules_self self[4];
	struct rules_conf rules = {.unix_sockets = c->conf.unix_sockets, .self = self};
	struct audit_status status;
	int r = audit_ctl_open(&c->ctl);

	if (r == 0)
		r = audit_ctl_status(c->ctl, &status);
	if (r < 0) {
		log_error("source.unavailable", KV_ERRNO(r),
		    KV_STR("remedy",
			r == -EPERM ? "must be started as root, or with CAP_AUDIT_CONTROL in the initial namespaces"
				    : "the kernel must have CONFIG_AUDIT"));
		return r;
	}
	if (status.pid != 0) {
		c->owner_pid = status.pid;
		read_comm(status.pid, c->owner_name, sizeof(c->owner_name));
	}
	c->spare_fd = audit_netlink_open();
	if (c->spare_fd < 0) {
		log_error("source.unavailable", KV_ERRNO(c->spare_fd));
		return c->spare_fd;
	}
	log_info("source.buffer", KV_U64("bytes", source_audit_buffer(c->spare_fd, c->conf.receive_buffer_bytes)));
	rules.n_self = find_self(&c->conf.common, paths, self);
	c->rules = rules_new(&rules, err, sizeof(err));
	if (c->rules == NULL) {
		log_error("rules.failed", KV_STR("why", err));
		return -EINVAL;
	}
	return 0;
}

/* ---- what the pipeline tells ---- */

static void
on_missing(uint32_t first, uint32_t last, void *ctx)
{
	struct collectord *c = ctx;
	/* What is missing before the first event of this run was raised while no collectord read. */
	bool restart = serial_before(last, c->first_serial);
	const struct books_loss loss = {
	    .stage = restart ? PICKET__V1__LOSS_STAGE__LOSS_STAGE_RESTART : PICKET__V1__LOSS_STAGE__LOSS_STAGE_SERIAL,
	    .events = (uint64_t)(last - first) + 1,
	    .first_serial = first,
	    .last_serial = last,
	};

	*(restart ? &c->counters.lost_restart : &c->counters.lost_serial) += loss.events;
	books_owe(c->books, &loss);
	col_peers_changed(c);
}

static void
on_serial(uint32_t serial, void *ctx)
{
	struct collectord *c = ctx;

	if (!c->serials.started) {
		serials_start(&c->serials, serial);
		books_started(c->books, serial, c->kernel_lost);
	}
	if (!c->have_first) {
		c->have_first = true;
		c->first_serial = serial;
	}
	if (serial_before(serial, c->serials.base) && books_prior(c->books, 0) != 0)
		books_early(c->books, serial, c->telemetry ? c->sequence : 0);
	serials_seen(&c->serials, serial, on_missing, c);
}

/* Every record passes here first: how far this run has read must be known even if it dies in the middle of an event. */
static void
on_record(const struct record *record, void *ctx)
{
	struct collectord *c = ctx;

	books_read(c->books, record->serial);
	c->into.on_record(record, c->into.ctx);
	/* Often the only record of its event, which then has no end to wait for; and nothing that is reported ever has
	 * one. */
	if (record->type == AUDIT_CONFIG_CHANGE || record->type == AUDIT_NETFILTER_CFG)
		on_serial(record->serial, c);
}

static void
on_fault(enum record_fault fault, void *ctx)
{
	struct collectord *c = ctx;

	c->into.on_fault(fault, c->into.ctx);
}

static void
on_takeover(void *ctx)
{
	struct collectord *c = ctx;

	c->counters.takeovers++;
	log_warning("source.takeover", KV_STR("what", "another program asked the kernel to become the audit daemon"),
	    KV_STR("remedy", "find out who; only one can be: auditctl -s shows the pid"));
	col_peers_changed(c);
}

/* ---- reading ---- */

static void
read_source(struct collectord *c)
{
	int r;

	(void)pipeline_set_clock(c->pipeline, mono_now().ms);
	r = source_read(c->source);
	if (r < 0)
		log_error("source.failed", KV_ERRNO(r));
	for (size_t i = 0; i < COL_TAILS; i++)
		if (c->tails[i].fd >= 0 && !event_pending(c->batch_timer, EV_TIMEOUT, NULL))
			loop_timer_arm(c->batch_timer, c->conf.batch_delay_ms);
	col_peers_changed(c);
}

static void
on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	read_source(ctx);
}

/* The kernel's own view: how many records it dropped, how long its queue is. */
static void
look_at_kernel(struct collectord *c)
{
	struct audit_status status;

	if (audit_ctl_status(c->ctl, &status) < 0)
		return;
	c->counters.backlog = status.backlog;
	c->counters.backlog_limit = status.backlog_limit;
	col_stream_kernel_lost(c, status.lost);
	if (status.enabled == 0) {
		log_warning("source.disabled", KV_STR("what", "audit was switched off by someone else"),
		    KV_STR("remedy", "auditctl -e 1, or picketctl task stop and start Behavior_Detection"));
	}
}

static void
on_clock(evutil_socket_t fd, short what, void *ctx)
{
	struct collectord *c = ctx;
	struct mono_ms now = mono_now();

	(void)fd;
	(void)what;
	(void)pipeline_set_clock(c->pipeline, now.ms);
	look_at_kernel(c);
	if (c->serials.started && mono_since(c->last_tick, now) >= SERIALS_TICK_MS) {
		c->last_tick = now;
		serials_tick(&c->serials, on_missing, c);
	}
	col_stream_losses(c);
	loop_timer_arm(c->clock_timer, CLOCK_MS);
}

/* ---- starting ---- */

/* Nothing was opened; it is tried again. */
static void
refuse_source(struct collectord *c, int error, uint32_t owner)
{
	const char *name = owner == c->owner_pid && c->owner_name[0] != '\0' ? c->owner_name : "name not known";

	if (error == -EEXIST) {
		(void)snprintf(c->source_fact, sizeof(c->source_fact), "none: pid %" PRIu32 " (%s) is the audit daemon",
		    owner, name);
		log_error("source.refused", KV_STR("what", "another audit daemon owns the kernel's audit socket"),
		    KV_U64("pid", owner), KV_STR("name", name),
		    KV_STR("remedy", "stop and disable it, e.g. systemctl disable --now auditd"));
	} else {
		(void)snprintf(c->source_fact, sizeof(c->source_fact), "none: %s", strerror(-error));
		log_error("source.refused", KV_ERRNO(error));
	}
	loop_timer_arm(c->retry_timer, RETRY_MS);
	col_peers_changed(c);
}

/* The descriptor to read from: what agentd kept, else our own. */
static int
take_fd(struct collectord *c, bool *ret_handed)
{
	*ret_handed = c->handed_fd >= 0;
	return *ret_handed ? STEAL_FD(c->handed_fd) : STEAL_FD(c->spare_fd);
}

static void
begin_serials(struct collectord *c)
{
	uint32_t base;

	c->serials = (struct serials){.late = c->serials.late};
	c->have_first = false;
	if (!c->ran_before && books_base(c->books, &base)) {
		/* The run before this one stopped reading here: what does not come from here on is missing. */
		serials_start(&c->serials, base);
		books_started(c->books, base, c->kernel_lost);
	}
	c->ran_before = true;
	c->started = c->last_tick = mono_now();
}

static void
start_source(struct collectord *c)
{
	const struct source_audit_conf conf = {
	    .sink = {.on_record = on_record, .on_fault = on_fault, .ctx = c},
	    .on_takeover = on_takeover,
	    .ctx = c,
	    .enobufs = &c->counters.enobufs,
	};
	struct audit_status status;
	bool handed;
	int fd, r = audit_ctl_status(c->ctl, &status);

	if (r < 0) {
		refuse_source(c, r, 0);
		return;
	}
	fd = take_fd(c, &handed);
	r = fd < 0 ? fd : source_audit_open(fd, &conf, &c->source);
	if (r < 0) {
		c->spare_fd = fd;
		refuse_source(c, r, 0);
		return;
	}
	c->kernel_lost = status.lost;
	begin_serials(c);
	r = source_audit_register(c->source);
	if (r < 0 && r != -EALREADY) {
		/* Not closed: the same socket is tried again. */
		c->spare_fd = c->spare_fd >= 0 ? c->spare_fd : fcntl(fd, F_DUPFD_CLOEXEC, 0);
		source_close(c->source);
		c->source = NULL;
		refuse_source(c, r, status.pid);
		return;
	}
	c->registered = r == 0;
	col_kernel_set(c, &status);
	col_kernel_rules(c);
	c->source_event = event_new(c->loop.base, fd, EV_READ | EV_PERSIST, on_readable, c);
	if (c->source_event != NULL)
		(void)event_add(c->source_event, NULL);
	loop_timer_arm(c->clock_timer, CLOCK_MS);
	(void)snprintf(c->source_fact, sizeof(c->source_fact), "kernel%s", handed ? " (handed over)" : "");
	log_notice("source.open", KV_STR("kind", "kernel"), KV_STR("handed_over", handed ? "yes" : "no"),
	    KV_STR("registered", c->registered ? "yes" : "as the process before"));
	col_live_keep(c);
	col_peers_changed(c);
}

static void
try_start(struct collectord *c)
{
	if (c->want && !c->stopping && c->source == NULL && c->handover != COL_HANDOVER_WAITING)
		start_source(c);
}

/* ---- stopping ---- */

/* Everything that is in the socket. Bounded: other processes go on making events until the rules are gone. */
static void
drain(struct collectord *c)
{
	for (int i = 0; i < 64 && source_read(c->source) > 0; i++)
		;
}

static void
stop_source(struct collectord *c)
{
	int r;

	if (c->source == NULL)
		return;
	r = rules_unload(c->ctl);
	if (r < 0)
		log_warning("rules.left", KV_ERRNO(r), KV_STR("remedy", "auditctl -l shows rules with key picket-..."));
	c->counters.rules_loaded = 0;
	drain(c);
	pipeline_flush(c->pipeline);
	look_at_kernel(c);
	serials_settle_all(&c->serials, on_missing, c);
	col_stream_losses(c);
	books_stopped(c->books);

	if (c->source_event != NULL)
		event_free(c->source_event);
	c->source_event = NULL;
	(void)evtimer_del(c->clock_timer);
	/* Our own socket can be used again; one that was handed over must go for good. */
	if (c->registered && c->spare_fd < 0)
		c->spare_fd = fcntl(c->source->fd, F_DUPFD_CLOEXEC, 0);
	col_peers_keep(c, -1);
	source_close(c->source);
	c->source = NULL;
	col_kernel_put_back(c);
	(void)snprintf(c->source_fact, sizeof(c->source_fact), "none: Behavior_Detection is stopped");
	c->rules_fact = "none";
	log_notice("source.closed", KV_STR("kind", "kernel"));
	col_peers_changed(c);
}

/* ---- orders ---- */

/*
 * Nothing is to be collected and this run has no source open: it never wanted one, or the kernel refused it. Put back
 * what a run before it, which was killed while it was reading, has left.
 */
static void
clean_up(struct collectord *c)
{
	struct audit_status saved;

	c->ran_before = true;
	if (!books_kernel(c->books, &saved))
		return;
	log_notice("source.leftover",
	    KV_STR("what", "an earlier collectord was killed: its rules and settings are taken back"));
	(void)rules_unload(c->ctl);
	if (c->handed_fd >= 0)
		(void)close(STEAL_FD(c->handed_fd));
	col_peers_keep(c, -1);
	col_kernel_put_back(c);
}

void
col_live_want(struct collectord *c, bool want)
{
	c->want = want;
	if (want)
		try_start(c);
	else if (c->source != NULL)
		stop_source(c);
	else
		clean_up(c);
}

void
col_live_handover(struct collectord *c, int fd)
{
	if (fd >= 0 && (c->source != NULL || !source_audit_is_audit(fd))) {
		(void)close(fd);
		fd = -1;
	}
	if (fd >= 0) {
		if (c->handed_fd >= 0)
			(void)close(c->handed_fd);
		c->handed_fd = fd;
	}
	c->handover = fd >= 0 ? COL_HANDOVER_TAKEN : COL_HANDOVER_NONE;
	(void)evtimer_del(c->handover_timer);
	col_live_keep(c);
	try_start(c);
}

void
col_live_keep(struct collectord *c)
{
	if (c->source != NULL)
		col_peers_keep(c, c->source->fd);
}

void
col_live_await_handover(struct collectord *c)
{
	if (c->handover == COL_HANDOVER_WAITING)
		loop_timer_arm(c->handover_timer, HANDOVER_MS);
}

static void
on_handover_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	log_warning("source.handover_late", KV_U64("waited_ms", HANDOVER_MS));
	col_live_handover(ctx, -1);
}

static void
on_retry(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	try_start(ctx);
}

/* Unique ids of processes must differ between boots. FNV-1a. */
static uint64_t
seed_of(const char *boot_id)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *boot_id != '\0'; boot_id++)
		h = (h ^ (uint8_t)*boot_id) * UINT64_C(1099511628211);
	return h;
}

int
col_live_init(struct collectord *c)
{
	const struct pipeline_conf conf = {
	    .normalise = {.seed = seed_of(c->boot_id), .unix_sockets = c->conf.unix_sockets},
	    .on_event = col_stream_event,
	    .on_serial = on_serial,
	    .ctx = c,
	};

	c->handed_fd = -1;
	c->pipeline = pipeline_new(&conf);
	c->clock_timer = loop_timer_new(&c->loop, on_clock, c);
	c->handover_timer = loop_timer_new(&c->loop, on_handover_timer, c);
	c->retry_timer = loop_timer_new(&c->loop, on_retry, c);
	if (c->pipeline == NULL || c->clock_timer == NULL || c->handover_timer == NULL || c->retry_timer == NULL)
		return -ENOMEM;
	c->into = pipeline_sink(c->pipeline);
	(void)snprintf(c->source_fact, sizeof(c->source_fact), "none: waiting for agentd");
	c->rules_fact = "none";
	return 0;
}

void
col_live_done(struct collectord *c)
{
	struct event *const timers[] = {c->clock_timer, c->handover_timer, c->retry_timer};

	stop_source(c);
	for (size_t i = 0; i < ARRAY_LEN(timers); i++)
		if (timers[i] != NULL)
			event_free(timers[i]);
	pipeline_free(c->pipeline);
	rules_free(c->rules);
	audit_ctl_close(c->ctl);
	if (c->spare_fd >= 0)
		(void)close(c->spare_fd);
	if (c->handed_fd >= 0)
		(void)close(c->handed_fd);
}
