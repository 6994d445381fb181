/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes of an extent tree: their checksum is libext2fs', and only bytes that
 * this process made for this very tree are believed without it.
 */
#include "../../src/hostfs/ext_priv.h"

#include <support/hostimg.h>
#include <support/maprig.h>
#include <support/memdev.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ext2fs/ext3_extents.h>

#define MIB   (UINT64_C(1) << 20)
#define NO_J  "-t ext4 -b 1024 -m 0 -O metadata_csum,^has_journal"
#define WITH  "-t ext4 -b 1024 -m 0 -O metadata_csum"
#define PLACE (12 + 8) /* of the low bytes of where the first entry lies */

static struct maprig *rig;
static struct hostfile *other; /* /g */
static pblk leaf;	       /* the first one of /f */

/* Every other block of the first 600: a tree of several leaves. */
static void comb(struct hostfile *hf)
{
	for (uint64_t i = 0; i < 300; i++) {
		struct extent hole = { .start = lblk_at(2 * i), .len = 1 };
		struct fill fill = { 0 };

		ck_assert_int_eq(hostfile_reserve(hf, &hole, &fill), 0);
		ck_assert_int_eq(hostfile_publish(hf, &fill, 600 * 1024), 0);
	}
}

static pblk first_leaf(struct hostfile *hf)
{
	struct extnode root;
	pblk ret;

	ck_assert_int_eq(extnode_read_root(hf, &root), 0);
	ck_assert_uint_eq(root.depth, 1);
	ret = extnode_at(root.entries, 0)->phys;
	extnode_clear(&root);
	return ret;
}

static void start(const char *mkfs)
{
	const struct hostimg_spec spec = { mkfs, 8 * MIB };
	struct hostimg *img = hostimg_make(&spec);

	hostimg_put(img, "f", 1, 0, NULL, 0);
	hostimg_put(img, "g", 1, 0, NULL, 0);
	hostimg_edit(img, "set_inode_field f generation 0x12345678\n");
	rig = maprig_new_on(img, 1000);
	other = hostfile_open(rig->fs, "/g", 1 << 20, NULL);
	ck_assert_ptr_nonnull(other);
	comb(rig->hf);
	comb(other);
	leaf = first_leaf(rig->hf);
}

/* Trees are bent here: nothing more is written. */
static void finish(void)
{
	hostfile_close(other);
	maprig_free(rig);
}

static int load(void)
{
	g_autoptr(GArray)
		list = g_array_new(FALSE, FALSE, sizeof(struct extent));
	struct leaf ret = { .extents = list };

	return exttree_load(rig->hf, lblk_at(0), &ret);
}

static bool is_believed(struct hostfile *hf, pblk block)
{
	uint8_t buf[1024];
	bool made;

	ck_assert_int_eq(meta_read_node(rig->fs, hf->ino, block, buf, &made),
			 0);
	return made;
}

static void random_node(void *raw, uint16_t max)
{
	struct ext3_extent_header *eh = raw;

	for (uint32_t i = 0; i < rig->bs; i++)
		((uint8_t *)raw)[i] = (uint8_t)g_rand_int(rig->rand);
	eh->eh_magic = ext2fs_cpu_to_le16(EXT3_EXT_MAGIC);
	eh->eh_max = ext2fs_cpu_to_le16(max);
	eh->eh_entries = eh->eh_max;
}

START_TEST(a_nodes_checksum_is_that_of_libext2fs)
{
	ext2_filsys fs;
	uint8_t ours[1024], theirs[1024];

	start(NO_J);
	fs = rig->fs->fs;
	for (uint16_t max = 1; max <= extnode_capacity(1024); max++) {
		random_node(ours, max);
		memcpy(theirs, ours, sizeof(ours));
		extnode_sum_set(rig->hf, ours);
		ck_assert_int_eq(ext2fs_extent_block_csum_set(fs, rig->hf->ino,
							      (void *)theirs),
				 0);
		ck_assert_mem_eq(ours, theirs, sizeof(ours));
		ck_assert(extnode_sum_is_right(rig->hf, ours));
		ck_assert(!extnode_sum_is_right(other, ours));
		ours[12 * max] ^= 0x10;
		ck_assert(!extnode_sum_is_right(rig->hf, ours));
	}
	finish();
}
END_TEST

