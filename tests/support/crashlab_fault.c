/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a program with a fault would leave, made from the record of a sound one.
 *
 *   fault         states
 *   no flush      two epochs, all of the second, a part of the first
 *   late data     the same, all of the first but its data
 *   not marked    sound ones without the mark
 *   unawaited     sound ones of a record where all data comes behind the flush
 *                 that ended its epoch
 *   no revokes    sound ones of a record whose revoke blocks are empty
 *   early reuse   all of the first epoch, no commit block, and data that was
 *                 written later to blocks which that commit frees
 *   early tail    as no flush, where the second starts the log over
 *   early home    all of the first epoch, no commit block, and a part of what
 *                 the commit would have changed at home
 */
#include <support/crashlab_priv.h>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <string.h>

static void move_data(struct crashlab *lab)
{
	unsigned last = recdev_epochs(lab->rec) - 1;

	for (guint i = 0; i < lab->events->len; i++) {
		struct recdev_event *e = lab->events->pdata[i];

		if (e->epoch < last && crashlab_is_data(lab, i))
			e->epoch++;
	}
}

void crashlab_spoil(struct crashlab *lab, enum crashlab_fault fault)
{
	g_assert(lab->journal || fault <= CRASHLAB_UNAWAITED);
	g_assert(lab->outside || fault != CRASHLAB_UNAWAITED);
	if (fault == CRASHLAB_NO_REVOKE)
		crashlab_log_unrevoke(lab);
	else if (fault == CRASHLAB_UNAWAITED)
		move_data(lab);
}

bool crashlab_makes_pairs(enum crashlab_fault fault)
{
	switch (fault) {
	case CRASHLAB_SOUND:
	case CRASHLAB_NO_MARK:
	case CRASHLAB_UNAWAITED:
	case CRASHLAB_NO_REVOKE:
		return false;
	default:
		return true;
	}
}

bool crashlab_shows_at(const struct crashlab *lab, enum crashlab_fault fault,
		       const struct crashlab_epoch *second)
{
	if (!lab->journal)
		return true;
	/* Data of others may go out beside it. */
	for (guint i = 0; i < second->changes->len; i++) {
		const struct recdev_event *e = second->changes->pdata[i];

		if (fault == CRASHLAB_EARLY_TAIL ? crashlab_is_restart(lab, e)
						 : crashlab_is_commit(lab, e))
			return true;
	}
	return false;
}

/* All of the last epoch; of those before it what the fault left. */
static void lose_some(struct crashlab *lab, const struct crashlab_epoch *ep,
		      enum crashlab_fault fault, GRand *rand)
{
	for (guint i = 0; i < ep->changes->len; i++) {
		const struct recdev_event *e = ep->changes->pdata[i];
		gboolean data = g_array_index(ep->is_data, gboolean, i);
		bool keep = e->epoch == ep->last;

		if (!keep && fault == CRASHLAB_LATE_DATA)
			keep = !data;
		else if (!keep)
			keep = g_rand_boolean(rand);
		if (keep)
			crashlab_apply(e, lab->state.bytes);
	}
}

/* lab->state is the epoch's end but for the commit block; @later: with it. */
static void all_but_commit(struct crashlab *lab,
			   const struct crashlab_epoch *ep, uint8_t *later)
{
	for (guint i = 0; i < ep->changes->len; i++) {
		const struct recdev_event *e = ep->changes->pdata[i];

		if (e->epoch != ep->last)
			crashlab_apply(e, lab->state.bytes);
	}
	memcpy(later, lab->state.bytes, lab->host_size);
	for (guint i = 0; i < ep->changes->len; i++)
		crashlab_apply(ep->changes->pdata[i], later);
}

static bool touches(const struct crashlab *lab, const struct recdev_event *e,
		    const bool *freed)
{
	uint32_t bs = lab->spec.block_size;

	for (uint64_t b = e->pos.v / bs; b * bs < e->pos.v + e->len; b++)
		if (freed[b])
			return true;
	return false;
}

static void reuse_early(struct crashlab *lab, const struct crashlab_epoch *ep)
{
	size_t blocks = lab->host_size / lab->spec.block_size;
	g_autofree uint8_t *later = g_malloc(lab->host_size);
	g_autofree bool *freed = g_new0(bool, blocks);
	g_autofree bool *kept = g_new0(bool, blocks);
	g_autofree char *wrong = NULL, *also = NULL;

	all_but_commit(lab, ep, later);
	crashlab_metadata(lab, lab->now, freed, &wrong);
	crashlab_metadata(lab, later, kept, &also);
	for (size_t b = 0; b < blocks; b++)
		freed[b] = freed[b] && !kept[b];
	for (guint i = 0; i < lab->events->len; i++) {
		const struct recdev_event *e = lab->events->pdata[i];

		if (crashlab_is_change(e) && e->epoch == ep->last + 1 &&
		    crashlab_is_data(lab, i) && touches(lab, e, freed))
			crashlab_apply(e, lab->state.bytes);
	}
}

/* What the recovery would bring home, and a coin for every block of it. */
static void home_early(struct crashlab *lab, const struct crashlab_epoch *ep,
		       GRand *rand)
{
	uint32_t bs = lab->spec.block_size;
	g_autofree uint8_t *later = g_malloc(lab->host_size);
	g_autofree char *wrong = NULL;

	all_but_commit(lab, ep, later);
	/* It stays in the twin. */
	crashlab_metadata(lab, later, NULL, &wrong);
	for (size_t b = 0; b < lab->host_size / bs; b++)
		if (lab->is_system[b] && g_rand_boolean(rand))
			memcpy(lab->state.bytes + b * bs,
			       lab->twin.bytes + b * bs, bs);
}

void crashlab_apply_faulty(struct crashlab *lab,
			   const struct crashlab_epoch *ep,
			   enum crashlab_fault fault, uint32_t seed)
{
	GRand *rand = g_rand_new_with_seed(seed);

	if (fault == CRASHLAB_EARLY_REUSE)
		reuse_early(lab, ep);
	else if (fault == CRASHLAB_EARLY_HOME)
		home_early(lab, ep, rand);
	else
		lose_some(lab, ep, fault, rand);
	g_rand_free(rand);
}

void crashlab_unmark(struct crashlab *lab, enum crashlab_fault fault)
{
	struct ext2_super_block super;
	uint8_t *at = lab->state.bytes + SUPERBLOCK_OFFSET;

	if (fault != CRASHLAB_NO_MARK)
		return;
	memcpy(&super, at, sizeof(super));
	super.s_state |= EXT2_VALID_FS;
	super.s_feature_incompat &= ~(uint32_t)EXT3_FEATURE_INCOMPAT_RECOVER;
	if (super.s_feature_ro_compat & EXT4_FEATURE_RO_COMPAT_METADATA_CSUM)
		super.s_checksum = ext2fs_crc32c_le(
			~UINT32_C(0), (const uint8_t *)&super,
			offsetof(struct ext2_super_block, s_checksum));
	memcpy(at, &super, sizeof(super));
}
