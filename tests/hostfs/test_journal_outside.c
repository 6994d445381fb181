/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Journals on another device: which are taken for the host's, what is seen
 * through them, and what is said of the others. mke2fs makes the devices,
 * debugfs the logs; only the bond of the two, which tune2fs would make for block
 * devices alone, is made by hand.
 */
#include "difflog.h"
#include "replayed_bed.h"

#include <rawmap/base/crc32c.h>
#include <rawmap/base/endian.h>
#include <rawmap/hostfs/recover.h>
#include <rawmap/jbd/format.h>

#include <support/faultdev.h>
#include <support/memdev.h>

#include <ext2fs/ext2_fs.h>
#include <errno.h>
#include <stdlib.h>

#define JOURNAL_BLOCKS 1024u

static const struct shape {
	const char *mkfs;
	uint32_t bs;
	const char *journal_open;
} shapes[] = {
	{ "-t ext4 -b 4096 -O ^has_journal", 4096, "" },
	{ "-t ext4 -b 1024 -O ^has_journal", 1024, "-c -v 3" },
	{ "-t ext3 -b 2048 -O ^has_journal", 2048, "" },
	{ "-t ext3 -b 1024 -O ^has_journal", 1024, "" },
};

#define N_SHAPES ((int)G_N_ELEMENTS(shapes))
#define PLAIN	 0 /* no checksums in the journal, nor in its superblock */

struct bed {
	const struct shape *shape;
	struct hostimg *img, *journal;
	uint8_t *before, *after, *bytes; /* of the host; bytes: with its log */
	uint8_t *log;			 /* of the journal's device */
	size_t size, log_size;
};

static struct ext2_super_block *ext_super(uint8_t *bytes)
{
	return (void *)(bytes + 1024);
}

static struct jbd_super *journal_super(const struct bed *bed, uint8_t *bytes)
{
	uint32_t bs = bed->shape->bs;

	return (void *)(bytes + (bs == 1024 ? 2 : 1) * bs);
}

static char *uuid_text(const uint8_t *u)
{
	return g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
			       "%02x%02x%02x%02x%02x%02x",
			       u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7],
			       u[8], u[9], u[10], u[11], u[12], u[13], u[14],
			       u[15]);
}

static void make_journal(struct bed *bed)
{
	g_autofree char *mkfs =
		g_strdup_printf("-O journal_dev -b %u", bed->shape->bs);
	const struct hostimg_spec spec = {
		.mkfs = mkfs,
		.size = JOURNAL_BLOCKS * bed->shape->bs,
	};

	bed->journal = hostimg_make(&spec);
}

/* The host knows its journal, the journal its host. */
static void tie(struct bed *bed)
{
	size_t len;
	g_autofree uint8_t *host = hostimg_bytes(bed->img, &len);
	g_autofree uint8_t *log = hostimg_bytes(bed->journal, &len);
	g_autofree char *uuid = uuid_text(ext_super(log)->s_uuid);
	struct jbd_super *super = journal_super(bed, log);

	ck_assert_uint_eq(be32_get(super->header.magic), JBD_MAGIC);
	super->nr_users = be32_of(1);
	memcpy(super->users, ext_super(host)->s_uuid, 16);
	hostimg_store(bed->journal, log, len);
	hostimg_edit(bed->img,
		     "feature has_journal\nssv journal_inum 0\n"
		     "ssv journal_dev 0x0701\nssv journal_uuid %s\n",
		     uuid);
}

static void refresh(struct bed *bed)
{
	g_free(bed->bytes);
	g_free(bed->log);
	bed->bytes = hostimg_bytes(bed->img, &bed->size);
	bed->log = hostimg_bytes(bed->journal, &bed->log_size);
}

static void bed_init(struct bed *bed, const struct shape *shape)
{
	const struct hostimg_spec spec = { .mkfs = shape->mkfs,
					   .size = shape->bs * 8192 };
	g_autofree char *how = NULL;
	struct difflog d = { .bs = shape->bs, .end = UINT64_MAX };

	*bed = (struct bed){ .shape = shape, .img = hostimg_make(&spec) };
	make_journal(bed);
	tie(bed);
	bed->before = hostimg_bytes(bed->img, &bed->size);
	hostimg_put_comb(bed->img, "new", 2, shape->bs, 30);
	bed->after = hostimg_bytes(bed->img, &bed->size);
	how = g_strdup_printf("%s -f %s", shape->journal_open,
			      hostimg_path(bed->journal));
	d.img = bed->img;
	d.open = how;
	d.before = bed->before;
	d.after = bed->after;
	d.size = bed->size;
	difflog_write(&d);
	refresh(bed);
}

