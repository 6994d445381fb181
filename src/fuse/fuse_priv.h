/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this layer share. */
#ifndef RAWMAP_FUSE_PRIV_H
#define RAWMAP_FUSE_PRIV_H

#include <rawmap_config.h>
#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif

#include <rawmap/base/lock.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/fuse/options.h>
#include <rawmap/fuse/session.h>
#include <rawmap/hostfs/hostsource.h>
#include <rawmap/image/committer.h>
#include <rawmap/image/image.h>

#include <fuse_lowlevel.h>
#include <time.h>

/* One request moves at most so much; also what a buffer of the pool holds. */
#define MAX_TRANSFER (1U << 20)
/* A part of a directory is no longer, and nothing but the bytes of images is. */
#define MAX_DIR_REPLY (64U << 10)

/* Aligned buffers for reads, reused: as many as there were readers at a time. */
struct bufpool {
	struct mutex lock;
	void *free; /* guarded by lock; linked through them */
};

void bufpool_init(struct bufpool *pool);
void bufpool_clear(struct bufpool *pool);
/* @len bytes, page-aligned; give it back with the same @len. Never NULL. */
void *bufpool_get(struct bufpool *pool, size_t len);
void bufpool_put(struct bufpool *pool, void *buf, size_t len);

/*
 * Node numbers: a directory is FUSE_ROOT_ID and its images follow in order; a
 * naked image is FUSE_ROOT_ID itself. All but the pool and what is marked is set
 * before the first request and constant then.
 */
struct audit;
struct engine_ops;
struct uring;
struct rawmap_stats;

struct session {
	char *source, *mountpoint;
	struct hostsource src;
	struct hostfs *fs; /* of src */
	GPtrArray *images; /* struct image, owned */
	bool naked, readonly;
	bool sync;	      /* what session_changed() is for */
	bool over_uring;      /* -o io_uring */
	enum mount_pin pin;   /* -o pin */
	GPtrArray *filled;    /* what pinning_undo() gives back, or NULL */
	bool uncached_writes; /* set by init, before any open */
	unsigned commit, threads, max_read;
	uid_t uid;
	gid_t gid;
	struct timespec started; /* the directory's times */
	uint64_t since;		 /* monotonic: when it began */
	struct fuse_session *se;
	const struct engine_ops *engine;
	struct uring *uring; /* of the engine of that name */
	bool signals;	     /* handlers are installed */
	struct committer *committer;
	struct audit *audit;	/* NULL: not asked for */
	uint64_t pid_namespace; /* inode number; 0: not known */
	int outcome;		/* descriptor, of outcome_new() */
	gint writers;		/* atomic: files open for writing */
	struct bufpool pool;
};

/*
 * Before anything that takes a lock. At the end libfuse cancels those of its
 * threads that take requests out of io_uring, wherever they are; it wakes them
 * up as well, and so they end without.
 */
void session_stay(void);

/* The image at node @ino; NULL for the directory and for unknown nodes. Stays. */
struct image *session_image(const struct session *s, fuse_ino_t ino);

/*
 * A call has changed @img and is about to say so. On 0 the change is durable if
 * the mount was asked for it (-o sync), and not touched otherwise. 0 or -errno
 * of the flush, which is the reply then.
 */
int session_changed(struct session *s, struct image *img);

/* The counters of @img, and those that all images of the session share. */
void session_stats(const struct session *s, struct image *img,
		   struct rawmap_stats *ret);

/*
 * A thread that logs the counters whenever SIGUSR1 comes. Behind
 * session_hold_signals(). stop: NULL is fine.
 */
struct reporter *reporter_start(struct session *s);
void reporter_stop(struct reporter *r);

/* Say, with -v, what was decided about the images and who may use them. */
void session_explain(const struct session *s, const struct mountopts *opt);

/*
 * What is to become of @opt's word about other users: *ret_add when they are to
 * be let in though it does not say allow_other itself. That allow_other=auto
 * lets nobody in is said here. False when it asks for what may not be.
 */
bool others_decide(const struct mountopts *opt, bool *ret_add, GError **error);

/* Make s->se: nothing is mounted yet. */
bool connection_new(struct session *s, const struct mountopts *opt, bool debug,
		    GError **error);

/*
 * What fi->fh says of an open file: the kernel sends what it reads and writes
 * here as it is, whatever it has in its page cache.
 */
#define OPENED_DIRECT 1

/* Operations, one file per family. */
void op_init(void *userdata, struct fuse_conn_info *conn);

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int which,
		struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_statfs(fuse_req_t req, fuse_ino_t ino);

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		const char *name);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
	     const char *newname);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	       fuse_ino_t newparent, const char *newname, unsigned flags);

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
	      off_t off, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	      struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off,
		  off_t len, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
	      struct fuse_file_info *fi);

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in_buf,
	      size_t in_size, size_t out_size);

/*
 * Keep a server that stands below a block device alive when memory is short.
 * Each step is tried and, where it may not be taken, said to the debug log.
 */
void hygiene_apply(void);
/*
 * The same with -o pin: and what serving needs is there before it begins. What
 * may not be done is said aloud: nobody should swap to these images then.
 */
void hygiene_pin(const struct session *s);

/*
 * -o pin: maps are in memory, holes filled, memory locked. Before the mount is
 * there. False with a sentence.
 */
bool pinning_do(struct session *s, GError **error);
/* From now on others may write: what was filled stays so. */
void pinning_keep(struct session *s);
/* Unless it is kept: images are what they were. */
void pinning_undo(struct session *s);

#endif
