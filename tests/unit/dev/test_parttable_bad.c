/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Partition tables that are damaged, cut off, or made to harm: what can be used
 * is listed, the rest is said, and everything ends.
 */
#include "parttable_bed.h"

#include <rawmap/dev/window.h>

#include <sys/resource.h>

static struct bed bed;

static void setup(void)
{
	bed_open(&bed, 512);
}

static void teardown(void)
{
	bed_close(&bed);
}

/* A bed of another size, with what of the old bytes fits. */
static void resize(uint64_t size)
{
	struct bed old = bed;

	bed_open_sized(&bed, size, 512);
	memcpy(bed.bytes, old.bytes, MIN(size, old.size));
	bed_close(&old);
}

/* ---- GPT: which copy ---- */

static struct tablebuild_gpt gpt;

/* Of three partitions: 2, 4 and 6 MiB at 1, 3 and 7 MiB. */
static void make_gpt(void)
{
	gpt = bed_gpt(&bed, 512);
	tablebuild_gpt(&gpt);
	tablebuild_gpt_add(&gpt, 1, 2048, 6143, "first");
	tablebuild_gpt_add(&gpt, 2, 6144, 14335, "second");
	tablebuild_gpt_add(&gpt, 3, 14336, 26623, "third");
}

static void ck_three(const struct parttable *pt)
{
	ck_assert_str_eq(pt->type, "gpt");
	ck_assert_uint_eq(pt->parts->len, 3);
	ck_part(pt, 1, 1 * MIB, 2 * MIB);
	ck_part(pt, 2, 3 * MIB, 4 * MIB);
	ck_part(pt, 3, 7 * MIB, 6 * MIB);
}

/* Ways to break a copy, the sum of its header or of its entries included. */
static void break_signature(bool backup)
{
	tablebuild_gpt_header(&gpt, backup)[0] ^= 1;
}

static void break_header(bool backup)
{
	tablebuild_gpt_header(&gpt, backup)[40] ^= 1;
}

static void break_entries(bool backup)
{
	tablebuild_gpt_entry(&gpt, backup, 2)[33] ^= 1;
}

static void break_place(bool backup)
{
	tablebuild_put64(tablebuild_gpt_header(&gpt, backup) + 24, 5);
	tablebuild_gpt_seal_header(&gpt, backup);
}

static void break_array(bool backup)
{
	tablebuild_put64(tablebuild_gpt_header(&gpt, backup) + 72,
			 UINT64_C(1) << 60);
	tablebuild_gpt_seal_header(&gpt, backup);
}

static void break_count(bool backup)
{
	tablebuild_put32(tablebuild_gpt_header(&gpt, backup) + 80, 1u << 22);
	tablebuild_gpt_seal_header(&gpt, backup);
}

static void break_all(bool backup)
{
	memset(tablebuild_gpt_header(&gpt, backup), 0xff, 512);
}

static void (*const breaks[])(bool) = {
	break_signature, break_header, break_entries, break_place,
	break_array,	 break_count,  break_all,
};

START_TEST(a_broken_gpt_has_a_backup)
{
	g_autoptr(parttable) pt = NULL;

	make_gpt();
	breaks[_i](false);
	pt = bed_read(&bed);
	ck_three(pt);
	ck_has(pt->damage, "this is the backup");
}
END_TEST

START_TEST(a_broken_backup_is_not_needed)
{
	g_autoptr(parttable) pt = NULL;

	make_gpt();
	breaks[_i](true);
	pt = bed_read(&bed);
	ck_three(pt);
	ck_assert_ptr_null(pt->damage);
}
END_TEST

START_TEST(broken_in_both_places_it_is_an_error)
{
	GError *error = NULL;

	make_gpt();
	breaks[_i](false);
	breaks[_i](true);
	ck_assert_ptr_null(parttable_read(bed.dev, "the disk", &error));
	ck_error(error, RAWMAP_ERROR_CORRUPT, "'the disk': the first sector");
}
END_TEST

