/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening a block device or a regular file: may it be used, who else uses it,
 * how large is it and what does direct I/O on it need.
 *
 * Order matters: the type is known before the open (opening a FIFO would wait,
 * opening a tape would wind it), and checked again after it; ownership is
 * taken before the size is read.
 *
 * Writes nothing, reads at most one sector, and sets no access time where the
 * kernel lets it.
 */
#include "dev_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/filedev.h>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/* Half a second in all. */
#define PATIENCE_TRIES	  50
#define PATIENCE_PAUSE_NS 10000000

struct opening {
	const char *path;
	const struct filedev_options *opt;
	struct stat st;
};

static bool is_file_or_device(const struct opening *o, GError **error)
{
	if (S_ISREG(o->st.st_mode) || S_ISBLK(o->st.st_mode))
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
		    "'%s' is neither a block device nor a regular file; name "
		    "the device or disk image that holds the filesystem",
		    o->path);
	return false;
}

static void report_busy(const struct opening *o, GError **error)
{
	g_autofree char *where = filedev_mountpoint(o->st.st_rdev, NULL);

	if (where)
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "'%s' is mounted on '%s'; unmount it first, "
			    "or use a read-only snapshot",
			    o->path, where);
	else
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "'%s' is mounted or held by another program; "
			    "unmount it or stop that program first",
			    o->path);
}

static void report_open(const struct opening *o, int err, GError **error)
{
	bool denied = err == EACCES || err == EPERM || err == EROFS ||
		      err == ETXTBSY;

	if (err == ENOENT || err == ENOTDIR)
		error_set_errno(error, RAWMAP_ERROR_NOT_FOUND, err,
				"cannot open '%s'", o->path);
	else if (err == EBUSY)
		report_busy(o, error);
	else if (denied && !o->opt->readonly &&
		 !faccessat(AT_FDCWD, o->path, R_OK, AT_EACCESS))
		error_set_errno(error, RAWMAP_ERROR_READONLY, err,
				"cannot open '%s' for writing; -r opens it "
				"read-only",
				o->path);
	else
		error_set_errno(error, RAWMAP_ERROR_IO, err, "cannot open '%s'",
				o->path);
}

/* Returns the descriptor or -errno. Only an owner may ask for O_NOATIME. */
static int open_flags(const struct opening *o, int more)
{
	int flags = O_CLOEXEC | (o->opt->readonly ? O_RDONLY : O_RDWR) | more;
	int fd = -1;

	if (o->opt->readonly && S_ISREG(o->st.st_mode))
		fd = open(o->path, flags | O_NOATIME);
	if (fd < 0)
		fd = open(o->path, flags);
	return fd < 0 ? -errno : fd;
}

/* The path may name something else by now: hold on to what stat() saw. */
static bool is_same(const struct opening *o, int fd)
{
	struct stat now;

	return !fstat(fd, &now) && now.st_dev == o->st.st_dev &&
	       now.st_ino == o->st.st_ino && now.st_rdev == o->st.st_rdev &&
	       (now.st_mode & S_IFMT) == (o->st.st_mode & S_IFMT);
}

/* The descriptor, or -1 and a sentence. */
static int hold(const struct opening *o, int fd, GError **error)
{
	if (fd < 0) {
		report_open(o, -fd, error);
		return -1;
	}
	if (is_same(o, fd))
		return fd;
	close(fd);
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_IO,
		    "'%s' was replaced while it was opened; try again",
		    o->path);
	return -1;
}

/*
 * A moment's patience tells an owner from those who have the source for moments
 * only: the kernel, which lets go of it when the last I/O of a server that was
 * killed is through; and udev, which locks a device, shared, to look what is on
 * it, and leaves it alone while somebody else has the lock. False: it is over.
 */
