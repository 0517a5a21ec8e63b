/* CRC-32C (Castagnoli), the checksum of the spool. */
#ifndef PICKET_UPLINKD_CRC32C_H
#define PICKET_UPLINKD_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * crc32c - continue a checksum over more bytes.
 * @crc: 0 to begin, or what an earlier call returned. Beginning with another value salts the sum.
 * Check value: crc32c(0, "123456789", 9) == 0xe3069283.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* The two ways to compute it, for tests: by table anywhere, and by the CPU's instruction where crc32c_has_instruction()
 * says so. */
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t len);
uint32_t crc32c_by_instruction(uint32_t crc, const void *data, size_t len);
int crc32c_has_instruction(void);

#endif
