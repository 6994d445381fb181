/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dirty hosts whose recovered content is known.
 *
 * A host is made twice, before and after debugfs changed it. The blocks in which
 * the two differ become transactions in the journal of the first:
 *
 *   1   some of them with junk in them, and a block of /disk with junk
 *   2   all of them as they shall be; the block of /disk is revoked
 *
 * So whoever takes the last copy of each, and respects the revoke, gets the
 * second. The superblock is not among them, as with the kernel's journals: its
 * counts have to come from the descriptors.
 */
#ifndef TESTS_HOSTFS_RECOVER_BED_H
#define TESTS_HOSTFS_RECOVER_BED_H

#include <rawmap/base/endian.h>
#include <rawmap/base/error.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/hostfs/recover.h>
#include <rawmap/jbd/format.h>
#include <rawmap/map/extent.h>

#include <support/hostimg.h>
#include <support/memdev.h>

#include <ext2fs/ext2_fs.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct kind {
	const char *mkfs;
	uint32_t bs;
	const char *journal; /* options of debugfs' journal_open */
};

static const struct kind kinds[] = {
	{ "-t ext4 -b 1024", 1024, "-c" },
	{ "-t ext4 -b 4096", 4096, "-c -v 2" },
	{ "-t ext3 -b 1024", 1024, "" },
	{ "-t ext4 -b 4096 -O ^64bit,^metadata_csum", 4096, "" },
};

struct bed {
	struct hostimg *img; /* the dirty host */
	uint32_t bs;
	size_t size;
	uint8_t *dirty, *after;
	GArray *journal; /* struct extent: where it lies */
};

static inline bool bed_in_journal(const struct bed *bed, uint64_t block)
{
	for (guint i = 0; i < bed->journal->len; i++) {
		const struct extent *e =
			&g_array_index(bed->journal, struct extent, i);

		if (block >= e->phys.v && block < e->phys.v + e->len)
			return true;
	}
	return false;
}

static inline uint64_t bed_super_block(const struct bed *bed)
{
	return 1024 / bed->bs;
}

/* Does the recovery alone decide what is in it? */
static inline bool bed_judges(const struct bed *bed, uint64_t block)
{
	return block != bed_super_block(bed) && !bed_in_journal(bed, block);
}

static inline struct ext2_super_block *bed_super(uint8_t *bytes)
{
	return (void *)(bytes + 1024);
}

/* Block @n of the journal, which may lie in pieces. */
static inline uint8_t *bed_journal_block(const struct bed *bed, uint8_t *bytes,
					 uint64_t n)
{
	guint i = 0;
	const struct extent *e;

	do {
		ck_assert_uint_lt(i, bed->journal->len);
		e = &g_array_index(bed->journal, struct extent, i++);
	} while (n >= extent_end(e));
	return bytes + (e->phys.v + n - e->start.v) * bed->bs;
}

static inline struct jbd_super *bed_journal_super(const struct bed *bed,
						  uint8_t *bytes)
{
	return (void *)bed_journal_block(bed, bytes, 0);
}

static inline char *bed_file(const struct bed *bed, const char *name,
			     const void *bytes, size_t len)
{
	char *path = g_build_filename(hostimg_dir(bed->img), name, NULL);

	ck_assert(g_file_set_contents(path, bytes, (gssize)len, NULL));
	return path;
}

/* What debugfs writes: @script is journal_write commands. */
static inline void bed_log(struct bed *bed, const char *options,
			   const char *script)
{
	hostimg_edit(bed->img, "journal_open %s\n%sjournal_close\n", options,
		     script);
}

static inline void bed_refresh(struct bed *bed)
{
	g_free(bed->dirty);
	bed->dirty = hostimg_bytes(bed->img, &bed->size);
}

