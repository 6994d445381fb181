/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAWMAP_TEST_CONCURRENT */
/*
 * Many threads on one image.
 *
 * The bytes belong to the writers in stripes that share blocks at their
 * borders, so partial fills, overwrites and punches of one block meet. A writer
 * knows exactly what its bytes must be, and tags what it writes; everybody else
 * may only see, in a byte of it, zero or its tag: never another's data, never
 * the stale bytes of free space. The last writer owns the end as well, and
 * grows and truncates.
 */
#include <support/imagehost.h>

#include <rawmap/base/bytes.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/image/committer.h>

#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITERS 3
#define STRIPE	UINT64_C(2003) /* most blocks have several owners */
#define STRIPES UINT64_C(30)
#define FIXED	(STRIPE * STRIPES) /* from here on the last writer's */
#define LIMIT	(FIXED + 40000)
#define CHUNK	16384

struct variant {
	const char *mkfs;
	uint64_t budget;
};

static const struct variant variants[] = {
	{ "-t ext4 -b 4096", 0 },
	{ "-t ext4 -b 1024", 256 },
	{ "-t ext3 -b 1024", 256 },
	{ "-t ext2 -b 4096", 1 << 20 },
};

struct writer {
	unsigned id;
	uint32_t seed;
	uint8_t *bytes; /* LIMIT; only what is its own is used */
	uint64_t size;	/* the last writer's */
};

static struct imagehost host;
static unsigned long steps;
static int running; /* atomic: writers that are not done */

static unsigned owner(uint64_t pos)
{
	return pos >= FIXED ? WRITERS - 1 : (unsigned)(pos / STRIPE % WRITERS);
}

/* 0x20.., 0x40.., 0x60..: never 0, never STALE (0x5a) by the low bits. */
static uint8_t tagged(unsigned id, uint64_t n)
{
	return (uint8_t)((id + 1) << 5 | n % 16);
}

static bool allowed(uint64_t pos, uint8_t byte)
{
	return !byte || (byte >> 5 == owner(pos) + 1 && !(byte & 0x10));
}

/* A range inside one of the writer's stripes, or inside its tail. */
static void own_range(struct writer *w, GRand *rand, uint64_t *pos,
		      uint64_t *len)
{
	uint64_t stripe = (uint64_t)g_rand_int_range(
		rand, 0, (gint32)(STRIPES / WRITERS));
	uint64_t first = (stripe * WRITERS + w->id) * STRIPE;
	uint64_t room = STRIPE;

	if (w->id == WRITERS - 1 && g_rand_boolean(rand)) {
		first = FIXED;
		room = LIMIT - FIXED;
	}
	*pos = first + g_rand_int(rand) % room;
	if (g_rand_int(rand) % 3 == 0)
		*pos = first;
	*len = 1 + g_rand_int(rand) % (first + room - *pos);
	if (g_rand_int(rand) % 3 == 0)
		*len = first + room - *pos;
}

/*
 * Check keeps a message about every assertion that holds, from whatever thread:
 * a thread that asks about each byte has to do without.
 */
static void must_be(ssize_t got, ssize_t wanted)
{
	if (got != wanted)
		g_error("%zd instead of %zd", got, wanted);
}

static void check_own(struct writer *w, uint64_t pos, uint64_t len)
{
	g_autofree uint8_t *buf = g_malloc(len);
	uint64_t size = w->id == WRITERS - 1 ? w->size : LIMIT;
	ssize_t got = image_pread(host.img, buf, len, img_off_at(pos));
	ssize_t i;

	if (pos + len > size)
		must_be(got, pos < size ? (ssize_t)(size - pos) : 0);
	else
		must_be(got, (ssize_t)len);
	for (i = 0; i < got; i++)
		if (buf[i] != w->bytes[pos + (uint64_t)i])
			g_error("writer %u: byte %llu is %#x, not %#x", w->id,
				(unsigned long long)pos + (uint64_t)i, buf[i],
				w->bytes[pos + (uint64_t)i]);
}

static void write_own(struct writer *w, uint64_t pos, uint64_t len,
		      unsigned long step)
{
	uint64_t i;

	for (i = 0; i < len; i++)
		w->bytes[pos + i] = tagged(w->id, step + i);
	must_be(image_pwrite(host.img, w->bytes + pos, len, img_off_at(pos)),
		(ssize_t)len);
	w->size = u64_max(w->size, pos + len);
}

