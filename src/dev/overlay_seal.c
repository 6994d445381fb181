/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Seals: what somebody said about the bytes of a kept block.
 *
 *   the seal is       by
 *   put               overlay_put_sealed(), on an entry that holds those bytes
 *   taken along       overlay_push() to below, a sealed read from below
 *   broken            a write that changes a byte (overlay.c)
 *   lost              all that removes the entry
 *
 * So an entry has a seal only as long as it holds the bytes that were put with
 * it; bytes that came from a device that is no overlay have none. To lose one is
 * always allowed: it costs whoever asks another check.
 *
 * Locks: those of an overlay and of the one below it, in this order, as for
 * any read that falls through.
 */
#include "dev_priv.h"

#include <string.h>

/* The overlay that @ov lies on, or NULL: another kind of device. */
static struct overlay *below_of(const struct overlay *ov)
{
	struct overlay *below = overlay_of(ov->lower);

	if (ov->lower->ops != &overlay_ops ||
	    below->block_size != ov->block_size)
		return NULL;
	return below;
}

/* Through to the overlay below; what it has is kept as any read is. */
static int read_below(struct overlay *ov, pblk block, void *buf,
		      uint64_t *ret_seal) REQUIRES(ov->lock)
{
	int ret = overlay_get_sealed(below_of(ov), block, buf, ret_seal);
	struct overlay_entry *e;

	if (ret || !ov->clean_max)
		return ret;
	e = overlay_entry_new(ov, block.v);
	memcpy(e->data, buf, ov->block_size);
	e->seal = *ret_seal;
	overlay_entry_insert(ov, e, false);
	return 0;
}

int overlay_get_sealed(struct overlay *ov, pblk block, void *buf,
		       uint64_t *ret_seal)
{
	const struct overlay_entry *e;
	uint64_t seal = 0;
	bool done;
	int ret = 0;

	if (block.v >= ov->whole)
		return -EINVAL;
	mutex_lock(&ov->lock);
	e = overlay_entry_find(ov, block.v);
	done = e || below_of(ov);
	if (e) {
		memcpy(buf, e->data, ov->block_size);
		seal = e->seal;
	} else if (done) {
		ret = read_below(ov, block, buf, &seal);
	}
	mutex_unlock(&ov->lock);
	/* Whoever puts it meanwhile: without his seal it is true as well. */
	if (!done)
		ret = overlay_get_block(ov, block, buf);
	if (!ret)
		*ret_seal = seal;
	return ret;
}

int overlay_put_sealed(struct overlay *ov, pblk block, const void *buf,
		       unsigned tag, uint64_t seal)
{
	int ret = overlay_put_block(ov, block, buf, tag);
	struct overlay_entry *e;

	g_assert(seal);
	if (ret)
		return ret;
	mutex_lock(&ov->lock);
	/* Clean ones may not stay, and others may have changed it by now. */
	e = g_hash_table_lookup(ov->table, &block.v);
	if (e && !memcmp(e->data, buf, ov->block_size))
		e->seal = seal;
	mutex_unlock(&ov->lock);
	return 0;
}
