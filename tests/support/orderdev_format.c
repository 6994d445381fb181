/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What one block of the log says, and whether it says it as the journal's
 * features want it. With checksums off, a tag of the wrong size shows by the
 * UUID, which is not where it belongs then.
 */
#include "support/orderdev_priv.h"

#include <rawmap/jbd/format.h>

#include <ext2fs/ext2fs.h>

#include <stddef.h>
#include <string.h>

#define UUID_SIZE 16

static bool has_csum(const struct orderdev *o)
{
	return o->format.csum_v2 || o->format.csum_v3;
}

static uint32_t be32_at(const uint8_t *buf, size_t at)
{
	be32 field;

	memcpy(&field, buf + at, sizeof(field));
	return be32_get(field);
}

static uint32_t be16_at(const uint8_t *buf, size_t at)
{
	return (uint32_t)buf[at] << 8 | buf[at + 1];
}

/* The sum of the block with the four bytes at @at zero. */
static uint32_t sum_without(const struct orderdev *o, const uint8_t *buf,
			    size_t at)
{
	static const uint8_t zeros[4];
	size_t rest = o->layout->bs - at - sizeof(zeros);
	uint32_t sum = ext2fs_crc32c_le(o->format.seed, buf, at);

	sum = ext2fs_crc32c_le(sum, zeros, sizeof(zeros));
	return ext2fs_crc32c_le(sum, buf + at + sizeof(zeros), rest);
}

static char *check_sum(const struct orderdev *o, const uint8_t *buf, size_t at,
		       const char *what)
{
	if (!has_csum(o) || be32_at(buf, at) == sum_without(o, buf, at))
		return NULL;
	return g_strdup_printf("log block %u: wrong checksum of a %s",
			       o->cursor, what);
}

/* Where the room for tags or revokes ends. */
static size_t room_end(const struct orderdev *o)
{
	return o->layout->bs - (has_csum(o) ? sizeof(struct jbd_tail) : 0);
}

static char *check_target(const struct orderdev *o, uint64_t block,
			  const char *does)
{
	enum order_role role;
	uint32_t at;

	if (block >= o->layout->blocks)
		return g_strdup_printf(
			"log block %u %s block %" G_GUINT64_FORMAT
			", which the filesystem does not have",
			o->cursor, does, block);
	role = order_role(o->layout, block, &at);
	if (role == ORDER_JSB || role == ORDER_LOG || role == ORDER_JTREE)
		return g_strdup_printf(
			"log block %u %s block %" G_GUINT64_FORMAT
			" of the journal itself",
			o->cursor, does, block);
	return NULL;
}

static char *both(const struct order_tx *tx, uint64_t block)
{
	return g_strdup_printf("transaction %u logs and revokes block"
			       " %" G_GUINT64_FORMAT,
			       tx->seq, block);
}

/* ---- descriptors ---- */

static void read_tag(const struct orderdev *o, const uint8_t *buf, size_t at,
		     struct order_tag *ret, uint32_t *ret_flags)
{
	uint64_t high = 0;

	if (o->format.csum_v3) {
		*ret_flags = be32_at(buf, at + 4);
		high = be32_at(buf, at + 8);
		ret->csum = be32_at(buf, at + 12);
	} else {
		ret->csum = be16_at(buf, at + 4);
		*ret_flags = be16_at(buf, at + 6);
		if (o->format.is_64bit)
			high = be32_at(buf, at + 8);
	}
	ret->block = high << 32 | be32_at(buf, at);
	ret->escaped = (*ret_flags & JBD_FLAG_ESCAPE) != 0;
}

/* Zeros are what some writers leave there. */
static bool uuid_right(const struct orderdev *o, const uint8_t *uuid)
{
	static const uint8_t none[UUID_SIZE];

	return o->scanning || !memcmp(uuid, o->format.uuid, UUID_SIZE) ||
	       !memcmp(uuid, none, UUID_SIZE);
}

static char *descriptor_block(struct orderdev *o, const uint8_t *buf)
{
	const uint32_t all_flags = JBD_FLAG_ESCAPE | JBD_FLAG_SAME_UUID |
				   JBD_FLAG_LAST_TAG;
	size_t pos = sizeof(struct jbd_header), end = room_end(o);
	uint32_t flags = 0;

	g_array_set_size(o->tags, 0);
	o->tags_done = 0;
	while (!(flags & JBD_FLAG_LAST_TAG)) {
		struct order_tag tag;
		bool first = !o->tags->len;
		char *wrong;

		if (pos + o->format.tag + (first ? UUID_SIZE : 0) > end)
			return g_strdup_printf("log block %u: a descriptor"
					       " without a last tag",
					       o->cursor);
		read_tag(o, buf, pos, &tag, &flags);
		pos += o->format.tag;
		if ((flags & ~all_flags) ||
		    first != !(flags & JBD_FLAG_SAME_UUID) ||
		    (first && !uuid_right(o, buf + pos)))
			return g_strdup_printf("log block %u: tag %u is not of"
					       " the size or kind that the"
					       " features say",
					       o->cursor, o->tags->len);
		pos += first ? UUID_SIZE : 0;
		wrong = check_target(o, tag.block, "logs");
		if (wrong)
			return wrong;
		g_array_append_val(o->tags, tag);
	}
	return check_sum(o, buf, end, "descriptor");
}

