/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Extent trees under change: torture against a model, shapes of trees, and what
 * a power loss leaves of a tree that was changed by copying.
 */
#include <rawmap/dev/blkdev.h>
#include <rawmap/map/extmap.h>
#include <support/hostimg.h>
#include <support/maprig.h>
#include <support/memdev.h>
#include <support/recdev.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

/* debugfs' "extents": depth of the tree and number of leaf entries. */
static unsigned tree_depth(struct hostimg *img)
{
	g_autofree char *out = hostimg_ask(img, "ex -n /f");
	const char *slash = strchr(out, '/');

	/* " 0/ 2   1/ 1 ..." is level / depth of the first entry. */
	return slash ? (unsigned)strtoul(slash + 1, NULL, 10) : 0;
}

/* Every other block of [start, start + 2n). */
static void comb(struct maprig *rig, uint64_t start, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		g_assert_cmpint(maprig_write(rig, start + 2 * i, 1), ==, 0);
}

static void torture(const char *mkfs, uint64_t bytes, uint64_t blocks,
		    unsigned steps, uint64_t max_len)
{
	struct maprig *rig = maprig_new(mkfs, bytes, blocks);

	ck_assert(hostfile_extent_mapped(rig->hf));
	for (unsigned i = 1; i <= steps; i++) {
		maprig_random(rig, max_len);
		if (i % (steps / 4) == 0)
			maprig_verify(rig);
		if (i == steps / 2) {
			maprig_judge(rig);
			maprig_open(rig, NULL);
		}
	}
	maprig_verify(rig);
	maprig_judge(rig);
	maprig_free(rig);
}

START_TEST(torture_1k_blocks_with_checksums)
{
	torture("-t ext4 -b 1024 -O metadata_csum,^has_journal", 24 * MIB,
		16000, 6000, 400);
}
END_TEST

START_TEST(torture_1k_blocks_without_checksums)
{
	torture("-t ext4 -b 1024 -O ^metadata_csum,^has_journal", 24 * MIB,
		16000, 6000, 400);
}
END_TEST

START_TEST(torture_4k_blocks)
{
	torture("-t ext4 -b 4096 -O ^has_journal", 64 * MIB, 12000, 6000, 300);
}
END_TEST

START_TEST(torture_with_a_journal)
{
	torture(_i ? "-t ext4 -b 4096" : "-t ext4 -b 1024", 64 * MIB, 16000,
		6000, 400);
}
END_TEST

START_TEST(torture_on_a_host_that_is_nearly_full)
{
	torture("-t ext4 -b 1024 -m 0 -O metadata_csum,^has_journal", 4 * MIB,
		6000, 4000, 600);
}
END_TEST

