/*
 * The configuration grammar: INI (inih), one table row per key. The table drives parsing, checking, the dump (-T) and
 * the sample file.
 *
 * A program names the sections it reads ("General" for what all share, then its own); other known sections of the file
 * are skipped, unknown ones are an error. Unknown or repeated keys and values out of range are errors with file:line
 * and what is allowed. A drop-in (conf.d/NAME.conf, in order of name) may set a key again; one file may not set it
 * twice.
 */
#ifndef PICKET_COMMON_CONF_H
#define PICKET_COMMON_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum conf_type {
	CONF_STRING = 1, /* char *; owned by the conf, freed by conf_done(); "" when empty */
	CONF_PATH,       /* char *; absolute */
	CONF_BOOL,       /* bool; yes no true false on off 1 0 */
	CONF_U64,        /* uint64_t; plain number */
	CONF_BYTES,      /* uint64_t; number with B, KiB, MiB, GiB */
	CONF_MS,         /* uint64_t milliseconds; number with ms, s, min, h, d */
	CONF_ENUM,       /* int; one of `names`, NULL-terminated: its index */
	CONF_USER,       /* uint32_t uid; a name or a number */
	CONF_GROUP,      /* uint32_t gid; a name or a number */
};

struct conf_key {
	const char *section;
	const char *key;
	enum conf_type type;
	size_t offset;            /* of the field in the program's conf struct */
	const char *default_text; /* parsed like a value from the file; NULL: none needed, the field stays zero ("" for
				     strings) */
	uint64_t min, max;        /* CONF_U64, CONF_BYTES, CONF_MS: allowed range, both ends included */
	const char *const *names; /* CONF_ENUM */
	const char *help;         /* one or two lines for the sample file and the dump; says the unit */
};

/* Sections that exist in picket.conf; one that a program does not read is skipped, any other is an error. */
extern const char *const conf_known_sections[];

/*
 * conf_load - fill a conf struct from defaults, a file and its drop-ins.
 * @keys:   rows, ended by one with key NULL; borrowed.
 * @conf:   zeroed struct; on success free with conf_done(). Untouched strings are "".
 * @path:   main file; drop-ins are read from the directory conf.d beside it. NULL: defaults only.
 * @err:    on failure one line without newline: "FILE:LINE: what is wrong, what is allowed".
 * Returns 0, -EINVAL for a bad file, or the negative errno of opening it. On failure nothing is left to free.
 */
int conf_load(const struct conf_key *keys, void *conf, const char *path, char *err, size_t err_size);

/* conf_parse_value - one value by its row into conf. Returns 0, or -EINVAL with what is allowed in err and the field
 * unchanged. */
int conf_parse_value(const struct conf_key *key, void *conf, const char *text, char *err, size_t err_size);

/* conf_format_value - the field as text that parses back to the same value. */
void conf_format_value(const struct conf_key *key, const void *conf, char *buf, size_t size);

/* conf_dump - all values in force; parses back to the same dump. */
void conf_dump(const struct conf_key *keys, const void *conf, FILE *out);

/* conf_sample - keys with help and default, commented out: those of [General], or all the others. */
void conf_sample(const struct conf_key *keys, bool general, FILE *out);

void conf_done(const struct conf_key *keys, void *conf);

#endif
