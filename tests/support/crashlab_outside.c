/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The laboratory for a program of its own, which works on the host through
 * recfs.h while several threads use what it serves.
 *
 * Operations have numbers in the order in which they begin. An operation counts
 * as done when it has ended, as not begun before crashlab_begin(); so what the
 * recording shows in between is never taken for a fault. A flush covers the
 * operations before the first one that had not ended when it began.
 */
#include <support/crashlab_priv.h>

#include <support/memdev.h>

static struct crashlab_op *op_at(struct crashlab *lab, unsigned i)
{
	return &g_array_index(lab->ops, struct crashlab_op, i);
}

static unsigned epoch_now(struct crashlab *lab)
{
	return atomic_load(lab->epoch);
}

/* Past the recording: nobody uses the device yet. */
static void learn_start(struct crashlab *lab)
{
	const struct hostfs_options opt = { .readonly = true };
	g_autoptr(GError) error = NULL;
	struct hostfs *fs = hostfs_open(lab->mem, &opt, &error);
	struct hostfile *hf = NULL;
	struct image *img;

	if (fs)
		hf = hostfile_open(fs, CRASHLAB_IMAGE, 1 << 20, &error);
	if (!hf)
		g_error("crashlab: %s", error->message);
	img = image_new(hf, true);
	oracle_start(lab->oracle, img);
	image_free(img);
	hostfs_close(fs);
}

struct crashlab *crashlab_await(const struct crashlab_spec *spec, uint32_t seed)
{
	struct crashlab *lab = crashlab_new(spec, seed);

	lab->outside = true;
	lab->first_open = 1;
	learn_start(lab);
	return lab;
}

struct blkdev *crashlab_device(struct crashlab *lab)
{
	return lab->rec;
}

void crashlab_set_clock(struct crashlab *lab, const atomic_uint *epoch)
{
	lab->epoch = epoch;
}

/* What the operation makes of the image. */
static void tell_oracle(struct crashlab *lab, unsigned n,
			enum crashlab_deed deed, uint64_t pos, uint64_t len,
			uint8_t *buf)
{
	switch (deed) {
	case CRASHLAB_WRITE:
		oracle_stamp(lab->oracle, n, pos, buf, len);
		oracle_write(lab->oracle, n, pos, len);
		break;
	case CRASHLAB_ZERO:
		oracle_zero(lab->oracle, n, pos, len);
		break;
	case CRASHLAB_RESIZE:
		oracle_resize(lab->oracle, n, pos);
		break;
	case CRASHLAB_ALLOCATE:
	case CRASHLAB_FLUSH:
	case CRASHLAB_UNMOUNT:
		break;
	}
}

unsigned crashlab_begin(struct crashlab *lab, enum crashlab_deed deed,
			uint64_t pos, uint64_t len, uint8_t *buf)
{
	static const char *const names[] = { "write",  "zero",	"allocate",
					     "resize", "flush", "unmount" };
	struct crashlab_op op = {
		.name = names[deed],
		.last_epoch = UINT_MAX,
		.covers = deed >= CRASHLAB_FLUSH,
		.closes = deed == CRASHLAB_UNMOUNT,
	};
	unsigned n;

	mutex_lock(&lab->lock);
	n = lab->ops->len;
	op.first_epoch = epoch_now(lab);
	op.base = MIN(lab->first_open, n) - 1;
	g_array_append_val(lab->ops, op);
	tell_oracle(lab, n, deed, pos, len, buf);
	mutex_unlock(&lab->lock);
	return n;
}

void crashlab_end(struct crashlab *lab, unsigned n)
{
	mutex_lock(&lab->lock);
	op_at(lab, n)->last_epoch = epoch_now(lab);
	while (lab->first_open < lab->ops->len &&
	       op_at(lab, lab->first_open)->last_epoch != UINT_MAX)
		lab->first_open++;
	mutex_unlock(&lab->lock);
}

void crashlab_over(struct crashlab *lab)
{
	g_assert(lab->first_open == lab->ops->len);
	lab->events = recdev_events(lab->rec);
}
