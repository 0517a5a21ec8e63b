/*
 * picketctl monitor: who runs and what is lost in a header, the live events beneath; without a terminal event lines,
 * and a status line when something changed. Outlives agentd and collectord: it says that they are gone and comes back
 * with them. Ends on SIGINT, SIGTERM or SIGHUP.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ecs.h"
#include "envelope.pb-c.h"
#include "picketctl/ctl.h"
#include "picketctl/screen.h"
#include "picketctl/tail.h"
#include "picketctl/verdict.h"

/* Milliseconds between looks at the status: daemons report once a second. */
#define STATUS_MS 1000u

/* Milliseconds for agentd's answer: it has it in memory, and Ctrl-C must not wait for an agentd that hangs. */
#define PATIENCE_MS 500u

/* Milliseconds between status lines without a terminal. */
#define STATUS_LINE_MS 5000u

/* Records read before the screen is written and signals are looked at. */
#define RECORDS_PER_TURN 32

/* Line: who runs; what became of the events; what is wrong. */
enum { LINE_DAEMONS, LINE_EVENTS, LINE_TROUBLE };

struct monitor {
	struct ctl *ctl;
	struct ctl_screen screen;
	char lines[CTL_HEADER_LINES][CTL_HEADER_BYTES];
	char last[CTL_HEADER_LINES * CTL_HEADER_BYTES]; /* status as last printed without a terminal */
	struct mono_ms status_at, line_at;
	int tail; /* -1: no stream now */
};

/* ---- the header ---- */

static void
append(char *line, const char *text)
{
	size_t at = strlen(line);

	(void)snprintf(line + at, CTL_HEADER_BYTES - at, "%s", text);
}

static void
append_mood(const struct monitor *m, char *line, const char *text, enum ctl_mood mood)
{
	append(line, m->ctl->colour ? ctl_mood_begin(mood) : "");
	append(line, text);
	append(line, m->ctl->colour ? ctl_mood_end(mood) : "");
}

static void
daemons_line(const struct monitor *m, const Picket__V1__StatusReply *status, const struct ctl_verdict *v, char *line)
{
	char text[192], name[64], link[96];

	(void)snprintf(line, CTL_HEADER_BYTES, " picket  ");
	for (size_t i = 0; i < status->n_daemons; i++) {
		bool up = status->daemons[i]->connected;

		(void)snprintf(text, sizeof(text), "%s %s", ctl_escape(status->daemons[i]->name, name, sizeof(name)),
		    up ? "up" : "DOWN");
		append_mood(m, line, text, up ? CTL_GOOD : CTL_BAD);
		append(line, "  ");
	}
	(void)ctl_fact(ctl_daemon(status, "uplinkd"), "server", link, sizeof(link));
	(void)snprintf(text, sizeof(text), " server%s%s %s", link[0] != '\0' ? " " : "", link,
	    v->is_reporting ? "connected" : "NOT CONNECTED");
	append_mood(m, line, text, v->is_reporting ? CTL_GOOD : CTL_BAD);
}

static void
events_line(const struct monitor *m, const Picket__V1__StatusReply *status, const struct ctl_verdict *v, char *line)
{
	char text[192];
	const Picket__V1__IsolationStatus *i = status->isolation;

	(void)snprintf(line, CTL_HEADER_BYTES, " events  seen %llu  sent %llu  waiting %llu  ",
	    (unsigned long long)v->seen, (unsigned long long)v->sent, (unsigned long long)v->waiting);
	(void)snprintf(text, sizeof(text), "lost %llu", (unsigned long long)v->lost);
	append_mood(m, line, text, v->is_losing ? CTL_BAD : CTL_PLAIN);
	append(line, "    isolation: ");
	append_mood(m, line,
	    ctl_isolation_state(i != NULL ? i->state : PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_UNSPECIFIED),
	    v->is_isolated ? CTL_WARN : CTL_PLAIN);
	if (i != NULL && v->is_isolated && i->until_ms != 0) {
		append(line, " until ");
		append(line, ctl_local_time(i->until_ms, text, sizeof(text)));
	}
}

static void
trouble_line(const struct monitor *m, const struct ctl_verdict *v, char *line)
{
	const char *const what[] = {v->protected_why, v->reporting_why, v->losing_what};

	(void)snprintf(line, CTL_HEADER_BYTES, " ");
	for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		if (what[i][0] == '\0')
			continue;
		append(line, line[1] != '\0' ? "; " : "");
		append_mood(m, line, what[i], CTL_WARN);
	}
	if (line[1] == '\0')
		append_mood(m, line, "all is well", CTL_GOOD);
}