static void truncate_tail(struct writer *w, GRand *rand)
{
	uint64_t size = FIXED + g_rand_int(rand) % (LIMIT - FIXED);

	must_be(image_truncate(host.img, size), 0);
	if (size < w->size)
		memset(w->bytes + size, 0, w->size - size);
	w->size = size;
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	GRand *rand = g_rand_new_with_seed(w->seed);
	unsigned long step;

	for (step = 0; step < steps; step++) {
		unsigned what = g_rand_int(rand) % 100;
		bool tail = w->id == WRITERS - 1;
		uint64_t pos, len;

		own_range(w, rand, &pos, &len);
		if (what < 50) {
			write_own(w, pos, len, step);
		} else if (what < 70) {
			check_own(w, pos, len);
		} else if (what < 85) {
			must_be(image_punch(host.img, img_off_at(pos), len), 0);
			memset(w->bytes + pos, 0, len);
		} else if (what < 92 && pos + len <= FIXED) {
			must_be(image_zero(host.img, img_off_at(pos), len,
					   true),
				0);
			memset(w->bytes + pos, 0, len);
		} else if (what < 95 && pos + len <= FIXED) {
			must_be(image_allocate(host.img, img_off_at(pos), len,
					       true),
				0);
		} else if (tail) {
			truncate_tail(w, rand);
		}
	}
	g_rand_free(rand);
	__atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *reader_main(void *arg)
{
	g_autofree uint8_t *buf = g_malloc(CHUNK);
	uint64_t pos = 0;

	(void)arg;
	while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
		ssize_t got =
			image_pread(host.img, buf, CHUNK, img_off_at(pos));
		ssize_t i;

		if (got < 0)
			must_be(got, 0);
		for (i = 0; i < got; i++)
			if (!allowed(pos + (uint64_t)i, buf[i]))
				g_error("byte %llu of writer %u is %#x",
					(unsigned long long)pos + (uint64_t)i,
					owner(pos + (uint64_t)i), buf[i]);
		pos = got < CHUNK ? 0 : pos + CHUNK - 4099;
	}
	return NULL;
}

static void *flusher_main(void *arg)
{
	struct extmap *map = hostfile_map(image_file(host.img));

	(void)arg;
	while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
		must_be(image_flush(host.img), 0);
		extmap_drop_all(map);
		sched_yield();
	}
	return NULL;
}

/* ---- a device that lets others run in the middle of every write ---- */

struct yielder {
	struct blkdev dev;
	struct blkdev *lower;
};

static int yielder_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	return blkdev_pread(((struct yielder *)dev)->lower, buf, len, pos);
}

static int yielder_pwrite(struct blkdev *dev, const void *buf, size_t len,
			  dev_off pos)
{
	int err;

	for (unsigned i = 0; i < 10; i++)
		sched_yield();
	err = blkdev_pwrite(((struct yielder *)dev)->lower, buf, len, pos);
	for (unsigned i = 0; i < 10; i++)
		sched_yield();
	return err;
}

static int yielder_flush(struct blkdev *dev)
{
	return blkdev_flush(((struct yielder *)dev)->lower);
}

static void yielder_close(struct blkdev *dev)
{
	blkdev_unref(((struct yielder *)dev)->lower);
	g_free(dev);
}

/* Takes the caller's reference over. */
static struct blkdev *yielder_new(struct blkdev *lower)
{
	static const struct blkdev_ops ops = {
		.name = "yielder",
		.pread = yielder_pread,
		.pwrite = yielder_pwrite,
		.flush = yielder_flush,
		.close = yielder_close,
	};
	struct yielder *y = g_new0(struct yielder, 1);

	blkdev_init(&y->dev, &ops, blkdev_geometry(lower));
	y->lower = lower;
	return &y->dev;
}

static void start(pthread_t *thread, void *(*body)(void *), void *arg)
{
	ck_assert_int_eq(pthread_create(thread, NULL, body, arg), 0);
}

static void run_threads(struct writer *w)
{
	pthread_t threads[WRITERS + 3];
	int err;
	struct committer *c = committer_start(host.fs, 1, &err);
	unsigned i;

	__atomic_store_n(&running, WRITERS, __ATOMIC_SEQ_CST);
	for (i = 0; i < WRITERS; i++)
		start(&threads[i], writer_main, &w[i]);
	start(&threads[i++], reader_main, NULL);
	start(&threads[i++], reader_main, NULL);
	start(&threads[i++], flusher_main, NULL);
	while (i--)
		pthread_join(threads[i], NULL);
	committer_stop(c);
}

START_TEST(threads_see_their_own_bytes_and_no_stale_ones)
{
	const struct variant *v = &variants[_i];
	const struct imagehost_spec spec = {
		v->mkfs, UINT64_C(8) << 20, FIXED, NULL, 0, v->budget,
	};
	const char *env = g_getenv("RAWMAP_SEED");
	uint32_t seed = env ? (uint32_t)g_ascii_strtoull(env, NULL, 0)
			    : g_random_int();
	g_autofree uint8_t *all = g_malloc0(LIMIT);
	struct writer w[WRITERS];
	uint64_t size;
	unsigned i;

	fprintf(stderr, "# %s, cache %llu: RAWMAP_SEED=%u\n", v->mkfs,
		(unsigned long long)v->budget, seed);
	steps = g_getenv("RAWMAP_FULL") ? 20000 : 120;
	for (i = 0; i < WRITERS; i++)
		w[i] = (struct writer){ i, seed + i, g_malloc0(LIMIT), FIXED };
	imagehost_init(&host, &spec);
	host.dev = yielder_new(host.dev);
	imagehost_open(&host);
	run_threads(w);
	imagehost_check_map(&host);

	size = w[WRITERS - 1].size;
	for (uint64_t pos = 0; pos < size; pos++)
		all[pos] = w[owner(pos)].bytes[pos];
	ck_assert_int_eq(imagehost_close(&host), 0);
	imagehost_check(&host, all, size);
	imagehost_clear(&host);
	for (i = 0; i < WRITERS; i++)
		g_free(w[i].bytes);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("threads");
	TCase *tc = tcase_create("threads");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, threads_see_their_own_bytes_and_no_stale_ones,
			    0, G_N_ELEMENTS(variants));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
