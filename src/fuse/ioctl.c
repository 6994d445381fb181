/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ioctl(2) on an exposed file: what <rawmap/ioctl.h> promises. Everything else
 * is ENOTTY, so that programs that probe (lsattr, file systems' tools) go on.
 */
#include "fuse_priv.h"

#include <rawmap/hostfs/hostfile.h>
#include <rawmap/ioctl.h>

#include <errno.h>
#include <stdlib.h>

static void fill_stats(const struct session *s, struct image *img,
		       struct rawmap_stats *st)
{
	struct image_stats image;
	struct extmap_stats map;
	struct hostfs_stats host;
	struct blkdev_counters dev;

	image_stats(img, &image);
	extmap_stats(hostfile_map(image_file(img)), &map);
	hostfs_stats(s->fs, &host);
	blkdev_counters(s->dev, &dev);

	*st = (struct rawmap_stats){
		.reads = image.reads,
		.read_bytes = image.read_bytes,
		.writes = image.writes,
		.write_bytes = image.write_bytes,
		.fills = image.fills,
		.fill_bytes = image.fill_bytes,
		.punches = image.punches,
		.punch_bytes = image.punch_bytes,
		.zeros = image.zeros,
		.flushes = image.flushes,
		.errors = image.errors,
		.cache_extents = map.extents,
		.cache_bytes = map.bytes,
		.cache_hits = map.hits,
		.cache_misses = map.misses,
		.cache_loads = map.loads,
		.cache_evictions = map.evictions,
		.commits = host.commits,
		.commit_blocks = host.commit_blocks,
		.commit_ns_total = host.commit_ns_total,
		.commit_ns_max = host.commit_ns_max,
		.pending_blocks = host.pending_blocks,
		.pending_free = host.pending_free,
		.failed = (uint64_t)abs(host.failed),
		.dev_reads = dev.reads,
		.dev_read_bytes = dev.read_bytes,
		.dev_writes = dev.writes,
		.dev_write_bytes = dev.write_bytes,
		.dev_flushes = dev.flushes,
		.dev_errors = dev.errors,
	};
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in_buf,
	      size_t in_size, size_t out_size)
{
	struct session *s = fuse_req_userdata(req);
	struct image *img = session_image(s, ino);
	struct rawmap_stats stats;

	(void)arg;
	(void)fi;
	(void)flags;
	(void)in_buf;
	(void)in_size;
	if (!img || cmd != RAWMAP_IOC_STATS || out_size < sizeof(stats)) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	fill_stats(s, img, &stats);
	fuse_reply_ioctl(req, 0, &stats, sizeof(stats));
}
