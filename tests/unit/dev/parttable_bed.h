/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk in memory for the tests of partition tables. Tools of the system, or
 * the test, write to its bytes; what reads the table must not write.
 */
#ifndef TESTS_UNIT_DEV_PARTTABLE_BED_H
#define TESTS_UNIT_DEV_PARTTABLE_BED_H

#include <rawmap/base/error.h>
#include <rawmap/dev/parttable.h>

#include <support/memdev.h>
#include <support/nowritedev.h>
#include <support/tablebuild.h>

#include <rawmap_config.h>

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HAS_JOURNAL 0x4
#define JOURNAL_DEV 0x8
#define EXTENTS	    0x40

#define MIB	  (UINT64_C(1) << 20)
#define DISK_SIZE (16 * MIB)

struct bed {
	struct blkdev *dev; /* to be read: aborts when it is written */
	uint8_t *bytes;	    /* of the whole disk */
	uint64_t size;
};

static inline void bed_open_sized(struct bed *bed, uint64_t size,
				  uint32_t sector)
{
	struct blkdev *mem = memdev_new(size, sector);

	bed->dev = nowritedev_new(mem);
	bed->bytes = memdev_bytes(mem);
	bed->size = size;
	blkdev_unref(mem);
}

static inline void bed_open(struct bed *bed, uint32_t sector)
{
	bed_open_sized(bed, DISK_SIZE, sector);
}

static inline void bed_close(struct bed *bed)
{
	blkdev_unref(bed->dev);
}

static inline struct tablebuild_gpt bed_gpt(const struct bed *bed,
					    uint32_t sector)
{
	return (struct tablebuild_gpt){ bed->bytes, bed->size, sector, 128 };
}

/* ---- bad sectors ---- */

/* Reading [from, to) of the lower device fails. */
struct spoiled {
	struct blkdev dev; /* first */
	struct blkdev *lower;
	uint64_t from, to;
};

static inline int spoiled_pread(struct blkdev *dev, void *buf, size_t len,
				dev_off pos)
{
	const struct spoiled *b = (struct spoiled *)dev;

	if (pos.v < b->to && pos.v + len > b->from)
		return -EIO;
	return blkdev_pread(b->lower, buf, len, pos);
}

static inline int spoiled_pwrite(struct blkdev *dev, const void *buf,
				 size_t len, dev_off pos)
{
	(void)dev;
	(void)buf;
	(void)len;
	(void)pos;
	return -EROFS;
}

static inline int spoiled_flush(struct blkdev *dev)
{
	(void)dev;
	return 0;
}

static inline void spoiled_close(struct blkdev *dev)
{
	blkdev_unref(((struct spoiled *)dev)->lower);
	g_free(dev);
}

static const struct blkdev_ops spoiled_ops = {
	.name = "bad",
	.pread = spoiled_pread,
	.pwrite = spoiled_pwrite,
	.flush = spoiled_flush,
	.close = spoiled_close,
};

/* From now on reading [@from, @to) of the disk fails. */
static inline void bed_make_bad(struct bed *bed, uint64_t from, uint64_t to)
{
	struct spoiled *b = g_new0(struct spoiled, 1);

	blkdev_init(&b->dev, &spoiled_ops, blkdev_geometry(bed->dev));
	b->lower = bed->dev;
	b->from = from;
	b->to = to;
	bed->dev = &b->dev;
}

/* ---- tools ---- */

/* False, and said so: it is not installed. */
static inline bool bed_has(const char *tool)
{
	g_autofree char *command = g_strdup_printf(
		"PATH=$PATH:/usr/sbin:/sbin command -v %s >/dev/null", tool);

	if (!system(command))
		return true;
	printf("skipped: no %s; see contrib/deps test\n", tool);
	return false;
}

/* Run a command of the shell on the disk, which it knows as the file $F. */
static inline void bed_run(struct bed *bed, const char *command)
{
	char path[] = "parttable-XXXXXX";
	int fd = mkstemp(path);
	g_autofree char *line = g_strdup_printf(
		"F=%s; PATH=$PATH:/usr/sbin:/sbin; { %s; } >/dev/null 2>&1",
		path, command);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)bed->size), 0);
	ck_assert_int_eq(pwrite(fd, bed->bytes, bed->size, 0),
			 (ssize_t)bed->size);
	ck_assert_msg(!system(line), "failed: %s", command);
	ck_assert_int_eq(pread(fd, bed->bytes, bed->size, 0),
			 (ssize_t)bed->size);
	close(fd);
	unlink(path);
}

/* ---- contents ---- */

/* As much of a superblock as it takes: revision 1, 1 MiB in 1 KiB blocks. */
static inline void bed_put_ext(struct bed *bed, uint64_t at, uint32_t compat,
			       uint32_t incompat)
{
	uint8_t *super = bed->bytes + at + 1024;

	tablebuild_put32(super, 128);	   /* inodes */
	tablebuild_put32(super + 4, 1024); /* blocks */
	tablebuild_put32(super + 20, 1);   /* first block */
	tablebuild_put32(super + 32, 8192);
	tablebuild_put32(super + 36, 8192);
	tablebuild_put32(super + 40, 128);
	super[56] = 0x53;
	super[57] = 0xef;
	super[58] = 1;
	super[76] = 1;
	tablebuild_put32(super + 84, 11);
	super[88] = 128;
	tablebuild_put32(super + 92, compat);
	tablebuild_put32(super + 96, incompat);
	super[104] = 1; /* UUID */
}

/* A swap area of version 1. */
static inline void bed_put_swap(struct bed *bed, uint64_t at)
{
	uint8_t *page = bed->bytes + at;

	page[1024] = 1;
	page[1028] = 255;
	memcpy(page + 4086, "SWAPSPACE2", 10);
}

/* ---- reading ---- */

static inline struct parttable *bed_read(struct bed *bed)
{
	GError *error = NULL;
	struct parttable *pt = parttable_read(bed->dev, "the disk", &error);

	ck_assert_msg(pt != NULL, "%s", error ? error->message : "no error");
	ck_assert_ptr_null(error);
	return pt;
}

/* Consumes @error: it has that code, and says @part somewhere. */
static inline void ck_error(GError *error, enum rawmap_error code,
			    const char *part)
{
	ck_assert_ptr_nonnull(error);
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, (gint)code),
		      "code %d: %s", error->code, error->message);
	ck_assert_msg(strstr(error->message, part) != NULL, "no '%s' in: %s",
		      part, error->message);
	g_error_free(error);
}

static inline const struct partition *ck_found(const struct parttable *pt,
					       unsigned number)
{
	const struct partition *p = parttable_find(pt, number);

	ck_assert_msg(p != NULL, "no partition %u", number);
	return p;
}

/* The partition is all there, at these bytes. */
static inline const struct partition *ck_part(const struct parttable *pt,
					      unsigned number, uint64_t start,
					      uint64_t size)
{
	const struct partition *p = ck_found(pt, number);

	ck_assert_uint_eq(p->start, start);
	ck_assert_uint_eq(p->size, size);
	ck_assert_uint_eq(p->missing, 0);
	return p;
}

static inline void ck_has(const char *text, const char *part)
{
	ck_assert_ptr_nonnull(text);
	ck_assert_msg(strstr(text, part) != NULL, "no '%s' in: %s", part, text);
}

static inline int bed_main(const char *name, TCase *tc)
{
	Suite *suite = suite_create(name);
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
#ifdef HAVE_BLKID
	srunner_run_all(runner, CK_NORMAL);
#else
	printf("skipped: built without libblkid\n");
	srunner_free(runner);
	return 77;
#endif
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
