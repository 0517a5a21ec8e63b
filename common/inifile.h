/*
 * Settings files in INI form, as administrators exchange them: [Section] lines, Key=Value lines, comments that start
 * with # or ;. For text from a person or from disk; the configuration itself is read by conf.h. inih does not serve
 * here: as Debian builds it, a line ends at 200 bytes, and a proxy URL or a path may be longer.
 */
#ifndef PICKET_COMMON_INIFILE_H
#define PICKET_COMMON_INIFILE_H

#include <stddef.h>

/* Bytes of one line with its end: a path mask of PATH_MAX (4,096) and its key fit. */
#define INIFILE_LINE_BYTES 4352u

/*
 * Called per Key=Value; section is "" before the first [Section]. Strings are valid until it returns.
 * Returns 0, or a negative errno that ends the reading.
 */
typedef int (*inifile_entry)(const char *section, const char *key, const char *value, unsigned int line, void *ctx);

/*
 * inifile_parse - walk the entries of a text.
 * @text: `len` bytes, need not be terminated.
 * Blanks around sections, keys and values do not count. A value is everything after the first =.
 * Returns 0; what the callback returned; or -EINVAL with the line number and what is wrong with it in err: no = in it,
 * no key, an unclosed section, a NUL, or too long.
 */
int inifile_parse(const char *text, size_t len, inifile_entry entry, void *ctx, char *err, size_t err_size);

#endif
