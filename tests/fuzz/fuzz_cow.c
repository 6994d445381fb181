/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any file at all as FILE of copy on write: it is refused with a sentence, or
 * it works.
 *
 * The input's first byte chooses what to start from: a good one whose header is
 * bent, and sealed again if the input wants that; or the input itself. The rest
 * of the input bends bytes, three of it for each.
 */
#include <rawmap/base/bytes.h>
#include <rawmap/base/crc32c.h>
#include <rawmap/dev/cow.h>

#include "support/memdev.h"
#include "support/nowritedev.h"

#include <string.h>

#define SIZE	 (5 * 4096 + 100)
#define CHECKSUM 56 /* where it stands in the header */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct cow_names names = { "file", "source" };

static struct blkdev *source_new(void)
{
	g_autoptr(blkdev) mem = memdev_new(SIZE, 512);

	memset(memdev_bytes(mem), 's', SIZE);
	return nowritedev_new(mem);
}

static struct blkdev *good_new(struct blkdev *source)
{
	struct blkdev *store = memdev_new(cow_store_size(SIZE), 512);
	struct blkdev *cow = cow_new(source, NULL, store, &names, true, NULL);

	g_assert(cow);
	g_assert(!blkdev_pwrite(cow, "x", 1, dev_off_at(4096)));
	blkdev_unref(cow);
	return store;
}

static void seal(uint8_t *header)
{
	uint32_t sum;

	memset(header + CHECKSUM, 0, 4);
	sum = crc32c(~0u, header, 4096);
	for (unsigned i = 0; i < 4; i++)
		header[CHECKSUM + i] = (uint8_t)(sum >> 8 * i);
}

static struct blkdev *bent_new(struct blkdev *source, const uint8_t *data,
			       size_t len, bool sealed)
{
	struct blkdev *store = good_new(source);
	uint8_t *bytes = memdev_bytes(store);

	for (; len >= 3; len -= 3, data += 3)
		bytes[(data[0] | data[1] << 8) % 8192] = data[2];
	if (sealed)
		seal(bytes);
	return store;
}

static struct blkdev *any_new(const uint8_t *data, size_t len)
{
	struct blkdev *store = memdev_new(len, 512);

	if (len)
		memcpy(memdev_bytes(store), data, len);
	return store;
}

static void work(struct blkdev *cow)
{
	uint8_t before[SIZE], after[SIZE];
	struct cow_info info;

	g_assert(blkdev_geometry(cow)->size == SIZE);
	g_assert(!blkdev_pread(cow, before, SIZE, dev_off_at(0)));
	g_assert(!blkdev_pwrite(cow, "hello", 5, dev_off_at(4094)));
	g_assert(!blkdev_zero(cow, 5000, dev_off_at(10000)));
	g_assert(!blkdev_flush(cow));
	memcpy(before + 4094, "hello", 5);
	memset(before + 10000, 0, 5000);
	g_assert(!blkdev_pread(cow, after, SIZE, dev_off_at(0)));
	g_assert(!memcmp(before, after, SIZE));
	g_assert(cow_info(cow, &info) && info.present <= info.clusters);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct blkdev *source = source_new(), *store, *cow;
	uint8_t how = len ? data[0] : 0;
	GError *error = NULL;

	if (how & 1)
		store = bent_new(source, data + 1, len - 1, how & 2);
	else
		store = any_new(data, len);
	cow = cow_new(source, NULL, store, &names, false, &error);
	g_assert(!cow == !!error);
	if (cow)
		work(cow);
	g_clear_error(&error);
	blkdev_unref(cow);
	blkdev_unref(store);
	blkdev_unref(source);
	return 0;
}
