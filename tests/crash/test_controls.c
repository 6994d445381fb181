/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Can the laboratory see? It judges the states of programs that have a fault,
 * which it puts into the record of a sound one, and has to find them bad. Each
 * says what it found.
 */
#include <support/crashlab.h>

#include <check.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL                                                              \
	.host_size = UINT64_C(6) << 20, .block_size = 1024, .dense = 1200, \
	.far = 65804, .ops = 60
#define LARGE                                                              \
	.host_size = UINT64_C(8) << 20, .block_size = 1024, .dense = 1200, \
	.far = 65804, .ops = 160
#define TIGHT                                                             \
	.host_size = UINT64_C(5) << 20, .block_size = 1024, .dense = 900, \
	.far = 1000, .ops = 400, .full = true, .churn = true

/* Half of them do for the rarest fault. */
#define TRIES 12

/* Without a journal. */
static const struct crashlab_spec ordered[] = {
	{ .mkfs = "-t ext2 -b 1024", SMALL },
	{ .mkfs = "-t ext4 -b 1024 -O ^has_journal", SMALL },
};

/* Trees of single blocks change most; sums would tell much on their own. */
static const struct crashlab_spec journal[] = {
	{ .mkfs = "-t ext3 -b 1024", LARGE, .churn = true },
	{ .mkfs = "-t ext4 -b 1024", LARGE, .churn = true },
};

/* Hardly a block is free: what a tree gave back is data at once. */
static const struct crashlab_spec tight[] = {
	{ .mkfs = "-t ext3 -b 1024", TIGHT },
	{ .mkfs = "-t ext4 -b 1024", TIGHT, .csum = 3 },
};

static const struct crashlab_spec journal_sums = {
	.mkfs = "-t ext4 -b 1024",
	LARGE,
	.csum = 3,
	.churn = true,
};

/*
 * Judges a sample with @fault. Not every workload meets with every fault: some
 * are tried. @words: what has to be wrong with the first bad state; NULL:
 * anything.
 */
static void must_be_found(const struct crashlab_spec *spec,
			  enum crashlab_fault fault, const char *words)
{
	g_autofree char *what = crashlab_describe(spec);
	uint32_t seed = crashlab_seed((uint32_t)fault);
	unsigned states = 0;
	bool found = false;

	for (unsigned i = 0; i < TRIES && !found; i++, seed++) {
		struct crashlab *lab = crashlab_run(spec, seed);
		struct crashlab_result r;

		crashlab_judge(lab, fault, crashlab_is_slow() ? 40 : 80, &r);
		crashlab_free(lab);
		fprintf(stderr,
			"# %s, fault %d: RAWMAP_SEED=%u: %u of %u states are"
			" bad: %.200s\n",
			what, fault, seed, r.bad, r.states,
			r.first ? r.first : "");
		found = r.bad && (!words || strstr(r.first, words));
		states += r.states;
		g_free(r.first);
	}
	ck_assert_msg(found, "%s, fault %d: RAWMAP_SEED=%u: none of %u states",
		      what, fault, seed, states);
}

START_TEST(a_commit_without_a_flush_in_the_middle_is_found_out)
{
	must_be_found(&ordered[_i], CRASHLAB_NO_FLUSH, NULL);
}
END_TEST

START_TEST(data_that_goes_out_behind_the_commit_is_found_out)
{
	must_be_found(&ordered[_i], CRASHLAB_LATE_DATA, NULL);
}
END_TEST

START_TEST(a_host_that_is_not_marked_is_found_out)
{
	/* Of the kind without checksums, which would tell on their own. */
	must_be_found(&ordered[0], CRASHLAB_NO_MARK, "marked clean");
}
END_TEST

START_TEST(a_log_that_is_not_there_yet_is_found_out)
{
	must_be_found(&journal[_i], CRASHLAB_NO_FLUSH, NULL);
}
END_TEST

START_TEST(a_damaged_log_under_checksums_is_found_out)
{
	must_be_found(&journal_sums, CRASHLAB_NO_FLUSH, NULL);
}
END_TEST

START_TEST(data_behind_the_commit_block_is_found_out)
{
	/* Stale bytes, in a file that is sound otherwise. */
	must_be_found(&journal[_i], CRASHLAB_LATE_DATA, "5a5a5a5a 5a5a5a5a");
}
END_TEST

START_TEST(a_journal_that_is_not_marked_is_found_out)
{
	must_be_found(&journal[_i], CRASHLAB_NO_MARK, "marked clean");
}
END_TEST

START_TEST(a_missing_revoke_is_found_out)
{
	must_be_found(&tight[_i], CRASHLAB_NO_REVOKE, "allowed were");
}
END_TEST

START_TEST(freed_blocks_that_are_used_too_early_are_found_out)
{
	must_be_found(&journal[_i], CRASHLAB_EARLY_REUSE, "what operation");
}
END_TEST

START_TEST(a_log_that_starts_over_too_early_is_found_out)
{
	struct crashlab_spec spec = journal[_i];

	spec.log_blocks = 256;
	spec.ops = 400;
	must_be_found(&spec, CRASHLAB_EARLY_TAIL, NULL);
}
END_TEST

START_TEST(metadata_that_goes_home_too_early_is_found_out)
{
	must_be_found(&journal[_i], CRASHLAB_EARLY_HOME, NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("controls");
	TCase *tc = tcase_create("ordered");
	SRunner *sr;
	int failed, n = G_N_ELEMENTS(ordered);

	tcase_add_loop_test(
		tc, a_commit_without_a_flush_in_the_middle_is_found_out, 0, n);
	tcase_add_loop_test(
		tc, data_that_goes_out_behind_the_commit_is_found_out, 0, n);
	tcase_add_test(tc, a_host_that_is_not_marked_is_found_out);
	/* A run that hangs is ended by ctest. */
	tcase_set_timeout(tc, 0);
	suite_add_tcase(s, tc);

	tc = tcase_create("journal");
	n = G_N_ELEMENTS(journal);
	tcase_add_loop_test(tc, a_log_that_is_not_there_yet_is_found_out, 0, n);
	tcase_add_test(tc, a_damaged_log_under_checksums_is_found_out);
	tcase_add_loop_test(tc, data_behind_the_commit_block_is_found_out, 0,
			    n);
	tcase_add_loop_test(tc, a_journal_that_is_not_marked_is_found_out, 0,
			    n);
	tcase_add_loop_test(tc, a_missing_revoke_is_found_out, 0, n);
	tcase_add_loop_test(
		tc, freed_blocks_that_are_used_too_early_are_found_out, 0, n);
	tcase_add_loop_test(tc, a_log_that_starts_over_too_early_is_found_out,
			    0, n);
	tcase_add_loop_test(tc, metadata_that_goes_home_too_early_is_found_out,
			    0, n);
	tcase_set_timeout(tc, 0);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
