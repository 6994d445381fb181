/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <support/imagehost.h>

#include <rawmap/dev/blkdev.h>
#include <support/faultdev.h>
#include <support/memdev.h>
#include <support/orderdev.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define NAME "disk.img"

static uint32_t superblock_u32(const uint8_t *bytes, size_t at)
{
	const uint8_t *p = bytes + 1024 + at;

	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

/* Every block that is free, as debugfs lists them. */
static void make_stale(struct hostimg *host, uint8_t *bytes)
{
	uint32_t block_size = 1024U << superblock_u32(bytes, 24);
	uint32_t want = superblock_u32(bytes, 12);
	g_autofree char *answer = hostimg_ask(host, "ffb %u", want);
	const char *at = strchr(answer, ':');
	uint32_t found = 0;

	g_assert(at);
	for (at++;; found++) {
		char *end;
		unsigned long block = strtoul(at, &end, 10);

		if (end == at)
			break;
		memset(bytes + block * block_size, IMAGEHOST_STALE, block_size);
		at = end;
	}
	g_assert(found == want);
}

void imagehost_init(struct imagehost *h, const struct imagehost_spec *spec)
{
	const struct hostimg_spec host = { spec->mkfs, spec->host_size };
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	memset(h, 0, sizeof(*h));
	h->budget = spec->budget;
	h->host = hostimg_make(&host);
	hostimg_put(h->host, NAME, IMAGEHOST_SEED, spec->size, spec->pieces,
		    spec->n);
	bytes = hostimg_bytes(h->host, &len);
	make_stale(h->host, bytes);
	h->mem = memdev_new(len, 512);
	memcpy(memdev_bytes(h->mem), bytes, len);
	h->order = orderdev_new(h->mem);
	h->dev = faultdev_new(h->order);
}

void imagehost_open(struct imagehost *h)
{
	const struct hostfs_options opt = { .use_reserved = true };
	GError *error = NULL;
	struct hostfile *hf;

	/* A test may have put other bytes there. */
	orderdev_look(h->order);
	h->fs = hostfs_open(h->dev, &opt, &error);
	ck_assert_msg(h->fs, "%s", error ? error->message : "");
	hf = hostfile_open(h->fs, "/" NAME, h->budget, &error);
	ck_assert_msg(hf, "%s", error ? error->message : "");
	h->img = image_new(hf, false);
}

int imagehost_close(struct imagehost *h)
{
	int err;

	image_free(h->img);
	h->img = NULL;
	err = hostfs_close(h->fs);
	h->fs = NULL;
	return err;
}

void imagehost_abandon(struct imagehost *h)
{
	image_free(h->img);
	h->img = NULL;
	hostfs_abandon(h->fs);
	h->fs = NULL;
}

void imagehost_clear(struct imagehost *h)
{
	if (h->img)
		imagehost_abandon(h);
	ck_assert_ptr_null(orderdev_complaint(h->order));
	blkdev_unref(h->dev);
	blkdev_unref(h->order);
	blkdev_unref(h->mem);
	hostimg_free(h->host);
	memset(h, 0, sizeof(*h));
}

static void store(struct imagehost *h)
{
	hostimg_store(h->host, memdev_bytes(h->mem),
		      blkdev_geometry(h->mem)->size);
}

void imagehost_check(struct imagehost *h, const uint8_t *bytes, uint64_t size)
{
	g_autofree char *out = NULL;
	g_autofree uint8_t *got = NULL;
	size_t len, i;
	int status;

	store(h);
	status = hostimg_fsck(h->host, &out);
	ck_assert_msg(!status, "e2fsck -fn: %d\n%s", status, out);
	if (!bytes)
		return;
	got = hostimg_cat(h->host, "/" NAME, &len);
	ck_assert_uint_eq(len, size);
	/* Check notes each assertion down; one a byte takes seconds. */
	for (i = 0; i < len && got[i] == bytes[i]; i++)
		;
	ck_assert_msg(i == len, "byte %zu on disk is %#x, not %#x", i,
		      i < len ? got[i] : 0, i < len ? bytes[i] : 0);
}

void imagehost_repair(struct imagehost *h)
{
	g_autofree char *out = NULL, *again = NULL;
	g_autofree uint8_t *bytes = NULL;
	size_t len;
	int status;

	store(h);
	status = hostimg_preen(h->host, &out);
	ck_assert_msg(status <= 1, "e2fsck -p: %d\n%s", status, out);
	status = hostimg_fsck(h->host, &again);
	ck_assert_msg(!status, "e2fsck -fn: %d\n%s", status, again);
	bytes = hostimg_bytes(h->host, &len);
	memcpy(memdev_bytes(h->mem), bytes, len);
}

void imagehost_check_map(struct imagehost *h)
{
	g_autofree char *wrong = hostfile_check(image_file(h->img));
	g_autofree char *cache = extmap_check(hostfile_map(image_file(h->img)));

	ck_assert_msg(!wrong, "%s", wrong);
	ck_assert_msg(!cache, "%s", cache);
}
