/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a path inside the host, or "<N>", to an inode number.
 *
 * The walk is a loop: a symbolic link's target is put before what is left of
 * the path, an absolute one starts over at the host's root. So the number of
 * links bounds the work, where libext2fs' recursion would not. Directories are
 * read block by block and searched in order, indexed ones too: their index
 * blocks look like empty directory blocks on purpose.
 *
 * A directory is read at most as far as it is large; entries that do not fit
 * their block end the search of that block with an error.
 *
 * In a casefolded directory a name that is there as it was asked for comes
 * first. Else it is the first one that the host's encoding does not tell from
 * it, by the tables of libext2fs, which are the kernel's; the kernel lets no two
 * such names into a directory. Names that are no valid UTF-8 are only compared
 * as they are; so are all in an encoding that libext2fs does not know.
 */
#include "hostfs_priv.h"

#include <rawmap/base/error.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define LINKS_MAX      40 /* as the kernel's MAXSYMLINKS */
#define PATH_BYTES_MAX (64u << 10)

struct walk {
	struct hostfs *fs;
	const char *path;	 /* as asked, for sentences */
	GString *rest;		 /* what is still to be walked */
	ext2_ino_t at;		 /* where that starts */
	struct ext2_inode inode; /* of at */
	unsigned links;
	GError **error;
};

static bool fail(struct walk *w, enum rawmap_error code, const char *what)
{
	g_set_error(w->error, RAWMAP_ERROR, (gint)code, "'%s': %s", w->path,
		    what);
	return false;
}

static bool fail_code(struct walk *w, errcode_t err, const char *what)
{
	enum rawmap_error code = errcode_to_errno(err) == -EIO
					 ? RAWMAP_ERROR_IO
					 : RAWMAP_ERROR_CORRUPT;

	g_set_error(w->error, RAWMAP_ERROR, (gint)code, "'%s': %s: %s", w->path,
		    what, errcode_text(err));
	return false;
}

/* ---- one directory ---- */

struct search {
	ext2_ino_t dir;
	const char *name;
	size_t len;
	const struct ext2fs_nls_table *folding; /* NULL: not casefolded */
	uint64_t left; /* blocks that the directory may still have */
	char *buf;
	ext2_ino_t found;
	ext2_ino_t alike; /* the first that the folding finds equal */
	errcode_t err;
};

