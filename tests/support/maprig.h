/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host in memory with one file, changed through hostfile.h, and a model of
 * what the file must look like: the state of every block and the stamp that
 * was written into it last. Whatever the map says is compared with the model,
 * and in the end what debugfs reads and what e2fsck says.
 *
 * Steps that must not fail abort the test with a sentence.
 */
#ifndef TESTS_SUPPORT_MAPRIG_H
#define TESTS_SUPPORT_MAPRIG_H

#include <rawmap/hostfs/hostfile.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct blkdev;
struct hostimg;

struct maprig {
	struct hostimg *img;
	struct blkdev *mem; /* the memory device */
	struct blkdev *dev; /* what the host is opened on */
	struct hostfs *fs;
	struct hostfile *hf;
	uint32_t bs;
	uint64_t blocks; /* of the model */
	uint8_t *state;	 /* enum extent_state of each block */
	uint64_t *stamp; /* what a mapped block holds */
	uint64_t size;	 /* bytes of the file */
	uint64_t next_stamp;
	GRand *rand;
};

/* @mkfs as hostimg_spec; the file "/f" is empty, the model has @blocks. */
struct maprig *maprig_new(const char *mkfs, uint64_t bytes, uint64_t blocks);
/* The same over a host that is there; its file /f has to be empty. */
struct maprig *maprig_new_on(struct hostimg *img, uint64_t blocks);
void maprig_free(struct maprig *rig);

/* Open again, through a filter over the memory device if @wrap is not NULL. */
void maprig_open(struct maprig *rig, struct blkdev *(*wrap)(struct blkdev *));
/* Clean close. */
void maprig_close(struct maprig *rig);

/* What the file has at @at, loaded if need be. */
struct extent maprig_look(struct maprig *rig, uint64_t at, uint64_t max);

/*
 * Write new stamps to [start, +len): fills where there is a hole or an
 * unwritten run. Returns 0 or the first error; what was published before is in
 * the model. maprig_abandon() reserves the same and gives it back.
 */
int maprig_write(struct maprig *rig, uint64_t start, uint64_t len);
void maprig_abandon(struct maprig *rig, uint64_t start, uint64_t len);
int maprig_punch(struct maprig *rig, uint64_t start, uint64_t len);
int maprig_prealloc(struct maprig *rig, uint64_t start, uint64_t len);
int maprig_unwrite(struct maprig *rig, uint64_t start, uint64_t len);
/* Cut or grow to @blocks blocks. */
void maprig_resize(struct maprig *rig, uint64_t blocks);

/* One random step of any kind; ranges up to @max_len blocks. */
void maprig_random(struct maprig *rig, uint64_t max_len);

/* Map, stamps and hostfile_check() against the model. */
void maprig_verify(struct maprig *rig);
/*
 * Close; e2fsck -fn must say clean, and debugfs must read what the model says.
 * maprig_open() again to go on.
 */
void maprig_judge(struct maprig *rig);

/* Blocks that the host still has to give. */
uint64_t maprig_available(struct maprig *rig);

#endif
