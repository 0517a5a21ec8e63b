/*
 * Text for people and JSON for programs from one walk over a reply: each value is given once, with the key it has in
 * JSON and the label it has in text. Keys never depend on a locale. A NULL key leaves a value out of the JSON, a NULL
 * label out of the text.
 *
 * Bytes from elsewhere cannot drive the terminal: text shows control characters as \n or \xHH. JSON is UTF-8; other
 * bytes become U+EF80 to U+EFFF as in common/ecs.h.
 */
#ifndef PICKET_PICKETCTL_RENDER_H
#define PICKET_PICKETCTL_RENDER_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum ctl_mood {
	CTL_PLAIN,
	CTL_GOOD,
	CTL_WARN,
	CTL_BAD,
};

/* Colour on and off, for a terminal: green, yellow, red; "" for plain. */
const char *ctl_mood_begin(enum ctl_mood mood);
const char *ctl_mood_end(enum ctl_mood mood);

struct ctl_render;

/* ctl_render_new - an object is open. Exits the program when out of memory, as everything here does. */
struct ctl_render *ctl_render_new(FILE *out, bool json, bool colour);

/* ctl_render_done - print what has not been printed; frees it. */
void ctl_render_done(struct ctl_render *r);

/* Objects in objects: `label` is a heading in text. Close each with ctl_render_end(). */
void ctl_render_object(struct ctl_render *r, const char *key, const char *label);

/* A list of objects, a table in text (`label`: heading), with a row per ctl_render_row() ... ctl_render_end(). */
void ctl_render_table(struct ctl_render *r, const char *key, const char *label);

/* A list of objects that are blocks in text. */
void ctl_render_blocks(struct ctl_render *r, const char *key);
void ctl_render_row(struct ctl_render *r);
void ctl_render_end(struct ctl_render *r);

/* Values. The mood colours the text. */
void ctl_render_str(struct ctl_render *r, const char *key, const char *label, const char *value, enum ctl_mood mood);
void ctl_render_bytes(
    struct ctl_render *r, const char *key, const char *label, ProtobufCBinaryData value, enum ctl_mood mood);
void ctl_render_u64(struct ctl_render *r, const char *key, const char *label, uint64_t value);
void ctl_render_bool(struct ctl_render *r, const char *key, const char *label, bool value);

/* Milliseconds since 1970: a number in JSON, local time in text, "-" for 0. */
void ctl_render_time(struct ctl_render *r, const char *key, const char *label, uint64_t ms);

/* ctl_escape - what text shows for bytes. Always terminated; what does not fit is cut. Returns buf. */
const char *ctl_escape(ProtobufCBinaryData bytes, char *buf, size_t size);

/* ctl_local_time - "2026-01-31 23:59:58" in local time. Returns buf (at least 20 bytes). */
const char *ctl_local_time(uint64_t ms, char *buf, size_t size);

#endif
