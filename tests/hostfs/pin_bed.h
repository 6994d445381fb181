/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image with many holes, for the tests of what pin=alloc does to it. */
#ifndef TESTS_HOSTFS_PIN_BED_H
#define TESTS_HOSTFS_PIN_BED_H

#include <support/imagehost.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define BS     1024
#define EVERY  (16 * BS) /* a piece begins */
#define PIECE  (3 * BS + 100)
#define PIECES 48
#define SIZE   (PIECES * EVERY + 5 * BS - 96)

static const char *const kinds[] = {
	"-t ext4 -b 1024",
	"-t ext4 -b 1024 -O ^has_journal",
	"-t ext3 -b 1024",
	"-t ext2 -b 1024",
};
#define KINDS	      G_N_ELEMENTS(kinds)
#define ADD(tc, name) tcase_add_loop_test(tc, name, 0, (int)KINDS)
#define ON_ALL(name)  ADD(tc, name)

static struct imagehost h;
static GArray *filled;
static uint8_t content[SIZE];

static inline void make(int kind, uint64_t size, uint64_t budget)
{
	struct hostimg_piece pieces[PIECES];
	const struct imagehost_spec spec = {
		kinds[kind], 0, size, pieces, PIECES, budget,
	};

	memset(content, 0, sizeof(content));
	for (unsigned i = 0; i < PIECES; i++) {
		uint64_t start = (uint64_t)i * EVERY;

		pieces[i] = (struct hostimg_piece){ start, PIECE };
		for (uint64_t b = start; b < start + PIECE; b++)
			content[b] = hostimg_pattern(IMAGEHOST_SEED, b);
	}
	imagehost_init(&h, &spec);
	imagehost_open(&h);
	filled = g_array_new(FALSE, FALSE, sizeof(struct extent));
}

static inline void drop(void)
{
	g_array_unref(filled);
	imagehost_clear(&h);
}

static inline void finish(void)
{
	imagehost_check_map(&h);
	ck_assert_int_eq(imagehost_close(&h), 0);
	imagehost_check(&h, content, SIZE);
	drop();
}

static inline void expect_content(void)
{
	g_autofree uint8_t *buf = g_malloc(SIZE);

	ck_assert_int_eq(image_pread(h.img, buf, SIZE, img_off_at(0)), SIZE);
	ck_assert_mem_eq(buf, content, SIZE);
}

static inline uint64_t holes(void)
{
	uint64_t n = UINT64_MAX;

	ck_assert_int_eq(image_count_holes(h.img, &n), 0);
	return n;
}

static inline void fill(void)
{
	ck_assert_int_eq(image_fill_holes(h.img, filled, NULL), 0);
}

/* ---- a watch that ends it, or that commits now and then ---- */

struct patience {
	unsigned steps, last; /* 0: for ever */
	uint64_t done, total;
};

static inline bool bear(void *ctx, uint64_t done, uint64_t total)
{
	struct patience *p = ctx;

	ck_assert_uint_gt(done, p->done);
	p->done = done;
	p->total = total;
	if (++p->steps % 7 == 0)
		ck_assert_int_eq(hostfs_commit(h.fs), 0);
	return p->steps != p->last;
}

#endif
