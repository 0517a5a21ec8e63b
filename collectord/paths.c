/* Joins paths. Never resolves a symbolic link: the file system is not looked at. Called by normalise.c. */
#include "collectord/paths.h"

#include <string.h>

/* What append_elements() returns when the buffer is full. */
#define TOO_LONG SIZE_MAX

/* Append `path` to out without "." and empty elements; no leading slash is written twice. Returns the new length, or
 * TOO_LONG. */
static size_t
append_elements(uint8_t *out, size_t len, struct slice path)
{
	const uint8_t *p = path.data, *end = p + path.len;

	while (p < end) {
		const uint8_t *slash = memchr(p, '/', (size_t)(end - p));
		size_t n = (size_t)((slash != NULL ? slash : end) - p);

		if (n > 0 && !(n == 1 && *p == '.')) {
			if (len + 1 + n > PATHS_JOINED_BYTES)
				return TOO_LONG;
			out[len++] = '/';
			(void)memcpy(out + len, p, n);
			len += n;
		}
		p += n + 1;
	}
	return len;
}

/* An absolute path that needs no work, which is nearly every one. */
static bool
is_clean(struct slice path)
{
	for (size_t i = 0; i + 1 < path.len; i++)
		if (path.data[i] == '/' && (path.data[i + 1] == '/' || path.data[i + 1] == '.'))
			return false;
	return path.len > 0 && path.data[0] == '/' && (path.len == 1 || path.data[path.len - 1] != '/');
}

struct slice
paths_resolve(struct slice name, struct slice dir, uint8_t *out, bool *ret_unknown)
{
	bool absolute = name.len > 0 && name.data[0] == '/';
	size_t len = 0;

	if (name.len == 0 || is_clean(name))
		return name;
	if (!absolute) {
		if (dir.len == 0 || dir.data[0] != '/') {
			*ret_unknown = true;
			return name;
		}
		len = append_elements(out, 0, dir);
		if (len == TOO_LONG) {
			*ret_unknown = true;
			return name;
		}
	}
	len = append_elements(out, len, name);
	if (len == TOO_LONG) {
		*ret_unknown = !absolute;
		return name;
	}
	if (len == 0)
		out[len++] = '/'; /* nothing but slashes and dots */
	return (struct slice){out, len};
}
