/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fills: reserve, publish, give back; where blocks go; full hosts. */
#include <rawmap/dev/blkdev.h>
#include <rawmap/map/extmap.h>
#include <support/hostimg.h>
#include <support/maprig.h>
#include <support/memdev.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#define MIB	(UINT64_C(1) << 20)
#define EXT4_1K "-t ext4 -b 1024 -m 0 -O ^has_journal"
#define EXT2_1K "-t ext2 -b 1024 -m 0"
#define EXT4_J	"-t ext4 -b 1024 -m 0"
#define EXT3_J	"-t ext3 -b 1024 -m 0"

static struct extent hole_at(uint64_t start, uint64_t len)
{
	return (struct extent){ .start = lblk_at(start), .len = len };
}

static const char *const kinds[] = { EXT4_1K, EXT2_1K, EXT4_J, EXT3_J };

START_TEST(a_reserved_run_is_not_in_the_file)
{
	struct maprig *rig = maprig_new(kinds[_i], 8 * MIB, 100);
	struct extent hole = hole_at(10, 20);
	struct fill fill = { 0 };

	ck_assert_int_eq(hostfile_reserve(rig->hf, &hole, &fill), 0);
	ck_assert_uint_eq(fill.n, 1);
	ck_assert_uint_eq(fill.runs[0].len, 20);
	ck_assert_int_eq(fill.runs[0].state, EXTENT_MAPPED);
	maprig_verify(rig);
	ck_assert_int_eq(hostfs_sync(rig->fs), 0);
	maprig_verify(rig);
	hostfile_unreserve(rig->hf, &fill);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(what_is_given_back_is_available_again)
{
	struct maprig *rig = maprig_new(kinds[_i], 8 * MIB, 100);
	uint64_t before = maprig_available(rig);
	struct extent hole = hole_at(10, 20);
	struct fill fill = { 0 };

	ck_assert_int_eq(hostfile_reserve(rig->hf, &hole, &fill), 0);
	ck_assert_uint_lt(maprig_available(rig), before - 19);
	hostfile_unreserve(rig->hf, &fill);
	ck_assert_uint_eq(fill.n, 0);
	ck_assert_uint_eq(fill.promised, 0);
	ck_assert_uint_eq(maprig_available(rig), before);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(publishing_returns_the_promise)
{
	struct maprig *rig = maprig_new(kinds[_i], 8 * MIB, 100);
	uint64_t before = maprig_available(rig);

	ck_assert_int_eq(maprig_write(rig, 0, 10), 0);
	ck_assert_uint_eq(maprig_available(rig), before - 10);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(an_empty_fill_grows_the_file_and_never_shrinks_it)
{
	struct maprig *rig = maprig_new(kinds[_i], 8 * MIB, 100);
	struct fill fill = { 0 };

	ck_assert_int_eq(hostfile_publish(rig->hf, &fill, 50 * 1024), 0);
	ck_assert_int_eq(hostfile_publish(rig->hf, &fill, 20 * 1024), 0);
	rig->size = 50 * 1024;
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(fills_reserved_in_any_order_lie_in_file_order)
{
	struct maprig *rig = maprig_new(kinds[_i], 8 * MIB, 4000);
	struct fill fills[10] = { 0 };
	uint64_t first;

	/* None is published, so each finds its place by itself. */
	for (unsigned i = 10; i--;) {
		struct extent hole = hole_at(3000 + i, 1);

		ck_assert_int_eq(hostfile_reserve(rig->hf, &hole, &fills[i]),
				 0);
		ck_assert_uint_eq(fills[i].n, 1);
	}
	first = fills[0].runs[0].phys.v;
	for (unsigned i = 0; i < 10; i++) {
		ck_assert_uint_eq(fills[i].runs[0].phys.v, first + i);
		hostfile_unreserve(rig->hf, &fills[i]);
	}
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(a_hole_that_the_cache_forgot_finds_its_neighbours)
{
	struct maprig *rig = maprig_new(kinds[_i], 8 * MIB, 4000);
	struct extent hole = hole_at(3005, 1);
	struct fill fill = { 0 };
	uint64_t first;

	ck_assert_int_eq(maprig_write(rig, 3000, 2), 0);
	first = maprig_look(rig, 3000, 1).phys.v;
	extmap_drop_all(hostfile_map(rig->hf));
	ck_assert_int_eq(hostfile_reserve(rig->hf, &hole, &fill), 0);
	ck_assert_uint_eq(fill.runs[0].phys.v, first + 5);
	hostfile_unreserve(rig->hf, &fill);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(a_sequential_file_is_contiguous)
{
	struct maprig *rig =
		maprig_new("-t ext4 -b 1024 -O ^has_journal", 24 * MIB, 4000);

	for (uint64_t at = 0; at < 4000; at += 8)
		ck_assert_int_eq(maprig_write(rig, at, 8), 0);
	ck_assert_uint_eq(maprig_look(rig, 0, 4000).len, 4000);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(a_gap_before_a_right_neighbour_is_filled_in_front_of_it)
{
	struct maprig *rig =
		maprig_new("-t ext4 -b 1024 -O ^has_journal", 24 * MIB, 4000);
	uint64_t right;

	ck_assert_int_eq(maprig_write(rig, 3300, 10), 0);
	right = maprig_look(rig, 3300, 1).phys.v;
	ck_assert_int_eq(maprig_write(rig, 3250, 50), 0);
	ck_assert_uint_eq(maprig_look(rig, 3250, 1).phys.v, right - 50);
	ck_assert_uint_eq(maprig_look(rig, 3250, 60).len, 60);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(a_hole_is_filled_where_it_was_asked_and_nowhere_else)
{
	struct maprig *rig = maprig_new(kinds[_i], 24 * MIB, 9000);

	/* With an extent far behind the request, only the request is filled. */
	ck_assert_int_eq(maprig_write(rig, 8000, 1), 0);
	ck_assert_int_eq(maprig_write(rig, 145, 16), 0);
	maprig_verify(rig);
	ck_assert_int_eq(maprig_look(rig, 144, 1).state, EXTENT_HOLE);
	ck_assert_int_eq(maprig_look(rig, 161, 1).state, EXTENT_HOLE);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(a_part_of_an_unwritten_run_becomes_written)
{
	struct maprig *rig = maprig_new(EXT4_1K, 8 * MIB, 200);
	struct extent e;
	struct fill fill = { 0 };

	ck_assert_int_eq(maprig_prealloc(rig, 0, 100), 0);
	e = maprig_look(rig, 40, 10);
	ck_assert_int_eq(hostfile_reserve(rig->hf, &e, &fill), 0);
	ck_assert_int_eq(fill.runs[0].state, EXTENT_UNWRITTEN);
	ck_assert_uint_eq(fill.runs[0].phys.v, e.phys.v);
	hostfile_unreserve(rig->hf, &fill);

	ck_assert_int_eq(maprig_write(rig, 40, 10), 0);
	maprig_verify(rig);
	ck_assert_uint_eq(maprig_look(rig, 40, 100).len, 10);
	ck_assert_uint_eq(maprig_look(rig, 40, 1).phys.v, e.phys.v);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(a_file_ends_at_its_largest_size)
{
	struct maprig *rig = maprig_new(kinds[_i], 8 * MIB, 10);
	uint64_t end = hostfile_max_size(rig->hf) / rig->bs;
	struct extent hole = hole_at(end, 1);
	struct fill fill = { 0 };

	ck_assert_int_eq(hostfile_reserve(rig->hf, &hole, &fill), -EFBIG);
	ck_assert_uint_eq(fill.n, 0);
	hole = hole_at(end - 1, 4);
	ck_assert_int_eq(hostfile_reserve(rig->hf, &hole, &fill), 0);
	ck_assert_uint_eq(fill.runs[0].len, 1);
	hostfile_unreserve(rig->hf, &fill);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(a_full_host_refuses_and_stays_clean)
{
	struct maprig *rig = maprig_new(kinds[_i], 4 * MIB, 6000);
	struct extent hole;
	struct fill fill = { 0 };

	ck_assert_int_eq(maprig_write(rig, 0, 6000), -ENOSPC);
	for (unsigned i = 0; i < 6000; i++)
		if (rig->state[i] == EXTENT_HOLE &&
		    maprig_write(rig, i, 1) == -ENOSPC)
			break;
	hole = hole_at(5999, 1);
	ck_assert_int_eq(hostfile_reserve(rig->hf, &hole, &fill), -ENOSPC);
	ck_assert_uint_eq(fill.n, 0);
	ck_assert_uint_eq(fill.promised, 0);
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(blocks_punched_on_a_full_host_can_be_filled_again)
{
	struct maprig *rig = maprig_new(kinds[_i], 4 * MIB, 6000);

	ck_assert_int_eq(maprig_write(rig, 0, 6000), -ENOSPC);
	ck_assert_int_eq(maprig_punch(rig, 100, 500), 0);
	/* They are released, not free; the fill makes the commit. */
	ck_assert_int_eq(maprig_write(rig, 100, 400), 0);
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(a_preallocated_file_can_be_written_on_a_full_host)
{
	struct maprig *rig = maprig_new(EXT4_1K, 4 * MIB, 6000);

	ck_assert_int_eq(maprig_prealloc(rig, 0, 6000), -ENOSPC);
	ck_assert_int_eq(hostfs_sync(rig->fs), 0);
	for (uint64_t at = 0; at < 1500; at += 100)
		ck_assert_int_eq(maprig_write(rig, at, 50), 0);
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

/* Change one byte of every extent node: order or checksum are wrong then. */
static void damage_nodes(struct maprig *rig)
{
	uint8_t *bytes = memdev_bytes(rig->mem);

	for (uint64_t b = 0; b < 8 * 1024; b++, bytes += 1024)
		if (bytes[0] == 0x0a && bytes[1] == 0xf3)
			bytes[13] ^= 0x40;
}

START_TEST(a_broken_tree_reserves_nothing)
{
	struct maprig *rig = maprig_new(EXT4_1K, 8 * MIB, 2000);
	struct extent hole = hole_at(1, 1);
	struct fill fill = { 0 };
	uint64_t available;

	for (uint64_t i = 0; i < 50; i++)
		ck_assert_int_eq(maprig_write(rig, 2 * i, 1), 0);
	maprig_close(rig);
	damage_nodes(rig);
	maprig_open(rig, NULL);
	available = maprig_available(rig);
	ck_assert_int_eq(hostfile_reserve(rig->hf, &hole, &fill), -EUCLEAN);
	ck_assert_uint_eq(fill.n, 0);
	ck_assert_uint_eq(maprig_available(rig), available);
	maprig_free(rig);
}
END_TEST

START_TEST(a_publish_that_fails_at_its_end_leaves_nothing_behind)
{
	struct maprig *rig = maprig_new(kinds[_i], 8 * MIB, 2000);
	uint64_t available, blocks, too_far;
	struct extent hole;
	struct fill fill = { 0 };
	struct hostfile_attr attr;
	unsigned runs;

	for (uint64_t i = 0; i < 250; i++)
		ck_assert_int_eq(maprig_write(rig, 2 * i, 1), 0);
	maprig_close(rig);
	maprig_open(rig, NULL);
	available = maprig_available(rig);
	for (uint64_t i = 0; i < FILL_RUNS; i++) {
		int err;

		hole = hole_at(50 * i + 1, 1);
		err = hostfile_reserve(rig->hf, &hole, &fill);
		if (err == -E2BIG) /* a small log */
			break;
		ck_assert_int_eq(err, 0);
	}
	runs = fill.n;
	ck_assert_uint_gt(runs, 1);
	hostfile_attr(rig->hf, &attr);
	blocks = attr.blocks;

	/* The size comes last, so everything before it must be undone. */
	too_far = hostfile_max_size(rig->hf) + 1;
	ck_assert_int_eq(hostfile_publish(rig->hf, &fill, too_far), -EFBIG);
	ck_assert_uint_eq(fill.n, runs);
	maprig_verify(rig);
	hostfile_unreserve(rig->hf, &fill);
	ck_assert_int_eq(hostfs_sync(rig->fs), 0);
	/* Nodes that were split for it stay so: six at most. */
	ck_assert_uint_ge(maprig_available(rig), available - 6);
	hostfile_attr(rig->hf, &attr);
	ck_assert_uint_le(attr.blocks, blocks + 6 * 2);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fill");
	TCase *tc = tcase_create("fill");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, a_reserved_run_is_not_in_the_file, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, what_is_given_back_is_available_again, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, publishing_returns_the_promise, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc,
			    an_empty_fill_grows_the_file_and_never_shrinks_it,
			    0, G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, fills_reserved_in_any_order_lie_in_file_order,
			    0, G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc,
			    a_hole_that_the_cache_forgot_finds_its_neighbours,
			    0, G_N_ELEMENTS(kinds));
	tcase_add_test(tc, a_sequential_file_is_contiguous);
	tcase_add_test(tc,
		       a_gap_before_a_right_neighbour_is_filled_in_front_of_it);
	tcase_add_loop_test(
		tc, a_hole_is_filled_where_it_was_asked_and_nowhere_else, 0,
		G_N_ELEMENTS(kinds));
	tcase_add_test(tc, a_part_of_an_unwritten_run_becomes_written);
	tcase_add_loop_test(tc, a_file_ends_at_its_largest_size, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, a_full_host_refuses_and_stays_clean, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc,
			    blocks_punched_on_a_full_host_can_be_filled_again,
			    0, G_N_ELEMENTS(kinds));
	tcase_add_test(tc, a_preallocated_file_can_be_written_on_a_full_host);
	tcase_add_test(tc, a_broken_tree_reserves_nothing);
	tcase_add_loop_test(
		tc, a_publish_that_fails_at_its_end_leaves_nothing_behind, 0,
		G_N_ELEMENTS(kinds));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