START_TEST(the_entries_may_be_moved)
{
	g_autoptr(parttable) pt = NULL;

	if (!bed_has("sgdisk"))
		return;
	bed_run(&bed, "sgdisk -j 8192 -n 1:16384:20479 -c 1:late $F");
	pt = bed_read(&bed);
	ck_part(pt, 1, 8 * MIB, 2 * MIB);
	ck_assert_str_eq(ck_found(pt, 1)->name, "late");
	ck_assert_ptr_null(pt->damage);
}
END_TEST

/* Half a GiB of entries that nobody has written: not one byte is taken. */
START_TEST(entries_take_no_memory_for_being_counted)
{
	GError *error = NULL;
	struct rusage before, after;

	bed_close(&bed);
	bed_open_sized(&bed, 1024 * MIB, 512);
	make_gpt();
	break_count(false);
	break_count(true);
	ck_assert_int_eq(getrusage(RUSAGE_SELF, &before), 0);
	ck_assert_ptr_null(parttable_read(bed.dev, "the disk", &error));
	ck_error(error, RAWMAP_ERROR_CORRUPT, "backup");
	ck_assert_int_eq(getrusage(RUSAGE_SELF, &after), 0);
	ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 64 << 10);
}
END_TEST

/* ---- GPT: entries ---- */

START_TEST(all_entries_may_be_in_use)
{
	g_autoptr(parttable) pt = NULL;

	gpt = bed_gpt(&bed, 512);
	tablebuild_gpt(&gpt);
	for (unsigned i = 1; i <= 128; i++)
		tablebuild_gpt_add(&gpt, i, 2048 + i * 64, 2111 + i * 64, "x");
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->parts->len, 128);
	ck_assert_ptr_null(pt->damage);
	for (unsigned i = 1; i <= 128; i++)
		ck_part(pt, i, (2048 + i * 64) * 512, 64 * 512);
	ck_assert_uint_eq(ck_found(pt, 128)->overlaps, 0);
}
END_TEST

START_TEST(numbers_end_at_256)
{
	g_autoptr(parttable) pt = NULL;

	gpt = bed_gpt(&bed, 512);
	gpt.entries = 300;
	tablebuild_gpt(&gpt);
	tablebuild_gpt_add(&gpt, 256, 2048, 2111, "last");
	tablebuild_gpt_add(&gpt, 257, 4096, 4159, "one more");
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->parts->len, 1);
	ck_part(pt, 256, MIB, 64 * 512);
	ck_has(pt->damage, "more than 256 partitions");
}
END_TEST

START_TEST(partitions_may_overlap)
{
	g_autoptr(parttable) pt = NULL;
	g_autofree char *list = NULL;

	gpt = bed_gpt(&bed, 512);
	tablebuild_gpt(&gpt);
	tablebuild_gpt_add(&gpt, 1, 2048, 4095, "a");
	tablebuild_gpt_add(&gpt, 2, 8192, 12287, "b");
	tablebuild_gpt_add(&gpt, 3, 12287, 12288, "c");
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->parts->len, 3);
	ck_assert_uint_eq(ck_found(pt, 1)->overlaps, 0);
	ck_assert_uint_eq(ck_found(pt, 2)->overlaps, 3);
	ck_assert_uint_eq(ck_found(pt, 3)->overlaps, 2);
	list = parttable_format(pt);
	ck_has(list, "\"b\"  overlaps 3\n");
}
END_TEST

START_TEST(a_partition_may_have_no_length)
{
	g_autoptr(parttable) pt = NULL;
	g_autofree char *list = NULL;
	GError *error = NULL;

	gpt = bed_gpt(&bed, 512);
	tablebuild_gpt(&gpt);
	tablebuild_gpt_add(&gpt, 1, 2048, 2047, "a");
	pt = bed_read(&bed);
	ck_part(pt, 1, MIB, 0);
	list = parttable_format(pt);
	ck_has(list, "without a length\n");
	ck_assert_ptr_null(parttable_choose(pt, 1, &error));
	ck_error(error, RAWMAP_ERROR_CORRUPT, "which has no length:\n");
}
END_TEST