START_TEST(a_host_without_checksums_gets_none)
{
	uint8_t raw[1024], before[1024];

	start("-t ext4 -b 1024 -m 0 -O ^metadata_csum,^has_journal");
	random_node(raw, 5);
	memcpy(before, raw, sizeof(raw));
	extnode_sum_set(rig->hf, raw);
	ck_assert_mem_eq(raw, before, sizeof(raw));
	ck_assert(extnode_sum_is_right(rig->hf, raw));
	finish();
}
END_TEST

START_TEST(a_node_made_for_another_file_is_refused)
{
	struct extnode root;
	pblk strange;

	start(NO_J);
	strange = first_leaf(other);
	ck_assert(is_believed(other, strange));
	ck_assert(!is_believed(rig->hf, strange));
	ck_assert_int_eq(load(), 0);
	ck_assert_int_eq(extnode_read_root(rig->hf, &root), 0);
	extnode_at(root.entries, 0)->phys = strange;
	extnode_write_root(rig->hf, &root);
	extnode_clear(&root);
	ck_assert_int_eq(load(), -EUCLEAN);
	finish();
}
END_TEST

START_TEST(a_node_that_somebody_else_changed_is_checked)
{
	uint8_t raw[1024];

	start(NO_J);
	ck_assert(is_believed(rig->hf, leaf));
	ck_assert_int_eq(meta_read(rig->fs, leaf, raw), 0);
	raw[PLACE] ^= 1;
	ck_assert_int_eq(meta_write(rig->fs, leaf, raw), 0);
	ck_assert_int_eq(load(), -EUCLEAN);
	/* And with a good sum, but into the superblock. */
	memset(raw + PLACE, 0, 4);
	raw[PLACE] = 1;
	extnode_sum_set(rig->hf, raw);
	ck_assert_int_eq(meta_write(rig->fs, leaf, raw), 0);
	ck_assert_int_eq(load(), -EUCLEAN);
	finish();
}
END_TEST

START_TEST(a_node_that_left_memory_is_checked)
{
	uint8_t *byte;

	start(NO_J);
	ck_assert_int_eq(hostfs_sync(rig->fs), 0);
	ck_assert(is_believed(rig->hf, leaf));
	byte = memdev_bytes(rig->mem) + leaf.v * 1024 + PLACE;
	*byte ^= 1;
	ck_assert_int_eq(load(), 0); /* not read again */
	overlay_drop(rig->fs->meta, leaf);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(load(), -EUCLEAN);
	*byte ^= 1;
	overlay_drop(rig->fs->meta, leaf);
	ck_assert_int_eq(load(), 0);
	ck_assert(!is_believed(rig->hf, leaf));
	finish();
}
END_TEST

START_TEST(a_committed_node_is_believed_until_it_is_home)
{
	start(WITH);
	ck_assert_int_eq(hostfs_sync(rig->fs), 0);
	overlay_drop(rig->fs->meta, leaf);
	ck_assert(is_believed(rig->hf, leaf));
	mutex_lock(&rig->fs->lock);
	ck_assert_int_eq(tx_idle(rig->fs), 0);
	mutex_unlock(&rig->fs->lock);
	overlay_drop(rig->fs->meta, leaf);
	ck_assert(!is_believed(rig->hf, leaf));
	ck_assert_int_eq(load(), 0);
	finish();
}
END_TEST

START_TEST(the_check_of_a_tree_believes_nothing)
{
	uint8_t raw[1024];
	g_autofree char *wrong = NULL;

	start(NO_J);
	ck_assert_int_eq(meta_read(rig->fs, leaf, raw), 0);
	raw[PLACE] ^= 1;
	ck_assert_int_eq(meta_write_node(rig->fs, rig->hf->ino, leaf, raw), 0);
	ck_assert_int_eq(load(), 0);
	wrong = exttree_check(rig->hf);
	ck_assert_ptr_nonnull(wrong);
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("extnode");
	TCase *tc = tcase_create("extnode");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, a_nodes_checksum_is_that_of_libext2fs);
	tcase_add_test(tc, a_host_without_checksums_gets_none);
	tcase_add_test(tc, a_node_made_for_another_file_is_refused);
	tcase_add_test(tc, a_node_that_somebody_else_changed_is_checked);
	tcase_add_test(tc, a_node_that_left_memory_is_checked);
	tcase_add_test(tc, a_committed_node_is_believed_until_it_is_home);
	tcase_add_test(tc, the_check_of_a_tree_believes_nothing);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
