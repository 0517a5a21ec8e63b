/* INI files by key table. Pure but for reading the files; knows no program's keys. Called by daemon.c, picketctl and
 * the server. */
#include "common/conf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <ini.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

/* Keys in one table, for the "set twice" check. */
#define MAX_KEYS 64u
/* Bytes of a value as text: a path of PATH_MAX and its terminator. */
#define VALUE_BYTES 4097u

const char *const conf_known_sections[] = {
    "General", "agentd", "collectord", "uplinkd", "isolatord", "Management", "server", NULL};

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit byte_units[] = {{"B", 1}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}, {NULL, 0}};
static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};

static const struct unit *
units_of(enum conf_type type)
{
	return type == CONF_BYTES ? byte_units : type == CONF_MS ? time_units : NULL;
}

/* The largest unit that divides the value: what a person would have written. */
static void
format_number(enum conf_type type, uint64_t value, char *buf, size_t size)
{
	const struct unit *unit = units_of(type), *best = unit;

	if (unit == NULL) {
		(void)snprintf(buf, size, "%" PRIu64, value);
		return;
	}
	for (; unit->name != NULL; unit++) {
		if (value > 0 && value % unit->factor == 0)
			best = unit;
	}
	(void)snprintf(buf, size, "%" PRIu64 "%s", value / best->factor, best->name);
}

static int
parse_number(const struct conf_key *key, const char *text, uint64_t *ret)
{
	const struct unit *unit = units_of(key->type);
	char *end;
	uint64_t factor = 1;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	uint64_t value = strtoull(text, &end, 10);
	if (errno != 0)
		return -EINVAL;
	if (unit == NULL) {
		if (*end != '\0')
			return -EINVAL;
	} else if (value != 0 || *end != '\0') {
		while (*end == ' ')
			end++;
		while (unit->name != NULL && strcmp(unit->name, end) != 0)
			unit++;
		if (unit->name == NULL)
			return -EINVAL;
		factor = unit->factor;
	}
	if (value > UINT64_MAX / factor)
		return -EINVAL;
	value *= factor;
	if (key->max != 0 && (value < key->min || value > key->max))
		return -EINVAL;
	*ret = value;
	return 0;
}