/* First and last sector; none may make a partition that is not on the disk. */
static const struct {
	uint64_t first, last;
} wild_ranges[] = {
	{ 4096, 2047 },
	{ UINT64_MAX, 2048 },
	{ UINT64_MAX, UINT64_MAX },
	{ UINT64_C(1) << 63, 2048 },
	{ (UINT64_C(1) << 55) + 2048, 4095 },
	{ (UINT64_C(1) << 61) + 2048, 4095 },
	{ 2048, UINT64_MAX },
	{ 0, 32000 },
};

START_TEST(entries_may_say_anything)
{
	uint32_t sector = _i % 2 ? 512 : 4096;
	g_autoptr(parttable) pt = NULL;

	gpt = bed_gpt(&bed, sector);
	tablebuild_gpt(&gpt);
	tablebuild_gpt_add(&gpt, 1, wild_ranges[_i / 2].first,
			   wild_ranges[_i / 2].last, "wild");
	tablebuild_gpt_add(&gpt, 2, 512, 1023, "tame");
	pt = bed_read(&bed);
	ck_part(pt, 2, 512 * sector, 512 * sector);
	for (guint i = 0; i < pt->parts->len; i++) {
		const struct partition *p = g_ptr_array_index(pt->parts, i);

		ck_assert(!p->size || (p->start < bed.size &&
				       p->size <= bed.size - p->start));
	}
}
END_TEST

/* In bytes, 64 bits do not hold where it begins. */
START_TEST(far_entries_do_not_come_round)
{
	g_autoptr(parttable) pt = NULL;

	gpt = bed_gpt(&bed, 512);
	tablebuild_gpt(&gpt);
	tablebuild_gpt_add(&gpt, 1, (UINT64_C(1) << 55) + 2048, 4095, "far");
	pt = bed_read(&bed);
	ck_assert_uint_eq(ck_found(pt, 1)->size, 0);
}
END_TEST

START_TEST(names_are_made_printable)
{
	g_autoptr(parttable) pt = NULL;
	g_autofree char *list = NULL;

	gpt = bed_gpt(&bed, 512);
	tablebuild_gpt(&gpt);
	tablebuild_gpt_add(&gpt, 1, 2048, 4095, "a\033[2J\nb\177");
	pt = bed_read(&bed);
	ck_assert_str_eq(ck_found(pt, 1)->name, "a?[2J?b?");
	list = parttable_format(pt);
	ck_has(list, "\"a?[2J?b?\"\n");
}
END_TEST

/* ---- disks that were not copied to their end ---- */

static void ck_cut(const struct parttable *pt)
{
	const struct partition *p;
	GError *error = NULL;
	g_autofree char *list = parttable_format(pt);

	ck_part(pt, 1, 1 * MIB, 2 * MIB);
	p = ck_found(pt, 2);
	ck_assert_uint_eq(p->start, 3 * MIB);
	ck_assert_uint_eq(p->size, 3 * MIB);
	ck_assert_uint_eq(p->missing, 1 * MIB);
	p = ck_found(pt, 3);
	ck_assert_uint_eq(p->start, 7 * MIB);
	ck_assert_uint_eq(p->size, 0);
	ck_assert_uint_eq(p->missing, 6 * MIB);
	ck_has(list, "cut off, 1 MiB are missing\n");
	ck_has(list, "behind the end of the source\n");
	ck_assert_ptr_eq(parttable_choose(pt, 2, &error), ck_found(pt, 2));
	ck_assert_ptr_null(parttable_choose(pt, 3, &error));
	ck_error(error, RAWMAP_ERROR_CORRUPT, "which begins behind its end");
}

START_TEST(the_gpt_of_a_disk_that_is_cut_off)
{
	g_autoptr(parttable) pt = NULL;

	make_gpt();
	resize(6 * MIB);
	pt = bed_read(&bed);
	ck_assert_str_eq(pt->type, "gpt");
	ck_cut(pt);
	ck_has(pt->damage, "the source ends before the disk");
}
END_TEST

START_TEST(the_gpt_of_a_disk_that_is_cut_off_may_be_broken)
{
	GError *error = NULL;

	make_gpt();
	breaks[_i](false);
	resize(6 * MIB);
	ck_assert_ptr_null(parttable_read(bed.dev, "the disk", &error));
	ck_error(error, RAWMAP_ERROR_CORRUPT, "GPT");
}
END_TEST

