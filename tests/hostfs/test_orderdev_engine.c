/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The whole engine under the watcher of the write-ahead order: random fills,
 * punches, sizes and commits on hosts with the shortest log there is, over
 * several sessions. In the end e2fsck agrees, too.
 */
#include <rawmap/dev/blkdev.h>
#include <rawmap/hostfs/hostfs.h>

#include <support/maprig.h>
#include <support/orderdev.h>

#include <check.h>

#define MIB   (UINT64_C(1) << 20)
#define STEPS 1600

static const char *const kinds[] = {
	"-t ext3 -b 1024 -J size=1",
	"-t ext4 -b 1024 -J size=1",
	"-t ext4 -b 1024 -J size=1 -O ^metadata_csum,^64bit",
	"-t ext3 -b 4096 -J size=4",
};

/* The numbers of one session. */
static struct orderdev_stats session(struct maprig *rig)
{
	g_autoptr(blkdev) order = NULL;
	struct orderdev_stats s;

	maprig_open(rig, orderdev_new);
	order = blkdev_ref(rig->dev);
	for (unsigned i = 1; i <= STEPS; i++) {
		maprig_random(rig, 60);
		if (i % 8 == 0)
			ck_assert_int_eq(hostfs_sync(rig->fs), 0);
	}
	maprig_verify(rig);
	maprig_judge(rig);
	orderdev_stats(order, &s);
	return s;
}

START_TEST(engine_keeps_the_order)
{
	struct maprig *rig = maprig_new(kinds[_i], 24 * MIB, 4000);
	uint64_t copies = 0, tails = 0, home = 0;

	maprig_judge(rig);
	for (unsigned i = 0; i < 3; i++) {
		struct orderdev_stats s = session(rig);

		ck_assert(s.journal);
		ck_assert_uint_ge(s.transactions, STEPS / 10);
		ck_assert_uint_ge(s.copies, STEPS / 2);
		ck_assert_uint_ge(s.revokes, 2);
		copies += s.copies;
		tails += s.tails;
		home += s.home_writes;
	}
	/* More than the ends of the sessions; a lap is lazy. */
	ck_assert_uint_gt(tails, 3 * 2);
	ck_assert_uint_ge(home, 20);
	ck_assert_uint_lt(home, copies);
	maprig_free(rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine under the order device");
	TCase *tc = tcase_create("engine");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, engine_keeps_the_order, 0, G_N_ELEMENTS(kinds));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
