/* Text and JSON from one walk: see render.h. Called by the cmd_ files; knows no message. */
#include "picketctl/render.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/ecs.h"

/* Levels of nesting: status -> daemons -> one -> facts. */
#define MAX_DEPTH 8

/* Columns of a table; the widest has six. */
#define MAX_COLUMNS 8

/* Bytes of one value in text: longer ones are cut. */
#define VALUE_BYTES 4096u

/* Columns that a label takes in a block, and in a block within one, where counters stand. */
#define LABEL_WIDTH 12
#define INNER_LABEL_WIDTH 24

enum level_kind {
	LEVEL_OBJECT,
	LEVEL_TABLE,
	LEVEL_BLOCKS,
	LEVEL_ROW,
};

struct cell {
	char *text;
	enum ctl_mood mood;
};

struct table {
	const char *label[MAX_COLUMNS];
	struct cell (*row)[MAX_COLUMNS];
	size_t n_rows;
	size_t column; /* of the row being filled */
};

struct ctl_render {
	FILE *out;
	bool colour;
	json_t *json[MAX_DEPTH]; /* NULL in text */
	enum level_kind kind[MAX_DEPTH];
	int indent_before[MAX_DEPTH]; /* what a level's end goes back to */
	int depth;                    /* of the innermost open level */
	int indent;                   /* blanks before a line of text */
	struct table table;
};

static void *
must(void *p)
{
	if (p != NULL)
		return p;
	(void)fputs("picketctl: out of memory\n", stderr);
	exit(65);
}

static bool
is_json(const struct ctl_render *r)
{
	return r->json[0] != NULL;
}

/* ---- bytes ---- */

const char *
ctl_escape(ProtobufCBinaryData bytes, char *buf, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < bytes.len && at + 5 < size;) {
		size_t n = ecs_utf8_length(bytes.data + i, bytes.len - i);
		uint8_t b = bytes.data[i];
		/* C1 controls (U+0080 to U+009F) drive some terminals too. */
		bool control = b < ' ' || b == 0x7f || (n == 2 && b == 0xc2 && bytes.data[i + 1] < 0xa0);

		if (n == 0 || control) {
			n = n == 0 ? 1 : n;
			if (b == '\n' || b == '\t')
				at += (size_t)snprintf(buf + at, size - at, "\\%c", b == '\n' ? 'n' : 't');
			else
				for (size_t j = 0; j < n && at + 5 < size; j++)
					at += (size_t)snprintf(buf + at, size - at, "\\x%02x", bytes.data[i + j]);
		} else {
			memcpy(buf + at, bytes.data + i, n);
			at += n;
		}
		i += n;
	}
	buf[at] = '\0';
	return buf;
}

/* A JSON string of any bytes. */
static json_t *
json_bytes(ProtobufCBinaryData bytes)
{
	AUTO_FREE char *buf = must(malloc(3 * bytes.len + 1)); /* a byte becomes at most three */
	size_t at = 0;

	for (size_t i = 0; i < bytes.len;) {
		size_t n = ecs_utf8_length(bytes.data + i, bytes.len - i);

		if (n == 0) {
			unsigned int c = 0xef00u + bytes.data[i++];

			buf[at++] = (char)(0xe0u | c >> 12);
			buf[at++] = (char)(0x80u | (c >> 6 & 0x3fu));
			buf[at++] = (char)(0x80u | (c & 0x3fu));
			continue;
		}
		memcpy(buf + at, bytes.data + i, n);
		at += n;
		i += n;
	}
	return must(json_stringn(buf, at));
}

const char *
ctl_local_time(uint64_t ms, char *buf, size_t size)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL || strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		buf[0] = '\0';
	return buf;
}

