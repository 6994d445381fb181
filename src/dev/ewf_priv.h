/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the sources of the EWF device share: the look at a segment file that
 * needs no library (ewf_head.c, ewf_walk.c), opening an image (ewf_open.c),
 * reading it (ewf.c), and what it says of itself (ewf_details.c).
 */
#ifndef RAWMAP_DEV_EWF_PRIV_H
#define RAWMAP_DEV_EWF_PRIV_H

#include <rawmap_config.h>

#include <rawmap/base/lock.h>
#include <rawmap/dev/ewf.h>

struct ewf_head {
	bool logical;	  /* files, not a disk */
	bool second;	  /* of the second format: Ex01 */
	uint32_t segment; /* from 1 */
};

/* False: no EWF, or it cannot be read. */
bool ewf_head_read(const char *path, struct ewf_head *ret);

enum ewf_end {
	EWF_END_DONE, /* the last file of an image */
	EWF_END_NEXT, /* another one follows */
	EWF_END_CUT,  /* neither is said: cut off, or damaged on the way */
};

/* What the sections say there is, before the library takes their word for it. */
struct ewf_claims {
	uint64_t chunks; /* that the tables know */
	uint64_t backed; /* entries of tables that are really there */
	uint64_t wanted; /* chunks that the image says it has */
	uint64_t chunk;	 /* bytes of one, the same */
	bool any;	 /* it can be any number of them for all that is said */
};

/*
 * Follow the sections of a file of the first format. Returns where that leads,
 * and adds to @claims what stands before that.
 */
enum ewf_end ewf_walk(struct blkdev *segment, struct ewf_claims *claims);

#ifdef HAVE_LIBEWF

#include <libewf.h>

struct ewf {
	struct blkdev dev; /* first */
	struct mutex lock;
	libewf_handle_t *handle;    /* guarded by lock */
	GPtrArray *held;	    /* set once: file devices, for the locks */
	uint32_t chunk;		    /* set once: bytes under one checksum */
	uint32_t chunk_sectors;	    /* set once */
	uint64_t end;		    /* set once: of what is there, bytes */
	struct ewf_details details; /* set once */
};

extern const struct blkdev_ops ewf_ops;

/* The cause alone, to be freed; frees and clears *why, which may be NULL. */
char *ewf_take_reason(libewf_error_t **why);

/* The strings; the rest of *ret stays as it is. */
void ewf_details_read(libewf_handle_t *handle, struct ewf_details *ret);
void ewf_details_clear(struct ewf_details *details);

#endif

#endif
