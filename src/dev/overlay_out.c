/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking the dirty blocks of an overlay home.
 *
 *   listed    block numbers with the tag, ascending       lock held for a moment
 *   gathered  a run of neighbours copied, stamps noted    lock held for a moment
 *   written   one write to the target                     lock not held
 *   settled   entries with the noted stamp become clean   lock held for a moment
 *
 * Entries stay in place until they are settled: a reader never falls through to
 * a lower device that is being written. A block that somebody changed after it
 * was gathered has another stamp and stays dirty.
 */
#include "dev_priv.h"

#include <rawmap/base/bytes.h>

#include <stdlib.h>
#include <string.h>

#define RUN_MAX (UINT64_C(1) << 20)
/* Lets a direct target take the run without another copy. */
#define RUN_ALIGN 4096

struct run {
	uint64_t first;
	size_t n, max; /* blocks */
	uint8_t *data;
	uint64_t *stamps;
};

static int compare_blocks(const void *a, const void *b)
{
	const pblk *x = a, *y = b;

	return (x->v > y->v) - (x->v < y->v);
}

static size_t count_tag(struct overlay *ov, unsigned tag) REQUIRES(ov->lock)
{
	size_t n = 0;

	for (GList *l = ov->dirty.head; l; l = l->next)
		n += ((const struct overlay_entry *)l->data)->tag == tag;
	return n;
}

/*
 * Copy as many of the @n sorted blocks at @list as are neighbours and still
 * dirty with @tag. Returns how many of the list are dealt with, at least one;
 * run->n of them were copied.
 */
static size_t gather(struct overlay *ov, struct run *run, const pblk *list,
		     size_t n, unsigned tag)
{
	size_t i;

	run->first = list[0].v;
	run->n = 0;
	mutex_lock(&ov->lock);
	for (i = 0; i < n && run->n < run->max; i++) {
		uint64_t key = list[i].v;
		const struct overlay_entry *e;

		if (key != run->first + i)
			break;
		e = g_hash_table_lookup(ov->table, &key);
		if (!e || !e->dirty || e->tag != tag)
			break;
		memcpy(run->data + i * ov->block_size, e->data, ov->block_size);
		run->stamps[run->n++] = e->stamp;
	}
	mutex_unlock(&ov->lock);
	return i ? i : 1;
}

static void settle(struct overlay *ov, const struct run *run)
{
	mutex_lock(&ov->lock);
	for (size_t i = 0; i < run->n; i++) {
		uint64_t key = run->first + i;
		struct overlay_entry *e = g_hash_table_lookup(ov->table, &key);

		if (e && e->dirty && e->stamp == run->stamps[i])
			overlay_entry_set_clean(ov, e);
	}
	mutex_unlock(&ov->lock);
}

static void run_init(const struct overlay *ov, struct run *run, size_t n)
{
	size_t bytes;

	run->max = u64_min(n, u64_max(RUN_MAX / ov->block_size, 1));
	bytes = align_ceil(run->max * ov->block_size, RUN_ALIGN);
	run->data = bytes_aligned_new(bytes, RUN_ALIGN);
	run->stamps = g_new(uint64_t, run->max);
}

static void run_clear(struct run *run)
{
	bytes_aligned_free(run->data);
	g_free(run->stamps);
}

size_t overlay_dirty_count(struct overlay *ov)
{
	size_t n;

	mutex_lock(&ov->lock);
	n = ov->dirty.length;
	mutex_unlock(&ov->lock);
	return n;
}

size_t overlay_dirty_count_tag(struct overlay *ov, unsigned tag)
{
	size_t n;

	mutex_lock(&ov->lock);
	n = count_tag(ov, tag);
	mutex_unlock(&ov->lock);
	return n;
}

pblk *overlay_list_dirty(struct overlay *ov, unsigned tag, size_t *ret_count)
{
	size_t n = 0;
	pblk *list;

	mutex_lock(&ov->lock);
	list = g_new(pblk, count_tag(ov, tag) + 1);
	for (GList *l = ov->dirty.head; l; l = l->next) {
		const struct overlay_entry *e = l->data;

		if (e->tag == tag)
			list[n++] = pblk_at(e->block);
	}
	mutex_unlock(&ov->lock);
	qsort(list, n, sizeof(*list), compare_blocks);
	*ret_count = n;
	return list;
}

static void push_entry(struct overlay *ov, const struct overlay_entry *from)
	REQUIRES(ov->lock)
{
	struct overlay_entry *e = overlay_entry_find(ov, from->block);

	if (!e) {
		e = overlay_entry_new(ov, from->block);
		overlay_entry_insert(ov, e, true);
	}
	memcpy(e->data, from->data, ov->block_size);
	e->seal = from->seal;
	overlay_entry_set_dirty(ov, e, from->tag);
}

pblk *overlay_push(struct overlay *ov, struct overlay *below, size_t *ret_count)
{
	size_t n = 0;
	pblk *list;

	g_assert(ov->lower == &below->dev &&
		 ov->block_size == below->block_size);
	mutex_lock(&ov->lock);
	mutex_lock(&below->lock);
	list = g_new(pblk, ov->dirty.length + 1);
	while (ov->dirty.head) {
		struct overlay_entry *e = ov->dirty.head->data;

		list[n++] = pblk_at(e->block);
		push_entry(below, e);
		overlay_entry_set_clean(ov, e);
	}
	mutex_unlock(&below->lock);
	mutex_unlock(&ov->lock);
	qsort(list, n, sizeof(*list), compare_blocks);
	*ret_count = n;
	return list;
}

int overlay_write_out(struct overlay *ov, struct blkdev *target, unsigned tag)
{
	g_autofree pblk *list = NULL;
	struct run run;
	size_t n, i = 0;
	int ret = 0;

	g_assert(target != &ov->dev);
	list = overlay_list_dirty(ov, tag, &n);
	if (!n)
		return 0;
	run_init(ov, &run, n);
	while (i < n && !ret) {
		i += gather(ov, &run, list + i, n - i, tag);
		if (!run.n)
			continue;
		ret = blkdev_pwrite(target, run.data, run.n * ov->block_size,
				    overlay_pos(ov, run.first));
		if (!ret)
			settle(ov, &run);
	}
	run_clear(&run);
	return ret;
}
