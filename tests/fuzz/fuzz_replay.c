/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any log at all: the replay must end, with an index or an error, and what it
 * says must hold.
 *
 * The input's first bytes choose the journal's features and where the log
 * starts; each following record builds one block of it, so that magic numbers,
 * sequences and checksums are right unless the input wants them wrong.
 */
#include "support/logbuild.h"

#include <rawmap/jbd/replay.h>

#include <string.h>

#define MAXLEN 96
#define BS     1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
	const uint8_t *p;
	size_t left;
};

static uint8_t take(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

/* Bytes of the input over a block that was built, and its checksum again. */
static void bend(struct logbuild *lb, struct input *in, uint32_t at)
{
	uint8_t n = take(in);
	uint8_t *block = logbuild_block(lb, at);

	for (uint8_t i = 0; i < n % 8; i++) {
		uint32_t where = take(in);

		where += (uint32_t)(take(in) & 3) << 8;
		block[where] = take(in);
	}
	if (n & 0x80)
		logbuild_reseal(lb, at);
}

static void put_record(struct logbuild *lb, struct input *in)
{
	uint8_t op = take(in);
	uint64_t blocks[3] = { op, take(in), op / 2 };
	uint32_t at;

	switch (op % 8) {
	case 0:
	case 1:
	case 2:
		logbuild_data(lb, take(in) % 39 + (op & 0x40),
			      op & 0x80 ? LOGBUILD_MAGIC : op);
		return;
	case 3:
		at = logbuild_descriptor(lb);
		break;
	case 4:
		at = logbuild_revoke(lb, blocks, 1 + op % 3);
		break;
	case 5:
		logbuild_set_sequence(lb,
				      logbuild_sequence(lb) + take(in) - 128);
		return;
	case 6:
		logbuild_set_time(lb, 900 + take(in));
		return;
	default:
		at = logbuild_commit(lb);
		break;
	}
	if (at && take(in) & 1)
		bend(lb, in, at);
}

static struct logbuild_spec take_spec(struct input *in)
{
	struct logbuild_spec spec = {
		.maxlen = MAXLEN,
		.fs_blocks = 256,
		.start = 1 + take(in) % (MAXLEN - 1),
		.incompat = take(in) & 7,
	};
	uint8_t sums = take(in);

	if (sums % 4 == 1)
		spec.incompat |= JBD_INCOMPAT_CSUM_V2;
	if (sums % 4 == 2)
		spec.incompat |= JBD_INCOMPAT_CSUM_V3;
	if (sums % 4 == 3)
		spec.compat |= JBD_COMPAT_CHECKSUM;
	spec.whole_crc32 = sums & 4;
	spec.v1 = sums & 8;
	spec.sequence = sums & 16 ? UINT32_MAX - 1 : 7;
	return spec;
}

/* Each block alone, the view, and the device after apply: one truth. */
static void check(struct replay *r, struct blkdev *dev)
{
	const struct replay_report *report = replay_report(r);
	struct blkdev *view = replay_view_new(r, dev);
	g_autofree uint8_t *seen = g_malloc(256 * BS);
	uint8_t block[BS];
	uint64_t n = 0;

	g_assert(report->log_blocks <= MAXLEN - 1);
	g_assert(!blkdev_pread(view, seen, 256 * BS, dev_off_at(0)));
	g_assert(!replay_apply(r, dev, NULL, NULL));
	for (uint64_t i = 0; i < 256; i++) {
		int got = replay_get(r, pblk_at(i), block);

		n += got == 1;
		g_assert(got >= 0);
		if (got)
			g_assert(!memcmp(seen + i * BS, block, BS));
		g_assert(!blkdev_pread(dev, block, BS, dev_off_at(i * BS)));
		g_assert(!memcmp(seen + i * BS, block, BS));
	}
	g_assert(n == report->blocks);
	blkdev_unref(view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };
	struct logbuild_spec spec = take_spec(&in);
	struct logbuild *lb = logbuild_new(&spec);
	GError *error = NULL;
	struct journal *j;
	struct replay *r;

	while (in.left && logbuild_used(lb) < 3 * MAXLEN)
		put_record(lb, &in);
	j = logbuild_open(lb);
	r = replay_scan(j, 256, NULL, NULL, &error);
	g_assert(!r == !!error);
	if (r)
		check(r, logbuild_dev(lb));
	g_clear_error(&error);
	replay_free(r);
	journal_close(j);
	logbuild_free(lb);
	return 0;
}
