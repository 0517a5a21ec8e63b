/*
 * The JSON writer of ecs.c: members, strings with the bytes that are not UTF-8. Never allocates. Called by ecs.c and
 * ecs_security.c.
 */
#include "common/ecs_json.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "common/ecs.h"

/* First character that stands for a stray byte, less the byte: U+EF80 stands for 0x80. */
#define STRAY_BASE 0xef00u

size_t
ecs_utf8_length(const uint8_t *text, size_t len)
{
	uint8_t c = text[0];
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;

	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] > 0x9f) || (c == 0xf0 && text[1] < 0x90) ||
	    (c == 0xf4 && text[1] > 0x8f))
		return 0;
	return n;
}

/* U+EF80..U+EFFF, the characters that stand for stray bytes: EE BE 80 .. EE BF BF in UTF-8. */
static bool
is_stray_mark(const uint8_t *text, size_t n)
{
	return n == 3 && text[0] == 0xee && text[1] >= 0xbe;
}

/* The inside of a string: escapes, and stray bytes as the header says. */
void
ecs_json_escaped(struct ecs_json *j, const uint8_t *text, size_t len)
{
	size_t plain = 0;

	for (size_t i = 0; i < len;) {
		uint8_t c = text[i];
		size_t n = c >= 0x20 && c < 0x7f ? 1 : ecs_utf8_length(text + i, len - i);

		if (n > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && !is_stray_mark(text + i, n)) {
			i += n;
			continue;
		}
		(void)fwrite_unlocked(text + plain, 1, i - plain, j->out);
		if (c == '"' || c == '\\')
			(void)fprintf(j->out, "\\%c", c);
		else
			(void)fprintf(j->out, "\\u%04x", c < 0x80 ? c : STRAY_BASE + c);
		plain = ++i;
	}
	(void)fwrite_unlocked(text + plain, 1, len - plain, j->out);
}

void
ecs_json_string(struct ecs_json *j, const void *text, size_t len)
{
	(void)putc_unlocked('"', j->out);
	ecs_json_escaped(j, text, len);
	(void)putc_unlocked('"', j->out);
}

void
ecs_json_separator(struct ecs_json *j)
{
	if (j->comma)
		(void)putc_unlocked(',', j->out);
	j->comma = true;
}

void
ecs_json_key(struct ecs_json *j, const char *key)
{
	ecs_json_separator(j);
	(void)fprintf(j->out, "\"%s\":", key);
}

void
ecs_json_open(struct ecs_json *j, const char *key, char bracket)
{
	ecs_json_key(j, key);
	(void)putc_unlocked(bracket, j->out);
	j->comma = false;
}

void
ecs_json_close(struct ecs_json *j, char bracket)
{
	(void)putc_unlocked(bracket, j->out);
	j->comma = true;
}

void
ecs_json_text(struct ecs_json *j, const char *key, const char *text)
{
	ecs_json_key(j, key);
	ecs_json_string(j, text, strlen(text));
}

/* Left out when empty: absent and empty are the same in our events. */
void
ecs_json_bytes(struct ecs_json *j, const char *key, ProtobufCBinaryData value)
{
	if (value.len == 0)
		return;
	ecs_json_key(j, key);
	ecs_json_string(j, value.data, value.len);
}

void
ecs_json_number(struct ecs_json *j, const char *key, uint64_t value)
{
	ecs_json_key(j, key);
	(void)fprintf(j->out, "%" PRIu64, value);
}

/* ECS keeps ids as keywords. */
void
ecs_json_id(struct ecs_json *j, const char *key, uint64_t value)
{
	ecs_json_key(j, key);
	(void)fprintf(j->out, "\"%" PRIu64 "\"", value);
}

void
ecs_json_hex_id(struct ecs_json *j, const char *key, uint64_t value)
{
	if (value == 0)
		return;
	ecs_json_key(j, key);
	(void)fprintf(j->out, "\"%016" PRIx64 "\"", value);
}

void
ecs_json_hex(struct ecs_json *j, const char *key, ProtobufCBinaryData value)
{
	if (value.len == 0)
		return;
	ecs_json_key(j, key);
	(void)putc_unlocked('"', j->out);
	for (size_t i = 0; i < value.len; i++)
		(void)fprintf(j->out, "%02x", value.data[i]);
	(void)putc_unlocked('"', j->out);
}

void
ecs_json_bool(struct ecs_json *j, const char *key, bool value)
{
	ecs_json_key(j, key);
	(void)fputs(value ? "true" : "false", j->out);
}

void
ecs_json_address(struct ecs_json *j, const char *key, ProtobufCBinaryData address)
{
	char text[INET6_ADDRSTRLEN];

	if ((address.len == 4 || address.len == 16) &&
	    inet_ntop(address.len == 4 ? AF_INET : AF_INET6, address.data, text, sizeof(text)) != NULL)
		ecs_json_text(j, key, text);
}
