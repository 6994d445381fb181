/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copy on write and power losses.
 *
 * A random workload runs on a store that is recorded. Then every state that a
 * power loss could have left is built: all changes of the epochs before, and of
 * one epoch any subset where it has few changes, else prefixes, all but one,
 * each alone, and random ones; a change may be torn between sectors. Each state
 * is opened and judged sector by sector:
 *
 *   - it holds what the last flush that had returned covers, or what an
 *     operation wrote that had begun since; a discard: that or MEMDEV_DISCARDED
 *   - part of a cluster is written then: the rest of it stays as it was read
 *
 * The header is made in the same way: each state either opens and shows the
 * source, or has zeros in its first sector, by which cow_open() knows it.
 *
 * To show that this would see a fault, the store leaves out one of the flushes
 * that it is asked for: then states must be bad.
 */
#include "cow_bed.h"

#include "support/recdev.h"

#include <stdio.h>
#include <stdlib.h>

#define SECTOR	    512u
#define SECTORS	    (40u * 8 + 3)
#define SIZE	    (SECTORS * SECTOR)
#define ALL_SAMPLES (3u << 20) /* a source that fills the header */
#define OPS	    60u
#define SUBSETS_TO  3u /* changes of an epoch: 4 ^ 3 states */
#define RANDOM	    40u

/* ---- the store between: leaves flushes out, and has work come in ---- */

struct between {
	struct blkdev dev; /* first */
	struct blkdev *lower;
	unsigned flushes;    /* since the last reset */
	unsigned leave_out;  /* which one, from 1 on; 0: none */
	void (*after)(void); /* once, behind the next flush */
};

static struct between *between_of(struct blkdev *dev)
{
	return (struct between *)dev;
}

static int between_pread(struct blkdev *dev, void *buf, size_t len, dev_off pos)
{
	return blkdev_pread(between_of(dev)->lower, buf, len, pos);
}

static int between_pwrite(struct blkdev *dev, const void *buf, size_t len,
			  dev_off pos)
{
	return blkdev_pwrite(between_of(dev)->lower, buf, len, pos);
}

static int between_flush(struct blkdev *dev)
{
	struct between *b = between_of(dev);
	void (*after)(void) = b->after;
	int err = 0;

	if (++b->flushes != b->leave_out)
		err = blkdev_flush(b->lower);
	b->after = NULL;
	if (after)
		after();
	return err;
}

static int between_discard(struct blkdev *dev, uint64_t len, dev_off pos)
{
	return blkdev_discard(between_of(dev)->lower, len, pos);
}

static int between_zero(struct blkdev *dev, uint64_t len, dev_off pos)
{
	return blkdev_zero(between_of(dev)->lower, len, pos);
}

static void between_close(struct blkdev *dev)
{
	blkdev_unref(between_of(dev)->lower);
	g_free(dev);
}

static struct blkdev *between_new(struct blkdev *lower)
{
	static const struct blkdev_ops ops = {
		.name = "between",
		.pread = between_pread,
		.pwrite = between_pwrite,
		.flush = between_flush,
		.discard = between_discard,
		.zero = between_zero,
		.close = between_close,
	};
	struct between *b = g_new0(struct between, 1);

	blkdev_init(&b->dev, &ops, blkdev_geometry(lower));
	b->lower = blkdev_ref(lower);
	return &b->dev;
}

/* ---- the workload ---- */

enum deed { WRITE, ZERO, DISCARD, FLUSH };

struct op {
	enum deed deed;
	unsigned first, n;    /* sectors */
	unsigned began, over; /* epochs */
};

static struct {
	struct cow_bed bed;
	struct blkdev *rec, *between;
	GBytes *start; /* the store's bytes when the record began */
	GRand *rand;
	struct op op[OPS + 1]; /* from 1 on; 0 is the source */
	unsigned ops;
	unsigned states, bad;
	struct blkdev *crashed;
	uint8_t *state; /* the bytes of that */
} lab;

