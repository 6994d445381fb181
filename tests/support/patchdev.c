/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A page that was changed keeps its memory over a reset: the next life mostly
 * changes the same ones.
 */
#include "support/patchdev.h"

#include <rawmap/base/bytes.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct page {
	bool changed, written;
	uint8_t *bytes; /* PATCHDEV_PAGE of them, or NULL */
};

struct patchdev {
	struct blkdev dev; /* first */
	GBytes *base;
	const uint8_t *bytes; /* of base */
	uint64_t size;	      /* of base */
	struct page *pages;
	GArray *changed, *written; /* size_t: page numbers */
	uint64_t requests, allowed;
};

static const struct blkdev_ops patchdev_ops;

static struct patchdev *patchdev_of(struct blkdev *dev)
{
	g_assert(dev->ops == &patchdev_ops);
	return (struct patchdev *)dev;
}

/* The part of [pos, pos + len) that lies in its first page. */
static size_t part(uint64_t pos, size_t len, size_t *ret_page, size_t *ret_off)
{
	*ret_page = pos / PATCHDEV_PAGE;
	*ret_off = pos % PATCHDEV_PAGE;
	return u64_min(len, PATCHDEV_PAGE - *ret_off);
}

static void get(struct patchdev *p, uint8_t *buf, size_t len, uint64_t pos)
{
	while (len) {
		size_t page, off, n = part(pos, len, &page, &off);

		if (p->pages[page].changed)
			memcpy(buf, p->pages[page].bytes + off, n);
		else
			memcpy(buf, p->bytes + pos, n);
		buf += n;
		pos += n;
		len -= n;
	}
}

static struct page *own_page(struct patchdev *p, size_t n)
{
	struct page *page = &p->pages[n];
	uint64_t start = (uint64_t)n * PATCHDEV_PAGE;

	if (page->changed)
		return page;
	if (!page->bytes)
		page->bytes = g_malloc0(PATCHDEV_PAGE);
	memcpy(page->bytes, p->bytes + start,
	       u64_min(PATCHDEV_PAGE, p->size - start));
	page->changed = true;
	g_array_append_val(p->changed, n);
	return page;
}

static void put(struct patchdev *p, const uint8_t *buf, size_t len,
		uint64_t pos, bool request)
{
	while (len) {
		size_t number, off, n = part(pos, len, &number, &off);
		struct page *page = own_page(p, number);

		memcpy(page->bytes + off, buf, n);
		if (request && !page->written) {
			page->written = true;
			g_array_append_val(p->written, number);
		}
		buf += n;
		pos += n;
		len -= n;
	}
}

static void count(struct patchdev *p)
{
	if (++p->requests <= p->allowed || !p->allowed)
		return;
	fprintf(stderr, "patchdev: more than %llu requests\n",
		(unsigned long long)p->allowed);
	abort();
}

static int patchdev_pread(struct blkdev *dev, void *buf, size_t len,
			  dev_off pos)
{
	struct patchdev *p = patchdev_of(dev);

	count(p);
	get(p, buf, len, pos.v);
	return 0;
}

static int patchdev_pwrite(struct blkdev *dev, const void *buf, size_t len,
			   dev_off pos)
{
	struct patchdev *p = patchdev_of(dev);

	count(p);
	put(p, buf, len, pos.v, true);
	return 0;
}

static int patchdev_flush(struct blkdev *dev)
{
	count(patchdev_of(dev));
	return 0;
}

static void patchdev_close(struct blkdev *dev)
{
	struct patchdev *p = patchdev_of(dev);

	for (size_t i = 0; i * PATCHDEV_PAGE < p->size; i++)
		g_free(p->pages[i].bytes);
	g_free(p->pages);
	g_array_unref(p->changed);
	g_array_unref(p->written);
	g_bytes_unref(p->base);
	g_free(p);
}

static const struct blkdev_ops patchdev_ops = {
	.name = "patch",
	.pread = patchdev_pread,
	.pwrite = patchdev_pwrite,
	.flush = patchdev_flush,
	.close = patchdev_close,
};

struct blkdev *patchdev_new(GBytes *base)
{
	struct patchdev *p = g_new0(struct patchdev, 1);
	struct blkdev_geometry geo = { .sector = 512, .align = 1 };
	gsize size;

	p->base = g_bytes_ref(base);
	p->bytes = g_bytes_get_data(base, &size);
	p->size = size;
	geo.size = size;
	p->pages = g_new0(struct page, size / PATCHDEV_PAGE + 1);
	p->changed = g_array_new(FALSE, FALSE, sizeof(size_t));
	p->written = g_array_new(FALSE, FALSE, sizeof(size_t));
	blkdev_init(&p->dev, &patchdev_ops, &geo);
	return &p->dev;
}

void patchdev_reset(struct blkdev *dev)
{
	struct patchdev *p = patchdev_of(dev);

	g_assert(g_atomic_int_get(&dev->refs) == 1);
	for (guint i = 0; i < p->changed->len; i++) {
		size_t n = g_array_index(p->changed, size_t, i);

		p->pages[n].changed = p->pages[n].written = false;
	}
	g_array_set_size(p->changed, 0);
	g_array_set_size(p->written, 0);
	p->requests = p->allowed = 0;
	dev->geo.size = p->size;
	dev->geo.readonly = false;
}

void patchdev_cut(struct blkdev *dev, uint64_t size)
{
	g_assert(g_atomic_int_get(&dev->refs) == 1);
	dev->geo.size = u64_min(size, patchdev_of(dev)->size);
}

void patchdev_set_readonly(struct blkdev *dev, bool on)
{
	g_assert(g_atomic_int_get(&dev->refs) == 1);
	dev->geo.readonly = on;
}

void patchdev_allow(struct blkdev *dev, uint64_t requests)
{
	struct patchdev *p = patchdev_of(dev);

	p->requests = 0;
	p->allowed = requests;
}

void patchdev_poke(struct blkdev *dev, const void *buf, size_t len,
		   uint64_t pos)
{
	struct patchdev *p = patchdev_of(dev);

	g_assert(range_within(pos, len, p->size));
	put(p, buf, len, pos, false);
}

void patchdev_peek(struct blkdev *dev, void *buf, size_t len, uint64_t pos)
{
	struct patchdev *p = patchdev_of(dev);

	g_assert(range_within(pos, len, p->size));
	get(p, buf, len, pos);
}

size_t patchdev_written(struct blkdev *dev)
{
	return patchdev_of(dev)->written->len;
}

uint64_t patchdev_written_page(struct blkdev *dev, size_t i,
			       const uint8_t **ret_bytes)
{
	struct patchdev *p = patchdev_of(dev);
	size_t n = g_array_index(p->written, size_t, i);

	*ret_bytes = p->pages[n].bytes;
	return n;
}
