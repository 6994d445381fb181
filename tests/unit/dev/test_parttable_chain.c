/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chains of logical partitions, whole and broken ones: what can be reached is
 * listed, the rest is said, and each of them ends.
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

#define EXT_START 2048u
#define EXT_COUNT 20480u

static uint8_t *record_at(uint32_t sector)
{
	return bed.bytes + sector * UINT64_C(512);
}

/* A record, its one partition of 64 sectors, and the next one's place. */
static void put_link(uint32_t at, uint32_t next)
{
	tablebuild_record(record_at(at), 0, 0x83, 8, 64);
	if (next)
		tablebuild_record(record_at(at), 1, 0x05, next, 128);
}

static void put_extended(void)
{
	tablebuild_record(bed.bytes, 0, 0x05, EXT_START, EXT_COUNT);
}

/* Partitions 5 to @last, and no more but the extended one. */
static void ck_logical(const struct parttable *pt, unsigned last)
{
	ck_assert_uint_eq(pt->parts->len, last - 5 + 2);
	for (unsigned i = 5; i <= last; i++)
		ck_assert_uint_eq(ck_found(pt, i)->size, 64 * 512);
}

static const uint32_t back_links[] = { 4096, 0, 512 };

START_TEST(a_chain_may_bite_its_tail)
{
	g_autoptr(parttable) pt = NULL;

	put_extended();
	put_link(EXT_START, 512);
	put_link(EXT_START + 512, 4096);
	put_link(EXT_START + 4096, 0);
	tablebuild_record(record_at(EXT_START + 4096), 1, 0x05, back_links[_i],
			  128);
	pt = bed_read(&bed);
	ck_logical(pt, 7);
	ck_has(pt->damage, "leads back to byte");
}
END_TEST

START_TEST(a_chain_may_lead_behind_the_end)
{
	g_autoptr(parttable) pt = NULL;

	put_extended();
	put_link(EXT_START, 512);
	put_link(EXT_START + 512, DISK_SIZE / 512);
	pt = bed_read(&bed);
	ck_logical(pt, 6);
	ck_has(pt->damage, "behind the end of the source");
}
END_TEST

START_TEST(a_chain_may_lead_as_far_as_32_bits_go)
{
	g_autoptr(parttable) pt = NULL;

	put_extended();
	put_link(EXT_START, UINT32_MAX - 1);
	pt = bed_read(&bed);
	ck_logical(pt, 5);
	ck_has(pt->damage, "behind the end of the source");
}
END_TEST

START_TEST(a_chain_may_lead_to_nothing)
{
	g_autoptr(parttable) pt = NULL;

	put_extended();
	put_link(EXT_START, 512);
	pt = bed_read(&bed);
	ck_logical(pt, 5);
	ck_has(pt->damage, "at byte 1310720 is gone");
}
END_TEST

START_TEST(the_first_record_may_be_overwritten)
{
	g_autoptr(parttable) pt = NULL;

	put_extended();
	memset(record_at(EXT_START), 0x5a, 512);
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->parts->len, 1);
	ck_has(pt->damage, "at byte 1048576 is gone");
}
END_TEST

START_TEST(an_extended_partition_may_have_no_record_yet)
{
	g_autoptr(parttable) pt = NULL;

	put_extended();
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->parts->len, 1);
	ck_assert(ck_found(pt, 1)->container);
	ck_assert_ptr_null(pt->damage);
}
END_TEST

/* Its record would be the master boot record, which links to it. */
START_TEST(an_extended_partition_may_begin_at_the_first_sector)
{
	g_autoptr(parttable) pt = NULL;

	tablebuild_record(bed.bytes, 0, 0x05, 0, EXT_COUNT);
	tablebuild_record(bed.bytes, 1, 0x83, 2048, 2048);
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->parts->len, 2);
	ck_part(pt, 2, MIB, MIB);
	ck_has(pt->damage, "leads back to byte 0");
}
END_TEST

START_TEST(two_extended_partitions_may_be_one)
{
	g_autoptr(parttable) pt = NULL;

	put_extended();
	tablebuild_record(bed.bytes, 1, 0x0f, EXT_START, EXT_COUNT);
	put_link(EXT_START, 0);
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->parts->len, 3);
	ck_found(pt, 5);
	ck_has(pt->damage, "leads back to byte 1048576");
}
END_TEST