static void bed_clear(struct bed *bed)
{
	hostimg_free(bed->img);
	hostimg_free(bed->journal);
	g_free(bed->before);
	g_free(bed->after);
	g_free(bed->bytes);
	g_free(bed->log);
}

static struct blkdev *mem_of(const uint8_t *bytes, size_t len)
{
	struct blkdev *dev = memdev_new(len, 512);

	memcpy(memdev_bytes(dev), bytes, len);
	return dev;
}

static struct hostfs_options options_of(struct blkdev *journal)
{
	return (struct hostfs_options){
		.readonly = true,
		.journal_dev = journal,
	};
}

/* ---- the right one ---- */

START_TEST(host_is_seen_through_it)
{
	struct bed bed;
	struct hostfs *fs;
	struct hostfs_info info;
	g_autofree uint8_t *bytes = NULL;
	size_t len = 0;

	bed_init(&bed, &shapes[_i]);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		g_autoptr(blkdev) mem = mem_of(bed.log, bed.log_size);
		g_autoptr(blkdev) journal = nowritedev_new(mem);
		const struct hostfs_options opt = options_of(journal);

		fs = seen_ok(dev, &opt);
	}
	bytes = seen_bytes(fs, &len);
	for (uint64_t at = 0; at < bed.size; at += 1024)
		ck_assert_msg(at == 1024 ||
				      !memcmp(bytes + at, bed.after + at, 1024),
			      "the KiB at %lu differs", (unsigned long)at);
	g_free(seen_file(fs, "/new", &len));
	ck_assert_uint_gt(len, 30 * bed.shape->bs);
	hostfs_info(fs, &info);
	ck_assert(info.replayed && info.needs_recovery);
	ck_assert_uint_eq(info.replay.transactions, 1);
	hostfs_info_clear(&info);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

START_TEST(norecovery_does_without)
{
	const struct hostfs_options opt = { .readonly = true,
					    .norecovery = true };
	struct bed bed;
	struct hostfs *fs;
	size_t len;
	g_autoptr(blkdev) dev = NULL;

	bed_init(&bed, &shapes[_i]);
	dev = mem_of(bed.bytes, bed.size);
	fs = seen_ok(dev, &opt);
	ck_assert_ptr_null(seen_file(fs, "/new", &len));
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

START_TEST(norecovery_contradicts_it)
{
	const char *const words[] = { "contradicts", "'the source'", NULL };
	struct hostfs_options opt;
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		g_autoptr(blkdev) journal = mem_of(bed.log, bed.log_size);

		opt = options_of(journal);
		opt.norecovery = true;
		seen_refused(dev, &opt, RAWMAP_ERROR_USAGE, words);
	}
	bed_clear(&bed);
}
END_TEST

/* The log stays in use; the host does not say so. */
START_TEST(a_clean_host_is_not_seen_through_it)
{
	struct bed bed;
	struct hostfs *fs;
	struct hostfs_info info;
	size_t len;

	bed_init(&bed, &shapes[_i]);
	hostimg_edit(bed.img, "feature -needs_recovery\n");
	refresh(&bed);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		g_autoptr(blkdev) journal = mem_of(bed.log, bed.log_size);
		const struct hostfs_options opt = options_of(journal);

		fs = seen_ok(dev, &opt);
	}
	ck_assert_ptr_null(seen_file(fs, "/new", &len));
	hostfs_info(fs, &info);
	ck_assert(info.log_ignored && !info.replayed);
	hostfs_info_clear(&info);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_clean_host_needs_none)
{
	struct bed bed;

	bed_init(&bed, &shapes[_i]);
	hostimg_edit(bed.img, "feature -needs_recovery\n");
	refresh(&bed);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		const struct hostfs_options opt = options_of(NULL);

		hostfs_close(seen_ok(dev, &opt));
	}
	bed_clear(&bed);
}
END_TEST

