/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The laboratory as a test uses it. A run is one host and one workload; a line
 * for each says what it had to show.
 */
#include <support/crashlab.h>

#include <check.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>

bool crashlab_is_slow(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return true;
#endif
#endif
	return false;
}

char *crashlab_describe(const struct crashlab_spec *spec)
{
	GString *s = g_string_new(spec->mkfs);

	if (spec->csum)
		g_string_append_printf(s, ", journal csum v%u", spec->csum);
	if (spec->is_64bit)
		g_string_append(s, ", journal 64bit");
	if (spec->log_blocks)
		g_string_append_printf(s, ", a log of %u blocks",
				       spec->log_blocks);
	if (spec->discard)
		g_string_append(s, ", discard");
	if (spec->churn)
		g_string_append(s, ", churn");
	if (spec->pins)
		g_string_append(s, ", pins");
	if (spec->full)
		g_string_append(s, ", full");
	return g_string_free(s, FALSE);
}

struct amount {
	unsigned runs, quota;
};

static struct amount amount(unsigned share)
{
	const char *states = g_getenv("RAWMAP_STATES");
	struct amount much = { 2, 250 };

	if (g_getenv("RAWMAP_FULL"))
		much = (struct amount){ 12, 4000 };
	else if (crashlab_is_slow())
		much = (struct amount){ 1, 50 };
	much.quota = MAX(much.quota * share / 100, 1);
	if (states)
		much.quota = (unsigned)g_ascii_strtoull(states, NULL, 0);
	return much;
}

static void say_traffic(const struct crashlab *lab,
			const struct crashlab_result *r)
{
	struct crashlab_traffic t;

	crashlab_traffic(lab, &t);
	fprintf(stderr,
		"#   log: %u sessions, %u restarts, %u transactions, %u copies,"
		" %u revokes, %u escapes; replayed %" G_GUINT64_FORMAT
		" transactions,"
		" revoked %" G_GUINT64_FORMAT " copies; cut off %u, mounted"
		" %u\n",
		t.sessions, t.restarts, t.transactions, t.copies, t.revokes,
		t.escapes, r->replayed, r->revoked, r->again, r->mounted);
}

static void add_traffic(const struct crashlab *lab,
			struct crashlab_traffic *sum)
{
	struct crashlab_traffic t;

	crashlab_traffic(lab, &t);
	sum->transactions += t.transactions;
	sum->copies += t.copies;
	sum->revokes += t.revokes;
	sum->restarts += t.restarts;
	sum->sessions += t.sessions;
	sum->escapes += t.escapes;
}

/* A laboratory that sees nothing is worth nothing. */
static void judge_worth(const struct crashlab_spec *spec,
			const struct crashlab_traffic *sum)
{
	ck_assert_uint_gt(sum->sessions, 0);
	ck_assert_uint_gt(sum->transactions, 10);
	ck_assert_uint_gt(sum->escapes, 0);
	if (spec->churn)
		ck_assert_uint_gt(sum->revokes, 0);
	if (spec->log_blocks)
		ck_assert_uint_gt(sum->restarts, 1);
}

void crashlab_check(const struct crashlab_spec *spec, uint32_t salt,
		    unsigned share)
{
	g_autofree char *what = crashlab_describe(spec);
	struct crashlab_traffic sum = { 0 };
	struct amount much = amount(share);
	uint32_t seed = crashlab_seed(salt);
	bool journal = false;

	for (unsigned i = 0; i < much.runs; i++, seed++) {
		gint64 start = g_get_monotonic_time();
		struct crashlab *lab;
		struct crashlab_result r;

		fprintf(stderr, "# %s: RAWMAP_SEED=%u\n", what, seed);
		lab = crashlab_run(spec, seed);
		crashlab_judge(lab, CRASHLAB_SOUND, much.quota, &r);
		fprintf(stderr,
			"# %s: RAWMAP_SEED=%u: %u of %u states, %u repaired (%u"
			" by force), %u read by debugfs, %u bad, %.1f s\n",
			what, seed, r.states, r.possible, r.repaired, r.forced,
			r.dumped, r.bad,
			(double)(g_get_monotonic_time() - start) /
				G_USEC_PER_SEC);
		journal = crashlab_has_journal(lab);
		if (journal) {
			say_traffic(lab, &r);
			add_traffic(lab, &sum);
		}
		ck_assert_msg(!r.bad, "%s: RAWMAP_SEED=%u: %u of %u states: %s",
			      what, seed, r.bad, r.states, r.first);
		if (journal)
			ck_assert_uint_gt(r.replayed, 0);
		else
			ck_assert_uint_gt(r.repaired, 0);
		crashlab_free(lab);
	}
	if (journal && !crashlab_is_slow())
		judge_worth(spec, &sum);
}