static bool be_patient(unsigned *tries)
{
	const struct timespec pause = { .tv_nsec = PATIENCE_PAUSE_NS };

	if (++*tries >= PATIENCE_TRIES)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

static bool is_mounted(const struct opening *o)
{
	g_autofree char *where = filedev_mountpoint(o->st.st_rdev, NULL);

	return where != NULL;
}

static int open_patiently(const struct opening *o, int more)
{
	unsigned tries = 0;
	int fd;

	do {
		fd = open_flags(o, more);
	} while (fd == -EBUSY && !is_mounted(o) && be_patient(&tries));
	return fd;
}

/*
 * With O_DIRECT when it is wanted and the source knows it; *ret_direct tells.
 * A filesystem without direct I/O answers EINVAL.
 */
static int open_source(const struct opening *o, bool *ret_direct,
		       GError **error)
{
	bool own = o->opt->lock && !o->opt->readonly && S_ISBLK(o->st.st_mode);
	int more = own ? O_EXCL : 0;
	int fd = -EINVAL;

	if (o->opt->direct != FILEDEV_DIRECT_OFF)
		fd = open_patiently(o, more | O_DIRECT);
	*ret_direct = fd >= 0;
	if (fd == -EINVAL)
		fd = open_patiently(o, more);
	return hold(o, fd, error);
}

static int lock_patiently(int fd, int how)
{
	unsigned tries = 0;

	while (flock(fd, how | LOCK_NB))
		if (errno != EWOULDBLOCK || !be_patient(&tries))
			return -errno;
	return 0;
}

static bool take_lock(const struct opening *o, int fd, GError **error)
{
	int err;

	if (!o->opt->lock)
		return true;
	err = lock_patiently(fd, o->opt->readonly ? LOCK_SH : LOCK_EX);
	if (!err)
		return true;
	if (err == -EWOULDBLOCK)
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
			    "'%s' is in use by another program that %s; stop "
			    "that program first",
			    o->path,
			    o->opt->readonly ? "writes to it" : "locked it");
	else
		error_set_errno(error, RAWMAP_ERROR_IO, -err,
				"cannot lock '%s'; copy it to a filesystem "
				"with locks, or mount that one with them",
				o->path);
	return false;
}

/* Unknown counts as yes: the request itself answers in the end. */
static bool device_can_discard(dev_t rdev)
{
	/* A partition's queue is its disk's. */
	static const char *const place[] = { "queue", "../queue" };

	for (size_t i = 0; i < G_N_ELEMENTS(place); i++) {
		g_autofree char *path = g_strdup_printf(
			"/sys/dev/block/%u:%u/%s/discard_max_bytes",
			major(rdev), minor(rdev), place[i]);
		g_autofree char *text = NULL;

		if (g_file_get_contents(path, &text, NULL, NULL))
			return g_ascii_strtoull(text, NULL, 10) != 0;
	}
	return true;
}

static bool measure_device(const struct opening *o, struct filedev *fd,
			   GError **error)
{
	struct blkdev_geometry *geo = &fd->dev.geo;
	int sector, ro;

	if (ioctl(fd->fd, BLKSSZGET, &sector) < 0 ||
	    ioctl(fd->fd, BLKGETSIZE64, &geo->size) < 0 ||
	    ioctl(fd->fd, BLKROGET, &ro) < 0) {
		error_set_errno(error, RAWMAP_ERROR_IO, errno,
				"cannot learn the geometry of '%s'; see "
				"whether the device is still there",
				o->path);
		return false;
	}
	if (sector < SECTOR_MIN || !filedev_align_is_usable((uint64_t)sector)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "'%s' has sectors of %d bytes, which rawmap cannot "
			    "use; copy it to a file first",
			    o->path, sector);
		return false;
	}
	if (ro && !geo->readonly) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_READONLY,
			    "'%s' is set read-only; -r opens it read-only, "
			    "'blockdev --setrw' makes it writable",
			    o->path);
		return false;
	}
	geo->sector = (uint32_t)sector;
	geo->align = fd->direct ? (uint32_t)sector : 1;
	geo->can_discard = !geo->readonly && device_can_discard(o->st.st_rdev);
	fd->unit = (uint32_t)sector;
	return true;
}

