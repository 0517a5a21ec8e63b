/*
 * Text for people out of bytes that anybody may have chosen. Never fails, never writes past the buffer.
 * Called by columns.c, host_state.c and api.c.
 */
#include "server/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Length of the UTF-8 character at p (RFC 3629), 0 when there is none. */
static size_t
utf8_length(const uint8_t *p, size_t left)
{
	static const struct {
		uint8_t first_min, first_max, second_min, second_max, len;
	} forms[] = {
	    /* clang-format off */
	    {0xc2, 0xdf, 0x80, 0xbf, 2},
	    {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
	    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	    /* clang-format on */
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (p[0] < forms[i].first_min || p[0] > forms[i].first_max)
			continue;
		if (left < forms[i].len || p[1] < forms[i].second_min || p[1] > forms[i].second_max)
			return 0;
		for (size_t j = 2; j < forms[i].len; j++) {
			if ((p[j] & 0xc0) != 0x80)
				return 0;
		}
		return forms[i].len;
	}
	return 0;
}

void
text_add(struct text *text, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len && text->len < text->size;) {
		uint8_t c = data[i];
		size_t n = 1;

		if (c >= 0x20 && c < 0x7f) { /* nearly always */
			text->buf[text->len++] = (char)c;
			i++;
			continue;
		}
		if (c >= 0x80)
			n = utf8_length(data + i, len - i);
		if (n > 1 && n <= text->size - text->len)
			memcpy(text->buf + text->len, data + i, n);
		else if (n > 1)
			return;
		else
			text->buf[text->len] = '?';
		n = n == 0 ? 1 : n;
		text->len += n;
		i += n;
	}
}

void
text_say(struct text *text, const char *s)
{
	text_add(text, (const uint8_t *)s, strlen(s));
}

void
text_number(struct text *text, uint64_t value)
{
	char buf[24];

	(void)snprintf(buf, sizeof(buf), "%" PRIu64, value);
	text_say(text, buf);
}

const char *
text_copy(char *buf, size_t size, const uint8_t *data, size_t len)
{
	struct text text = text_open(buf, size - 1);

	text_add(&text, data, len);
	buf[text.len] = '\0';
	return buf;
}
