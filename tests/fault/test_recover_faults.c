/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Nth device operation of a recovery fails. It says so, and then the host
 * can still be recovered, by the same again or by e2fsck -p, with all that was
 * flushed; the second one leaves the same bytes as one that met no failure.
 *
 * The log to be recovered has several transactions, revokes among them, and one
 * that was cut off; a part of them is home already.
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
	{ FAULTDEV_WRITE, ENOSPC, FAULTDEV_PERSISTENT },
	{ FAULTDEV_WRITE, EIO, FAULTDEV_ONCE | FAULTDEV_SHORT },
	{ FAULTDEV_READ, EIO, FAULTDEV_ONCE },
	{ FAULTDEV_READ, EIO, FAULTDEV_PERSISTENT },
	{ FAULTDEV_FLUSH, EIO, FAULTDEV_ONCE },
	{ FAULTDEV_ANY, EIO, FAULTDEV_PERSISTENT },
};

#define SAMPLE 6
#define JUDGED 2

static unsigned journals[G_N_ELEMENTS(kinds)], n_journals;

static bool recover(struct bed *bed, struct recover_report *ret, GError **error)
{
	const struct recover_options opt = { 0 };

	return hostfs_recover(bed->h.dev, &opt, ret, error);
}

static void scatter(struct bed *bed, uint64_t first)
{
	for (uint64_t i = 0; i < 14; i++)
		ck_assert_int_eq(bed_write(bed, (first + 9 * i) * KIB, KIB), 0);
}

/*
 * What is left when a server is killed; or, @failed, when a commit of its failed
 * before, and the journal knows. It is what the next lives start from.
 */
static void make_dirty(struct bed *bed, bool failed)
{
	GError *error = NULL;

	bed_reset(bed);
	ck_assert(bed_open(bed, &error));
	bed_listen(bed);
	scatter(bed, 60);
	ck_assert_int_eq(hostfs_tick(bed->h.fs), 0);
	ck_assert_int_eq(hostfs_tick(bed->h.fs), 0);
	scatter(bed, 300);
	ck_assert_int_eq(bed_flush(bed), 0);
	/* Tree blocks go: revokes. */
	ck_assert_int_eq(bed_punch(bed, 60 * KIB, 190 * KIB), 0);
	ck_assert_int_eq(bed_truncate(bed, 280 * KIB), 0);
	ck_assert_int_eq(bed_flush(bed), 0);
	ck_assert_int_eq(bed_write(bed, 200 * KIB, 30 * KIB), 0);
	ck_assert_int_eq(bed_flush(bed), 0);
	ck_assert_int_eq(bed_write(bed, 100 * KIB, 5 * KIB), 0);
	if (failed) {
		faultdev_arm(bed->h.dev, FAULTDEV_FLUSH, 1, EIO, FAULTDEV_ONCE);
		ck_assert_int_ne(bed_flush(bed), 0);
		faultdev_disarm(bed->h.dev);
	}
	imagehost_abandon(&bed->h);
	ck_assert_uint_eq(bed_heard(bed, "rawmap: "), failed);
	ck_assert(needs_recovery(bed_bytes(bed)));
	bed_take_snapshot(bed);
}

/* Not failing; returns the bytes, *ret_n operations of the kind. */
static GBytes *reference(struct bed *bed, const struct fault *f, bool failed,
			 uint64_t *ret_n)
{
	struct recover_report report;
	GError *error = NULL;

	bed_reset(bed);
	faultdev_arm(bed->h.dev, f->kind, UINT64_MAX, EIO, 0);
	ck_assert_msg(recover(bed, &report, &error), "%s",
		      error ? error->message : "");
	ck_assert(report.needed);
	ck_assert_uint_ge(report.transactions, 3);
	ck_assert_int_eq(report.had_error, failed);
	ck_assert_int_eq(has_error(bed_bytes(bed)), failed);
	ck_assert_int_eq(is_clean(bed_bytes(bed)), !failed);
	*ret_n = faultdev_count(bed->h.dev, f->kind);
	ck_assert_uint_gt(*ret_n, 0);
	judge_host(bed, true);
	return memdev_snapshot(bed->h.mem);
}

