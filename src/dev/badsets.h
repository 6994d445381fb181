/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the filter for damaged media knows of bad bytes: see badsets.c. From any
 * thread; nothing here does I/O.
 */
#ifndef RAWMAP_DEV_BADSETS_H
#define RAWMAP_DEV_BADSETS_H

#include <rawmap/base/lock.h>
#include <rawmap/dev/badranges.h>

struct badsets {
	uint64_t size; /* set once: of the device, bytes */
	uint32_t unit; /* set once: bytes that are refused together */
	bool keep;     /* set once: what is found is bad from then on */
	gint suspects; /* atomic: bad or found is not empty */
	struct mutex lock;
	struct badranges *bad;	   /* guarded by lock */
	struct badranges *touched; /* guarded by lock */
	struct badranges *found;   /* guarded by lock */
};

/* @size, @unit and @keep are set. @known: bad from the start; NULL is none. */
void badsets_init(struct badsets *s, const struct badranges *known);
void badsets_clear(struct badsets *s);

/* Is one of these bytes bad, or found? */
bool badsets_is_suspect(struct badsets *s, uint64_t len, dev_off pos);

/*
 * The run at @pos: bytes that are all bad, which are touched then, or all not.
 * *len, at least 1, gets no longer.
 */
bool badsets_run(struct badsets *s, size_t *len, dev_off pos);
/* Does the range meet bad bytes? Then all that it meets is touched. */
bool badsets_meet(struct badsets *s, size_t len, dev_off pos);

/* What was written is good. */
void badsets_heal(struct badsets *s, uint64_t len, dev_off pos);
/* A request was refused, in error mode; one succeeded. */
void badsets_refuse(struct badsets *s, size_t len, dev_off pos);
void badsets_succeed(struct badsets *s, size_t len, dev_off pos);
/*
 * Whole units were refused, in zero mode. True: this is news, and *ret_all the
 * range that they are part of now.
 */
bool badsets_find(struct badsets *s, const struct badrange *r,
		  struct badrange *ret_all);

/* Touched and found together; the caller frees. */
struct badranges *badsets_report(struct badsets *s);

#endif
