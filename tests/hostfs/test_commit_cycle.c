/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAWMAP_TEST_CONCURRENT */
/*
 * What others may do while a commit's I/O is under way, and who shares what. A
 * gate in front of the device's flushes holds the commit where the test wants
 * it; nothing here depends on time.
 */
#include <support/gatedev.h>
#include <support/hostimg.h>
#include <support/memdev.h>
#include <support/orderdev.h>
#include <support/recdev.h>

#include <rawmap/base/lock.h>
#include <rawmap/hostfs/hostfs.h>
#include <rawmap/image/image.h>

#include <check.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define MIB   (UINT64_C(1) << 20)
#define SIZE  (8 * MIB)
#define BLOCK 4096u

static const char *const mkfs[] = {
	"-t ext2 -b 1024",
	"-t ext3 -b 1024",
	"-t ext4 -b 4096 -O ^has_journal",
	"-t ext4 -b 1024",
};

static struct {
	struct hostimg *img;
	struct blkdev *mem, *order, *rec, *gate;
	struct hostfs *fs;
	struct image *image;
} bed;

static void bed_make(int kind)
{
	const struct hostimg_spec spec = { mkfs[kind], SIZE };
	const struct hostfs_options opt = { .use_reserved = true };
	const struct hostimg_piece piece = { 0, 64 * BLOCK };
	g_autofree uint8_t *bytes = NULL;
	GError *error = NULL;
	struct hostfile *hf;
	size_t len;

	bed.img = hostimg_make(&spec);
	hostimg_put(bed.img, "disk", 1, MIB * 4, &piece, 1);
	bytes = hostimg_bytes(bed.img, &len);
	bed.mem = memdev_new(len, 512);
	memcpy(memdev_bytes(bed.mem), bytes, len);
	bed.order = orderdev_new(bed.mem);
	bed.rec = recdev_new(bed.order);
	bed.gate = gatedev_new(bed.rec);
	bed.fs = hostfs_open(bed.gate, &opt, &error);
	ck_assert_msg(bed.fs, "%s", error ? error->message : "");
	hf = hostfile_open(bed.fs, "/disk", 1 << 20, &error);
	ck_assert_msg(hf, "%s", error ? error->message : "");
	bed.image = image_new(hf, false);
}

static void bed_clear(void)
{
	g_autofree char *said = NULL;

	image_free(bed.image);
	ck_assert_int_eq(hostfs_close(bed.fs), 0);
	hostimg_store(bed.img, memdev_bytes(bed.mem), SIZE);
	ck_assert_msg(hostimg_fsck(bed.img, &said) == 0, "%s", said);
	blkdev_unref(bed.gate);
	blkdev_unref(bed.rec);
	ck_assert_ptr_null(orderdev_complaint(bed.order));
	blkdev_unref(bed.order);
	blkdev_unref(bed.mem);
	hostimg_free(bed.img);
}

static void put(uint64_t block, uint64_t n, int byte)
{
	g_autofree uint8_t *buf = g_malloc(n * BLOCK);

	memset(buf, byte, n * BLOCK);
	ck_assert_int_eq(image_pwrite(bed.image, buf, n * BLOCK,
				      img_off_at(block * BLOCK)),
			 (ssize_t)(n * BLOCK));
}

static void expect(uint64_t block, int byte)
{
	uint8_t buf[BLOCK];

	ck_assert_int_eq(image_pread(bed.image, buf, BLOCK,
				     img_off_at(block * BLOCK)),
			 BLOCK);
	ck_assert_int_eq(buf[0], byte);
	ck_assert_int_eq(buf[BLOCK - 1], byte);
}

static struct hostfs_stats stats(void)
{
	struct hostfs_stats s;

	hostfs_stats(bed.fs, &s);
	return s;
}

static uint64_t flushes(void)
{
	struct blkdev_counters c;

	blkdev_counters(bed.gate, &c);
	return c.flushes;
}

static void *sync_thread(void *arg)
{
	(void)arg;
	return GINT_TO_POINTER(image_flush(bed.image));
}

