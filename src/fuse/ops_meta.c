/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests about names and attributes.
 *
 * Names never change while mounted, so the kernel may keep them for an hour.
 * Attributes it may not keep at all: st_blocks grows when a write that was sent
 * asynchronously has been filled, which the kernel does not see. Reads and
 * writes do not ask for attributes, so this costs a stat(2) one round trip and
 * nothing else.
 *
 * Opens: cached, so that mmap(2) works, and the cache survives a close because
 * nobody else changes the file. A client that opens with O_DIRECT bypasses the
 * cache anyway; it is answered "direct, parallel writes", which spares its
 * writes the inode lock. See op_init() for the kernels where this is sound.
 */
#include "fuse_priv.h"

#include <rawmap/hostfs/hostfile.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define NAMES_KEPT 3600.0 /* seconds */
#define ATTRS_KEPT 0.0

/* What of a setattr can change an image. */
#define CHANGES                                                               \
	(FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | \
	 FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)

static const char *image_name(const struct session *s, guint i)
{
	return hostfile_name(image_file(g_ptr_array_index(s->images, i)));
}

static fuse_ino_t image_ino(const struct session *s, guint i)
{
	return s->naked ? FUSE_ROOT_ID : FUSE_ROOT_ID + 1 + i;
}

/* False when there is no such node. */
static bool fill_attr(const struct session *s, fuse_ino_t ino, struct stat *st)
{
	struct image *img = session_image(s, ino);
	struct hostfile_attr attr;

	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_uid = s->uid;
	st->st_gid = s->gid;
	st->st_nlink = 1;
	st->st_blksize = (blksize_t)1 << hostfs_block_bits(s->fs);

	if (img) {
		image_attr(img, &attr);
		st->st_mode = S_IFREG | (attr.mode & 0777);
		if (image_readonly(img))
			st->st_mode &= ~(mode_t)0222;
		st->st_size = (off_t)image_size(img);
		st->st_blocks = (blkcnt_t)attr.blocks;
		st->st_atim = attr.atime;
		st->st_mtim = attr.mtime;
		st->st_ctim = attr.ctime;
		return true;
	}
	if (ino != FUSE_ROOT_ID)
		return false;
	st->st_mode = S_IFDIR | 0555;
	st->st_nlink = 2;
	st->st_atim = st->st_mtim = st->st_ctim = s->started;
	return true;
}

static void reply_attr(fuse_req_t req, fuse_ino_t ino)
{
	struct stat st;

	if (fill_attr(fuse_req_userdata(req), ino, &st))
		fuse_reply_attr(req, &st, ATTRS_KEPT);
	else
		fuse_reply_err(req, ENOENT);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct session *s = fuse_req_userdata(req);
	struct fuse_entry_param entry = {
		.attr_timeout = ATTRS_KEPT,
		.entry_timeout = NAMES_KEPT,
	};

	if (s->naked || parent != FUSE_ROOT_ID) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	for (guint i = 0; i < s->images->len; i++) {
		if (strcmp(name, image_name(s, i)) != 0)
			continue;
		entry.ino = image_ino(s, i);
		fill_attr(s, entry.ino, &entry.attr);
		fuse_reply_entry(req, &entry);
		return;
	}
	fuse_reply_err(req, ENOENT);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	reply_attr(req, ino);
}

/* The host keeps its owner and mode; asking for what is shown is no change. */
static bool changes_owner_or_mode(const struct session *s, fuse_ino_t ino,
				  const struct stat *attr, int which)
{
	struct stat now;

	fill_attr(s, ino, &now);
	return ((which & FUSE_SET_ATTR_MODE) &&
		(attr->st_mode & 07777) != (now.st_mode & 07777)) ||
	       ((which & FUSE_SET_ATTR_UID) && attr->st_uid != now.st_uid) ||
	       ((which & FUSE_SET_ATTR_GID) && attr->st_gid != now.st_gid);
}

static int set_times(struct image *img, const struct stat *attr, int which)
{
	const struct timespec *atime = NULL, *mtime = NULL;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (which & FUSE_SET_ATTR_ATIME_NOW)
		atime = &now;
	else if (which & FUSE_SET_ATTR_ATIME)
		atime = &attr->st_atim;
	if (which & FUSE_SET_ATTR_MTIME_NOW)
		mtime = &now;
	else if (which & FUSE_SET_ATTR_MTIME)
		mtime = &attr->st_mtim;

	if (!atime && !mtime)
		return 0;
	if (image_readonly(img))
		return -EROFS;
	return image_set_times(img, atime, mtime);
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int which,
		struct fuse_file_info *fi)
{
	struct session *s = fuse_req_userdata(req);
	struct image *img = session_image(s, ino);
	int err = 0;

	(void)fi;
	if (!img || changes_owner_or_mode(s, ino, attr, which))
		err = -EPERM;
	if (!err && (which & FUSE_SET_ATTR_SIZE) && attr->st_size < 0)
		err = -EINVAL;
	if (!err && (which & FUSE_SET_ATTR_SIZE))
		err = image_truncate(img, (uint64_t)attr->st_size);
	if (!err)
		err = set_times(img, attr, which);
	if (!err && (which & CHANGES))
		err = session_changed(s, img);

