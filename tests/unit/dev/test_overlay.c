/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The overlay over a memory device: what is kept, what goes home, and how. */
#include <rawmap/dev/overlay.h>

#include "support/faultdev.h"
#include "support/memdev.h"
#include "support/nowritedev.h"
#include "support/recdev.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#define BS     1024
#define BLOCKS 4096
#define TAIL   100
#define SIZE   (BS * BLOCKS + TAIL)

/* ov -> fault -> rec -> mem */
static struct blkdev *mem, *rec, *fault;
static struct overlay *ov;
static struct blkdev *dev;

static void start(size_t clean_max)
{
	mem = memdev_new(SIZE, 512);
	for (size_t i = 0; i < SIZE; i++)
		memdev_bytes(mem)[i] = (uint8_t)(i / BS + 1);
	rec = recdev_new(mem);
	fault = faultdev_new(rec);
	ov = overlay_new(fault, BS, clean_max);
	dev = overlay_blkdev(ov);
}

static void setup(void)
{
	start(8);
}

static void teardown(void)
{
	overlay_unref(ov);
	blkdev_unref(fault);
	blkdev_unref(rec);
	blkdev_unref(mem);
}

static void put(uint64_t block, int byte, unsigned tag)
{
	uint8_t buf[BS];

	memset(buf, byte, BS);
	ck_assert_int_eq(overlay_put_block(ov, pblk_at(block), buf, tag), 0);
}

static void ck_block(uint64_t block, int byte)
{
	uint8_t buf[BS], expected[BS];

	memset(expected, byte, BS);
	ck_assert_int_eq(overlay_get_block(ov, pblk_at(block), buf), 0);
	ck_assert_mem_eq(buf, expected, BS);
}

static uint64_t lower_reads(void)
{
	struct blkdev_counters c;

	blkdev_counters(fault, &c);
	return c.reads;
}

START_TEST(writes_are_seen_and_never_go_down)
{
	g_autoptr(blkdev) guard = nowritedev_new(mem);
	struct overlay *top = overlay_new(guard, BS, 0);
	struct blkdev *d = overlay_blkdev(top);
	char buf[5000], back[5000];

	memset(buf, 'x', sizeof(buf));
	ck_assert_int_eq(blkdev_pwrite(d, buf, 5000, dev_off_at(700)), 0);
	ck_assert_int_eq(blkdev_zero(d, 10, dev_off_at(800)), 0);
	memset(buf + 100, 0, 10);
	ck_assert_int_eq(blkdev_flush(d), 0);
	ck_assert_int_eq(blkdev_discard(d, BS, dev_off_at(0)), -EOPNOTSUPP);
	ck_assert_int_eq(blkdev_pread(d, back, 5000, dev_off_at(700)), 0);
	ck_assert_mem_eq(back, buf, 5000);
	overlay_unref(top);
}
END_TEST

START_TEST(writable_over_a_readonly_device)
{
	g_autofree char *content = g_malloc0(BS * 4);
	g_autoptr(blkdev) lower = memdev_new_readonly(content, BS * 4, 512);
	struct overlay *top = overlay_new(lower, BS, 4);
	char byte = 1;

	ck_assert_int_eq(
		blkdev_pwrite(overlay_blkdev(top), &byte, 1, dev_off_at(9)), 0);
	ck_assert_uint_eq(overlay_dirty_count(top), 1);
	overlay_unref(top);
}
END_TEST

/* @_i: how many clean entries may stay. */
START_TEST(random_requests_agree_with_a_model)
{
	g_autofree uint8_t *model = NULL, *buf = g_malloc(9000);
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);

	teardown();
	start((size_t)_i);
	model = g_memdup2(memdev_bytes(mem), SIZE);
	for (unsigned round = 0; round < 3000; round++) {
		size_t len = (size_t)g_rand_int_range(rand, 1, 9000);
		size_t pos = (size_t)g_rand_int_range(rand, 0, 60 * BS);

		if (g_rand_boolean(rand)) {
			memset(buf, g_rand_int_range(rand, 0, 256), len);
			memcpy(model + pos, buf, len);
			ck_assert_int_eq(blkdev_pwrite(dev, buf, len,
						       dev_off_at(pos)),
					 0);
		} else {
			ck_assert_int_eq(blkdev_pread(dev, buf, len,
						      dev_off_at(pos)),
					 0);
			ck_assert_mem_eq(buf, model + pos, len);
		}
		if (round % 500 == 499)
			ck_assert_int_eq(overlay_write_out(ov, fault, 0), 0);
	}
	ck_assert_int_eq(overlay_write_out(ov, fault, 0), 0);
	ck_assert_mem_eq(memdev_bytes(mem), model, SIZE);
}
END_TEST

