/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The layout is that of the UEFI specification, chapter 5. */
#include "support/tablebuild.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/endian.h>

#include <glib.h>
#include <string.h>

#define ENTRY_SIZE  128
#define HEADER_SIZE 92

/* Where things are in a header. */
#define AT_SIZE	       12
#define AT_CRC	       16
#define AT_HERE	       24
#define AT_OTHER       32
#define AT_FIRST       40
#define AT_LAST	       48
#define AT_DISK	       56
#define AT_ENTRIES     72
#define AT_COUNT       80
#define AT_ENTRY_SIZE  84
#define AT_ENTRIES_CRC 88

static const uint8_t linux_type[16] = {
	0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
	0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
};

void tablebuild_put32(uint8_t *at, uint32_t n)
{
	le32 field = le32_of(n);

	memcpy(at, &field, sizeof(field));
}

void tablebuild_put64(uint8_t *at, uint64_t n)
{
	le64 field = le64_of(n);

	memcpy(at, &field, sizeof(field));
}

void tablebuild_record(uint8_t *record, unsigned i, uint8_t type,
		       uint32_t start, uint32_t count)
{
	uint8_t *entry = record + 446 + 16 * i;

	g_assert(i < 4);
	memset(entry, 0, 16);
	entry[4] = type;
	tablebuild_put32(entry + 8, start);
	tablebuild_put32(entry + 12, count);
	record[510] = 0x55;
	record[511] = 0xaa;
}

static uint32_t crc32_of(const uint8_t *bytes, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static uint64_t last_sector(const struct tablebuild_gpt *g)
{
	return g->size / g->sector - 1;
}

/* Sectors of one array. */
static uint64_t array_sectors(const struct tablebuild_gpt *g)
{
	return align_ceil((uint64_t)g->entries * ENTRY_SIZE, g->sector) /
	       g->sector;
}

static uint64_t array_at(const struct tablebuild_gpt *g, bool backup)
{
	return backup ? last_sector(g) - array_sectors(g) : 2;
}

uint8_t *tablebuild_gpt_header(const struct tablebuild_gpt *g, bool backup)
{
	return g->disk + (backup ? last_sector(g) : 1) * g->sector;
}

uint8_t *tablebuild_gpt_entry(const struct tablebuild_gpt *g, bool backup,
			      unsigned number)
{
	g_assert(number && number <= g->entries);
	return g->disk + array_at(g, backup) * g->sector +
	       (uint64_t)(number - 1) * ENTRY_SIZE;
}

void tablebuild_gpt_seal_header(const struct tablebuild_gpt *g, bool backup)
{
	uint8_t *header = tablebuild_gpt_header(g, backup);

	tablebuild_put32(header + AT_CRC, 0);
	tablebuild_put32(header + AT_CRC, crc32_of(header, HEADER_SIZE));
}

void tablebuild_gpt_seal(const struct tablebuild_gpt *g, bool backup)
{
	uint8_t *header = tablebuild_gpt_header(g, backup);
	uint32_t crc = crc32_of(tablebuild_gpt_entry(g, backup, 1),
				(size_t)g->entries * ENTRY_SIZE);

	tablebuild_put32(header + AT_ENTRIES_CRC, crc);
	tablebuild_gpt_seal_header(g, backup);
}

static void write_header(const struct tablebuild_gpt *g, bool backup)
{
	uint8_t *header = tablebuild_gpt_header(g, backup);
	uint64_t last = last_sector(g);

	memset(header, 0, g->sector);
	memcpy(header, "EFI PART", 8);
	tablebuild_put32(header + 8, 0x10000);
	tablebuild_put32(header + AT_SIZE, HEADER_SIZE);
	tablebuild_put64(header + AT_HERE, backup ? last : 1);
	tablebuild_put64(header + AT_OTHER, backup ? 1 : last);
	tablebuild_put64(header + AT_FIRST, 2 + array_sectors(g));
	tablebuild_put64(header + AT_LAST, array_at(g, true) - 1);
	memset(header + AT_DISK, 0x11, 16);
	tablebuild_put64(header + AT_ENTRIES, array_at(g, backup));
	tablebuild_put32(header + AT_COUNT, g->entries);
	tablebuild_put32(header + AT_ENTRY_SIZE, ENTRY_SIZE);
}

void tablebuild_gpt(const struct tablebuild_gpt *g)
{
	uint32_t rest = (uint32_t)u64_min(last_sector(g), UINT32_MAX);

	g_assert(g->entries && last_sector(g) > 2 * array_sectors(g) + 3);
	tablebuild_record(g->disk, 0, 0xee, 1, rest);
	for (int backup = 0; backup < 2; backup++) {
		memset(tablebuild_gpt_entry(g, backup, 1), 0,
		       array_sectors(g) * g->sector);
		write_header(g, backup);
		tablebuild_gpt_seal(g, backup);
	}
}

void tablebuild_gpt_add(const struct tablebuild_gpt *g, unsigned number,
			uint64_t first, uint64_t last, const char *name)
{
	for (int backup = 0; backup < 2; backup++) {
		uint8_t *entry = tablebuild_gpt_entry(g, backup, number);

		memset(entry, 0, ENTRY_SIZE);
		memcpy(entry, linux_type, sizeof(linux_type));
		memset(entry + 16, 0x22, 15);
		entry[31] = (uint8_t)number;
		tablebuild_put64(entry + 32, first);
		tablebuild_put64(entry + 40, last);
		for (size_t i = 0; i < 36 && name[i]; i++)
			entry[56 + 2 * i] = (uint8_t)name[i];
		tablebuild_gpt_seal(g, backup);
	}
}
