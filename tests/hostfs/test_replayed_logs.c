/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Logs that a read-only host is not simply seen through: one that makes the
 * filesystem larger, and ones behind which there are fast commits.
 */
#include "difflog.h"
#include "replayed_bed.h"

#include <rawmap/base/endian.h>
#include <rawmap/jbd/format.h>
#include <rawmap/map/extent.h>

#include <ext2fs/ext2_fs.h>
#include <stdlib.h>

static const struct hostfs_options through = { .readonly = true };
static const struct hostfs_options as_it_lies = {
	.readonly = true,
	.norecovery = true,
};

/* ---- growth ---- */

#define BS  1024
#define OLD (UINT64_C(8) << 20)
#define NEW (UINT64_C(24) << 20)
#define BIG (UINT64_C(2) << 20)

/*
 * An old host that is nearly full, and a new one with a file that does not fit
 * into the old. In the log is what lies inside the old one, its size included, and
 * some blocks behind its end.
 */
static struct hostimg *make_grown(const char *mkfs)
{
	const struct hostimg_spec spec = { .mkfs = mkfs, .size = OLD };
	const struct hostimg_piece filler = { 0, UINT64_C(6000) << 10 };
	const struct hostimg_piece big = { 0, BIG };
	struct hostimg *img = hostimg_make(&spec);
	struct difflog d = {
		.img = img,
		.bs = BS,
		.open = "",
		.end = OLD / BS + 64,
		.with_super = true,
	};
	g_autofree uint8_t *before = NULL, *after = NULL, *old = NULL;
	g_autoptr(GArray) journal = NULL;

	hostimg_put(img, "filler", 1, filler.len, &filler, 1);
	old = hostimg_bytes(img, &d.size);
	before = g_malloc0(NEW);
	memcpy(before, old, OLD);
	hostimg_store(img, before, NEW);
	hostimg_grow(img);
	hostimg_put(img, "big", 2, BIG, &big, 1);
	after = hostimg_bytes(img, &d.size);
	ck_assert_uint_eq(d.size, NEW);
	journal = hostimg_extents(img, "<8>");
	d.journal = journal;
	d.before = before;
	d.after = after;
	difflog_write(&d);
	return img;
}

static void check_blocks(struct hostfs *fs, uint64_t size)
{
	struct hostfs_info info;

	hostfs_info(fs, &info);
	ck_assert_uint_eq(info.blocks, size / BS);
	hostfs_info_clear(&info);
}

static const char *const growing[] = {
	"-t ext3 -b 1024",
	"-t ext4 -b 1024 -O ^metadata_csum,^64bit",
	"-t ext4 -b 1024",
};

START_TEST(a_host_that_grew_in_its_log_has_its_new_size)
{
	struct hostimg *img = make_grown(growing[_i]);
	g_autoptr(blkdev) dev = hostimg_dev(img, true);
	struct hostfs *fs = seen_ok(dev, &through);
	g_autofree uint8_t *bytes = NULL;
	size_t len = 0;

	check_blocks(fs, NEW);
	bytes = seen_file(fs, "/big", &len);
	ck_assert_uint_eq(len, BIG);
	for (uint64_t i = 0; i < BIG; i++)
		ck_assert_uint_eq(bytes[i], hostimg_pattern(2, i));
	hostfs_close(fs);
	hostimg_free(img);
}
END_TEST

START_TEST(norecovery_shows_its_old_size)
{
	struct hostimg *img = make_grown(growing[_i]);
	g_autoptr(blkdev) dev = hostimg_dev(img, true);
	struct hostfs *fs = seen_ok(dev, &as_it_lies);
	size_t len;

	check_blocks(fs, OLD);
	ck_assert_ptr_null(seen_file(fs, "/big", &len));
	hostfs_close(fs);
	hostimg_free(img);
}
END_TEST

/* ---- fast commits ---- */

#define FC_BLOCKS 256u

/* What fs/ext4/fast_commit.h of the kernel calls a head. */
struct fc_head {
	le16 tag, len;
	le32 features, tid;
};

/*
 * A log of one transaction, in a journal that has a fast-commit area, which
 * starts with a head that is @behind transactions behind that one.
 */
static struct hostimg *make_fast(uint32_t behind)
{
	const struct hostimg_spec spec = {
		.mkfs = "-t ext4 -b 1024 -O ^metadata_csum,^64bit -J size=4",
		.size = UINT64_C(16) << 20,
	};
	struct hostimg *img = hostimg_make(&spec);
	struct difflog d = {
		.img = img, .bs = BS, .open = "", .end = UINT64_MAX
	};
	g_autofree uint8_t *before = hostimg_bytes(img, &d.size);
	g_autofree uint8_t *after = NULL, *bytes = NULL;
	g_autoptr(GArray) journal = hostimg_extents(img, "<8>");
	const struct extent *e = &g_array_index(journal, struct extent, 0);
	struct jbd_super *super;
	struct fc_head *head;

	hostimg_edit(img, "mkdir folder\n");
	after = hostimg_bytes(img, &d.size);
	d.before = before;
	d.after = after;
	difflog_write(&d);

	bytes = hostimg_bytes(img, &d.size);
	ck_assert_uint_eq(e->len, 4096);
	super = (void *)(bytes + e->phys.v * BS);
	super->incompat =
		be32_of(be32_get(super->incompat) | JBD_INCOMPAT_FAST_COMMIT);
	super->num_fc_blocks = be32_of(FC_BLOCKS);
	head = (void *)(bytes + (e->phys.v + 4096 - FC_BLOCKS + 1) * BS);
	head->tag = le16_of(9);
	head->len = le16_of(8);
	head->tid = le32_of(be32_get(super->sequence) + 1 - behind);
	hostimg_store(img, bytes, d.size);
	return img;
}

static bool has_folder(struct hostfs *fs)
{
	g_autoptr(GError) error = NULL;

	ck_assert(!hostfile_open(fs, "/folder", 4096, &error));
	return error->code == RAWMAP_ERROR_NOT_A_FILE;
}

START_TEST(fast_commits_behind_the_log_are_refused)
{
	static const char *const words[] = { "fast commits", "'the source'",
					     "-o norecovery shows", NULL };
	struct hostimg *img = make_fast(0);
	g_autoptr(blkdev) dev = hostimg_dev(img, true);
	struct hostfs *fs;

	seen_refused(dev, &through, RAWMAP_ERROR_UNSUPPORTED, words);
	fs = seen_ok(dev, &as_it_lies);
	ck_assert(!has_folder(fs));
	hostfs_close(fs);
	hostimg_free(img);
}
END_TEST

START_TEST(fast_commits_that_the_log_made_old_do_not_matter)
{
	struct hostimg *img = make_fast(1);
	g_autoptr(blkdev) dev = hostimg_dev(img, true);
	struct hostfs *fs = seen_ok(dev, &through);

	ck_assert(has_folder(fs));
	hostfs_close(fs);
	hostimg_free(img);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/replayed_logs");
	TCase *tc = tcase_create("replayed_logs");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, a_host_that_grew_in_its_log_has_its_new_size, 0,
			    G_N_ELEMENTS(growing));
	tcase_add_loop_test(tc, norecovery_shows_its_old_size, 0,
			    G_N_ELEMENTS(growing));
	tcase_add_test(tc, fast_commits_behind_the_log_are_refused);
	tcase_add_test(tc, fast_commits_that_the_log_made_old_do_not_matter);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