START_TEST(identical_writes_make_nothing_dirty)
{
	uint8_t same[BS * 2];

	memset(same, 1, BS);
	memset(same + BS, 2, BS);
	put(0, 1, 5);
	ck_assert_int_eq(blkdev_pwrite(dev, same, BS * 2, dev_off_at(0)), 0);
	ck_assert_int_eq(blkdev_pwrite(dev, same, 10, dev_off_at(7)), 0);
	ck_assert_uint_eq(overlay_dirty_count(ov), 0);
	ck_assert(!overlay_is_dirty(ov, pblk_at(0)));
}
END_TEST

START_TEST(tail_is_readable_not_writable)
{
	uint8_t buf[TAIL + 1], block[BS] = { 0 };
	dev_off tail = dev_off_at(BS * BLOCKS);

	ck_assert_int_eq(
		blkdev_pread(dev, buf, TAIL + 1, dev_off_at(tail.v - 1)), 0);
	ck_assert_mem_eq(buf, memdev_bytes(mem) + tail.v - 1, TAIL + 1);
	ck_assert_int_eq(blkdev_pwrite(dev, buf, 1, tail), -EINVAL);
	ck_assert_int_eq(blkdev_pwrite(dev, buf, 2, dev_off_at(tail.v - 1)),
			 -EINVAL);
	ck_assert_uint_eq(overlay_dirty_count(ov), 0);
	ck_assert_int_eq(overlay_put_block(ov, pblk_at(BLOCKS), block, 0),
			 -EINVAL);
	ck_assert_int_eq(overlay_get_block(ov, pblk_at(BLOCKS), block),
			 -EINVAL);
	ck_assert_int_eq(overlay_get_block(ov, pblk_at(UINT64_MAX), block),
			 -EINVAL);
}
END_TEST

START_TEST(clean_entries_are_read_once_and_evicted_oldest_first)
{
	for (unsigned i = 0; i < 8; i++)
		ck_block(i, (int)i + 1);
	ck_assert_uint_eq(lower_reads(), 8);
	ck_block(0, 1);
	ck_assert_uint_eq(lower_reads(), 8);
	ck_block(8, 9); /* evicts 1: 0 was used since */
	ck_block(0, 1);
	ck_assert_uint_eq(lower_reads(), 9);
	ck_block(1, 2);
	ck_assert_uint_eq(lower_reads(), 10);
}
END_TEST

START_TEST(dirty_entries_are_never_evicted)
{
	for (unsigned i = 0; i < 100; i++)
		put(i, 0xee, 0);
	for (unsigned i = 100; i < 200; i++)
		ck_block(i, (uint8_t)(i + 1));
	ck_assert_uint_eq(overlay_dirty_count(ov), 100);
	for (unsigned i = 0; i < 100; i++)
		ck_block(i, 0xee);
}
END_TEST

START_TEST(pwrite_keeps_the_tag_of_a_dirty_entry_and_put_replaces_it)
{
	uint8_t byte = 0x55;

	overlay_set_tag(ov, 3);
	ck_assert_int_eq(blkdev_pwrite(dev, &byte, 1, dev_off_at(0)), 0);
	overlay_set_tag(ov, 4);
	ck_assert_int_eq(blkdev_pwrite(dev, &byte, 1, dev_off_at(1)), 0);
	ck_assert_int_eq(blkdev_pwrite(dev, &byte, 1, dev_off_at(BS)), 0);
	ck_assert_uint_eq(overlay_dirty_count_tag(ov, 3), 1);
	ck_assert_uint_eq(overlay_dirty_count_tag(ov, 4), 1);
	put(0, 0x77, 9);
	ck_assert_uint_eq(overlay_dirty_count_tag(ov, 3), 0);
	put(0, 0x77, 10);
	ck_assert_uint_eq(overlay_dirty_count_tag(ov, 10), 1);
}
END_TEST

START_TEST(dropped_entry_lets_the_lower_device_through)
{
	put(5, 0xaa, 0);
	overlay_drop(ov, pblk_at(5));
	overlay_drop(ov, pblk_at(6));
	ck_assert_uint_eq(overlay_dirty_count(ov), 0);
	ck_block(5, 6);
}
END_TEST

START_TEST(unreadable_block_can_be_overwritten_whole_only)
{
	uint8_t byte = 1;

	faultdev_arm(fault, FAULTDEV_READ, 1, EIO, FAULTDEV_PERSISTENT);
	ck_assert_int_eq(blkdev_pwrite(dev, &byte, 1, dev_off_at(0)), -EIO);
	ck_assert_uint_eq(overlay_dirty_count(ov), 0);
	put(0, 0x99, 0);
	ck_block(0, 0x99);
}
END_TEST

