/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing the journal's superblock: one whole block, so that a disk with
 * sectors of that size cannot tear it, with its checksum. What isn't meant to
 * change keeps its bytes, also where this code does not know what they mean.
 *
 * The copy in memory follows when the write worked; after a failed one the
 * device may hold either, and the copy stays at what was known before.
 */
#include "jbd_priv.h"

#include <rawmap/base/bytes.h>

#include <errno.h>
#include <string.h>

static void set_bits(be32 *field, uint32_t on, uint32_t off)
{
	*field = be32_of((be32_get(*field) | on) & ~off);
}

/* A superblock of version 1 has no features to change. */
static void change_features(struct jbd_super *super,
			    const struct journal_change *change)
{
	if (change->need_64bit)
		set_bits(&super->incompat, JBD_INCOMPAT_64BIT, 0);
	if (change->need_revoke)
		set_bits(&super->incompat, JBD_INCOMPAT_REVOKE, 0);
	if (change->plain_commits) {
		set_bits(&super->compat, 0, JBD_COMPAT_CHECKSUM);
		set_bits(&super->incompat, 0, JBD_INCOMPAT_ASYNC_COMMIT);
	}
}

/* Write the superblock at @block, a whole block, and adopt it. */
static int store(struct journal *j, uint8_t *block)
{
	struct jbd_super *super = (void *)block;
	int err;

	if (jbd_has_csum(j->info.csum))
		jbd_super_set(super);
	err = journal_write(j, 0, 1, block);
	if (err)
		return err;
	memcpy(j->super, block, (size_t)1 << j->bits);
	journal_decode(super, &j->info);
	return 0;
}

int journal_update(struct journal *j, const struct journal_change *change)
{
	uint8_t *block = journal_buf_new(j, 1);
	struct jbd_super *super = (void *)block;
	int err;

	g_assert(!j->info.start || !change->need_64bit || j->info.is_64bit);
	g_assert(!j->info.start || !change->need_revoke || j->info.has_revoke);
	g_assert(j->info.version == 2 ||
		 !(change->need_64bit || change->need_revoke));
	memcpy(block, j->super, (size_t)1 << j->bits);
	super->sequence = be32_of(change->sequence);
	super->start = be32_of(change->start);
	super->error = be32_of((uint32_t)change->error);
	if (j->info.version == 2)
		change_features(super, change);
	err = store(j, block);
	bytes_aligned_free(block);
	return err;
}

/*
 * What is on the device counts, not the copy in memory: after a write that
 * failed it may be newer. But it must be the superblock of this journal, and
 * sound: a new checksum must not bless what a failed write has left.
 */
static int store_error(struct journal *j, int error, uint8_t *block)
{
	const struct jbd_super *known = (const void *)j->super;
	struct jbd_super *super = (void *)block;
	int err = journal_read(j, 0, 1, block);

	if (err)
		return err;
	if (memcmp(&super->header, &known->header, sizeof(super->header)) ||
	    be32_get(super->maxlen) != j->info.maxlen ||
	    be32_get(super->first) != j->info.first ||
	    (jbd_has_csum(j->info.csum) && !jbd_super_ok(super)))
		return -EUCLEAN;
	super->error = be32_of((uint32_t)error);
	return store(j, block);
}

int journal_store_error(struct journal *j, int err)
{
	uint8_t *block = journal_buf_new(j, 1);
	int ret = store_error(j, err, block);

	bytes_aligned_free(block);
	return ret;
}