char *order_format_data(const struct orderdev *o, const struct order_tx *tx,
			const struct order_tag *tag, const uint8_t *buf)
{
	be32 seq = be32_of(tx->seq);
	uint32_t sum = ext2fs_crc32c_le(o->format.seed, (void *)&seq, 4);
	gint64 key = (gint64)tag->block;

	sum = ext2fs_crc32c_le(sum, buf, o->layout->bs);
	if (o->format.csum_v2)
		sum &= 0xffff;
	if (has_csum(o) && sum != tag->csum)
		return g_strdup_printf("log block %u: wrong checksum of the"
				       " copy of block %" G_GUINT64_FORMAT,
				       o->cursor, tag->block);
	if (tag->escaped ? be32_at(buf, 0) != 0 : be32_at(buf, 0) == JBD_MAGIC)
		return g_strdup_printf("log block %u: the copy of block"
				       " %" G_GUINT64_FORMAT
				       " is not escaped as its tag says",
				       o->cursor, tag->block);
	if (g_hash_table_contains(tx->copies, &key))
		return g_strdup_printf("transaction %u logs block"
				       " %" G_GUINT64_FORMAT " twice",
				       tx->seq, tag->block);
	if (g_hash_table_contains(tx->revokes, &key))
		return both(tx, tag->block);
	return NULL;
}

/* ---- revokes, commits ---- */

static char *revoke_one(struct orderdev *o, struct order_tx *tx, uint64_t block)
{
	gint64 *key = g_new(gint64, 1);
	char *wrong = check_target(o, block, "revokes");
	uint32_t at;

	*key = (gint64)block;
	g_hash_table_add(tx->revokes, key);
	if (!wrong && g_hash_table_contains(tx->copies, key))
		wrong = both(tx, block);
	if (!wrong && !o->scanning &&
	    order_role(o->layout, block, &at) != ORDER_OTHER)
		wrong = g_strdup_printf("log block %u revokes block"
					" %" G_GUINT64_FORMAT
					", which is never freed",
					o->cursor, block);
	return wrong;
}

static char *revoke_block(struct orderdev *o, struct order_tx *tx,
			  const uint8_t *buf)
{
	size_t pos = sizeof(struct jbd_revoke_header), end = room_end(o);
	size_t size = o->format.is_64bit ? 8 : 4;
	uint32_t count =
		be32_at(buf, offsetof(struct jbd_revoke_header, count));

	if (!(o->jsb_durable.incompat & JBD_INCOMPAT_REVOKE))
		return g_strdup_printf("log block %u: a revoke block, but the"
				       " journal lacks the feature",
				       o->cursor);
	if (count < pos || count > end || (count - pos) % size)
		return g_strdup_printf("log block %u: a revoke block of %u"
				       " bytes",
				       o->cursor, count);
	for (; pos < count; pos += size) {
		uint64_t block = be32_at(buf, pos);
		char *wrong;

		if (o->format.is_64bit)
			block = block << 32 | be32_at(buf, pos + 4);
		wrong = revoke_one(o, tx, block);
		if (wrong)
			return wrong;
	}
	return check_sum(o, buf, end, "revoke block");
}

static char *commit_block(const struct orderdev *o, const uint8_t *buf)
{
	const struct jbd_commit *c = (const void *)buf;

	if (has_csum(o) && (c->csum_type || c->csum_size))
		return g_strdup_printf("log block %u: a commit block with a"
				       " checksum of its own kind",
				       o->cursor);
	return check_sum(o, buf, offsetof(struct jbd_commit, csum),
			 "commit block");
}

bool order_format_header(const uint8_t *buf, uint32_t *ret_type,
			 uint32_t *ret_seq)
{
	*ret_type = be32_at(buf, offsetof(struct jbd_header, blocktype));
	*ret_seq = be32_at(buf, offsetof(struct jbd_header, sequence));
	return be32_at(buf, 0) == JBD_MAGIC;
}

char *order_format_block(struct orderdev *o, struct order_tx *tx, uint32_t type,
			 const uint8_t *buf)
{
	switch (type) {
	case JBD_DESCRIPTOR:
		return descriptor_block(o, buf);
	case JBD_REVOKE:
		return revoke_block(o, tx, buf);
	case JBD_COMMIT:
		return commit_block(o, buf);
	}
	return g_strdup_printf("log block %u is of type %u", o->cursor, type);
}

void order_format_learn(struct orderdev *o, const uint8_t *jsb)
{
	const struct jbd_super *s = (const void *)jsb;
	struct order_format *f = &o->format;

	*f = (struct order_format){
		.csum_v2 = (o->jsb.incompat & JBD_INCOMPAT_CSUM_V2) != 0,
		.csum_v3 = (o->jsb.incompat & JBD_INCOMPAT_CSUM_V3) != 0,
		.is_64bit = (o->jsb.incompat & JBD_INCOMPAT_64BIT) != 0,
	};
	f->tag = 8 + (f->csum_v2 ? 2U : 0) + (f->is_64bit ? 4U : 0);
	if (f->csum_v3)
		f->tag = sizeof(struct jbd_tag3);
	memcpy(f->uuid, s->uuid, UUID_SIZE);
	f->seed = ext2fs_crc32c_le(~0U, f->uuid, UUID_SIZE);
}
