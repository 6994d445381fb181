/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The crash laboratory: the whole engine works on a recording device, then
 * every state that a power loss could have left is built and judged.
 *
 *   crashlab.c          the host: fragmented, its free blocks full of STALE
 *   crashlab_work.c     the random workload, and the log of operations
 *   crashlab_outside.c  a workload of others, on a program of its own
 *   crashlab_log.c      the journal, as bytes
 *   crashlab_states.c   which states there are
 *   crashlab_bytes.c    their bytes
 *   crashlab_fault.c    the bytes that a program with a fault would leave
 *   crashlab_judge.c    the verdict on one, and what all hosts have in common
 *   crashlab_ordered.c  judges of a host without a journal
 *   crashlab_journal.c  judges of a host with one
 *   crashlab_tools.c    e2fsck and debugfs
 *   crashlab_kernel.c   the kernel, where it may be asked
 *   crashlab_check.c    how much of all that a test does, and what it prints
 *
 * A state is: every change of the epochs before, and some of one epoch. All
 * subsets where the epoch has few changes, else prefixes, all but one, and
 * random ones. A change may land in part: some of its blocks, and where a
 * journal protects it some of its sectors, those of a commit block included.
 * What stays whole is the superblock.
 *
 * A state without a journal is bad when one of these fails:
 *   - marked clean: only before the first change and after the last;
 *   - not marked: refused for writing; readable; e2fsck -p returns 0 or 1 and
 *     repairs nothing but counts, bitmaps, and of an indirect file the
 *     inode's block count and size;
 *   - e2fsck -fn then finds nothing;
 *   - before and after the repair, the image holds what the oracle allows; a
 *     sample is read by debugfs as well.
 *
 * With a journal:
 *   - needs_recovery is clear: only there; and e2fsck -fn finds nothing;
 *   - it is set: refused for writing, with a way out; e2fsck -p applies the
 *     journal, repairs nothing, and e2fsck -fn then finds nothing;
 *   - hostfs_recover() makes the same bytes of it, but for the two superblocks;
 *     once more, and it writes nothing;
 *   - metadata is, to the byte, that of the state before the epoch or behind it:
 *     a commit is there as a whole or not at all;
 *   - the image holds what the oracle allows;
 *   - a sample: the recovery itself is cut off anywhere, and done again; the
 *     kernel mounts it and makes the same bytes; debugfs reads the image.
 *
 * While it works and while it recovers, an orderdev watches.
 *
 * Runs are a function of the seed. RAWMAP_SEED repeats one, RAWMAP_FULL judges
 * many more, RAWMAP_STATES=N just N of each, RAWMAP_KEEP=FILE keeps the bytes of
 * the first bad state.
 */
#ifndef TESTS_SUPPORT_CRASHLAB_H
#define TESTS_SUPPORT_CRASHLAB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crashlab;

struct crashlab_spec {
	const char *mkfs;    /* as hostimg_spec */
	uint64_t host_size;  /* bytes */
	uint32_t block_size; /* as in mkfs */
	uint32_t dense;	     /* blocks of the image where most happens */
	uint32_t far;	     /* around this block happens something, too */
	unsigned ops;
	bool full;    /* the host runs out of space again and again. Without a
			 journal, extent trees change in place there: counts
			 and size are repaired as those of indirect files are,
			 and e2fsck -fy may be needed */
	bool churn;   /* blocks come and go more than anything else */
	bool discard; /* freed blocks are discarded */
	bool pins;    /* holes are filled, for good or in part */
	/* of the journal; mke2fs makes one without any feature */
	unsigned csum; /* 0, 2 or 3 */
	bool is_64bit;
	uint32_t log_blocks; /* 0: as mke2fs makes it */
};

/*
 * What the laboratory does wrong on purpose, to show that it would see it:
 * the states are those of a program with this fault.
 */
