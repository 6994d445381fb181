/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A set of bytes of a device, as ranges: those that are bad.
 *
 * The ranges are ascending, disjoint, and none touches the next: what is added
 * beside others or over them becomes one with them.
 *
 * There are never more than a limit. Beyond it the set becomes coarse: ranges
 * that lie close to each other are one from then on, together with the good
 * bytes between them. That is logged, once a set.
 *
 * Pure data, no lock: its user guards it. Finding takes the time of a binary
 * search; adding and removing move what lies behind, nothing where the ranges
 * come in ascending order.
 */
#ifndef RAWMAP_DEV_BADRANGES_H
#define RAWMAP_DEV_BADRANGES_H

#include <rawmap/base/units.h>

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 16 MB of memory at most. */
#define BADRANGES_MAX 1000000

struct badrange {
	dev_off start;
	uint64_t len; /* bytes; start + len fits 64 bits */
};

struct badranges;

/* Empty; @max ranges at most, 2 or more. Never NULL. */
struct badranges *badranges_new(size_t max);
void badranges_free(struct badranges *set);
typedef struct badranges badranges; /* for g_autoptr() */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(badranges, badranges_free)

/* With the same limit. */
struct badranges *badranges_copy(const struct badranges *set);

/* start + @len must fit 64 bits. No bytes: nothing happens. */
void badranges_add(struct badranges *set, dev_off start, uint64_t len);

/* Everything in @from. A coarse @from makes @set a coarse one. */
void badranges_merge(struct badranges *set, const struct badranges *from);

/*
 * What is removed is out of the set, exactly. A coarse set may take it in again
 * with what is added later.
 */
void badranges_remove(struct badranges *set, dev_off start, uint64_t len);

/*
 * The first range that ends behind @pos, whole: it may begin before @pos.
 * False: there is none.
 */
bool badranges_find(const struct badranges *set, dev_off pos,
		    struct badrange *ret);

/* Is one of these bytes in the set? */
bool badranges_touches(const struct badranges *set, dev_off pos, uint64_t len);

size_t badranges_count(const struct badranges *set);
/* @i: less than the count; ascending. */
struct badrange badranges_at(const struct badranges *set, size_t i);
/* Bytes in all. */
uint64_t badranges_total(const struct badranges *set);

/* Can a range be added for sure without making the set coarse? */
bool badranges_has_room(const struct badranges *set);
/* Did good bytes come in with the bad ones around them? It stays so. */
bool badranges_is_coarse(const struct badranges *set);

#endif
