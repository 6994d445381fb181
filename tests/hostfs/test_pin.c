/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAWMAP_TEST_CONCURRENT */
/* An image that is made ready: its map pinned, its holes filled for good. */
#include <rawmap/dev/blkdev.h>
#include <support/faultdev.h>
#include <support/imagehost.h>
#include <support/memdev.h>

#include <check.h>
#include <errno.h>
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

static void make(int kind, uint64_t size, uint64_t budget)
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

static void drop(void)
{
	g_array_unref(filled);
	imagehost_clear(&h);
}

static void finish(void)
{
	imagehost_check_map(&h);
	ck_assert_int_eq(imagehost_close(&h), 0);
	imagehost_check(&h, content, SIZE);
	drop();
}

static void expect_content(void)
{
	g_autofree uint8_t *buf = g_malloc(SIZE);

	ck_assert_int_eq(image_pread(h.img, buf, SIZE, img_off_at(0)), SIZE);
	ck_assert_mem_eq(buf, content, SIZE);
}

static uint64_t holes(void)
{
	uint64_t n = UINT64_MAX;

	ck_assert_int_eq(image_count_holes(h.img, &n), 0);
	return n;
}

static void fill(void)
{
	ck_assert_int_eq(image_fill_holes(h.img, filled, NULL), 0);
}

/* ---- a watch that ends it, or that commits now and then ---- */

struct patience {
	unsigned steps, last; /* 0: for ever */
	uint64_t done, total;
};

static bool bear(void *ctx, uint64_t done, uint64_t total)
{
	struct patience *p = ctx;

	ck_assert_uint_gt(done, p->done);
	p->done = done;
	p->total = total;
	if (++p->steps % 7 == 0)
		ck_assert_int_eq(hostfs_commit(h.fs), 0);
	return p->steps != p->last;
}

/* ---- pin ---- */

START_TEST(a_pinned_map_needs_no_load)
{
	struct extmap *map;
	struct extmap_stats before, after;

	make(_i, SIZE, 0);
	map = hostfile_map(image_file(h.img));
	ck_assert_int_eq(image_pin(h.img, NULL), 0);
	extmap_stats(map, &before);
	expect_content();
	extmap_stats(map, &after);
	ck_assert_uint_eq(after.misses, before.misses);
	ck_assert_uint_eq(after.loads, before.loads);
	ck_assert_uint_eq(after.evictions, 0);
	ck_assert_uint_gt(after.pinned_bytes, 0);
	finish();
}
END_TEST

START_TEST(what_is_new_in_a_pinned_map_stays_too)
{
	struct extmap *map;
	struct extmap_stats before, after;

	make(_i, SIZE, 0);
	map = hostfile_map(image_file(h.img));
	ck_assert_int_eq(image_pin(h.img, NULL), 0);
	fill();
	extmap_stats(map, &before);
	expect_content();
	extmap_stats(map, &after);
	ck_assert_uint_eq(after.misses, before.misses);
	ck_assert_uint_eq(after.evictions, 0);
	finish();
}
END_TEST

START_TEST(a_pin_can_be_watched_and_stopped)
{
	struct patience p = { .last = 1 };
	const struct image_watch w = { bear, &p };
	struct extmap_stats stats;

	make(_i, SIZE, 0);
	ck_assert_int_eq(image_pin(h.img, &w), -ECANCELED);
	ck_assert_uint_eq(p.steps, 1);
	ck_assert_uint_le(p.done, p.total);
	extmap_stats(hostfile_map(image_file(h.img)), &stats);
	ck_assert_uint_eq(stats.pinned_bytes, 0);
	p = (struct patience){ .last = 0 };
	ck_assert_int_eq(image_pin(h.img, &w), 0);
	ck_assert_uint_eq(p.done, p.total);
	finish();
}
END_TEST

/* ---- fill ---- */

START_TEST(holes_are_counted)
{
	make(_i, SIZE, 1 << 20);
	/* Four blocks of a piece, of sixteen; the last five are a hole. */
	ck_assert_uint_eq(holes(), PIECES * 12 + 5);
	fill();
	ck_assert_uint_eq(holes(), 0);
	finish();
}
END_TEST

static void expect_overwrites(void)
{
	struct image_io io;

	for (uint64_t pos = 0, len; pos < SIZE; pos += len) {
		ck_assert_int_eq(image_begin(h.img, IMAGE_WRITE,
					     img_off_at(pos), SIZE - pos,
					     IMAGE_NOWAIT, &io),
				 0);
		for (unsigned i = 0; i < io.nseg; i++)
			ck_assert_int_eq(io.seg[i].kind, IMAGE_SEG_DATA);
		ck_assert(!image_end_blocks(&io));
		len = io.len;
		image_cancel(h.img, &io);
	}
}

