/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking the log home.
 *
 * The index is sorted by block, so this is one sweep over the device in writes
 * of up to a mebibyte. Nothing is remembered of it: whoever was cut off in the
 * middle does it again from the start, and writes the same.
 */
#include "replay_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/dev/blkdev.h>

#define WRITE_MAX (UINT32_C(1) << 20)

int replay_apply(struct replay *r, struct blkdev *dev, replay_progress progress,
		 void *ctx)
{
	size_t max = u64_min(WRITE_MAX >> r->bits, u64_max(r->n, 1));
	uint8_t *buf = journal_buf_new(r->j, max);
	int err = 0;

	for (size_t i = 0; i < r->n && !err;) {
		size_t n = replay_home_run(r, i, max);
		pblk home = pblk_at(r->entries[i].block);

		err = replay_read_run(r, i, n, buf);
		if (!err)
			err = blkdev_pwrite(dev, buf, n << r->bits,
					    dev_of_pblk(home, r->bits));
		i += n;
		if (!err && progress)
			progress(ctx, REPLAY_PASSES, i, r->n);
	}
	bytes_aligned_free(buf);
	return err;
}
