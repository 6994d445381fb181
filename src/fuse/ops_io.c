/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests that move bytes or blocks. Reads, writes and flushes are the engine's
 * to carry out; each of the others is one call of the image, on a thread that
 * may wait. The meaning of every one of them stands in image.h.
 *
 * There is no flush operation on purpose: close(2) promises nothing, and a
 * server without it is asked once and never again. The kernel still writes back
 * dirty pages of a mapping at close.
 *
 * What changes the image passes session_changed() before its reply: with
 * -o sync the reply says that it is durable. No lock is held there, so that
 * those who wait for it wait for one commit together.
 */
#include "engine_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

/* Answers the request itself when there is no image at @ino. */
static struct image *image_for(fuse_req_t req, fuse_ino_t ino)
{
	struct image *img = session_image(fuse_req_userdata(req), ino);

	if (!img)
		fuse_reply_err(req, EISDIR);
	return img;
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi)
{
	struct session *s = fuse_req_userdata(req);
	struct image *img = image_for(req, ino);

	(void)fi;
	if (!img)
		return;
	if (off < 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}

	s->engine->read(s, req, img, size, img_off_at((uint64_t)off));
}

/*
 * Behind a synchronous write (O_SYNC, O_DSYNC, RWF_DSYNC) the kernel asks for a
 * flush; but where op_open() answered "direct" it only says so in the flags.
 */
static bool is_sync_write(const struct session *s,
			  const struct fuse_file_info *fi)
{
	return s->sync || (fi->fh == OPENED_DIRECT && (fi->flags & O_DSYNC));
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
	      off_t off, struct fuse_file_info *fi)
{
	struct session *s = fuse_req_userdata(req);
	struct image *img = image_for(req, ino);

	if (!img)
		return;
	if (off < 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}

	s->engine->write(s, req, img, buf, size, img_off_at((uint64_t)off),
			 is_sync_write(s, fi));
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	      struct fuse_file_info *fi)
{
	struct session *s = fuse_req_userdata(req);
	struct image *img = image_for(req, ino);

	(void)datasync;
	(void)fi;
	if (img)
		s->engine->flush(s, req, img);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off,
		  off_t len, struct fuse_file_info *fi)
{
	struct session *s = fuse_req_userdata(req);
	struct image *img = image_for(req, ino);
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	img_off pos = img_off_at((uint64_t)off);
	uint64_t since;
	int err;

	(void)fi;
	if (!img)
		return;
	if (off < 0 || len <= 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}

	since = image_request_begin(img);
	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		err = image_allocate(img, pos, (uint64_t)len, keep);
		break;
	case FALLOC_FL_PUNCH_HOLE:
		/* Without KEEP_SIZE the system call has refused it. */
		err = keep ? image_punch(img, pos, (uint64_t)len) : -EOPNOTSUPP;
		break;
	case FALLOC_FL_ZERO_RANGE:
		err = image_zero(img, pos, (uint64_t)len, keep);
		break;
	default:
		err = -EOPNOTSUPP;
	}
	if (!err)
		err = session_changed(s, img);
	image_request_end(img, since);
	fuse_reply_err(req, -err);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
	      struct fuse_file_info *fi)
{
	struct image *img = image_for(req, ino);
	img_off found = { 0 };
	int err = -EINVAL;

	(void)fi;
	if (!img)
		return;
	if (off < 0)
		err = -ENXIO;
	else if (whence == SEEK_DATA)
		err = image_seek_data(img, img_off_at((uint64_t)off), &found);
	else if (whence == SEEK_HOLE)
		err = image_seek_hole(img, img_off_at((uint64_t)off), &found);

	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_lseek(req, (off_t)found.v);
}
