/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of the replay share: every format a log can have, and the
 * judgement of a log that was built beside its model.
 */
#ifndef RAWMAP_TESTS_REPLAY_BED_H
#define RAWMAP_TESTS_REPLAY_BED_H

#include "support/logbuild.h"
#include "support/memdev.h"

#include <rawmap/base/error.h>
#include <rawmap/jbd/replay.h>

#include <check.h>
#include <string.h>

static const struct logbuild_spec formats[] = {
	{ .v1 = true },
	{ .incompat = JBD_INCOMPAT_REVOKE },
	{ .incompat = JBD_INCOMPAT_REVOKE, .bits = 12 },
	{ .incompat = JBD_INCOMPAT_64BIT },
	{ .incompat = JBD_INCOMPAT_CSUM_V2 },
	{ .incompat = JBD_INCOMPAT_CSUM_V2, .bits = 16, .fs_blocks = 111 },
	{ .incompat = JBD_INCOMPAT_CSUM_V2 | JBD_INCOMPAT_64BIT },
	{ .incompat = JBD_INCOMPAT_CSUM_V3, .bits = 11 },
	{ .incompat = JBD_INCOMPAT_CSUM_V3 | JBD_INCOMPAT_64BIT },
	{ .incompat = JBD_INCOMPAT_CSUM_V3 | JBD_INCOMPAT_ASYNC_COMMIT },
	{ .compat = JBD_COMPAT_CHECKSUM },
	{ .compat = JBD_COMPAT_CHECKSUM, .whole_crc32 = true },
	{ .compat = JBD_COMPAT_CHECKSUM,
	  .incompat = JBD_INCOMPAT_64BIT | JBD_INCOMPAT_ASYNC_COMMIT,
	  .whole_crc32 = true },
};

#define N_FORMATS ((int)G_N_ELEMENTS(formats))

/* A log that everybody may read, to be damaged or not. */
struct bed {
	struct logbuild *lb;
	struct journal *j;
	struct replay *r;
};

static inline void bed_close(struct bed *bed)
{
	replay_free(bed->r);
	journal_close(bed->j);
	logbuild_free(bed->lb);
}

static inline struct replay *bed_scan(struct bed *bed)
{
	GError *error = NULL;

	bed->j = logbuild_open(bed->lb);
	bed->r = replay_scan(bed->j, logbuild_fs_blocks(bed->lb), NULL, NULL,
			     &error);
	ck_assert_msg(bed->r != NULL, "%s", error ? error->message : "");
	return bed->r;
}

/* The log must be refused, and the sentence must have @words in it. */
static inline void bed_refused(struct bed *bed, enum rawmap_error code,
			       const char *words)
{
	GError *error = NULL;

	bed->j = logbuild_open(bed->lb);
	bed->r = replay_scan(bed->j, logbuild_fs_blocks(bed->lb), NULL, NULL,
			     &error);
	ck_assert(!bed->r);
	ck_assert(g_error_matches(error, RAWMAP_ERROR, (gint)code));
	ck_assert_msg(strstr(error->message, words) != NULL, "%s",
		      error->message);
	g_error_free(error);
}

static inline uint8_t *bed_read_all(struct blkdev *dev)
{
	uint64_t size = blkdev_geometry(dev)->size;
	uint8_t *all = g_malloc(size);

	ck_assert_int_eq(blkdev_pread(dev, all, size, dev_off_at(0)), 0);
	return all;
}

/*
 * Report, single blocks, view and apply against the model; @ntx transactions
 * count. The device is as the log leaves it afterwards.
 */
static inline void bed_judge(struct bed *bed, uint32_t ntx)
{
	struct replay *r = bed->r ? bed->r : bed_scan(bed);
	uint64_t blocks, revoked, n = logbuild_fs_blocks(bed->lb);
	g_autofree uint8_t *model = logbuild_model(bed->lb, &blocks, &revoked);
	struct blkdev *dev = logbuild_dev(bed->lb);
	const struct replay_report *report = replay_report(r);
	size_t bs = (size_t)(blkdev_geometry(dev)->size / n);
	g_autofree uint8_t *block = g_malloc(bs);
	g_autoptr(blkdev) view = replay_view_new(r, dev);
	g_autofree uint8_t *seen = bed_read_all(view);
	uint64_t copies = 0;

	for (uint64_t i = 0; i < n; i++) {
		int got = replay_get(r, pblk_at(i), block);

		ck_assert_int_ge(got, 0);
		ck_assert_int_eq(got, replay_get(r, pblk_at(i), NULL));
		copies += (uint64_t)got;
		if (got)
			ck_assert_mem_eq(block, model + i * bs, bs);
	}
	ck_assert_uint_eq(copies, blocks);
	ck_assert_uint_eq(report->blocks, blocks);
	ck_assert_uint_eq(report->revoked, revoked);
	ck_assert_uint_eq(report->transactions, ntx);
	ck_assert_mem_eq(seen, model, n * bs);
	ck_assert_int_eq(replay_apply(r, dev, NULL, NULL), 0);
	ck_assert_mem_eq(memdev_bytes(dev), model, n * bs);
}

/* Where put_tx() put things. */
struct places { /* log blocks */
	uint32_t descriptor, revoke, commit;
};

/* Descriptor, data of blocks 3 and 4, revoke, commit. */
static inline struct places put_tx(struct logbuild *lb, uint32_t fill)
{
	static const uint64_t revoked[] = { 9 };
	struct places at;

	logbuild_data(lb, 3, fill);
	logbuild_data(lb, 4, fill);
	at.descriptor = logbuild_descriptor(lb);
	at.revoke = logbuild_revoke(lb, revoked, 1);
	at.commit = logbuild_commit(lb);
	return at;
}

static inline struct bed bed_of(const struct logbuild_spec *spec)
{
	return (struct bed){ logbuild_new(spec), NULL, NULL };
}

#endif
