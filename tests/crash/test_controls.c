/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Can the laboratory see? It judges the states of programs that have a fault,
 * which it puts into the record of a sound one, and has to find them bad.
 */
#include <support/crashlab.h>

#include <check.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB (UINT64_C(1) << 20)

static const struct crashlab_spec kinds[] = {
	{ "-t ext2 -b 1024", 6 * MIB, 1024, 1200, 65804, 60, false },
	{ "-t ext4 -b 1024", 6 * MIB, 1024, 1200, 65804, 60, false },
};

/* Judges a sample with @fault; the caller looks at what was wrong first. */
static char *bad_states_of(int kind, enum crashlab_fault fault)
{
	uint32_t seed = crashlab_seed((uint32_t)kind);
	struct crashlab *lab;
	struct crashlab_result r;

	fprintf(stderr, "# %s, fault %d: RAWMAP_SEED=%u\n", kinds[kind].mkfs,
		fault, seed);
	lab = crashlab_run(&kinds[kind], seed);
	crashlab_judge(lab, fault, 60, &r);
	crashlab_free(lab);
	fprintf(stderr, "# %u of %u states are bad: %s\n", r.bad, r.states,
		r.first ? r.first : "");
	ck_assert_msg(r.bad, "RAWMAP_SEED=%u: none of %u states is bad", seed,
		      r.states);
	return r.first;
}

START_TEST(a_commit_without_a_flush_in_the_middle_is_found_out)
{
	g_free(bad_states_of(_i, CRASHLAB_NO_FLUSH));
}
END_TEST

START_TEST(data_that_goes_out_behind_the_commit_is_found_out)
{
	g_free(bad_states_of(_i, CRASHLAB_LATE_DATA));
}
END_TEST

START_TEST(a_host_that_is_not_marked_is_found_out)
{
	/* Of the kind without checksums, which would tell on their own. */
	g_autofree char *wrong = bad_states_of(0, CRASHLAB_NO_MARK);

	ck_assert_msg(g_strrstr(wrong, "marked clean"), "%s", wrong);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("controls");
	TCase *tc = tcase_create("controls");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc,
			    a_commit_without_a_flush_in_the_middle_is_found_out,
			    0, G_N_ELEMENTS(kinds));
	tcase_add_loop_test(tc,
			    data_that_goes_out_behind_the_commit_is_found_out,
			    0, G_N_ELEMENTS(kinds));
	tcase_add_test(tc, a_host_that_is_not_marked_is_found_out);
	/* A run that hangs is ended by ctest. */
	tcase_set_timeout(tc, 0);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
