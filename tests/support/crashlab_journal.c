/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Judges of a host with a journal.
 *
 *   state, the power loss's    e2fsck -p, e2fsck -fn          must agree, byte
 *   twin, a copy of it         hostfs_recover(), once more    for byte
 *
 * What may differ is in the two superblocks: times, counts of mounts and checks,
 * the number of the next transaction.
 */
#include <support/crashlab_priv.h>

#include <rawmap/hostfs/recover.h>
#include <support/memdev.h>
#include <support/orderdev.h>

#include <string.h>

/*
 * NULL, or the first block where @a and @b differ; @super: not that of the
 * filesystem. The journal's may differ in any case: an empty log that is
 * recovered once more has another number.
 */
static char *compare(const struct crashlab *lab, const uint8_t *a,
		     const uint8_t *b, bool super, const char *who)
{
	uint32_t bs = lab->spec.block_size;

	for (size_t i = 0; i < lab->host_size / bs; i++) {
		if (!memcmp(a + i * bs, b + i * bs, bs) || !lab->log_index[i] ||
		    (!super && i == crashlab_super_block(lab)))
			continue;
		return g_strdup_printf("%s: block %zu, %s, differs from our"
				       " recovery",
				       who, i,
				       lab->is_system[i] ? "metadata"
				       : lab->log_index[i] > 0
					       ? "of the journal"
					       : "not metadata");
	}
	return NULL;
}

char *crashlab_compare(struct crashlab *lab, const char *who)
{
	return compare(lab, lab->state.bytes, lab->twin.bytes, false, who);
}

/* ---- our own recovery ---- */

static char *recover(struct blkdev *dev, struct recover_report *ret)
{
	const struct recover_options opt = { .name = NULL };
	g_autoptr(GError) error = NULL;

	if (hostfs_recover(dev, &opt, ret, &error))
		return NULL;
	return g_strdup_printf("hostfs_recover: %s", error->message);
}

/* The twin is recovered; again, and nothing is written. */
static char *recover_twin(struct crashlab *lab, bool dirty,
			  struct crashlab_result *ret)
{
	g_autoptr(blkdev) dev = crashlab_dev(&lab->twin, false);
	struct recover_report first, again;
	struct blkdev_counters before, after;
	char *wrong = recover(dev, &first);

	if (wrong)
		return wrong;
	if (first.needed != dirty)
		return g_strdup_printf("hostfs_recover: needed: %d",
				       first.needed);
	if (!crashlab_is_clean(lab, lab->twin.bytes))
		return g_strdup("hostfs_recover: needs_recovery stays set");
	blkdev_counters(dev, &before);
	wrong = recover(dev, &again);
	blkdev_counters(dev, &after);
	if (!wrong && (again.needed || after.writes != before.writes ||
		       after.flushes != before.flushes))
		return g_strdup("hostfs_recover: the second one writes");
	if (ret) {
		ret->replayed += first.needed ? first.transactions : 0;
		ret->revoked += first.needed ? first.revoked : 0;
	}
	return wrong;
}

uint32_t crashlab_metadata(struct crashlab *lab, const uint8_t *bytes,
			   bool *owned, char **ret_wrong)
{
	bool dirty = !crashlab_is_clean(lab, bytes);
	uint32_t sum = 0;

	memcpy(lab->twin.bytes, bytes, lab->host_size);
	*ret_wrong = recover_twin(lab, dirty, NULL);
	if (!*ret_wrong)
		*ret_wrong = crashlab_judge_content(lab, &lab->twin, NULL,
						    "metadata", &sum, owned);
	return *ret_wrong ? 0 : sum;
}

/* ---- e2fsck ---- */

static char *judge_lines(const char *out)
{
	g_auto(GStrv) lines = g_strsplit(out, "\n", -1);

	for (char **l = lines; *l; l++)
		if (**l && !strstr(*l, ": recovering journal") &&
		    !strstr(*l, ": clean, "))
			return g_strdup_printf("e2fsck -p says '%s':\n%s", *l,
					       out);
	return NULL;
}

