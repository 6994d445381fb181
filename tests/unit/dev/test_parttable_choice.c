/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is found inside partitions, which of them is chosen, and the list for
 * people.
 */
#include "parttable_bed.h"

static struct bed bed;

static void setup(void)
{
	bed_open(&bed, 512);
}

static void teardown(void)
{
	bed_close(&bed);
}

/* ---- contents ---- */

/* One partition of the disk, of 14 MiB at 1 MiB. */
static void make_one(void)
{
	struct tablebuild_gpt g = bed_gpt(&bed, 512);

	tablebuild_gpt(&g);
	tablebuild_gpt_add(&g, 1, 2048, 2048 + 28671, "one");
}

/* Its content as the table says, or "-". */
static void ck_content(const char *expected, bool is_ext)
{
	g_autoptr(parttable) pt = bed_read(&bed);
	const struct partition *p = ck_found(pt, 1);

	ck_assert_str_eq(p->content ? p->content : "-", expected);
	ck_assert_int_eq(p->is_ext, is_ext);
}

START_TEST(nothing_inside)
{
	make_one();
	ck_content("-", false);
}
END_TEST

/* An NTFS whose file table is @mft bytes behind its beginning. */
static void put_ntfs(uint64_t at, uint64_t mft)
{
	uint8_t *boot = bed.bytes + at;

	memcpy(boot + 3, "NTFS    ", 8);
	boot[12] = 2; /* bytes a sector: 512 */
	boot[13] = 8;
	boot[21] = 0xf8;
	tablebuild_put64(boot + 40, 28671);
	tablebuild_put64(boot + 48, mft / 4096);
	tablebuild_put64(boot + 56, 2);
	boot[64] = 0xf6; /* records of 1 KiB */
	memcpy(boot + mft, "FILE", 4);
	memcpy(boot + mft + 3 * 1024, "FILE", 4);
}

/* libblkid believes it only when it finds the file table, wherever that is. */
START_TEST(ntfs_with_its_file_table_far_away)
{
	make_one();
	put_ntfs(MIB, 7 * MIB);
	ck_content("ntfs", false);
}
END_TEST

START_TEST(raid_member_by_its_end)
{
	/* Version 0.90: at the last whole 64 KiB before the end. */
	uint8_t *super = bed.bytes + 15 * MIB - (64 << 10);

	make_one();
	tablebuild_put32(super, 0xa92b4efc);
	tablebuild_put32(super + 8, 90);
	tablebuild_put32(super + 20, 1);
	ck_content("linux_raid_member", false);
}
END_TEST

/* Its checksum is that of no superblock. */
START_TEST(ext_with_a_wrong_checksum)
{
	make_one();
	bed_put_ext(&bed, MIB, HAS_JOURNAL, EXTENTS);
	bed.bytes[MIB + 1024 + 101] = 4; /* metadata_csum */
	ck_content("ext4", true);
}
END_TEST

/* libblkid does not decide; the superblock's features say which ext it is. */
static const struct {
	uint32_t compat, incompat;
	const char *content;
} ext_kinds[] = {
	{ 0, 0, "ext2" },
	{ HAS_JOURNAL, 0, "ext3" },
	{ HAS_JOURNAL, EXTENTS, "ext4" },
	{ 0, JOURNAL_DEV, "-" },
};

START_TEST(ext_beside_another_filesystem)
{
	make_one();
	put_ntfs(MIB, 64 << 10);
	bed_put_ext(&bed, MIB, ext_kinds[_i].compat, ext_kinds[_i].incompat);
	ck_content(ext_kinds[_i].content,
		   !(ext_kinds[_i].incompat & JOURNAL_DEV));
}
END_TEST

START_TEST(a_wrong_checksum_does_not_hide_others)
{
	uint8_t *label = bed.bytes + MIB + 512;

	make_one();
	memcpy(label, "LABELONE\1", 9);
	label[20] = 32;
	memcpy(label + 24, "LVM2 001", 8);
	ck_content("LVM2_member", false);
}
END_TEST

START_TEST(ext3_by_its_journal)
{
	make_one();
	bed_put_ext(&bed, MIB, HAS_JOURNAL, 0);
	ck_content("ext3", true);
}
END_TEST

START_TEST(a_journal_device_is_no_filesystem)
{
	make_one();
	bed_put_ext(&bed, MIB, 0, JOURNAL_DEV);
	ck_content("jbd", false);
}
END_TEST

START_TEST(encryption_over_an_old_ext_is_not_ext)
{
	make_one();
	bed_put_ext(&bed, MIB, 0, 0);
	memcpy(bed.bytes + MIB, "LUKS\xba\xbe\0\1", 8);
	ck_content("crypto_LUKS", false);
}
END_TEST

/* ---- the choice ---- */

/* Three partitions of 2 MiB, at 1, 3 and 5 MiB; @ext: bits say which are. */
static struct parttable *read_three(unsigned ext)
{
	struct tablebuild_gpt g = bed_gpt(&bed, 512);

