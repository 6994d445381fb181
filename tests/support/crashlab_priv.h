/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the crash laboratory share. */
#ifndef TESTS_SUPPORT_CRASHLAB_PRIV_H
#define TESTS_SUPPORT_CRASHLAB_PRIV_H

#include <rawmap/base/lock.h>
#include <rawmap/hostfs/hostfs.h>
#include <rawmap/image/image.h>

#include <support/crashlab.h>
#include <support/hostimg.h>
#include <support/oracle.h>
#include <support/recdev.h>

#include <glib.h>
#include <limits.h>
#include <stdatomic.h>

#define CRASHLAB_STALE 0x5a
#define CRASHLAB_NAME  "disk.img"
#define CRASHLAB_IMAGE "/" CRASHLAB_NAME

/* One operation of the workload, numbered from 1 as the oracle wants it. */
struct crashlab_op {
	const char *name;
	unsigned first_epoch, last_epoch;
	size_t first_event, last_event; /* half-open */
	bool covers;	 /* a flush: all up to base is durable now */
	unsigned base;	 /* the operation itself, if there is but one at once */
	bool moves_data; /* what it wrote is data, nothing else */
	bool closes;	 /* may mark the host clean */
};

/* Bytes of a whole host in a file without a name, mapped. */
struct crashlab_copy {
	uint8_t *bytes;
	int fd;
};

struct crashlab {
	struct crashlab_spec spec;
	uint32_t seed;
	GRand *rand;
	bool extents;
	bool journal;
	size_t host_size;
	uint8_t *start; /* the host's bytes when the record began */
	struct blkdev *mem, *order, *rec;
	struct hostfs *fs;
	struct image *img;
	struct oracle *oracle;
	GArray *ops;  /* of struct crashlab_op; [0] is a dummy */
	uint8_t *buf; /* for the bytes of one operation */

	/* another program works, see crashlab_outside.c */
	bool outside;
	const atomic_uint *epoch; /* under way; of who records */
	struct mutex lock;	  /* around ops and oracle, while it works */
	unsigned first_open; /* all operations before this one have ended */

	/* the layout, which never changes */
	GArray *log;	    /* of uint32_t: the journal's blocks, in order */
	int32_t *log_index; /* of each block of the host; -1 */
	bool *is_system;    /* of each block: the filesystem's own, but for
			       its superblock and the journal */

	/* judging */
	GPtrArray *events; /* of const struct recdev_event */
	uint8_t *now;	   /* the host's bytes at the start of an epoch */
	struct crashlab_copy state; /* the state under judgement */
	struct crashlab_copy twin;  /* the same, recovered by ourselves */
	int out_fd;		    /* what tools say, and dump */
	bool no_kernel;		    /* the kernel cannot be asked */
};

/* Less than @n; @n is small. */
uint64_t crashlab_below(struct crashlab *lab, uint64_t n);
/* A little-endian field of the superblock in these bytes. */
uint32_t crashlab_super_u32(const uint8_t *bytes, size_t at);
uint32_t crashlab_super_block(const struct crashlab *lab);

/* ---- crashlab.c ---- */

/* The host, and a record without an event. */
struct crashlab *crashlab_new(const struct crashlab_spec *spec, uint32_t seed);

/* ---- crashlab_work.c ---- */

/* Opens, runs spec.ops operations, unmounts. */
void crashlab_work(struct crashlab *lab);
void crashlab_open(struct crashlab *lab);

/* ---- crashlab_log.c ---- */

/* Where the journal and the filesystem's own blocks lie. */
void crashlab_log_learn(struct crashlab *lab, struct hostimg *host);
/* Give the journal in lab->start what spec wants. */
void crashlab_log_setup(struct crashlab *lab);

enum crashlab_block {
	NOT_LOG,   /* or not the start of a block */
	LOG_SUPER, /* the journal's superblock */
	LOG_DESCRIPTOR,
	LOG_COMMIT,
	LOG_REVOKE,
	LOG_OTHER, /* what a descriptor lists */
};

/* What @e writes to the host's block @block, which it writes from its start. */
enum crashlab_block crashlab_log_block(const struct crashlab *lab,
				       const struct recdev_event *e,
				       uint64_t block);
/* Is the event one commit block? */
bool crashlab_is_commit(const struct crashlab *lab,
			const struct recdev_event *e);
/* Is it the journal's superblock, of a log that starts over? */
bool crashlab_is_restart(const struct crashlab *lab,
			 const struct recdev_event *e);
/* Every revoke block of the record becomes an empty one. */
void crashlab_log_unrevoke(struct crashlab *lab);

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
	/* What the metadata of a recovered state may be: that before the first
	   change, and behind the last. */
	uint32_t before, after;
};

bool crashlab_is_change(const struct recdev_event *e);
/*
 * Was the event issued by an operation that wrote data only? From outside: is it
 * neither in the log nor in the filesystem's own blocks?
 */
