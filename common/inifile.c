/* Settings files in INI form: see inifile.h. Pure; called by agentd for its store and by picketctl for --file. */
#include "common/inifile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Cut blanks off both ends, in place. */
static char *
trim(char *s)
{
	size_t len;

	s += strspn(s, " \t\r");
	len = strlen(s);
	while (len > 0 && strchr(" \t\r", s[len - 1]) != NULL)
		s[--len] = '\0';
	return s;
}

static int
bad_line(unsigned int line, const char *what, char *err, size_t err_size)
{
	(void)snprintf(err, err_size, "line %u: %s", line, what);
	return -EINVAL;
}

int
inifile_parse(const char *text, size_t len, inifile_entry entry, void *ctx, char *err, size_t err_size)
{
	char section[INIFILE_LINE_BYTES] = "";
	char buf[INIFILE_LINE_BYTES];
	const char *end = text + len;
	unsigned int line = 0;

	while (text < end) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((eol != NULL ? eol : end) - text);
		char *s, *eq;
		int r;

		line++;
		if (n >= sizeof(buf))
			return bad_line(line, "is too long", err, err_size);
		memcpy(buf, text, n);
		buf[n] = '\0';
		if (strlen(buf) != n)
			return bad_line(line, "holds a NUL byte", err, err_size);
		text += n + (eol != NULL);
		s = trim(buf);
		if (*s == '\0' || *s == '#' || *s == ';')
			continue;
		if (*s == '[') {
			char *close = strchr(s, ']');

			if (close == NULL || close[1] != '\0')
				return bad_line(line, "a section is written [Name]", err, err_size);
			*close = '\0';
			(void)snprintf(section, sizeof(section), "%s", trim(s + 1));
			continue;
		}
		eq = strchr(s, '=');
		if (eq == NULL || eq == s)
			return bad_line(line, "expected Key=Value", err, err_size);
		*eq = '\0';
		r = entry(section, trim(s), trim(eq + 1), line, ctx);
		if (r < 0)
			return r;
	}
	return 0;
}
