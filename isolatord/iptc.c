/*
 * The iptables backend: the rules in table `filter`, which can reject, and a drop-only copy in table `security`, which
 * is traversed later and survives a flush of `filter`. One table of one family changes atomically (iptc_table.c); IPv4
 * and IPv6 are worked on at the same time by two threads, so that the moment in which only one of them is cut is short.
 * Never waits for others. Called by engine.c through backend.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <libiptc/libiptc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "isolatord/backend.h"
#include "isolatord/iptc_family.h"
#include "isolatord/iptc_table.h"

/* What iptables(8) locks. It is created as iptables does, for the case that nobody has used iptables since boot. */
#define LOCK_PATH "/run/xtables.lock"

/* Bytes of /proc/net/ip_tables_names: five tables of at most 32 bytes. */
#define NAMES_BYTES 256u

/* Rules from which a second thread is worth its start (about 100 us) for a comparison. */
#define THREAD_RULES 500u

enum { FAMILY_V4, FAMILY_V6, FAMILIES };
enum { TABLE_FILTER, TABLE_SECURITY, TABLES };

struct iptc {
	struct backend base;
	int lock_fd;            /* -1: no lock file to be had */
	int info_fd[FAMILIES];  /* raw sockets to ask for number and size of the rules; -1: no such family on this host
				 */
	int names_fd[FAMILIES]; /* tables that exist; -1: unknown */
	bool known[FAMILIES][TABLES]; /* info[] is of the last good verify */
	struct ipt_getinfo info[FAMILIES][TABLES];
};

static const struct iptc_place places[FAMILIES][TABLES] = {
    {{&iptc_v4, "filter", false}, {&iptc_v4, "security", true}},
    {{&iptc_v6, "filter", false}, {&iptc_v6, "security", true}},
};

static struct iptc *
iptc_of(struct backend *b)
{
	return (struct iptc *)(void *)b;
}

/* The table does not exist in this kernel, or the family not on this host. */
static bool
is_absent(int error)
{
	return error == -ENOENT || error == -ENOPROTOOPT || error == -EAFNOSUPPORT || error == -EPROTONOSUPPORT;
}

/* ---- what exists ---- */

/* Reading a table makes the kernel create it. So a table that nobody has used yet is left alone: nothing of ours can be
 * in it. */
static bool
table_exists(const struct iptc *iptc, size_t f, size_t t)
{
	char names[NAMES_BYTES + 1];
	ssize_t n;

	if (iptc->names_fd[f] < 0)
		return true;
	n = pread(iptc->names_fd[f], names, NAMES_BYTES, 0);
	if (n < 0)
		return true;
	names[n] = '\0';
	for (char *save = NULL, *name = strtok_r(names, "\n", &save); name; name = strtok_r(NULL, "\n", &save)) {
		if (strcmp(name, places[f][t].table) == 0)
			return true;
	}
	return false;
}

static int
read_info(const struct iptc *iptc, size_t f, size_t t, struct ipt_getinfo *ret)
{
	const struct iptc_place *p = &places[f][t];
	socklen_t len = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	memcpy(ret->name, p->table, strlen(p->table));
	if (iptc->info_fd[f] < 0)
		return -EAFNOSUPPORT;
	return getsockopt(iptc->info_fd[f], p->family->level, p->family->so_info, ret, &len) == 0 ? 0 : -errno;
}

/*
 * What an absent table means for a host that is to be isolated: IPv6 that the host does not have needs no rules;
 * without `security` the cut holds but a flush opens it for a moment; anything else is a failure. Returns 0 or the
 * error.
 */
static int
judge_absence(const struct iptc *iptc, size_t f, size_t t, int error, struct backend_report *report)
{
	const struct iptc_place *p = &places[f][t];

	if (!is_absent(error))
		return error;
	if (iptc->info_fd[f] < 0)
		return 0;
	if (t == TABLE_SECURITY) {
		(void)snprintf(report->uncovered, sizeof(report->uncovered),
		    "iptables %s: this kernel has no table security: after a flush of filter the host is open until "
		    "the "
		    "rules are put back",
		    p->family->name);
		return 0;
	}
	iptc_describe(report, p,
	    "this kernel has no such table: load the module %s (modprobe), or use a kernel with "
	    "CONFIG_NETFILTER_XTABLES_LEGACY",
	    f == FAMILY_V4 ? "iptable_filter" : "ip6table_filter");
	return error;
}

/* ---- one family ---- */

struct job {
	struct iptc *iptc;
	size_t family;
	const struct ruleset *rules; /* NULL: none of ours */
	int (*work)(struct job *job);
	struct backend_report report;
	int result;
};

/* A table that fails does not keep the other from cutting what it can. */
static int
change_family(struct job *job)
{
	int ret = 0;

	for (size_t t = 0; t < TABLES; t++) {
		int r;

		if (job->rules == NULL && !table_exists(job->iptc, job->family, t))
			continue;
		r = iptc_table_change(&places[job->family][t], job->rules, &job->report);
		if (r < 0 && job->rules != NULL)
			r = judge_absence(job->iptc, job->family, t, r, &job->report);
		if (r < 0 && job->rules == NULL && is_absent(r))
			r = 0;
		if (ret == 0)
			ret = r;
	}
	if (ret == 0)
		job->report.detail[0] = '\0';
	return ret;
}

