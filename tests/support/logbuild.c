/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "support/logbuild.h"

#include "support/memdev.h"

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <string.h>

#define JOURNAL_AT 40 /* block of the filesystem */

struct copy {
	uint64_t block;
	uint32_t fill;
	uint32_t tx; /* or the revoke's */
};

struct logbuild {
	struct logbuild_spec spec;
	struct blkdev *dev, *jdev; /* jdev: the journal's; may be dev */
	size_t bs;
	uint32_t super; /* with a device of its own: block of that */
	uint32_t first, last, head, used, sequence, tx;
	uint64_t time;
	uint32_t crc32;
	bool stopped;
	GArray *pending;		 /* struct copy, no descriptor yet */
	GArray *copies, *revokes;	 /* struct copy; the model */
	guint good_copies, good_revokes; /* committed ones */
};

static bool has(const struct logbuild *lb, uint32_t incompat)
{
	return !lb->spec.v1 && lb->spec.incompat & incompat;
}

static bool has_tails(const struct logbuild *lb)
{
	return has(lb, JBD_INCOMPAT_CSUM_V2 | JBD_INCOMPAT_CSUM_V3);
}

/* ---- bytes ---- */

static void put32(uint8_t *p, uint32_t n)
{
	for (int i = 3; i >= 0; i--, n >>= 8)
		p[i] = (uint8_t)n;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static void put64(uint8_t *p, uint64_t n)
{
	put32(p, (uint32_t)(n >> 32));
	put32(p + 4, (uint32_t)n);
}

static uint32_t crc32_be(uint32_t crc, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= (uint32_t)p[i] << 24;
		for (int bit = 0; bit < 8; bit++)
			crc = crc << 1 ^ (crc >> 31 ? 0x04c11db7u : 0);
	}
	return crc;
}

static void fill_block(uint8_t *p, size_t len, uint64_t block, uint32_t fill)
{
	uint64_t x = block * 0x9e3779b97f4a7c15u + fill * 0x7f4a7c15u + 1;

	for (size_t i = 0; i < len; i += sizeof(x)) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		memcpy(p + i, &x, sizeof(x));
	}
	p[0] = 0x11; /* by no chance the magic */
	if (fill & LOGBUILD_MAGIC)
		put32(p, JBD_MAGIC);
}

/* ---- the journal ---- */

/* The second half of the journal lies before the first one. */
static uint64_t phys_of(const struct logbuild *lb, uint32_t at)
{
	uint32_t half = lb->spec.maxlen / 2;

	if (lb->spec.device)
		return at ? at : lb->super;
	return at < half ? JOURNAL_AT + (lb->spec.maxlen - half) + at
			 : JOURNAL_AT + (at - half);
}

uint8_t *logbuild_block(struct logbuild *lb, uint32_t at)
{
	g_assert(at < lb->spec.maxlen);
	return memdev_bytes(lb->jdev) + phys_of(lb, at) * lb->bs;
}

static uint8_t *take(struct logbuild *lb, uint32_t *ret_at)
{
	uint8_t *p = logbuild_block(lb, lb->head);

	*ret_at = lb->head++;
	if (lb->head == lb->last)
		lb->head = lb->first;
	lb->used++;
	return p;
}

static uint8_t *take_control(struct logbuild *lb, uint32_t type,
			     uint32_t *ret_at)
{
	uint8_t *p = take(lb, ret_at);

	memset(p, 0, lb->bs);
	put32(p, JBD_MAGIC);
	put32(p + 4, type);
	put32(p + 8, lb->sequence);
	return p;
}

static void uuid_of(uint8_t uuid[16])
{
	for (uint8_t i = 0; i < 16; i++)
		uuid[i] = (uint8_t)(0xa0 + i);
}

static uint32_t seed(void)
{
	uint8_t uuid[16];

	uuid_of(uuid);
	return ext2fs_crc32c_le(~0u, uuid, 16);
}

