/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a directory or a symbolic link holds.
 *
 * Directories are read block by block and searched in order, indexed ones too:
 * their index blocks look like empty directory blocks on purpose. A directory is
 * read at most as far as it is large, and no further than any could be. A block
 * that cannot be read, or whose entries do not fit it, is passed over: the kernel
 * finds the names in others by the index. In a casefolded one a name that is
 * there comes before one that only the folding finds equal.
 *
 * Where the blocks lie is read by rawmap's own readers of maps, which bound
 * their work whatever a map says; libext2fs' block_iterate goes through all the
 * nodes of a tree that has the same ones again and again.
 */
#include "hostfs_priv.h"

#include <rawmap/base/endian.h>

#include <errno.h>
#include <string.h>

/* An inode as the readers of maps want it: as much of a file as they ask for. */
struct mapped {
	struct hostfile file;
	struct ext2_inode_large inode;
};

static void mapped_init(struct mapped *m, struct hostfs *fs, ext2_ino_t ino,
			const struct ext2_inode *inode, const char *path)
{
	memset(m, 0, sizeof(*m));
	memcpy(&m->inode, inode, sizeof(*inode));
	m->file.fs = fs;
	m->file.ino = ino;
	m->file.path = (char *)(uintptr_t)path;
	m->file.inode = &m->inode;
	m->file.extent_mapped = inode->i_flags & EXT4_EXTENTS_FL;
}

/* The leaf that is responsible for @at, into an empty array. */
static errcode_t mapped_load(struct mapped *m, uint64_t at, struct leaf *ret)
{
	int err = m->file.extent_mapped
			  ? exttree_load(&m->file, lblk_at(at), ret)
			  : indtree_load(&m->file, lblk_at(at), ret);

	return -err;
}

/* ---- directories ---- */

/* Of data in the inode: the parent's number, then entries up to here. */
#define INLINE_PARENT 4
#define INLINE_FIRST  60

/* Blocks that are passed over; with more there is no directory left. */
#define BAD_MAX 16

struct search {
	struct hostfs *fs;
	ext2_ino_t dir;
	const struct ext2_inode *inode; /* of dir */
	const char *path;		/* as asked, for sentences */
	const char *name;
	size_t len;
	const struct ext2fs_nls_table *folding; /* NULL: not casefolded */
	char *buf;				/* one block */
	ext2_ino_t found;
	ext2_ino_t alike; /* the first that the folding finds equal */
	unsigned bad;	  /* blocks; the next two are of the first */
	uint64_t bad_block;
	errcode_t bad_why;
};

static const struct ext2fs_nls_table *folding_of(const struct hostfs *fs,
						 const struct ext2_inode *inode)
{
	const struct ext2_super_block *super = fs->fs->super;

	if (!(super->s_feature_incompat & EXT4_FEATURE_INCOMPAT_CASEFOLD) ||
	    !(inode->i_flags & EXT4_CASEFOLD_FL) ||
	    (inode->i_flags & EXT4_ENCRYPT_FL))
		return NULL;
	return ext2fs_load_nls_table(super->s_encoding);
}

static void look_at_entry(struct search *s, const struct ext2_dir_entry *entry)
{
	const unsigned char *name = (const unsigned char *)entry->name;
	size_t len = (size_t)ext2fs_dirent_name_len(entry);

	if (!entry->inode)
		return;
	if (len == s->len && !memcmp(name, s->name, len))
		s->found = entry->inode;
	else if (s->folding && !s->alike &&
		 !ext2fs_casefold_cmp(s->folding,
				      (const unsigned char *)s->name, s->len,
				      name, len))
		s->alike = entry->inode;
}

static errcode_t search_entries(struct search *s, const void *buf, size_t size)
{
	unsigned rec = 0;

	for (size_t pos = 0; pos + 8 <= size; pos += rec) {
		const uint8_t *at = (const uint8_t *)buf + pos;
		const struct ext2_dir_entry *entry = (const void *)at;
		unsigned len = (unsigned)ext2fs_dirent_name_len(entry);

		if (ext2fs_get_rec_len(s->fs->fs, (void *)(uintptr_t)at,
				       &rec) ||
		    rec < 8 || rec % 4 || rec > size - pos || len + 8 > rec)
			return EXT2_ET_DIR_CORRUPTED;
		look_at_entry(s, entry);
		if (s->found)
			return 0;
	}
	return 0;
}

static errcode_t search_block(struct search *s, uint64_t block)
{
	errcode_t err =
		ext2fs_read_dir_block4(s->fs->fs, block, s->buf, 0, s->dir);

	if (!err)
		err = search_entries(s, s->buf, s->fs->block_size);
	if (!err)
		return 0;
	if (!s->bad++) {
		s->bad_block = block;
		s->bad_why = err;
	}
	return s->bad < BAD_MAX ? 0 : err;
}

