/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ioctl(2) on an exposed file: what <rawmap/ioctl.h> promises. Everything else
 * is ENOTTY, so that programs that probe (lsattr, file systems' tools) go on.
 */
#include "engine_priv.h"

#include <rawmap/hostfs/hostfile.h>
#include <rawmap/ioctl.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Of the image's blocks that hold bytes [pos, pos + len); len 0: to the end. */
static void blocks_of(const struct image *img, uint64_t pos, uint64_t len,
		      lblk *ret_start, uint64_t *ret_len)
{
	unsigned bits = image_block_bits(img);
	uint64_t end = len && len <= UINT64_MAX - pos ? pos + len : UINT64_MAX;
	uint64_t first = MIN(pos >> bits, LBLK_END);
	uint64_t behind = MIN((end >> bits) + 1, LBLK_END);

	if (!(end & ((UINT64_C(1) << bits) - 1)))
		behind = MIN(end >> bits, LBLK_END);
	*ret_start = lblk_at(first);
	*ret_len = behind - first;
}

/* With -o pin somebody relies on what another one would make it forget. */
static int advise(const struct session *s, struct image *img,
		  const struct rawmap_advise *how)
{
	struct hostfile *hf = image_file(img);
	struct extmap *map = hostfile_map(hf);
	uint64_t len;
	lblk start;

	if (how->zero)
		return -EINVAL;
	if (s->pin && (how->advice == RAWMAP_ADVISE_DROP ||
		       how->advice == RAWMAP_ADVISE_UNPIN))
		return -EBUSY;
	blocks_of(img, how->offset, how->length, &start, &len);
	switch (how->advice) {
	case RAWMAP_ADVISE_DROP:
		extmap_drop(map, start, len);
		return 0;
	case RAWMAP_ADVISE_UNPIN:
		extmap_unpin(map, start, len);
		return 0;
	case RAWMAP_ADVISE_PIN:
		extmap_pin(map, start, len);
		return hostfile_populate(hf, start, len);
	case RAWMAP_ADVISE_POPULATE:
		return hostfile_populate(hf, start, len);
	default:
		return -EINVAL;
	}
}

static void reply_stats(fuse_req_t req, const struct session *s,
			struct image *img)
{
	struct rawmap_stats stats;

	session_stats(s, img, &stats);
	fuse_reply_ioctl(req, 0, &stats, sizeof(stats));
}

static bool put(char *to, size_t size, const char *text)
{
	return g_strlcpy(to, text, size) < size;
}

static void fill_about(const struct session *s, struct image *img,
		       struct rawmap_about *about)
{
	bool whole;

	*about = (struct rawmap_about){
		.offset = s->src.stack.start,
		.pid_namespace = s->pid_namespace,
		.pid = getpid(),
		.outcome = s->outcome,
		.flags = image_readonly(img) ? RAWMAP_ABOUT_READONLY : 0,
		.sector = blkdev_geometry(hostfs_data_dev(s->fs))->sector,
	};
	put(about->engine, sizeof(about->engine), s->engine->name);
	whole = put(about->source, sizeof(about->source), s->source);
	whole &= put(about->image, sizeof(about->image),
		     hostfile_path(image_file(img)));
	whole &= put(about->mountpoint, sizeof(about->mountpoint),
		     s->mountpoint);
	if (!whole)
		about->flags |= RAWMAP_ABOUT_CUT;
}

static void reply_about(fuse_req_t req, const struct session *s,
			struct image *img)
{
	struct rawmap_about about;

	fill_about(s, img, &about);
	fuse_reply_ioctl(req, 0, &about, sizeof(about));
}

static void reply_advise(fuse_req_t req, const struct session *s,
			 struct image *img, const void *in_buf)
{
	struct rawmap_advise how;
	int err;

	memcpy(&how, in_buf, sizeof(how));
	err = advise(s, img, &how);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_ioctl(req, 0, NULL, 0);
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in_buf,
	      size_t in_size, size_t out_size)
{
	struct session *s = fuse_req_userdata(req);
	struct image *img = session_image(s, ino);

	(void)arg;
	(void)fi;
	(void)flags;
	if (img && cmd == RAWMAP_IOC_STATS &&
	    out_size >= sizeof(struct rawmap_stats))
		reply_stats(req, s, img);
	else if (img && cmd == RAWMAP_IOC_ABOUT &&
		 out_size >= sizeof(struct rawmap_about))
		reply_about(req, s, img);
	else if (img && cmd == RAWMAP_IOC_ADVISE &&
		 in_size >= sizeof(struct rawmap_advise))
		reply_advise(req, s, img, in_buf);
	else
		fuse_reply_err(req, ENOTTY);
}
