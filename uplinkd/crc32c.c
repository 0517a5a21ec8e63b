/*
 * CRC-32C by the SSE4.2 instruction where the CPU has it, by a table elsewhere. Called for every frame written to or
 * read from the spool.
 *
 * Our own code, because the libraries that Debian and Fedora both package have it only inside something large (a
 * database, a cluster file system); zlib's crc32 is the other polynomial, which has no instruction on x86 and finds
 * fewer of the errors in frames of our size.
 */
#include "uplinkd/crc32c.h"

#include <stdbool.h>
#include <string.h>

/* The Castagnoli polynomial, bits reversed. */
#define POLYNOMIAL 0x82f63b78u

/* One table per byte of a 32-bit word: four bytes per step ("slicing by four"). */
static uint32_t tables[4][256];
static bool tables_made;

static void
make_tables(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ ((crc & 1u) ? POLYNOMIAL : 0);
		tables[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 4; t++)
			tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xffu];
	tables_made = true;
}

uint32_t
crc32c_by_table(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	if (!tables_made)
		make_tables();
	crc = ~crc;
	for (; len >= 4; len -= 4, p += 4) {
		crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
		crc = tables[3][crc & 0xffu] ^ tables[2][(crc >> 8) & 0xffu] ^ tables[1][(crc >> 16) & 0xffu] ^
		      tables[0][crc >> 24];
	}
	for (; len > 0; len--, p++)
		crc = (crc >> 8) ^ tables[0][(crc ^ *p) & 0xffu];
	return ~crc;
}

#if defined(__x86_64__)

int
crc32c_has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2") != 0;
}

__attribute__((target("sse4.2"))) uint32_t
crc32c_by_instruction(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t wide = (uint32_t)~crc;

	for (; len >= 8; len -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; len > 0; len--, p++)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return ~crc;
}

#else

int
crc32c_has_instruction(void)
{
	return 0;
}

uint32_t
crc32c_by_instruction(uint32_t crc, const void *data, size_t len)
{
	return crc32c_by_table(crc, data, len);
}

#endif

uint32_t
crc32c(uint32_t crc, const void *data, size_t len)
{
	static int has_instruction = -1;

	if (has_instruction < 0)
		has_instruction = crc32c_has_instruction();
	return has_instruction ? crc32c_by_instruction(crc, data, len) : crc32c_by_table(crc, data, len);
}