static errcode_t search_extent(struct search *s, const struct extent *e,
			       uint64_t end)
{
	errcode_t err = 0;

	if (e->state != EXTENT_MAPPED)
		return 0;
	end = MIN(end, extent_end(e));
	for (uint64_t b = e->start.v; b < end && !err && !s->found; b++)
		err = search_block(s, e->phys.v + (b - e->start.v));
	return err;
}

/* Leaf by leaf. */
static errcode_t search_map(struct search *s)
{
	uint64_t end = MIN(EXT2_I_SIZE(s->inode) >> s->fs->bits,
			   ext2fs_blocks_count(s->fs->fs->super));
	errcode_t err = 0;
	struct mapped dir;

	mapped_init(&dir, s->fs, s->dir, s->inode, s->path);
	for (uint64_t at = 0; at < end && !err && !s->found;) {
		g_autoptr(GArray)
			all = g_array_new(FALSE, FALSE, sizeof(struct extent));
		struct leaf leaf = { .extents = all };

		err = mapped_load(&dir, at, &leaf);
		for (guint i = 0; i < all->len && !err && !s->found; i++)
			err = search_extent(
				s, &g_array_index(all, struct extent, i), end);
		at = leaf.start.v + leaf.len;
	}
	return err;
}

static errcode_t search_inline(struct search *s)
{
	g_autoptr(GByteArray) data = g_byte_array_new();
	errcode_t err = -inlinedata_read(s->fs, s->dir, data);
	le32 parent;

	if (err)
		return err;
	if (!strcmp(s->name, "..")) {
		memcpy(&parent, data->data, sizeof(parent));
		s->found = le32_get(parent);
		return 0;
	}
	err = search_entries(s, data->data + INLINE_PARENT,
			     INLINE_FIRST - INLINE_PARENT);
	if (!err && !s->found)
		err = search_entries(s, data->data + INLINE_FIRST,
				     data->len - INLINE_FIRST);
	return err;
}

errcode_t dir_find(struct hostfs *fs, ext2_ino_t dir,
		   const struct ext2_inode *inode, const char *path,
		   const char *name, ext2_ino_t *ret, pblk *ret_block)
{
	struct search s = {
		.fs = fs,
		.dir = dir,
		.inode = inode,
		.path = path,
		.name = name,
		.len = strlen(name),
		.folding = folding_of(fs, inode),
	};
	errcode_t err;

	s.buf = g_malloc(fs->block_size);
	err = inode->i_flags & EXT4_INLINE_DATA_FL ? search_inline(&s)
						   : search_map(&s);
	g_free(s.buf);
	*ret = s.found ? s.found : s.alike;
	*ret_block = pblk_at(s.bad_block);
	return err || *ret ? err : s.bad_why;
}

/* ---- symbolic links ---- */

static errcode_t read_first_block(struct mapped *link, void *buf)
{
	g_autoptr(GArray)
		all = g_array_new(FALSE, FALSE, sizeof(struct extent));
	struct leaf leaf = { .extents = all };
	const struct extent *first;
	errcode_t err = mapped_load(link, 0, &leaf);

	if (err)
		return err;
	if (!all->len)
		return EXT2_ET_BAD_BLOCK_NUM;
	first = &g_array_index(all, struct extent, 0);
	if (first->start.v || first->state != EXTENT_MAPPED)
		return EXT2_ET_BAD_BLOCK_NUM;
	return io_channel_read_blk64(link->file.fs->fs->io, first->phys.v, 1,
				     buf);
}

static errcode_t read_inline(struct hostfs *fs, ext2_ino_t ino, void *buf,
			     size_t len)
{
	g_autoptr(GByteArray) data = g_byte_array_new();
	errcode_t err = -inlinedata_read(fs, ino, data);

	if (err)
		return err;
	if (data->len < len)
		return EXT2_ET_INODE_CORRUPTED;
	memcpy(buf, data->data, len);
	return 0;
}

errcode_t link_read(struct hostfs *fs, ext2_ino_t ino, struct ext2_inode *inode,
		    const char *path, char **ret)
{
	uint64_t len = EXT2_I_SIZE(inode);
	g_autofree char *buf = g_malloc0((gsize)fs->block_size + 1);
	struct mapped link;
	errcode_t err = 0;

	if (!len || len >= fs->block_size)
		return EXT2_ET_SYMLINK_LOOP;
	if (inode->i_flags & EXT4_INLINE_DATA_FL) {
		err = read_inline(fs, ino, buf, len);
	} else if (ext2fs_is_fast_symlink(inode)) {
		memcpy(buf, inode->i_block, MIN(len, sizeof(inode->i_block)));
	} else {
		mapped_init(&link, fs, ino, inode, path);
		err = read_first_block(&link, buf);
	}
	if (err)
		return err;
	buf[len] = '\0';
	*ret = g_steal_pointer(&buf);
	return 0;
}
