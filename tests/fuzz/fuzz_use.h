/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What somebody does with a host that may be damaged in any way, and what must
 * hold all the same:
 *
 *   looking   nothing is written; what is loaded is known then; every extent
 *             lies inside the filesystem and outside of its own blocks
 *   writing   bytes written to the image never reach a superblock, a descriptor,
 *             a bitmap or an inode table
 *
 * The zones are read off the damaged host here, by nothing but its descriptors.
 * Whether an operation succeeds does not matter.
 */
#ifndef TESTS_FUZZ_FUZZ_USE_H
#define TESTS_FUZZ_FUZZ_USE_H

#include "fuzz_input.h"

#include <rawmap/dev/blkdev.h>
#include <rawmap/hostfs/hostfs.h>
#include <rawmap/image/image.h>
#include <rawmap/inspect/mapreport.h>

#include <support/patchdev.h>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rounds of a walk, and operations, that one input may have. */
#define WALK_MAX 2000
#define OPS_MAX	 16

/* Device requests: more mean that somebody goes round in circles. */
#define REQUESTS_MAX 400000

/* No report about more than this, whose lines could all be different. */
#define REPORT_MAX (UINT64_C(4) << 20)

/* What the image is written with, by position; in nothing else there is. */
#define STAMP UINT64_C(0x9d5754414d57a7e1)

static inline void be_strict(void)
{
	g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING |
			       G_LOG_LEVEL_ERROR);
}

/* ---- the zones ---- */

struct zone {
	uint64_t start, end; /* bytes */
};

static inline void add_zone(GArray *zones, uint64_t block, uint64_t n,
			    unsigned bits)
{
	struct zone z = { block << bits, (block + n) << bits };

	g_array_append_val(zones, z);
}

/* As the host sees it: maybe through its log. */
static inline void peek(struct blkdev *dev, void *buf, size_t len, uint64_t pos)
{
	int err = blkdev_pread(dev, buf, len, dev_off_at(pos));

	g_assert(!err);
}

/* Of a host that could be opened: its numbers are possible. */
static inline GArray *zones_of(struct blkdev *dev)
{
	GArray *zones = g_array_new(FALSE, FALSE, sizeof(struct zone));
	struct ext2_super_block super;
	uint64_t size, groups, per_table, at;
	unsigned bits;

	peek(dev, &super, sizeof(super), SUPERBLOCK_OFFSET);
	bits = super.s_log_block_size + EXT2_MIN_BLOCK_LOG_SIZE;
	size = super.s_feature_incompat & EXT4_FEATURE_INCOMPAT_64BIT
		       ? super.s_desc_size
		       : EXT2_MIN_DESC_SIZE;
	groups = super.s_inodes_count / super.s_inodes_per_group;
	per_table =
		((uint64_t)super.s_inodes_per_group * EXT2_INODE_SIZE(&super) +
		 (UINT64_C(1) << bits) - 1) >>
		bits;
	add_zone(zones, SUPERBLOCK_OFFSET >> bits, 1, bits);
	at = (super.s_first_data_block + UINT64_C(1)) << bits;
	/* A host with clusters of blocks of 1 KiB. */
	if (!super.s_first_data_block && !super.s_log_block_size)
		at += UINT64_C(1) << bits;
	add_zone(zones, at >> bits, 1, bits);
	/* Without meta_bg all descriptors lie here, with it the first block. */
	if (super.s_feature_incompat & EXT2_FEATURE_INCOMPAT_META_BG)
		groups = MIN(groups, (UINT64_C(1) << bits) / size);
	for (uint64_t g = 0; g < groups; g++) {
		struct ext2_group_desc desc;

		peek(dev, &desc, sizeof(desc), at + g * size);
		add_zone(zones, (at + g * size) >> bits, 1, bits);
		add_zone(zones, desc.bg_block_bitmap, 1, bits);
		add_zone(zones, desc.bg_inode_bitmap, 1, bits);
		add_zone(zones, desc.bg_inode_table, per_table, bits);
	}
	return zones;
}