static int
verify_one(struct job *job, size_t t)
{
	const struct iptc_place *p = &places[job->family][t];
	struct iptc *iptc = job->iptc;
	/* Before the comparison, so that a change during it is seen next time. */
	bool informed = read_info(iptc, job->family, t, &iptc->info[job->family][t]) == 0;
	int r = iptc_table_verify(p, job->rules, &job->report);

	if (r < 0 && job->report.detail[0] == '\0' && job->rules != NULL)
		r = judge_absence(iptc, job->family, t, r, &job->report);
	else if (r < 0 && job->report.detail[0] == '\0' && is_absent(r))
		r = 0;
	if (r < 0 && job->report.detail[0] == '\0')
		iptc_describe(&job->report, p, "%s", p->family->strerror(-r));
	iptc->known[job->family][t] = r == 0 && informed;
	return r;
}

static int
verify_family(struct job *job)
{
	for (size_t t = 0; t < TABLES; t++) {
		int r;

		job->iptc->known[job->family][t] = false;
		if (job->rules == NULL && !table_exists(job->iptc, job->family, t))
			continue;
		r = verify_one(job, t);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- both families ---- */

static void *
run_job(void *arg)
{
	struct job *job = arg;

	job->result = job->work(job);
	return NULL;
}

/* The report of the family that failed, else what either has to say. Returns the result of both. */
static int
join_reports(const struct job *jobs, struct backend_report *ret)
{
	const struct job *first = jobs[FAMILY_V4].result < 0 ? &jobs[FAMILY_V4] : &jobs[FAMILY_V6];
	const struct job *other = first == &jobs[FAMILY_V4] ? &jobs[FAMILY_V6] : &jobs[FAMILY_V4];

	*ret = first->report;
	ret->retries += other->report.retries;
	if (ret->uncovered[0] == '\0')
		memcpy(ret->uncovered, other->report.uncovered, sizeof(ret->uncovered));
	return first->result < 0 ? first->result : other->result;
}

/* Both families at once; one after the other, IPv6 first, when it is not worth a thread or there is none to be had. */
static int
run_both(struct iptc *iptc, const struct ruleset *rules, int (*work)(struct job *job), bool threads,
    struct backend_report *ret)
{
	struct job jobs[FAMILIES];
	pthread_t thread;
	bool started;

	for (size_t f = 0; f < FAMILIES; f++)
		jobs[f] = (struct job){.iptc = iptc, .family = f, .rules = rules, .work = work};
	started = threads && pthread_create(&thread, NULL, run_job, &jobs[FAMILY_V4]) == 0;
	(void)run_job(&jobs[FAMILY_V6]);
	if (started)
		(void)pthread_join(thread, NULL);
	else
		(void)run_job(&jobs[FAMILY_V4]);
	return join_reports(jobs, ret);
}

/* ---- the interface ---- */

static int
on_lock(struct backend *b)
{
	const struct iptc *iptc = iptc_of(b);

	if (iptc->lock_fd < 0)
		return 0;
	return flock(iptc->lock_fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK ? 0 : -EAGAIN;
}

static void
on_unlock(struct backend *b)
{
	const struct iptc *iptc = iptc_of(b);

	if (iptc->lock_fd >= 0)
		(void)flock(iptc->lock_fd, LOCK_UN);
}

static int
on_apply(struct backend *b, const struct ruleset *rules, struct backend_report *report)
{
	return run_both(iptc_of(b), rules, change_family, true, report);
}

static int
on_verify(struct backend *b, const struct ruleset *rules, struct backend_report *report)
{
	return run_both(iptc_of(b), rules, verify_family, rules != NULL && rules->n >= THREAD_RULES, report);
}

static bool
on_changed(struct backend *b)
{
	const struct iptc *iptc = iptc_of(b);

	for (size_t f = 0; f < FAMILIES; f++) {
		for (size_t t = 0; t < TABLES; t++) {
			struct ipt_getinfo info;
			bool informed = read_info(iptc, f, t, &info) == 0;

			if (informed != iptc->known[f][t])
				return true;
			if (informed && memcmp(&info, &iptc->info[f][t], sizeof(info)) != 0)
				return true;
		}
	}
	return false;
}

static int
on_remove(struct backend *b, struct backend_report *report)
{
	return run_both(iptc_of(b), NULL, change_family, true, report);
}

static void
on_close(struct backend *b)
{
	struct iptc *iptc = iptc_of(b);
	int fds[] = {iptc->lock_fd, iptc->info_fd[0], iptc->info_fd[1], iptc->names_fd[0], iptc->names_fd[1]};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		cleanup_fd(&fds[i]);
	free(iptc);
}

static const struct backend_ops ops = {
    .name = "iptables",
    .lock = on_lock,
    .unlock = on_unlock,
    .apply = on_apply,
    .verify = on_verify,
    .changed = on_changed,
    .remove = on_remove,
    .close = on_close,
};

struct backend *
iptc_open(void)
{
	static const char *const names[FAMILIES] = {
	    "/proc/self/net/ip_tables_names", "/proc/self/net/ip6_tables_names"};
	struct iptc *iptc = calloc(1, sizeof(*iptc));

	if (iptc == NULL)
		return NULL;
	iptc->base.ops = &ops;
	iptc->lock_fd = open(LOCK_PATH, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	for (size_t f = 0; f < FAMILIES; f++) {
		iptc->info_fd[f] = socket(places[f][0].family->family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
		iptc->names_fd[f] = open(names[f], O_RDONLY | O_CLOEXEC);
	}
	return &iptc->base;
}
