/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests, for the depth of the queue: how many there are now, how many there
 * were at most, and the time that all of them took. That time, by the time that
 * went by, is the mean depth (Little's law), so nobody has to look at a clock
 * when the depth changes but the request itself.
 */
#include "image_priv.h"

uint64_t image_request_begin(struct image *img)
{
	struct image_stats *s = &img->stats;
	uint64_t now = __atomic_add_fetch(&s->in_flight, 1, __ATOMIC_RELAXED);
	uint64_t most = __atomic_load_n(&s->in_flight_max, __ATOMIC_RELAXED);

	/* Rarely: a new maximum. A failed exchange has read a later one. */
	while (now > most &&
	       !__atomic_compare_exchange_n(&s->in_flight_max, &most, now, true,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return monotonic_now_ns();
}

void image_request_end(struct image *img, uint64_t since)
{
	struct image_stats *s = &img->stats;

	image_add(&s->request_ns, monotonic_now_ns() - since);
	image_add(&s->requests, 1);
	__atomic_fetch_sub(&s->in_flight, 1, __ATOMIC_RELAXED);
}