static void start_sync(pthread_t *t)
{
	uint64_t before = stats().syncs;

	ck_assert_int_eq(pthread_create(t, NULL, sync_thread, NULL), 0);
	while (stats().syncs == before)
		sched_yield();
}

static void join_sync(pthread_t t)
{
	void *ret;

	pthread_join(t, &ret);
	ck_assert_int_eq(GPOINTER_TO_INT(ret), 0);
}

/* A first commit: later ones need no mark and no opening of the log. */
static void warm_up(void)
{
	put(100, 1, 1);
	ck_assert_int_eq(image_flush(bed.image), 0);
}

START_TEST(changes_go_on_while_a_commit_is_written)
{
	pthread_t t;

	bed_make(_i);
	warm_up();
	put(200, 8, 2);
	gatedev_shut(bed.gate);
	start_sync(&t);
	gatedev_wait(bed.gate, 1);

	/* None of these waits for the commit. */
	put(300, 8, 3);
	put(204, 8, 4);
	ck_assert_int_eq(image_punch(bed.image, img_off_at(0), 16 * BLOCK), 0);
	ck_assert_int_eq(image_truncate(bed.image, 5 * MIB), 0);
	put(1030, 2, 5);
	expect(200, 2);
	expect(204, 4);
	expect(300, 3);
	expect(3, 0);
	expect(1030, 5);

	gatedev_open(bed.gate);
	join_sync(t);
	expect(204, 4);
	ck_assert_int_eq(image_flush(bed.image), 0);
	expect(300, 3);
	bed_clear();
}
END_TEST

START_TEST(syncs_that_wait_together_share_a_commit)
{
	pthread_t first, t[5];
	uint64_t commits, before;

	bed_make(_i);
	warm_up();
	commits = stats().commits;
	before = flushes();
	put(200, 8, 2);
	gatedev_shut(bed.gate);
	start_sync(&first);
	gatedev_wait(bed.gate, 1);
	for (unsigned i = 0; i < G_N_ELEMENTS(t); i++) {
		put(300 + 10 * i, 2, 3);
		start_sync(&t[i]);
	}
	gatedev_open(bed.gate);
	join_sync(first);
	for (unsigned i = 0; i < G_N_ELEMENTS(t); i++)
		join_sync(t[i]);
	ck_assert_uint_eq(stats().commits, commits + 2);
	ck_assert_uint_eq(flushes(), before + 4);
	bed_clear();
}
END_TEST

START_TEST(flushes_with_nothing_to_commit_are_shared_too)
{
	pthread_t first, t[5];
	uint64_t commits, before;

	bed_make(_i);
	warm_up();
	ck_assert_int_eq(hostfs_commit(bed.fs), 0);
	commits = stats().commits;
	before = flushes();
	gatedev_shut(bed.gate);
	put(10, 1, 9);
	start_sync(&first);
	gatedev_wait(bed.gate, 1);
	for (unsigned i = 0; i < G_N_ELEMENTS(t); i++)
		start_sync(&t[i]);
	gatedev_open(bed.gate);
	join_sync(first);
	for (unsigned i = 0; i < G_N_ELEMENTS(t); i++)
		join_sync(t[i]);
	ck_assert_uint_eq(stats().commits, commits);
	ck_assert_uint_eq(flushes(), before + 2);
	bed_clear();
}
END_TEST

/* The last write of the record lies before the last flush. */
static bool all_writes_are_flushed(void)
{
	g_autoptr(GPtrArray) events = recdev_events(bed.rec);
	const struct recdev_event *last = events->pdata[events->len - 1];

	return last->kind == RECDEV_FLUSH;
}

