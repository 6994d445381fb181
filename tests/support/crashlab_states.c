/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which states a power loss could have left: listed first, then a sample of
 * the list is built and judged in the order of the epochs, so that the bytes at
 * the start of an epoch are made only once.
 */
#include <support/crashlab_priv.h>

#include <rawmap/base/bytes.h>

#include <limits.h>
#include <string.h>

#define SUBSETS_UP_TO 4 /* changes of an epoch */
#define RANDOM_STATES 12
#define TORN_STATES   4
#define PAIR_STATES   3 /* with a fault */
#define SAMPLE_EVERY  25

static const struct crashlab_op *op_at(const struct crashlab *lab, guint i)
{
	return &g_array_index(lab->ops, struct crashlab_op, i);
}

/* ---- the list ---- */

static void add(GArray *list, unsigned epoch, enum crashlab_how how,
		uint32_t param)
{
	const struct crashlab_state s = { epoch, how, param };

	g_array_append_val(list, s);
}

static void list_sound(const struct crashlab *lab, unsigned epoch, GRand *rand,
		       GArray *list)
{
	struct crashlab_epoch ep;
	guint n, torn = 0;

	crashlab_epoch_load(lab, epoch, epoch, &ep);
	n = ep.changes->len;
	for (guint i = 0; i < n; i++)
		torn += crashlab_can_tear(lab, ep.changes->pdata[i]);
	crashlab_epoch_clear(&ep);
	/* Without its last change it is the epoch before; with all the next. */
	if (n <= SUBSETS_UP_TO) {
		for (uint32_t mask = 0; mask < 1U << n; mask++)
			add(list, epoch, SUBSET, mask);
	} else {
		for (guint i = 0; i <= n; i++)
			add(list, epoch, PREFIX, i);
		for (guint i = 0; i < n; i++)
			add(list, epoch, ALL_BUT, i);
		for (guint i = 0; i < RANDOM_STATES; i++)
			add(list, epoch, RANDOM, g_rand_int(rand));
	}
	for (guint i = 0; torn && i < TORN_STATES; i++)
		add(list, epoch, TORN, g_rand_int(rand));
}

static unsigned epochs(const struct crashlab *lab)
{
	return recdev_epochs(lab->rec);
}

static void list_pairs(const struct crashlab *lab, enum crashlab_fault fault,
		       unsigned epoch, GRand *rand, GArray *list)
{
	struct crashlab_epoch second;
	bool shows;

	if (epoch + 1 >= epochs(lab))
		return;
	crashlab_epoch_load(lab, epoch + 1, epoch + 1, &second);
	shows = crashlab_shows_at(lab, fault, &second);
	crashlab_epoch_clear(&second);
	for (unsigned i = 0; shows && i < PAIR_STATES; i++)
		add(list, epoch, FAULTY, g_rand_int(rand));
}

static GArray *list_states(const struct crashlab *lab,
			   enum crashlab_fault fault, GRand *rand)
{
	GArray *list = g_array_new(FALSE, FALSE, sizeof(struct crashlab_state));

	for (unsigned e = 0; e < epochs(lab); e++) {
		if (crashlab_makes_pairs(fault))
			list_pairs(lab, fault, e, rand, list);
		else
			list_sound(lab, e, rand, list);
	}
	return list;
}

/* @quota of them, in their order. */
static void choose(GArray *list, unsigned quota, GRand *rand)
{
	guint kept = 0, seen = list->len;

	for (guint i = 0; i < seen; i++) {
		guint wanted = quota - kept, left = seen - i;

		if (wanted < left && (guint)g_rand_int(rand) % left >= wanted)
			continue;
		g_array_index(list, struct crashlab_state, kept++) =
			g_array_index(list, struct crashlab_state, i);
		if (kept == quota)
			break;
	}
	g_array_set_size(list, kept);
}

/* ---- what is asked of a state ---- */

static void verdict_for(const struct crashlab *lab,
			const struct crashlab_epoch *ep,
			struct crashlab_verdict *ret)
{
	*ret = (struct crashlab_verdict){
		.must_be_dirty = !crashlab_is_clean(lab, lab->now),
		.atomic = lab->journal,
		.before = ep->before,
		.after = ep->after,
	};
	for (guint i = 0; i < lab->ops->len; i++) {
		const struct crashlab_op *op = op_at(lab, i);

		if (op->covers && op->last_epoch <= ep->first)
			ret->window.base = MAX(ret->window.base, op->base);
		if (op->first_epoch <= ep->last)
			ret->window.last = i;
		if (op->closes && op->first_epoch <= ep->last &&
		    op->last_epoch >= ep->first)
			ret->must_be_dirty = false;
	}
}