void logbuild_reseal(struct logbuild *lb, uint32_t at)
{
	uint8_t *p = logbuild_block(lb, at);
	size_t field = get32(p + 4) == JBD_COMMIT ? 16 : lb->bs - 4;

	if (!has_tails(lb))
		return;
	put32(p + field, 0);
	put32(p + field, ext2fs_crc32c_le(seed(), p, lb->bs));
}

/* ---- writing ---- */

void logbuild_data(struct logbuild *lb, uint64_t block, uint32_t fill)
{
	struct copy c = { .block = block, .fill = fill, .tx = lb->tx };

	g_array_append_val(lb->pending, c);
}

static size_t tag_size(const struct logbuild *lb)
{
	size_t size = has(lb, JBD_INCOMPAT_64BIT) ? 12 : 8;

	if (has(lb, JBD_INCOMPAT_CSUM_V3))
		return 16;
	return has(lb, JBD_INCOMPAT_CSUM_V2) ? size + 2 : size;
}

static void put_tag(const struct logbuild *lb, uint8_t *p, uint64_t block,
		    uint32_t flags, uint32_t csum)
{
	uint32_t high = (uint32_t)(block >> 32);

	put32(p, (uint32_t)block);
	if (has(lb, JBD_INCOMPAT_CSUM_V3)) {
		put32(p + 4, flags);
		put32(p + 8, high);
		put32(p + 12, csum);
		return;
	}
	put32(p + 4, flags & 0xffff);
	if (has(lb, JBD_INCOMPAT_CSUM_V2)) {
		p[4] = (uint8_t)(csum >> 8);
		p[5] = (uint8_t)csum;
	}
	if (has(lb, JBD_INCOMPAT_64BIT))
		put32(p + 8, high);
}

static uint32_t sum_of(const struct logbuild *lb, const uint8_t *block)
{
	uint8_t number[4];

	put32(number, lb->sequence);
	return ext2fs_crc32c_le(ext2fs_crc32c_le(seed(), number, 4), block,
				lb->bs);
}

/* One descriptor for the first pending copies; returns how many it took. */
static guint put_descriptor(struct logbuild *lb, uint32_t *ret_at)
{
	size_t end = lb->bs - (has_tails(lb) ? 4 : 0), off = 12;
	uint8_t *p = take_control(lb, JBD_DESCRIPTOR, ret_at);
	uint32_t crc = lb->crc32, at;
	guint n = 0;

	while (n < lb->pending->len) {
		struct copy *c = &g_array_index(lb->pending, struct copy, n);
		size_t behind = off + tag_size(lb) + (n ? 0 : 16);
		bool escape = c->fill & LOGBUILD_MAGIC;
		size_t next = behind + tag_size(lb);
		uint32_t flags = escape ? 1 : 0;
		uint8_t *data = take(lb, &at);

		fill_block(data, lb->bs, c->block, c->fill);
		if (escape)
			put32(data, 0);
		flags |= n++ ? 2 : 0;
		flags |= n == lb->pending->len || next > end ? 8 : 0;
		put_tag(lb, p + off, c->block, flags, sum_of(lb, data));
		if (n == 1)
			uuid_of(p + off + tag_size(lb));
		off = behind;
		if (next > end)
			break;
	}
	logbuild_reseal(lb, *ret_at);
	if (!lb->spec.whole_crc32)
		return n;
	crc = crc32_be(crc, p, lb->bs);
	for (guint i = 0; i < n; i++) {
		uint32_t from = *ret_at - lb->first + 1 + i;

		from = lb->first + from % (lb->last - lb->first);

		crc = crc32_be(crc, logbuild_block(lb, from), lb->bs);
	}
	lb->crc32 = crc;
	return n;
}

uint32_t logbuild_descriptor(struct logbuild *lb)
{
	uint32_t at = 0, first = 0;

	while (lb->pending->len) {
		guint n = put_descriptor(lb, &at);

		first = first ? first : at;
		g_array_append_vals(lb->copies, lb->pending->data, n);
		g_array_remove_range(lb->pending, 0, n);
	}
	return first;
}

