/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host with its journal on another device. mke2fs makes the devices, debugfs
 * the logs; only the bond of the two, which tune2fs would make for block devices
 * alone, is made by hand.
 */
#ifndef TESTS_OUTSIDE_BED_H
#define TESTS_OUTSIDE_BED_H

#include "difflog.h"
#include "replayed_bed.h"

#include <rawmap/base/crc32c.h>
#include <rawmap/base/endian.h>
#include <rawmap/hostfs/recover.h>
#include <rawmap/jbd/format.h>

#include <support/faultdev.h>
#include <support/memdev.h>

#include <ext2fs/ext2_fs.h>
#include <errno.h>

#define JOURNAL_BLOCKS 1024u

static const struct shape {
	const char *mkfs;
	uint32_t bs;
	const char *journal_open;
} shapes[] = {
	{ "-t ext4 -b 4096 -O ^has_journal", 4096, "" },
	{ "-t ext4 -b 1024 -O ^has_journal", 1024, "-c -v 3" },
	{ "-t ext3 -b 2048 -O ^has_journal", 2048, "" },
	{ "-t ext3 -b 1024 -O ^has_journal", 1024, "" },
};

#define N_SHAPES ((int)G_N_ELEMENTS(shapes))
#define PLAIN	 0 /* no checksums in the journal, nor in its superblock */

struct bed {
	const struct shape *shape;
	struct hostimg *img, *journal;
	uint8_t *before, *after, *bytes; /* of the host; bytes: with its log */
	uint8_t *log;			 /* of the journal's device */
	size_t size, log_size;
};

static inline struct ext2_super_block *ext_super(uint8_t *bytes)
{
	return (void *)(bytes + 1024);
}

static inline struct jbd_super *journal_super(const struct bed *bed,
					      uint8_t *bytes)
{
	uint32_t bs = bed->shape->bs;

	return (void *)(bytes + (bs == 1024 ? 2 : 1) * bs);
}

static inline char *uuid_text(const uint8_t *u)
{
	return g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
			       "%02x%02x%02x%02x%02x%02x",
			       u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7],
			       u[8], u[9], u[10], u[11], u[12], u[13], u[14],
			       u[15]);
}

static inline void make_journal(struct bed *bed)
{
	g_autofree char *mkfs =
		g_strdup_printf("-O journal_dev -b %u", bed->shape->bs);
	const struct hostimg_spec spec = {
		.mkfs = mkfs,
		.size = JOURNAL_BLOCKS * bed->shape->bs,
	};

	bed->journal = hostimg_make(&spec);
}

/* The host knows its journal, the journal its host. */
static inline void tie(struct bed *bed)
{
	size_t len;
	g_autofree uint8_t *host = hostimg_bytes(bed->img, &len);
	g_autofree uint8_t *log = hostimg_bytes(bed->journal, &len);
	g_autofree char *uuid = uuid_text(ext_super(log)->s_uuid);
	struct jbd_super *super = journal_super(bed, log);

	ck_assert_uint_eq(be32_get(super->header.magic), JBD_MAGIC);
	super->nr_users = be32_of(1);
	memcpy(super->users, ext_super(host)->s_uuid, 16);
	hostimg_store(bed->journal, log, len);
	hostimg_edit(bed->img,
		     "feature has_journal\nssv journal_inum 0\n"
		     "ssv journal_dev 0x0701\nssv journal_uuid %s\n",
		     uuid);
}

static inline void refresh(struct bed *bed)
{
	g_free(bed->bytes);
	g_free(bed->log);
	bed->bytes = hostimg_bytes(bed->img, &bed->size);
	bed->log = hostimg_bytes(bed->journal, &bed->log_size);
}

static inline void bed_init(struct bed *bed, const struct shape *shape)
{
	const struct hostimg_spec spec = { .mkfs = shape->mkfs,
					   .size = shape->bs * 8192 };
	g_autofree char *how = NULL;
	struct difflog d = { .bs = shape->bs, .end = UINT64_MAX };

	*bed = (struct bed){ .shape = shape, .img = hostimg_make(&spec) };
	make_journal(bed);
	tie(bed);
	bed->before = hostimg_bytes(bed->img, &bed->size);
	hostimg_put_comb(bed->img, "new", 2, shape->bs, 30);
	bed->after = hostimg_bytes(bed->img, &bed->size);
	how = g_strdup_printf("%s -f %s", shape->journal_open,
			      hostimg_path(bed->journal));
	d.img = bed->img;
	d.open = how;
	d.before = bed->before;
	d.after = bed->after;
	d.size = bed->size;
	difflog_write(&d);
	refresh(bed);
}

static inline void bed_clear(struct bed *bed)
{
	hostimg_free(bed->img);
	hostimg_free(bed->journal);
	g_free(bed->before);
	g_free(bed->after);
	g_free(bed->bytes);
	g_free(bed->log);
}

static inline struct blkdev *mem_of(const uint8_t *bytes, size_t len)
{
	struct blkdev *dev = memdev_new(len, 512);

	memcpy(memdev_bytes(dev), bytes, len);
	return dev;
}

static inline struct hostfs_options options_of(struct blkdev *journal)
{
	return (struct hostfs_options){
		.readonly = true,
		.journal_dev = journal,
	};
}

#endif