/* The transactions of the essay above; @before becomes dirty. */
static inline void bed_fill_log(struct bed *bed, const char *options,
				const uint8_t *before)
{
	g_autoptr(GArray) disk = hostimg_extents(bed->img, "/disk");
	uint64_t victim = g_array_index(disk, struct extent, 0).phys.v + 3;
	g_autofree uint8_t *junk = g_malloc(bed->size);
	g_autoptr(GByteArray) content = g_byte_array_new();
	g_autoptr(GString) all = g_string_new(NULL);
	g_autoptr(GString) some = g_string_new(NULL);
	g_autofree char *good = NULL, *bad = NULL, *script = NULL;

	for (uint64_t b = 0; b < bed->size / bed->bs; b++) {
		const uint8_t *now = bed->after + b * bed->bs;

		if (!bed_judges(bed, b) ||
		    !memcmp(before + b * bed->bs, now, bed->bs))
			continue;
		g_string_append_printf(all, ",%lu", (unsigned long)b);
		if (content->len / bed->bs % 3 == 0)
			g_string_append_printf(some, ",%lu", (unsigned long)b);
		g_byte_array_append(content, now, bed->bs);
	}
	ck_assert_uint_gt(content->len, 20 * bed->bs);
	memset(junk, 0xa5, bed->size);
	hostimg_store(bed->img, before, bed->size);
	good = bed_file(bed, "good", content->data, content->len);
	bad = bed_file(bed, "bad", junk, bed->size);
	script = g_strdup_printf("journal_write -b %s,%lu %s\n"
				 "journal_write -b %s -r %lu %s\n",
				 some->str + 1, (unsigned long)victim, bad,
				 all->str + 1, (unsigned long)victim, good);
	bed_log(bed, options, script);
}

static inline void bed_init(struct bed *bed, const struct kind *kind)
{
	const struct hostimg_spec spec = { .mkfs = kind->mkfs,
					   .size = kind->bs * 8192 };
	const struct hostimg_piece piece = { 0, 40 * kind->bs };
	g_autofree uint8_t *before = NULL;

	*bed = (struct bed){ .img = hostimg_make(&spec), .bs = kind->bs };
	hostimg_put(bed->img, "disk", 1, 64 * kind->bs, &piece, 1);
	bed->journal = hostimg_extents(bed->img, "<8>");
	before = hostimg_bytes(bed->img, &bed->size);
	hostimg_edit(bed->img, "mkdir folder\nmkdir folder/another\n");
	hostimg_put_comb(bed->img, "new", 2, kind->bs, 30);
	bed->after = hostimg_bytes(bed->img, &bed->size);
	bed_fill_log(bed, kind->journal, before);
	bed_refresh(bed);
}

static inline void bed_clear(struct bed *bed)
{
	hostimg_free(bed->img);
	g_array_unref(bed->journal);
	g_free(bed->dirty);
	g_free(bed->after);
}

static inline struct blkdev *bed_device(const struct bed *bed,
					const uint8_t *bytes)
{
	/* Blocks are not torn: neither does rawmap promise more. */
	struct blkdev *dev = memdev_new(bed->size, bed->bs);

	memcpy(memdev_bytes(dev), bytes, bed->size);
	return dev;
}

/* Is @bytes the host as it should be, superblock and journal apart? */
static inline void bed_expect_after(const struct bed *bed, const uint8_t *bytes,
				    const char *who)
{
	for (uint64_t b = 0; b < bed->size / bed->bs; b++)
		ck_assert_msg(!bed_judges(bed, b) ||
				      !memcmp(bytes + b * bed->bs,
					      bed->after + b * bed->bs,
					      bed->bs),
			      "%s: block %lu is wrong", who, (unsigned long)b);
}

/* Superblock and journal say that there is nothing to be done. */
static inline void bed_expect_clean(const struct bed *bed, uint8_t *bytes)
{
	ck_assert(!(bed_super(bytes)->s_feature_incompat &
		    EXT3_FEATURE_INCOMPAT_RECOVER));
	ck_assert_uint_eq(be32_get(bed_journal_super(bed, bytes)->start), 0);
	ck_assert_uint_eq(be32_get(bed_journal_super(bed, bytes)->error), 0);
}

static inline void bed_expect_sound(struct bed *bed, const uint8_t *bytes)
{
	g_autofree char *out = NULL;
	int status;

	hostimg_store(bed->img, bytes, bed->size);
	status = hostimg_fsck(bed->img, &out);
	ck_assert_msg(!status && !strstr(out, "Fix?"), "e2fsck -fn: %d\n%s",
		      status, out);
}

#endif