bool crashlab_is_data(const struct crashlab *lab, size_t event);
void crashlab_apply(const struct recdev_event *e, uint8_t *bytes);

void crashlab_epoch_load(const struct crashlab *lab, unsigned first,
			 unsigned last, struct crashlab_epoch *ret);
void crashlab_epoch_clear(struct crashlab_epoch *ep);
/* May it land in part? */
bool crashlab_can_tear(const struct crashlab *lab,
		       const struct recdev_event *e);
/* On @bytes: a part of what @rec recorded, as a power loss might leave it. */
void crashlab_cut(const struct crashlab *lab, struct blkdev *rec, GRand *rand,
		  uint8_t *bytes);
/* lab->state becomes this state; lab->now is where the epoch starts. */
void crashlab_build(struct crashlab *lab, const struct crashlab_epoch *ep,
		    const struct crashlab_state *s, enum crashlab_fault fault);
/* lab->now takes all changes of the epochs from @from to before @to. */
void crashlab_advance(struct crashlab *lab, unsigned from, unsigned to);

/* ---- crashlab_fault.c ---- */

/* Spoils the record, where the fault does that. */
void crashlab_spoil(struct crashlab *lab, enum crashlab_fault fault);
/* Are its states FAULTY ones, of this epoch and the next? */
bool crashlab_makes_pairs(enum crashlab_fault fault);
/* Does the fault show where these changes are the second of the two? */
bool crashlab_shows_at(const struct crashlab *lab, enum crashlab_fault fault,
		       const struct crashlab_epoch *second);
void crashlab_apply_faulty(struct crashlab *lab,
			   const struct crashlab_epoch *ep,
			   enum crashlab_fault fault, uint32_t seed);
/* The mark is gone, if that is the fault. */
void crashlab_unmark(struct crashlab *lab, enum crashlab_fault fault);

/* ---- crashlab_tools.c ---- */

struct crashlab_copy crashlab_copy_new(size_t size);
void crashlab_copy_free(struct crashlab_copy *copy, size_t size);

/* e2fsck @how: its exit status; *ret_out (g_free()) is what it said. */
int crashlab_fsck(struct crashlab *lab, const struct crashlab_copy *c,
		  const char *how, char **ret_out);
/* The image as debugfs reads it; g_free(). */
uint8_t *crashlab_dump(struct crashlab *lab, const struct crashlab_copy *c,
		       size_t *ret_len);

/* ---- crashlab_judge.c ---- */

struct crashlab_verdict {
	bool must_be_dirty;
	bool sample; /* ask those, too, who take their time */
	bool atomic; /* metadata is before or after */
	uint32_t before, after;
	uint32_t seed; /* for what a judge does at random */
	struct oracle_window window;
};

/*
 * NULL, or what is wrong with the bytes in lab->state (the caller frees). They
 * are repaired on the way; @ret counts the repairs.
 */
char *crashlab_verdict(struct crashlab *lab, const struct crashlab_verdict *v,
		       struct crashlab_result *ret);
/* Does the superblock in these bytes say "clean"? */
bool crashlab_is_clean(const struct crashlab *lab, const uint8_t *bytes);

/* A device over a copy. One reference. */
struct blkdev *crashlab_dev(const struct crashlab_copy *c, bool readonly);
/*
 * The engine reads it, read-only: the oracle is asked (@w NULL: not). *ret_sum:
 * of its metadata, but for the superblock; owned[]: which blocks of the host
 * are the image's data. Both may be NULL.
 */
char *crashlab_judge_content(struct crashlab *lab,
			     const struct crashlab_copy *c,
			     const struct oracle_window *w, const char *when,
			     uint32_t *ret_sum, bool *owned);
char *crashlab_judge_refusal(struct crashlab *lab);
/* e2fsck -fn */
char *crashlab_judge_consistency(struct crashlab *lab,
				 const struct crashlab_copy *c,
				 const char *when);

/* ---- crashlab_ordered.c, crashlab_journal.c ---- */

char *crashlab_verdict_ordered(struct crashlab *lab,
			       const struct crashlab_verdict *v,
			       struct crashlab_result *ret);
char *crashlab_verdict_journal(struct crashlab *lab,
			       const struct crashlab_verdict *v,
			       struct crashlab_result *ret);
/*
 * The sum of the metadata that these bytes have once they are recovered; 0 with
 * a sentence (g_free()) when they cannot be. @owned as above.
 */
uint32_t crashlab_metadata(struct crashlab *lab, const uint8_t *bytes,
			   bool *owned, char **ret_wrong);
/*
 * NULL, or where lab->state differs from @twin. The two superblocks may, and
 * so may the time that is the sum's.
 */
char *crashlab_compare(struct crashlab *lab, const char *who);

/* ---- crashlab_kernel.c ---- */

/*
 * The kernel mounts lab->state, read-only, and unmounts it: what it makes of
 * the journal is in the bytes then. *ret_done: could it be asked at all?
 */
char *crashlab_mount(struct crashlab *lab, bool *ret_done);

#endif