static const struct ext2fs_nls_table *folding_of(struct walk *w)
{
	const struct ext2_super_block *super = w->fs->fs->super;

	if (!(super->s_feature_incompat & EXT4_FEATURE_INCOMPAT_CASEFOLD) ||
	    !(w->inode.i_flags & EXT4_CASEFOLD_FL) ||
	    (w->inode.i_flags & EXT4_ENCRYPT_FL))
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

static void search_block(ext2_filsys fs, struct search *s)
{
	unsigned pos = 0, size = 0;

	for (; pos + 8 <= fs->blocksize; pos += size) {
		const struct ext2_dir_entry *entry = (void *)(s->buf + pos);
		unsigned len = (unsigned)ext2fs_dirent_name_len(entry);

		if (ext2fs_get_rec_len(fs, (void *)(s->buf + pos), &size) ||
		    size < 8 || size % 4 || size > fs->blocksize - pos ||
		    len + 8 > size) {
			s->err = EXT2_ET_DIR_CORRUPTED;
			return;
		}
		look_at_entry(s, entry);
		if (s->found)
			return;
	}
}

static int search_next(ext2_filsys fs, blk64_t *block, e2_blkcnt_t count,
		       blk64_t ref_block, int ref_offset, void *data)
{
	struct search *s = data;

	(void)ref_block;
	(void)ref_offset;
	if (!s->left--) {
		s->err = EXT2_ET_DIR_CORRUPTED;
		return BLOCK_ABORT;
	}
	if (count < 0)
		return 0;
	s->err = ext2fs_read_dir_block4(fs, *block, s->buf, 0, s->dir);
	if (!s->err)
		search_block(fs, s);
	return s->err || s->found ? BLOCK_ABORT : 0;
}

/* For a directory in its inode: libext2fs takes it apart. */
static int search_inline(ext2_ino_t dir, int entry,
			 struct ext2_dir_entry *dirent, int offset,
			 int blocksize, char *buf, void *data)
{
	struct search *s = data;

	(void)dir;
	(void)entry;
	(void)offset;
	(void)blocksize;
	(void)buf;
	look_at_entry(s, dirent);
	return s->found ? DIRENT_ABORT : 0;
}

static errcode_t search_blocks(struct walk *w, struct search *s)
{
	ext2_filsys fs = w->fs->fs;
	errcode_t err;

	s->left = MIN(EXT2_I_SIZE(&w->inode) >> w->fs->bits,
		      ext2fs_blocks_count(fs->super));
	s->left += s->left / 64 + 8;
	s->buf = g_malloc(fs->blocksize);
	err = ext2fs_block_iterate3(fs, w->at, BLOCK_FLAG_READ_ONLY, NULL,
				    search_next, s);
	g_free(s->buf);
	return s->err ? s->err : err;
}

/* *ret is 0 when there is no such name. */
static errcode_t find_entry(struct walk *w, const char *name, size_t len,
			    ext2_ino_t *ret)
{
	struct search s = {
		.dir = w->at,
		.name = name,
		.len = len,
		.folding = folding_of(w),
	};
	errcode_t err;

	if (w->inode.i_flags & EXT4_INLINE_DATA_FL)
		err = ext2fs_dir_iterate2(w->fs->fs, w->at, 0, NULL,
					  search_inline, &s);
	else
		err = search_blocks(w, &s);
	*ret = s.found ? s.found : s.alike;
	return err;
}

/* ---- symbolic links ---- */

/* The target of the link @ino; NULL when it makes no sense. */
static int take_first(ext2_filsys fs, blk64_t *block, e2_blkcnt_t count,
		      blk64_t ref_block, int ref_offset, void *data)
{
	pblk *ret = data;

	(void)fs;
	(void)count;
	(void)ref_block;
	(void)ref_offset;
	*ret = pblk_at(*block);
	return BLOCK_ABORT;
}

static errcode_t first_block(ext2_filsys fs, ext2_ino_t ino, pblk *ret)
{
	pblk found = { 0 };
	errcode_t err = ext2fs_block_iterate3(
		fs, ino, BLOCK_FLAG_READ_ONLY | BLOCK_FLAG_DATA_ONLY, NULL,
		take_first, &found);

	if (err)
		return err;
	if (found.v < fs->super->s_first_data_block || !found.v ||
	    found.v >= ext2fs_blocks_count(fs->super))
		return EXT2_ET_BAD_BLOCK_NUM;
	*ret = found;
	return 0;
}

static char *read_link(struct walk *w, ext2_ino_t ino, struct ext2_inode *inode,
		       errcode_t *ret_err)
{
	ext2_filsys fs = w->fs->fs;
	uint64_t len = EXT2_I_SIZE(inode);
	g_autofree char *buf = g_malloc0((gsize)fs->blocksize + 1);
	size_t inline_len = 0;
	pblk block;

	*ret_err = EXT2_ET_SYMLINK_LOOP;
	if (!len || len >= fs->blocksize)
		return NULL;
	if (inode->i_flags & EXT4_INLINE_DATA_FL) {
		*ret_err = ext2fs_inline_data_size(fs, ino, &inline_len);
		if (*ret_err || inline_len > fs->blocksize)
			return NULL;
		*ret_err = ext2fs_inline_data_get(fs, ino, inode, buf,
						  &inline_len);
	} else if (ext2fs_is_fast_symlink(inode)) {
		*ret_err = 0;
		memcpy(buf, inode->i_block, MIN(len, sizeof(inode->i_block)));
	} else {
		*ret_err = first_block(fs, ino, &block);
		if (!*ret_err)
			*ret_err =
				io_channel_read_blk64(fs->io, block.v, 1, buf);
	}
	if (*ret_err)
		return NULL;
	buf[len] = '\0';
	return g_steal_pointer(&buf);
}

static bool follow(struct walk *w, ext2_ino_t ino, struct ext2_inode *inode)
{
	g_autofree char *target = NULL;
	errcode_t err;

	if (++w->links > LINKS_MAX)
		return fail(w, RAWMAP_ERROR_NOT_FOUND,
			    "too many symbolic links, perhaps in a circle");
	if (inode->i_flags & EXT4_ENCRYPT_FL)
		return fail(w, RAWMAP_ERROR_UNSUPPORTED,
			    "a symbolic link on the way is encrypted");
	target = read_link(w, ino, inode, &err);
	if (!target)
		return fail_code(w, err, "a symbolic link cannot be read");
	if (w->rest->len + strlen(target) > PATH_BYTES_MAX)
		return fail(w, RAWMAP_ERROR_NOT_FOUND,
			    "symbolic links make the path too long");
	g_string_prepend(w->rest, target);
	if (target[0] == '/')
		w->at = EXT2_ROOT_INO;
	return true;
}

/* ---- the walk ---- */

static bool read_inode(struct walk *w, ext2_ino_t ino, struct ext2_inode *ret)
{
	errcode_t err;

	if (!ino || ino > w->fs->fs->super->s_inodes_count)
		return fail(w, RAWMAP_ERROR_CORRUPT,
			    "a directory names an impossible inode; run"
			    " 'e2fsck -f'");
	err = ext2fs_read_inode(w->fs->fs, ino, ret);
	if (err)
		return fail_code(w, err, "cannot read an inode");
	return true;
}

/* Cut the next name off the rest; its length, 0 at the end. */
static char *next_name(struct walk *w)
{
	size_t skip = strspn(w->rest->str, "/");
	size_t len = strcspn(w->rest->str + skip, "/");
	char *name = g_strndup(w->rest->str + skip, len);

	g_string_erase(w->rest, 0, (gssize)(skip + len));
	return name;
}

static bool fail_missing(struct walk *w, const char *name)
{
	const char *why =
		w->inode.i_flags & EXT4_ENCRYPT_FL
			? " (the names there are encrypted; use <inode"
			  " number>)"
			: "";

	g_set_error(w->error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
		    "'%s': there is no '%s' in the host%s", w->path, name, why);
	return false;
}

static bool step(struct walk *w, const char *name)
{
	struct ext2_inode inode;
	ext2_ino_t ino;
	errcode_t err;

	if (!read_inode(w, w->at, &w->inode))
		return false;
	if (!S_ISDIR(w->inode.i_mode))
		return fail(w, RAWMAP_ERROR_NOT_FOUND,
			    "a part of the path is not a directory");
	if (!strcmp(name, ".") || !*name)
		return true;
	if (strlen(name) > EXT2_NAME_LEN)
		return fail_missing(w, name);
	err = find_entry(w, name, strlen(name), &ino);
	if (err)
		return fail_code(w, err, "cannot read a directory");
	if (!ino)
		return fail_missing(w, name);
	if (!read_inode(w, ino, &inode))
		return false;
	if (S_ISLNK(inode.i_mode))
		return follow(w, ino, &inode);
	w->at = ino;
	return true;
}

static bool walk_path(struct walk *w)
{
	bool ok = true;

	while (ok && w->rest->len) {
		g_autofree char *name = next_name(w);

		ok = step(w, name);
	}
	return ok;
}

static bool parse_number(struct walk *w, ext2_ino_t *ret)
{
	uint32_t count = w->fs->fs->super->s_inodes_count;
	char *end = NULL;
	uint64_t n = 0;

	if (g_ascii_isdigit(w->path[1]))
		n = g_ascii_strtoull(w->path + 1, &end, 10);
	if (!end || strcmp(end, ">") != 0)
		return fail(w, RAWMAP_ERROR_USAGE,
			    "an inode number is written as <12>");
	if (!n || n > count) {
		g_set_error(w->error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
			    "'%s': the host has inodes 1 to %u", w->path,
			    count);
		return false;
	}
	*ret = (ext2_ino_t)n;
	return true;
}

bool lookup_inode(struct hostfs *fs, const char *path, ext2_ino_t *ret,
		  GError **error)
{
	struct walk w = {
		.fs = fs,
		.path = path,
		.at = EXT2_ROOT_INO,
		.error = error,
	};
	bool ok;

	if (path[0] == '<')
		return parse_number(&w, ret);
	if (path[0] != '/')
		return fail(&w, RAWMAP_ERROR_USAGE,
			    "a path inside the host starts with '/'");
	w.rest = g_string_new(path);
	ok = walk_path(&w);
	g_string_free(w.rest, TRUE);
	if (ok)
		*ret = w.at;
	return ok;
}
