/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random operations on an image, one thread, against a model: the bytes that
 * the image must hold, kept in memory. The seed is printed when a run fails;
 * RAWMAP_SEED repeats it, RAWMAP_FULL=1 runs many more operations.
 */
#include <support/imagehost.h>

#include <rawmap/base/bytes.h>

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SIZE (UINT64_C(3) << 20)
#define MAX_LEN	 (UINT64_C(96) << 10)

struct variant {
	const char *mkfs;
	uint64_t budget;
};

static const struct variant variants[] = {
	{ "-t ext4 -b 4096", 1 << 20 },
	{ "-t ext4 -b 1024", 0 },
	{ "-t ext4 -b 1024", 256 },
	{ "-t ext4 -b 4096 -O ^has_journal", 0 },
	{ "-t ext4 -b 4096 -O ^64bit,^metadata_csum,^flex_bg", 4096 },
	{ "-t ext3 -b 1024", 256 },
	{ "-t ext3 -b 4096", 0 },
	{ "-t ext2 -b 1024", 0 },
	{ "-t ext2 -b 4096", 1 << 20 },
};

struct model {
	struct imagehost h;
	uint8_t *bytes; /* MAX_SIZE; zeros behind size */
	uint8_t *buf;	/* MAX_LEN */
	uint64_t size;
	GRand *rand;
	unsigned long step;
};

static struct model m;

static uint64_t below(uint64_t n)
{
	return (uint64_t)(g_rand_double(m.rand) * (double)n);
}

/* A range inside [0, limit), half of them ending at sector or block bounds. */
static void some_range(uint64_t limit, uint64_t *pos, uint64_t *len)
{
	static const uint64_t grain[] = { 1, 1, 512, 1024, 4096, 4096 };
	uint64_t g = grain[below(G_N_ELEMENTS(grain))];
	uint64_t max = below(4) ? 9000 : MAX_LEN;

	*pos = below(limit) / g * g;
	*len = u64_max(g, below(max) / g * g);
	*len = u64_min(*len, limit - *pos);
}

static void check_range(uint64_t pos, uint64_t len)
{
	ssize_t want = pos < m.size ? (ssize_t)u64_min(len, m.size - pos) : 0;
	ssize_t got = image_pread(m.h.img, m.buf, len, img_off_at(pos));
	ssize_t i;

	ck_assert_int_eq(got, want);
	if (!memcmp(m.buf, m.bytes + pos, (size_t)got))
		return;
	for (i = 0; m.buf[i] == m.bytes[pos + (uint64_t)i]; i++)
		;
	ck_abort_msg("step %lu: byte %llu is %#x, not %#x", m.step,
		     (unsigned long long)(pos + (uint64_t)i), m.buf[i],
		     m.bytes[pos + (uint64_t)i]);
}

static void check_all(void)
{
	uint64_t pos;

	ck_assert_uint_eq(image_size(m.h.img), m.size);
	for (pos = 0; pos < MAX_SIZE; pos += MAX_LEN)
		check_range(pos, u64_min(MAX_LEN, MAX_SIZE - pos));
}

static void do_write(void)
{
	uint64_t pos, len, i;
	ssize_t got;

	/* Most inside the size: an image that always grows is never full. */
	some_range(below(8) ? u64_min(m.size + 1, MAX_SIZE) : MAX_SIZE, &pos,
		   &len);
	if (!len)
		return;
	for (i = 0; i < len; i++)
		m.buf[i] = (uint8_t)(1 + (m.step * 31 + i) % 80);
	got = image_pwrite(m.h.img, m.buf, len, img_off_at(pos));
	if (got == -ENOSPC)
		return;
	ck_assert_int_gt(got, 0);
	memcpy(m.bytes + pos, m.buf, (size_t)got);
	m.size = u64_max(m.size, pos + (uint64_t)got);
}

static void do_punch(void)
{
	uint64_t pos, len;

	some_range(MAX_SIZE, &pos, &len);
	if (!below(4))
		len = u64_min(len * 8, MAX_SIZE - pos);
	ck_assert_int_eq(image_punch(m.h.img, img_off_at(pos), len), 0);
	memset(m.bytes + pos, 0, len);
}

static void do_zero(void)
{
	bool keep = below(2);
	uint64_t pos, len;
	int err;

	some_range(below(8) ? m.size : MAX_SIZE, &pos, &len);
	err = image_zero(m.h.img, img_off_at(pos), len, keep);
	if (err) {
		/* Whatever was done before is not promised: look. */
		ck_assert(err == -ENOSPC || err == -EOPNOTSUPP);
		m.size = image_size(m.h.img);
		if (err == -ENOSPC)
			image_punch(m.h.img, img_off_at(pos), len);
		else
			return;
	} else if (!keep) {
		m.size = u64_max(m.size, pos + len);
	}
	memset(m.bytes + pos, 0, len);
}

