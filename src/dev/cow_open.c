/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * FILE of copy on write by its path: what it may be, and what it is now.
 *
 *   at the path         what is done
 *   nothing             made, then as below
 *   an empty file       gets its size, and room for its bitmap
 *   half made           the header is written, then as below
 *   anything else       has to be FILE of this source, or is refused
 *
 * Half made is what a crash in between leaves: of exactly the size that FILE
 * has for this source, zeros in the first sector, and nothing behind the
 * header. What somebody else made and filled with anything is never written to.
 *
 * The first step has its own descriptor and lock. Whatever it found is looked
 * at again under the lock of the file device, which lasts, so that two who make
 * the same FILE at the same time come one after the other.
 */
#include "cow_priv.h"
#include "dev_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/filedev.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* How far the first data of a filesystem with large blocks may reach. */
#define FIRST_DATA (64u << 10)

struct opening {
	struct cow_names names;
	struct cow_layout at; /* when it has to be made */
	bool created;	      /* the name is new */
	bool emptied;	      /* it was seen without a byte */
};

static void report(const struct opening *o, const char *what, int err,
		   GError **error)
{
	enum rawmap_error code = RAWMAP_ERROR_IO;

	if (err == ENOENT || err == ENOTDIR)
		code = RAWMAP_ERROR_NOT_FOUND;
	else if (err == EACCES || err == EPERM || err == EROFS ||
		 err == ETXTBSY)
		code = RAWMAP_ERROR_READONLY;
	error_set_errno(error, code, err,
			"cannot %s the copy-on-write file "
			"'%s'",
			what, o->names.file);
}

/* ---- what is there ---- */

static bool is_usable(const struct opening *o, const struct stat *st,
		      GError **error)
{
	struct stat source;

	if (!stat(o->names.source, &source) && source.st_dev == st->st_dev &&
	    source.st_ino == st->st_ino) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
			    "'%s' is the source itself; name another file for "
			    "the changes",
			    o->names.file);
		return false;
	}
	if (S_ISREG(st->st_mode))
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_A_FILE,
		    "'%s' is not a regular file; changes are kept in one that "
		    "is, or in one that does not exist yet",
		    o->names.file);
	return false;
}

/* The descriptor, or -1 and a sentence. */
static int open_file(struct opening *o, GError **error)
{
	const char *path = o->names.file;
	struct stat st;
	int fd;

	if (!stat(path, &st)) {
		if (!is_usable(o, &st, error))
			return -1;
		fd = open(path, O_RDWR | O_CLOEXEC);
	} else if (errno == ENOENT) {
		/* It will hold pieces of a disk that not everybody may read. */
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		o->created = fd >= 0;
	} else {
		fd = -1;
	}
	if (fd < 0)
		report(o, "open", errno, error);
	return fd;
}

/* ---- making it ---- */

/* The name of a new file has to survive, too. */
static int sync_folder(const char *path)
{
	/* Where a link points. */
	char *real = realpath(path, NULL);
	g_autofree char *folder = real ? g_path_get_dirname(real) : NULL;
	int fd = -1, err = 0;

	free(real);
	if (folder)
		fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Without the right to read it: as well as can be. */
	if (fd < 0)
		return 0;
	if (fsync(fd) && errno != EINVAL && errno != EROFS)
		err = errno;
	close(fd);
	return err;
}

/*
 * Room for the bitmap is taken at once, where that is known: a flush had better
 * not be the one that finds the disk full.
 */
static int take_room(const struct opening *o, int fd)
{
	off_t len = (off_t)(COW_HEADER + o->at.bitmap);
	int ret;

	do {
		ret = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, len);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0 && errno != EOPNOTSUPP && errno != ENOSYS)
		return errno;
	return 0;
}

static bool make_empty(const struct opening *o, int fd, GError **error)
{
	int err = 0;

	if (ftruncate(fd, (off_t)o->at.store))
		err = errno;
	if (!err)
		err = take_room(o, fd);
	if (!err && fsync(fd))
		err = errno;
	if (!err)
		err = sync_folder(o->names.file);
	if (!err)
		return true;
	if (o->created)
		unlink(o->names.file);
	else if (ftruncate(fd, 0))
		log_debug("'%s' stays half made", o->names.file);
	if (err == EFBIG)
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_IO,
			    "the filesystem of '%s' cannot hold a file of "
			    "%" G_GUINT64_FORMAT
			    " bytes, even a sparse one, or "
			    "the limit of file sizes (ulimit -f) forbids it",
			    o->names.file, o->at.store);
	else
		report(o, "make", err, error);
	return false;
}

/* An empty file becomes a half-made one; all else stays as it is. */
static bool prepare(struct opening *o, GError **error)
{
	int fd = open_file(o, error);
	struct stat st;
	bool ok = true;

	if (fd < 0)
		return false;
	/* Who holds it is found out again, with more patience. */
	if (!flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &st) && !st.st_size) {
		o->emptied = true;
		ok = make_empty(o, fd, error);
	}
	close(fd);
	return ok;
}

/* Nothing but zeros from @pos on, as the filesystem knows or a look tells. */
static bool is_hole(struct blkdev *store, uint64_t pos)
{
	g_autofree uint8_t *bytes = g_malloc(FIRST_DATA);

	if (lseek(filedev_of(store)->fd, FIRST_DATA, SEEK_DATA) >= 0 ||
	    errno != ENXIO)
		return false;
	return !blkdev_pread(store, bytes, FIRST_DATA - pos, dev_off_at(pos)) &&
	       bytes_are_zero(bytes, FIRST_DATA - pos);
}

static bool is_half_made(const struct opening *o, struct blkdev *store)
{
	char first[COW_SECTOR];

	if (blkdev_geometry(store)->size != o->at.store ||
	    blkdev_pread(store, first, sizeof(first), dev_off_at(0)) ||
	    !bytes_are_zero(first, sizeof(first)))
		return false;
	/* Not every filesystem tells holes from data. */
	return o->emptied || is_hole(store, COW_HEADER);
}

static struct blkdev *open_prepared(struct opening *o, struct blkdev *lower,
				    struct blkdev *witness, GError **error)
{
	struct filedev_options opt = { .lock = true };
	g_autoptr(blkdev) store = filedev_open(o->names.file, &opt, error);
	struct blkdev *dev;
	bool fresh;

	if (!store)
		return NULL;
	fresh = is_half_made(o, store);
	dev = cow_new(lower, witness, store, &o->names, fresh, error);
	/* Somebody else may have been quicker, and filled it. */
	if (!dev && fresh && o->created)
		unlink(o->names.file);
	return dev;
}

struct blkdev *cow_open(struct blkdev *lower, struct blkdev *witness,
			const char *path, const char *source_name,
			GError **error)
{
	struct opening o = { .names = { path, source_name } };

	if (!cow_layout_choose(blkdev_geometry(lower)->size, &o.at)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "'%s' is too large for a copy-on-write file",
			    source_name);
		return NULL;
	}
	if (!prepare(&o, error))
		return NULL;
	return open_prepared(&o, lower, witness, error);
}