uint32_t logbuild_revoke(struct logbuild *lb, const uint64_t *blocks, size_t n)
{
	uint32_t at, off = 16, size = has(lb, JBD_INCOMPAT_64BIT) ? 8 : 4;
	uint8_t *p;

	logbuild_descriptor(lb);
	p = take_control(lb, JBD_REVOKE, &at);
	for (size_t i = 0; i < n; i++, off += size) {
		struct copy c = { .block = blocks[i], .tx = lb->tx };

		g_assert(off + size <= lb->bs - (has_tails(lb) ? 4 : 0));
		if (size == 8)
			put64(p + off, blocks[i]);
		else
			put32(p + off, (uint32_t)blocks[i]);
		g_array_append_val(lb->revokes, c);
	}
	put32(p + 12, off);
	logbuild_reseal(lb, at);
	return at;
}

uint32_t logbuild_commit(struct logbuild *lb)
{
	uint32_t at;
	uint8_t *p;

	logbuild_descriptor(lb);
	p = take_control(lb, JBD_COMMIT, &at);
	if (lb->spec.whole_crc32) {
		p[12] = 1;
		p[13] = 4;
		put32(p + 16, lb->crc32);
	}
	put64(p + 48, lb->time++);
	put32(p + 56, 999);
	logbuild_reseal(lb, at);
	lb->crc32 = ~0u;
	lb->sequence++;
	lb->tx++;
	if (!lb->stopped) {
		lb->good_copies = lb->copies->len;
		lb->good_revokes = lb->revokes->len;
	}
	return at;
}

void logbuild_stop(struct logbuild *lb)
{
	lb->stopped = true;
}

uint64_t logbuild_time(struct logbuild *lb)
{
	return lb->time;
}

void logbuild_set_time(struct logbuild *lb, uint64_t seconds)
{
	lb->time = seconds;
}

uint32_t logbuild_sequence(const struct logbuild *lb)
{
	return lb->sequence;
}

void logbuild_set_sequence(struct logbuild *lb, uint32_t sequence)
{
	lb->sequence = sequence;
}

uint32_t logbuild_head(const struct logbuild *lb)
{
	return lb->head;
}

void logbuild_set_head(struct logbuild *lb, uint32_t at)
{
	lb->head = at;
}

uint32_t logbuild_used(const struct logbuild *lb)
{
	return lb->used;
}

/* ---- reading ---- */

void logbuild_super(struct logbuild *lb, uint32_t start)
{
	uint8_t *p = logbuild_block(lb, 0);

	memset(p, 0, lb->bs);
	put32(p, JBD_MAGIC);
	put32(p + 4, lb->spec.v1 ? JBD_SUPER_V1 : JBD_SUPER_V2);
	put32(p + 12, (uint32_t)lb->bs);
	put32(p + 16, lb->spec.maxlen);
	put32(p + 20, lb->first);
	put32(p + 24, lb->spec.sequence);
	put32(p + 28, start);
	if (lb->spec.v1)
		return;
	put32(p + 36, lb->spec.compat);
	put32(p + 40, lb->spec.incompat);
	uuid_of(p + 48);
	put32(p + 64, 1);
	put32(p + 0x54, lb->spec.fc_blocks);
	if (!has_tails(lb))
		return;
	p[0x50] = JBD_CSUM_CRC32C;
	put32(p + 0xfc, ext2fs_crc32c_le(~0u, p, 1024));
}

struct journal *logbuild_open_on(struct logbuild *lb, struct blkdev *dev)
{
	uint32_t half = lb->spec.maxlen / 2;
	const struct journal_run runs[] = {
		{ pblk_at(phys_of(lb, 0)), half },
		{ pblk_at(phys_of(lb, half)), lb->spec.maxlen - half },
	};
	unsigned bits = lb->spec.bits;
	GError *error = NULL;
	struct journal *j;

	if (lb->spec.device)
		j = journal_open_device(dev, pblk_at(lb->super),
					lb->spec.maxlen, bits, "log", &error);
	else
		j = journal_open(dev, runs, 2, bits, "log", &error);

