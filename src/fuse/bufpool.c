/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Buffers for reads. A worker takes one, fills it, replies, gives it back; so
 * there are never more than workers, and once warm a read allocates nothing.
 * Page-aligned, so that a direct source reads into them without a copy.
 *
 * A free buffer holds the pointer to the next one in its first bytes.
 */
#include "fuse_priv.h"

#include <rawmap/base/bytes.h>

#include <string.h>

#define BUFFER_ALIGN 4096

void bufpool_init(struct bufpool *pool)
{
	mutex_init(&pool->lock);
	pool->free = NULL;
}

void bufpool_clear(struct bufpool *pool)
{
	while (pool->free) {
		void *buf = pool->free;

		memcpy(&pool->free, buf, sizeof(pool->free));
		bytes_aligned_free(buf);
	}
	mutex_clear(&pool->lock);
}

void *bufpool_get(struct bufpool *pool, size_t len)
{
	void *buf;

	/* Only a kernel that ignores what was agreed asks for more. */
	if (len > MAX_TRANSFER)
		return bytes_aligned_new(align_ceil(len, BUFFER_ALIGN),
					 BUFFER_ALIGN);

	mutex_lock(&pool->lock);
	buf = pool->free;
	if (buf)
		memcpy(&pool->free, buf, sizeof(pool->free));
	mutex_unlock(&pool->lock);

	return buf ? buf : bytes_aligned_new(MAX_TRANSFER, BUFFER_ALIGN);
}

void bufpool_put(struct bufpool *pool, void *buf, size_t len)
{
	if (len > MAX_TRANSFER) {
		bytes_aligned_free(buf);
		return;
	}
	mutex_lock(&pool->lock);
	memcpy(buf, &pool->free, sizeof(pool->free));
	pool->free = buf;
	mutex_unlock(&pool->lock);
}
