/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The recovery is cut off: by a power loss anywhere, by a device that fails.
 * Whoever comes next, rawmap or e2fsck, ends with the same host.
 */
#include "recover_bed.h"

#include <support/faultdev.h>
#include <support/recdev.h>

#include <errno.h>

#define SUBSETS 8 /* random ones an epoch */

/* ext3 has no checksum in the journal's superblock: an error is easily set. */
#define PLAIN 2

static const struct recover_options no_options = { .name = NULL };

/* Recover, and record it. @dirty is what was there before. */
static struct blkdev *record(const struct bed *bed)
{
	g_autoptr(blkdev) dev = bed_device(bed, bed->dirty);
	struct blkdev *rec = recdev_new(dev);
	struct recover_report report;
	GError *error = NULL;

	ck_assert_msg(hostfs_recover(rec, &no_options, &report, &error), "%s",
		      error ? error->message : "?");
	ck_assert(report.needed);
	return rec;
}

/*
 * Both ways from the state that a crash left. With an error in the journal
 * e2fsck looks at everything, and changes more than a replay does.
 */
static void judge(struct bed *bed, const uint8_t *state, bool had_error)
{
	struct recover_report report;
	GError *error = NULL;
	g_autoptr(blkdev) dev = bed_device(bed, state);
	g_autofree uint8_t *theirs = NULL;
	uint8_t *ours = memdev_bytes(dev);
	size_t len;

	ck_assert_msg(hostfs_recover(dev, &no_options, &report, &error), "%s",
		      error ? error->message : "?");
	bed_expect_after(bed, ours, "recover");
	bed_expect_clean(bed, ours);
	if (had_error)
		ck_assert(bed_super(ours)->s_state & EXT2_ERROR_FS);
	hostimg_store(bed->img, state, bed->size);
	ck_assert_int_le(hostimg_preen(bed->img, NULL), 1);
	theirs = hostimg_bytes(bed->img, &len);
	if (!had_error)
		bed_expect_after(bed, theirs, "e2fsck");
}

static void init(struct bed *bed, unsigned kind, bool had_error)
{
	bed_init(bed, &kinds[kind]);
	if (had_error)
		bed_journal_super(bed, bed->dirty)->error = be32_of(5);
}

/* ---- power loss ---- */

static void judge_prefixes(struct bed *bed, struct blkdev *rec, bool had_error)
{
	g_autoptr(GPtrArray) events = recdev_events(rec);
	g_autofree uint8_t *state = g_malloc(bed->size);

	/* Copies, flush, journal, flush, superblock, flush, at least. */
	ck_assert_uint_ge(events->len, 6);
	for (size_t n = 0; n <= events->len; n++) {
		memcpy(state, bed->dirty, bed->size);
		recdev_replay_prefix(rec, n, state);
		judge(bed, state, had_error);
	}
}

/* The seed is the epoch's number: what fails once fails again. */
static void judge_subsets(struct bed *bed, struct blkdev *rec, bool had_error)
{
	g_autofree uint8_t *state = g_malloc(bed->size);

	for (unsigned epoch = 0; epoch < recdev_epochs(rec); epoch++) {
		size_t n = recdev_changes(rec, epoch);
		g_autofree enum recdev_fate *fates =
			g_new(enum recdev_fate, n + 1);
		g_autoptr(GRand) rand = g_rand_new_with_seed(epoch);

		for (unsigned i = 0; n && i < SUBSETS; i++) {
			for (size_t k = 0; k < n; k++)
				fates[k] = (enum recdev_fate)g_rand_int_range(
					rand, RECDEV_LOST, RECDEV_TAIL + 1);
			memcpy(state, bed->dirty, bed->size);
			recdev_replay(rec, epoch, fates, state);
			judge(bed, state, had_error);
		}
	}
}

static const struct {
	unsigned kind;
	bool had_error;
} crashes[] = { { 0, false }, { 1, false }, { 2, false }, { PLAIN, true } };

START_TEST(a_crash_after_any_write_loses_nothing)
{
	bool had_error = crashes[_i].had_error;
	struct bed bed;

	init(&bed, crashes[_i].kind, had_error);
	{
		g_autoptr(blkdev) rec = record(&bed);

		judge_prefixes(&bed, rec, had_error);
	}
	bed_clear(&bed);
}
END_TEST

