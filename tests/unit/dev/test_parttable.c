/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Partition tables as tools make them, and of all sizes of sectors: what is
 * listed.
 */
#include "parttable_bed.h"

#define EFI_SYSTEM "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"

static struct bed bed;

static void setup(void)
{
	bed_open(&bed, 512);
}

static void teardown(void)
{
	bed_close(&bed);
}

/* Another disk, of other sectors. */
static void reopen(uint32_t sector)
{
	bed_close(&bed);
	bed_open(&bed, sector);
}

/* ---- what tools make ---- */

START_TEST(gpt_of_sfdisk)
{
	g_autoptr(parttable) pt = NULL;
	const struct partition *p;

	if (!bed_has("sfdisk"))
		return;
	bed_run(&bed, "printf '%s\\n' 'label: gpt'"
		      " 'start=2048, size=4096, name=boot, type=" EFI_SYSTEM "'"
		      " 'start=6144, size=8192, name=\"my data\","
		      " uuid=01234567-89AB-CDEF-0123-456789ABCDEF'"
		      " 'start=16384, size=2048,"
		      " type=11111111-2222-3333-4444-555555555555'"
		      " | sfdisk -q $F");
	pt = bed_read(&bed);
	ck_assert_str_eq(pt->type, "gpt");
	ck_assert_uint_eq(pt->sector, 512);
	ck_assert_ptr_null(pt->damage);
	ck_assert_uint_eq(pt->parts->len, 3);
	p = ck_part(pt, 1, 2048 * 512, 4096 * 512);
	ck_assert_str_eq(p->name, "boot");
	ck_assert_str_eq(p->type_name, "EFI system");
	p = ck_part(pt, 2, 6144 * 512, 8192 * 512);
	ck_assert_str_eq(p->name, "my data");
	ck_assert_str_eq(p->type_name, "Linux filesystem");
	ck_assert_str_eq(p->uuid, "01234567-89ab-cdef-0123-456789abcdef");
	ck_assert(!p->container);
	p = ck_part(pt, 3, 16384 * 512, 2048 * 512);
	ck_assert_ptr_null(p->name);
	ck_assert_str_eq(p->type_name, "11111111-2222-3333-4444-555555555555");
}
END_TEST

START_TEST(gpt_of_sgdisk_keeps_its_numbers)
{
	g_autoptr(parttable) pt = NULL;

	if (!bed_has("sgdisk"))
		return;
	bed_run(&bed, "sgdisk -a 1 -n 7:4096:8191 -c 7:seven"
		      " -n 3:2048:4095 -t 3:8200 $F");
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->parts->len, 2);
	ck_part(pt, 3, 2048 * 512, 2048 * 512);
	ck_assert_str_eq(ck_found(pt, 3)->type_name, "Linux swap");
	ck_part(pt, 7, 4096 * 512, 4096 * 512);
	ck_assert_str_eq(ck_found(pt, 7)->name, "seven");
	ck_assert_ptr_null(parttable_find(pt, 1));
}
END_TEST

START_TEST(dos_of_sfdisk_with_logical_partitions)
{
	g_autoptr(parttable) pt = NULL;
	const struct partition *p;

	if (!bed_has("sfdisk"))
		return;
	bed_run(&bed, "printf '%s\\n' 'label: dos' 'label-id: 0x1234abcd'"
		      " 'start=2048, size=2048, type=83'"
		      " 'start=4096, size=20480, type=5'"
		      " 'start=26624, size=2048, type=b'"
		      " '' | sfdisk -q $F &&"
		      " printf '%s\\n' 'start=6144, size=2048, type=83'"
		      " 'start=10240, size=2048, type=82'"
		      " 'start=14336, size=4096, type=7'"
		      " | sfdisk -q --append $F");
	pt = bed_read(&bed);
	ck_assert_str_eq(pt->type, "dos");
	ck_assert_uint_eq(pt->sector, 512);
	ck_assert_ptr_null(pt->damage);
	ck_assert_uint_eq(pt->parts->len, 6);
	p = ck_part(pt, 1, 2048 * 512, 2048 * 512);
	ck_assert_str_eq(p->type_name, "0x83 Linux");
	ck_assert_str_eq(p->uuid, "1234abcd-01");
	p = ck_part(pt, 2, 4096 * 512, 20480 * 512);
	ck_assert(p->container);
	ck_assert_uint_eq(p->overlaps, 0);
	p = ck_part(pt, 3, 26624 * 512, 2048 * 512);
	ck_assert(!p->container);
	ck_part(pt, 5, 6144 * 512, 2048 * 512);
	p = ck_part(pt, 6, 10240 * 512, 2048 * 512);
	ck_assert_str_eq(p->type_name, "0x82 Linux swap");
	p = ck_part(pt, 7, 14336 * 512, 4096 * 512);
	ck_assert_str_eq(p->uuid, "1234abcd-07");
}
END_TEST

