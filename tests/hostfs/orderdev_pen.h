/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small host with a journal, and a hand that writes its log step by step, the
 * wrong ones included.
 *
 *   pen_begin()                         needs_recovery, start; both flushed
 *   pen_build(), pen_put()              the blocks of a transaction, to memory
 *                                       first, so that a test can bend them
 *   pen_commit()                        its commit block
 *   pen_home()                          a copy goes home
 *
 * A block's content is made of its number and a version; from MAGIC on a
 * version begins with the magic of the journal and must be escaped.
 */
#ifndef TESTS_ORDERDEV_PEN_H
#define TESTS_ORDERDEV_PEN_H

#include <rawmap/dev/blkdev.h>
#include <rawmap/jbd/format.h>
#include <rawmap/map/extent.h>

#include <support/hostimg.h>
#include <support/memdev.h>
#include <support/orderdev.h>

#include <check.h>
#include <ext2fs/ext2fs.h>
#include <stddef.h>
#include <string.h>

#define BS    1024U
#define MAGIC 100 /* versions */

#define REVOKE JBD_INCOMPAT_REVOKE
#define V3     (REVOKE | JBD_INCOMPAT_CSUM_V3 | JBD_INCOMPAT_64BIT)

struct put {
	uint32_t block;
	int version;
};

struct pen {
	struct blkdev *mem, *dev;
	uint32_t itable, bitmap, tree, leaf; /* blocks: two own, two free */
	uint32_t journal[4096];
	uint32_t incompat, seed;
	uint32_t head, seq;
	GByteArray *built;
};

static struct pen pen;

static inline void put32(uint8_t *at, uint32_t v)
{
	be32 field = be32_of(v);

	memcpy(at, &field, 4);
}

static inline bool pen_sums(void)
{
	return (pen.incompat & (JBD_INCOMPAT_CSUM_V2 | JBD_INCOMPAT_CSUM_V3)) !=
	       0;
}

static inline uint8_t *pen_at(uint64_t block)
{
	return memdev_bytes(pen.mem) + block * BS;
}

static inline void pen_write(uint64_t block, const void *buf)
{
	ck_assert_int_eq(
		blkdev_pwrite(pen.dev, buf, BS, dev_off_at(block * BS)), 0);
}

static inline void pen_flush(void)
{
	ck_assert_int_eq(blkdev_flush(pen.dev), 0);
}

static inline void pen_content(const struct put *put, uint8_t *buf)
{
	memset(buf, (int)(put->block * 7 + (uint32_t)put->version), BS);
	if (put->version >= MAGIC)
		put32(buf, JBD_MAGIC);
}

static inline void pen_home(uint32_t block, int version)
{
	uint8_t buf[BS];

	pen_content(&(struct put){ block, version }, buf);
	pen_write(block, buf);
}

/* ---- superblocks ---- */

static inline void pen_super(bool recover, bool error, uint32_t used)
{
	struct ext2_super_block sb;

	memcpy(&sb, pen_at(1), sizeof(sb));
	sb.s_feature_incompat &= ~(uint32_t)EXT3_FEATURE_INCOMPAT_RECOVER;
	if (recover)
		sb.s_feature_incompat |= EXT3_FEATURE_INCOMPAT_RECOVER;
	if (error)
		sb.s_state |= EXT2_ERROR_FS;
	sb.s_free_blocks_count -= used;
	sb.s_wtime++;
	sb.s_checksum++;
	pen_write(1, &sb);
}

static inline void pen_sum_jsb(struct jbd_super *s)
{
	s->checksum = be32_of(0);
	if (!pen_sums())
		return;
	s->checksum_type = JBD_CSUM_CRC32C;
	s->checksum = be32_of(ext2fs_crc32c_le(~0U, (void *)s, sizeof(*s)));
}

static inline void pen_jsb(uint32_t start, uint32_t seq)
{
	struct jbd_super s;

	memcpy(&s, pen_at(pen.journal[0]), sizeof(s));
	s.start = be32_of(start);
	s.sequence = be32_of(seq);
	s.incompat = be32_of(pen.incompat);
	pen_sum_jsb(&s);
	pen_write(pen.journal[0], &s);
}