static const char *how_text(enum crashlab_how how)
{
	static const char *const text[] = { "subset", "prefix", "all but",
					    "random", "torn",	"faulty" };

	return text[how];
}

static void keep(struct crashlab *lab)
{
	const char *path = g_getenv("RAWMAP_KEEP");

	if (path)
		g_file_set_contents(path, (char *)lab->state.bytes,
				    (gssize)lab->host_size, NULL);
}

/* True: the first bad one. */
static bool count(struct crashlab *lab, const struct crashlab_state *s,
		  const struct crashlab_verdict *v, char *wrong,
		  struct crashlab_result *ret)
{
	const struct crashlab_op *last = op_at(lab, v->window.last);
	bool first = wrong && !ret->first;

	ret->states++;
	ret->bad += wrong != NULL;
	if (first)
		ret->first = g_strdup_printf(
			"epoch %u, %s %#x; operations %u to %u (%s) are open:"
			" %s",
			s->epoch, how_text(s->how), s->param,
			v->window.base + 1, v->window.last, last->name, wrong);
	g_free(wrong);
	return first;
}

static void judge_one(struct crashlab *lab, const struct crashlab_epoch *ep,
		      const struct crashlab_state *s, enum crashlab_fault fault,
		      struct crashlab_result *ret)
{
	struct crashlab_verdict v;
	char *wrong;

	verdict_for(lab, ep, &v);
	v.sample = ret->states % SAMPLE_EVERY == 0;
	v.seed = lab->seed ^ (s->epoch << 16) ^ s->param;
	crashlab_build(lab, ep, s, fault);
	wrong = crashlab_verdict(lab, &v, ret);
	if (count(lab, s, &v, wrong, ret)) {
		/* The judges have changed it. */
		crashlab_build(lab, ep, s, fault);
		keep(lab);
	}
}

/* After the unmount: clean, and what was done last is there. */
static void judge_end(struct crashlab *lab, struct crashlab_result *ret)
{
	const struct crashlab_state s = { epochs(lab), SUBSET, 0 };
	struct crashlab_verdict v = {
		.sample = true,
		.window = { lab->ops->len - 1, lab->ops->len - 1 },
	};
	char *wrong = NULL;

	memcpy(lab->state.bytes, lab->now, lab->host_size);
	if (!crashlab_is_clean(lab, lab->state.bytes))
		wrong = g_strdup("after the unmount, and not clean");
	if (!wrong)
		wrong = crashlab_verdict(lab, &v, ret);
	if (count(lab, &s, &v, wrong, ret))
		keep(lab);
}

/*
 * The metadata at both ends of an epoch. When an end cannot be recovered its
 * states cannot either, and say why.
 */
static void find_ends(struct crashlab *lab, struct crashlab_epoch *ep,
		      unsigned *known, uint32_t *sum)
{
	g_autofree uint8_t *end = NULL;
	g_autofree char *wrong = NULL, *also = NULL;

	if (!lab->journal)
		return;
	if (*known == ep->first)
		ep->before = *sum;
	else
		ep->before = crashlab_metadata(lab, lab->now, NULL, &wrong);
	end = g_memdup2(lab->now, lab->host_size);
	for (guint i = 0; i < ep->changes->len; i++)
		crashlab_apply(ep->changes->pdata[i], end);
	ep->after = crashlab_metadata(lab, end, NULL, &also);
	*known = ep->last + 1;
	*sum = ep->after;
}

void crashlab_judge(struct crashlab *lab, enum crashlab_fault fault,
		    unsigned quota, struct crashlab_result *ret)
{
	GRand *rand = g_rand_new_with_seed(lab->seed + 1);
	unsigned at = 0, known = UINT_MAX;
	g_autoptr(GArray) list = NULL;
	uint32_t sum = 0;

	crashlab_spoil(lab, fault);
	list = list_states(lab, fault, rand);
	*ret = (struct crashlab_result){ .possible = list->len };
	choose(list, quota, rand);
	g_rand_free(rand);
	memcpy(lab->now, lab->start, lab->host_size);
	for (guint i = 0; i < list->len;) {
		unsigned number =
			g_array_index(list, struct crashlab_state, i).epoch;
		struct crashlab_epoch ep;

		crashlab_advance(lab, at, number);
		at = number;
		crashlab_epoch_load(lab, number,
				    number + crashlab_makes_pairs(fault), &ep);
		find_ends(lab, &ep, &known, &sum);
		for (; i < list->len; i++) {
			const struct crashlab_state *s =
				&g_array_index(list, struct crashlab_state, i);

			if (s->epoch != number)
				break;
			judge_one(lab, &ep, s, fault, ret);
		}
		crashlab_epoch_clear(&ep);
	}
	crashlab_advance(lab, at, epochs(lab));
	if (fault == CRASHLAB_SOUND)
		judge_end(lab, ret);
}