enum crashlab_fault {
	CRASHLAB_SOUND,
	CRASHLAB_NO_FLUSH,  /* none between the epochs of a commit; with a
				journal: none before the commit block */
	CRASHLAB_LATE_DATA, /* data goes out behind the commit */
	CRASHLAB_NO_MARK,   /* the host is not marked */
	CRASHLAB_UNAWAITED, /* flushes go out while data is on its way; from
			       outside only */
	/* with a journal only: */
	CRASHLAB_NO_REVOKE,   /* revoke blocks are empty */
	CRASHLAB_EARLY_REUSE, /* freed blocks get data before the commit */
	CRASHLAB_EARLY_TAIL,  /* no flush before the log starts over */
	CRASHLAB_EARLY_HOME,  /* metadata goes home before its commit block */
};

struct crashlab_result {
	unsigned states, bad;
	unsigned possible; /* states there were to choose from */
	unsigned repaired; /* e2fsck -p had to change something */
	unsigned forced;   /* it gave up, and e2fsck -fy did it */
	unsigned dumped;   /* read by debugfs, too */
	unsigned again;	   /* recoveries that were cut off */
	unsigned mounted;  /* by the kernel */
	uint64_t replayed; /* transactions, by hostfs_recover() */
	uint64_t revoked;  /* copies that it left where they were */
	char *first;	   /* what was wrong with the first bad one, or
			      NULL; g_free() */
};

/* What the workload did to the log. */
struct crashlab_traffic {
	unsigned transactions, copies;
	unsigned revokes;  /* records */
	unsigned restarts; /* of the log, while it was open */
	unsigned sessions; /* how often it was opened */
	unsigned escapes;  /* copies whose first bytes were put aside */
};

/* RAWMAP_SEED, or a random one that mixes in @salt. */
uint32_t crashlab_seed(uint32_t salt);

/* Make the host and run the workload on it, up to a clean unmount. */
struct crashlab *crashlab_run(const struct crashlab_spec *spec, uint32_t seed);
void crashlab_free(struct crashlab *lab);

/*
 * Or let another program do the work: make the host; the program works on a copy
 * of crashlab_device(), a recdev (borrowed); the image is /disk.img. Whatever is
 * done to the image goes between crashlab_begin() and _end(), from any thread;
 * what overlaps does not go on at once. The last of it is the unmount. When all
 * is in the record of crashlab_device(), crashlab_over(): it can be judged.
 */
enum crashlab_deed {
	CRASHLAB_WRITE,	   /* of the bytes that come back in @buf */
	CRASHLAB_ZERO,	   /* no matter how */
	CRASHLAB_ALLOCATE, /* the content stays as it is */
	CRASHLAB_RESIZE,   /* to @pos */
	CRASHLAB_FLUSH,
	CRASHLAB_UNMOUNT, /* from the close of the last user on */
};

struct crashlab *crashlab_await(const struct crashlab_spec *spec,
				uint32_t seed);
struct blkdev *crashlab_device(struct crashlab *lab);
/* Where the epoch under way stands while the program works. */
void crashlab_set_clock(struct crashlab *lab, const atomic_uint *epoch);
/* Returns its number. @pos, @len: bytes of the image. */
unsigned crashlab_begin(struct crashlab *lab, enum crashlab_deed deed,
			uint64_t pos, uint64_t len, uint8_t *buf);
void crashlab_end(struct crashlab *lab, unsigned n);
void crashlab_over(struct crashlab *lab);

bool crashlab_has_journal(const struct crashlab *lab);
void crashlab_traffic(const struct crashlab *lab, struct crashlab_traffic *ret);

/*
 * Judge @quota of all states, chosen by the seed (all when there are fewer),
 * and the last one, which must be clean. With a fault the record is spoilt: once
 * a laboratory.
 */
void crashlab_judge(struct crashlab *lab, enum crashlab_fault fault,
		    unsigned quota, struct crashlab_result *ret);

/*
 * What a test does with a kind of host: some runs, each judged, each with a
 * line about it; fails the test when a state is bad, or when a run had nothing
 * to show. @share: how much of the usual amount, in percent.
 */
void crashlab_check(const struct crashlab_spec *spec, uint32_t salt,
		    unsigned share);
/* Is this program so slow that samples have to be small? */
bool crashlab_is_slow(void);
/* The kind in words; g_free(). */
char *crashlab_describe(const struct crashlab_spec *spec);

#endif
