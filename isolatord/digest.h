/*
 * FNV-1a, 64 bits: tells two states apart and notices damage on disk. No protection against forgery: what it covers is
 * root's alone. Source: the FNV hash of Fowler, Noll and Vo (RFC 9923).
 */
#ifndef PICKET_ISOLATORD_DIGEST_H
#define PICKET_ISOLATORD_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t
digest_add(uint64_t digest, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		digest = (digest ^ p[i]) * UINT64_C(0x100000001b3);
	return digest;
}

#endif