static inline bool in_zone(const GArray *zones, uint64_t pos, uint64_t len)
{
	for (guint i = 0; i < zones->len; i++) {
		const struct zone *z = &g_array_index(zones, struct zone, i);

		if (pos < z->end && z->start < pos + len)
			return true;
	}
	return false;
}

/* ---- looking ---- */

static inline void check_extent(const struct extent *e, const GArray *zones,
				struct blkdev *dev, unsigned bits)
{
	uint64_t size = blkdev_geometry(dev)->size;

	g_assert(e->len);
	if (e->state == EXTENT_HOLE)
		return;
	g_assert(e->phys.v <= size >> bits &&
		 e->len <= (size >> bits) - e->phys.v);
	g_assert(!in_zone(zones, e->phys.v << bits, e->len << bits));
}

/*
 * The map from @at on, a bounded number of rounds. What cannot be loaded is
 * stepped over. @mapped (NULL is fine) gets the runs that there are. Returns
 * whether all of the map is known.
 */
static inline bool walk_map(struct hostfile *hf, uint64_t at,
			    const GArray *zones, GArray *mapped)
{
	struct hostfs *fs = hostfile_host(hf);
	bool whole = true;

	for (unsigned n = 0; n < WALK_MAX && at < LBLK_END; n++) {
		struct extent e;

		if (hostfile_map_at(hf, lblk_at(at), LBLK_END - at, &e)) {
			whole = false;
			at += at / 8 + 1;
			continue;
		}
		g_assert(e.start.v == at);
		check_extent(&e, zones, hostfs_data_dev(fs),
			     hostfs_block_bits(fs));
		if (mapped && e.state != EXTENT_HOLE)
			g_array_append_val(mapped, e);
		at = extent_end(&e);
	}
	return whole && at >= LBLK_END;
}

static inline void check_cache(struct hostfile *hf)
{
	char *wrong = extmap_check(hostfile_map(hf));

	if (wrong)
		g_error("the cache: %s", wrong);
}

static inline void print_map(struct hostfile *hf, enum mapreport_format format)
{
	g_autoptr(GError) error = NULL;
	char *text = NULL;
	size_t len;
	FILE *out;
	bool ok;

	if (hostfile_size(hf) > REPORT_MAX)
		return;
	out = open_memstream(&text, &len);
	g_assert(out);
	ok = mapreport_print(&(struct mapreport){ .hf = hf,
						  .format = format,
						  .out = out,
						  .source = "source" },
			     &error);
	g_assert(ok == !error);
	fclose(out);
	free(text);
}

static inline uint64_t take_pos(struct input *in)
{
	uint64_t pos = take16(in);
	uint8_t scale = take8(in);

	/* Mostly near blocks of 512, sometimes anywhere. */
	if (scale < 0xc0)
		return pos * 512 + (scale & 1 ? scale : 0);
	return pos << (scale & 0x3f) % 48;
}

static inline void read_some(struct image *img, struct input *in)
{
	uint64_t pos = take_pos(in);
	uint8_t buf[6000];
	ssize_t n = image_pread(img, buf, sizeof(buf), img_off_at(pos));

	g_assert(n <= (ssize_t)sizeof(buf));
	g_assert(pos < image_size(img) || n <= 0);
}

static inline void seek_some(struct image *img, struct input *in)
{
	img_off seen;

	image_seek_data(img, img_off_at(take_pos(in)), &seen);
	image_seek_hole(img, img_off_at(take_pos(in)), &seen);
}

/* What a reader does with @path, as the input chooses. */
static inline void look(struct hostfs *fs, const char *path, struct input *in)
{
	g_autoptr(GError) error = NULL;
	uint64_t budget = (uint64_t)take8(in) * 64;
	uint8_t what = take8(in);
	struct hostfile *hf = hostfile_open(fs, path, budget, &error);
	g_autoptr(GArray) zones = NULL;
	struct hostfile_attr attr;
	struct image *img;
	uint64_t at = 0;

	g_assert(!hf == !!error);
	if (!hf)
		return;
	zones = zones_of(hostfs_data_dev(fs));
	hostfile_attr(hf, &attr);
	g_assert(attr.size == hostfile_size(hf));
	if (what & 1)
		at = take_pos(in) >> hostfs_block_bits(fs);
	walk_map(hf, at, zones, NULL);
	check_cache(hf);
	if (what & 2)
		print_map(hf, (enum mapreport_format)((what >> 2) % 6));
	img = image_new(hf, true);
	for (unsigned i = what >> 3 & 3; i; i--)
		read_some(img, in);
	if (what & 0x20)
		seek_some(img, in);
	image_free(img);
}

