/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map against an array with one element a block: random loads, sets,
 * drops and pins must leave both with the same knowledge. A small universe,
 * checked wholly after every step, finds wrong edges; a larger one makes
 * chunks split and merge. With a budget the map may know less than the model,
 * but nothing else, and neither less of what is pinned nor of the last load.
 */
#include <rawmap/map/extmap.h>

#include <check.h>
#include <stdlib.h>

#define LARGEST 6000

struct block {
	bool known, pinned;
	enum extent_state state;
	uint64_t phys;
};

struct world {
	struct extmap *map;
	struct block *block;
	uint64_t base;	  /* number of the first block */
	unsigned n;	  /* blocks */
	unsigned longest; /* an operation, and an extent */
	bool exact;	  /* nothing is ever evicted */
	bool pins;	  /* some pin was set */
	GRand *rand;
};

static unsigned below(struct world *w, unsigned n)
{
	return (unsigned)g_rand_int_range(w->rand, 0, (gint32)n);
}

static void world_init(struct world *w, uint64_t base, unsigned n,
		       unsigned longest, uint64_t budget, guint32 seed)
{
	*w = (struct world){
		.map = extmap_new(budget),
		.block = g_new0(struct block, n),
		.base = base,
		.n = n,
		.longest = longest,
		.exact = budget == UINT64_MAX,
		.rand = g_rand_new_with_seed(seed),
	};
}

static void world_clear(struct world *w)
{
	extmap_free(w->map);
	g_free(w->block);
	g_rand_free(w->rand);
}

/* Few distinct places, so that runs meet and join by chance. */
static struct extent random_extent(struct world *w, unsigned start,
				   unsigned len)
{
	return (struct extent){
		.start = lblk_at(w->base + start),
		.len = len,
		.phys = pblk_at(1000000 * (1 + below(w, 2)) + start),
		.state = (enum extent_state)below(w, 3),
	};
}

static void model_set(struct world *w, unsigned start, unsigned len,
		      const struct extent *e)
{
	for (unsigned i = start; i < start + len; i++) {
		if (!w->block[i].known)
			continue;
		w->block[i].state = e->state;
		w->block[i].phys =
			e->state == EXTENT_HOLE
				? 0
				: e->phys.v + (w->base + i - e->start.v);
	}
}

static void load(struct world *w, unsigned start, unsigned len)
{
	static const struct extent hole = { .state = EXTENT_HOLE };
	g_autofree struct extent *v = g_new(struct extent, w->n);
	unsigned at = start - MIN(start, below(w, 3)), end = start + len;
	size_t n = 0;

	for (unsigned i = start; i < end; i++)
		w->block[i].known = true;
	model_set(w, start, len, &hole);
	while (at < end) {
		unsigned size = 1 + below(w, MIN(w->longest, 6));
		unsigned from, to;

		at += below(w, 2) ? below(w, 4) : 0;
		if (at >= end)
			break;
		v[n] = random_extent(w, at, size);
		if (v[n].state == EXTENT_HOLE)
			v[n].state = EXTENT_MAPPED;
		from = MAX(at, start);
		to = MIN(at + size, end);
		if (from < to)
			model_set(w, from, to - from, &v[n]);
		at += size;
		n++;
	}
	extmap_load(w->map, lblk_at(w->base + start), len, v, n);
	for (unsigned i = start; i < end; i++) {
		struct extent e;

		if (!extmap_lookup(w->map, lblk_at(w->base + i), 1, &e))
			ck_abort_msg("loaded block %u is unknown", i);
	}
}

static void step(struct world *w)
{
	unsigned len = 1 + below(w, w->longest);
	unsigned start = below(w, w->n - len + 1);
	lblk at = lblk_at(w->base + start);
	struct extent e;
	unsigned kind = below(w, 20);

	if (kind < 5) {
		load(w, start, len);
	} else if (kind < 15) {
		len = 1 + below(w, MIN(len, 12));
		e = random_extent(w, start, len);
		extmap_set(w->map, &e);
		model_set(w, start, len, &e);
	} else if (kind < 18) {
		extmap_drop(w->map, at, len);
		for (unsigned i = start; i < start + len; i++)
			w->block[i].known = false;
	} else if (w->pins && below(w, 2)) {
		extmap_unpin(w->map, at, len);
		for (unsigned i = start; i < start + len; i++)
			w->block[i].pinned = false;
	} else if (w->pins) {
		extmap_pin(w->map, at, len);
		for (unsigned i = start; i < start + len; i++)
			w->block[i].pinned = true;
	}
}

static bool same(const struct block *b, const struct extent *e, unsigned i)
{
	return b->known && b->state == e->state &&
	       (b->state == EXTENT_HOLE || b->phys == e->phys.v + i);
}