START_TEST(filesystems_are_named)
{
	g_autoptr(parttable) pt = NULL;

	if (!bed_has("sfdisk") || !bed_has("mke2fs"))
		return;
	bed_run(&bed, "printf '%s\\n' 'label: gpt' 'start=2048, size=8192'"
		      " 'start=10240, size=8192' 'start=18432, size=8192'"
		      " 'start=26624, size=4096' | sfdisk -q $F &&"
		      " mke2fs -qFt ext2 -E offset=1048576 $F 4M &&"
		      " mke2fs -qFt ext3 -E offset=5242880 $F 4M &&"
		      " mke2fs -qFt ext4 -E offset=9437184 $F 4M");
	bed_put_swap(&bed, 26624 * 512);
	pt = bed_read(&bed);
	ck_assert_str_eq(ck_found(pt, 1)->content, "ext2");
	ck_assert_str_eq(ck_found(pt, 2)->content, "ext3");
	ck_assert_str_eq(ck_found(pt, 3)->content, "ext4");
	ck_assert_str_eq(ck_found(pt, 4)->content, "swap");
	ck_assert(ck_found(pt, 1)->is_ext);
	ck_assert(ck_found(pt, 2)->is_ext);
	ck_assert(ck_found(pt, 3)->is_ext);
	ck_assert(!ck_found(pt, 4)->is_ext);
}
END_TEST

static const char *const empty_tables[] = { "gpt", "dos" };

START_TEST(a_table_may_be_empty)
{
	g_autofree char *command = g_strdup_printf(
		"echo 'label: %s' | sfdisk -q $F", empty_tables[_i]);
	g_autoptr(parttable) pt = NULL;
	GError *error = NULL;

	if (!bed_has("sfdisk"))
		return;
	bed_run(&bed, command);
	pt = bed_read(&bed);
	ck_assert_str_eq(pt->type, empty_tables[_i]);
	ck_assert_uint_eq(pt->parts->len, 0);
	ck_assert_ptr_null(pt->damage);
	ck_assert_ptr_null(parttable_choose(pt, 0, &error));
	ck_error(error, RAWMAP_ERROR_NOT_FOUND, "no partition with an ext2");
}
END_TEST

/* With a loop device for a disk: the tools ask a disk for its sectors. */
START_TEST(sfdisk_on_4096_byte_sectors)
{
	g_autofree char *command = g_strdup_printf(
		"L=$(losetup -b 4096 --show -f $F) &&"
		" { printf '%%s\\n' 'label: %s' 'start=256, size=1024'"
		" 'start=2048, size=512' | sfdisk -q $L; R=$?; losetup -d $L;"
		" exit $R; }",
		_i ? "gpt" : "dos");
	g_autoptr(parttable) pt = NULL;

	if (!bed_has("sfdisk") || !bed_has("losetup"))
		return;
	if (system("losetup -f >/dev/null 2>&1") || geteuid()) {
		printf("skipped: no loop devices for us\n");
		return;
	}
	reopen(4096);
	bed_run(&bed, command);
	pt = bed_read(&bed);
	ck_assert_str_eq(pt->type, _i ? "gpt" : "dos");
	ck_assert_uint_eq(pt->sector, 4096);
	ck_assert_uint_eq(pt->parts->len, 2);
	ck_part(pt, 1, 256 * 4096, 1024 * 4096);
	ck_part(pt, 2, 2048 * 4096, 512 * 4096);
}
END_TEST