static void do_allocate(void)
{
	bool keep = below(2);
	uint64_t pos, len;
	int err;

	some_range(below(8) ? m.size : MAX_SIZE, &pos, &len);
	err = image_allocate(m.h.img, img_off_at(pos), len, keep);
	if (err)
		ck_assert(err == -ENOSPC || err == -EOPNOTSUPP);
	m.size = err || keep ? image_size(m.h.img) : u64_max(m.size, pos + len);
}

static void do_truncate(void)
{
	uint64_t size = below(3) ? m.size + below(20000) : below(MAX_SIZE);

	size = u64_min(size, MAX_SIZE);
	ck_assert_int_eq(image_truncate(m.h.img, size), 0);
	if (size < m.size)
		memset(m.bytes + size, 0, m.size - size);
	m.size = size;
}

/* Data where SEEK_HOLE or SEEK_DATA skips is a lie; the rest is taste. */
static void do_seek(void)
{
	uint64_t pos = below(MAX_SIZE);
	img_off data = { m.size }, hole = { 0 };
	int err = image_seek_data(m.h.img, img_off_at(pos), &data);

	ck_assert_int_eq(image_seek_hole(m.h.img, img_off_at(pos), &hole),
			 pos < m.size ? 0 : -ENXIO);
	if (pos >= m.size) {
		ck_assert_int_eq(err, -ENXIO);
		return;
	}
	ck_assert(err == 0 || err == -ENXIO);
	ck_assert_uint_le(data.v, m.size);
	ck_assert_uint_ge(data.v, pos);
	ck_assert(bytes_are_zero(m.bytes + pos, data.v - pos));
	ck_assert_uint_le(hole.v, m.size);
	ck_assert((data.v == pos) == (hole.v > pos) || data.v == m.size);
}

static void do_drop(void)
{
	extmap_drop_all(hostfile_map(image_file(m.h.img)));
}

static void reopen(void)
{
	ck_assert_int_eq(imagehost_close(&m.h), 0);
	imagehost_check(&m.h, m.bytes, m.size);
	imagehost_open(&m.h);
	check_all();
}

static void one_step(void)
{
	uint64_t pos, len;
	unsigned what = (unsigned)below(100);

	if (what < 35) {
		do_write();
	} else if (what < 60) {
		some_range(MAX_SIZE, &pos, &len);
		check_range(pos, len);
	} else if (what < 70) {
		do_punch();
	} else if (what < 77) {
		do_zero();
	} else if (what < 82) {
		do_allocate();
	} else if (what < 87) {
		do_truncate();
	} else if (what < 93) {
		do_seek();
	} else if (what < 96) {
		do_drop();
	} else {
		ck_assert_int_eq(image_flush(m.h.img), 0);
	}
}

static uint32_t choose_seed(int variant)
{
	const char *env = g_getenv("RAWMAP_SEED");

	return env ? (uint32_t)g_ascii_strtoull(env, NULL, 0)
		   : g_random_int() ^ (uint32_t)variant;
}

START_TEST(an_image_holds_what_the_model_holds)
{
	static const struct hostimg_piece pieces[] = {
		{ 0, 20000 },
		{ 300000, 40000 },
		{ 1 << 20, 9999 },
	};
	const struct variant *v = &variants[_i];
	const struct imagehost_spec spec = {
		/* Small enough to run out of space now and then. */
		v->mkfs, UINT64_C(4) << 20,    (2 << 20) - 777,
		pieces,	 G_N_ELEMENTS(pieces), v->budget,
	};
	unsigned long steps = g_getenv("RAWMAP_FULL") ? 100000 : 800;
	uint32_t seed = choose_seed(_i);

	fprintf(stderr, "# %s, cache %llu: RAWMAP_SEED=%u\n", v->mkfs,
		(unsigned long long)v->budget, seed);
	m.rand = g_rand_new_with_seed(seed);
	m.bytes = g_malloc0(MAX_SIZE);
	m.buf = g_malloc(MAX_LEN);
	m.size = spec.size;
	for (size_t p = 0; p < G_N_ELEMENTS(pieces); p++)
		for (uint64_t i = 0; i < pieces[p].len; i++)
			m.bytes[pieces[p].start + i] = hostimg_pattern(
				IMAGEHOST_SEED, pieces[p].start + i);
	imagehost_init(&m.h, &spec);
	imagehost_open(&m.h);
	for (m.step = 1; m.step <= steps; m.step++) {
		one_step();
		if (m.step % 50 == 0)
			imagehost_check_map(&m.h);
		if (m.step % 250 == 0)
			check_all();
		if (m.step % 1000 == 0)
			reopen();
	}
	imagehost_clear(&m.h);
	g_free(m.buf);
	g_free(m.bytes);
	g_rand_free(m.rand);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("model");
	TCase *tc = tcase_create("model");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, an_image_holds_what_the_model_holds, 0,
			    G_N_ELEMENTS(variants));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
