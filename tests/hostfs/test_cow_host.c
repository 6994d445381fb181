/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host that needs recovery, on a source that must not change: through copy on
 * write it is recovered, written to, and comes back another day.
 * RAWMAP_TEST_CONCURRENT
 */
#include "recover_bed.h"

#include <rawmap/dev/cow.h>
#include <rawmap/hostfs/hostfile.h>
#include <rawmap/hostfs/hostfs.h>
#include <rawmap/image/committer.h>
#include <rawmap/image/image.h>

#include <support/gatedev.h>
#include <support/nowritedev.h>

static const struct cow_names names = { "file", "source" };

struct rig {
	struct bed bed;
	struct blkdev *source; /* aborts on a write */
	struct blkdev *store;
	struct blkdev *cow;
};

static void rig_open(struct rig *r, bool fresh)
{
	g_autoptr(GError) error = NULL;

	r->cow = cow_new(r->source, NULL, r->store, &names, fresh, &error);
	ck_assert_msg(r->cow != NULL, "%s", error ? error->message : "?");
}

static void rig_init(struct rig *r, const struct kind *kind)
{
	g_autoptr(blkdev) mem = NULL;

	bed_init(&r->bed, kind);
	mem = memdev_new_readonly(r->bed.dirty, r->bed.size, 512);
	r->source = nowritedev_new(mem);
	r->store = memdev_new(cow_store_size(r->bed.size), 512);
	rig_open(r, true);
}

static void rig_reopen(struct rig *r)
{
	blkdev_unref(r->cow);
	rig_open(r, false);
}

static void rig_clear(struct rig *r)
{
	blkdev_unref(r->cow);
	blkdev_unref(r->store);
	blkdev_unref(r->source);
	bed_clear(&r->bed);
}

static uint8_t *all_bytes(struct rig *r)
{
	uint8_t *bytes = g_malloc(r->bed.size);

	ck_assert_int_eq(
		blkdev_pread(r->cow, bytes, r->bed.size, dev_off_at(0)), 0);
	return bytes;
}

static void recover(struct rig *r)
{
	struct recover_options opt = { .name = NULL };
	struct recover_report report;
	g_autoptr(GError) error = NULL;

	ck_assert_msg(hostfs_recover(r->cow, &opt, &report, &error), "%s",
		      error ? error->message : "?");
	ck_assert_uint_eq(report.transactions, 2);
}

/* Write @text to /disk at @pos, maybe behind its end; or see that it is so. */
static void use_disk(struct rig *r, const char *text, uint64_t pos, bool write)
{
	const struct hostfs_options opt = { .readonly = !write };
	g_autoptr(GError) error = NULL;
	struct hostfs *fs = hostfs_open(r->cow, &opt, &error);
	struct hostfile *hf;
	struct image *img;
	char got[32] = "";

	ck_assert_msg(fs != NULL, "%s", error ? error->message : "?");
	hf = hostfile_open(fs, "/disk", 1 << 20, &error);
	ck_assert_msg(hf != NULL, "%s", error ? error->message : "?");
	img = image_new(hf, !write);
	if (write)
		ck_assert_int_eq(image_pwrite(img, text, strlen(text),
					      img_off_at(pos)),
				 (int)strlen(text));
	ck_assert_int_eq(image_pread(img, got, strlen(text), img_off_at(pos)),
			 (int)strlen(text));
	ck_assert_str_eq(got, text);
	image_free(img);
	ck_assert_int_eq(hostfs_close(fs), 0);
}

/* @_i: the kind */
START_TEST(a_dirty_host_is_recovered_beside_its_source)
{
	struct rig r;
	g_autofree uint8_t *bytes = NULL, *source = NULL;

	rig_init(&r, &kinds[_i]);
	recover(&r);
	rig_reopen(&r);
	bytes = all_bytes(&r);
	bed_expect_after(&r.bed, bytes, "recover");
	bed_expect_clean(&r.bed, bytes);
	bed_expect_sound(&r.bed, bytes);
	source = g_malloc(r.bed.size);
	ck_assert_int_eq(
		blkdev_pread(r.source, source, r.bed.size, dev_off_at(0)), 0);
	ck_assert(!memcmp(source, r.bed.dirty, r.bed.size));
	rig_clear(&r);
}
END_TEST

/* @_i: the kind */
START_TEST(an_image_is_written_and_grows_beside_its_source)
{
	struct rig r;
	g_autofree uint8_t *bytes = NULL;
	uint64_t end;

	rig_init(&r, &kinds[_i]);
	end = 64 * (uint64_t)r.bed.bs;
	recover(&r);
	use_disk(&r, "overwritten", 5, true);
	use_disk(&r, "in a hole", 50 * r.bed.bs + 7, true);
	use_disk(&r, "behind the end", end + 12345, true);
	rig_reopen(&r);
	use_disk(&r, "overwritten", 5, false);
	use_disk(&r, "in a hole", 50 * r.bed.bs + 7, false);
	use_disk(&r, "behind the end", end + 12345, false);
	bytes = all_bytes(&r);
	bed_expect_sound(&r.bed, bytes);
	rig_clear(&r);
}
END_TEST

static void overwrite(struct image *img, uint64_t pos)
{
	ck_assert_int_eq(image_pwrite(img, "over", 4, img_off_at(pos)), 4);
}

static bool is_settled(struct rig *r)
{
	struct cow_info info;

	ck_assert(cow_info(r->cow, &info));
	return info.settled;
}

/* The host has nothing to commit, and would lose something all the same. */
START_TEST(overwrites_are_settled_by_the_committer)
{
	const struct hostfs_options opt = { .readonly = false };
	struct committer *committer;
	struct hostfs *fs;
	struct image *img;
	struct blkdev *gate;
	struct rig r;
	int err;

	rig_init(&r, &kinds[1]);
	recover(&r);
	gate = gatedev_new(r.store);
	blkdev_unref(r.store);
	r.store = gate;
	rig_reopen(&r);
	fs = hostfs_open(r.cow, &opt, NULL);
	ck_assert_ptr_nonnull(fs);
	img = image_new(hostfile_open(fs, "/disk", 1 << 20, NULL), false);
	overwrite(img, 5);
	ck_assert_int_eq(hostfs_settle(fs), 0);
	overwrite(img, 30 * r.bed.bs);
	ck_assert(!is_settled(&r));
	gatedev_shut(gate);
	committer = committer_start(fs, 1, &err);
	gatedev_wait(gate, 1);
	gatedev_open(gate);
	committer_stop(committer);
	ck_assert(is_settled(&r));
	image_free(img);
	ck_assert_int_eq(hostfs_close(fs), 0);
	rig_clear(&r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cow host");
	TCase *tc = tcase_create("cow host");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, a_dirty_host_is_recovered_beside_its_source, 0,
			    G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, an_image_is_written_and_grows_beside_its_source,
			    0, G_N_ELEMENTS(kinds));
	tcase_add_test(tc, overwrites_are_settled_by_the_committer);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