/* Two groups, so that there is a copy of the superblock. */
static const struct shape with_copy = {
	"-t ext3 -b 1024 -O ^has_journal -g 4096", 1024, ""
};
#define COPY 4097

/* tune2fs -J writes the copies, debugfs does not. */
static void bed_by_copy(struct bed *bed)
{
	struct ext2_super_block *super, *copy;

	bed_init(bed, &with_copy);
	super = ext_super(bed->bytes);
	copy = (void *)(bed->bytes + COPY * 1024);
	ck_assert_uint_eq(copy->s_block_group_nr, 1);
	copy->s_feature_compat = super->s_feature_compat;
	memcpy(copy->s_journal_uuid, super->s_journal_uuid, 16);
	copy->s_journal_dev = super->s_journal_dev;
	memset(super, 0, sizeof(*super));
}

START_TEST(host_is_seen_through_it_by_a_copy_of_its_superblock)
{
	struct bed bed;
	struct hostfs *fs;
	size_t len;

	bed_by_copy(&bed);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		g_autoptr(blkdev) journal = mem_of(bed.log, bed.log_size);
		struct hostfs_options opt = options_of(journal);

		opt.super_block = COPY;
		fs = seen_ok(dev, &opt);
	}
	g_free(seen_file(fs, "/new", &len));
	ck_assert_uint_gt(len, 30 * bed.shape->bs);
	hostfs_close(fs);
	bed_clear(&bed);
}
END_TEST

/* What the copy says of the log is of the day it was written. */
START_TEST(without_it_a_copy_of_the_superblock_is_not_enough)
{
	static const char *const words[] = { "-o journal=DEVICE", "a copy",
					     "-o norecovery", NULL };
	struct bed bed;

	bed_by_copy(&bed);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		struct hostfs_options opt = options_of(NULL);

		opt.super_block = COPY;
		seen_refused(dev, &opt, RAWMAP_ERROR_DIRTY, words);
		opt.norecovery = true;
		hostfs_close(seen_ok(dev, &opt));
	}
	bed_clear(&bed);
}
END_TEST

/* ---- others ---- */

/* The host and this journal: refused, with these words. */
static void refused(const struct bed *bed, struct blkdev *journal,
		    enum rawmap_error code, const char *words)
{
	const char *const all[] = { words, "'the source'", "-o norecovery",
				    NULL };
	const struct hostfs_options opt = options_of(journal);
	g_autoptr(blkdev) dev = mem_of(bed->bytes, bed->size);

	seen_refused(dev, &opt, code, all);
}

static void refused_log(const struct bed *bed, enum rawmap_error code,
			const char *words)
{
	g_autoptr(blkdev) journal = mem_of(bed->log, bed->log_size);

	refused(bed, journal, code, words);
}

START_TEST(a_dirty_host_without_it_is_refused)
{
	struct bed bed;

	bed_init(&bed, &shapes[_i]);
	refused(&bed, NULL, RAWMAP_ERROR_DIRTY, "-o journal=DEVICE");
	bed_clear(&bed);
}
END_TEST

START_TEST(what_is_no_journal_is_refused)
{
	struct bed bed;
	g_autoptr(blkdev) zeros = memdev_new(1 << 20, 512);
	g_autoptr(blkdev) nothing = memdev_new(1030, 512);

	bed_init(&bed, &shapes[_i]);
	refused(&bed, zeros, RAWMAP_ERROR_CORRUPT, "holds no journal");
	refused(&bed, nothing, RAWMAP_ERROR_CORRUPT, "holds no journal");
	{
		g_autoptr(blkdev) host = mem_of(bed.bytes, bed.size);

		refused(&bed, host, RAWMAP_ERROR_CORRUPT, "holds no journal");
	}
	journal_super(&bed, bed.log)->header.magic = be32_of(4711);
	refused_log(&bed, RAWMAP_ERROR_CORRUPT, "has no superblock");
	bed_clear(&bed);
}
END_TEST

