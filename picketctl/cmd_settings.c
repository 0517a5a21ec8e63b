/* picketctl settings get|set: text is an INI file that set --file takes back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/inifile.h"
#include "envelope.pb-c.h"
#include "picketctl/ctl.h"

/* Settings in one request: agentd's table has 29. */
#define MAX_SETTINGS 58u

/* Bytes of a settings file: the whole table with the longest values and comments is far below. */
#define FILE_BYTES 65536u

struct wanted {
	Picket__V1__Setting row[MAX_SETTINGS];
	Picket__V1__Setting *ptr[MAX_SETTINGS];
	char *copy[MAX_SETTINGS]; /* section, key and value of each in one allocation */
	size_t n;
};

static void
wanted_free(struct wanted *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->copy[i]);
}

static int
wanted_add(
    struct wanted *w, const char *section, size_t section_len, const char *key, size_t key_len, const char *value)
{
	size_t value_len = strlen(value);
	Picket__V1__Setting *s = &w->row[w->n];
	char *copy;

	if (w->n == MAX_SETTINGS)
		return -E2BIG;
	copy = malloc(section_len + key_len + value_len + 1);
	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, section, section_len);
	memcpy(copy + section_len, key, key_len);
	memcpy(copy + section_len + key_len, value, value_len);
	picket__v1__setting__init(s);
	s->section = pb_bytes(copy, section_len);
	s->key = pb_bytes(copy + section_len, key_len);
	s->value = pb_bytes(copy + section_len + key_len, value_len);
	w->copy[w->n] = copy;
	w->ptr[w->n] = s;
	w->n++;
	return 0;
}

/* "[Section.]Key", and the value of a set: "[Section.]Key=Value". */
static int
wanted_add_argument(struct wanted *w, const char *arg, bool with_value)
{
	size_t name_len = with_value ? strcspn(arg, "=") : strlen(arg);
	size_t key_at = name_len;

	while (key_at > 0 && arg[key_at - 1] != '.')
		key_at--;
	return wanted_add(
	    w, arg, key_at > 0 ? key_at - 1 : 0, arg + key_at, name_len - key_at, with_value ? arg + name_len + 1 : "");
}

static int
on_entry(const char *section, const char *key, const char *value, unsigned int line, void *ctx)
{
	(void)line;
	return wanted_add(ctx, section, strlen(section), key, strlen(key), value);
}

/* A settings file, "-" for standard input. Returns an exit code. */
static int
read_file(struct wanted *w, const char *path)
{
	AUTO_FILE FILE *opened = strcmp(path, "-") == 0 ? NULL : fopen(path, "re");
	FILE *f = strcmp(path, "-") == 0 ? stdin : opened;
	AUTO_FREE char *text = malloc(FILE_BYTES);
	char err[CTL_TEXT_BYTES];
	size_t len;
	int r;

	if (f == NULL)
		return ctl_fail(CTL_EXIT_ARGUMENT, "%s: %s", path, strerror(errno));
	if (text == NULL)
		return ctl_fail(CTL_EXIT_OTHER, "out of memory");
	len = fread(text, 1, FILE_BYTES, f);
	if (ferror(f) != 0 || len == FILE_BYTES)
		return ctl_fail(CTL_EXIT_ARGUMENT, "%s: not readable, or larger than %u bytes", path, FILE_BYTES);
	r = inifile_parse(text, len, on_entry, w, err, sizeof(err));
	if (r == -E2BIG)
		return ctl_fail(CTL_EXIT_ARGUMENT, "%s: more than %u settings", path, MAX_SETTINGS);
	if (r < 0)
		return ctl_fail(CTL_EXIT_ARGUMENT, "%s: %s", path, r == -ENOMEM ? "out of memory" : err);
	return CTL_EXIT_OK;
}

/* What is to be set or got. Returns an exit code. */
static int
read_wanted(struct wanted *w, struct ctl_args *args, const char *file, bool set)
{
	const char *arg;

	if (file != NULL) {
		int code = read_file(w, file);

		if (code != CTL_EXIT_OK)
			return code;
	}
	while ((arg = ctl_args_next(args)) != NULL) {
		if (set && strchr(arg, '=') == NULL)
			return ctl_fail(CTL_EXIT_ARGUMENT, "%s: expected Key=Value", arg);
		if (wanted_add_argument(w, arg, set) < 0)
			return ctl_fail(CTL_EXIT_ARGUMENT, "more than %u settings", MAX_SETTINGS);
	}
	if (set && w->n == 0)
		return ctl_fail(CTL_EXIT_ARGUMENT, "settings set: what? Key=Value, or --file FILE");
	return CTL_EXIT_OK;
}

