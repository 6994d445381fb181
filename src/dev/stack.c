/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Puts the devices on each other. A partition is looked for through the filter
 * of bad ranges, as everything else is read.
 *
 * With a file of changes the source is opened for reading only, whatever it is.
 */
#include "dev_priv.h"

#include <rawmap/base/error.h>
#include <rawmap/base/text.h>
#include <rawmap/dev/anyfile.h>
#include <rawmap/dev/baddev.h>
#include <rawmap/dev/cow.h>
#include <rawmap/dev/ddrescue.h>
#include <rawmap/dev/parttable.h>
#include <rawmap/dev/stack.h>
#include <rawmap/dev/window.h>

#include <inttypes.h>

/* Takes the place of the topmost device; @above holds a reference to it. */
static void put_above(struct stack *stack, struct blkdev *above)
{
	blkdev_unref(stack->dev);
	stack->dev = above;
}

static bool open_bottom(struct stack *stack, const char *path,
			const struct stack_options *opt, GError **error)
{
	const struct filedev_options file = {
		.readonly = opt->readonly || opt->cow,
		.direct = opt->direct,
		.lock = true,
	};

	stack->bottom = anyfile_open(path, &file, &stack->format, error);
	if (!stack->bottom)
		return false;
	stack->dev = blkdev_ref(stack->bottom);
	stack->length = blkdev_geometry(stack->bottom)->size;
	return true;
}

/* @known gets what the map says. */
static bool add_bad(struct stack *stack, const struct stack_options *opt,
		    struct badranges *known, GError **error)
{
	if (!opt->ddrescue && !opt->zero_on_error)
		return true;
	if (opt->ddrescue && !ddrescue_read(opt->ddrescue, known, error))
		return false;
	stack->bad =
		baddev_new(stack->dev, known, opt->zero_on_error, NULL, NULL);
	put_above(stack, blkdev_ref(stack->bad));
	return true;
}

/* ---- the place of the host ---- */

static bool find_partition(struct stack *stack, const char *path,
			   unsigned number, GError **error)
{
	g_autoptr(parttable) table = parttable_read(stack->dev, path, error);
	const struct partition *part =
		table ? parttable_choose(table, number, error) : NULL;

	if (!part)
		return false;
	stack->partition = part->number;
	stack->start = part->start;
	stack->length = part->size;
	return true;
}

static bool find_offset(struct stack *stack, const char *path, uint64_t offset,
			GError **error)
{
	if (offset >= stack->length) {
		g_autofree char *size = text_format_size(stack->length);

		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_NOT_FOUND,
			    "'%s': offset=%" PRIu64 " lies behind its end; it "
			    "has %s (%" PRIu64 " bytes)",
			    path, offset, size, stack->length);
		return false;
	}
	stack->start = offset;
	stack->length -= offset;
	return true;
}

/* A partition is mounted by its own name; the disk's says nothing of it. */
static bool check_unmounted(const struct stack *stack, const char *path,
			    bool only_read, GError **error)
{
	g_autofree char *where = NULL;
	bool readonly = false;
	dev_t dev;

	if (!partnode_find(path, stack->start, &dev))
		return true;
	where = filedev_mountpoint(dev, &readonly);
	if (!where || (only_read && readonly))
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_BUSY,
		    "what begins at byte %" PRIu64 " of '%s' is mounted on "
		    "'%s'; unmount it first, or use a read-only snapshot",
		    stack->start, path, where);
	return false;
}

static bool add_window(struct stack *stack, const char *path,
		       const struct stack_options *opt, GError **error)
{
	bool found = true;

	switch (opt->place) {
	case STACK_WHOLE:
		break;
	case STACK_OFFSET:
		found = find_offset(stack, path, opt->offset, error);
		break;
	case STACK_PARTITION:
		found = find_partition(stack, path, opt->partition, error);
		break;
	case STACK_AUTO:
		found = find_partition(stack, path, 0, error);
		break;
	}
	if (!found)
		return false;
	if (stack->start || opt->place != STACK_WHOLE) {
		put_above(stack,
			  window_new(stack->dev, stack->start, stack->length));
	}
	return opt->place == STACK_WHOLE ||
	       check_unmounted(stack, path, opt->readonly || opt->cow, error);
}

/*
 * Where zeros stand for what cannot be read, the same without them: a disk that
 * got worse, or of which more was rescued, is no other source.
 */
static struct blkdev *witness_new(const struct stack *stack,
				  const struct badranges *known)
{
	g_autoptr(blkdev)
		bad = baddev_new(stack->bottom, known, false, NULL, NULL);

	return window_new(bad, stack->start, stack->length);
}

static bool add_cow(struct stack *stack, const char *path,
		    const struct stack_options *opt,
		    const struct badranges *known, GError **error)
{
	g_autoptr(blkdev) witness = NULL;

	if (!opt->cow)
		return true;
	if (opt->zero_on_error)
		witness = witness_new(stack, known);
	stack->cow = cow_open(stack->dev, witness, opt->cow, path, error);
	if (!stack->cow)
		return false;
	put_above(stack, blkdev_ref(stack->cow));
	return true;
}

bool stack_open(struct stack *ret, const char *path,
		const struct stack_options *opt, GError **error)
{
	g_autoptr(badranges) known = badranges_new(BADRANGES_MAX);

	*ret = (struct stack){ .dev = NULL };
	if (open_bottom(ret, path, opt, error) &&
	    add_bad(ret, opt, known, error) &&
	    add_window(ret, path, opt, error) &&
	    add_cow(ret, path, opt, known, error)) {
		stack_explain(ret, path, opt);
		return true;
	}
	stack_close(ret);
	return false;
}

void stack_close(struct stack *stack)
{
	blkdev_unref(stack->dev);
	blkdev_unref(stack->cow);
	blkdev_unref(stack->bad);
	blkdev_unref(stack->bottom);
	*stack = (struct stack){ .dev = NULL };
}

/* ---- what can be asked ---- */

char *stack_name(const struct stack *stack, const char *path)
{
	if (stack->partition)
		return g_strdup_printf("%s, partition %u", path,
				       stack->partition);
	if (stack->start)
		return g_strdup_printf("%s, from byte %" PRIu64 " on", path,
				       stack->start);
	return g_strdup(path);
}

void stack_counters(const struct stack *stack, struct blkdev_counters *ret)
{
	blkdev_counters(stack->bottom, ret);
}

void stack_bad_ranges(const struct stack *stack, struct badranges *ret)
{
	g_autoptr(badranges) met = NULL;

	if (!stack->bad)
		return;
	met = baddev_report(stack->bad);
	badranges_merge(ret, met);
}

bool stack_is_direct(const struct stack *stack)
{
	return stack->bottom->ops == &filedev_ops &&
	       filedev_is_direct(stack->bottom);
}

char *stack_list_partitions(const struct stack *stack, const char *path,
			    GError **error)
{
	g_autoptr(parttable) table = parttable_read(
		stack->bad ? stack->bad : stack->bottom, path, error);

	return table && table->type ? parttable_format(table) : NULL;
}
