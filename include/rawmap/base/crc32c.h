/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), as ext4 and JBD2 use
 * it: raw, no inversion before or after. Seed ~0 starts a new sum; the result of
 * one call is the seed of the next.
 */
#ifndef RAWMAP_BASE_CRC32C_H
#define RAWMAP_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t seed, const void *buf, size_t len);

#endif
