/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The counters of all layers, as <rawmap/ioctl.h> has them. */
#include "fuse_priv.h"

#include <rawmap/hostfs/hostfile.h>
#include <rawmap/ioctl.h>

#include <stdlib.h>

void session_stats(const struct session *s, struct image *img,
		   struct rawmap_stats *ret)
{
	struct image_stats image;
	struct extmap_stats map;
	struct hostfs_stats host;
	struct blkdev_counters dev;

	image_stats(img, &image);
	extmap_stats(hostfile_map(image_file(img)), &map);
	hostfs_stats(s->fs, &host);
	blkdev_counters(hostfs_data_dev(s->fs), &dev);

	*ret = (struct rawmap_stats){
		.uptime_ns = monotonic_now_ns() - s->since,
		.requests = image.requests,
		.request_ns_total = image.request_ns,
		.queue_depth = image.in_flight,
		.queue_depth_max = image.in_flight_max,
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
		.cache_budget = map.budget,
		.cache_hits = map.hits,
		.cache_misses = map.misses,
		.cache_loads = map.loads,
		.cache_evictions = map.evictions,
		.commits = host.commits,
		.commit_blocks = host.commit_blocks,
		.commit_ns_total = host.commit_ns_total,
		.commit_ns_max = host.commit_ns_max,
		.commit_ns_p99 = host.commit_ns_p99,
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
