/*
 * Guards around protobuf-c 1.4.1, which accepts unknown fields and enum values and lets 64 KiB of input cost 3 MB.
 */
#ifndef PICKET_COMMON_PB_H
#define PICKET_COMMON_PB_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

/* A message and all its parts live in one budget; see pb_unpack(). */
struct pb_arena;

/*
 * pb_unpack - unpack within a budget of memory, refuse unknown fields and enum values the descriptor does not name.
 * @desc:    what it must be.
 * @budget:  bytes of memory it may cost.
 * @ret_arena: owns the message; free with pb_arena_free() when done with it. The message must not be freed by itself.
 * Returns the message, or NULL with a reason in *ret_why (a constant string): malformed, over budget, unknown field,
 * enum out of range.
 */
ProtobufCMessage *pb_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t len, size_t budget,
    struct pb_arena **ret_arena, const char **ret_why);

/* NULL is fine. */
void pb_arena_free(struct pb_arena *arena);

/* pb_pack_new - the packed bytes, to be freed with free(); NULL when out of memory. */
uint8_t *pb_pack_new(const ProtobufCMessage *msg, size_t *ret_len);

/* Views: nothing is copied. */
static inline ProtobufCBinaryData
pb_bytes(const void *data, size_t len)
{
	return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

ProtobufCBinaryData pb_str(const char *text);

/* pb_to_str - copy to a terminated buffer. Returns 0, or -EINVAL when it holds a NUL or does not fit (buf is then "").
 */
int pb_to_str(ProtobufCBinaryData bytes, char *buf, size_t size);

/* Equal to a C string. */
int pb_equals(ProtobufCBinaryData bytes, const char *text);

#endif