	tablebuild_gpt(&g);
	for (unsigned i = 0; i < 3; i++) {
		tablebuild_gpt_add(&g, i + 1, 2048 + i * 4096,
				   2047 + (i + 1) * 4096, "part");
		if (ext >> i & 1)
			bed_put_ext(&bed, MIB + 2 * i * MIB, 0, 0);
		else
			bed_put_swap(&bed, MIB + 2 * i * MIB);
	}
	return bed_read(&bed);
}

START_TEST(a_number_is_that_partition)
{
	g_autoptr(parttable) pt = read_three(0);
	GError *error = NULL;

	ck_assert_ptr_eq(parttable_choose(pt, 2, &error), ck_found(pt, 2));
	ck_assert_ptr_null(error);
}
END_TEST

START_TEST(a_number_that_is_not_there_shows_the_list)
{
	g_autoptr(parttable) pt = read_three(2);
	g_autofree char *list = parttable_format(pt);
	GError *error = NULL;

	g_strchomp(list);
	ck_assert_ptr_null(parttable_choose(pt, 4, &error));
	ck_has(error->message, list);
	ck_error(error, RAWMAP_ERROR_NOT_FOUND,
		 "'the disk' has no partition 4:\n");
}
END_TEST

START_TEST(auto_is_the_only_ext)
{
	g_autoptr(parttable) pt = read_three(1u << _i);
	GError *error = NULL;
	const struct partition *p = parttable_choose(pt, 0, &error);

	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_null(error);
	ck_assert_uint_eq(p->number, (unsigned)_i + 1);
}
END_TEST

/* Made where a filesystem had been: its superblock is still there. */
START_TEST(auto_is_no_extended_partition)
{
	g_autoptr(parttable) pt = NULL;
	GError *error = NULL;

	tablebuild_record(bed.bytes, 0, 0x05, 2048, 20480);
	bed_put_ext(&bed, MIB, 0, 0);
	pt = bed_read(&bed);
	ck_assert_ptr_null(ck_found(pt, 1)->content);
	ck_assert_ptr_null(parttable_choose(pt, 0, &error));
	ck_error(error, RAWMAP_ERROR_NOT_FOUND, "no partition with an ext2");
}
END_TEST

START_TEST(auto_of_several_shows_the_list)
{
	g_autoptr(parttable) pt = read_three(5);
	GError *error = NULL;

	ck_assert_ptr_null(parttable_choose(pt, 0, &error));
	ck_has(error->message, "\n      1         1048576      2 MiB  Linux");
	ck_has(error->message, "\n      3         5242880      2 MiB  Linux");
	ck_error(error, RAWMAP_ERROR_USAGE, "partition=N:\n");
}
END_TEST

START_TEST(auto_of_none_shows_the_list)
{
	g_autoptr(parttable) pt = read_three(0);
	GError *error = NULL;

	ck_assert_ptr_null(parttable_choose(pt, 0, &error));
	ck_has(error->message, "\n      2         3145728      2 MiB  Linux");
	ck_error(error, RAWMAP_ERROR_NOT_FOUND, "no partition with an ext2");
}
END_TEST

/* ---- the list ---- */

START_TEST(the_list_has_a_line_a_partition)
{
	g_autoptr(parttable) pt = read_three(2);
	g_autofree char *list = parttable_format(pt);
	g_auto(GStrv) lines = g_strsplit(list, "\n", -1);

	ck_assert_uint_eq(g_strv_length(lines), 5);
	ck_assert_str_eq(lines[0], " number   start (bytes)       size  "
				   "type                  content");
	ck_assert_str_eq(lines[1], "      1         1048576      2 MiB  "
				   "Linux filesystem      swap      \"part\"");
	ck_assert_str_eq(lines[2], "      2         3145728      2 MiB  "
				   "Linux filesystem      ext2      \"part\"");
	ck_assert_str_eq(lines[4], "");
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("parttable choice");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing_inside);
	tcase_add_test(tc, ntfs_with_its_file_table_far_away);
	tcase_add_test(tc, raid_member_by_its_end);
	tcase_add_test(tc, ext_with_a_wrong_checksum);
	tcase_add_loop_test(tc, ext_beside_another_filesystem, 0,
			    G_N_ELEMENTS(ext_kinds));
	tcase_add_test(tc, a_wrong_checksum_does_not_hide_others);
	tcase_add_test(tc, ext3_by_its_journal);
	tcase_add_test(tc, a_journal_device_is_no_filesystem);
	tcase_add_test(tc, encryption_over_an_old_ext_is_not_ext);
	tcase_add_test(tc, a_number_is_that_partition);
	tcase_add_test(tc, a_number_that_is_not_there_shows_the_list);
	tcase_add_loop_test(tc, auto_is_the_only_ext, 0, 3);
	tcase_add_test(tc, auto_is_no_extended_partition);
	tcase_add_test(tc, auto_of_several_shows_the_list);
	tcase_add_test(tc, auto_of_none_shows_the_list);
	tcase_add_test(tc, the_list_has_a_line_a_partition);
	return bed_main("parttable choice", tc);
}