/* Look at the status; false when agentd does not answer: the lines then say so. */
static bool
refresh(struct monitor *m)
{
	Picket__V1__StatusRequest request = PICKET__V1__STATUS_REQUEST__INIT;
	const Picket__V1__StatusReply *status;
	struct ctl_verdict v;
	struct ctl_reply reply;
	char err[CTL_TEXT_BYTES];

	request.counters = true;
	if (ctl_ask(m->ctl, PICKET__V1__MSG__MSG_STATUS_REQUEST, &request.base, PICKET__V1__MSG__MSG_STATUS_REPLY,
		&picket__v1__status_reply__descriptor, &reply, err, sizeof(err)) != CTL_EXIT_OK) {
		(void)snprintf(m->lines[LINE_DAEMONS], CTL_HEADER_BYTES, " picket  ");
		append_mood(m, m->lines[LINE_DAEMONS], "agentd DOWN", CTL_BAD);
		m->lines[LINE_EVENTS][0] = '\0';
		(void)snprintf(m->lines[LINE_TROUBLE], CTL_HEADER_BYTES, " %.400s", err);
		return false;
	}
	status = (const void *)reply.pb;
	ctl_verdict(status, &v);
	daemons_line(m, status, &v, m->lines[LINE_DAEMONS]);
	events_line(m, status, &v, m->lines[LINE_EVENTS]);
	trouble_line(m, &v, m->lines[LINE_TROUBLE]);
	pb_arena_free(reply.arena);
	return true;
}

/* Without a terminal: the same words in one line, when they changed and not too often. */
static void
print_status_line(struct monitor *m)
{
	char now[sizeof(m->last)];

	if (m->screen.has_header || (m->last[0] != '\0' && mono_since(m->line_at, mono_now()) < STATUS_LINE_MS))
		return;
	(void)snprintf(
	    now, sizeof(now), "%s |%s |%s", m->lines[LINE_DAEMONS], m->lines[LINE_EVENTS], m->lines[LINE_TROUBLE]);
	if (strcmp(now, m->last) == 0)
		return;
	memcpy(m->last, now, sizeof(now));
	m->line_at = mono_now();
	(void)printf("--%s\n", now);
}

/* ---- the stream ---- */

static void
on_event(const Picket__V1__EventRecord *record, const Picket__V1__Event *event, void *ctx)
{
	struct monitor *m = ctx;
	char time[32], summary[2048], line[2100]; /* bytes: a few lines of a terminal */

	(void)record;
	(void)ecs_summary(summary, sizeof(summary), event);
	(void)ctl_local_time(event->time_ms, time, sizeof(time));
	/* The date is known to whoever sits before it. */
	(void)snprintf(line, sizeof(line), " %s %s", strlen(time) > 11 ? time + 11 : time, summary);
	ctl_screen_line(&m->screen, line);
}

static void
on_skipped(uint64_t events, void *ctx)
{
	struct monitor *m = ctx;
	char line[96];

	(void)snprintf(line, sizeof(line), " ... %llu events skipped here, not on the way to the server",
	    (unsigned long long)events);
	ctl_screen_line(&m->screen, line);
}

static void
read_tail(struct monitor *m)
{
	int r = 1;

	for (int i = 0; i < RECORDS_PER_TURN && r > 0; i++)
		r = ctl_tail_read(m->tail, on_event, on_skipped, m);
	(void)fflush(stdout);
	if (r >= 0)
		return;
	(void)close(m->tail);
	m->tail = -1;
}

/* Once a second: the header, and the stream if it is not there. */
static void
tick(struct monitor *m)
{
	char err[CTL_TEXT_BYTES];

	if (mono_since(m->status_at, mono_now()) < STATUS_MS && m->status_at.ms != 0)
		return;
	m->status_at = mono_now();
	if (refresh(m) && m->tail < 0)
		(void)ctl_tail_open(m->ctl, &m->tail, err, sizeof(err));
	ctl_screen_header(&m->screen, m->lines);
	print_status_line(m);
	(void)fflush(stdout);
}

/* ---- the loop ---- */

/* Signals as a descriptor, so that the terminal is put back in any case. */
static int
open_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGWINCH);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Returns false when it is time to end. */
static bool
take_signal(struct monitor *m, int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return true;
	if (info.ssi_signo != SIGWINCH)
		return false;
	ctl_screen_resize(&m->screen);
	ctl_screen_header(&m->screen, m->lines);
	return true;
}

int
ctl_cmd_monitor(struct ctl *ctl, struct ctl_args *args)
{
	struct monitor m = {.ctl = ctl, .tail = -1};
	struct pollfd fds[2];
	int code = ctl_expect_no_more(args), signals;

	if (code != CTL_EXIT_OK)
		return code;
	if (ctl->json)
		return ctl_fail(
		    CTL_EXIT_ARGUMENT, "monitor is for people; programs use stats --json and events --follow --json");
	ctl->patience_ms = PATIENCE_MS;
	signals = open_signals();
	if (signals < 0)
		return ctl_fail(CTL_EXIT_OTHER, "signalfd failed");
	ctl_screen_start(&m.screen, stdout, isatty(STDOUT_FILENO) != 0);
	for (bool go_on = true; go_on && ferror(stdout) == 0;) {
		tick(&m);
		fds[0] = (struct pollfd){.fd = signals, .events = POLLIN};
		fds[1] = (struct pollfd){.fd = m.tail, .events = POLLIN};
		if (poll(fds, 2, (int)STATUS_MS) <= 0)
			continue;
		if (fds[0].revents != 0)
			go_on = take_signal(&m, signals);
		if (fds[1].revents != 0)
			read_tail(&m);
	}
	ctl_screen_stop(&m.screen);
	if (m.tail >= 0)
		(void)close(m.tail);
	(void)close(signals);
	return CTL_EXIT_OK;
}