/* Of the superblock before the journal's; mke2fs gives it none. */
START_TEST(a_device_with_a_wrong_sum_is_refused)
{
	struct ext2_super_block *super;
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	super = ext_super(bed.log);
	super->s_feature_ro_compat |= EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;
	super->s_checksum = crc32c(
		~0u, super, offsetof(struct ext2_super_block, s_checksum));
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		g_autoptr(blkdev) journal = mem_of(bed.log, bed.log_size);
		const struct hostfs_options opt = options_of(journal);

		hostfs_close(seen_ok(dev, &opt));
	}
	super->s_checksum ^= 1;
	refused_log(&bed, RAWMAP_ERROR_CORRUPT, "wrong checksum");
	bed_clear(&bed);
}
END_TEST

START_TEST(the_journal_of_another_host_is_refused)
{
	struct bed bed, other;
	g_autofree char *found = NULL;

	bed_init(&bed, &shapes[_i]);
	bed_init(&other, &shapes[_i]);
	found = uuid_text(ext_super(other.log)->s_uuid);
	{
		g_autoptr(blkdev) journal = mem_of(other.log, other.log_size);

		refused(&bed, journal, RAWMAP_ERROR_NOT_FOUND, found);
	}
	bed_clear(&bed);
	bed_clear(&other);
}
END_TEST

START_TEST(users_other_than_the_host_are_refused)
{
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	journal_super(&bed, bed.log)->users[5] ^= 1;
	refused_log(&bed, RAWMAP_ERROR_NOT_FOUND, "of another filesystem");
	journal_super(&bed, bed.log)->users[5] ^= 1;
	journal_super(&bed, bed.log)->nr_users = be32_of(2);
	refused_log(&bed, RAWMAP_ERROR_UNSUPPORTED, "exactly one");
	journal_super(&bed, bed.log)->nr_users = be32_of(0);
	refused_log(&bed, RAWMAP_ERROR_UNSUPPORTED, "exactly one");
	bed_clear(&bed);
}
END_TEST

START_TEST(a_wrong_checksum_of_its_superblock_is_refused)
{
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	ext_super(bed.log)->s_feature_ro_compat |=
		EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;
	refused_log(&bed, RAWMAP_ERROR_CORRUPT,
		    "damaged superblock (wrong checksum)");
	bed_clear(&bed);
}
END_TEST

START_TEST(a_device_that_cannot_be_read_is_an_io_error)
{
	g_autoptr(blkdev) lower = NULL, fault = NULL;
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	lower = mem_of(bed.log, bed.log_size);
	fault = faultdev_new(lower);
	faultdev_arm(fault, FAULTDEV_READ, 1, EIO, FAULTDEV_ONCE);
	refused(&bed, fault, RAWMAP_ERROR_IO,
		"cannot read the journal's device");
	bed_clear(&bed);
}
END_TEST

/* The command line does not let both pass. */
START_TEST(norecovery_and_a_journal_contradict_each_other)
{
	const char *const words[] = { "contradicts -o norecovery", NULL };
	g_autoptr(blkdev) host = NULL, journal = NULL;
	struct hostfs_options opt;
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	host = mem_of(bed.bytes, bed.size);
	journal = mem_of(bed.log, bed.log_size);
	opt = options_of(journal);
	opt.norecovery = true;
	seen_refused(host, &opt, RAWMAP_ERROR_USAGE, words);
	bed_clear(&bed);
}
END_TEST

START_TEST(blocks_of_another_size_are_refused)
{
	struct bed bed;

	bed_init(&bed, &shapes[PLAIN]);
	ext_super(bed.log)->s_log_block_size = 0;
	/* Where there is a checksum, that is what is seen first. */
	refused_log(&bed, RAWMAP_ERROR_CORRUPT,
		    ext_super(bed.log)->s_feature_ro_compat ? "checksum"
							    : "another size");
	bed_clear(&bed);
}
END_TEST

START_TEST(a_device_cut_short_is_refused)
{
	struct bed bed;

	bed_init(&bed, &shapes[_i]);
	bed.log_size /= 2;
	refused_log(&bed, RAWMAP_ERROR_CORRUPT, "does not lie on the device");
	bed_clear(&bed);
}
END_TEST

/* Shape 1 has checksums: a copy, the third block of the log. */
START_TEST(a_damaged_log_is_refused)
{
	struct bed bed;

	bed_init(&bed, &shapes[1]);
	bed.log[(2 + 1 + 2) * bed.shape->bs + 77] ^= 1;
	refused_log(&bed, RAWMAP_ERROR_CORRUPT, "is damaged in its block 5");
	bed_clear(&bed);
}
END_TEST