static unsigned epoch_now(void)
{
	return recdev_epochs(lab.rec) - 1;
}

/* What operation @op makes of @sector; 0: the source has it. */
static void content(unsigned op, unsigned sector, uint8_t *buf)
{
	if (!op)
		memcpy(buf, lab.bed.bytes + sector * SECTOR, SECTOR);
	else if (lab.op[op].deed == ZERO)
		memset(buf, 0, SECTOR);
	else if (lab.op[op].deed == DISCARD)
		memset(buf, MEMDEV_DISCARDED, SECTOR);
	else
		for (unsigned i = 0; i < SECTOR; i += 4) {
			uint32_t word = op << 24 | sector << 8 | i / 4;

			memcpy(buf + i, &word, 4);
		}
}

static struct op op_random(void)
{
	struct op op = { .deed = WRITE };
	guint32 dice = g_rand_int(lab.rand) % 16;

	if (dice < 3)
		op.deed = FLUSH;
	else if (dice == 3)
		op.deed = DISCARD;
	else if (dice < 6)
		op.deed = ZERO;
	op.first = g_rand_int(lab.rand) % SECTORS;
	op.n = 1 + g_rand_int(lab.rand) % (dice % 2 ? 6 : 24);
	if (dice % 3 == 0)
		op.first &= ~7u;
	op.n = MIN(op.n, SECTORS - op.first);
	return op;
}

/* Only where there are two, one of them is left out. */
static void count_flushes(void)
{
	struct cow_info info;

	ck_assert(cow_info(lab.bed.cow, &info));
	between_of(lab.between)->flushes = info.settled ? 2 : 0;
}

static int do_op(unsigned n)
{
	const struct op *op = &lab.op[n];
	dev_off pos = dev_off_at(op->first * SECTOR);
	g_autofree uint8_t *buf = g_malloc(op->n * SECTOR);

	switch (op->deed) {
	case ZERO:
		return blkdev_zero(lab.bed.cow, op->n * SECTOR, pos);
	case DISCARD:
		return blkdev_discard(lab.bed.cow, op->n * SECTOR, pos);
	case FLUSH:
		count_flushes();
		return blkdev_flush(lab.bed.cow);
	case WRITE:
		break;
	}
	for (unsigned i = 0; i < op->n; i++)
		content(n, op->first + i, buf + i * SECTOR);
	return blkdev_pwrite(lab.bed.cow, buf, op->n * SECTOR, pos);
}

static void run_op(struct op op)
{
	unsigned n = ++lab.ops;

	op.began = epoch_now();
	lab.op[n] = op;
	ck_assert_int_eq(do_op(n), 0);
	lab.op[n].over = epoch_now();
}

/* In the middle of a flush: it does not cover this. */
static void run_write(void)
{
	struct op op = op_random();

	op.deed = WRITE;
	if (lab.ops < OPS)
		run_op(op);
}

static void lab_init(uint64_t size, guint32 seed, unsigned leave_out)
{
	memset(&lab, 0, sizeof(lab));
	lab.rand = g_rand_new_with_seed(seed);
	bed_init(&lab.bed, size, seed);
	bed_close(&lab.bed);
	lab.start = memdev_snapshot(lab.bed.store);
	lab.crashed = memdev_new(g_bytes_get_size(lab.start), SECTOR);
	lab.state = memdev_bytes(lab.crashed);
	lab.rec = recdev_new(lab.bed.store);
	lab.between = between_new(lab.rec);
	between_of(lab.between)->leave_out = leave_out;
}

static void lab_clear(void)
{
	bed_clear(&lab.bed);
	blkdev_unref(lab.between);
	blkdev_unref(lab.rec);
	g_bytes_unref(lab.start);
	blkdev_unref(lab.crashed);
	g_rand_free(lab.rand);
}