/* ---- no table ---- */

START_TEST(no_table_is_no_error)
{
	g_autoptr(parttable) pt = bed_read(&bed);
	g_autofree char *list = parttable_format(pt);
	GError *error = NULL;

	ck_assert_ptr_null(pt->type);
	ck_assert_uint_eq(pt->parts->len, 0);
	ck_assert_str_eq(list, "");
	ck_assert_ptr_null(parttable_choose(pt, 0, &error));
	ck_error(error, RAWMAP_ERROR_NOT_FOUND,
		 "'the disk' has no partition table");
	error = NULL;
	ck_assert_ptr_null(parttable_choose(pt, 1, &error));
	ck_error(error, RAWMAP_ERROR_NOT_FOUND, "no partition table");
}
END_TEST

START_TEST(a_filesystem_is_no_table)
{
	g_autoptr(parttable) pt = NULL;

	bed_put_ext(&bed, 0, HAS_JOURNAL, EXTENTS);
	pt = bed_read(&bed);
	ck_assert_ptr_null(pt->type);
}
END_TEST

START_TEST(a_device_may_be_too_small)
{
	bed_close(&bed);
	bed_open_sized(&bed, _i ? 512 : 100, 512);
	parttable_free(bed_read(&bed));
}
END_TEST

/* ---- sizes of sectors ---- */

static const uint32_t sectors[] = { 512, 2048, 4096 };

START_TEST(gpt_of_4096_byte_sectors)
{
	g_autoptr(parttable) pt = NULL;
	struct tablebuild_gpt g;

	reopen(sectors[_i]);
	g = bed_gpt(&bed, 4096);
	tablebuild_gpt(&g);
	tablebuild_gpt_add(&g, 1, 256, 511, "a");
	tablebuild_gpt_add(&g, 128, 512, 1023, "b");
	pt = bed_read(&bed);
	ck_assert_str_eq(pt->type, "gpt");
	ck_assert_uint_eq(pt->sector, 4096);
	ck_assert_uint_eq(pt->parts->len, 2);
	ck_part(pt, 1, 256 * 4096, 256 * 4096);
	ck_part(pt, 128, 512 * 4096, 512 * 4096);
}
END_TEST

START_TEST(gpt_of_512_byte_sectors)
{
	g_autoptr(parttable) pt = NULL;
	struct tablebuild_gpt g;

	reopen(sectors[_i]);
	g = bed_gpt(&bed, 512);
	tablebuild_gpt(&g);
	tablebuild_gpt_add(&g, 1, 2048, 4095, "a");
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->sector, 512);
	ck_part(pt, 1, 2048 * 512, 2048 * 512);
}
END_TEST

/* What is found at its place tells; 4 times 256 is within the disk, too. */
START_TEST(dos_of_4096_byte_sectors)
{
	g_autoptr(parttable) pt = NULL;

	reopen(sectors[_i]);
	tablebuild_record(bed.bytes, 0, 0x83, 256, 256);
	bed_put_ext(&bed, 256 * 4096, 0, 0);
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->sector, 4096);
	ck_part(pt, 1, 256 * 4096, 256 * 4096);
}
END_TEST

START_TEST(dos_of_512_byte_sectors)
{
	g_autoptr(parttable) pt = NULL;

	reopen(sectors[_i]);
	tablebuild_record(bed.bytes, 0, 0x83, 256, 256);
	bed_put_ext(&bed, 256 * 512, 0, 0);
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->sector, 512);
	ck_part(pt, 1, 256 * 512, 256 * 512);
}
END_TEST