static char *judge_preen(struct crashlab *lab, struct crashlab_result *ret)
{
	g_autofree char *out = NULL;
	int status = crashlab_fsck(lab, &lab->state, "-p", &out);

	ret->repaired += status != 0;
	return status <= 1 ? judge_lines(out)
			   : g_strdup_printf("e2fsck -p: %d\n%s", status, out);
}

/* ---- a recovery that is cut off ---- */

/*
 * @bytes, the state, is recovered on a device of its own, that is cut off, and
 * then the others finish it: the twin is what must come out.
 */
static char *judge_again(struct crashlab *lab, const uint8_t *bytes,
			 uint32_t seed)
{
	g_autoptr(blkdev) mem = memdev_new(lab->host_size, 512);
	g_autoptr(blkdev) order = NULL, rec = NULL, dev = NULL;
	GRand *rand = g_rand_new_with_seed(seed);
	bool ours = g_rand_boolean(rand);
	struct recover_report report;
	char *wrong;

	memcpy(memdev_bytes(mem), bytes, lab->host_size);
	order = orderdev_new(mem);
	rec = recdev_new(order);
	wrong = recover(rec, &report);
	memcpy(lab->state.bytes, bytes, lab->host_size);
	crashlab_cut(lab, rec, rand, lab->state.bytes);
	g_rand_free(rand);
	if (wrong)
		return wrong;
	if (ours) {
		dev = crashlab_dev(&lab->state, false);
		wrong = recover(dev, &report);
	} else if (!crashlab_is_clean(lab, lab->state.bytes)) {
		struct crashlab_result ignored = { 0 };

		wrong = judge_preen(lab, &ignored);
	}
	return wrong ? wrong
		     : compare(lab, lab->state.bytes, lab->twin.bytes, ours,
			       ours ? "recovered after a cut"
				    : "e2fsck -p after a cut");
}

/* ---- all of them ---- */

static char *judge_metadata(struct crashlab *lab,
			    const struct crashlab_verdict *v)
{
	uint32_t sum = 0;
	char *wrong = crashlab_judge_content(lab, &lab->twin, &v->window,
					     "recovered", &sum, NULL);

	if (!wrong && v->atomic && sum != v->before && sum != v->after)
		wrong = g_strdup("metadata is neither that before the commit"
				 " nor that behind it");
	return wrong;
}

static char *judge_sample(struct crashlab *lab,
			  const struct crashlab_verdict *v,
			  const uint8_t *bytes, struct crashlab_result *ret)
{
	bool done = false;
	char *wrong = crashlab_judge_consistency(lab, &lab->twin,
						 "after hostfs_recover");

	if (!wrong) {
		wrong = judge_again(lab, bytes, v->seed);
		ret->again++;
	}
	if (!wrong) {
		memcpy(lab->state.bytes, bytes, lab->host_size);
		wrong = crashlab_mount(lab, &done);
		ret->mounted += done;
	}
	if (!wrong && done)
		wrong = crashlab_compare(lab, "the kernel");
	return wrong;
}

char *crashlab_verdict_journal(struct crashlab *lab,
			       const struct crashlab_verdict *v,
			       struct crashlab_result *ret)
{
	bool dirty = !crashlab_is_clean(lab, lab->state.bytes);
	g_autofree uint8_t *bytes = NULL;
	char *wrong = NULL;

	memcpy(lab->twin.bytes, lab->state.bytes, lab->host_size);
	if (v->sample)
		bytes = g_memdup2(lab->state.bytes, lab->host_size);
	if (dirty)
		wrong = crashlab_judge_refusal(lab);
	if (!wrong && dirty)
		wrong = judge_preen(lab, ret);
	if (!wrong)
		wrong = crashlab_judge_consistency(
			lab, &lab->state,
			dirty ? "after e2fsck -p" : "needs_recovery is clear");
	if (!wrong)
		wrong = recover_twin(lab, dirty, ret);
	if (!wrong)
		wrong = crashlab_compare(lab, "e2fsck -p");
	if (!wrong)
		wrong = judge_metadata(lab, v);
	if (!wrong && v->sample && dirty)
		wrong = judge_sample(lab, v, bytes, ret);
	return wrong;
}
