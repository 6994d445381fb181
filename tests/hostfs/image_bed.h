/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The image that the tests of the image layer work on, and looks at it. */
#ifndef TESTS_HOSTFS_IMAGE_BED_H
#define TESTS_HOSTFS_IMAGE_BED_H

#include <support/imagehost.h>

#include <rawmap/dev/blkdev.h>

#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define BS   4096
#define SIZE (64 * BS - 96) /* the last block is not full */

static const char *const kinds[] = { "-t ext4 -b 4096", "-t ext2 -b 4096" };
#define EXT4 0

static struct imagehost h;

/* Blocks 0-7 and the last one hold a pattern; between them is a hole. */
static inline void open_kind(int kind)
{
	static const struct hostimg_piece pieces[] = {
		{ 0, 8 * BS },
		{ 63 * BS, BS - 96 },
	};
	const struct imagehost_spec spec = {
		kinds[kind], 0, SIZE, pieces, G_N_ELEMENTS(pieces), 1 << 20,
	};

	imagehost_init(&h, &spec);
	imagehost_open(&h);
}

static inline void finish(void)
{
	imagehost_check_map(&h);
	ck_assert_int_eq(imagehost_close(&h), 0);
	imagehost_check(&h, NULL, 0);
	imagehost_clear(&h);
}

static inline void know_the_map(void)
{
	uint8_t byte;

	for (uint64_t pos = 0; pos < SIZE; pos += BS)
		image_pread(h.img, &byte, 1, img_off_at(pos));
}

static inline void put(int byte, uint64_t len, uint64_t pos)
{
	g_autofree uint8_t *buf = g_malloc(len);

	memset(buf, byte, len);
	ck_assert_int_eq(image_pwrite(h.img, buf, len, img_off_at(pos)),
			 (ssize_t)len);
}

static inline void expect(int byte, uint64_t len, uint64_t pos)
{
	g_autofree uint8_t *buf = g_malloc(len);

	ck_assert_int_eq(image_pread(h.img, buf, len, img_off_at(pos)),
			 (ssize_t)len);
	for (uint64_t i = 0; i < len; i++)
		ck_assert_msg(buf[i] == byte, "byte %llu is %#x, not %#x",
			      (unsigned long long)(pos + i), buf[i], byte);
}

static inline void expect_pattern(uint64_t len, uint64_t pos)
{
	g_autofree uint8_t *buf = g_malloc(len);

	ck_assert_int_eq(image_pread(h.img, buf, len, img_off_at(pos)),
			 (ssize_t)len);
	for (uint64_t i = 0; i < len; i++)
		ck_assert_int_eq(buf[i],
				 hostimg_pattern(IMAGEHOST_SEED, pos + i));
}

static inline enum extent_state state_at(uint64_t block)
{
	struct extent e;

	ck_assert_int_eq(
		hostfile_map_at(image_file(h.img), lblk_at(block), 1, &e), 0);
	return e.state;
}

static inline int begin(enum image_op op, uint64_t pos, uint64_t len,
			unsigned flags, struct image_io *io)
{
	return image_begin(h.img, op, img_off_at(pos), len, flags, io);
}

#endif
