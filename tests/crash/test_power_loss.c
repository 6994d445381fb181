/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power losses in the middle of a random workload, on hosts without a journal:
 * whatever state the disk is left in, e2fsck -p makes it a sound host, and the
 * image holds what its users were promised. See support/crashlab.h for what a
 * state is and what is asked of it. Every seed is printed.
 */
#include <support/crashlab.h>

#include <check.h>
#include <glib.h>
#include <stdlib.h>

#define MIB (UINT64_C(1) << 20)
#define HOST                                                                   \
	.host_size = 6 * MIB, .block_size = 1024, .dense = 1200, .far = 65804, \
	.ops = 90

static const struct crashlab_spec kinds[] = {
	{ .mkfs = "-t ext2 -b 1024", HOST },
	{ .mkfs = "-t ext2 -b 1024", HOST, .discard = true, .churn = true },
	{ .mkfs = "-t ext2 -b 1024", HOST, .pins = true },
	{ .mkfs = "-t ext4 -b 1024 -O ^has_journal", HOST },
	{ .mkfs = "-t ext4 -b 1024 -O ^has_journal", HOST, .pins = true },
	{ .mkfs = "-t ext4 -b 1024 -O ^has_journal,^metadata_csum", HOST },
	{ .mkfs = "-t ext2 -b 1024 -g 1024 -O ^resize_inode", HOST },
	{ .mkfs = "-t ext4 -b 4096 -I 128 -O ^has_journal",
	  .host_size = 12 * MIB,
	  .block_size = 4096,
	  .dense = 1200,
	  .far = 2000,
	  .ops = 90 },
};

/* Without a free block an extent tree has to be changed in place. */
static const struct crashlab_spec full_kinds[] = {
	{ .mkfs = "-t ext4 -b 1024 -O ^has_journal,^metadata_csum",
	  .host_size = 4 * MIB,
	  .block_size = 1024,
	  .dense = 900,
	  .far = 1000,
	  .ops = 90,
	  .full = true },
};

START_TEST(every_power_loss_leaves_what_was_promised)
{
	crashlab_check(&kinds[_i], (uint32_t)_i, 60);
}
END_TEST

START_TEST(a_full_host_can_be_repaired_without_loss)
{
	crashlab_check(&full_kinds[_i], (uint32_t)_i, 60);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("power_loss");
	TCase *tc = tcase_create("power_loss");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, every_power_loss_leaves_what_was_promised, 0,
			    G_N_ELEMENTS(kinds));
	/* A run that hangs is ended by ctest. */
	tcase_set_timeout(tc, 0);
	suite_add_tcase(s, tc);
	tc = tcase_create("full_host");
	tcase_add_loop_test(tc, a_full_host_can_be_repaired_without_loss, 0,
			    G_N_ELEMENTS(full_kinds));
	tcase_set_timeout(tc, 0);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
