/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The journal as bytes: where it lies, what a write to it is, and what mke2fs
 * leaves to others, its features. Sums are made by libext2fs, not by the code
 * under test.
 */
#include <support/crashlab_priv.h>

#include <rawmap/jbd/format.h>
#include <rawmap/map/extent.h>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <string.h>

/* ---- where everything is ---- */

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return GUINT32_FROM_LE(v);
}

static void mark_system(struct crashlab *lab, uint32_t start, uint32_t n)
{
	for (uint32_t b = start; b < start + n; b++)
		lab->is_system[b] = true;
}

static void learn_system(struct crashlab *lab)
{
	const uint8_t *bytes = lab->start;
	uint32_t bs = lab->spec.block_size;
	uint32_t first = crashlab_super_u32(bytes, 20);
	uint32_t blocks = crashlab_super_u32(bytes, 4);
	uint32_t per_group = crashlab_super_u32(bytes, 32);
	uint32_t inodes = crashlab_super_u32(bytes, 40);
	uint32_t inode_size = crashlab_super_u32(bytes, 88) & 0xffff;
	bool wide = crashlab_super_u32(bytes, 96) & EXT4_FEATURE_INCOMPAT_64BIT;
	uint32_t size = wide ? crashlab_super_u32(bytes, 252) >> 16 : 32;
	uint32_t groups = (blocks - first + per_group - 1) / per_group;
	uint32_t table = crashlab_super_block(lab) + 1;

	mark_system(lab, table, (groups * size + bs - 1) / bs);
	for (uint32_t g = 0; g < groups; g++) {
		const uint8_t *desc = bytes + (size_t)table * bs + g * size;

		mark_system(lab, u32_at(desc), 1);
		mark_system(lab, u32_at(desc + 4), 1);
		mark_system(lab, u32_at(desc + 8), inodes * inode_size / bs);
	}
}

static void learn_log(struct crashlab *lab, struct hostimg *host)
{
	g_autoptr(GArray) runs = hostimg_extents(host, "<8>");

	for (guint i = 0; i < runs->len; i++) {
		const struct extent *e = &g_array_index(runs, struct extent, i);

		g_assert(e->start.v == lab->log->len);
		for (uint64_t k = 0; k < e->len; k++) {
			uint32_t block = (uint32_t)(e->phys.v + k);

			lab->log_index[block] = (int32_t)lab->log->len;
			g_array_append_val(lab->log, block);
		}
	}
}

void crashlab_log_learn(struct crashlab *lab, struct hostimg *host)
{
	size_t blocks = lab->host_size / lab->spec.block_size;

	lab->log = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	lab->log_index = g_new(int32_t, blocks);
	lab->is_system = g_new0(bool, blocks);
	for (size_t i = 0; i < blocks; i++)
		lab->log_index[i] = -1;
	learn_system(lab);
	if (lab->journal)
		learn_log(lab, host);
}

/* ---- its superblock ---- */

static uint32_t sum(const void *bytes, size_t len)
{
	return ext2fs_crc32c_le(~UINT32_C(0), bytes, len);
}

void crashlab_log_setup(struct crashlab *lab)
{
	uint32_t block, incompat = 0;
	struct jbd_super super;
	uint8_t *at;

	if (!lab->journal)
		return;
	block = g_array_index(lab->log, uint32_t, 0);
	at = lab->start + (size_t)block * lab->spec.block_size;
	memcpy(&super, at, sizeof(super));
	g_assert(be32_get(super.header.magic) == JBD_MAGIC);
	/* Not the filesystem's: whoever takes that is found out. */
	for (unsigned i = 0; i < sizeof(super.uuid); i++)
		super.uuid[i] = (uint8_t)crashlab_below(lab, 256);
	if (lab->spec.log_blocks) {
		g_assert(lab->spec.log_blocks < be32_get(super.maxlen));
		super.maxlen = be32_of(lab->spec.log_blocks);
	}
	if (lab->spec.is_64bit)
		incompat |= JBD_INCOMPAT_64BIT;
	if (lab->spec.csum) {
		incompat |= lab->spec.csum == 2 ? JBD_INCOMPAT_CSUM_V2
						: JBD_INCOMPAT_CSUM_V3;
		super.checksum_type = JBD_CSUM_CRC32C;
	}
	super.incompat = be32_of(incompat);
	super.checksum = be32_of(0);
	if (lab->spec.csum)
		super.checksum = be32_of(sum(&super, sizeof(super)));
	memcpy(at, &super, sizeof(super));
}

