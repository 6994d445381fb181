/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A host, the file of it that is looked at, and the reports about it. */
#ifndef TESTS_HOSTFS_MAP_BED_H
#define TESTS_HOSTFS_MAP_BED_H

#include <rawmap/inspect/mapreport.h>

#include <rawmap/dev/blkdev.h>
#include <rawmap/map/extent.h>

#include <support/hostimg.h>

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct looked_at {
	struct hostimg *img;
	struct blkdev *dev;
	struct hostfs *fs;
	struct hostfile *hf;
	/* What reports are asked with, beside the file and the stream. */
	struct mapreport ask;
};

static inline struct hostimg *make_host(const char *mkfs)
{
	struct hostimg_spec spec = { .mkfs = mkfs };

	return hostimg_make(&spec);
}

static inline void look_with(struct looked_at *l, struct hostimg *img,
			     const char *path, uint64_t budget,
			     struct hostfs_options opt)
{
	g_autoptr(GError) error = NULL;

	opt.readonly = true;
	l->img = img;
	l->dev = hostimg_dev(img, true);
	l->fs = hostfs_open(l->dev, &opt, &error);
	ck_assert_msg(l->fs != NULL, "%s", error ? error->message : "?");
	l->hf = hostfile_open(l->fs, path, budget, &error);
	ck_assert_msg(l->hf != NULL, "%s", error ? error->message : "?");
	l->ask = (struct mapreport){
		.hf = l->hf,
		.source = "/dev/source",
		.source_is_block = true,
	};
}

static inline void look_at(struct looked_at *l, struct hostimg *img,
			   const char *path, uint64_t budget)
{
	look_with(l, img, path, budget, (struct hostfs_options){ 0 });
}

static inline void look_away(struct looked_at *l)
{
	hostfile_close(l->hf);
	ck_assert_int_eq(hostfs_close(l->fs), 0);
	blkdev_unref(l->dev);
	hostimg_free(l->img);
}

/* free() it. */
static inline char *report(struct looked_at *l, enum mapreport_format format)
{
	g_autoptr(GError) error = NULL;
	struct mapreport ask = l->ask;
	char *text = NULL;
	size_t len;

	ask.format = format;
	ask.out = open_memstream(&text, &len);
	ck_assert_msg(mapreport_print(&ask, &error), "%s",
		      error ? error->message : "?");
	fclose(ask.out);
	return text;
}

static inline guint count_lines_with(const char *text, const char *word)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	guint n = 0;

	for (char **line = lines; *line; line++)
		n += strstr(*line, word) != NULL;
	return n;
}

static inline struct extent extent_at(const GArray *extents, guint i)
{
	ck_assert_uint_gt(extents->len, i);
	return g_array_index(extents, struct extent, i);
}

/*
 * A file /f with everything: 64 KiB of data, a hole, data, 32 KiB allocated and
 * not written, a hole, data that ends in the middle of a block (and is cut to
 * whole sectors), blocks behind the end. 4096-byte blocks.
 */
#define MIXED_SIZE (UINT64_C(300) * 1024 + 512)

/* Of a host that is a partition. */
#define OFFSET (UINT64_C(1048576) + 4096)

static inline struct hostimg *mixed_host(void)
{
	const struct hostimg_piece pieces[] = {
		{ 0, 65536 },
		{ 131072, 4096 },
		{ MIXED_SIZE - 2560, 2560 },
	};
	struct hostimg *img = make_host("-t ext4 -b 4096");

	hostimg_put(img, "f", 5, MIXED_SIZE, pieces, G_N_ELEMENTS(pieces));
	hostimg_edit(img,
		     "fallocate /f 40 47\nfallocate /f 80 83\n"
		     "set_inode_field /f size %" PRIu64,
		     MIXED_SIZE);
	return img;
}

#endif