static void lab_work(void)
{
	bed_open_on(&lab.bed, lab.between, false);
	while (lab.ops < OPS) {
		struct op op = op_random();

		if (op.deed == FLUSH && g_rand_int(lab.rand) % 3)
			between_of(lab.between)->after = run_write;
		run_op(op);
		between_of(lab.between)->after = NULL;
	}
	/* What closing does is no operation; it was cut off. */
}

/* ---- judging ---- */

struct window {
	unsigned base; /* the last flush that returned; 0: none */
	unsigned last; /* the last operation that had begun */
};

static struct window window_at(unsigned epoch)
{
	struct window w = { 0, 0 };

	for (unsigned i = 1; i <= lab.ops; i++) {
		if (lab.op[i].began <= epoch)
			w.last = i;
		if (lab.op[i].deed == FLUSH && lab.op[i].over <= epoch)
			w.base = i;
	}
	return w;
}

static bool touches(const struct op *op, unsigned sector)
{
	return op->deed != FLUSH && sector >= op->first &&
	       sector - op->first < op->n;
}

/* From the latest on down to the one that must be there, if no later is. */
static bool may_hold(struct window w, unsigned sector, const uint8_t *got)
{
	uint8_t want[SECTOR];

	for (unsigned i = w.last; i > 0; i--) {
		if (!touches(&lab.op[i], sector))
			continue;
		content(i, sector, want);
		if (!memcmp(got, want, SECTOR))
			return true;
		if (i <= w.base && lab.op[i].deed != DISCARD)
			return false;
	}
	content(0, sector, want);
	return !memcmp(got, want, SECTOR);
}

/* Write a sector: its cluster keeps the others. */
static bool keeps_others(struct blkdev *cow, uint8_t *bytes)
{
	unsigned sector = g_rand_int(lab.rand) % SECTORS;
	uint8_t *now = bytes + SIZE;

	memset(bytes + sector * SECTOR, 'n', SECTOR);
	return !blkdev_pwrite(cow, bytes + sector * SECTOR, SECTOR,
			      dev_off_at(sector * SECTOR)) &&
	       !blkdev_pread(cow, now, SIZE, dev_off_at(0)) &&
	       !memcmp(bytes, now, SIZE);
}

/* lab.crashed, as it is in epoch @epoch. */
static bool is_good(unsigned epoch)
{
	g_autofree uint8_t *bytes = g_malloc(2 * (size_t)SIZE);
	struct window w = window_at(epoch);
	g_autoptr(GError) error = NULL;
	g_autoptr(blkdev) cow = NULL;

	cow = bed_try(&lab.bed, lab.crashed, false, &error);
	if (!cow || blkdev_pread(cow, bytes, SIZE, dev_off_at(0)))
		return false;
	for (unsigned i = 0; i < SECTORS; i++)
		if (!may_hold(w, i, bytes + i * SECTOR))
			return false;
	return keeps_others(cow, bytes);
}

static void try_state(unsigned epoch, const enum recdev_fate *fates,
		      bool (*judge)(unsigned epoch))
{
	memcpy(lab.state, g_bytes_get_data(lab.start, NULL),
	       g_bytes_get_size(lab.start));
	recdev_replay(lab.rec, epoch, fates, lab.state);
	lab.states++;
	lab.bad += !judge(epoch);
}

static void try_all(unsigned epoch, enum recdev_fate *fates, size_t n,
		    bool (*judge)(unsigned epoch))
{
	for (size_t mask = 0; mask < (size_t)1 << 2 * n; mask++) {
		for (size_t i = 0; i < n; i++)
			fates[i] = (enum recdev_fate)(mask >> 2 * i & 3);
		try_state(epoch, fates, judge);
	}
}

