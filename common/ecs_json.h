/* What the files that write events as JSON share. A member puts the comma before it by itself. */
#ifndef PICKET_COMMON_ECS_JSON_H
#define PICKET_COMMON_ECS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/event.pb-c.h"

struct ecs_json {
	FILE *out;
	bool comma; /* the next member needs one before it */
};

/* ecs_json_string - a quoted string. ecs_json_escaped - only its inside. */
void ecs_json_string(struct ecs_json *j, const void *text, size_t len);
void ecs_json_escaped(struct ecs_json *j, const uint8_t *text, size_t len);

/* ecs_json_separator - the comma before an element. ecs_json_key - comma and "key": of a member. */
void ecs_json_separator(struct ecs_json *j);
void ecs_json_key(struct ecs_json *j, const char *key);

/* ecs_json_open - a member that is an object ('{') or an array ('['). ecs_json_close - its end. */
void ecs_json_open(struct ecs_json *j, const char *key, char bracket);
void ecs_json_close(struct ecs_json *j, char bracket);

/* Members. ecs_json_bytes leaves an empty one out, ecs_json_hex_id and ecs_json_address one that is not known. */
void ecs_json_text(struct ecs_json *j, const char *key, const char *text);
void ecs_json_bytes(struct ecs_json *j, const char *key, ProtobufCBinaryData value);
void ecs_json_number(struct ecs_json *j, const char *key, uint64_t value);
void ecs_json_id(struct ecs_json *j, const char *key, uint64_t value); /* as a string: ECS keeps ids as keywords */
void ecs_json_hex_id(struct ecs_json *j, const char *key, uint64_t value);
void ecs_json_hex(struct ecs_json *j, const char *key, ProtobufCBinaryData value); /* a hash; left out when empty */
void ecs_json_bool(struct ecs_json *j, const char *key, bool value);
void ecs_json_address(struct ecs_json *j, const char *key, ProtobufCBinaryData address);

/* ---- ecs_security.c ---- */

/* Kind of an event in ECS; NULL category: none. */
struct ecs_class {
	const char *name; /* as an analyst filters */
	const char *category;
	const char *type;
	const char *action;
};

/* ecs_security_class - what the detail changes of the class of its event type. */
void ecs_security_class(const Picket__V1__Event *event, struct ecs_class *class);

/* ecs_security_put - the members under "picket" of accesses, accounts, audit, netfilter, BPF and security. */
void ecs_security_put(struct ecs_json *j, const Picket__V1__Event *event);

#endif