START_TEST(one_for_a_host_with_its_own_is_refused)
{
	static const char *const words[] = { "-o journal=", "inside", NULL };
	const struct hostimg_spec spec = { .mkfs = "-t ext4" };
	struct hostimg *img = hostimg_make(&spec);
	g_autoptr(blkdev) dev = hostimg_dev(img, true);
	g_autoptr(blkdev) journal = memdev_new(1 << 20, 512);
	const struct hostfs_options opt = options_of(journal);

	seen_refused(dev, &opt, RAWMAP_ERROR_USAGE, words);
	hostimg_free(img);
}
END_TEST

START_TEST(one_for_a_host_without_a_journal_is_refused)
{
	static const char *const words[] = { "-o journal=", NULL };
	const struct hostimg_spec spec = { .mkfs = "-t ext2" };
	struct hostimg *img = hostimg_make(&spec);
	g_autoptr(blkdev) dev = hostimg_dev(img, true);
	g_autoptr(blkdev) journal = memdev_new(1 << 20, 512);
	const struct hostfs_options opt = options_of(journal);

	seen_refused(dev, &opt, RAWMAP_ERROR_USAGE, words);
	hostimg_free(img);
}
END_TEST

START_TEST(recovery_on_disk_stays_refused)
{
	const struct recover_options opt = { .name = NULL };
	struct recover_report report;
	struct bed bed;
	g_autoptr(GError) error = NULL;

	bed_init(&bed, &shapes[_i]);
	{
		g_autoptr(blkdev) dev = mem_of(bed.bytes, bed.size);
		g_autoptr(blkdev) guard = nowritedev_new(dev);

		ck_assert(!hostfs_recover(guard, &opt, &report, &error));
		ck_assert_int_eq(error->code, RAWMAP_ERROR_UNSUPPORTED);
	}
	bed_clear(&bed);
}
END_TEST

static void add_right(TCase *tc)
{
	tcase_add_loop_test(tc, host_is_seen_through_it, 0, N_SHAPES);
	tcase_add_loop_test(tc, norecovery_does_without, 0, N_SHAPES);
	tcase_add_test(tc, norecovery_contradicts_it);
	tcase_add_loop_test(tc, a_clean_host_is_not_seen_through_it, 0,
			    N_SHAPES);
	tcase_add_loop_test(tc, a_clean_host_needs_none, 0, N_SHAPES);
	tcase_add_test(tc, host_is_seen_through_it_by_a_copy_of_its_superblock);
	tcase_add_test(tc, without_it_a_copy_of_the_superblock_is_not_enough);
}

static void add_others(TCase *tc)
{
	tcase_add_loop_test(tc, a_dirty_host_without_it_is_refused, 0,
			    N_SHAPES);
	tcase_add_loop_test(tc, what_is_no_journal_is_refused, 0, N_SHAPES);
	tcase_add_test(tc, a_device_with_a_wrong_sum_is_refused);
	tcase_add_loop_test(tc, the_journal_of_another_host_is_refused, 0,
			    N_SHAPES);
	tcase_add_test(tc, users_other_than_the_host_are_refused);
	tcase_add_test(tc, blocks_of_another_size_are_refused);
	tcase_add_test(tc, a_wrong_checksum_of_its_superblock_is_refused);
	tcase_add_test(tc, a_device_that_cannot_be_read_is_an_io_error);
	tcase_add_test(tc, norecovery_and_a_journal_contradict_each_other);
	tcase_add_loop_test(tc, a_device_cut_short_is_refused, 0, N_SHAPES);
	tcase_add_test(tc, a_damaged_log_is_refused);
	tcase_add_test(tc, one_for_a_host_with_its_own_is_refused);
	tcase_add_test(tc, one_for_a_host_without_a_journal_is_refused);
	tcase_add_loop_test(tc, recovery_on_disk_stays_refused, 0, N_SHAPES);
}

int main(void)
{
	Suite *suite = suite_create("hostfs/journal_outside");
	TCase *tc = tcase_create("journal_outside");
	SRunner *runner;
	int failed;

	add_right(tc);
	add_others(tc);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
