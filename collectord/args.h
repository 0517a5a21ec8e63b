/*
 * The arguments of one execve, put together from its EXECVE records: whole ones (a0="ls" a1=2F746D70) and split ones
 * (a2_len=15000 a2[0]=... a2[1]=...), decoded. Kept up to a cap that is counted as the encoded event will need it;
 * beyond it the rest is dropped and said so.
 */
#ifndef PICKET_COLLECTORD_ARGS_H
#define PICKET_COLLECTORD_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collectord/record.h"

struct args {
	uint8_t *bytes;   /* all arguments, one behind the other */
	uint32_t *ends;   /* of each argument in bytes */
	size_t len, size; /* bytes used, allocated */
	size_t n, ends_size;
	size_t cost;   /* bytes in the encoded event */
	uint32_t argc; /* as stated */
	uint64_t
	    part_want; /* digits or bytes that the split argument still lacks, as printed: only a hint of the kernel */
	uint64_t part_next; /* number of the part that must come next */
	bool in_parts;      /* the last argument is a split one: more may follow */
	bool truncated;     /* over the cap, out of memory, a record is missing or out of order */
};

/* args_reset - empty again; buffers are kept, big ones are given back. */
void args_reset(struct args *a);

/* args_add - what one EXECVE record holds. */
void args_add(struct args *a, struct slice body);

/* args_complete - every argument that argc states is there, whole. */
bool args_complete(const struct args *a);

static inline struct slice
args_get(const struct args *a, size_t i)
{
	size_t start = i > 0 ? a->ends[i - 1] : 0;

	return (struct slice){a->bytes + start, a->ends[i] - start};
}

/* Frees the buffers, not the struct. */
void args_free(struct args *a);

#endif