START_TEST(every_write_is_an_overwrite_that_waits_for_nothing)
{
	make(_i, SIZE, 1 << 20);
	ck_assert_int_eq(image_pin(h.img, NULL), 0);
	fill();
	expect_overwrites();
	finish();
}
END_TEST

START_TEST(what_is_filled_is_durable_after_a_flush)
{
	make(_i, SIZE, 1 << 20);
	fill();
	ck_assert_int_eq(image_flush(h.img), 0);
	imagehost_abandon(&h);
	imagehost_repair(&h);
	imagehost_open(&h);
	ck_assert_uint_eq(holes(), 0);
	expect_content();
	finish();
}
END_TEST

/* Which blocks of the device are the image's? */
static GHashTable *own_blocks(void)
{
	GHashTable *own = g_hash_table_new(NULL, NULL);
	struct extmap *map = hostfile_map(image_file(h.img));
	struct extent e;

	for (uint64_t at = 0; at < SIZE / BS + 1; at += e.len) {
		ck_assert(extmap_lookup(map, lblk_at(at), LBLK_END, &e));
		for (uint64_t i = 0; i < e.len && e.state != EXTENT_HOLE; i++)
			g_hash_table_add(own, GSIZE_TO_POINTER(e.phys.v + i));
	}
	return own;
}

static void overwrite_at_random(GRand *rand)
{
	uint64_t pos = g_rand_int(rand) % (SIZE - 1);
	uint64_t len = 1 + g_rand_int(rand) % (SIZE - pos);

	len = MIN(len, 9 * BS);
	for (uint64_t i = pos; i < pos + len; i++)
		content[i] = (uint8_t)g_rand_int(rand);
	ck_assert_int_eq(image_pwrite(h.img, content + pos, len,
				      img_off_at(pos)),
			 (ssize_t)len);
}

START_TEST(overwrites_change_no_metadata_and_need_no_transaction)
{
	GRand *rand = g_rand_new_with_seed(1);
	struct hostfs_stats before, after;
	GHashTable *own;
	GBytes *bytes;
	const uint8_t *was, *is;
	unsigned others = 0;

	make(_i, SIZE, 1 << 20);
	ck_assert_int_eq(image_pin(h.img, NULL), 0);
	fill();
	ck_assert_int_eq(hostfs_settle(h.fs), 0);
	own = own_blocks();
	hostfs_stats(h.fs, &before);
	bytes = memdev_snapshot(h.mem);
	for (unsigned i = 0; i < 300; i++)
		overwrite_at_random(rand);
	ck_assert_int_eq(image_flush(h.img), 0);
	ck_assert_int_eq(hostfs_tick(h.fs), 0);
	hostfs_stats(h.fs, &after);
	ck_assert_uint_eq(after.commits, before.commits);
	ck_assert_uint_eq(after.pending_blocks, 0);
	was = g_bytes_get_data(bytes, NULL);
	is = memdev_bytes(h.mem);
	for (uint64_t b = 0; b < g_bytes_get_size(bytes) / BS; b++) {
		if (g_hash_table_contains(own, GSIZE_TO_POINTER(b)))
			continue;
		others++;
		if (memcmp(was + b * BS, is + b * BS, BS))
			ck_abort_msg("block %lu changed", (unsigned long)b);
	}
	ck_assert_uint_gt(others, 1000);
	g_bytes_unref(bytes);
	g_hash_table_unref(own);
	g_rand_free(rand);
	finish();
}
END_TEST

START_TEST(unwritten_blocks_become_written_ones)
{
	struct image_io io;
	int err;

	make(_i, SIZE, 1 << 20);
	ck_assert_int_eq(image_allocate(h.img, img_off_at(0), SIZE, true), 0);
	ck_assert_uint_eq(holes(), 0);
	/* They are no holes, and yet the first write is a change of the map. */
	err = image_begin(h.img, IMAGE_WRITE, img_off_at(8 * BS), BS,
			  IMAGE_NOWAIT, &io);
	ck_assert_int_eq(
		err, hostfile_extent_mapped(image_file(h.img)) ? -EAGAIN : 0);
	if (!err)
		image_cancel(h.img, &io);
	fill();
	ck_assert_uint_eq(filled->len, 0);
	ck_assert_int_eq(image_begin(h.img, IMAGE_WRITE, img_off_at(8 * BS), BS,
				     IMAGE_NOWAIT, &io),
			 0);
	image_cancel(h.img, &io);
	expect_content();
	finish();
}
END_TEST

