/* picketctl exclusion list|add|remove. */
#include <stdlib.h>
#include <string.h>

#include "envelope.pb-c.h"
#include "picketctl/ctl.h"

static int
read_request(struct ctl_args *args, Picket__V1__ExclusionRequest *request, Picket__V1__Exclusion *exclusion)
{
	const char *verb, *what;
	char *end;
	unsigned long id;

	if (ctl_args_unknown(args) != NULL)
		return ctl_expect_no_more(args);
	verb = ctl_args_next(args);
	if (verb != NULL && strcmp(verb, "list") == 0) {
		request->verb = PICKET__V1__EXCLUSION_VERB__EXCLUSION_VERB_LIST;
		return ctl_expect_no_more(args);
	}
	what = ctl_args_next(args);
	if (verb != NULL && strcmp(verb, "add") == 0 && what != NULL) {
		request->verb = PICKET__V1__EXCLUSION_VERB__EXCLUSION_VERB_ADD;
		exclusion->process_path = pb_str(what);
	} else if (verb != NULL && strcmp(verb, "remove") == 0 && what != NULL) {
		request->verb = PICKET__V1__EXCLUSION_VERB__EXCLUSION_VERB_REMOVE;
		id = strtoul(what, &end, 10);
		if (*what < '0' || *what > '9' || *end != '\0' || id > UINT32_MAX)
			return ctl_fail(CTL_EXIT_ARGUMENT, "%s: expected the number that exclusion list shows", what);
		exclusion->id = (uint32_t)id;
	} else {
		return ctl_fail(CTL_EXIT_ARGUMENT, "exclusion list, exclusion add PATHMASK, or exclusion remove ID");
	}
	request->exclusion = exclusion;
	return ctl_expect_no_more(args);
}

int
ctl_cmd_exclusion(struct ctl *ctl, struct ctl_args *args)
{
	Picket__V1__ExclusionRequest request = PICKET__V1__EXCLUSION_REQUEST__INIT;
	Picket__V1__Exclusion exclusion = PICKET__V1__EXCLUSION__INIT;
	const Picket__V1__ExclusionReply *list;
	struct ctl_reply reply;
	struct ctl_render *r;
	int code = read_request(args, &request, &exclusion);

	if (code == CTL_EXIT_OK)
		code = ctl_request(ctl, PICKET__V1__MSG__MSG_EXCLUSION_REQUEST, &request.base,
		    PICKET__V1__MSG__MSG_EXCLUSION_REPLY, &picket__v1__exclusion_reply__descriptor, &reply);
	if (code != CTL_EXIT_OK)
		return code;
	list = (const void *)reply.pb;
	r = ctl_render(ctl);
	ctl_render_table(r, "exclusions", NULL);
	for (size_t i = 0; i < list->n_exclusions; i++) {
		const Picket__V1__Exclusion *e = list->exclusions[i];

		ctl_render_row(r);
		ctl_render_u64(r, "id", "ID", e->id);
		ctl_render_bool(r, "in_force", "IN FORCE", e->in_force);
		ctl_render_bytes(r, "process_path", "PROCESS PATH", e->process_path, CTL_PLAIN);
		ctl_render_end(r);
	}
	ctl_render_end(r);
	ctl_render_bytes(r, "note", list->note.len > 0 ? "Note" : NULL, list->note, CTL_WARN);
	ctl_render_done(r);
	pb_arena_free(reply.arena);
	return CTL_EXIT_OK;
}