	if (!j)
		g_error("logbuild: %s", error->message);
	return j;
}

struct journal *logbuild_open(struct logbuild *lb)
{
	logbuild_super(lb, lb->spec.start);
	return logbuild_open_on(lb, lb->jdev);
}

struct blkdev *logbuild_dev(struct logbuild *lb)
{
	return lb->dev;
}

struct blkdev *logbuild_journal_dev(struct logbuild *lb)
{
	return lb->jdev;
}

uint64_t logbuild_fs_blocks(const struct logbuild *lb)
{
	return lb->spec.fs_blocks;
}

/* Does a revoke of this transaction, or of a later one, name the block? */
static bool is_revoked(const struct logbuild *lb, const struct copy *c)
{
	for (guint i = 0; i < lb->good_revokes; i++) {
		const struct copy *r =
			&g_array_index(lb->revokes, struct copy, i);

		if (r->block == c->block && r->tx >= c->tx)
			return true;
	}
	return false;
}

uint8_t *logbuild_model(struct logbuild *lb, uint64_t *ret_blocks,
			uint64_t *ret_revoked)
{
	uint64_t size = lb->spec.fs_blocks * lb->bs;
	uint8_t *model = g_malloc(size);
	g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);

	memcpy(model, memdev_bytes(lb->dev), size);
	*ret_revoked = 0;
	for (guint i = 0; i < lb->good_copies; i++) {
		const struct copy *c =
			&g_array_index(lb->copies, struct copy, i);

		if (is_revoked(lb, c)) {
			++*ret_revoked;
			continue;
		}
		fill_block(model + c->block * lb->bs, lb->bs, c->block,
			   c->fill);
		g_hash_table_add(seen, GUINT_TO_POINTER(c->block));
	}
	*ret_blocks = g_hash_table_size(seen);
	return model;
}

struct logbuild *logbuild_new(const struct logbuild_spec *spec)
{
	struct logbuild *lb = g_new0(struct logbuild, 1);
	struct logbuild_spec *s = &lb->spec;

	*s = *spec;
	s->bits = s->bits ? s->bits : 10;
	s->maxlen = s->maxlen ? s->maxlen : 64;
	lb->super = s->bits == 10 ? 2 : 1;
	lb->first = s->device ? lb->super + 1 : 1;
	s->start = s->start ? s->start : lb->first;
	s->sequence = s->sequence ? s->sequence : 7;
	s->fs_blocks = s->fs_blocks ? s->fs_blocks : 1024;
	g_assert(s->device || JOURNAL_AT + s->maxlen <= s->fs_blocks);
	lb->bs = (size_t)1 << s->bits;
	lb->dev = memdev_new(s->fs_blocks << s->bits, 512);
	lb->jdev = s->device ? memdev_new((uint64_t)s->maxlen << s->bits, 512)
			     : blkdev_ref(lb->dev);
	lb->last = s->maxlen;
	if (has(lb, JBD_INCOMPAT_FAST_COMMIT))
		lb->last -= s->fc_blocks;
	lb->head = s->start;
	lb->sequence = s->sequence;
	lb->time = 1000;
	lb->crc32 = ~0u;
	lb->pending = g_array_new(false, false, sizeof(struct copy));
	lb->copies = g_array_new(false, false, sizeof(struct copy));
	lb->revokes = g_array_new(false, false, sizeof(struct copy));
	for (uint64_t i = 0; i < s->fs_blocks; i++)
		if (s->device || i < JOURNAL_AT || i >= JOURNAL_AT + s->maxlen)
			fill_block(memdev_bytes(lb->dev) + i * lb->bs, lb->bs,
				   i, 0);
	return lb;
}

void logbuild_free(struct logbuild *lb)
{
	if (!lb)
		return;
	g_array_unref(lb->pending);
	g_array_unref(lb->copies);
	g_array_unref(lb->revokes);
	blkdev_unref(lb->jdev);
	blkdev_unref(lb->dev);
	g_free(lb);
}
