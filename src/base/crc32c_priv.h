/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The two ways of crc32c(), so that tests can compare them. */
#ifndef CRC32C_PRIV_H
#define CRC32C_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c_tables(uint32_t seed, const void *buf, size_t len);

/* May only be called where the processor can do it. */
bool crc32c_has_hardware(void);
uint32_t crc32c_hardware(uint32_t seed, const void *buf, size_t len);

#endif
