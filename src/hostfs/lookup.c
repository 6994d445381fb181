/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a path inside the host, or "<N>", to an inode number.
 *
 * The walk is a loop: a symbolic link's target is put before what is left of
 * the path, an absolute one starts over at the host's root. So the number of
 * links bounds the work, where libext2fs' recursion would not.
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

static bool fail_directory(struct walk *w, errcode_t err, pblk block)
{
	g_autofree char *what =
		block.v ? g_strdup_printf("cannot read block %" PRIu64
					  " of a directory, inode %u",
					  block.v, w->at)
			: g_strdup_printf("cannot read a directory, inode %u",
					  w->at);

	return fail_code(w, err, what);
}

/* ---- symbolic links ---- */

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
	err = link_read(w->fs, ino, inode, w->path, &target);
	if (err)
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
	if (err) {
		g_autofree char *what =
			g_strdup_printf("cannot read inode %u", ino);

		return fail_code(w, err, what);
	}
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
	pblk bad;

	if (!read_inode(w, w->at, &w->inode))
		return false;
	if (!S_ISDIR(w->inode.i_mode))
		return fail(w, RAWMAP_ERROR_NOT_FOUND,
			    "a part of the path is not a directory");
	if (!strcmp(name, ".") || !*name)
		return true;
	if (strlen(name) > EXT2_NAME_LEN)
		return fail_missing(w, name);
	err = dir_find(w->fs, w->at, &w->inode, w->path, name, &ino, &bad);
	if (err)
		return fail_directory(w, err, bad);
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
