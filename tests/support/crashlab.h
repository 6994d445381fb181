/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The crash laboratory: the whole engine works on a recording device, then
 * every state that a power loss could have left is built and judged.
 *
 *   crashlab.c         the host: fragmented, its free blocks full of STALE
 *   crashlab_work.c    the random workload, and the log of operations
 *   crashlab_states.c  which states there are
 *   crashlab_bytes.c   their bytes
 *   crashlab_judge.c   what e2fsck, the engine and the oracle say to one
 *
 * A state is: every change of the epochs before, and some of one epoch. All
 * subsets where the epoch has few changes, else prefixes, all but one, and
 * random ones; a change of several blocks may land in part.
 *
 * A state is bad when one of these fails:
 *   - marked clean: only before the first change and after the last;
 *   - not marked: refused for writing; readable; e2fsck -p returns 0 or 1 and
 *     repairs nothing but counts, bitmaps, and of an indirect file the
 *     inode's block count and size;
 *   - e2fsck -fn then finds nothing;
 *   - before and after the repair, the image holds what the oracle allows; a
 *     sample is read by debugfs as well.
 *
 * Runs are a function of the seed. RAWMAP_SEED repeats one, RAWMAP_FULL judges
 * many more, RAWMAP_KEEP=FILE keeps the bytes of the first bad state.
 */
#ifndef TESTS_SUPPORT_CRASHLAB_H
#define TESTS_SUPPORT_CRASHLAB_H

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
	bool full; /* the host runs out of space again and again.
				   There extent trees change in place: counts
				   and size are repaired as those of indirect
				   files are, and e2fsck -fy may be needed */
};

/*
 * What the laboratory does wrong on purpose, to show that it would see it:
 * the states are those of a program with this fault.
 */
enum crashlab_fault {
	CRASHLAB_SOUND,
	CRASHLAB_NO_FLUSH,  /* no flush between the epochs of a commit */
	CRASHLAB_LATE_DATA, /* data goes out behind the commit */
	CRASHLAB_NO_MARK,   /* the host is not marked "not clean" */
};

struct crashlab_result {
	unsigned states, bad;
	unsigned possible; /* states there were to choose from */
	unsigned repaired; /* e2fsck -p had to change something */
	unsigned forced;   /* it gave up, and e2fsck -fy did it */
	unsigned dumped;   /* read by debugfs, too */
	char *first;	   /* what was wrong with the first bad one, or
				   NULL; g_free() */
};

/* RAWMAP_SEED, or a random one that mixes in @salt. */
uint32_t crashlab_seed(uint32_t salt);

/* Make the host and run the workload on it, up to a clean unmount. */
struct crashlab *crashlab_run(const struct crashlab_spec *spec, uint32_t seed);
void crashlab_free(struct crashlab *lab);

/*
 * Judge @quota of all states, chosen by the seed (all when there are fewer),
 * and the last one, which must be clean.
 */
void crashlab_judge(struct crashlab *lab, enum crashlab_fault fault,
		    unsigned quota, struct crashlab_result *ret);

#endif
