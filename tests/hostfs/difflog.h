/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two states of a host become the first, with the second in its log. */
#ifndef TESTS_HOSTFS_DIFFLOG_H
#define TESTS_HOSTFS_DIFFLOG_H

#include <rawmap/map/extent.h>

#include <support/hostimg.h>

#include <check.h>
#include <string.h>

struct difflog {
	struct hostimg *img;
	uint32_t bs;
	const char *open;	       /* options of debugfs' journal_open */
	const uint8_t *before, *after; /* of the same size */
	size_t size;
	uint64_t end; /* blocks from here on go home at once */
	/*
	 * struct extent: the journal. debugfs logs no block beyond the end of
	 * the filesystem that it sees: let it see @after then. NULL: @before.
	 */
	const GArray *journal;
	bool with_super; /* in the log, too; else it is that of @before */
};

static inline char *difflog_file(struct hostimg *img, const GByteArray *bytes)
{
	char *path = g_build_filename(hostimg_dir(img), "difflog", NULL);

	ck_assert(g_file_set_contents(path, (const char *)bytes->data,
				      (gssize)bytes->len, NULL));
	return path;
}

/* The journal of the image into @home, which becomes the image. */
static inline void difflog_transplant(const struct difflog *d, uint8_t *home)
{
	size_t len;
	g_autofree uint8_t *bytes = hostimg_bytes(d->img, &len);

	for (guint i = 0; i < d->journal->len; i++) {
		const struct extent *e =
			&g_array_index(d->journal, struct extent, i);

		memcpy(home + e->phys.v * d->bs, bytes + e->phys.v * d->bs,
		       e->len * d->bs);
	}
	hostimg_store(d->img, home, d->size);
	hostimg_edit(d->img, "feature needs_recovery\n");
}

static inline void difflog_write(const struct difflog *d)
{
	g_autofree uint8_t *home = g_memdup2(d->before, d->size);
	g_autoptr(GByteArray) content = g_byte_array_new();
	g_autoptr(GString) list = g_string_new(NULL);
	g_autofree char *file = NULL;

	for (uint64_t b = 0; b < d->size / d->bs; b++) {
		const uint8_t *now = d->after + b * d->bs;

		if (!memcmp(home + b * d->bs, now, d->bs) ||
		    (b == 1024 / d->bs && !d->with_super))
			continue;
		if (b >= d->end) {
			memcpy(home + b * d->bs, now, d->bs);
			continue;
		}
		g_string_append_printf(list, "%s%lu", list->len ? "," : "",
				       (unsigned long)b);
		g_byte_array_append(content, now, d->bs);
	}
	ck_assert_uint_gt(content->len, 0);
	hostimg_store(d->img, d->journal ? d->after : home, d->size);
	file = difflog_file(d->img, content);
	hostimg_edit(d->img, "jo %s\njw -b %s %s\njc\n", d->open, list->str,
		     file);
	if (d->journal)
		difflog_transplant(d, home);
}

#endif
