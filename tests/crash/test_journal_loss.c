/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power losses on hosts with a journal: whatever state the disk is left in, it
 * is, once recovered, that before a commit or that behind it, whoever recovers
 * it. Here are blocks of 1 KiB, whose trees are deep; test_journal_shapes.c has
 * the others. See support/crashlab.h.
 */
#include <support/crashlab.h>

#include <check.h>
#include <glib.h>
#include <stdlib.h>

#define HOST                                                               \
	.host_size = UINT64_C(8) << 20, .block_size = 1024, .dense = 1200, \
	.far = 65804, .ops = 200

static const struct crashlab_spec kinds[] = {
	{ .mkfs = "-t ext3 -b 1024", HOST },
	{ .mkfs = "-t ext3 -b 1024", HOST, .churn = true, .discard = true },
	{ .mkfs = "-t ext3 -b 1024", HOST, .is_64bit = true },
	{ .mkfs = "-t ext4 -b 1024", HOST },
	{ .mkfs = "-t ext4 -b 1024", HOST, .csum = 2 },
	{ .mkfs = "-t ext4 -b 1024", HOST, .csum = 2, .is_64bit = true },
	{ .mkfs = "-t ext4 -b 1024", HOST, .csum = 3 },
	{ .mkfs = "-t ext4 -b 1024", HOST, .csum = 3, .is_64bit = true },
	{ .mkfs = "-t ext4 -b 1024",
	  HOST,
	  .csum = 3,
	  .churn = true,
	  .discard = true },
	{ .mkfs = "-t ext4 -b 1024 -O ^metadata_csum,^64bit",
	  HOST,
	  .churn = true },
};

START_TEST(every_power_loss_leaves_one_side_of_a_commit)
{
	crashlab_check(&kinds[_i], (uint32_t)_i, 80);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("journal_loss");
	TCase *tc = tcase_create("journal_loss");
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
