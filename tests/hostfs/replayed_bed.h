/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A host that is only read, on a device that aborts on any write. */
#ifndef TESTS_HOSTFS_REPLAYED_BED_H
#define TESTS_HOSTFS_REPLAYED_BED_H

#include <rawmap/base/error.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/hostfs/hostfs.h>
#include <rawmap/image/image.h>

#include <support/nowritedev.h>

#include <check.h>
#include <string.h>

static inline struct hostfs *
seen_open(struct blkdev *dev, const struct hostfs_options *opt, GError **error)
{
	g_autoptr(blkdev) guard = nowritedev_new(dev);

	return hostfs_open(guard, opt, error);
}

static inline struct hostfs *seen_ok(struct blkdev *dev,
				     const struct hostfs_options *opt)
{
	GError *error = NULL;
	struct hostfs *fs = seen_open(dev, opt, &error);

	ck_assert_msg(fs != NULL, "%s", error ? error->message : "?");
	return fs;
}

/* All of @words (to NULL) are in the sentence. */
static inline void seen_refused(struct blkdev *dev,
				const struct hostfs_options *opt,
				enum rawmap_error code,
				const char *const *words)
{
	g_autoptr(GError) error = NULL;
	struct hostfs *fs = seen_open(dev, opt, &error);

	ck_assert_ptr_null(fs);
	ck_assert_ptr_nonnull(error);
	for (; *words; words++)
		ck_assert_msg(error->code == (int)code &&
				      strstr(error->message, *words),
			      "code %d: %s", error->code, error->message);
}

/* What data is read from, all of it (g_free()). */
static inline uint8_t *seen_bytes(struct hostfs *fs, size_t *ret_len)
{
	struct blkdev *dev = hostfs_data_dev(fs);
	size_t len = (size_t)blkdev_geometry(dev)->size;
	uint8_t *bytes = g_malloc(len);

	ck_assert_int_eq(blkdev_pread(dev, bytes, len, dev_off_at(0)), 0);
	*ret_len = len;
	return bytes;
}

/* A file's content; NULL with what hostfile_open() says. */
static inline uint8_t *seen_file_try(struct hostfs *fs, const char *path,
				     size_t *ret_len, GError **error)
{
	struct hostfile *hf = hostfile_open(fs, path, 1 << 20, error);
	struct image *img;
	uint8_t *bytes;

	if (!hf)
		return NULL;
	img = image_new(hf, true);
	*ret_len = (size_t)image_size(img);
	bytes = g_malloc(*ret_len + 1);
	if (image_pread(img, bytes, *ret_len, img_off_at(0)) !=
	    (ssize_t)*ret_len) {
		g_clear_pointer(&bytes, g_free);
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT,
			    "%s cannot be read", path);
	}
	image_free(img);
	return bytes;
}

/* The same; NULL only where there is none of that name. */
static inline uint8_t *seen_file(struct hostfs *fs, const char *path,
				 size_t *ret_len)
{
	g_autoptr(GError) error = NULL;
	uint8_t *bytes = seen_file_try(fs, path, ret_len, &error);

	ck_assert_msg(bytes || error->code == RAWMAP_ERROR_NOT_FOUND, "%s",
		      error ? error->message : "");
	return bytes;
}

#endif
