/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host to be read and an image on it, over a device that aborts on any write.
 */
#ifndef TESTS_HOSTFS_REACH_BED_H
#define TESTS_HOSTFS_REACH_BED_H

#include <rawmap/base/error.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/hostfs/hostfs.h>
#include <rawmap/image/image.h>

#include <support/hostimg.h>
#include <support/nowritedev.h>

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct reach {
	struct blkdev *file, *dev;
	struct hostfs *fs;
	struct image *img; /* or NULL */
};

/* The host, or NULL; then *@error says why. */
static inline struct hostfs *reach_try(struct reach *r, struct hostimg *host,
				       struct hostfs_options opt,
				       GError **error)
{
	*r = (struct reach){ .file = hostimg_dev(host, true) };
	r->dev = nowritedev_new(r->file);
	opt.readonly = true;
	r->fs = hostfs_open(r->dev, &opt, error);
	return r->fs;
}

static inline void reach_open(struct reach *r, struct hostimg *host,
			      struct hostfs_options opt)
{
	g_autoptr(GError) error = NULL;

	ck_assert_msg(reach_try(r, host, opt, &error) != NULL, "%s",
		      error ? error->message : "?");
}

static inline void reach_image(struct reach *r, const char *path)
{
	g_autoptr(GError) error = NULL;
	struct hostfile *hf = hostfile_open(r->fs, path, 1 << 20, &error);

	ck_assert_msg(hf != NULL, "%s", error ? error->message : "?");
	r->img = image_new(hf, false);
}

static inline void reach_refused(struct reach *r, const char *path,
				 enum rawmap_error code, const char *words)
{
	g_autoptr(GError) error = NULL;

	ck_assert_ptr_null(hostfile_open(r->fs, path, 1 << 20, &error));
	ck_assert_msg(error->code == (int)code &&
			      strstr(error->message, words) &&
			      strstr(error->message, path),
		      "code %d: %s", error->code, error->message);
}

static inline void reach_close(struct reach *r)
{
	image_free(r->img);
	ck_assert_int_eq(hostfs_close(r->fs), 0);
	blkdev_unref(r->dev);
	blkdev_unref(r->file);
	*r = (struct reach){ 0 };
}

/* Not by an assertion a byte: each costs a message to the test's parent. */
static inline void reach_same(const uint8_t *got, const uint8_t *want,
			      size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (got[i] != want[i])
			ck_abort_msg("byte %zu is %#x, not %#x", i, got[i],
				     want[i]);
}

/*
 * The image holds exactly these bytes, read whole, and in pieces that fit
 * nothing.
 */
static inline void reach_holds(struct reach *r, const uint8_t *want, size_t len)
{
	g_autofree uint8_t *got = g_malloc(len + 100);
	const size_t step = len / 7 + 13;

	ck_assert_uint_eq(image_size(r->img), len);
	ck_assert_int_eq(image_pread(r->img, got, len + 100, img_off_at(0)),
			 (ssize_t)len);
	reach_same(got, want, len);
	memset(got, 0xee, len);
	for (size_t at = 0; at < len; at += step) {
		size_t n = MIN(step, len - at);

		ck_assert_int_eq(image_pread(r->img, got + at, n,
					     img_off_at(at)),
				 (ssize_t)n);
	}
	reach_same(got, want, len);
}

/* As debugfs reads it. */
static inline void reach_agrees(struct reach *r, struct hostimg *host,
				const char *path)
{
	size_t len;
	g_autofree uint8_t *want = hostimg_cat(host, path, &len);

	reach_image(r, path);
	reach_holds(r, want, len);
	image_free(g_steal_pointer(&r->img));
}

/* Bytes of the host's file, without reading all of it. */
static inline void host_write(struct hostimg *host, const void *buf, size_t len,
			      uint64_t pos)
{
	int fd = open(hostimg_path(host), O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, buf, len, (off_t)pos), (ssize_t)len);
	close(fd);
}

static inline void host_fill(struct hostimg *host, int byte, size_t len,
			     uint64_t pos)
{
	g_autofree uint8_t *buf = g_malloc(len);

	memset(buf, byte, len);
	host_write(host, buf, len, pos);
}

static inline void host_read(struct hostimg *host, void *buf, size_t len,
			     uint64_t pos)
{
	int fd = open(hostimg_path(host), O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, buf, len, (off_t)pos), (ssize_t)len);
	close(fd);
}

#endif
