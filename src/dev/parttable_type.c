/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What types of partitions are called: those that one meets. */
#include "parttable_priv.h"

struct gpt_type {
	const char *guid, *name;
};

struct dos_type {
	uint8_t type;
	const char *name;
};

static const struct gpt_type gpt_types[] = {
	{ "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system" },
	{ "21686148-6449-6e6f-744e-656564454649", "BIOS boot" },
	{ "0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux filesystem" },
	{ "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root (x86-64)" },
	{ "44479540-f297-41b2-9af7-d131d5f0458a", "Linux root (x86)" },
	{ "b921b045-1df0-41c3-af44-4c6f280d3fae", "Linux root (ARM-64)" },
	{ "69dad710-2ce4-4e3c-b16c-21a1d49abed3", "Linux root (ARM)" },
	{ "bc13c2ff-59e6-4262-a352-b275fd6f7172", "Linux extended boot" },
	{ "933ac7e1-2eb4-4f13-b844-0e14e2aef915", "Linux home" },
	{ "3b8f8425-20e0-4f3b-907f-1a25a76f98e8", "Linux server data" },
	{ "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap" },
	{ "e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM" },
	{ "a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID" },
	{ "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft basic data" },
	{ "e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved" },
	{ "de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery" },
	{ "48465300-0000-11aa-aa11-00306543ecac", "Apple HFS+" },
	{ "7c3457ef-0000-11aa-aa11-00306543ecac", "Apple APFS" },
};

static const struct dos_type dos_types[] = {
	{ 0x01, "FAT12" },
	{ 0x04, "FAT16 (small)" },
	{ 0x05, "extended" },
	{ 0x06, "FAT16" },
	{ 0x07, "NTFS or exFAT" },
	{ 0x0b, "FAT32" },
	{ 0x0c, "FAT32 (LBA)" },
	{ 0x0e, "FAT16 (LBA)" },
	{ 0x0f, "extended (LBA)" },
	{ 0x11, "FAT12, hidden" },
	{ 0x16, "FAT16, hidden" },
	{ 0x17, "NTFS, hidden" },
	{ 0x1b, "FAT32, hidden" },
	{ 0x1c, "FAT32 (LBA), hidden" },
	{ 0x27, "Windows recovery" },
	{ 0x42, "Windows dynamic disk" },
	{ 0x82, "Linux swap" },
	{ 0x83, "Linux" },
	{ 0x85, "Linux extended" },
	{ 0x8e, "Linux LVM" },
	{ 0xa5, "FreeBSD" },
	{ 0xa6, "OpenBSD" },
	{ 0xa9, "NetBSD" },
	{ 0xaf, "Apple HFS" },
	{ 0xbf, "Solaris" },
	{ 0xda, "no filesystem" },
	{ 0xee, "GPT" },
	{ 0xef, "EFI system" },
	{ 0xfd, "Linux RAID" },
};

char *parttable_type_gpt(const char *guid)
{
	for (size_t i = 0; i < G_N_ELEMENTS(gpt_types); i++)
		if (!g_ascii_strcasecmp(guid, gpt_types[i].guid))
			return g_strdup(gpt_types[i].name);
	return g_strdup(guid);
}

char *parttable_type_dos(uint8_t type)
{
	for (size_t i = 0; i < G_N_ELEMENTS(dos_types); i++)
		if (type == dos_types[i].type)
			return g_strdup_printf("0x%02x %s", type,
					       dos_types[i].name);
	return g_strdup_printf("0x%02x", type);
}