START_TEST(zeros_are_written_not_asked_for)
{
	struct blkdev_counters before, after;

	make(_i, SIZE, 1 << 20);
	blkdev_counters(h.dev, &before);
	fill();
	blkdev_counters(h.dev, &after);
	ck_assert_uint_eq(after.zeros, before.zeros);
	ck_assert_uint_ge(after.write_bytes - before.write_bytes,
			  (PIECES * 12 + 5) * BS);
	finish();
}
END_TEST

START_TEST(blocks_stay_whatever_is_asked)
{
	struct image_stats stats;

	make(_i, SIZE, 1 << 20);
	fill();
	ck_assert_int_eq(image_punch(h.img, img_off_at(0), 64 * BS),
			 -EOPNOTSUPP);
	expect_content();
	ck_assert_int_eq(image_zero(h.img, img_off_at(100), 64 * BS, true), 0);
	memset(content + 100, 0, 64 * BS);
	expect_content();
	expect_overwrites();
	image_stats(h.img, &stats);
	ck_assert_uint_eq(stats.errors, 0);
	image_fill_holes(h.img, filled, NULL);
	ck_assert_uint_eq(filled->len, PIECES);
	finish();
}
END_TEST

START_TEST(a_write_behind_the_end_grows_as_ever)
{
	uint8_t buf[BS] = { 1, 2, 3 };

	make(_i, SIZE, 1 << 20);
	fill();
	ck_assert_int_eq(image_pwrite(h.img, buf, BS, img_off_at(SIZE + BS)),
			 BS);
	ck_assert_uint_eq(image_size(h.img), SIZE + 2 * BS);
	ck_assert_int_eq(image_truncate(h.img, SIZE), 0);
	finish();
}
END_TEST

START_TEST(a_readonly_image_is_not_filled)
{
	GError *error = NULL;
	struct hostfile *hf;

	make(_i, SIZE, 1 << 20);
	image_free(h.img);
	hf = hostfile_open(h.fs, "/disk.img", 0, &error);
	h.img = image_new(hf, true);
	ck_assert_int_eq(image_pin(h.img, NULL), 0);
	ck_assert_int_eq(image_fill_holes(h.img, filled, NULL), -EROFS);
	finish();
}
END_TEST

/* ---- ends early ---- */

static const unsigned ends[] = { 1, 17, 90 };

START_TEST(a_crash_in_the_middle_leaves_a_sound_host)
{
	struct patience p = { .last = ends[(unsigned)_i % 3] };
	const struct image_watch w = { bear, &p };

	make((int)((unsigned)_i / 3), SIZE, 1 << 20);
	ck_assert_int_eq(image_fill_holes(h.img, filled, &w), -ECANCELED);
	imagehost_abandon(&h);
	imagehost_repair(&h);
	imagehost_open(&h);
	expect_content();
	/* The next mount completes it. */
	fill();
	ck_assert_uint_eq(holes(), 0);
	expect_content();
	finish();
}
END_TEST

START_TEST(what_was_filled_can_be_given_back)
{
	struct patience p = { .last = 41 };
	const struct image_watch w = { bear, &p };
	uint64_t before, available;

	make(_i, SIZE, 1 << 20);
	before = holes();
	available = hostfs_available(h.fs);
	ck_assert_int_eq(image_fill_holes(h.img, filled, &w), -ECANCELED);
	ck_assert_uint_lt(holes(), before);
	ck_assert_int_eq(image_give_back(h.img, filled), 0);
	ck_assert_uint_eq(holes(), before);
	expect_content();
	ck_assert_int_eq(image_flush(h.img), 0);
	ck_assert_int_eq(hostfs_settle(h.fs), 0);
	ck_assert_uint_eq(hostfs_available(h.fs), available);
	/* And a punch is one again. */
	ck_assert_int_eq(image_punch(h.img, img_off_at(0), BS), 0);
	memset(content, 0, BS);
	finish();
}
END_TEST

START_TEST(a_host_that_runs_full_gets_it_all_back)
{
	uint64_t before, available;

	make(_i, UINT64_C(64) << 20, 1 << 20);
	before = holes();
	available = hostfs_available(h.fs);
	ck_assert_uint_gt(before, available);
	ck_assert_int_eq(image_fill_holes(h.img, filled, NULL), -ENOSPC);
	ck_assert_int_eq(image_give_back(h.img, filled), 0);
	ck_assert_uint_eq(holes(), before);
	expect_content();
	ck_assert_int_eq(hostfs_settle(h.fs), 0);
	/* The map may keep a block that it had to grow by. */
	ck_assert_uint_ge(hostfs_available(h.fs) + 2, available);
	imagehost_check_map(&h);
	ck_assert_int_eq(imagehost_close(&h), 0);
	imagehost_check(&h, NULL, 0);
	drop();
}
END_TEST

