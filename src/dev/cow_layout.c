/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where things lie in FILE, by the size of the source and of a cluster alone.
 *
 *   header    at 0
 *   bitmap    behind it, a bit a cluster, in whole pages
 *   data      at the next MiB; cluster c at data + c * cluster
 *
 * So FILE's data are the source's positions shifted, no index is needed, and
 * FILE has holes wherever nothing was written. The bitmap is in memory as long
 * as FILE is open: clusters grow with the source to bound it.
 */
#include "cow_priv.h"

#include <rawmap/base/bytes.h>

#define CLUSTER_MIN 4096
#define CLUSTER_MAX (1u << 20)
#define BITMAP_MAX  (UINT64_C(16) << 20)
#define DATA_ALIGN  (UINT64_C(1) << 20)

bool cow_layout_with(uint64_t size, uint32_t cluster, struct cow_layout *ret)
{
	uint64_t clusters;

	if (!is_power_of_two(cluster) || cluster < CLUSTER_MIN ||
	    cluster > CLUSTER_MAX)
		return false;
	clusters = size / cluster + (size % cluster != 0);
	if (clusters > 8 * BITMAP_MAX)
		return false;
	*ret = (struct cow_layout){
		.size = size,
		.cluster = cluster,
		.clusters = clusters,
		.bitmap = align_ceil(clusters, 8 * COW_PAGE) / 8,
	};
	ret->data = align_ceil(COW_HEADER + ret->bitmap, DATA_ALIGN);
	ret->store = ret->data + clusters * cluster;
	return true;
}

bool cow_layout_choose(uint64_t size, struct cow_layout *ret)
{
	for (uint32_t n = CLUSTER_MIN; n <= CLUSTER_MAX; n *= 2)
		if (cow_layout_with(size, n, ret))
			return true;
	return false;
}

uint64_t cow_store_size(uint64_t size)
{
	struct cow_layout at;

	return cow_layout_choose(size, &at) ? at.store : 0;
}