START_TEST(a_sync_is_not_satisfied_by_a_commit_that_began_before_it)
{
	pthread_t first, second;

	bed_make(_i);
	warm_up();
	put(200, 8, 2);
	gatedev_shut(bed.gate);
	start_sync(&first);
	gatedev_wait(bed.gate, 1);
	gatedev_pass(bed.gate);
	gatedev_wait(bed.gate, 1); /* the last flush of the commit */
	put(10, 1, 9);		   /* an overwrite, which no commit carries */
	start_sync(&second);
	gatedev_pass(bed.gate);
	join_sync(first);
	gatedev_wait(bed.gate, 1); /* one of its own */
	gatedev_open(bed.gate);
	join_sync(second);
	ck_assert(all_writes_are_flushed());
	bed_clear();
}
END_TEST

static void *write_thread(void *arg)
{
	(void)arg;
	put(0, 16, 7);
	return NULL;
}

/* Take every block but @leave. */
static void fill_up(uint64_t leave)
{
	uint64_t at = 64;
	uint32_t bs = 1U << hostfs_block_bits(bed.fs);

	while (hostfs_available(bed.fs) * bs > (leave + 4) * BLOCK)
		put(at++, 1, 0x11);
}

START_TEST(blocks_being_freed_are_had_only_behind_the_commit)
{
	pthread_t commit, writer;
	uint64_t available;

	bed_make(_i);
	warm_up();
	fill_up(0);
	ck_assert_int_eq(image_flush(bed.image), 0);
	ck_assert_int_eq(image_flush(bed.image), 0);
	available = hostfs_available(bed.fs);
	ck_assert_int_eq(image_punch(bed.image, img_off_at(0), 32 * BLOCK), 0);
	ck_assert_uint_le(hostfs_available(bed.fs), available);
	gatedev_shut(bed.gate);
	start_sync(&commit);
	gatedev_wait(bed.gate, 1);
	ck_assert_uint_le(hostfs_available(bed.fs), available);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_thread, NULL), 0);
	gatedev_open(bed.gate);
	join_sync(commit);
	pthread_join(writer, NULL);
	expect(0, 7);
	expect(15, 7);
	expect(16, 0);
	bed_clear();
}
END_TEST

START_TEST(a_commit_is_two_flushes_whatever_its_size)
{
	uint64_t before;

	bed_make(_i);
	warm_up();
	for (uint64_t n = 1; n <= 256; n *= 4) {
		before = flushes();
		for (uint64_t i = 0; i < n; i++)
			put(70 + (i * 5) % 900, 1, (int)n);
		ck_assert_int_eq(image_flush(bed.image), 0);
		ck_assert_uint_le(flushes() - before, 2);
	}
	bed_clear();
}
END_TEST

/* 99 of 5 are all 5, so the longest is what is told. */
START_TEST(commits_tell_how_long_they_took)
{
	uint64_t before = monotonic_now_ns();
	struct hostfs_stats s;

	bed_make(_i);
	ck_assert_uint_eq(stats().commit_ns_p99, 0);
	for (uint64_t n = 0; n < 5; n++) {
		put(100 + 8 * n, 1, 1);
		ck_assert_int_eq(image_flush(bed.image), 0);
	}
	s = stats();
	ck_assert_uint_eq(s.commits, 5);
	ck_assert_uint_gt(s.commit_ns_total, 0);
	ck_assert_uint_eq(s.commit_ns_p99, s.commit_ns_max);
	ck_assert_uint_le(s.commit_ns_total, monotonic_now_ns() - before);
	bed_clear();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("commit_cycle");
	TCase *tc = tcase_create("commit_cycle");
	const int n = G_N_ELEMENTS(mkfs);
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, changes_go_on_while_a_commit_is_written, 0, n);
	tcase_add_loop_test(tc, syncs_that_wait_together_share_a_commit, 0, n);
	tcase_add_loop_test(tc, flushes_with_nothing_to_commit_are_shared_too,
			    0, n);
	tcase_add_loop_test(
		tc, a_sync_is_not_satisfied_by_a_commit_that_began_before_it, 0,
		n);
	tcase_add_loop_test(
		tc, blocks_being_freed_are_had_only_behind_the_commit, 0, n);
	tcase_add_loop_test(tc, a_commit_is_two_flushes_whatever_its_size, 0,
			    n);
	tcase_add_loop_test(tc, commits_tell_how_long_they_took, 0, n);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