/* ---- the log ---- */

static inline uint32_t pen_sum(const uint8_t *buf)
{
	return ext2fs_crc32c_le(pen.seed, buf, BS);
}

static inline void pen_header(uint8_t *buf, uint32_t type)
{
	memset(buf, 0, BS);
	put32(buf, JBD_MAGIC);
	put32(buf + 4, type);
	put32(buf + 8, pen.seq);
}

static inline void pen_tail(uint8_t *buf)
{
	if (pen_sums())
		put32(buf + BS - 4, pen_sum(buf));
}

static inline size_t pen_tag(uint8_t *at, const struct put *put, uint32_t flags,
			     const uint8_t *stored)
{
	uint8_t seq[4];
	uint32_t sum;

	put32(seq, pen.seq);
	sum = ext2fs_crc32c_le(ext2fs_crc32c_le(pen.seed, seq, 4), stored, BS);
	put32(at, put->block);
	if (pen.incompat & JBD_INCOMPAT_CSUM_V3) {
		put32(at + 4, flags);
		put32(at + 12, sum);
		return 16;
	}
	/* csum, flags: 16 bits each */
	put32(at + 4, (pen_sums() ? sum << 16 : 0) | flags);
	return 8U + (pen.incompat & JBD_INCOMPAT_CSUM_V2 ? 2 : 0) +
	       (pen.incompat & JBD_INCOMPAT_64BIT ? 4 : 0);
}

static inline void pen_build_revokes(const uint32_t *revokes, size_t n)
{
	bool wide = (pen.incompat & JBD_INCOMPAT_64BIT) != 0;
	uint8_t buf[BS];
	uint32_t pos = 16;

	pen_header(buf, JBD_REVOKE);
	for (size_t i = 0; i < n; i++, pos += wide ? 8 : 4)
		put32(buf + pos + (wide ? 4 : 0), revokes[i]);
	put32(buf + 12, pos);
	pen_tail(buf);
	g_byte_array_append(pen.built, buf, BS);
}

/* The blocks of the transaction pen.seq, into pen.built. */
static inline void pen_build(const struct put *puts, size_t n,
			     const uint32_t *revokes, size_t nrevokes)
{
	const struct jbd_super *jsb = (void *)pen_at(pen.journal[0]);
	uint8_t desc[BS], data[BS];
	size_t pos = 12;

	g_byte_array_set_size(pen.built, 0);
	pen_header(desc, JBD_DESCRIPTOR);
	g_byte_array_append(pen.built, desc, n ? BS : 0);
	for (size_t i = 0; i < n; i++) {
		uint32_t flags = (i ? JBD_FLAG_SAME_UUID : 0) |
				 (i + 1 == n ? JBD_FLAG_LAST_TAG : 0);

		pen_content(&puts[i], data);
		if (puts[i].version >= MAGIC) {
			put32(data, 0);
			flags |= JBD_FLAG_ESCAPE;
		}
		pos += pen_tag(desc + pos, &puts[i], flags, data);
		if (!i) {
			memcpy(desc + pos, jsb->uuid, 16);
			pos += 16;
		}
		g_byte_array_append(pen.built, data, BS);
	}
	if (n) {
		pen_tail(desc);
		memcpy(pen.built->data, desc, BS);
	}
	if (nrevokes)
		pen_build_revokes(revokes, nrevokes);
}

/* The built blocks go to the log, as many as lie side by side in one write. */
static inline void pen_put(void)
{
	uint32_t n = pen.built->len / BS;

	for (uint32_t i = 0, run; i < n; i += run) {
		const uint32_t *at = pen.journal + pen.head;

		for (run = 1; i + run < n && at[run] == at[0] + run;)
			run++;
		ck_assert_int_eq(
			blkdev_pwrite(pen.dev, pen.built->data + i * BS,
				      run * BS, dev_off_at(at[0] * BS)),
			0);
		pen.head += run;
	}
}

