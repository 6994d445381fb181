/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From options to an open host, on files: what was asked for arrives, and of
 * all that is named only the host itself may be opened for writing, and only
 * where it was to be.
 */
#include "recover_bed.h"

#include <rawmap/hostfs/hostfile.h>
#include <rawmap/hostfs/hostsource.h>

#include <sys/file.h>
#include <fcntl.h>
#include <unistd.h>

#define PLAIN 2 /* ext3: its superblock can be changed by hand */

static struct hostsource src;

static bool try_open(const char *path, struct hostsource_options opt,
		     GError **error)
{
	opt.stack.direct = FILEDEV_DIRECT_OFF;
	return hostsource_open(&src, path, &opt, error);
}

static void open_ok(struct hostimg *img, struct hostsource_options opt)
{
	g_autoptr(GError) error = NULL;

	ck_assert_msg(try_open(hostimg_path(img), opt, &error), "%s",
		      error ? error->message : "?");
}

static struct hostfs_info info_of(struct hostfs *fs)
{
	struct hostfs_info info;

	hostfs_info(fs, &info);
	hostfs_info_clear(&info);
	return info;
}

static struct hostimg *make(const char *mkfs)
{
	const struct hostimg_spec spec = { .mkfs = mkfs, .size = 24 << 20 };
	const struct hostimg_piece piece = { 0, 5000 };
	struct hostimg *img = hostimg_make(&spec);

	hostimg_put(img, "f", 1, 5000, &piece, 1);
	return img;
}

START_TEST(options_of_the_host_reach_it)
{
	struct hostimg *img = make("-t ext4 -b 1024");
	struct hostfs_info info;

	open_ok(img, (struct hostsource_options){
			     .stack.readonly = true,
			     .norecovery = true,
			     .raw_unwritten = true,
			     .super_block = 8193,
			     .super_block_size = 1024,
		     });
	info = info_of(src.fs);
	ck_assert(info.norecovery);
	ck_assert_uint_eq(info.super_block, 8193);
	ck_assert(hostfs_readonly(src.fs));
	ck_assert(hostfs_raw_unwritten(src.fs));
	ck_assert(blkdev_geometry(src.stack.bottom)->readonly);
	ck_assert_int_eq(hostsource_close(&src), 0);
	hostimg_free(img);
}
END_TEST

START_TEST(deleted_files_are_for_those_who_ask)
{
	struct hostimg *img = make("-t ext4 -b 1024");

	hostimg_edit(img, "rm f\n");
	for (unsigned asked = 0; asked <= 1; asked++) {
		struct hostfile *hf;

		open_ok(img, (struct hostsource_options){
				     .stack.readonly = true,
				     .deleted = asked,
			     });
		hf = hostfile_open(src.fs, "<12>", 4096, NULL);
		ck_assert_int_eq(hf != NULL, asked);
		hostfile_close(hf);
		ck_assert_int_eq(hostsource_close(&src), 0);
	}
	hostimg_free(img);
}
END_TEST

/* While somebody else reads it, a writer would be told that it is in use. */
START_TEST(the_journals_device_is_only_read)
{
	struct hostimg *img = make("-t ext4 -b 1024");
	struct hostimg *journal = make("-b 1024 -t ext2");
	g_autofree char *path = g_strdup(hostimg_path(journal));
	g_autoptr(GError) error = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(flock(fd, LOCK_SH), 0);
	ck_assert(!try_open(hostimg_path(img),
			    (struct hostsource_options){
				    .stack.readonly = true,
				    .journal = path,
			    },
			    &error));
	/* It has one inside: as far as that it came. */
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE),
		      "%s", error->message);
	close(fd);
	hostimg_free(journal);
	hostimg_free(img);
}
END_TEST

static uint32_t last_orphan(struct blkdev *dev)
{
	struct ext2_super_block super;

	ck_assert_int_eq(
		blkdev_pread(dev, &super, sizeof(super), dev_off_at(1024)), 0);
	ck_assert(!(super.s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER));
	return super.s_last_orphan;
}

/* Dirty, with an orphan that is not in its log. */
static void make_dirty(struct bed *bed)
{
	bed_init(bed, &kinds[PLAIN]);
	bed_super(bed->dirty)->s_last_orphan = 12;
	hostimg_store(bed->img, bed->dirty, bed->size);
}

START_TEST(beside_its_source_a_host_is_recovered_and_keeps_its_orphans)
{
	g_autofree uint8_t *source = NULL;
	g_autofree char *cow = NULL;
	struct bed bed;
	size_t len;

	make_dirty(&bed);
	cow = g_build_filename(hostimg_dir(bed.img), "changes", NULL);
	for (unsigned day = 1; day <= 2; day++) {
		open_ok(bed.img,
			(struct hostsource_options){ .stack.cow = cow });
		ck_assert(!hostfs_readonly(src.fs));
		ck_assert_uint_eq(last_orphan(src.stack.dev), 12);
		ck_assert_int_eq(hostsource_close(&src), 0);
	}
	source = hostimg_bytes(bed.img, &len);
	ck_assert_uint_eq(len, bed.size);
	ck_assert(!memcmp(source, bed.dirty, len));
	bed_clear(&bed);
}
END_TEST

START_TEST(without_changes_elsewhere_it_is_left_to_its_owner)
{
	g_autofree uint8_t *source = NULL;
	g_autoptr(GError) error = NULL;
	struct bed bed;
	size_t len;

	make_dirty(&bed);
	ck_assert(!try_open(hostimg_path(bed.img),
			    (struct hostsource_options){ .norecovery = false },
			    &error));
	ck_assert_int_eq(error->code, RAWMAP_ERROR_DIRTY);
	source = hostimg_bytes(bed.img, &len);
	ck_assert(!memcmp(source, bed.dirty, len));
	bed_clear(&bed);
}
END_TEST

START_TEST(a_log_that_is_damaged_is_told_as_that)
{
	g_autofree char *cow = NULL;
	g_autoptr(GError) error = NULL;
	struct bed bed;

	bed_init(&bed, &kinds[PLAIN]);
	cow = g_build_filename(hostimg_dir(bed.img), "changes", NULL);
	bed_journal_super(&bed, bed.dirty)->header.magic = be32_of(1);
	hostimg_store(bed.img, bed.dirty, bed.size);
	ck_assert(!try_open(hostimg_path(bed.img),
			    (struct hostsource_options){ .stack.cow = cow },
			    &error));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR,
				      RAWMAP_ERROR_CORRUPT),
		      "%s", error->message);
	bed_clear(&bed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/hostsource");
	TCase *tc = tcase_create("hostsource");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, options_of_the_host_reach_it);
	tcase_add_test(tc, deleted_files_are_for_those_who_ask);
	tcase_add_test(tc, the_journals_device_is_only_read);
	tcase_add_test(
		tc,
		beside_its_source_a_host_is_recovered_and_keeps_its_orphans);
	tcase_add_test(tc, without_changes_elsewhere_it_is_left_to_its_owner);
	tcase_add_test(tc, a_log_that_is_damaged_is_told_as_that);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