/* ---- writing ---- */

static inline int write_some(struct image *img, struct input *in)
{
	static const uint64_t stamps[1024] = {
		[0 ... 1023] = STAMP,
	};
	size_t len = (size_t)take16(in) % sizeof(stamps) & ~(size_t)7;
	uint64_t pos = take_pos(in) & ~UINT64_C(7);
	ssize_t n = image_pwrite(img, stamps, len, img_off_at(pos));

	g_assert(n <= (ssize_t)len);
	return n < 0 ? (int)n : 0;
}

static inline void do_one(struct image *img, struct input *in)
{
	struct hostfs *fs = hostfile_host(image_file(img));
	uint8_t op = take8(in);
	img_off pos;

	switch (op % 10) {
	case 0:
	case 1:
		write_some(img, in);
		return;
	case 2:
		read_some(img, in);
		return;
	case 3:
		pos = img_off_at(take_pos(in));
		image_punch(img, pos, take_pos(in));
		return;
	case 4:
		image_truncate(img, take_pos(in));
		return;
	case 5:
		pos = img_off_at(take_pos(in));
		image_zero(img, pos, take16(in) * 16u, op & 0x80);
		return;
	case 6:
		pos = img_off_at(take_pos(in));
		image_allocate(img, pos, take16(in) * 16u, op & 0x80);
		return;
	case 7:
		image_flush(img);
		return;
	case 8:
		if (op & 0x80)
			hostfs_settle(fs);
		else
			hostfs_tick(fs);
		return;
	default:
		extmap_drop_all(hostfile_map(image_file(img)));
		seek_some(img, in);
		return;
	}
}

/* Has this page a word that was written to the image? */
static inline bool is_stamped(const uint8_t *page)
{
	const uint64_t *words = (const void *)page;

	for (size_t i = 0; i < PATCHDEV_PAGE / sizeof(*words); i++)
		if (words[i] == STAMP)
			return true;
	return false;
}

typedef bool (*may_own)(void *ctx, uint64_t pos);

/* Where the image's bytes went; @ask (NULL is fine) says what the map owned. */
static inline void check_stamps(struct blkdev *dev, const GArray *zones,
				may_own ask, void *ctx)
{
	for (size_t i = 0; i < patchdev_written(dev); i++) {
		const uint8_t *bytes;
		uint64_t pos =
			patchdev_written_page(dev, i, &bytes) * PATCHDEV_PAGE;

		if (!is_stamped(bytes))
			continue;
		g_assert(!in_zone(zones, pos, PATCHDEV_PAGE));
		g_assert(!ask || ask(ctx, pos));
	}
}

/*
 * What a writer does with @path on @dev, which is a patchdev. Looked at after
 * each step: metadata written home would hide what was wrong.
 */
static inline void change_it(struct blkdev *dev, const char *path,
			     struct input *in, may_own ask, void *ctx)
{
	const struct hostfs_options opt = { .use_reserved = true };
	g_autoptr(GError) error = NULL;
	struct hostfs *fs = hostfs_open(dev, &opt, &error);
	g_autoptr(GArray) zones = NULL;
	struct hostfile *hf;
	struct image *img;

	g_assert(!fs == !!error);
	if (!fs)
		return;
	zones = zones_of(dev);
	hf = hostfile_open(fs, path, (uint64_t)take8(in) * 64, &error);
	g_assert(!hf == !!error);
	if (hf) {
		img = image_new(hf, false);
		for (unsigned i = 0; in->left && i < OPS_MAX; i++) {
			do_one(img, in);
			check_stamps(dev, zones, ask, ctx);
		}
		check_cache(hf);
		image_free(img);
	}
	hostfs_close(fs);
	check_stamps(dev, zones, ask, ctx);
}

#endif
