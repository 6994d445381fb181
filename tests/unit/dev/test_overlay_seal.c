/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Seals: they stay with the bytes they were put with, and with nothing else. */
#include <rawmap/dev/overlay.h>

#include <support/memdev.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BS     1024
#define BLOCKS 64
#define SEAL   4711

/* top -> ov -> mem */
static struct blkdev *mem;
static struct overlay *ov, *top;

static void setup(void)
{
	mem = memdev_new(BS * BLOCKS, 512);
	ov = overlay_new(mem, BS, 0);
	top = overlay_new(overlay_blkdev(ov), BS, 2);
}

static void teardown(void)
{
	overlay_unref(top);
	overlay_unref(ov);
	blkdev_unref(mem);
}

static void put(uint64_t block, int byte)
{
	uint8_t buf[BS];

	memset(buf, byte, BS);
	ck_assert_int_eq(overlay_put_block(top, pblk_at(block), buf, 0), 0);
}

static void put_sealed(uint64_t block, int byte)
{
	uint8_t buf[BS];

	memset(buf, byte, BS);
	ck_assert_int_eq(overlay_put_sealed(top, pblk_at(block), buf, 0, SEAL),
			 0);
}

static void ck_seal(struct overlay *of, uint64_t block, int byte, uint64_t seal)
{
	uint8_t buf[BS], expected[BS];
	uint64_t found = ~seal;

	memset(expected, byte, BS);
	ck_assert_int_eq(overlay_get_sealed(of, pblk_at(block), buf, &found),
			 0);
	ck_assert_mem_eq(buf, expected, BS);
	ck_assert_uint_eq(found, seal);
}

/* The bounded read cache forgets @block. */
static void evict(uint64_t block)
{
	uint8_t buf[BS];

	for (uint64_t i = 1; i <= 2; i++)
		ck_assert_int_eq(
			overlay_get_block(top, pblk_at(block + i), buf), 0);
}

START_TEST(a_sealed_block_says_so)
{
	put_sealed(3, 7);
	ck_seal(top, 3, 7, SEAL);
	ck_seal(top, 3, 7, SEAL);
}
END_TEST

START_TEST(a_block_that_was_only_read_has_no_seal)
{
	for (int i = 0; i < 3; i++)
		ck_seal(top, 3, 0, 0);
	put(3, 7);
	ck_seal(top, 3, 7, 0);
}
END_TEST

START_TEST(a_changed_byte_breaks_the_seal)
{
	uint8_t byte = 7;

	put_sealed(3, 7);
	ck_assert_int_eq(blkdev_pwrite(overlay_blkdev(top), &byte, 1,
				       dev_off_at(3 * BS + 9)),
			 0);
	ck_seal(top, 3, 7, SEAL); /* it was 7 */
	put(3, 8);
	ck_seal(top, 3, 8, 0);
	put(3, 7);
	ck_seal(top, 3, 7, 0);
	put_sealed(3, 7);
	byte = 9;
	ck_assert_int_eq(blkdev_pwrite(overlay_blkdev(top), &byte, 1,
				       dev_off_at(3 * BS + 9)),
			 0);
	byte = 7;
	ck_assert_int_eq(blkdev_pwrite(overlay_blkdev(top), &byte, 1,
				       dev_off_at(3 * BS + 9)),
			 0);
	ck_seal(top, 3, 7, 0);
}
END_TEST

START_TEST(a_dropped_block_loses_the_seal)
{
	put_sealed(3, 0); /* as the device has it */
	ck_seal(top, 3, 0, SEAL);
	overlay_drop(top, pblk_at(3));
	ck_seal(top, 3, 0, 0);
}
END_TEST

START_TEST(a_pushed_block_takes_its_seal_along)
{
	size_t n;

	put_sealed(3, 7);
	g_free(overlay_push(top, ov, &n));
	ck_seal(ov, 3, 7, SEAL);
	ck_seal(top, 3, 7, SEAL);
	evict(3);
	ck_seal(top, 3, 7, SEAL);
	ck_seal(top, 3, 7, SEAL);
}
END_TEST

START_TEST(a_pushed_block_without_a_seal_breaks_the_one_below)
{
	size_t n;

	put_sealed(3, 7);
	g_free(overlay_push(top, ov, &n));
	put(3, 8);
	g_free(overlay_push(top, ov, &n));
	ck_seal(ov, 3, 8, 0);
}
END_TEST

START_TEST(a_block_read_back_from_the_device_has_no_seal)
{
	size_t n;

	put_sealed(3, 7);
	g_free(overlay_push(top, ov, &n));
	ck_assert_int_eq(overlay_write_out(ov, mem, 0), 0);
	ck_seal(top, 3, 7, SEAL); /* never left memory */
	evict(3);
	ck_seal(top, 3, 7, 0);
	ck_seal(top, 3, 7, 0);
}
END_TEST

START_TEST(blocks_outside_are_refused)
{
	uint8_t buf[BS] = { 0 };
	uint64_t seal = 5;

	ck_assert_int_eq(overlay_get_sealed(top, pblk_at(BLOCKS), buf, &seal),
			 -EINVAL);
	ck_assert_int_eq(overlay_put_sealed(top, pblk_at(BLOCKS), buf, 0, 1),
			 -EINVAL);
	ck_assert_uint_eq(seal, 5);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("overlay_seal");
	TCase *tc = tcase_create("seal");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_sealed_block_says_so);
	tcase_add_test(tc, a_block_that_was_only_read_has_no_seal);
	tcase_add_test(tc, a_changed_byte_breaks_the_seal);
	tcase_add_test(tc, a_dropped_block_loses_the_seal);
	tcase_add_test(tc, a_pushed_block_takes_its_seal_along);
	tcase_add_test(tc, a_pushed_block_without_a_seal_breaks_the_one_below);
	tcase_add_test(tc, a_block_read_back_from_the_device_has_no_seal);
	tcase_add_test(tc, blocks_outside_are_refused);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
