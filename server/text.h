/* Bytes from outside made into text that a terminal, a database and a log can take. */
#ifndef PICKET_SERVER_TEXT_H
#define PICKET_SERVER_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Valid UTF-8 without control characters, growing in a buffer of the owner. Not terminated. */
struct text {
	char *buf;
	size_t len, size;
};

static inline struct text
text_open(char *buf, size_t size)
{
	return (struct text){buf, 0, size};
}

/* text_add - append bytes; what is not UTF-8 or is a control character becomes '?', what does not fit is cut between
 * characters. */
void text_add(struct text *text, const uint8_t *data, size_t len);

void text_say(struct text *text, const char *s);
void text_number(struct text *text, uint64_t value);

/* text_copy - the same as a terminated string. Returns buf. */
const char *text_copy(char *buf, size_t size, const uint8_t *data, size_t len);

#endif
