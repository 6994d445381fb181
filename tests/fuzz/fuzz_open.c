/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any damage to any structure of a host: opening it, looking into it, writing to
 * it and recovering it must end, with an error or without one.
 *
 *   byte 0       the kind of host
 *   byte 1       flags, below
 *   byte 2       which path is looked up
 *   byte 3       how many changes
 *   6 bytes each the structure, the place in it (16 bits), what is done there,
 *                and an operand (16 bits)
 *   the rest     what is done with the host
 */
#include "fuzz_use.h"

#include <rawmap/hostfs/recover.h>

#include <support/badhost.h>

#define KINDS_MAX 16

enum {
	WRITE = 1,
	SEAL = 2,    /* checksums are right again */
	CUT = 4,     /* the device is shorter */
	RECOVER = 8, /* for good */
	DRY_RUN = 16,
};

struct host {
	struct badhost *bh;
	struct blkdev *dev;
};

/* Made when an input wants them, and kept. */
static struct host *host_of(unsigned kind)
{
	static struct host hosts[KINDS_MAX];
	struct host *h = &hosts[kind];

	g_assert(badhost_n <= KINDS_MAX);
	if (!h->bh) {
		be_strict();
		h->bh = badhost_new(kind);
		h->dev = patchdev_new(h->bh->bytes);
	}
	patchdev_reset(h->dev);
	return h;
}

/* ---- damage ---- */

static void fill(struct blkdev *dev, uint64_t pos, uint32_t len, uint8_t byte)
{
	g_autofree uint8_t *bytes = g_malloc(len);

	memset(bytes, byte, len);
	patchdev_poke(dev, bytes, len, pos);
}

/* @len bytes are left from @pos to the structure's end. */
static void change(struct host *h, uint64_t pos, uint32_t len, uint8_t what,
		   uint16_t operand)
{
	uint32_t n = MIN(len, 4), value = 0;

	switch (what % 10) {
	case 0: /* a bit, two, sixteen */
	case 1:
		patchdev_peek(h->dev, &value, n, pos);
		value ^= what & 0x80 ? operand : 1u << operand % 32;
		break;
	case 2:
		fill(h->dev, pos, MIN(len, 1u + operand % 256), 0);
		return;
	case 3:
		fill(h->dev, pos, MIN(len, 1u + operand % 256), 0xff);
		return;
	case 4:
		n = 1;
		value = operand;
		break;
	case 5:
		n = MIN(len, 2);
		value = operand;
		break;
	case 6:
		value = operand;
		break;
	case 7: /* the other half */
		value = (uint32_t)operand << 16;
		break;
	case 8: /* a little more or less */
		patchdev_peek(h->dev, &value, n, pos);
		value += operand - 0x8000u;
		break;
	default: /* what stands elsewhere in the structures */
		patchdev_peek(h->dev, &value, n,
			      g_array_index(h->bh->areas, struct badhost_area,
					    operand % h->bh->areas->len)
				      .pos);
		break;
	}
	patchdev_poke(h->dev, &value, n, pos);
}

static void damage(struct host *h, struct input *in)
{
	uint8_t n = take8(in);

	for (unsigned i = 0; i < n % 24u; i++) {
		const struct badhost_area *a =
			&g_array_index(h->bh->areas, struct badhost_area,
				       take8(in) % h->bh->areas->len);
		uint32_t at = take16(in) % a->len;
		uint8_t what = take8(in);

		change(h, a->pos + at, a->len - at, what, take16(in));
	}
}

/* ---- use ---- */

static void use_readonly(struct host *h, const char *path, struct input *in)
{
	const struct hostfs_options opt = { .readonly = true };
	g_autoptr(GError) error = NULL;
	struct hostfs_info info;
	struct hostfs *fs;

	patchdev_set_readonly(h->dev, true);
	patchdev_allow(h->dev, REQUESTS_MAX);
	fs = hostfs_open(h->dev, &opt, &error);
	g_assert(!fs == !!error);
	if (fs) {
		hostfs_info(fs, &info);
		g_assert(info.blocks << hostfs_block_bits(fs) <=
			 blkdev_geometry(h->dev)->size);
		hostfs_info_clear(&info);
		look(fs, path, in);
		g_assert(!hostfs_close(fs));
	}
	patchdev_set_readonly(h->dev, false);
}

static void use_recover(struct host *h, bool dry_run)
{
	const struct recover_options opt = { .dry_run = dry_run };
	g_autoptr(GError) error = NULL;
	struct recover_report report;
	bool ok;

	patchdev_set_readonly(h->dev, dry_run);
	patchdev_allow(h->dev, REQUESTS_MAX);
	ok = hostfs_recover(h->dev, &opt, &report, &error);
	g_assert(ok == !error);
	patchdev_set_readonly(h->dev, false);
	/* The log may have brought anything, but never itself. */
	if (ok && !dry_run)
		g_assert(!hostfs_recover(h->dev, &opt, &report, NULL) ||
			 !report.needed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const paths[] = {
		"/disk.img", "/vm/link", "/vm/long", "<12>",
		"<8>",	     "/vm/..",	 "<31>",     "/lost+found/x",
	};
	struct input in = { data, len };
	struct host *h = host_of(take8(&in) % badhost_n);
	uint8_t flags = take8(&in);
	const char *path = paths[take8(&in) % G_N_ELEMENTS(paths)];

	damage(h, &in);
	if (flags & SEAL)
		badhost_seal(h->bh, h->dev);
	if (flags & CUT)
		patchdev_cut(h->dev, (uint64_t)take16(&in) * 509);
	use_readonly(h, path, &in);
	if (flags & DRY_RUN)
		use_recover(h, true);
	g_assert(!patchdev_written(h->dev));
	if (flags & RECOVER)
		use_recover(h, false);
	patchdev_allow(h->dev, REQUESTS_MAX);
	if (flags & WRITE)
		change_it(h->dev, path, &in, NULL, NULL);
	return 0;
}
