/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the crash laboratory share. */
#ifndef TESTS_SUPPORT_CRASHLAB_PRIV_H
#define TESTS_SUPPORT_CRASHLAB_PRIV_H

#include <rawmap/hostfs/hostfs.h>
#include <rawmap/image/image.h>

#include <support/crashlab.h>
#include <support/oracle.h>
#include <support/recdev.h>

#include <glib.h>

#define CRASHLAB_STALE 0x5a
#define CRASHLAB_NAME  "disk.img"
#define CRASHLAB_IMAGE "/" CRASHLAB_NAME

/* One operation of the workload, numbered from 1 as the oracle wants it. */
struct crashlab_op {
	const char *name;
	unsigned first_epoch, last_epoch;
	size_t first_event, last_event; /* half-open */
	bool covers;	 /* a flush: all before it is durable now */
	bool moves_data; /* what it wrote is data, nothing else */
	bool closes;	 /* may mark the host clean */
};

struct crashlab {
	struct crashlab_spec spec;
	uint32_t seed;
	GRand *rand;
	bool extents;
	size_t host_size;
	uint8_t *start; /* the host's bytes when the record began */
	struct blkdev *mem, *rec;
	struct hostfs *fs;
	struct image *img;
	struct oracle *oracle;
	GArray *ops;  /* of struct crashlab_op; [0] is a dummy */
	uint8_t *buf; /* for the bytes of one operation */

	/* judging */
	GPtrArray *events; /* of const struct recdev_event */
	uint8_t *now;	   /* the host's bytes at the start of an epoch */
	uint8_t *state;	   /* the state under judgement, shared with fd */
	int fd;
	int out_fd; /* what tools say, and dump */
};

/* Less than @n; @n is small. */
uint64_t crashlab_below(struct crashlab *lab, uint64_t n);

/* ---- crashlab_work.c ---- */

/* Opens, runs spec.ops operations, unmounts. */
void crashlab_work(struct crashlab *lab);
void crashlab_open(struct crashlab *lab);

/* ---- crashlab_bytes.c ---- */

enum crashlab_how {
	SUBSET,	 /* bit i of param: change i landed */
	PREFIX,	 /* the first param of them */
	ALL_BUT, /* all but number param */
	RANDOM,	 /* param is the seed */
	TORN,	 /* all, or in half of the states none, but one in part */
	FAULTY,	 /* what the fault makes of it; param is the seed */
};

struct crashlab_state {
	unsigned epoch;
	enum crashlab_how how;
	uint32_t param;
};

/* The changes of an epoch, or of several that a fault made one. */
struct crashlab_epoch {
	unsigned first, last;
	GPtrArray *changes; /* of const struct recdev_event */
	GArray *is_data;    /* gboolean of each: nothing but data */
};

void crashlab_epoch_load(const struct crashlab *lab, unsigned first,
			 unsigned last, struct crashlab_epoch *ret);
void crashlab_epoch_clear(struct crashlab_epoch *ep);
/* Does the change touch more than one block? */
bool crashlab_spans_blocks(const struct crashlab *lab,
			   const struct recdev_event *e);
/* lab->state becomes this state; lab->now is where the epoch starts. */
void crashlab_build(struct crashlab *lab, const struct crashlab_epoch *ep,
		    const struct crashlab_state *s, enum crashlab_fault fault);
/* lab->now takes all changes of the epochs from @from to before @to. */
void crashlab_advance(struct crashlab *lab, unsigned from, unsigned to);

/* ---- crashlab_judge.c ---- */

struct crashlab_verdict {
	bool must_be_dirty;
	bool dump; /* ask debugfs, too */
	struct oracle_window window;
};

/*
 * NULL, or what is wrong with the bytes in lab->state (the caller frees). They
 * are repaired on the way; @ret counts the repairs.
 */
char *crashlab_verdict(struct crashlab *lab, const struct crashlab_verdict *v,
		       struct crashlab_result *ret);
/* Does the superblock in these bytes say "clean"? */
bool crashlab_is_clean(const uint8_t *bytes);

#endif
