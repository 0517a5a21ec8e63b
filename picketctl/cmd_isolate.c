/* picketctl isolate on|off|status. */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/limits.h"
#include "envelope.pb-c.h"
#include "picketctl/ctl.h"

/* --allow options in one command: a command line holds about this many. */
#define MAX_ALLOW 1000u

const char *
ctl_isolation_state(Picket__V1__IsolationState state)
{
	switch (state) {
	case PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_RELEASED:
		return "released";
	case PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_ISOLATED:
		return "isolated";
	case PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_FAILED:
		return "failed";
	case PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_UNSPECIFIED:
	case _PICKET__V1__ISOLATION_STATE_IS_INT_SIZE:
		break;
	}
	return "unknown";
}

const char *
ctl_isolation_origin(Picket__V1__IsolationOrigin origin)
{
	switch (origin) {
	case PICKET__V1__ISOLATION_ORIGIN__ISOLATION_ORIGIN_SERVER:
		return "server";
	case PICKET__V1__ISOLATION_ORIGIN__ISOLATION_ORIGIN_LOCAL:
		return "local";
	case PICKET__V1__ISOLATION_ORIGIN__ISOLATION_ORIGIN_UNSPECIFIED:
	case _PICKET__V1__ISOLATION_ORIGIN_IS_INT_SIZE:
		break;
	}
	return "none";
}

void
ctl_render_isolation(struct ctl_render *r, const Picket__V1__IsolationStatus *status)
{
	bool on = status->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_ISOLATED ||
		  status->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_FAILED;
	enum ctl_mood mood = status->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_RELEASED   ? CTL_PLAIN
			     : status->state == PICKET__V1__ISOLATION_STATE__ISOLATION_STATE_ISOLATED ? CTL_WARN
												      : CTL_BAD;

	ctl_render_str(r, "state", "State", ctl_isolation_state(status->state), mood);
	ctl_render_str(r, "origin", on ? "Ordered by" : NULL, ctl_isolation_origin(status->origin), CTL_PLAIN);
	ctl_render_time(r, "since_ms", on ? "Since" : NULL, status->since_ms);
	if (on && status->until_ms == 0)
		ctl_render_str(r, NULL, "Until", "released", CTL_PLAIN);
	ctl_render_time(r, "until_ms", on && status->until_ms != 0 ? "Until" : NULL, status->until_ms);
	ctl_render_u64(r, "exceptions", on ? "Exceptions" : NULL, status->exceptions);
	ctl_render_u64(r, "endpoints", on ? "Uplink" : NULL, status->n_uplink);
	ctl_render_u64(r, "heals", on ? "Heals" : NULL, status->heals);
	ctl_render_bytes(r, "backend", on ? "Backend" : NULL, status->backend, CTL_PLAIN);
	ctl_render_bytes(r, "detail", status->detail.len > 0 ? "Detail" : NULL, status->detail, CTL_WARN);
}

/* Every --allow into exceptions. Returns an exit code. */
static int
read_allows(struct ctl_args *args, struct ctl_allow *allow, Picket__V1__IsolationException **ptr, size_t *ret_n)
{
	char err[CTL_TEXT_BYTES];
	const char *text;
	int r;

	while ((r = ctl_args_value(args, "--allow", &text)) > 0) {
		if (*ret_n == MAX_ALLOW)
			return ctl_fail(CTL_EXIT_ARGUMENT, "more than %u --allow", MAX_ALLOW);
		if (ctl_parse_allow(text, &allow[*ret_n], err, sizeof(err)) < 0)
			return ctl_fail(CTL_EXIT_ARGUMENT, "%s", err);
		ptr[*ret_n] = &allow[*ret_n].pb;
		(*ret_n)++;
	}
	return r < 0 ? ctl_fail(CTL_EXIT_ARGUMENT, "--allow needs DIRECTION:PROTOCOL:ADDRESS[/BITS][:PORT[-PORT]]")
		     : CTL_EXIT_OK;
}

static int
read_duration(struct ctl_args *args, uint64_t *ret_s)
{
	char err[CTL_TEXT_BYTES];
	const char *text = NULL;
	int r = ctl_args_value(args, "--duration", &text);

	if (r < 0)
		return ctl_fail(CTL_EXIT_ARGUMENT, "--duration needs a time, e.g. 2h");
	if (r > 0 && ctl_parse_duration(text, ret_s, err, sizeof(err)) < 0)
		return ctl_fail(CTL_EXIT_ARGUMENT, "%s", err);
	return CTL_EXIT_OK;
}

static int
read_verb(struct ctl_args *args, Picket__V1__IsolateRequest *request)
{
	const char *verb;

	if (ctl_args_unknown(args) != NULL)
		return ctl_expect_no_more(args);
	verb = ctl_args_next(args);
	if (verb != NULL && strcmp(verb, "on") == 0)
		request->verb = PICKET__V1__ISOLATE_VERB__ISOLATE_VERB_ON;
	else if (verb != NULL && strcmp(verb, "off") == 0)
		request->verb = PICKET__V1__ISOLATE_VERB__ISOLATE_VERB_OFF;
	else if (verb != NULL && strcmp(verb, "status") == 0)
		request->verb = PICKET__V1__ISOLATE_VERB__ISOLATE_VERB_STATUS;
	else
		return ctl_fail(CTL_EXIT_ARGUMENT,
		    "isolate on [--duration TIME] [--allow RULE]..., isolate off, or isolate status");
	if (request->verb != PICKET__V1__ISOLATE_VERB__ISOLATE_VERB_ON &&
	    (request->n_exceptions > 0 || request->duration_s > 0))
		return ctl_fail(CTL_EXIT_ARGUMENT, "--duration and --allow go with isolate on");
	return ctl_expect_no_more(args);
}

int
ctl_cmd_isolate(struct ctl *ctl, struct ctl_args *args)
{
	Picket__V1__IsolateRequest request = PICKET__V1__ISOLATE_REQUEST__INIT;
	AUTO_FREE struct ctl_allow *allow = calloc(MAX_ALLOW, sizeof(*allow));
	AUTO_FREE Picket__V1__IsolationException **ptr = calloc(MAX_ALLOW, sizeof(Picket__V1__IsolationException *));
	const Picket__V1__IsolateReply *isolate;
	struct ctl_reply reply;
	struct ctl_render *r;
	int code;

	if (allow == NULL || ptr == NULL)
		return ctl_fail(CTL_EXIT_OTHER, "out of memory");
	request.exceptions = ptr;
	code = read_allows(args, allow, ptr, &request.n_exceptions);
	if (code == CTL_EXIT_OK)
		code = read_duration(args, &request.duration_s);
	if (code == CTL_EXIT_OK)
		code = read_verb(args, &request);
	if (code == CTL_EXIT_OK)
		code = ctl_request(ctl, PICKET__V1__MSG__MSG_ISOLATE_REQUEST, &request.base,
		    PICKET__V1__MSG__MSG_ISOLATE_REPLY, &picket__v1__isolate_reply__descriptor, &reply);
	if (code != CTL_EXIT_OK)
		return code;
	isolate = (const void *)reply.pb;
	r = ctl_render(ctl);
	if (isolate->status != NULL)
		ctl_render_isolation(r, isolate->status);
	ctl_render_done(r);
	pb_arena_free(reply.arena);
	return CTL_EXIT_OK;
}