static inline void pen_build_commit(uint8_t *buf)
{
	pen_header(buf, JBD_COMMIT);
	if (pen_sums())
		put32(buf + offsetof(struct jbd_commit, csum), pen_sum(buf));
}

static inline void pen_commit(void)
{
	uint8_t buf[BS];

	pen_build_commit(buf);
	pen_write(pen.journal[pen.head++], buf);
	pen.seq++;
}

/* A sound transaction, durable. */
static inline void pen_tx(const struct put *puts, size_t n,
			  const uint32_t *revokes, size_t nrevokes)
{
	pen_build(puts, n, revokes, nrevokes);
	pen_put();
	pen_flush();
	pen_commit();
	pen_flush();
}

static inline void pen_log(uint32_t block, int version)
{
	pen_tx(&(struct put){ block, version }, 1, NULL, 0);
}

/* The blocks of a transaction, not flushed. */
static inline void pen_log_open(uint32_t block, int version)
{
	pen_build(&(struct put){ block, version }, 1, NULL, 0);
	pen_put();
}

static inline void pen_revoke(uint32_t block)
{
	pen_tx(NULL, 0, &block, 1);
}

static inline void pen_lap(void)
{
	pen.head = 1;
	pen_jsb(pen.head, pen.seq);
	pen_flush();
}

static inline void pen_begin(void)
{
	pen_super(true, false, 0);
	pen_flush();
	pen.seq++;
	pen_lap();
}

static inline void pen_end(void)
{
	pen_jsb(0, pen.seq);
	pen_flush();
	pen_super(false, false, 0);
	pen_flush();
}

/* ---- the host ---- */

static inline void pen_learn(struct hostimg *img)
{
	g_autoptr(GArray) map = hostimg_extents(img, "<8>");
	const struct ext2_group_desc *gd = (void *)pen_at(2);
	uint32_t n = 0;

	for (guint i = 0; i < map->len; i++) {
		const struct extent *e = &g_array_index(map, struct extent, i);

		for (uint64_t k = 0; k < e->len; k++)
			pen.journal[n++] = (uint32_t)(e->phys.v + k);
	}
	ck_assert_uint_ge(n, 1024);
	pen.itable = gd->bg_inode_table + 3;
	pen.bitmap = gd->bg_block_bitmap;
	pen.tree = 7001;
	pen.leaf = 7002;
}

/* With these features of the journal; complaints are kept. */
static inline void pen_open(uint32_t incompat)
{
	const struct hostimg_spec spec = {
		.mkfs = "-t ext4 -b 1024 -J size=1",
	};
	struct hostimg *img = hostimg_make(&spec);
	g_autofree uint8_t *bytes = NULL;
	struct jbd_super *jsb;
	size_t len;

	bytes = hostimg_bytes(img, &len);
	pen = (struct pen){ .mem = memdev_new(len, 512), .incompat = incompat };
	memcpy(memdev_bytes(pen.mem), bytes, len);
	pen_learn(img);
	hostimg_free(img);

	jsb = (void *)pen_at(pen.journal[0]);
	jsb->incompat = be32_of(incompat);
	pen.seed = ext2fs_crc32c_le(~0U, jsb->uuid, 16);
	pen_sum_jsb(jsb);
	pen.seq = be32_get(jsb->sequence);
	pen.built = g_byte_array_new();
	pen.dev = orderdev_new(pen.mem);
	orderdev_set_fatal(pen.dev, false);
}

static inline void pen_close(void)
{
	blkdev_unref(pen.dev);
	blkdev_unref(pen.mem);
	g_byte_array_unref(pen.built);
}

static inline void pen_fine(void)
{
	const char *complaint = orderdev_complaint(pen.dev);

	ck_assert_msg(!complaint, "%s", complaint);
}

/* The last step broke a rule, and none before it did. */
static inline void pen_caught(const char *words)
{
	const char *complaint = orderdev_complaint(pen.dev);

	ck_assert_msg(complaint != NULL, "nothing was noticed");
	ck_assert_msg(strstr(complaint, words) != NULL, "%s", complaint);
}

#endif