START_TEST(dirty_blocks_are_listed_ascending)
{
	g_autofree pblk *list = NULL;
	size_t n;

	put(9, 0xaa, 1);
	put(2, 0xaa, 1);
	put(5, 0xaa, 2);
	put(4000, 0xaa, 1);
	list = overlay_list_dirty(ov, 1, &n);
	ck_assert_uint_eq(n, 3);
	ck_assert_uint_eq(list[0].v, 2);
	ck_assert_uint_eq(list[1].v, 9);
	ck_assert_uint_eq(list[2].v, 4000);
}
END_TEST

static void ck_write(const GPtrArray *all, guint i, uint64_t block, size_t n)
{
	const struct recdev_event *e = all->pdata[i];

	ck_assert_int_eq(e->kind, RECDEV_WRITE);
	ck_assert_uint_eq(e->pos.v, block * BS);
	ck_assert_uint_eq(e->len, n * BS);
}

START_TEST(write_out_is_ascending_and_joins_neighbours_of_one_tag)
{
	g_autoptr(GPtrArray) all = NULL;

	put(12, 0xaa, 1);
	put(3, 0xaa, 1);
	put(11, 0xaa, 1);
	put(10, 0xaa, 1);
	put(4, 0xaa, 2);
	put(5, 0xaa, 1);
	ck_assert_int_eq(overlay_write_out(ov, fault, 1), 0);
	all = recdev_events(rec);
	ck_assert_uint_eq(all->len, 3);
	ck_write(all, 0, 3, 1);
	ck_write(all, 1, 5, 1);
	ck_write(all, 2, 10, 3);
	ck_assert_uint_eq(overlay_dirty_count(ov), 1);
	ck_assert(overlay_is_dirty(ov, pblk_at(4)));
	ck_block(11, 0xaa);
}
END_TEST

START_TEST(write_out_writes_at_most_a_mebibyte_at_once)
{
	g_autoptr(GPtrArray) all = NULL;

	for (unsigned i = 0; i < 2500; i++)
		put(i, (uint8_t)(i + 2), 0);
	recdev_clear(rec);
	ck_assert_int_eq(overlay_write_out(ov, fault, 0), 0);
	all = recdev_events(rec);
	ck_assert_uint_eq(all->len, 3);
	ck_write(all, 0, 0, 1024);
	ck_write(all, 1, 1024, 1024);
	ck_write(all, 2, 2048, 452);
}
END_TEST

START_TEST(error_in_write_out_leaves_the_rest_dirty)
{
	for (unsigned i = 0; i < 10; i++)
		put(i * 2, 0xcc, 0);
	faultdev_arm(fault, FAULTDEV_WRITE, 4, ENOSPC, FAULTDEV_SHORT);
	ck_assert_int_eq(overlay_write_out(ov, fault, 0), -ENOSPC);
	ck_assert_uint_eq(overlay_dirty_count(ov), 7);
	ck_assert(!overlay_is_dirty(ov, pblk_at(4)));
	ck_assert(overlay_is_dirty(ov, pblk_at(6)));
	for (unsigned i = 0; i < 10; i++)
		ck_block(i * 2, 0xcc);
	ck_assert_int_eq(overlay_write_out(ov, fault, 0), 0);
	ck_assert_uint_eq(overlay_dirty_count(ov), 0);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_uint_eq(memdev_bytes(mem)[i * 2 * BS + BS - 1], 0xcc);
}
END_TEST

/* A target during whose write somebody changes block 1 and drops block 2. */
static int meddle_pwrite(struct blkdev *target, const void *buf, size_t len,
			 dev_off pos)
{
	(void)target;
	put(1, 0xdd, 0);
	overlay_drop(ov, pblk_at(2));
	return blkdev_pwrite(mem, buf, len, pos);
}

static int meddle_pread(struct blkdev *target, void *buf, size_t len,
			dev_off pos)
{
	(void)target;
	return blkdev_pread(mem, buf, len, pos);
}

static int meddle_flush(struct blkdev *target)
{
	(void)target;
	return 0;
}

static void meddle_close(struct blkdev *target)
{
	(void)target;
}

START_TEST(block_changed_while_it_is_written_out_stays_dirty)
{
	static const struct blkdev_ops ops = {
		.name = "meddle",
		.pread = meddle_pread,
		.pwrite = meddle_pwrite,
		.flush = meddle_flush,
		.close = meddle_close,
	};
	struct blkdev target;

	blkdev_init(&target, &ops, blkdev_geometry(mem));
	for (unsigned i = 0; i < 4; i++)
		put(i, 0xcc, 0);
	ck_assert_int_eq(overlay_write_out(ov, &target, 0), 0);
	ck_assert_uint_eq(overlay_dirty_count(ov), 1);
	ck_assert(overlay_is_dirty(ov, pblk_at(1)));
	ck_block(0, 0xcc);
	ck_block(1, 0xdd);
	ck_block(2, 0xcc);
	ck_assert_uint_eq(memdev_bytes(mem)[BS], 0xcc);
}
END_TEST

