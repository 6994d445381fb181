/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The block allocator against a model of every block's state, and against what
 * libext2fs and e2fsck find on the image afterwards.
 */
#include "alloc_bed.h"

/* BASE: in use before, or no block of a group. */
enum state { BASE, FREE, RESERVED, USED, RELEASED };

struct model {
	struct bed bed;
	uint8_t *state; /* enum state of every block */
	uint64_t first, blocks;
	GArray *runs[5]; /* of struct run, by state */
	uint32_t seed;
};

static uint32_t rnd(struct model *m, uint32_t n)
{
	m->seed = m->seed * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)m->seed * n) >> 32);
}

static void model_set(struct model *m, struct run r, enum state from,
		      enum state to)
{
	for (uint64_t b = r.start; b < r.start + r.len; b++) {
		ck_assert_uint_eq(m->state[b], from);
		m->state[b] = (uint8_t)to;
	}
	g_array_append_val(m->runs[to], r);
}

static void model_init(struct model *m, const struct shape *shape)
{
	const struct hostimg_spec spec = { shape->mkfs, shape->size };
	bool uninit = false;
	ext2_filsys fs;

	m->bed.img = hostimg_make(&spec);
	fs = ext_open(m->bed.img, 0);
	m->first = fs->super->s_first_data_block;
	m->blocks = ext2fs_blocks_count(fs->super);
	m->state = g_malloc0(m->blocks);
	for (uint64_t b = m->first; b < m->blocks; b++)
		if (!ext2fs_test_block_bitmap2(fs->block_map, b))
			m->state[b] = FREE;
	for (dgrp_t i = 0; i < fs->group_desc_count; i++)
		uninit |= ext2fs_bg_flags_test(fs, i, EXT2_BG_BLOCK_UNINIT);
	ck_assert_int_eq(uninit, shape->uninit);
	ext2fs_free(fs);
	for (unsigned i = 0; i < G_N_ELEMENTS(m->runs); i++)
		m->runs[i] = g_array_new(FALSE, FALSE, sizeof(struct run));
	m->seed = 42;
	bed_open(&m->bed);
}

static void model_clear(struct model *m)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(m->runs); i++)
		g_array_unref(m->runs[i]);
	g_free(m->state);
}

/* A random run of one state, out of the list; the rest of it goes back. */
static bool pick(struct model *m, enum state state, struct run *ret)
{
	GArray *runs = m->runs[state];
	struct run r, rest;
	guint i;

	if (!runs->len)
		return false;
	i = rnd(m, runs->len);
	r = rest = g_array_index(runs, struct run, i);
	g_array_remove_index_fast(runs, i);
	r.len = 1 + rnd(m, (uint32_t)r.len);
	rest.start += r.len;
	rest.len -= r.len;
	if (rest.len)
		g_array_append_val(runs, rest);
	*ret = r;
	return true;
}

static void model_commit(struct model *m)
{
	struct run r;

	ck_assert_int_eq(hostfs_commit(m->bed.fs), 0);
	ck_assert_uint_eq(alloc_pending(m->bed.fs->alloc), 0);
	while (pick(m, RELEASED, &r))
		model_set(m, r, RELEASED, FREE);
	g_array_set_size(m->runs[FREE], 0);
}

/* Only a host without one free block may say no. */
static void model_take(struct model *m)
{
	uint32_t want = 1 + rnd(m, 90), len;
	pblk goal = pblk_at(rnd(m, (uint32_t)m->blocks)), start;
	int err = alloc_take(m->bed.fs->alloc, goal, want, &start, &len);

	if (err) {
		ck_assert_int_eq(err, -ENOSPC);
		ck_assert_ptr_null(memchr(m->state, FREE, m->blocks));
		return;
	}
	ck_assert_uint_le(len, want);
	model_set(m, (struct run){ start.v, len }, FREE, RESERVED);
}

static void model_step(struct model *m)
{
	uint32_t what = rnd(m, 100);
	struct run r;

	if (what < 40) {
		model_take(m);
	} else if (what < 65 && pick(m, RESERVED, &r)) {
		publish(&m->bed, r);
		model_set(m, r, RESERVED, USED);
	} else if (what < 75 && pick(m, RESERVED, &r)) {
		give_back(&m->bed, r);
		model_set(m, r, RESERVED, FREE);
	} else if (what < 98 && pick(m, USED, &r)) {
		ck_assert_int_eq(release(&m->bed, r), 0);
		model_set(m, r, USED, RELEASED);
	} else if (what >= 98) {
		model_commit(m);
	}
}

/* What a stranger reads from the image is what the model knows. */
static void model_compare(struct model *m)
{
	ext2_filsys fs = ext_open(m->bed.img, 0);
	uint64_t free = 0;

	for (uint64_t b = m->first; b < m->blocks; b++) {
		bool used = ext2fs_test_block_bitmap2(fs->block_map, b);

		ck_assert_msg(
			used == (m->state[b] == BASE || m->state[b] == USED),
			"block %lu: state %u, used %d", b, m->state[b], used);
		free += !used;
	}
	ck_assert_uint_eq(ext2fs_free_blocks_count(fs->super), free);
	ext2fs_free(fs);
}

START_TEST(test_storm)
{
	struct model m = { 0 };
	struct run r;

	model_init(&m, &shapes[_i]);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 1500; i++)
			model_step(&m);
		model_commit(&m);
		commit_all(&m.bed);
		model_compare(&m);
	}
	while (pick(&m, RESERVED, &r))
		give_back(&m.bed, r);
	while (pick(&m, USED, &r))
		ck_assert_int_eq(release(&m.bed, r), 0);
	bed_finish(&m.bed);
	model_clear(&m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("alloc/storm");
	TCase *tc = tcase_create("storm");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, test_storm, 0, G_N_ELEMENTS(shapes));
	suite_add_tcase(s, tc);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