static bool measure_file(const struct opening *o, struct filedev *fd,
			 GError **error)
{
	struct blkdev_geometry *geo = &fd->dev.geo;
	uint32_t align = fd->direct ? filedev_align(fd->fd) : 0;
	struct stat st;

	if (fd->direct && !align &&
	    fcntl(fd->fd, F_SETFL, fcntl(fd->fd, F_GETFL) & ~O_DIRECT) < 0) {
		error_set_errno(error, RAWMAP_ERROR_IO, errno,
				"cannot use '%s' without direct I/O; try "
				"-o direct=off",
				o->path);
		return false;
	}
	if (fstat(fd->fd, &st) < 0) {
		error_set_errno(error, RAWMAP_ERROR_IO, errno,
				"cannot learn the size of '%s'; see whether it "
				"is still there",
				o->path);
		return false;
	}
	fd->direct = align != 0;
	geo->size = (uint64_t)st.st_size;
	geo->sector = (uint32_t)u64_max(align, SECTOR_MIN);
	geo->align = fd->direct ? align : 1;
	geo->can_discard = !geo->readonly;
	fd->unit = filedev_align_is_usable((uint64_t)st.st_blksize)
			   ? (uint32_t)st.st_blksize
			   : SECTOR_SAFE;
	fd->unit = (uint32_t)u64_max(fd->unit, geo->sector);
	return true;
}

/* Readahead would put direct bytes into the page cache beside the tail. */
static bool open_tail(const struct opening *o, struct filedev *fd,
		      GError **error)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t size = fd->dev.geo.size;

	fd->tail = size;
	if (is_aligned(size, fd->dev.geo.align))
		return true;
	fd->tail = align_floor(size, u64_max(page, fd->dev.geo.align));
	fd->tail_fd = hold(o, open_flags(o, 0), error);
	if (fd->tail_fd < 0)
		return false;
	posix_fadvise(fd->tail_fd, 0, 0, POSIX_FADV_RANDOM);
	return true;
}

static bool settle_direct(const struct opening *o, const struct filedev *fd,
			  GError **error)
{
	if (fd->direct || o->opt->direct == FILEDEV_DIRECT_OFF)
		return true;
	if (o->opt->direct == FILEDEV_DIRECT_AUTO) {
		log_debug("'%s' has no direct I/O; using the page cache",
			  o->path);
		return true;
	}
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
		    "'%s' has no direct I/O; use -o direct=auto", o->path);
	return false;
}

static bool measure(const struct opening *o, struct filedev *fd, GError **error)
{
	if (!(fd->is_block ? measure_device(o, fd, error)
			   : measure_file(o, fd, error)))
		return false;
	return settle_direct(o, fd, error) && open_tail(o, fd, error);
}

struct blkdev *filedev_open(const char *path, const struct filedev_options *opt,
			    GError **error)
{
	struct opening o = { .path = path, .opt = opt };
	struct blkdev_geometry geo;
	struct filedev *fd;
	bool direct;
	int raw;

	if (stat(path, &o.st) < 0) {
		report_open(&o, errno, error);
		return NULL;
	}
	if (!is_file_or_device(&o, error))
		return NULL;
	raw = open_source(&o, &direct, error);
	if (raw < 0)
		return NULL;
	fd = g_new0(struct filedev, 1);
	fd->fd = raw;
	fd->tail_fd = -1;
	fd->direct = direct;
	fd->is_block = S_ISBLK(o.st.st_mode);
	fd->dev.geo.readonly = opt->readonly;
	edges_init(&fd->edges);
	if (!take_lock(&o, raw, error) || !measure(&o, fd, error)) {
		filedev_ops.close(&fd->dev);
		return NULL;
	}
	geo = fd->dev.geo;
	blkdev_init(&fd->dev, &filedev_ops, &geo);
	return &fd->dev;
}