/* One life in which the @nth write fails. */
static bool live_with_fault(GBytes *first, uint64_t nth)
{
	int err;

	memdev_restore(h.mem, first);
	imagehost_open(&h);
	g_array_set_size(filled, 0);
	faultdev_arm(h.dev, FAULTDEV_WRITE, nth, EIO, FAULTDEV_ONCE);
	err = image_fill_holes(h.img, filled, NULL);
	if (!err)
		err = image_flush(h.img);
	ck_assert(!err == !faultdev_fired(h.dev));
	if (err)
		(void)image_give_back(h.img, filled);
	expect_content();
	faultdev_disarm(h.dev);
	(void)imagehost_close(&h);
	imagehost_repair(&h);
	imagehost_open(&h);
	expect_content();
	imagehost_abandon(&h);
	return err;
}

START_TEST(a_write_that_fails_harms_nothing)
{
	GBytes *first;
	uint64_t nth = 1;

	make(_i, SIZE, 1 << 20);
	ck_assert_int_eq(imagehost_close(&h), 0);
	first = memdev_snapshot(h.mem);
	while (live_with_fault(first, nth))
		nth *= 2;
	ck_assert_uint_gt(nth, PIECES);
	g_bytes_unref(first);
	drop();
}
END_TEST

/* ---- beside others ---- */

static int going; /* atomic */

/* Threads that ask about each byte do without Check. */
static void *read_all_the_time(void *arg)
{
	g_autofree uint8_t *buf = g_malloc(SIZE);

	(void)arg;
	while (__atomic_load_n(&going, __ATOMIC_SEQ_CST)) {
		if (image_pread(h.img, buf, SIZE, img_off_at(0)) != SIZE)
			g_error("a short read");
		for (uint64_t i = 0; i < SIZE; i++)
			if (buf[i] != content[i] && buf[i] != 'w')
				g_error("byte %lu is %#x", (unsigned long)i,
					buf[i]);
	}
	return NULL;
}

#define WRITTEN(piece) ((uint64_t)(piece)*EVERY + 9 * BS + 10)

static void *write_into_holes(void *arg)
{
	static const char w[] = { 'w', 'w', 'w', 'w' };

	(void)arg;
	for (unsigned i = PIECES; i--;)
		if (image_pwrite(h.img, w, sizeof(w), img_off_at(WRITTEN(i))) !=
		    sizeof(w))
			g_error("a short write");
	return NULL;
}

START_TEST(others_go_on_while_holes_are_filled)
{
	pthread_t threads[3];

	make(_i, SIZE, 1 << 20);
	__atomic_store_n(&going, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						read_all_the_time, NULL),
				 0);
	ck_assert_int_eq(
		pthread_create(&threads[2], NULL, write_into_holes, NULL), 0);
	fill();
	pthread_join(threads[2], NULL);
	__atomic_store_n(&going, 0, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < PIECES; i++)
		memset(content + WRITTEN(i), 'w', 4);
	ck_assert_uint_eq(holes(), 0);
	expect_content();
	finish();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pin");
	TCase *tc = tcase_create("pin"), *early = tcase_create("ends_early");
	TCase *beside = tcase_create("beside_others");
	SRunner *sr;
	int failed;

	ON_ALL(a_pinned_map_needs_no_load);
	ON_ALL(what_is_new_in_a_pinned_map_stays_too);
	ON_ALL(a_pin_can_be_watched_and_stopped);
	ON_ALL(holes_are_counted);
	ON_ALL(every_write_is_an_overwrite_that_waits_for_nothing);
	ON_ALL(what_is_filled_is_durable_after_a_flush);
	ON_ALL(overwrites_change_no_metadata_and_need_no_transaction);
	ON_ALL(unwritten_blocks_become_written_ones);
	ON_ALL(zeros_are_written_not_asked_for);
	ON_ALL(blocks_stay_whatever_is_asked);
	ON_ALL(a_write_behind_the_end_grows_as_ever);
	ON_ALL(a_readonly_image_is_not_filled);
	tcase_add_loop_test(early, a_crash_in_the_middle_leaves_a_sound_host, 0,
			    3 * (int)KINDS);
	ADD(early, what_was_filled_can_be_given_back);
	ADD(early, a_host_that_runs_full_gets_it_all_back);
	ADD(early, a_write_that_fails_harms_nothing);
	ADD(beside, others_go_on_while_holes_are_filled);
	suite_add_tcase(s, tc);
	suite_add_tcase(s, early);
	suite_add_tcase(s, beside);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
