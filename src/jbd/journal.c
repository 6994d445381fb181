/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A journal's superblock, checked, and the way from its blocks to the device.
 *
 *   checked in this order      what is wrong
 *   runs inside the device     CORRUPT
 *   magic, block type          CORRUPT
 *   version 2: features        UNSUPPORTED; CORRUPT where two exclude each other
 *   checksum type, checksum    UNSUPPORTED, CORRUPT
 *   block size                 UNSUPPORTED
 *   first, maxlen, start       CORRUPT
 *
 * Features come before everything else that is read: they say what the rest
 * means. A superblock of version 1 has none; whatever stands in the fields that
 * version 2 added is not looked at.
 *
 * The superblock's block stays in memory as it is on the device; only
 * journal_update.c changes it.
 */
#include "jbd_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>
#include <rawmap/dev/blkdev.h>

#include <errno.h>
#include <string.h>

#define KNOWN_INCOMPAT                                      \
	(JBD_INCOMPAT_REVOKE | JBD_INCOMPAT_64BIT |         \
	 JBD_INCOMPAT_ASYNC_COMMIT | JBD_INCOMPAT_CSUM_V2 | \
	 JBD_INCOMPAT_CSUM_V3 | JBD_INCOMPAT_FAST_COMMIT)

/* A fast-commit area must leave the log this much (e2fsck and the kernel). */
#define LOG_MIN 1024

static bool fail(const struct journal *j, enum rawmap_error code,
		 GError **error, const char *what)
{
	g_set_error(error, RAWMAP_ERROR, (gint)code, "the journal of '%s' %s",
		    j->name, what);
	return false;
}

/* What a check of the whole filesystem can put right. */
static bool corrupt(const struct journal *j, GError **error, const char *what)
{
	g_autofree char *sentence =
		g_strdup_printf("%s; run 'e2fsck -f' on it", what);

	return fail(j, RAWMAP_ERROR_CORRUPT, error, sentence);
}

static bool unsupported(const struct journal *j, GError **error,
			const char *what)
{
	return fail(j, RAWMAP_ERROR_UNSUPPORTED, error, what);
}

void *journal_buf_new(const struct journal *j, size_t blocks)
{
	size_t bytes = align_ceil(blocks << j->bits, JBD_BUF_ALIGN);

	return bytes_aligned_new(bytes, JBD_BUF_ALIGN);
}

/* ---- runs ---- */

static bool take_runs(struct journal *j, const struct journal_run *runs,
		      size_t n, uint64_t *ret_total, GError **error)
{
	uint64_t size = blkdev_geometry(j->dev)->size >> j->bits;
	uint64_t total = 0;

	j->runs = g_new(struct journal_run, n + 1);
	j->starts = g_new(uint64_t, n + 1);
	for (size_t i = 0; i < n; i++) {
		if (!runs[i].len)
			continue;
		if (!range_within(runs[i].phys.v, runs[i].len, size))
			return corrupt(j, error, "does not lie on the device");
		j->runs[j->n] = runs[i];
		j->starts[j->n++] = total;
		if (!u64_add(total, runs[i].len, &total))
			return corrupt(j, error, "is impossibly long");
	}
	if (!total)
		return corrupt(j, error, "has no blocks");
	*ret_total = total;
	return true;
}

