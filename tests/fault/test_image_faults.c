/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Nth device operation in the life of a mount fails, from opening the host
 * to closing it. Each life goes on to its end:
 *
 *   a failed open        names the source's error, and has written nothing
 *   a failed change      did not happen, or may be there; the next one works
 *   a failed commit      is said once; every later change answers -EROFS, reads
 *                        go on
 *   at the end           the host is what judge_host() says: a clean one is
 *                        sound; another one is refused, and recovers, by
 *                        hostfs_recover() and by e2fsck -p, to what was flushed
 *
 * All N with RAWMAP_FULL, else a sample; RAWMAP_SEED repeats it.
 */
#include "fault_bed.h"
#include "fault_judge.h"

#include <stdio.h>

struct fault {
	enum faultdev_kind kind;
	int err;
	unsigned flags;
};

static const struct fault faults[] = {
	{ FAULTDEV_WRITE, EIO, FAULTDEV_ONCE },
	{ FAULTDEV_WRITE, EIO, FAULTDEV_PERSISTENT },
	{ FAULTDEV_WRITE, EIO, FAULTDEV_ONCE | FAULTDEV_SHORT },
	{ FAULTDEV_WRITE, ENOSPC, FAULTDEV_PERSISTENT | FAULTDEV_SHORT },
	{ FAULTDEV_WRITE, ENOSPC, FAULTDEV_ONCE },
	{ FAULTDEV_READ, EIO, FAULTDEV_ONCE },
	{ FAULTDEV_READ, EIO, FAULTDEV_PERSISTENT },
	{ FAULTDEV_FLUSH, EIO, FAULTDEV_ONCE },
	{ FAULTDEV_FLUSH, ENOSPC, FAULTDEV_PERSISTENT },
	{ FAULTDEV_DISCARD, EIO, FAULTDEV_ONCE },
	{ FAULTDEV_DISCARD, EIO, FAULTDEV_PERSISTENT },
	{ FAULTDEV_ZERO, EIO, FAULTDEV_ONCE },
	{ FAULTDEV_ZERO, ENOSPC, FAULTDEV_PERSISTENT },
	{ FAULTDEV_ANY, EIO, FAULTDEV_PERSISTENT },
};

/* Lives in a sample, and how many of them e2fsck judges: it is slow. */
#define SAMPLE 4

static unsigned judged(const struct fault *f)
{
	return f->kind == FAULTDEV_WRITE || f->kind == FAULTDEV_FLUSH ? 3 : 1;
}

/* ---- the life ---- */

static int fill(struct bed *bed)
{
	return bed_write(bed, 120064, 30016);
}

static int overwrite(struct bed *bed)
{
	return bed_write(bed, 9024, 20032);
}

static int overwrite_new(struct bed *bed)
{
	return bed_write(bed, 125056, 3008);
}

static int punch(struct bed *bed)
{
	return bed_punch(bed, 130112, 8000);
}

static int commit(struct bed *bed)
{
	return hostfs_commit(bed->h.fs);
}

static int tick(struct bed *bed)
{
	return hostfs_tick(bed->h.fs);
}

static int grow(struct bed *bed)
{
	return bed_write(bed, 300032, 12032);
}

static int grow_empty(struct bed *bed)
{
	return bed_truncate(bed, 420 * KIB);
}

/* Single blocks, so that the map becomes a tree. */
static int scatter(struct bed *bed)
{
	int err = 0;

	for (unsigned i = 0; i < 10 && !err; i++)
		err = bed_write(bed, (160 + 9 * i) * KIB, KIB);
	return err;
}

static int zero(struct bed *bed)
{
	return bed_zero(bed, 40 * KIB + 64, 12032);
}

static int allocate(struct bed *bed)
{
	int err = image_allocate(bed->h.img, img_off_at(64 * KIB), 20 * KIB,
				 true);

	return err == -EOPNOTSUPP && !bed->kind->extents ? 0 : err;
}