/* Two stages: what is pushed is dirty below, and nobody sees a difference. */
START_TEST(pushed_blocks_are_dirty_below_and_read_the_same)
{
	struct overlay *top = overlay_new(dev, BS, 2);
	uint8_t buf[BS];
	g_autofree pblk *list = NULL;
	size_t n;

	for (unsigned i = 9; i >= 3; i -= 3) {
		memset(buf, (int)i, BS);
		ck_assert_int_eq(overlay_put_block(top, pblk_at(i), buf, i), 0);
	}
	put(6, 0xee, 1); /* an older content of the same block */
	list = overlay_push(top, ov, &n);
	ck_assert_uint_eq(n, 3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(list[i].v, 3 * (i + 1));
		ck_assert(overlay_is_dirty(ov, list[i]));
		ck_assert_uint_eq(overlay_dirty_count_tag(ov, 3 * (i + 1)), 1);
		ck_block(list[i].v, (int)list[i].v);
	}
	ck_assert_uint_eq(overlay_dirty_count(top), 0);
	ck_assert_uint_eq(overlay_dirty_count(ov), 3);
	for (unsigned i = 3; i <= 9; i += 3) {
		ck_assert_int_eq(overlay_get_block(top, pblk_at(i), buf), 0);
		ck_assert_uint_eq(buf[0], i);
		ck_assert_uint_eq(buf[BS - 1], i);
	}
	overlay_unref(top);
}
END_TEST

START_TEST(changes_above_a_pushed_block_leave_it_alone)
{
	struct overlay *top = overlay_new(dev, BS, 2);
	uint8_t buf[BS];
	size_t n;

	memset(buf, 1, BS);
	ck_assert_int_eq(overlay_put_block(top, pblk_at(5), buf, 0), 0);
	g_free(overlay_push(top, ov, &n));
	memset(buf, 2, BS);
	ck_assert_int_eq(overlay_put_block(top, pblk_at(5), buf, 0), 0);
	ck_block(5, 1);
	ck_assert_int_eq(overlay_write_out(ov, fault, 0), 0);
	ck_assert_uint_eq(memdev_bytes(mem)[5 * BS], 1);
	ck_assert_int_eq(overlay_get_block(top, pblk_at(5), buf), 0);
	ck_assert_uint_eq(buf[0], 2);
	ck_assert_uint_eq(overlay_dirty_count(top), 1);
	overlay_unref(top);
}
END_TEST

START_TEST(pushing_reads_and_writes_nothing)
{
	struct overlay *top = overlay_new(dev, BS, 0);
	uint8_t buf[BS];
	uint64_t reads;
	size_t n;

	memset(buf, 0xff, BS);
	for (unsigned i = 0; i < 40; i++)
		ck_assert_int_eq(overlay_put_block(top, pblk_at(i), buf, 0), 0);
	reads = lower_reads();
	faultdev_arm(fault, FAULTDEV_ANY, 1, EIO, FAULTDEV_PERSISTENT);
	g_free(overlay_push(top, ov, &n));
	ck_assert(!faultdev_fired(fault));
	ck_assert_uint_eq(lower_reads(), reads);
	ck_assert_uint_eq(n, 40);
	overlay_unref(top);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("overlay");
	TCase *tc = tcase_create("overlay");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, writes_are_seen_and_never_go_down);
	tcase_add_test(tc, writable_over_a_readonly_device);
	tcase_add_loop_test(tc, random_requests_agree_with_a_model, 0, 20);
	tcase_add_test(tc, identical_writes_make_nothing_dirty);
	tcase_add_test(tc, tail_is_readable_not_writable);
	tcase_add_test(tc,
		       clean_entries_are_read_once_and_evicted_oldest_first);
	tcase_add_test(tc, dirty_entries_are_never_evicted);
	tcase_add_test(
		tc, pwrite_keeps_the_tag_of_a_dirty_entry_and_put_replaces_it);
	tcase_add_test(tc, dropped_entry_lets_the_lower_device_through);
	tcase_add_test(tc, unreadable_block_can_be_overwritten_whole_only);
	tcase_add_test(tc, dirty_blocks_are_listed_ascending);
	tcase_add_test(tc,
		       write_out_is_ascending_and_joins_neighbours_of_one_tag);
	tcase_add_test(tc, write_out_writes_at_most_a_mebibyte_at_once);
	tcase_add_test(tc, block_changed_while_it_is_written_out_stays_dirty);
	tcase_add_test(tc, error_in_write_out_leaves_the_rest_dirty);
	tcase_add_test(tc, pushed_blocks_are_dirty_below_and_read_the_same);
	tcase_add_test(tc, changes_above_a_pushed_block_leave_it_alone);
	tcase_add_test(tc, pushing_reads_and_writes_nothing);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
