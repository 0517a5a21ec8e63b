/* protobuf-c within bounds: budgeted allocator, no unknown fields, no unknown enum values. Used on everything that
 * comes from another process. */
#include "common/pb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of one arena block: most control messages fit one. */
#define ARENA_BLOCK_BYTES 4096u

struct block {
	struct block *next;
	size_t size, used;
	_Alignas(max_align_t) unsigned char data[];
};

struct pb_arena {
	struct block *blocks;
	size_t budget;
};

static void *
arena_alloc(void *data, size_t size)
{
	struct pb_arena *arena = data;

	size = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	if (size > arena->budget)
		return NULL;
	arena->budget -= size;

	struct block *block = arena->blocks;
	if (block == NULL || block->size - block->used < size) {
		size_t room = size > ARENA_BLOCK_BYTES ? size : ARENA_BLOCK_BYTES;

		block = malloc(sizeof(*block) + room);
		if (block == NULL)
			return NULL;
		block->size = room;
		block->used = 0;
		block->next = arena->blocks;
		arena->blocks = block;
	}
	void *p = block->data + block->used;
	block->used += size;
	return p;
}

/* Everything goes at once with the arena. */
static void
arena_free_one(void *data, void *p)
{
	(void)data;
	(void)p;
}

void
pb_arena_free(struct pb_arena *arena)
{
	if (arena == NULL)
		return;
	for (struct block *block = arena->blocks, *next; block != NULL; block = next) {
		next = block->next;
		free(block);
	}
	free(arena);
}

static const char *check_message(const ProtobufCMessage *msg);

static const char *
check_enum(const ProtobufCFieldDescriptor *field, int value)
{
	return protobuf_c_enum_descriptor_get_value(field->descriptor, value) == NULL ? "enum out of range" : NULL;
}

static const char *
check_repeated(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
	const char *base = (const char *)msg;
	size_t n = *(const size_t *)(const void *)(base + field->quantifier_offset);
	const char *why = NULL;

	for (size_t i = 0; i < n && why == NULL; i++) {
		if (field->type == PROTOBUF_C_TYPE_ENUM)
			why = check_enum(field, (*(int *const *)(const void *)(base + field->offset))[i]);
		else
			why =
			    check_message((*(ProtobufCMessage *const *const *)(const void *)(base + field->offset))[i]);
	}
	return why;
}

static const char *
check_field(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
	const char *base = (const char *)msg;

	if (field->type != PROTOBUF_C_TYPE_ENUM && field->type != PROTOBUF_C_TYPE_MESSAGE)
		return NULL;
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return check_repeated(msg, field);
	if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
	    *(const uint32_t *)(const void *)(base + field->quantifier_offset) != field->id)
		return NULL;
	if (field->type == PROTOBUF_C_TYPE_ENUM)
		return check_enum(field, *(const int *)(const void *)(base + field->offset));

	const ProtobufCMessage *sub = *(ProtobufCMessage *const *)(const void *)(base + field->offset);
	return sub != NULL ? check_message(sub) : NULL;
}

/* Depth is bounded by the types: none of ours is recursive (tests/proto checks it). */
static const char *
check_message(const ProtobufCMessage *msg)
{
	const char *why = NULL;

	if (msg->n_unknown_fields > 0)
		return "unknown field";
	for (unsigned int i = 0; i < msg->descriptor->n_fields && why == NULL; i++)
		why = check_field(msg, &msg->descriptor->fields[i]);
	return why;
}

ProtobufCMessage *
pb_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t len, size_t budget,
    struct pb_arena **ret_arena, const char **ret_why)
{
	struct pb_arena *arena = calloc(1, sizeof(*arena));

	if (arena == NULL) {
		*ret_why = "out of memory";
		return NULL;
	}
	arena->budget = budget;

	ProtobufCAllocator allocator = {.alloc = arena_alloc, .free = arena_free_one, .allocator_data = arena};
	ProtobufCMessage *msg = protobuf_c_message_unpack(desc, &allocator, len, data);
	const char *why = msg == NULL ? "malformed or over its memory budget" : check_message(msg);
	if (why != NULL) {
		pb_arena_free(arena);
		*ret_why = why;
		return NULL;
	}
	*ret_arena = arena;
	return msg;
}

uint8_t *
pb_pack_new(const ProtobufCMessage *msg, size_t *ret_len)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	uint8_t *data = malloc(len > 0 ? len : 1);

	if (data == NULL)
		return NULL;
	*ret_len = protobuf_c_message_pack(msg, data);
	return data;
}

ProtobufCBinaryData
pb_str(const char *text)
{
	return pb_bytes(text, strlen(text));
}

int
pb_to_str(ProtobufCBinaryData bytes, char *buf, size_t size)
{
	buf[0] = '\0';
	if (bytes.len >= size || (bytes.len > 0 && memchr(bytes.data, '\0', bytes.len) != NULL))
		return -EINVAL;
	if (bytes.len > 0)
		memcpy(buf, bytes.data, bytes.len);
	buf[bytes.len] = '\0';
	return 0;
}

int
pb_equals(ProtobufCBinaryData bytes, const char *text)
{
	size_t len = strlen(text);

	return bytes.len == len && (len == 0 || memcmp(bytes.data, text, len) == 0);
}
