/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power losses in the middle of a random workload: whatever state the disk is
 * left in, e2fsck -p makes it a sound host, and the image holds what its users
 * were promised. See support/crashlab.h for what a state is and what is asked
 * of it. Every seed is printed.
 */
#include <support/crashlab.h>

#include <check.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB (UINT64_C(1) << 20)

static const struct crashlab_spec kinds[] = {
	{ "-t ext2 -b 1024", 6 * MIB, 1024, 1200, 65804, 90, false },
	{ "-t ext3 -b 1024", 6 * MIB, 1024, 1200, 65804, 90, false },
	{ "-t ext4 -b 1024", 6 * MIB, 1024, 1200, 65804, 90, false },
	{ "-t ext4 -b 1024 -O ^has_journal", 6 * MIB, 1024, 1200, 65804, 90,
	  false },
	{ "-t ext4 -b 1024 -O ^metadata_csum,^64bit", 6 * MIB, 1024, 1200,
	  65804, 90, false },
	{ "-t ext4 -b 4096 -I 128 -O ^metadata_csum", 16 * MIB, 4096, 1200,
	  2000, 90, false },
	{ "-t ext3 -b 4096", 12 * MIB, 4096, 600, 2000, 90, false },
	{ "-t ext2 -b 1024 -g 1024 -O ^resize_inode", 6 * MIB, 1024, 1200,
	  65804, 90, false },
	{ "-t ext4 -b 1024 -g 1024 -O ^resize_inode", 6 * MIB, 1024, 1200,
	  65804, 90, false },
};

/* Without a free block an extent tree has to be changed in place. */
static const struct crashlab_spec full_kinds[] = {
	{ "-t ext4 -b 1024", 4 * MIB, 1024, 900, 1000, 90, true },
	{ "-t ext4 -b 1024 -O ^has_journal,^metadata_csum", 4 * MIB, 1024, 900,
	  1000, 90, true },
};

struct amount {
	unsigned runs, quota;
};

static struct amount amount(void)
{
	if (g_getenv("RAWMAP_FULL"))
		return (struct amount){ 12, 2500 };
	return (struct amount){ 2, 160 };
}

static void say(const struct crashlab_spec *spec, uint32_t seed,
		const struct crashlab_result *r)
{
	fprintf(stderr,
		"# %s: RAWMAP_SEED=%u: %u of %u states, %u repaired (%u by"
		" force), %u read by debugfs, %u bad\n",
		spec->mkfs, seed, r->states, r->possible, r->repaired,
		r->forced, r->dumped, r->bad);
}

static void judge_runs(const struct crashlab_spec *spec, uint32_t salt)
{
	struct amount much = amount();

	for (unsigned i = 0; i < much.runs; i++) {
		uint32_t seed = crashlab_seed(salt) + i;
		struct crashlab *lab;
		struct crashlab_result r;

		fprintf(stderr, "# %s: RAWMAP_SEED=%u\n", spec->mkfs, seed);
		lab = crashlab_run(spec, seed);
		crashlab_judge(lab, CRASHLAB_SOUND, much.quota, &r);
		say(spec, seed, &r);
		ck_assert_msg(!r.bad, "RAWMAP_SEED=%u: %u of %u states: %s",
			      seed, r.bad, r.states, r.first);
		ck_assert_uint_gt(r.repaired, 0);
		crashlab_free(lab);
	}
}

START_TEST(every_power_loss_leaves_what_was_promised)
{
	judge_runs(&kinds[_i], (uint32_t)_i);
}
END_TEST

START_TEST(a_full_host_can_be_repaired_without_loss)
{
	judge_runs(&full_kinds[_i], (uint32_t)_i);
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
	/* A run that hangs is ended by ctest. */
	tcase_set_timeout(tc, 0);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
