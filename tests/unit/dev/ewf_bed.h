/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A directory with a disk's bytes and EWF images of them. */
#ifndef TESTS_UNIT_DEV_EWF_BED_H
#define TESTS_UNIT_DEV_EWF_BED_H

#include "support/ewftools.h"
#include "support/filebed.h"

#include <rawmap/base/error.h>
#include <rawmap/dev/ewf.h>

#include <check.h>
#include <string.h>

#define CHUNK 32768u
#define SIZE  (96 * CHUNK)

/* ewfacquire cuts a file to whole sectors, unless they are of one byte. */
#define ODD " -P 1 -b 32768 "

static char *dir;
static uint8_t *source; /* SIZE bytes, or as many as the test made */

static inline void setup(void)
{
	dir = filebed_new();
}

static inline void teardown(void)
{
	g_clear_pointer(&source, g_free);
	filebed_free(dir);
}

static inline void ck_refused(const char *name, int code, const char *word)
{
	g_autofree char *path = filebed_path(dir, name);
	g_autoptr(GError) error = NULL;

	ck_assert_ptr_null(ewf_open(path, &error));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, code), "%s",
		      error ? error->message : "no error");
	ck_assert_msg(strstr(error->message, word) != NULL, "%s",
		      error->message);
}

/* Thirds: random, zeros, a pattern; @noise: random alone. */
static inline void make_source(size_t len, bool noise)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(11);

	source = g_malloc0(len);
	for (size_t i = 0; i < len; i++) {
		size_t kind = noise ? 0 : i / CHUNK % 3;

		if (kind == 0)
			source[i] = (uint8_t)g_rand_int(rand);
		else if (kind == 2)
			source[i] = (uint8_t)(i / 512 + i % 7);
	}
	filebed_put(dir, "raw", source, len);
}

static inline struct blkdev *open_image(const char *name)
{
	g_autofree char *path = filebed_path(dir, name);
	g_autoptr(GError) error = NULL;
	struct blkdev *dev = ewf_open(path, &error);

	ck_assert_msg(dev != NULL, "%s", error ? error->message : "no error");
	return dev;
}

static inline void ck_range(struct blkdev *dev, uint8_t *buf, size_t len,
			    size_t pos)
{
	memset(buf, 0x77, len);
	ck_assert_int_eq(blkdev_pread(dev, buf, len, dev_off_at(pos)), 0);
	ck_assert_msg(!memcmp(buf, source + pos, len),
		      "%zu bytes at %zu are not the source's", len, pos);
}

/* All of it at once, and many unaligned pieces. */
static inline void ck_source(struct blkdev *dev, size_t size)
{
	g_autofree uint8_t *buf = g_malloc(size);
	g_autoptr(GRand) rand = g_rand_new_with_seed(5);

	ck_assert_uint_eq(blkdev_geometry(dev)->size, size);
	ck_range(dev, buf, size, 0);
	ck_range(dev, buf, 1, size - 1);
	for (unsigned round = 0; round < 200; round++) {
		size_t pos = (size_t)g_rand_int_range(rand, 0, (gint32)size);
		size_t len = (size_t)g_rand_int_range(rand, 1, 100000);

		ck_range(dev, buf, MIN(len, size - pos), pos);
	}
}

static inline char *segment_name(unsigned segment)
{
	return g_strdup_printf("x.E%02u", segment);
}

static inline uint32_t adler32(const uint8_t *bytes, size_t len)
{
	uint32_t a = 1, b = 0;

	for (size_t i = 0; i < len; i++) {
		a = (a + bytes[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static inline void put_le32(uint8_t *at, uint32_t n)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(n >> 8 * i);
}

#endif