static const char *
origin_word(Picket__V1__SettingOrigin origin)
{
	switch (origin) {
	case PICKET__V1__SETTING_ORIGIN__SETTING_ORIGIN_DEFAULT:
		return "default";
	case PICKET__V1__SETTING_ORIGIN__SETTING_ORIGIN_LOCAL:
		return "local";
	case PICKET__V1__SETTING_ORIGIN__SETTING_ORIGIN_POLICY:
		return "policy";
	case PICKET__V1__SETTING_ORIGIN__SETTING_ORIGIN_UNSPECIFIED:
	case _PICKET__V1__SETTING_ORIGIN_IS_INT_SIZE:
		break;
	}
	return "unknown";
}

/* INI has a form of its own, so that it is not the render's text. */
static void
print_ini(const Picket__V1__SettingsReply *reply)
{
	char section[64] = "", this_section[64], text[1024]; /* bytes: the longest value is a proxy of 511 */

	(void)printf(
	    "# KATAEDR, revision %llu. What is not marked is the default.\n", (unsigned long long)reply->revision);
	for (size_t i = 0; i < reply->n_settings; i++) {
		const Picket__V1__Setting *s = reply->settings[i];

		(void)ctl_escape(s->section, this_section, sizeof(this_section));
		if (strcmp(section, this_section) != 0) {
			(void)printf("[%s]\n", this_section);
			memcpy(section, this_section, sizeof(section));
		}
		if (s->origin != PICKET__V1__SETTING_ORIGIN__SETTING_ORIGIN_DEFAULT)
			(void)printf("# %s\n", origin_word(s->origin));
		(void)printf("%s=", ctl_escape(s->key, text, sizeof(text)));
		(void)printf("%s\n", ctl_escape(s->value, text, sizeof(text)));
	}
}

static void
print_settings(const struct ctl *ctl, const Picket__V1__SettingsReply *reply)
{
	struct ctl_render *r;

	if (!ctl->json) {
		print_ini(reply);
		return;
	}
	r = ctl_render(ctl);
	ctl_render_u64(r, "revision", NULL, reply->revision);
	ctl_render_table(r, "settings", NULL);
	for (size_t i = 0; i < reply->n_settings; i++) {
		ctl_render_row(r);
		ctl_render_bytes(r, "section", NULL, reply->settings[i]->section, CTL_PLAIN);
		ctl_render_bytes(r, "key", NULL, reply->settings[i]->key, CTL_PLAIN);
		ctl_render_bytes(r, "value", NULL, reply->settings[i]->value, CTL_PLAIN);
		ctl_render_str(r, "origin", NULL, origin_word(reply->settings[i]->origin), CTL_PLAIN);
		ctl_render_bytes(r, "help", NULL, reply->settings[i]->help, CTL_PLAIN);
		ctl_render_end(r);
	}
	ctl_render_end(r);
	ctl_render_done(r);
}

int
ctl_cmd_settings(struct ctl *ctl, struct ctl_args *args)
{
	Picket__V1__SettingsRequest request = PICKET__V1__SETTINGS_REQUEST__INIT;
	struct wanted wanted = {.n = 0};
	struct ctl_reply reply;
	const char *file = NULL, *verb, *task;
	int has_file = ctl_args_value(args, "--file", &file), code;
	bool set;

	if (has_file < 0)
		return ctl_fail(CTL_EXIT_ARGUMENT, "--file needs a file, or - for standard input");
	if (ctl_args_unknown(args) != NULL)
		return ctl_expect_no_more(args);
	verb = ctl_args_next(args);
	task = ctl_args_next(args);
	set = verb != NULL && strcmp(verb, "set") == 0;
	if (verb == NULL || task == NULL || (!set && (strcmp(verb, "get") != 0 || file != NULL)))
		return ctl_fail(CTL_EXIT_ARGUMENT,
		    "settings get KATAEDR [Key...], or settings set KATAEDR [--file FILE] [Key=Value...]");
	code = read_wanted(&wanted, args, file, set);
	if (code == CTL_EXIT_OK) {
		request.verb =
		    set ? PICKET__V1__SETTINGS_VERB__SETTINGS_VERB_SET : PICKET__V1__SETTINGS_VERB__SETTINGS_VERB_GET;
		request.task = pb_str(task);
		request.settings = wanted.ptr;
		request.n_settings = wanted.n;
		code = ctl_request(ctl, PICKET__V1__MSG__MSG_SETTINGS_REQUEST, &request.base,
		    PICKET__V1__MSG__MSG_SETTINGS_REPLY, &picket__v1__settings_reply__descriptor, &reply);
	}
	if (code == CTL_EXIT_OK) {
		print_settings(ctl, (const void *)reply.pb);
		pb_arena_free(reply.arena);
	}
	wanted_free(&wanted);
	return code;
}
