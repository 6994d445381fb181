/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bounded number of requests, and the memory for each.
 *
 *   |<-- a page ------------->|<-- MAX_TRANSFER --------------->|
 *   |              | headers  | payload                         |
 *                  ^ message    80 bytes behind it, on a page
 *
 * The kernel gives a request only to a read that has room for the largest, so
 * each slot has it. What was never touched costs nothing, and the slot used
 * last is used next; so memory grows with what is really under way at a time,
 * up to a megabyte for each slot.
 */
#include "uring_priv.h"

#include <errno.h>
#include <linux/fuse.h>
#include <sys/mman.h>

#define PAGE   4096
#define STRIDE (PAGE + (size_t)MAX_TRANSFER)

/* What stands in front of a write's payload. */
#define HEADERS (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
G_STATIC_ASSERT(HEADERS % 8 == 0 && HEADERS <= PAGE);

int slots_init(struct slots *slots, unsigned n, struct ring *ring)
{
	uint8_t *memory;

	slots->memory_len = MAX(n, 1) * STRIDE;
	memory = mmap(NULL, slots->memory_len, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	/* A huge page would make 2 MiB of the first request. */
	(void)madvise(memory, slots->memory_len, MADV_NOHUGEPAGE);

	slots->memory = memory;
	slots->n = n;
	slots->all = g_new0(struct slot, n);
	slots->free = NULL;
	slots->used = 0;
	slots->starved = false;
	slots->back = NULL;
	mutex_init(&slots->lock);
	for (unsigned i = 0; i < n; i++) {
		struct slot *slot = &slots->all[i];

		slot->ring = ring;
		slot->home = slots;
		slot->payload = memory + i * STRIDE + PAGE;
		slot->message = slot->payload - HEADERS;
		slot->next = slots->free;
		slots->free = slot;
	}
	return 0;
}

void slots_clear(struct slots *slots)
{
	if (!slots->memory)
		return;
	mutex_clear(&slots->lock);
	g_free(slots->all);
	munmap(slots->memory, slots->memory_len);
}

void *slots_page(const struct slot *slot)
{
	return slot->payload - PAGE;
}

struct slot *slots_get(struct slots *slots)
{
	struct slot *slot;

	mutex_lock(&slots->lock);
	slot = slots->free;
	if (slot) {
		slots->free = slot->next;
		slots->used++;
	} else {
		slots->starved = true;
	}
	mutex_unlock(&slots->lock);
	return slot;
}

bool slots_put(struct slots *slots, struct slot *slot)
{
	bool missed;

	mutex_lock(&slots->lock);
	slot->next = slots->free;
	slots->free = slot;
	slots->used--;
	missed = slots->starved;
	slots->starved = false;
	mutex_unlock(&slots->lock);
	return missed;
}

bool slots_all_free(struct slots *slots)
{
	bool all;

	mutex_lock(&slots->lock);
	all = !slots->used;
	if (!all)
		slots->starved = true;
	mutex_unlock(&slots->lock);
	return all;
}

bool slots_give_back(struct slots *slots, struct slot *slot)
{
	bool first;

	slot->next = NULL;
	mutex_lock(&slots->lock);
	first = !slots->back;
	if (first)
		slots->back = slot;
	else
		slots->back_last->next = slot;
	slots->back_last = slot;
	mutex_unlock(&slots->lock);
	return first;
}

struct slot *slots_take_back(struct slots *slots)
{
	struct slot *all;

	mutex_lock(&slots->lock);
	all = g_steal_pointer(&slots->back);
	mutex_unlock(&slots->lock);
	return all;
}