/* Columns on a terminal, near enough: one per character. */
static size_t
width(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* ---- text ---- */

const char *
ctl_mood_begin(enum ctl_mood mood)
{
	static const char *const codes[] = {
	    [CTL_PLAIN] = "", [CTL_GOOD] = "\033[32m", [CTL_WARN] = "\033[33m", [CTL_BAD] = "\033[31m"};

	return codes[mood];
}

const char *
ctl_mood_end(enum ctl_mood mood)
{
	return mood != CTL_PLAIN ? "\033[0m" : "";
}

static void
put(const struct ctl_render *r, const char *text, enum ctl_mood mood)
{
	if (r->colour)
		(void)fprintf(r->out, "%s%s%s", ctl_mood_begin(mood), text, ctl_mood_end(mood));
	else
		(void)fputs(text, r->out);
}

static void
text_value(struct ctl_render *r, const char *label, const char *value, enum ctl_mood mood)
{
	struct table *t = &r->table;

	if (r->kind[r->depth] != LEVEL_ROW || r->kind[r->depth - 1] != LEVEL_TABLE) {
		(void)fprintf(
		    r->out, "%*s%-*s ", r->indent, "", r->indent > 0 ? INNER_LABEL_WIDTH : LABEL_WIDTH, label);
		put(r, value, mood);
		(void)fputc('\n', r->out);
		return;
	}
	if (t->column == MAX_COLUMNS)
		return;
	t->label[t->column] = label;
	t->row[t->n_rows - 1][t->column++] = (struct cell){must(strdup(value)), mood};
}

static void
print_row(const struct ctl_render *r, const struct cell *row, const size_t *widths)
{
	(void)fprintf(r->out, "%*s", r->indent, "");
	for (size_t c = 0; c < MAX_COLUMNS && widths[c] > 0; c++) {
		const char *text = row[c].text != NULL ? row[c].text : "";
		bool last = c + 1 == MAX_COLUMNS || widths[c + 1] == 0;

		put(r, text, row[c].mood);
		if (!last)
			(void)fprintf(r->out, "%*s", (int)(widths[c] - width(text) + 2), "");
	}
	(void)fputc('\n', r->out);
}

static void
print_table(struct ctl_render *r)
{
	struct table *t = &r->table;
	struct cell head[MAX_COLUMNS] = {{NULL, CTL_PLAIN}};
	size_t widths[MAX_COLUMNS] = {0};

	for (size_t c = 0; c < MAX_COLUMNS && t->label[c] != NULL; c++) {
		head[c].text = (char *)(uintptr_t)t->label[c];
		widths[c] = width(t->label[c]);
		for (size_t i = 0; i < t->n_rows; i++)
			if (t->row[i][c].text != NULL && width(t->row[i][c].text) > widths[c])
				widths[c] = width(t->row[i][c].text);
	}
	if (t->n_rows == 0)
		(void)fprintf(r->out, "%*s(none)\n", r->indent, "");
	else
		print_row(r, head, widths);
	for (size_t i = 0; i < t->n_rows; i++) {
		print_row(r, t->row[i], widths);
		for (size_t c = 0; c < MAX_COLUMNS; c++)
			free(t->row[i][c].text);
	}
	free(t->row);
	*t = (struct table){.row = NULL};
}

/* ---- levels ---- */

struct ctl_render *
ctl_render_new(FILE *out, bool json, bool colour)
{
	struct ctl_render *r = must(calloc(1, sizeof(*r)));

	r->out = out;
	r->colour = colour;
	if (json)
		r->json[0] = must(json_object());
	return r;
}

/* Open a level in both worlds. `node` is NULL in text. */
static void
push(struct ctl_render *r, const char *key, enum level_kind kind, json_t *node)
{
	json_t *parent = r->json[r->depth];

	if (++r->depth == MAX_DEPTH)
		abort();
	r->kind[r->depth] = kind;
	r->indent_before[r->depth] = r->indent;
	r->json[r->depth] = node;
	if (node == NULL)
		return;
	if (json_is_array(parent))
		(void)json_array_append_new(parent, node);
	else
		(void)json_object_set_new(parent, key, node);
}

static void
heading(struct ctl_render *r, const char *label)
{
	if (is_json(r) || label == NULL)
		return;
	(void)fprintf(r->out, "%*s%s\n", r->indent, "", label);
}

void
ctl_render_object(struct ctl_render *r, const char *key, const char *label)
{
	heading(r, label);
	push(r, key, LEVEL_OBJECT, is_json(r) ? must(json_object()) : NULL);
	r->indent += 2;
}

void
ctl_render_table(struct ctl_render *r, const char *key, const char *label)
{
	heading(r, label);
	push(r, key, LEVEL_TABLE, is_json(r) ? must(json_array()) : NULL);
	r->indent += label != NULL ? 2 : 0;
}

void
ctl_render_blocks(struct ctl_render *r, const char *key)
{
	push(r, key, LEVEL_BLOCKS, is_json(r) ? must(json_array()) : NULL);
}

void
ctl_render_row(struct ctl_render *r)
{
	struct table *t = &r->table;

	if (!is_json(r) && r->kind[r->depth] == LEVEL_TABLE) {
		t->row = must(realloc(t->row, (t->n_rows + 1) * sizeof(t->row[0])));
		memset(t->row[t->n_rows++], 0, sizeof(t->row[0]));
		t->column = 0;
	}
	push(r, NULL, LEVEL_ROW, is_json(r) ? must(json_object()) : NULL);
}

void
ctl_render_end(struct ctl_render *r)
{
	if (r->kind[r->depth] == LEVEL_TABLE && !is_json(r))
		print_table(r);
	r->indent = r->indent_before[r->depth];
	r->depth--;
}

void
ctl_render_done(struct ctl_render *r)
{
	if (is_json(r)) {
		(void)json_dumpf(r->json[0], r->out, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		(void)fputc('\n', r->out);
		json_decref(r->json[0]);
	}
	free(r);
}

/* ---- values ---- */

static void
json_value(struct ctl_render *r, const char *key, json_t *value)
{
	if (key != NULL)
		(void)json_object_set_new(r->json[r->depth], key, must(value));
	else
		json_decref(value);
}

void
ctl_render_bytes(
    struct ctl_render *r, const char *key, const char *label, ProtobufCBinaryData value, enum ctl_mood mood)
{
	char text[VALUE_BYTES];

	if (is_json(r))
		json_value(r, key, json_bytes(value));
	else if (label != NULL)
		text_value(r, label, ctl_escape(value, text, sizeof(text)), mood);
}

void
ctl_render_str(struct ctl_render *r, const char *key, const char *label, const char *value, enum ctl_mood mood)
{
	ctl_render_bytes(r, key, label, (ProtobufCBinaryData){strlen(value), (uint8_t *)(uintptr_t)value}, mood);
}

void
ctl_render_u64(struct ctl_render *r, const char *key, const char *label, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	if (is_json(r))
		json_value(r, key, json_integer((json_int_t)value));
	else if (label != NULL)
		text_value(r, label, text, CTL_PLAIN);
}

void
ctl_render_bool(struct ctl_render *r, const char *key, const char *label, bool value)
{
	if (is_json(r))
		json_value(r, key, json_boolean(value));
	else if (label != NULL)
		text_value(r, label, value ? "yes" : "no", CTL_PLAIN);
}

void
ctl_render_time(struct ctl_render *r, const char *key, const char *label, uint64_t ms)
{
	char text[32];

	if (is_json(r))
		json_value(r, key, json_integer((json_int_t)ms));
	else if (label != NULL)
		text_value(r, label, ms == 0 ? "-" : ctl_local_time(ms, text, sizeof(text)), CTL_PLAIN);
}
