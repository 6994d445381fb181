/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How far something is that may take its time: a line at the bottom of the
 * terminal that standard error is, rewritten in place and gone at the end.
 * Whatever is over soon shows none; nor does anything in a pipe, a file or a
 * server in the background. For one thread at a time; messages that are written
 * meanwhile take the line's place (log.h).
 */
#ifndef RAWMAP_BASE_PROGRESS_H
#define RAWMAP_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum progress_unit {
	PROGRESS_BYTES, /* says how many, and how fast */
	PROGRESS_SHARE, /* of something that is not counted in bytes */
};

/* All private; on its user's stack. */
struct progress {
	const char *what;
	enum progress_unit unit;
	bool terminal;
	bool shown;
	uint64_t began, due; /* CLOCK_MONOTONIC, ns */
	unsigned percent;    /* never goes back */
};

/* @what, "loading the map": short ASCII, borrowed until progress_end(). */
void progress_begin(struct progress *p, const char *what,
		    enum progress_unit unit);
/* @done of @total; cheap, and draws now and then only. */
void progress_step(struct progress *p, uint64_t done, uint64_t total);
/* The same at a time that the caller knows. */
void progress_step_at(struct progress *p, uint64_t done, uint64_t total,
		      uint64_t now_ns);
/* The line goes. May be called again. */
void progress_end(struct progress *p);

#endif