	if (err)
		fuse_reply_err(req, -err);
	else
		reply_attr(req, ino);
}

/* Entries 0 and 1 are the dots; entry n + 2 is image n. */
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	static const char *const dots[] = { ".", ".." };
	struct session *s = fuse_req_userdata(req);
	g_autofree char *buf = NULL;
	size_t used = 0;
	guint first;

	(void)fi;
	if (s->naked || ino != FUSE_ROOT_ID) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	size = MIN(size, MAX_DIR_REPLY);
	buf = g_malloc(size);
	/* Of an offset that no entry has, nothing is behind. */
	first = off < 0 || off > G_MAXINT ? G_MAXINT : (guint)off;
	for (guint i = first; i < s->images->len + 2; i++) {
		const char *name = i < 2 ? dots[i] : image_name(s, i - 2);
		struct stat st = {
			.st_ino = i < 2 ? FUSE_ROOT_ID : image_ino(s, i - 2),
			.st_mode = i < 2 ? S_IFDIR : S_IFREG,
		};
		size_t need = fuse_add_direntry(req, buf + used, size - used,
						name, &st, (off_t)i + 1);

		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, buf, used);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->cache_readdir = 1;
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static bool is_writer(const struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) != O_RDONLY;
}

/*
 * libfuse before 3.14.1 has no field for parallel writes: say it by hand.
 * Returns as fuse_reply_open() does.
 */
static int reply_open_direct(fuse_req_t req, struct fuse_file_info *fi)
{
#ifdef HAVE_FUSE_PARALLEL_DIRECT_WRITES
	fi->fh = OPENED_DIRECT;
	fi->direct_io = 1;
	fi->parallel_direct_writes = 1;
	return fuse_reply_open(req, fi);
#else
	struct fuse_open_out out = {
		.fh = OPENED_DIRECT,
		.open_flags = FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE,
	};

	(void)fi;
#ifdef FOPEN_PARALLEL_DIRECT_WRITES
	out.open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
#endif
	return fuse_reply_buf(req, (const char *)&out, sizeof(out));
#endif
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct session *s = fuse_req_userdata(req);
	struct image *img = session_image(s, ino);
	int err;

	if (!img) {
		fuse_reply_err(req, EISDIR);
		return;
	}
	if (is_writer(fi) && image_readonly(img)) {
		fuse_reply_err(req, EROFS);
		return;
	}
	if (is_writer(fi))
		g_atomic_int_inc(&s->writers);
	fi->keep_cache = 1;
	if ((fi->flags & O_DIRECT) && s->uncached_writes)
		err = reply_open_direct(req, fi);
	else
		err = fuse_reply_open(req, fi);
	/* Nobody waits for the answer any more: no release will come either. */
	if (err == -ENOENT && is_writer(fi))
		(void)g_atomic_int_dec_and_test(&s->writers);
}

/*
 * Nobody waits for the reply to a release. When the last writer is gone the
 * host is brought to rest: what comes next may be an unmount, after which the
 * user expects a clean host at once, or a crash, after which he deserves one. A
 * failure breaks the host, which says so itself.
 */
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct session *s = fuse_req_userdata(req);

	(void)ino;
	session_stay();
	if (is_writer(fi) && g_atomic_int_dec_and_test(&s->writers)) {
		for (guint i = 0; i < s->images->len; i++)
			image_settle(g_ptr_array_index(s->images, i));
		(void)hostfs_settle(s->fs);
	}
	fuse_reply_err(req, 0);
}

/*
 * f_bsize matters: the loop driver takes it for its discard granularity, and a
 * smaller one than the host's block would make discards that free nothing.
 */
void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct session *s = fuse_req_userdata(req);
	struct hostfs_info info;
	struct statvfs st = { 0 };

	(void)ino;
	hostfs_info(s->fs, &info);
	st.f_bsize = st.f_frsize = info.block_size;
	st.f_blocks = (fsblkcnt_t)info.blocks;
	st.f_bfree = (fsblkcnt_t)info.free_blocks;
	st.f_bavail = s->readonly ? 0 : (fsblkcnt_t)hostfs_available(s->fs);
	st.f_files = s->images->len;
	st.f_namemax = NAME_MAX;
	hostfs_info_clear(&info);
	fuse_reply_statfs(req, &st);
}

/*
 * The directory's content is fixed. Without these the kernel would answer
 * "function not implemented", which tells nobody anything.
 */

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)rdev;
	fuse_reply_err(req, EPERM);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		const char *name)
{
	(void)target;
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
	     const char *newname)
{
	(void)ino;
	(void)newparent;
	(void)newname;
	fuse_reply_err(req, EPERM);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)parent;
	(void)name;
	(void)mode;
	fuse_reply_err(req, EPERM);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	       fuse_ino_t newparent, const char *newname, unsigned flags)
{
	(void)parent;
	(void)name;
	(void)newparent;
	(void)newname;
	(void)flags;
	fuse_reply_err(req, EPERM);
}