/* The last sector that a header may claim; whether a file can be so large. */
static const struct {
	uint64_t last;
	bool fits;
} claims[] = {
	{ UINT64_C(1) << 40, true },
	{ (UINT64_C(1) << 54) - 2, true },
	{ (UINT64_C(1) << 54) - 1, false },
	{ (UINT64_C(1) << 55) + 40000, false },
	{ UINT64_MAX, false },
};

START_TEST(a_gpt_may_claim_a_disk_of_any_size)
{
	g_autoptr(parttable) pt = NULL;
	GError *error = NULL;

	make_gpt();
	break_all(true);
	tablebuild_put64(tablebuild_gpt_header(&gpt, false) + 48,
			 claims[_i].last);
	tablebuild_gpt_seal_header(&gpt, false);
	pt = parttable_read(bed.dev, "the disk", &error);
	if (claims[_i].fits) {
		ck_assert_ptr_nonnull(pt);
		ck_three(pt);
		ck_has(pt->damage, "the source ends before the disk");
	} else {
		ck_assert_ptr_null(pt);
		ck_error(error, RAWMAP_ERROR_CORRUPT, "GPT");
	}
}
END_TEST

/* Swap has the type of a Solaris partition, which could hold a table. */
START_TEST(the_dos_table_of_a_disk_that_is_cut_off)
{
	g_autoptr(parttable) pt = NULL;

	tablebuild_record(bed.bytes, 0, 0x83, 2048, 4096);
	tablebuild_record(bed.bytes, 1, 0xa5, 6144, 8192);
	tablebuild_record(bed.bytes, 2, 0x82, 14336, 12288);
	resize(6 * MIB);
	pt = bed_read(&bed);
	ck_assert_str_eq(pt->type, "dos");
	ck_assert_uint_eq(pt->sector, 512);
	ck_cut(pt);
	ck_assert_ptr_null(pt->damage);
}
END_TEST

/* The backup is not where the disk ends now, and is not needed. */
START_TEST(the_gpt_of_a_disk_that_grew)
{
	g_autoptr(parttable) pt = NULL;

	make_gpt();
	resize(32 * MIB);
	pt = bed_read(&bed);
	ck_three(pt);
	ck_assert_ptr_null(pt->damage);
}
END_TEST

/* ---- disks with bad sectors ---- */

START_TEST(without_its_first_sector_a_disk_cannot_be_read)
{
	GError *error = NULL;

	make_gpt();
	bed_make_bad(&bed, 0, 512);
	ck_assert_ptr_null(parttable_read(bed.dev, "the disk", &error));
	ck_error(error, RAWMAP_ERROR_IO, "cannot read the first sector");
}
END_TEST

START_TEST(a_header_that_cannot_be_read_has_a_backup)
{
	g_autoptr(parttable) pt = NULL;

	make_gpt();
	bed_make_bad(&bed, 512, 1024);
	pt = bed_read(&bed);
	ck_three(pt);
	ck_has(pt->damage, "this is the backup");
}
END_TEST

START_TEST(bad_sectors_beside_the_table_do_no_harm)
{
	g_autoptr(parttable) pt = NULL;

	make_gpt();
	bed_make_bad(&bed, 100 << 10, DISK_SIZE);
	pt = bed_read(&bed);
	ck_three(pt);
	ck_assert_ptr_null(pt->damage);
}
END_TEST

/* ---- others ---- */

START_TEST(a_mac_map_may_have_blocks_of_no_size)
{
	g_autoptr(parttable) pt = NULL;

	memcpy(bed.bytes, "ER", 2);
	memcpy(bed.bytes + 512, "PM", 2);
	memset(bed.bytes + 516, 0xff, 4);
	pt = bed_read(&bed);
	ck_assert_ptr_null(pt->type);
}
END_TEST