/* Does the answer @e to a question of @max blocks at block @i fit the model? */
static bool fits(const struct world *w, const struct extent *e, unsigned i,
		 uint64_t max)
{
	unsigned k;

	if (e->start.v != w->base + i || !e->len || e->len > max ||
	    e->len > w->n - i)
		return false;
	for (k = 0; k < e->len; k++)
		if (!same(&w->block[i + k], e, k))
			return false;
	/* Nothing but a pin and its limits should cut a run short. */
	return w->pins || !w->exact || k == max || i + k == w->n ||
	       !same(&w->block[i + k], e, k);
}

/* What extmap_near() says of block @i of what the model knows. */
static void verify_near(const struct world *w, unsigned i)
{
	const struct block *b = w->block;
	unsigned left = i, right = i, at;
	bool known, found;
	struct extent e;

	while (left && b[left - 1].known && b[left - 1].state == EXTENT_HOLE)
		left--;
	while (right < w->n && b[right].known && b[right].state == EXTENT_HOLE)
		right++;
	found = left && b[left - 1].known;
	at = found ? left - 1 : right;
	known = b[i].known && (found || (!left && !w->base && right < w->n &&
					 b[right].known));
	if (!extmap_near(w->map, lblk_at(w->base + i), &e)) {
		if (known && w->exact && !w->pins)
			ck_abort_msg("what is near %u is forgotten", i);
		return;
	}
	if (!known || e.start.v > w->base + at ||
	    extent_end(&e) <= w->base + at || e.state != b[at].state ||
	    e.phys.v + (w->base + at - e.start.v) != b[at].phys ||
	    (found ? e.start.v >= w->base + i : e.start.v < w->base + i))
		ck_abort_msg("%" G_GUINT64_FORMAT " is not near %u", e.start.v,
			     i);
}

static void verify(struct world *w)
{
	g_autofree char *wrong = extmap_check(w->map);
	struct extent e;

	if (wrong)
		ck_abort_msg("%s", wrong);
	for (unsigned i = 0; i < w->n; i += (unsigned)e.len) {
		uint64_t max = below(w, 2) ? 1 + below(w, w->n) : UINT64_MAX;
		struct block *b = &w->block[i];

		if (extmap_lookup(w->map, lblk_at(w->base + i), max, &e)) {
			if (!fits(w, &e, i, max))
				ck_abort_msg("wrong answer at %u", i);
			verify_near(w, i);
			continue;
		}
		if (b->known && (w->exact || b->pinned))
			ck_abort_msg("block %u is forgotten", i);
		b->known = false; /* it was evicted */
		e.len = 1;
	}
}

static void play(struct world *w, unsigned steps, unsigned verify_every)
{
	for (unsigned i = 0; i < steps; i++) {
		step(w);
		if (i % verify_every == 0)
			verify(w);
	}
	verify(w);
	world_clear(w);
}

START_TEST(small_universe_matches_after_every_step)
{
	struct world w;

	world_init(&w, 0, 48, 16, UINT64_MAX, 1);
	play(&w, 100000, 1);
}
END_TEST

START_TEST(small_universe_at_the_last_block_matches_with_pins)
{
	struct world w;

	world_init(&w, LBLK_END - 40, 40, 16, UINT64_MAX, 2);
	w.pins = true;
	play(&w, 50000, 1);
}
END_TEST

START_TEST(large_universe_matches_while_chunks_split_and_merge)
{
	struct world w;

	world_init(&w, 12345, LARGEST, LARGEST, UINT64_MAX, 3);
	load(&w, 0, LARGEST);
	w.longest = 40;
	play(&w, 20000, 50);
	world_init(&w, 12345, LARGEST, 2000, UINT64_MAX, 4);
	play(&w, 1500, 5);
}
END_TEST

START_TEST(eviction_spares_pins_and_the_last_load)
{
	struct world w;

	world_init(&w, 7, 64, 16, 200, 5);
	w.pins = true;
	play(&w, 50000, 1);
	world_init(&w, 7, LARGEST, 1500, 20000, 6);
	w.pins = true;
	play(&w, 1500, 5);
}
END_TEST

START_TEST(no_budget_matches)
{
	struct world w;

	world_init(&w, 0, 64, 16, 0, 7);
	play(&w, 20000, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("extmap model");
	TCase *tcase = tcase_create("model");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, small_universe_matches_after_every_step);
	tcase_add_test(tcase,
		       small_universe_at_the_last_block_matches_with_pins);
	tcase_add_test(tcase,
		       large_universe_matches_while_chunks_split_and_merge);
	tcase_add_test(tcase, eviction_spares_pins_and_the_last_load);
	tcase_add_test(tcase, no_budget_matches);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