START_TEST(a_crash_with_writes_out_of_order_loses_nothing)
{
	bool had_error = crashes[_i].had_error;
	struct bed bed;

	init(&bed, crashes[_i].kind, had_error);
	{
		g_autoptr(blkdev) rec = record(&bed);

		judge_subsets(&bed, rec, had_error);
	}
	bed_clear(&bed);
}
END_TEST

/* ---- a device that fails ---- */

static void expect_told(const GError *error)
{
	ck_assert_msg(error->code == RAWMAP_ERROR_IO &&
			      strstr(error->message, g_strerror(EIO)) &&
			      strstr(error->message, "'the source'"),
		      "code %d: %s", error->code, error->message);
}

/*
 * False when it got through without being hit. Else it said so, or could do
 * without what failed (reading ahead); and runs again.
 */
static bool fail_once(struct bed *bed, enum faultdev_kind kind, uint64_t nth,
		      unsigned flags)
{
	struct recover_report report = { .blocks = 4711 };
	g_autoptr(GError) error = NULL;
	g_autoptr(blkdev) dev = bed_device(bed, bed->dirty);
	g_autoptr(blkdev) faulty = faultdev_new(dev);
	bool done, fired;

	faultdev_arm(faulty, kind, nth, EIO, flags);
	done = hostfs_recover(faulty, &no_options, &report, &error);
	fired = faultdev_fired(faulty);
	if (!done) {
		ck_assert(fired);
		ck_assert_uint_eq(report.blocks, 4711);
		expect_told(error);
		g_clear_error(&error);
		faultdev_disarm(faulty);
		ck_assert(hostfs_recover(faulty, &no_options, &report, &error));
	} else {
		ck_assert(!fired ||
			  (kind == FAULTDEV_READ && flags == FAULTDEV_ONCE));
	}
	bed_expect_after(bed, memdev_bytes(dev), "recover");
	bed_expect_clean(bed, memdev_bytes(dev));
	return fired;
}

static const struct {
	enum faultdev_kind kind;
	unsigned flags;
	uint64_t least; /* there are so many at least */
} faults[] = {
	{ FAULTDEV_READ, FAULTDEV_ONCE, 10 },
	{ FAULTDEV_READ, FAULTDEV_PERSISTENT, 10 },
	{ FAULTDEV_WRITE, FAULTDEV_ONCE, 3 },
	{ FAULTDEV_WRITE, FAULTDEV_SHORT, 3 },
	{ FAULTDEV_WRITE, FAULTDEV_PERSISTENT, 3 },
	{ FAULTDEV_FLUSH, FAULTDEV_ONCE, 3 },
};

START_TEST(every_failing_request_is_told_and_survived)
{
	uint64_t n = 1;
	struct bed bed;

	init(&bed, PLAIN, true);
	while (fail_once(&bed, faults[_i].kind, n, faults[_i].flags))
		n++;
	ck_assert_uint_gt(n, faults[_i].least);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_source_that_cannot_be_written_stays_as_it_is)
{
	struct recover_report report;
	g_autoptr(GError) error = NULL;
	struct bed bed;

	init(&bed, 0, false);
	{
		g_autoptr(blkdev)
			dev = memdev_new_readonly(bed.dirty, bed.size, 512);

		ck_assert(!hostfs_recover(dev, &no_options, &report, &error));
		ck_assert_int_eq(error->code, RAWMAP_ERROR_IO);
		ck_assert_msg(strstr(error->message, g_strerror(EROFS)) != NULL,
			      "%s", error->message);
		ck_assert_mem_eq(memdev_bytes(dev), bed.dirty, bed.size);
	}
	bed_clear(&bed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/recover_crash");
	TCase *tc = tcase_create("recover_crash");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, a_crash_after_any_write_loses_nothing, 0,
			    G_N_ELEMENTS(crashes));
	tcase_add_loop_test(tc, a_crash_with_writes_out_of_order_loses_nothing,
			    0, G_N_ELEMENTS(crashes));
	tcase_add_loop_test(tc, every_failing_request_is_told_and_survived, 0,
			    G_N_ELEMENTS(faults));
	tcase_add_test(tc, a_source_that_cannot_be_written_stays_as_it_is);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