static int
parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = {"yes", "true", "on", "1", NULL}, *const no[] = {
									       "no", "false", "off", "0", NULL};

	for (size_t i = 0; yes[i] != NULL; i++) {
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*ret = strcasecmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

static int
parse_id(enum conf_type type, const char *text, uint32_t *ret)
{
	char *end;

	if (isdigit((unsigned char)text[0])) {
		errno = 0;
		unsigned long id = strtoul(text, &end, 10);
		if (errno != 0 || *end != '\0' || id >= UINT32_MAX)
			return -EINVAL;
		*ret = (uint32_t)id;
		return 0;
	}
	if (type == CONF_USER) {
		const struct passwd *pw = getpwnam(text);

		if (pw == NULL)
			return -ENOENT;
		*ret = pw->pw_uid;
		return 0;
	}

	const struct group *gr = getgrnam(text);
	if (gr == NULL)
		return -ENOENT;
	*ret = gr->gr_gid;
	return 0;
}

static int
parse_string(const struct conf_key *key, char **field, const char *text)
{
	if (strlen(text) >= VALUE_BYTES || (key->type == CONF_PATH && text[0] != '/'))
		return -EINVAL;

	char *copy = strdup(text);
	if (copy == NULL)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

static int
parse_enum(const struct conf_key *key, const char *text, int *ret)
{
	for (int i = 0; key->names[i] != NULL; i++) {
		if (strcasecmp(text, key->names[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* What is allowed, for the error line. */
static void
describe(const struct conf_key *key, int r, char *buf, size_t size)
{
	char lo[32], hi[32];
	size_t len = 0;

	switch (key->type) {
	case CONF_STRING:
		(void)snprintf(buf, size, "a text of at most %u bytes", VALUE_BYTES - 1);
		break;
	case CONF_PATH:
		(void)snprintf(buf, size, "an absolute path");
		break;
	case CONF_BOOL:
		(void)snprintf(buf, size, "yes or no");
		break;
	case CONF_U64:
	case CONF_BYTES:
	case CONF_MS:
		format_number(key->type, key->min, lo, sizeof(lo));
		format_number(key->type, key->max, hi, sizeof(hi));
		(void)snprintf(buf, size, "%s to %s%s", key->max != 0 ? lo : "0", key->max != 0 ? hi : "any number",
		    key->type == CONF_BYTES ? " (B, KiB, MiB, GiB)"
		    : key->type == CONF_MS  ? " (ms, s, min, h, d)"
					    : "");
		break;
	case CONF_ENUM:
		for (int i = 0; key->names[i] != NULL && len < size; i++)
			len += (size_t)snprintf(buf + len, size - len, "%s%s", i > 0 ? ", " : "one of ", key->names[i]);
		break;
	case CONF_USER:
	case CONF_GROUP:
		(void)snprintf(buf, size,
		    r == -ENOENT ? "an existing %s (there is none of this name: create it or give a number)"
				 : "the name or number of a %s",
		    key->type == CONF_USER ? "user" : "group");
		break;
	}
}

int
conf_parse_value(const struct conf_key *key, void *conf, const char *text, char *err, size_t err_size)
{
	void *field = (char *)conf + key->offset;
	char allowed[256]; /* bytes of one sentence */
	int r = -EINVAL;

	switch (key->type) {
	case CONF_STRING:
	case CONF_PATH:
		r = parse_string(key, field, text);
		break;
	case CONF_BOOL:
		r = parse_bool(text, field);
		break;
	case CONF_U64:
	case CONF_BYTES:
	case CONF_MS:
		r = parse_number(key, text, field);
		break;
	case CONF_ENUM:
		r = parse_enum(key, text, field);
		break;
	case CONF_USER:
	case CONF_GROUP:
		r = parse_id(key->type, text, field);
		break;
	}
	if (r < 0) {
		describe(key, r, allowed, sizeof(allowed));
		(void)snprintf(err, err_size, "%s=%.100s: must be %s", key->key, text, allowed);
		return -EINVAL;
	}
	return 0;
}

void
conf_format_value(const struct conf_key *key, const void *conf, char *buf, size_t size)
{
	const void *field = (const char *)conf + key->offset;
	const char *text;

	switch (key->type) {
	case CONF_STRING:
	case CONF_PATH:
		text = *(char *const *)field;
		(void)snprintf(buf, size, "%s", text != NULL ? text : "");
		break;
	case CONF_BOOL:
		(void)snprintf(buf, size, "%s", *(const bool *)field ? "yes" : "no");
		break;
	case CONF_U64:
	case CONF_BYTES:
	case CONF_MS:
		format_number(key->type, *(const uint64_t *)field, buf, size);
		break;
	case CONF_ENUM:
		(void)snprintf(buf, size, "%s", key->names[*(const int *)field]);
		break;
	case CONF_USER:
	case CONF_GROUP:
		(void)snprintf(buf, size, "%" PRIu32, *(const uint32_t *)field);
		break;
	}
}

/* ---- files ---- */

struct load {
	const struct conf_key *keys;
	void *conf;
	const char *path;
	FILE *file;
	int line;            /* of the text last handed to inih */
	bool too_long;       /* that line did not fit inih's buffer */
	bool seen[MAX_KEYS]; /* in this file */
	char *err;
	size_t err_size;
	int result;
};

/* Counts lines, since the packaged inih does not tell them. */
static char *
read_line(char *buf, int size, void *stream)
{
	struct load *load = stream;
	char *line = fgets(buf, size, load->file);

	if (line == NULL)
		return NULL;
	load->line++;
	/* inih would take the rest for a line of its own. */
	load->too_long = strlen(line) + 1 == (size_t)size && line[size - 2] != '\n';
	return load->too_long ? NULL : line;
}

static int
fail(struct load *load, const char *format, const char *a, const char *b)
{
	int n = snprintf(load->err, load->err_size, "%s:%d: ", load->path, load->line);

	if (n >= 0 && (size_t)n < load->err_size) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(load->err + n, load->err_size - (size_t)n, format, a, b);
#pragma GCC diagnostic pop
	}
	load->result = -EINVAL;
	return 0; /* stops inih */
}

static bool
is_known_section(const char *section)
{
	for (size_t i = 0; conf_known_sections[i] != NULL; i++) {
		if (strcmp(section, conf_known_sections[i]) == 0)
			return true;
	}
	return false;
}

static int
on_value(void *user, const char *section, const char *name, const char *value)
{
	struct load *load = user;
	bool section_is_ours = false;
	char why[512]; /* bytes of one sentence */

	if (load->result < 0)
		return 0;
	for (size_t i = 0; load->keys[i].key != NULL; i++) {
		const struct conf_key *key = &load->keys[i];

		if (strcmp(key->section, section) != 0)
			continue;
		section_is_ours = true;
		if (strcmp(key->key, name) != 0)
			continue;
		if (load->seen[i])
			return fail(load, "%s is set twice%s: remove one of the two", name, "");
		load->seen[i] = true;
		if (conf_parse_value(key, load->conf, value, why, sizeof(why)) < 0)
			return fail(load, "%s%s", why, "");
		return 1;
	}
	if (section_is_ours)
		return fail(load, "unknown key %s in [%s]: check the spelling against picket.conf(5)", name, section);
	if (!is_known_section(section))
		return fail(load, "unknown section [%s]%s: check the spelling against picket.conf(5)", section, "");
	return 1;
}

static int
load_file(struct load *load, const char *path)
{
	AUTO_FILE FILE *file = fopen(path, "re");

	load->path = path;
	load->line = 0;
	load->too_long = false;
	memset(load->seen, 0, sizeof(load->seen));
	if (file == NULL) {
		int r = -errno;

		(void)snprintf(load->err, load->err_size, "%s: %s", path, strerror(-r));
		return r;
	}
	load->file = file;
	load->result = 0;
	int bad_line = ini_parse_stream(read_line, load, on_value, load);
	load->file = NULL;
	if (load->too_long)
		(void)fail(load, "line is too long%s%s", "", "");
	if (load->result < 0)
		return load->result;
	if (bad_line != 0) {
		(void)snprintf(load->err, load->err_size, "%s:%d: not \"Key = value\", \"[Section]\" or a # comment",
		    path, bad_line > 0 ? bad_line : load->line);
		return -EINVAL;
	}
	return 0;
}

static int
is_drop_in(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 5 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static int
load_drop_ins(struct load *load, const char *main_path)
{
	char path[VALUE_BYTES];
	const char *slash = strrchr(main_path, '/');
	int dir_len = slash != NULL ? (int)(slash - main_path) : 1;
	struct dirent **entries = NULL;
	int r = 0;

	(void)snprintf(path, sizeof(path), "%.*s/conf.d", dir_len, slash != NULL ? main_path : ".");
	int n = scandir(path, &entries, is_drop_in, alphasort);
	if (n < 0)
		return errno == ENOENT ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		if (r == 0) {
			(void)snprintf(path, sizeof(path), "%.*s/conf.d/%s", dir_len, slash != NULL ? main_path : ".",
			    entries[i]->d_name);
			r = load_file(load, path);
		}
		free(entries[i]);
	}
	free(entries);
	load->path = main_path;
	return r;
}

static int
load_defaults(struct load *load)
{
	for (const struct conf_key *key = load->keys; key->key != NULL; key++) {
		bool text = key->type == CONF_STRING || key->type == CONF_PATH;

		if (text && key->default_text == NULL) {
			char **field = (char **)(void *)((char *)load->conf + key->offset);

			*field = strdup("");
			if (*field == NULL)
				return -ENOMEM;
		}
		/* Users and groups are looked up only if the file does not name others: see resolve_defaults(). */
		if (key->default_text != NULL && key->type != CONF_USER && key->type != CONF_GROUP &&
		    conf_parse_value(key, load->conf, key->default_text, load->err, load->err_size) < 0)
			return -EINVAL;
	}
	return 0;
}

/* Users and groups that no file set. They need not exist when a file names others. */
static int
resolve_defaults(struct load *load, const bool *set)
{
	for (size_t i = 0; load->keys[i].key != NULL; i++) {
		const struct conf_key *key = &load->keys[i];

		if ((key->type == CONF_USER || key->type == CONF_GROUP) && !set[i] && key->default_text != NULL &&
		    conf_parse_value(key, load->conf, key->default_text, load->err, load->err_size) < 0)
			return -EINVAL;
	}
	return 0;
}

int
conf_load(const struct conf_key *keys, void *conf, const char *path, char *err, size_t err_size)
{
	struct load load = {.keys = keys, .conf = conf, .err = err, .err_size = err_size};
	bool set[MAX_KEYS] = {false};
	uint32_t unset = UINT32_MAX; /* never a valid id: parse_id() refuses it */

	for (const struct conf_key *key = keys; key->key != NULL; key++) {
		if (key->type == CONF_USER || key->type == CONF_GROUP)
			memcpy((char *)conf + key->offset, &unset, sizeof(unset));
	}

	int r = load_defaults(&load);
	if (r == 0 && path != NULL)
		r = load_file(&load, path);
	if (r == 0 && path != NULL)
		r = load_drop_ins(&load, path);
	for (size_t i = 0; keys[i].key != NULL; i++) {
		if (keys[i].type == CONF_USER || keys[i].type == CONF_GROUP)
			set[i] = memcmp((char *)conf + keys[i].offset, &unset, sizeof(unset)) != 0;
	}
	if (r == 0)
		r = resolve_defaults(&load, set);
	if (r < 0)
		conf_done(keys, conf);
	return r;
}

static bool
first_of_section(const struct conf_key *keys, const struct conf_key *key)
{
	return key == keys || strcmp(key->section, key[-1].section) != 0;
}

void
conf_dump(const struct conf_key *keys, const void *conf, FILE *out)
{
	char value[VALUE_BYTES];

	for (const struct conf_key *key = keys; key->key != NULL; key++) {
		if (first_of_section(keys, key))
			(void)fprintf(out, "%s[%s]\n", key == keys ? "" : "\n", key->section);
		conf_format_value(key, conf, value, sizeof(value));
		(void)fprintf(out, "%s = %s\n", key->key, value);
	}
}

void
conf_sample(const struct conf_key *keys, bool general, FILE *out)
{
	for (const struct conf_key *key = keys; key->key != NULL; key++) {
		if ((strcmp(key->section, "General") == 0) != general)
			continue;
		if (first_of_section(keys, key))
			(void)fprintf(out, "%s[%s]\n", general ? "" : "\n", key->section);
		(void)fprintf(
		    out, "# %s\n#%s = %s\n", key->help, key->key, key->default_text != NULL ? key->default_text : "");
	}
}

void
conf_done(const struct conf_key *keys, void *conf)
{
	for (const struct conf_key *key = keys; key->key != NULL; key++) {
		if (key->type == CONF_STRING || key->type == CONF_PATH) {
			char **field = (char **)(void *)((char *)conf + key->offset);

			free(*field);
			*field = NULL;
		}
	}
}