START_TEST(two_extended_partitions_are_counted_on)
{
	g_autoptr(parttable) pt = NULL;

	tablebuild_record(bed.bytes, 0, 0x05, 2048, 4096);
	tablebuild_record(bed.bytes, 1, 0x85, 8192, 4096);
	put_link(2048, 1024);
	put_link(3072, 0);
	put_link(8192, 0);
	pt = bed_read(&bed);
	ck_assert_ptr_null(pt->damage);
	ck_part(pt, 6, (3072 + 8) * 512, 64 * 512);
	ck_part(pt, 7, (8192 + 8) * 512, 64 * 512);
}
END_TEST

START_TEST(a_chain_may_have_too_many_partitions)
{
	g_autoptr(parttable) pt = NULL;

	put_extended();
	for (uint32_t i = 0; i < 300; i++)
		put_link(EXT_START + 64 * i, i < 299 ? 64 * (i + 1) : 0);
	pt = bed_read(&bed);
	ck_logical(pt, PARTTABLE_MAX);
	ck_has(pt->damage, "more than 256 partitions");
}
END_TEST

START_TEST(a_chain_may_be_long_and_empty)
{
	g_autoptr(parttable) pt = NULL;

	put_extended();
	for (uint32_t i = 0; i < 300; i++)
		tablebuild_record(record_at(EXT_START + 64 * i), 0, 0x05,
				  64 * (i + 1), 64);
	pt = bed_read(&bed);
	ck_assert_uint_eq(pt->parts->len, 1);
	ck_has(pt->damage, "more than 256 records");
}
END_TEST

/* Junk there is common: only what lies where it should is a partition. */
START_TEST(third_and_fourth_entries_must_lie_inside)
{
	g_autoptr(parttable) pt = NULL;
	uint8_t *record = record_at(EXT_START);

	put_extended();
	put_link(EXT_START, 0);
	tablebuild_record(record, 2, 0x83, 512, 64);
	tablebuild_record(record, 3, 0x83, EXT_COUNT - 32, 64);
	/* The second record has room for 128 sectors. */
	tablebuild_record(record, 1, 0x05, 1024, 128);
	tablebuild_record(record_at(EXT_START + 1024), 2, 0x83, 64, 64);
	tablebuild_record(record_at(EXT_START + 1024), 3, 0x83, 65, 64);
	pt = bed_read(&bed);
	ck_logical(pt, 7);
	ck_part(pt, 6, (EXT_START + 512) * 512, 64 * 512);
	ck_part(pt, 7, (EXT_START + 1024 + 64) * 512, 64 * 512);
}
END_TEST

/* A link may promise more than the extended partition has. */
START_TEST(nor_do_they_reach_out_of_the_extended_partition)
{
	const uint32_t last = EXT_COUNT - 128;
	g_autoptr(parttable) pt = NULL;

	put_extended();
	put_link(EXT_START, 0);
	tablebuild_record(record_at(EXT_START), 1, 0x05, last, 4096);
	tablebuild_record(record_at(EXT_START + last), 2, 0x83, 64, 64);
	tablebuild_record(record_at(EXT_START + last), 3, 0x83, 65, 64);
	pt = bed_read(&bed);
	ck_logical(pt, 6);
	ck_part(pt, 6, (EXT_START + last + 64) * 512, 64 * 512);
}
END_TEST

START_TEST(a_record_of_the_chain_may_be_unreadable)
{
	g_autoptr(parttable) pt = NULL;

	put_extended();
	put_link(EXT_START, 512);
	put_link(EXT_START + 512, 0);
	bed_make_bad(&bed, 1310720, 1310720 + 512);
	pt = bed_read(&bed);
	ck_logical(pt, 5);
	ck_has(pt->damage, "at byte 1310720 cannot be read");
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("parttable_chain");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, a_chain_may_bite_its_tail, 0,
			    G_N_ELEMENTS(back_links));
	tcase_add_test(tc, a_chain_may_lead_behind_the_end);
	tcase_add_test(tc, a_chain_may_lead_as_far_as_32_bits_go);
	tcase_add_test(tc, a_chain_may_lead_to_nothing);
	tcase_add_test(tc, the_first_record_may_be_overwritten);
	tcase_add_test(tc, an_extended_partition_may_have_no_record_yet);
	tcase_add_test(tc, an_extended_partition_may_begin_at_the_first_sector);
	tcase_add_test(tc, two_extended_partitions_may_be_one);
	tcase_add_test(tc, two_extended_partitions_are_counted_on);
	tcase_add_test(tc, a_chain_may_have_too_many_partitions);
	tcase_add_test(tc, a_chain_may_be_long_and_empty);
	tcase_add_test(tc, third_and_fourth_entries_must_lie_inside);
	tcase_add_test(tc, nor_do_they_reach_out_of_the_extended_partition);
	tcase_add_test(tc, a_record_of_the_chain_may_be_unreadable);
	return bed_main("parttable_chain", tc);
}