/* ---- what is written to it ---- */

static struct jbd_header header_at(const struct crashlab *lab,
				   const struct recdev_event *e, uint64_t block)
{
	struct jbd_header h;

	memcpy(&h, e->bytes + (block * lab->spec.block_size - e->pos.v),
	       sizeof(h));
	return h;
}

enum crashlab_block crashlab_log_block(const struct crashlab *lab,
				       const struct recdev_event *e,
				       uint64_t block)
{
	uint32_t bs = lab->spec.block_size;
	struct jbd_header h;

	if (e->kind != RECDEV_WRITE || lab->log_index[block] < 0 ||
	    block * bs < e->pos.v || (block + 1) * bs > e->pos.v + e->len)
		return NOT_LOG;
	if (!lab->log_index[block])
		return LOG_SUPER;
	h = header_at(lab, e, block);
	if (be32_get(h.magic) != JBD_MAGIC)
		return LOG_OTHER;
	switch (be32_get(h.blocktype)) {
	case JBD_DESCRIPTOR:
		return LOG_DESCRIPTOR;
	case JBD_COMMIT:
		return LOG_COMMIT;
	case JBD_REVOKE:
		return LOG_REVOKE;
	default:
		return LOG_OTHER;
	}
}

static bool is_one(const struct crashlab *lab, const struct recdev_event *e,
		   enum crashlab_block what)
{
	uint32_t bs = lab->spec.block_size;

	return crashlab_is_change(e) && e->len == bs &&
	       crashlab_log_block(lab, e, e->pos.v / bs) == what;
}

bool crashlab_is_commit(const struct crashlab *lab,
			const struct recdev_event *e)
{
	return is_one(lab, e, LOG_COMMIT);
}

/* ---- all that was ---- */

typedef void (*see_fn)(const struct crashlab *lab, struct recdev_event *e,
		       uint64_t block, void *ctx);

/* Calls @see for every block of the journal that is written. */
static void each_log_block(const struct crashlab *lab, see_fn see, void *ctx)
{
	uint32_t bs = lab->spec.block_size;

	for (guint i = 0; i < lab->events->len; i++) {
		struct recdev_event *e = lab->events->pdata[i];

		if (e->kind != RECDEV_WRITE)
			continue;
		for (uint64_t b = e->pos.v / bs; b * bs < e->pos.v + e->len;
		     b++)
			if (crashlab_log_block(lab, e, b) != NOT_LOG)
				see(lab, e, b, ctx);
	}
}

struct survey {
	struct crashlab_traffic *t;
	bool open;
};

static unsigned revokes_in(const struct crashlab *lab,
			   const struct recdev_event *e, uint64_t block)
{
	struct jbd_revoke_header h;

	memcpy(&h, e->bytes + (block * lab->spec.block_size - e->pos.v),
	       sizeof(h));
	return (be32_get(h.count) - (unsigned)sizeof(h)) /
	       (lab->spec.is_64bit ? 8 : 4);
}

static size_t tag_size(const struct crashlab *lab)
{
	if (lab->spec.csum == 3)
		return sizeof(struct jbd_tag3);
	return 8u + (lab->spec.is_64bit ? 4 : 0) + (lab->spec.csum ? 2 : 0);
}

static uint32_t tag_flags(const struct crashlab *lab, const uint8_t *at)
{
	struct jbd_tag3 tag3;
	struct jbd_tag tag;

	if (lab->spec.csum == 3) {
		memcpy(&tag3, at, sizeof(tag3));
		return be32_get(tag3.flags);
	}
	memcpy(&tag, at, 8);
	return be16_get(tag.flags);
}

