/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * As test_journal_loss.c, on hosts of other shapes: larger blocks, many groups,
 * a log that starts over all the time, no space.
 */
#include <support/crashlab.h>

#include <check.h>
#include <glib.h>
#include <stdlib.h>

#define MIB (UINT64_C(1) << 20)
#define HOST1K                                                                 \
	.host_size = 8 * MIB, .block_size = 1024, .dense = 1200, .far = 65804, \
	.ops = 200
#define HOST2K                                                                \
	.host_size = 12 * MIB, .block_size = 2048, .dense = 900, .far = 4000, \
	.ops = 160
#define HOST4K                                                                 \
	.host_size = 14 * MIB, .block_size = 4096, .dense = 1300, .far = 2000, \
	.ops = 160
/* The shortest log that is written to: some transactions fill a lap. */
#define SHORT                                                                  \
	.host_size = 8 * MIB, .block_size = 1024, .dense = 1200, .far = 65804, \
	.ops = 500, .log_blocks = 256
#define FULL                                                                 \
	.host_size = 5 * MIB, .block_size = 1024, .dense = 900, .far = 1000, \
	.ops = 160, .full = true

static const struct crashlab_spec kinds[] = {
	{ .mkfs = "-t ext3 -b 4096", HOST4K },
	{ .mkfs = "-t ext4 -b 4096 -I 128 -O ^metadata_csum", HOST4K },
	{ .mkfs = "-t ext4 -b 4096", HOST4K, .csum = 2 },
	{ .mkfs = "-t ext4 -b 4096", HOST4K, .csum = 2, .is_64bit = true },
	{ .mkfs = "-t ext4 -b 4096", HOST4K, .csum = 3 },
	{ .mkfs = "-t ext4 -b 4096",
	  HOST4K,
	  .csum = 3,
	  .is_64bit = true,
	  .discard = true },
	{ .mkfs = "-t ext3 -b 2048", HOST2K },
	{ .mkfs = "-t ext3 -b 1024 -g 1024 -O ^resize_inode", HOST1K },
	{ .mkfs = "-t ext4 -b 1024 -g 1024 -O ^resize_inode",
	  HOST1K,
	  .csum = 3 },
	{ .mkfs = "-t ext3 -b 1024", HOST1K, .pins = true },
	{ .mkfs = "-t ext4 -b 1024", HOST1K, .csum = 3, .pins = true },
	{ .mkfs = "-t ext3 -b 1024", SHORT },
	{ .mkfs = "-t ext4 -b 1024", SHORT, .csum = 3 },
	{ .mkfs = "-t ext4 -b 1024 -g 1024 -O ^resize_inode",
	  SHORT,
	  .csum = 2,
	  .churn = true },
	{ .mkfs = "-t ext4 -b 1024", FULL, .csum = 3 },
	{ .mkfs = "-t ext4 -b 1024", FULL, .csum = 2, .churn = true },
	{ .mkfs = "-t ext3 -b 1024", FULL },
	{ .mkfs = "-t ext3 -b 1024", FULL, .churn = true },
};

START_TEST(every_power_loss_leaves_one_side_of_a_commit)
{
	crashlab_check(&kinds[_i], (uint32_t)_i, 60);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("journal_shapes");
	TCase *tc = tcase_create("journal_shapes");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, every_power_loss_leaves_one_side_of_a_commit, 0,
			    G_N_ELEMENTS(kinds));
	/* A run that hangs is ended by ctest. */
	tcase_set_timeout(tc, 0);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