START_TEST(a_mac_map_is_listed)
{
	g_autoptr(parttable) pt = NULL;
	uint8_t *map = bed.bytes + 512;

	memcpy(bed.bytes, "ER\2", 3); /* blocks of 512 */
	memcpy(map, "PM\0\0\0\0\0\1\0\0\x10\0\0\0\x8\0", 16);
	strcpy((char *)map + 16, "root");
	strcpy((char *)map + 48, "Apple_UNIX_SVR2");
	pt = bed_read(&bed);
	ck_assert_str_eq(pt->type, "mac");
	ck_part(pt, 1, 4096 * 512, 2048 * 512);
	ck_assert_str_eq(ck_found(pt, 1)->name, "root");
	ck_assert_str_eq(ck_found(pt, 1)->type_name, "Apple_UNIX_SVR2");
}
END_TEST

/* Of an Atari; some that libblkid knows are taken for one too easily. */
START_TEST(rare_tables_are_not_looked_for)
{
	static const uint8_t entry[] = { 0, 0, 0x80, 0, 1, 'L', 'N', 'X',
					 0, 0, 8,    0, 0, 0,	8,   0 };
	g_autoptr(parttable) pt = NULL;

	memcpy(bed.bytes + 0x1c2, entry, sizeof(entry));
	pt = bed_read(&bed);
	ck_assert_ptr_null(pt->type);
}
END_TEST

/* As another device: nothing but reads of the window reach it. */
START_TEST(a_window_may_hold_a_table)
{
	struct blkdev *disk = bed.dev;
	g_autoptr(parttable) pt = NULL;

	make_gpt();
	resize(20 * MIB);
	memmove(bed.bytes + 1000, bed.bytes, DISK_SIZE);
	disk = bed.dev;
	bed.dev = window_new(disk, 1000, DISK_SIZE);
	blkdev_unref(disk);
	pt = bed_read(&bed);
	ck_three(pt);
	ck_assert_ptr_null(pt->damage);
}
END_TEST

static void add_gpts(TCase *tc)
{
	int n = G_N_ELEMENTS(breaks);

	tcase_add_loop_test(tc, a_broken_gpt_has_a_backup, 0, n);
	tcase_add_loop_test(tc, a_broken_backup_is_not_needed, 0, n);
	tcase_add_loop_test(tc, broken_in_both_places_it_is_an_error, 0, n);
	tcase_add_test(tc, the_entries_may_be_moved);
	tcase_add_test(tc, entries_take_no_memory_for_being_counted);
	tcase_add_test(tc, all_entries_may_be_in_use);
	tcase_add_test(tc, numbers_end_at_256);
	tcase_add_test(tc, partitions_may_overlap);
	tcase_add_test(tc, a_partition_may_have_no_length);
	tcase_add_loop_test(tc, entries_may_say_anything, 0,
			    2 * G_N_ELEMENTS(wild_ranges));
	tcase_add_test(tc, far_entries_do_not_come_round);
	tcase_add_test(tc, names_are_made_printable);
	tcase_add_test(tc, the_gpt_of_a_disk_that_is_cut_off);
	tcase_add_loop_test(tc, the_gpt_of_a_disk_that_is_cut_off_may_be_broken,
			    0, n);
	tcase_add_loop_test(tc, a_gpt_may_claim_a_disk_of_any_size, 0,
			    G_N_ELEMENTS(claims));
}

int main(void)
{
	TCase *tc = tcase_create("parttable_bad");

	tcase_add_checked_fixture(tc, setup, teardown);
	add_gpts(tc);
	tcase_add_test(tc, the_dos_table_of_a_disk_that_is_cut_off);
	tcase_add_test(tc, the_gpt_of_a_disk_that_grew);
	tcase_add_test(tc, without_its_first_sector_a_disk_cannot_be_read);
	tcase_add_test(tc, a_header_that_cannot_be_read_has_a_backup);
	tcase_add_test(tc, bad_sectors_beside_the_table_do_no_harm);
	tcase_add_test(tc, a_mac_map_may_have_blocks_of_no_size);
	tcase_add_test(tc, a_mac_map_is_listed);
	tcase_add_test(tc, rare_tables_are_not_looked_for);
	tcase_add_test(tc, a_window_may_hold_a_table);
	return bed_main("parttable_bad", tc);
}