/* The run that holds @block, which one does. */
static size_t run_of(const struct journal *j, uint32_t block)
{
	size_t low = 0, high = j->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (j->starts[mid] <= block)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static pblk locate(const struct journal *j, uint32_t block, uint64_t *ret_left)
{
	size_t i = run_of(j, block);
	uint64_t inside = block - j->starts[i];

	g_assert(inside < j->runs[i].len);
	*ret_left = j->runs[i].len - inside;
	return pblk_add(j->runs[i].phys, inside);
}

/* ---- the superblock ---- */

static enum journal_csum decode_csum(uint32_t compat, uint32_t incompat)
{
	if (incompat & JBD_INCOMPAT_CSUM_V3)
		return JOURNAL_CSUM_V3;
	if (incompat & JBD_INCOMPAT_CSUM_V2)
		return JOURNAL_CSUM_V2;
	return compat & JBD_COMPAT_CHECKSUM ? JOURNAL_CSUM_V1
					    : JOURNAL_CSUM_NONE;
}

static uint32_t fast_commit_blocks(const struct jbd_super *super)
{
	uint32_t n = be32_get(super->num_fc_blocks);

	return n ? n : JBD_FAST_COMMIT_BLOCKS;
}

void journal_decode(const struct jbd_super *super, struct journal_info *ret)
{
	uint32_t type = be32_get(super->header.blocktype);
	uint32_t incompat = be32_get(super->incompat);

	*ret = (struct journal_info){
		.maxlen = be32_get(super->maxlen),
		.first = be32_get(super->first),
		.last = be32_get(super->maxlen),
		.sequence = be32_get(super->sequence),
		.start = be32_get(super->start),
		.error = (int)be32_get(super->error),
		.version = type == JBD_SUPER_V1 ? 1 : 2,
	};
	if (ret->version == 1)
		return;
	ret->csum = decode_csum(be32_get(super->compat), incompat);
	ret->is_64bit = incompat & JBD_INCOMPAT_64BIT;
	ret->has_revoke = incompat & JBD_INCOMPAT_REVOKE;
	ret->async_commit = incompat & JBD_INCOMPAT_ASYNC_COMMIT;
	ret->fast_commit = incompat & JBD_INCOMPAT_FAST_COMMIT;
	memcpy(ret->uuid, super->uuid, sizeof(ret->uuid));
	ret->users = be32_get(super->nr_users);
	memcpy(ret->user, super->users, sizeof(ret->user));
	if (ret->fast_commit)
		ret->last -= MIN(ret->last, fast_commit_blocks(super));
}

static bool check_features(const struct journal *j,
			   const struct jbd_super *super, GError **error)
{
	uint32_t compat = be32_get(super->compat);
	uint32_t incompat = be32_get(super->incompat);
	bool v1 = compat & JBD_COMPAT_CHECKSUM;
	bool v2 = incompat & JBD_INCOMPAT_CSUM_V2;
	bool v3 = incompat & JBD_INCOMPAT_CSUM_V3;

	if (incompat & ~KNOWN_INCOMPAT || be32_get(super->ro_compat))
		return unsupported(j, error,
				   "has a feature that rawmap does not know");
	if (v1 + v2 + v3 > 1)
		return corrupt(j, error, "has several kinds of checksums");
	if (!v2 && !v3)
		return true;
	if (super->checksum_type != JBD_CSUM_CRC32C)
		return unsupported(j, error,
				   "has checksums of a kind that rawmap does"
				   " not know");
	if (!jbd_super_ok(super))
		return corrupt(j, error,
			       "has a superblock with a wrong checksum");
	return true;
}

static bool check_numbers(const struct journal *j,
			  const struct jbd_super *super, uint64_t total,
			  GError **error)
{
	const struct journal_info *info = &j->info;

	if (be32_get(super->blocksize) != UINT32_C(1) << j->bits)
		return unsupported(j, error,
				   "has blocks of another size than the"
				   " filesystem");
	if (info->maxlen > total)
		return corrupt(j, error, "is shorter than it claims");
	if (info->fast_commit && info->last < LOG_MIN)
		return corrupt(j, error,
			       "has a fast-commit area that leaves no room");
	if (!info->first || info->first >= info->last)
		return corrupt(j, error, "starts at an impossible block");
	if (info->start &&
	    (info->start < info->first || info->start >= info->last))
		return corrupt(j, error, "has its tail at an impossible block");
	return true;
}

static bool load(struct journal *j, uint64_t total, GError **error)
{
	const struct jbd_super *super;
	uint32_t type;
	int err;

	j->super = journal_buf_new(j, 1);
	err = blkdev_pread(j->dev, j->super, (size_t)1 << j->bits,
			   dev_of_pblk(j->runs[0].phys, j->bits));
	if (err) {
		error_set_errno(error, RAWMAP_ERROR_IO, -err,
				"cannot read the journal of '%s'", j->name);
		return false;
	}
	super = (const void *)j->super;
	type = be32_get(super->header.blocktype);
	if (be32_get(super->header.magic) != JBD_MAGIC ||
	    (type != JBD_SUPER_V1 && type != JBD_SUPER_V2))
		return corrupt(j, error, "has no superblock");
	if (type == JBD_SUPER_V2 && !check_features(j, super, error))
		return false;
	journal_decode(super, &j->info);
	return check_numbers(j, super, total, error);
}

static struct journal *open_runs(struct blkdev *dev,
				 const struct journal_run *runs, size_t n,
				 bool own_device, unsigned block_bits,
				 const char *name, GError **error)
{
	struct journal *j = g_new0(struct journal, 1);
	uint64_t total = 0;

	g_assert(block_bits >= 10 && block_bits <= 16);
	j->dev = blkdev_ref(dev);
	j->own_device = own_device;
	j->name = g_strdup(name);
	j->bits = block_bits;
	if (take_runs(j, runs, n, &total, error) && load(j, total, error))
		return j;
	journal_close(j);
	return NULL;
}

/* ---- public ---- */

struct journal *journal_open(struct blkdev *dev, const struct journal_run *runs,
			     size_t n, unsigned block_bits, const char *name,
			     GError **error)
{
	return open_runs(dev, runs, n, false, block_bits, name, error);
}

struct journal *journal_open_device(struct blkdev *dev, pblk super,
				    uint64_t blocks, unsigned block_bits,
				    const char *name, GError **error)
{
	const struct journal_run runs[] = {
		{ super, 1 },
		{ pblk_at(1), blocks ? blocks - 1 : 0 },
	};

	return open_runs(dev, runs, G_N_ELEMENTS(runs), true, block_bits, name,
			 error);
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	blkdev_unref(j->dev);
	g_free(j->name);
	g_free(j->runs);
	g_free(j->starts);
	bytes_aligned_free(j->super);
	g_free(j);
}

const struct journal_info *journal_info(const struct journal *j)
{
	return &j->info;
}

const char *journal_name(const struct journal *j)
{
	return j->name;
}

unsigned journal_block_bits(const struct journal *j)
{
	return j->bits;
}

struct blkdev *journal_dev(struct journal *j)
{
	return j->dev;
}

pblk journal_block_at(const struct journal *j, uint32_t block,
		      uint32_t *ret_run)
{
	uint64_t left;
	pblk at;

	g_assert(block < j->info.maxlen);
	at = locate(j, block, &left);
	/* The last run may reach behind the journal's end. */
	*ret_run = (uint32_t)u64_min(left - 1, j->info.maxlen - 1 - block);
	return at;
}

/* One request a run; @buf is read into or written from. */
static int transfer(struct journal *j, uint32_t block, uint32_t n, uint8_t *in,
		    const uint8_t *out)
{
	g_assert(range_within(block, n, j->info.maxlen));
	while (n) {
		uint64_t left;
		dev_off pos = dev_of_pblk(locate(j, block, &left), j->bits);
		uint32_t now = (uint32_t)u64_min(left, n);
		size_t len = (size_t)now << j->bits;
		int err = in ? blkdev_pread(j->dev, in, len, pos)
			     : blkdev_pwrite(j->dev, out, len, pos);

		if (err)
			return err;
		block += now;
		n -= now;
		in = in ? in + len : NULL;
		out = out ? out + len : NULL;
	}
	return 0;
}

int journal_read(struct journal *j, uint32_t block, uint32_t n, void *buf)
{
	return transfer(j, block, n, buf, NULL);
}

int journal_write(struct journal *j, uint32_t block, uint32_t n,
		  const void *buf)
{
	return transfer(j, block, n, NULL, buf);
}