static unsigned escapes_in(const struct crashlab *lab,
			   const struct recdev_event *e, uint64_t block)
{
	uint32_t bs = lab->spec.block_size, flags;
	const uint8_t *start = e->bytes + (block * bs - e->pos.v);
	const uint8_t *at = start + sizeof(struct jbd_header);
	unsigned n = 0;

	do {
		flags = tag_flags(lab, at);
		n += !!(flags & JBD_FLAG_ESCAPE);
		at += tag_size(lab);
		if (!(flags & JBD_FLAG_SAME_UUID))
			at += 16;
	} while (!(flags & JBD_FLAG_LAST_TAG) &&
		 at + tag_size(lab) <= start + bs);
	return n;
}

static void survey_super(const struct crashlab *lab,
			 const struct recdev_event *e, uint64_t block,
			 struct survey *s)
{
	struct jbd_super super;
	bool open;

	memcpy(&super, e->bytes + (block * lab->spec.block_size - e->pos.v),
	       sizeof(super));
	open = be32_get(super.start);
	s->t->restarts += open && s->open;
	s->t->sessions += open && !s->open;
	s->open = open;
}

static void survey_block(const struct crashlab *lab, struct recdev_event *e,
			 uint64_t block, void *ctx)
{
	struct survey *s = ctx;
	enum crashlab_block what = crashlab_log_block(lab, e, block);

	if (what == LOG_SUPER) {
		survey_super(lab, e, block, s);
		return;
	}
	if (what == LOG_COMMIT) {
		s->t->transactions++;
		return;
	}
	if (what == LOG_DESCRIPTOR)
		s->t->escapes += escapes_in(lab, e, block);
	if (what == LOG_REVOKE)
		s->t->revokes += revokes_in(lab, e, block);
	s->t->copies += what == LOG_OTHER;
}

void crashlab_traffic(const struct crashlab *lab, struct crashlab_traffic *ret)
{
	struct survey s = { .t = ret };

	memset(ret, 0, sizeof(*ret));
	each_log_block(lab, survey_block, &s);
}

static bool opens_log(const struct recdev_event *e)
{
	struct jbd_super super;

	memcpy(&super, e->bytes, sizeof(super));
	return be32_get(super.start);
}

bool crashlab_is_restart(const struct crashlab *lab,
			 const struct recdev_event *e)
{
	bool open = false;

	for (guint i = 0; i < lab->events->len; i++) {
		const struct recdev_event *other = lab->events->pdata[i];

		if (!is_one(lab, other, LOG_SUPER))
			continue;
		if (other == e)
			return open && opens_log(e);
		open = opens_log(other);
	}
	return false;
}

/* ---- revokes ---- */

static void empty_revoke(const struct crashlab *lab, struct recdev_event *e,
			 uint64_t block, void *ctx)
{
	uint32_t bs = lab->spec.block_size;
	uint8_t *at = e->bytes + (block * bs - e->pos.v);
	const be32 none = be32_of(sizeof(struct jbd_revoke_header));
	const be32 zero = { 0 };
	const struct jbd_super *super = ctx;
	be32 tail;

	if (crashlab_log_block(lab, e, block) != LOG_REVOKE)
		return;
	memcpy(at + offsetof(struct jbd_revoke_header, count), &none,
	       sizeof(none));
	if (!lab->spec.csum)
		return;
	memcpy(at + bs - sizeof(tail), &zero, sizeof(zero));
	tail = be32_of(ext2fs_crc32c_le(sum(super->uuid, sizeof(super->uuid)),
					at, bs));
	memcpy(at + bs - sizeof(tail), &tail, sizeof(tail));
}

void crashlab_log_unrevoke(struct crashlab *lab)
{
	uint32_t block = g_array_index(lab->log, uint32_t, 0);
	struct jbd_super super;

	memcpy(&super, lab->start + (size_t)block * lab->spec.block_size,
	       sizeof(super));
	each_log_block(lab, empty_revoke, &super);
}