/*
 * The number of the next transaction may be another one: whoever finds the
 * journal empty, but needs_recovery set, skips one.
 */
static bool is_sequence(const uint8_t *bytes, size_t at)
{
	static const uint8_t super[] = { 0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 4 };

	at &= ~(size_t)3;
	return at >= 24 && !memcmp(bytes + at - 24, super, sizeof(super));
}

static void judge_same(struct bed *bed, GBytes *want)
{
	const uint8_t *a = bed_bytes(bed), *b = g_bytes_get_data(want, NULL);

	for (size_t i = 0; i < g_bytes_get_size(want); i++)
		if (a[i] != b[i] && !is_sequence(b, i))
			ck_abort_msg("byte %zu is %#x, not %#x", i, a[i], b[i]);
}

static void fail_at(struct bed *bed, const struct fault *f, uint64_t nth,
		    GBytes *want, bool tools)
{
	struct recover_report report;
	g_autoptr(GError) error = NULL;
	bool torn;

	bed_reset(bed);
	bed->torn = f->flags & FAULTDEV_SHORT;
	faultdev_arm(bed->h.dev, f->kind, nth, f->err, f->flags);
	if (recover(bed, &report, &error)) {
		/* Reading ahead is a wish. */
		ck_assert(f->kind == FAULTDEV_READ);
		ck_assert(!(f->flags & FAULTDEV_PERSISTENT));
		judge_same(bed, want);
		return;
	}
	ck_assert(faultdev_fired(bed->h.dev));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_IO),
		      "%s", error->message);
	g_clear_error(&error);
	if (f->flags & FAULTDEV_PERSISTENT)
		ck_assert(!recover(bed, &report, &error));
	g_clear_error(&error);
	faultdev_disarm(bed->h.dev);
	torn = bed->torn && is_torn(bed_bytes(bed));
	if (tools || torn)
		judge_host(bed, tools);
	if (torn)
		return;
	ck_assert_msg(recover(bed, &report, &error), "again: %s",
		      error ? error->message : "");
	judge_same(bed, want);
}

START_TEST(a_recovery_that_failed_can_be_done_again)
{
	const unsigned n_faults = G_N_ELEMENTS(faults);
	const struct kind *kind = &kinds[journals[(unsigned)_i / 2 / n_faults]];
	const struct fault *f = &faults[(unsigned)_i / 2 % n_faults];
	bool failed = _i & 1;
	bool full = g_getenv("RAWMAP_FULL") != NULL;
	uint32_t seed = crashlab_seed((uint32_t)_i);
	GRand *rand = g_rand_new_with_seed(seed);
	struct bed *bed = bed_new(kind);
	GBytes *want;
	uint64_t n;

	make_dirty(bed, failed);
	want = reference(bed, f, failed, &n);
	fprintf(stderr,
		"# %s%s, kind %d, error %d, flags %u: RAWMAP_SEED=%u, %lu"
		" operations\n",
		kind->mkfs, failed ? ", error recorded" : "", (int)f->kind,
		f->err, f->flags, seed, (unsigned long)n);
	for (uint64_t nth = 1; nth <= n; nth++)
		if (full || n <= SAMPLE ||
		    g_rand_double_range(rand, 0, (double)n) < SAMPLE)
			fail_at(bed, f, nth, want,
				full || g_rand_double_range(
						rand, 0,
						(double)MIN(n, SAMPLE)) <
						JUDGED);
	g_bytes_unref(want);
	bed_free(bed);
	g_rand_free(rand);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("recover_faults");
	TCase *tc = tcase_create("recover_faults");
	SRunner *sr;
	int failed;

	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
		if (kinds[i].journal)
			journals[n_journals++] = i;
	tcase_add_loop_test(tc, a_recovery_that_failed_can_be_done_again, 0,
			    (int)(n_journals * G_N_ELEMENTS(faults) * 2));
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