static int write_allocated(struct bed *bed)
{
	return bed_write(bed, 70 * KIB, 3 * KIB);
}

static int shrink(struct bed *bed)
{
	return bed_truncate(bed, 150 * KIB + 64);
}

static int punch_all(struct bed *bed)
{
	return bed_punch(bed, 0, 150 * KIB + 64);
}

static int settle(struct bed *bed)
{
	int err = hostfs_settle(bed->h.fs);

	if (!err)
		bed_flushed(bed);
	return err;
}

struct step {
	const char *name;
	int (*run)(struct bed *bed);
	bool changes; /* -EROFS, on a broken host */
};

static const struct step steps[] = {
	{ "fill", fill, true },
	{ "overwrite", overwrite, true },
	{ "flush", bed_flush, true },
	{ "scatter", scatter, true },
	{ "overwrite what is new", overwrite_new, true },
	{ "punch", punch, true },
	{ "commit", commit, true },
	{ "punch again", punch, true },
	{ "grow", grow, true },
	{ "tick", tick, true },
	{ "checkpoint", tick, true },
	{ "grow by a hole", grow_empty, true },
	{ "zero", zero, true },
	{ "allocate", allocate, true },
	{ "flush", bed_flush, true },
	{ "fill what is allocated", write_allocated, true },
	{ "shrink", shrink, true },
	{ "flush", bed_flush, true },
	{ "flush nothing", bed_flush, true },
	{ "scatter again", scatter, true },
	{ "settle", settle, false },
	{ "fill again", fill, true },
	{ "commit", commit, true },
	{ "punch everything", punch_all, true },
	{ "commit", commit, true },
	{ "fill after the discards", fill, true },
	{ "flush", bed_flush, true },
	{ "grow to the end", grow, true },
};

static void run_steps(struct bed *bed, const struct fault *f)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
		const struct step *s = &steps[i];
		bool broken = hostfs_broken(bed->h.fs);
		int err = s->run(bed);

		if (broken && s->changes)
			ck_assert_msg(err == -EROFS,
				      "step %u, %s: %d on a broken host", i,
				      s->name, err);
		if (broken)
			ck_assert_int_ne(err, 0);
		ck_assert_msg(!err || faultdev_fired(bed->h.dev),
			      "step %u, %s: %d without a reason", i, s->name,
			      err);
		if (f->kind != FAULTDEV_READ && f->kind != FAULTDEV_ANY)
			judge_image(&bed->live, bed->h.img, s->name);
	}
}

/* ---- one life ---- */

static void judge_failed_open(struct bed *bed, GError *error)
{
	ck_assert(faultdev_fired(bed->h.dev));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_IO),
		      "%s", error->message);
	ck_assert_mem_eq(bed_bytes(bed), g_bytes_get_data(bed->snapshot, NULL),
			 g_bytes_get_size(bed->snapshot));
}

/* What came of the failure, in the host that is still open. */
static void judge_open_host(struct bed *bed, const struct fault *f)
{
	if (f->kind == FAULTDEV_FLUSH && faultdev_fired(bed->h.dev))
		ck_assert(hostfs_broken(bed->h.fs));
	if (f->kind == FAULTDEV_DISCARD)
		ck_assert(!hostfs_broken(bed->h.fs));
	faultdev_disarm(bed->h.dev);
	judge_image(&bed->live, bed->h.img, "when all is over");
	imagehost_check_map(&bed->h);
}

/* Closing included; a broken host cannot be closed clean. */
static bool end_life(struct bed *bed, const struct fault *f, bool closes)
{
	bool broken;
	int err;

	if (!closes) {
		judge_open_host(bed, f);
		broken = hostfs_broken(bed->h.fs);
		imagehost_abandon(&bed->h);
		return broken;
	}
	broken = hostfs_broken(bed->h.fs);
	err = imagehost_close(&bed->h);
	ck_assert_msg(!err || faultdev_fired(bed->h.dev),
		      "closed with %d without a reason", err);
	ck_assert(!broken || err);
	if (!err) {
		bed_flushed(bed);
		ck_assert(is_clean(bed_bytes(bed)));
	}
	faultdev_disarm(bed->h.dev);
	return err != 0;
}