static void try_some(unsigned epoch, enum recdev_fate *fates, size_t n,
		     bool (*judge)(unsigned epoch))
{
	for (size_t k = 0; k <= n; k++) {
		for (size_t i = 0; i < n; i++)
			fates[i] = i < k ? RECDEV_KEPT : RECDEV_LOST;
		try_state(epoch, fates, judge);
	}
	for (size_t k = 0; k < 2 * n; k++) {
		for (size_t i = 0; i < n; i++)
			fates[i] = (i == k / 2) == (k % 2) ? RECDEV_KEPT
							   : RECDEV_LOST;
		try_state(epoch, fates, judge);
	}
	for (unsigned k = 0; k < RANDOM; k++) {
		for (size_t i = 0; i < n; i++)
			fates[i] = (enum recdev_fate)(g_rand_int(lab.rand) % 4);
		try_state(epoch, fates, judge);
	}
}

static void judge_all(bool (*judge)(unsigned epoch))
{
	for (unsigned e = 0; e < recdev_epochs(lab.rec); e++) {
		size_t n = recdev_changes(lab.rec, e);
		g_autofree enum recdev_fate *fates =
			g_new0(enum recdev_fate, n + 1);

		if (n <= SUBSETS_TO)
			try_all(e, fates, n, judge);
		else
			try_some(e, fates, n, judge);
	}
}

/* @_i: the seed */
START_TEST(every_crash_leaves_what_flushes_promised)
{
	lab_init(SIZE, (guint32)_i, 0);
	lab_work();
	judge_all(is_good);
	printf("seed %d: %u states\n", _i, lab.states);
	ck_assert_uint_eq(lab.bad, 0);
	ck_assert_uint_gt(lab.states, 100);
	lab_clear();
}
END_TEST

/* @_i: 1: the one in front of the bitmap; 2: the one behind it */
START_TEST(without_one_of_its_flushes_crashes_would_show)
{
	unsigned bad = 0;

	for (guint32 seed = 0; seed < 2; seed++) {
		lab_init(SIZE, seed, (unsigned)_i);
		lab_work();
		judge_all(is_good);
		printf("without flush %d: %u of %u states are bad\n", _i,
		       lab.bad, lab.states);
		bad += lab.bad;
		lab_clear();
	}
	ck_assert_uint_gt(bad, 0);
}
END_TEST

/* ---- the header ---- */

static bool is_whole_or_nothing(unsigned epoch)
{
	g_autoptr(GError) error = NULL;
	struct blkdev *cow;

	(void)epoch;
	if (bytes_are_zero(lab.state, SECTOR))
		return true;
	cow = bed_try(&lab.bed, lab.crashed, false, &error);
	blkdev_unref(cow);
	return cow != NULL;
}

static void make_recorded(unsigned leave_out)
{
	lab_init(ALL_SAMPLES, 1, leave_out);
	memset(memdev_bytes(lab.bed.store), 0, 4096);
	g_bytes_unref(lab.start);
	lab.start = memdev_snapshot(lab.bed.store);
	bed_open_on(&lab.bed, lab.between, true);
	judge_all(is_whole_or_nothing);
	printf("making, without flush %u: %u of %u states are bad\n", leave_out,
	       lab.bad, lab.states);
}

START_TEST(a_crash_while_it_is_made_leaves_all_or_nothing)
{
	make_recorded(0);
	ck_assert_uint_eq(lab.bad, 0);
	ck_assert_uint_gt(lab.states, 4);
	lab_clear();
}
END_TEST

START_TEST(without_its_first_flush_a_crash_would_leave_half_of_it)
{
	make_recorded(1);
	ck_assert_uint_gt(lab.bad, 0);
	lab_clear();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cow crash");
	TCase *tc = tcase_create("cow crash");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, every_crash_leaves_what_flushes_promised, 0, 8);
	tcase_add_loop_test(tc, without_one_of_its_flushes_crashes_would_show,
			    1, 3);
	tcase_add_test(tc, a_crash_while_it_is_made_leaves_all_or_nothing);
	tcase_add_test(tc,
		       without_its_first_flush_a_crash_would_leave_half_of_it);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