START_TEST(a_tree_grows_to_depth_two_and_shrinks_to_none)
{
	struct maprig *rig =
		maprig_new("-t ext4 -b 1024 -O ^has_journal", 24 * MIB, 16000);

	comb(rig, 0, 4000);
	maprig_verify(rig);
	maprig_judge(rig);
	ck_assert_uint_ge(tree_depth(rig->img), 2);

	maprig_open(rig, NULL);
	ck_assert_int_eq(maprig_punch(rig, 0, 7992), 0);
	maprig_verify(rig);
	maprig_judge(rig);
	ck_assert_uint_eq(tree_depth(rig->img), 0);

	maprig_open(rig, NULL);
	ck_assert_int_eq(maprig_punch(rig, 0, 16000), 0);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(sequential_fragments_pack_their_leaves)
{
	struct maprig *rig =
		maprig_new("-t ext4 -b 1024 -O ^has_journal", 24 * MIB, 4000);
	struct hostfile_attr attr;

	/* 84 entries a leaf: 840 fragments are 10 full leaves and no more
	   than an index block above them. */
	comb(rig, 0, 840);
	hostfile_attr(rig->hf, &attr);
	ck_assert_uint_le(attr.blocks / 2, 840 + 11);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(filling_all_gaps_leaves_few_extents)
{
	struct maprig *rig =
		maprig_new("-t ext4 -b 1024 -O ^has_journal", 24 * MIB, 4000);
	struct hostfile_attr attr;

	comb(rig, 0, 500);
	for (uint64_t i = 0; i < 500; i++)
		ck_assert_int_eq(maprig_write(rig, 2 * i + 1, 1), 0);
	maprig_verify(rig);
	hostfile_attr(rig->hf, &attr);
	/* The goal left the gaps on the device too, so all of it merged. */
	ck_assert_uint_le(attr.blocks / 2, 1000 + 8);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

START_TEST(a_committed_node_is_never_changed_in_place)
{
	struct maprig *rig =
		maprig_new("-t ext4 -b 1024 -O ^has_journal", 24 * MIB, 4000);
	g_autofree uint8_t *before = NULL;
	unsigned seen = 0;

	comb(rig, 0, 300);
	ck_assert_int_eq(hostfs_sync(rig->fs), 0);
	before = g_memdup2(memdev_bytes(rig->mem), 24 * MIB);
	ck_assert_int_eq(maprig_write(rig, 301, 1), 0);
	ck_assert_int_eq(hostfs_sync(rig->fs), 0);
	for (uint64_t b = 0; b < 24 * 1024; b++) {
		/* eh_magic; eh_entries > 0; eh_max of a block */
		static const uint8_t magic[] = { 0x0a, 0xf3 };
		const uint8_t *old = before + b * 1024;

		if (memcmp(old, magic, 2) || old[4] != 84)
			continue;
		seen++;
		ck_assert_mem_eq(memdev_bytes(rig->mem) + b * 1024, old, 1024);
	}
	ck_assert_uint_ge(seen, 4);
	maprig_judge(rig);
	maprig_free(rig);
}
END_TEST

/* ---- power loss ---- */

struct saved {
	uint8_t *state;
	uint64_t *stamp;
};

static void save(const struct maprig *rig, struct saved *ret)
{
	ret->state = g_memdup2(rig->state, rig->blocks);
	ret->stamp = g_memdup2(rig->stamp, rig->blocks * sizeof(uint64_t));
}

static bool block_is(const struct saved *s, uint64_t at, uint64_t have)
{
	return have == (s->state[at] == EXTENT_MAPPED ? s->stamp[at] : 0);
}

/*
 * Is the file on the image that of @now or, if it is not NULL, that of @next;
 * as a whole, or (@mixed) each block for itself?
 */
static bool agrees(struct maprig *rig, const struct saved *now,
		   const struct saved *next, bool mixed)
{
	bool is_now = true, is_next = next, is_mixed = true;
	size_t len;
	g_autofree uint8_t *got = hostimg_cat(rig->img, "/f", &len);

	for (uint64_t at = 0; at < rig->blocks; at++) {
		uint64_t have = 0;
		bool a, b;

		if ((at + 1) * rig->bs <= len)
			memcpy(&have, got + at * rig->bs, sizeof(have));
		a = block_is(now, at, have);
		b = next && block_is(next, at, have);
		is_now = is_now && a;
		is_next = is_next && b;
		is_mixed = is_mixed && (a || b);
	}
	return mixed ? is_mixed : is_now || is_next;
}

/* The device after @n events of the record: e2fsck must be able to put it
   right, and the file be that of the last commit or of the one under way. */
static void check_prefix(struct maprig *rig, const uint8_t *initial, size_t n,
			 const struct saved *now, const struct saved *next)
{
	uint64_t size = blkdev_geometry(rig->mem)->size;
	g_autofree uint8_t *bytes = g_memdup2(initial, size);
	int status;

	recdev_replay_prefix(rig->dev, n, bytes);
	hostimg_store(rig->img, bytes, size);
	status = hostimg_preen(rig->img, NULL);
	ck_assert_msg(status == 0 || status == 1, "e2fsck -p exits with %d",
		      status);
	ck_assert_int_eq(hostimg_fsck(rig->img, NULL), 0);
	/* Indirect blocks and the inode are written one by one. */
	ck_assert_msg(agrees(rig, now, next, !hostfile_extent_mapped(rig->hf)),
		      "after %zu events the file is neither old nor new", n);
}

/*
 * Steps that overwrite nothing in place: a write goes to holes and unwritten
 * runs only, so the file of a commit is what its metadata says.
 */
static void change_some(struct maprig *rig, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		uint64_t at = (uint64_t)g_rand_int_range(rig->rand, 0, 1200);
		unsigned what = (unsigned)g_rand_int_range(rig->rand, 0, 10);

		if (what < 6 && maprig_look(rig, at, 1).state != EXTENT_MAPPED)
			ck_assert_int_eq(maprig_write(rig, at, 1), 0);
		else if (what < 8)
			ck_assert_int_eq(maprig_punch(rig, at, 3), 0);
		else if (hostfile_extent_mapped(rig->hf))
			ck_assert_int_eq(maprig_prealloc(rig, at, 4), 0);
	}
}

START_TEST(any_prefix_of_the_writes_keeps_a_committed_file)
{
	enum { COMMITS = 5 };
	struct maprig *rig = maprig_new(
		_i ? "-t ext2 -b 1024 -N 16"
		   : "-t ext4 -b 1024 -N 16 -O ^has_journal,metadata_csum",
		4 * MIB, 1210);
	struct saved saved[COMMITS + 1];
	g_autofree uint8_t *initial = NULL;
	g_autoptr(GPtrArray) events = NULL;
	int commit = 0;

	ck_assert_int_eq(hostfile_set_size(rig->hf, 1210 * 1024), 0);
	rig->size = 1210 * 1024;
	comb(rig, 0, 250);
	maprig_close(rig);
	initial = g_memdup2(memdev_bytes(rig->mem), 4 * MIB);
	maprig_open(rig, recdev_new);
	save(rig, &saved[0]);
	for (int i = 1; i <= COMMITS; i++) {
		change_some(rig, 12);
		save(rig, &saved[i]);
		ck_assert_int_eq(hostfs_sync(rig->fs), 0);
		recdev_mark(rig->dev, i);
	}
	events = recdev_events(rig->dev);
	for (size_t n = 0; n <= events->len; n++) {
		const struct recdev_event *e = NULL;

		if (n)
			e = events->pdata[n - 1];
		if (e && e->kind == RECDEV_MARK)
			commit = e->mark;
		if (e && e->kind != RECDEV_WRITE)
			continue;
		check_prefix(rig, initial, n, &saved[commit],
			     commit < COMMITS ? &saved[commit + 1] : NULL);
	}
	for (int i = 0; i <= COMMITS; i++) {
		g_free(saved[i].state);
		g_free(saved[i].stamp);
	}
	maprig_free(rig);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("extedit");
	TCase *tc = tcase_create("tree");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, torture_1k_blocks_with_checksums);
	tcase_add_test(tc, torture_1k_blocks_without_checksums);
	tcase_add_test(tc, torture_4k_blocks);
	tcase_add_loop_test(tc, torture_with_a_journal, 0, 2);
	tcase_add_test(tc, torture_on_a_host_that_is_nearly_full);
	tcase_add_test(tc, a_tree_grows_to_depth_two_and_shrinks_to_none);
	tcase_add_test(tc, sequential_fragments_pack_their_leaves);
	tcase_add_test(tc, filling_all_gaps_leaves_few_extents);
	tcase_add_test(tc, a_committed_node_is_never_changed_in_place);
	tcase_add_loop_test(tc, any_prefix_of_the_writes_keeps_a_committed_file,
			    0, 2);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