static void live(struct bed *bed, const struct fault *f, uint64_t nth,
		 bool closes, bool tools)
{
	g_autoptr(GError) error = NULL;
	bool broken;
	unsigned said;

	bed_reset(bed);
	bed->must_have_error = false;
	bed->torn = f->flags & FAULTDEV_SHORT;
	faultdev_arm(bed->h.dev, f->kind, nth, f->err, f->flags);
	if (!bed_open(bed, &error)) {
		judge_failed_open(bed, error);
		return;
	}
	bed_listen(bed);
	run_steps(bed, f);
	broken = end_life(bed, f, closes);
	said = bed_heard(bed, "is now read-only");
	ck_assert_msg(said == broken, "%s, and said so %u times",
		      broken ? "broken" : "not broken", said);
	/* Whoever could still say so on the source did. */
	bed->must_have_error = broken && !(f->flags & FAULTDEV_PERSISTENT);
	judge_host(bed, tools);
}

/* ---- all of them ---- */

/* How many operations a life has that meets no failure; it is judged, too. */
static uint64_t count(struct bed *bed, const struct fault *f)
{
	uint64_t n;

	live(bed, f, UINT64_MAX, true, true);
	n = faultdev_count(bed->h.dev, f->kind);
	/* An extent map has unwritten blocks, and zeroes few. */
	ck_assert(n || (f->kind == FAULTDEV_ZERO && bed->kind->extents));
	return n;
}

static void all(struct bed *bed, const struct fault *f, uint64_t n)
{
	for (uint64_t nth = 1; nth <= n; nth++) {
		live(bed, f, nth, true, true);
		ck_assert(faultdev_fired(bed->h.dev));
		live(bed, f, nth, false, true);
	}
}

/* One from each of as many parts, so that no stage of a life is left out. */
static void sample(struct bed *bed, const struct fault *f, uint64_t n,
		   GRand *rand)
{
	unsigned parts = (unsigned)MIN(n, SAMPLE);
	unsigned every = SAMPLE / judged(f);
	unsigned tools = (unsigned)g_rand_int_range(rand, 0, (int32_t)every);

	for (unsigned i = 0; i < parts; i++) {
		int32_t lo = (int32_t)(n * i / parts);
		int32_t hi = (int32_t)(n * (i + 1) / parts);
		uint64_t nth = (uint64_t)g_rand_int_range(rand, lo, hi) + 1;

		live(bed, f, nth, g_rand_boolean(rand), i % every == tools);
	}
}

START_TEST(a_failed_device_operation_loses_nothing_that_was_flushed)
{
	const struct kind *kind = &kinds[(unsigned)_i / G_N_ELEMENTS(faults)];
	const struct fault *f = &faults[(unsigned)_i % G_N_ELEMENTS(faults)];
	uint32_t seed = crashlab_seed((uint32_t)_i);
	GRand *rand = g_rand_new_with_seed(seed);
	struct bed *bed = bed_new(kind);
	uint64_t n = count(bed, f);

	fprintf(stderr,
		"# %s, kind %d, error %d, flags %u: RAWMAP_SEED=%u, %lu"
		" operations\n",
		kind->mkfs, (int)f->kind, f->err, f->flags, seed,
		(unsigned long)n);
	if (g_getenv("RAWMAP_FULL"))
		all(bed, f, n);
	else
		sample(bed, f, n, rand);
	bed_free(bed);
	g_rand_free(rand);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("image_faults");
	TCase *tc = tcase_create("image_faults");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(
		tc, a_failed_device_operation_loses_nothing_that_was_flushed, 0,
		G_N_ELEMENTS(kinds) * G_N_ELEMENTS(faults));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