START_TEST(dos_that_does_not_tell_has_the_sectors_of_the_device)
{
	g_autoptr(parttable) pt = NULL;

	reopen(sectors[_i]);
	tablebuild_record(bed.bytes, 0, 0x83, 256, 256);
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->sector, sectors[_i]);
}
END_TEST

START_TEST(dos_that_fits_only_so_has_sectors_of_512)
{
	g_autoptr(parttable) pt = NULL;

	reopen(4096);
	tablebuild_record(bed.bytes, 0, 0x83, 2048, DISK_SIZE / 512 - 2048);
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->sector, 512);
	ck_part(pt, 1, 2048 * 512, DISK_SIZE - 2048 * 512);
}
END_TEST

START_TEST(dos_whose_chain_is_there_only_so_has_sectors_of_4096)
{
	g_autoptr(parttable) pt = NULL;

	tablebuild_record(bed.bytes, 0, 0x05, 256, 2048);
	tablebuild_record(bed.bytes + 256 * 4096, 0, 0x83, 256, 1024);
	bed.bytes[256 * 512] = 1;
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->sector, 4096);
	ck_part(pt, 5, 512 * 4096, 1024 * 4096);
}
END_TEST

/* A disk of 8 TiB: 32 bits do not hold what it has of 512 bytes. */
START_TEST(dos_of_4096_byte_sectors_beyond_2_tib)
{
	const uint64_t tib = UINT64_C(1) << 40;
	g_autoptr(parttable) pt = NULL;
	uint8_t *record;

	bed_close(&bed);
	bed_open_sized(&bed, 8 * tib, 4096);
	record = bed.bytes + 3 * tib;
	tablebuild_record(bed.bytes, 0, 0x07, 256, 0x2ffffe00);
	tablebuild_record(bed.bytes, 1, 0x0f, 0x30000000, 0x40000000);
	tablebuild_record(record, 0, 0x83, 256, 0x3fffff00);
	pt = bed_read(&bed);
	ck_assert_ptr_null(pt->damage);
	ck_part(pt, 1, MIB, UINT64_C(0x2ffffe00) * 4096);
	ck_part(pt, 2, 3 * tib, 4 * tib);
	ck_part(pt, 5, 3 * tib + MIB, 4 * tib - MIB);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("parttable");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, gpt_of_sfdisk);
	tcase_add_test(tc, gpt_of_sgdisk_keeps_its_numbers);
	tcase_add_test(tc, dos_of_sfdisk_with_logical_partitions);
	tcase_add_test(tc, filesystems_are_named);
	tcase_add_loop_test(tc, a_table_may_be_empty, 0,
			    G_N_ELEMENTS(empty_tables));
	tcase_add_loop_test(tc, sfdisk_on_4096_byte_sectors, 0, 2);
	tcase_add_test(tc, no_table_is_no_error);
	tcase_add_test(tc, a_filesystem_is_no_table);
	tcase_add_loop_test(tc, a_device_may_be_too_small, 0, 2);
	tcase_add_loop_test(tc, gpt_of_4096_byte_sectors, 0,
			    G_N_ELEMENTS(sectors));
	tcase_add_loop_test(tc, gpt_of_512_byte_sectors, 0,
			    G_N_ELEMENTS(sectors));
	tcase_add_loop_test(tc, dos_of_4096_byte_sectors, 0,
			    G_N_ELEMENTS(sectors));
	tcase_add_loop_test(tc, dos_of_512_byte_sectors, 0,
			    G_N_ELEMENTS(sectors));
	tcase_add_loop_test(
		tc, dos_that_does_not_tell_has_the_sectors_of_the_device, 0,
		G_N_ELEMENTS(sectors));
	tcase_add_test(tc, dos_that_fits_only_so_has_sectors_of_512);
	tcase_add_test(tc,
		       dos_whose_chain_is_there_only_so_has_sectors_of_4096);
	tcase_add_test(tc, dos_of_4096_byte_sectors_beyond_2_tib);
	return bed_main("parttable", tc);
}
