/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The entries of an overlay: the table that finds them, the two lists that
 * hold them, and eviction.
 *
 * Every entry is in the table and in exactly one of the lists; it is one
 * allocation, block included. Any insertion and any change to clean may evict
 * a clean entry, also the very one: nobody keeps a pointer over them.
 *
 * Called with the overlay's lock held.
 */
#include "dev_priv.h"

static GQueue *list_of(struct overlay *ov, const struct overlay_entry *e)
{
	return e->dirty ? &ov->dirty : &ov->clean;
}

void overlay_entry_forget(struct overlay *ov, struct overlay_entry *e)
{
	g_queue_unlink(list_of(ov, e), &e->link);
	g_hash_table_remove(ov->table, &e->block);
	g_free(e);
}

static void evict(struct overlay *ov) REQUIRES(ov->lock)
{
	while (ov->clean.length > ov->clean_max)
		overlay_entry_forget(ov, g_queue_peek_tail(&ov->clean));
}

struct overlay_entry *overlay_entry_find(struct overlay *ov, uint64_t block)
{
	struct overlay_entry *e = g_hash_table_lookup(ov->table, &block);

	if (e && !e->dirty) {
		g_queue_unlink(&ov->clean, &e->link);
		g_queue_push_head_link(&ov->clean, &e->link);
	}
	return e;
}

struct overlay_entry *overlay_entry_new(const struct overlay *ov,
					uint64_t block)
{
	struct overlay_entry *e = g_malloc(sizeof(*e) + ov->block_size);

	*e = (struct overlay_entry){ .block = block };
	e->link.data = e;
	return e;
}

void overlay_entry_insert(struct overlay *ov, struct overlay_entry *e,
			  bool dirty)
{
	e->dirty = dirty;
	g_hash_table_insert(ov->table, &e->block, e);
	g_queue_push_head_link(list_of(ov, e), &e->link);
	evict(ov);
}

void overlay_entry_set_dirty(struct overlay *ov, struct overlay_entry *e,
			     unsigned tag)
{
	g_queue_unlink(list_of(ov, e), &e->link);
	e->dirty = true;
	e->tag = tag;
	e->stamp = ++ov->stamp;
	g_queue_push_head_link(&ov->dirty, &e->link);
}

void overlay_entry_set_clean(struct overlay *ov, struct overlay_entry *e)
{
	g_queue_unlink(list_of(ov, e), &e->link);
	e->dirty = false;
	g_queue_push_head_link(&ov->clean, &e->link);
	evict(ov);
}
