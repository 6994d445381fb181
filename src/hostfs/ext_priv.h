/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes of an extent tree: from bytes to entries and back.
 *
 * An entry is a struct extent. In a leaf (depth 0) it is what it says; in an
 * index node it has the child's first block in start, the child's place in
 * phys, len 0 and state HOLE.
 */
#ifndef HOSTFS_EXT_PRIV_H
#define HOSTFS_EXT_PRIV_H

#include "hostfs_priv.h"

#define EXT_DEPTH_MAX	  5	/* EXT4_MAX_EXTENT_DEPTH */
#define EXT_ROOT_BYTES	  60	/* i_block */
#define EXT_MAPPED_MAX	  32768 /* blocks of one written extent */
#define EXT_UNWRITTEN_MAX 32767 /* of one that is not */

struct extnode {
	unsigned depth;	     /* 0: a leaf */
	uint32_t generation; /* kept as it was found */
	GArray *entries;     /* struct extent, ascending; owned */
};

void extnode_init(struct extnode *node);
void extnode_clear(struct extnode *node); /* all zeros is fine */

static inline struct extent *extnode_at(const GArray *entries, unsigned i)
{
	return &g_array_index(entries, struct extent, i);
}

/* Entries that a node of @size bytes has room for. */
unsigned extnode_capacity(size_t size);

/* NULL, or what is wrong with these @size bytes; @ret is initialised. */
const char *extnode_parse(const void *raw, size_t size, struct extnode *ret);
/* What the root's header says; false: it makes no sense. */
bool extnode_root_depth(struct hostfile *hf, unsigned *ret);
/* All @size bytes; no checksum. */
void extnode_build(const struct extnode *node, void *raw, size_t size);

/*
 * Read and check a node; @ret is initialised, and the caller's to clear on an
 * error too. A child must lie at @depth within the logical [@low, @high). Of a
 * block that extnode_write() made and that never left memory, checksum and
 * targets are known to be good; extnode_verify() looks at them all the same.
 * Return 0, -EUCLEAN (said once), -EIO.
 */
int extnode_read_root(struct hostfile *hf, struct extnode *ret);
int extnode_read(struct hostfile *hf, pblk block, unsigned depth, uint64_t low,
		 uint64_t high, struct extnode *ret);
int extnode_verify(struct hostfile *hf, pblk block, unsigned depth,
		   uint64_t low, uint64_t high, struct extnode *ret);
/*
 * With its checksum. Every entry comes from a node that was read, or its blocks
 * from the allocator, which gives out none of the zones: that is what the next
 * reader believes. Returns 0, -EIO.
 */
int extnode_write(struct hostfile *hf, pblk block, const struct extnode *node);
void extnode_write_root(struct hostfile *hf, const struct extnode *node);

/* ---- extsum.c ---- */

/*
 * The checksum in a block whose header is sane: set it, look at it. A host
 * without the feature has none, and it is always right.
 */
void extnode_sum_set(const struct hostfile *hf, void *raw);
bool extnode_sum_is_right(const struct hostfile *hf, const void *raw);

/* ---- extcut.c ---- */

/*
 * Append to @ret (empty) what the leaf @old holds once [e->start, +len) is what
 * @e says, everything merged that may be. Old blocks in the way are appended to
 * @freed (may be NULL) as they were: start, place, state. Returns whether @e
 * came to stand behind all others.
 */
bool extcut_apply(const GArray *old, const struct extent *e, GArray *ret,
		  GArray *freed);

/* ---- extplan.c ---- */

struct level {
	pblk block;	     /* meaningless for the root */
	struct extnode node; /* as it is */
	unsigned at;	     /* the entry that leads down */
};

struct planned {
	pblk block;
	bool fresh;		      /* else in place */
	struct extnode node;	      /* as it shall be */
	const struct extnode *before; /* in place: as it is */
};

struct edit {
	struct hostfile *hf;
	struct level level[EXT_DEPTH_MAX + 1];
	unsigned depth;
	uint64_t end;	 /* the leaf is responsible up to here */
	bool right_edge; /* and is the last one */
	bool must_move;
	GArray *planned;     /* struct planned */
	GArray *fresh;	     /* pblk: taken for this change */
	GArray *gone;	     /* pblk: to be released */
	struct extnode root; /* as it shall be, if root_changed */
	bool root_changed;
};

void edit_init(struct edit *ed, struct hostfile *hf);
void edit_clear(struct edit *ed);
/*
 * Read the path from the root to the leaf responsible for @at. Returns 0,
 * -EUCLEAN, -EIO.
 */
int edit_descend(struct edit *ed, uint64_t at);
/*
 * Plan the whole change: @leaf is what the leaf shall hold; @at_end: what is new
 * in it stands behind all others. Takes every block that it needs (ed->fresh);
 * after an error the caller gives them back. Nobody changes @leaf any more; the
 * plan refers to it. Returns 0, -ENOSPC, -EUCLEAN, -EIO.
 */
int edit_plan(struct edit *ed, GArray *leaf, bool at_end);

bool extnode_same(const GArray *a, const GArray *b);

#endif
