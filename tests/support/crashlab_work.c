/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The random workload.
 *
 * Most operations touch a few blocks, many of them around the places where
 * indirect trees get a new level. On a host that fills up more is given back
 * than taken. An operation that runs out of space may have done a part: what
 * the image holds then is read and told to the oracle.
 */
#include <support/crashlab_priv.h>

#include <support/memdev.h>

#include <rawmap/base/bytes.h>

#include <check.h>
#include <errno.h>
#include <string.h>

#define MAX_BLOCKS 24 /* of one write */

void crashlab_open(struct crashlab *lab)
{
	const struct hostfs_options opt = {
		.use_reserved = true,
		.discard = lab->spec.discard,
	};
	GError *error = NULL;
	struct hostfile *hf;

	lab->fs = hostfs_open(lab->rec, &opt, &error);
	ck_assert_msg(lab->fs, "%s", error ? error->message : "");
	hf = hostfile_open(lab->fs, CRASHLAB_IMAGE, 1 << 20, &error);
	ck_assert_msg(hf, "%s", error ? error->message : "");
	lab->img = image_new(hf, false);
}

static size_t events_so_far(struct crashlab *lab)
{
	g_autoptr(GPtrArray) events = recdev_events(lab->rec);

	return events->len;
}

static unsigned epoch_now(struct crashlab *lab)
{
	return recdev_epochs(lab->rec) - 1;
}

static uint64_t commits_so_far(struct crashlab *lab)
{
	struct hostfs_stats stats;

	hostfs_stats(lab->fs, &stats);
	return stats.commits;
}

/* ---- where ---- */

static uint64_t some_block(struct crashlab *lab)
{
	static const uint32_t edges[] = { 0, 12, 268, 524 };
	uint64_t what = crashlab_below(lab, 10);
	uint64_t near = crashlab_below(lab, 16);

	if (what < 6)
		return crashlab_below(lab, lab->spec.dense);
	if (what < 8)
		return edges[crashlab_below(lab, G_N_ELEMENTS(edges))] + near;
	if (what < 9)
		return lab->spec.dense - 8 + near;
	return lab->spec.far - 8 + near;
}

/* Whole blocks three times out of four. */
static void some_range(struct crashlab *lab, uint64_t max_blocks, uint64_t *pos,
		       uint64_t *len)
{
	uint32_t bs = lab->spec.block_size;
	uint64_t most = crashlab_below(lab, 4) ? u64_min(max_blocks, 4)
					       : max_blocks;

	*pos = some_block(lab) * bs;
	*len = (1 + crashlab_below(lab, most)) * bs;
	if (crashlab_below(lab, 4))
		return;
	*pos += crashlab_below(lab, bs);
	*len = 1 + crashlab_below(lab, *len);
}

/* Where the image ends at most. */
static uint64_t max_size(const struct crashlab *lab)
{
	return (uint64_t)(lab->spec.far + 64) * lab->spec.block_size;
}

/* ---- what ---- */

/* After half an operation: the image itself says how far it came. */
static void learn(struct crashlab *lab, unsigned op, uint64_t pos, uint64_t len,
		  const char *what)
{
	g_autofree uint8_t *buf = g_malloc0(len);
	ssize_t got = image_pread(lab->img, buf, len, img_off_at(pos));

	if (image_size(lab->img) != oracle_size(lab->oracle))
		oracle_resize(lab->oracle, op, image_size(lab->img));
	/* The only contents that a failed operation can add are zeros. */
	ck_assert_msg(got >= 0, "%s: %zd", what, got);
	for (ssize_t i = 0; i < got; i++) {
		ssize_t end = i;

		while (end < got && !buf[end])
			end++;
		if (end > i)
			oracle_zero(lab->oracle, op, pos + (uint64_t)i,
				    (uint64_t)(end - i));
		i = MAX(i, end - 1);
	}
}

/* It may have grown on the way, and a crash may find it so. */
static void learn_growth(struct crashlab *lab, unsigned op, uint64_t end,
			 bool keep)
{
	uint64_t size = oracle_size(lab->oracle);

	if (keep || end <= size)
		return;
	oracle_resize(lab->oracle, op, end);
	oracle_resize(lab->oracle, op, size);
}

/*
 * A map of single blocks grows in steps, each with as much of the size. Where one
 * of them had to commit, for the room, a crash may find it between two.
 */
static void learn_steps(struct crashlab *lab, unsigned op, uint64_t end,
			uint64_t commits)
{
	uint32_t bs = lab->spec.block_size;
	uint64_t size = oracle_size(lab->oracle) / bs * bs + bs;

	if (lab->extents || commits_so_far(lab) == commits)
		return;
	for (; size < end; size += bs)
		oracle_resize(lab->oracle, op, size);
}

static const char *do_write(struct crashlab *lab, unsigned op)
{
	uint64_t pos, len;
	ssize_t got;

	some_range(lab, MAX_BLOCKS, &pos, &len);
	oracle_stamp(lab->oracle, op, pos, lab->buf, len);
	got = image_pwrite(lab->img, lab->buf, len, img_off_at(pos));
	ck_assert_msg(got > 0 || got == -ENOSPC, "a write: %zd", got);
	if (got > 0)
		oracle_write(lab->oracle, op, pos, (uint64_t)got);
	return "write";
}

static const char *do_punch(struct crashlab *lab, unsigned op)
{
	uint32_t bs = lab->spec.block_size;
	uint64_t pos, len;
	int err;

	some_range(lab, 16, &pos, &len);
	/* Whole tree blocks become free. */
	if (!crashlab_below(lab, lab->spec.churn ? 3 : 6))
		len = (1 + crashlab_below(lab, lab->spec.dense / 2)) * bs;
	err = image_punch(lab->img, img_off_at(pos), len);
	if (err == -EOPNOTSUPP && lab->spec.pins)
		return "punch of what stays";
	if (err) {
		ck_assert_int_eq(err, -ENOSPC);
		learn(lab, op, pos, len, "a punch");
		return "punch, in part";
	}
	if (pos < oracle_size(lab->oracle))
		oracle_zero(lab->oracle, op, pos, len);
	return "punch";
}

static const char *do_zero(struct crashlab *lab, unsigned op)
{
	bool keep = crashlab_below(lab, 3);
	uint64_t pos, len, old = oracle_size(lab->oracle);
	uint64_t commits = commits_so_far(lab);
	int err;

	some_range(lab, MAX_BLOCKS, &pos, &len);
	err = image_zero(lab->img, img_off_at(pos), len, keep);
	if (err) {
		ck_assert(err == -ENOSPC || err == -EOPNOTSUPP);
		learn_growth(lab, op, pos + len, keep);
		learn(lab, op, pos, len, "a zero-range");
		return "zero-range, in part";
	}
	if (!keep)
		learn_steps(lab, op, pos + len, commits);
	oracle_zero(lab->oracle, op, pos, len);
	if (!keep && pos + len > old)
		oracle_resize(lab->oracle, op, pos + len);
	return keep ? "zero-range" : "zero-range that may grow";
}

static const char *do_allocate(struct crashlab *lab, unsigned op)
{
	bool keep = crashlab_below(lab, 3);
	uint64_t pos, len, old = oracle_size(lab->oracle);
	uint64_t commits = commits_so_far(lab);
	int err;

	some_range(lab, MAX_BLOCKS, &pos, &len);
	err = image_allocate(lab->img, img_off_at(pos), len, keep);
	if (err) {
		ck_assert(err == -ENOSPC || err == -EOPNOTSUPP);
		learn_growth(lab, op, pos + len, keep);
		learn(lab, op, pos, len, "an allocation");
		return "allocate, in part";
	}
	if (!keep)
		learn_steps(lab, op, pos + len, commits);
	if (!keep && pos + len > old)
		oracle_resize(lab->oracle, op, pos + len);
	return keep ? "allocate" : "allocate that may grow";
}

static const char *do_truncate(struct crashlab *lab, unsigned op)
{
	uint64_t old = oracle_size(lab->oracle), size;
	uint32_t bs = lab->spec.block_size;
	int err;

	switch (crashlab_below(lab, 4)) {
	case 0:
		size = old + crashlab_below(lab, 40 * bs);
		break;
	case 1:
		size = old - crashlab_below(lab, u64_min(old, 40 * bs));
		break;
	case 2:
		size = crashlab_below(lab, lab->spec.dense) * bs;
		break;
	default:
		size = (uint64_t)lab->spec.dense * bs;
		break;
	}
	size = u64_min(size, max_size(lab));
	err = image_truncate(lab->img, size);
	if (err) {
		ck_assert_int_eq(err, -ENOSPC);
		learn(lab, op, size, old - u64_min(size, old), "a truncate");
		return "truncate, in part";
	}
	oracle_resize(lab->oracle, op, size);
	return size < old ? "shrink" : "grow";
}

static bool bear(void *ctx, uint64_t done, uint64_t total)
{
	unsigned *steps = ctx;

	ck_assert_uint_le(done, total);
	return --*steps;
}

/* As pin=alloc does it; also by a server that ends before it gives back. */
static const char *do_fill(struct crashlab *lab)
{
	unsigned steps = 1 + (unsigned)crashlab_below(lab, 200);
	const struct image_watch w = { bear, &steps };
	g_autoptr(GArray)
		none = g_array_new(FALSE, FALSE, sizeof(struct extent));
	g_autoptr(GArray)
		filled = g_array_new(FALSE, FALSE, sizeof(struct extent));
	bool back = crashlab_below(lab, 2);
	int err = image_fill_holes(lab->img, filled, &w);

	if (!err)
		return "fill";
	ck_assert(err == -ECANCELED || err == -ENOSPC);
	ck_assert_int_eq(image_give_back(lab->img, back ? filled : none), 0);
	return back ? "fill, given back" : "fill, in part";
}

static void unmount(struct crashlab *lab)
{
	image_free(lab->img);
	lab->img = NULL;
	ck_assert_int_eq(hostfs_close(lab->fs), 0);
	lab->fs = NULL;
}

/* ---- one after the other ---- */

enum kind {
	WRITE,
	PUNCH,
	ZERO,
	ALLOCATE,
	TRUNCATE,
	FLUSH,
	COMMIT,
	TICK,
	SETTLE,
	REMOUNT,
	FILL,
	KINDS
};

static enum kind some_kind(struct crashlab *lab)
{
	/* Of a hundred. Ticks, settling and unmounting empty the log. */
	static const uint8_t mixed[KINDS] = { 40, 14, 7, 6, 6, 14, 6, 4, 1, 2 };
	static const uint8_t churn[KINDS] = { 48, 22, 2, 2, 4, 16, 6 };
	static const uint8_t pins[KINDS] = { 28, 12, 7, 6, 14, 10,
					     4,	 3,  2, 4, 10 };
	const uint8_t *share = lab->spec.pins	 ? pins
			       : lab->spec.churn ? churn
						 : mixed;
	uint64_t what = crashlab_below(lab, 100);
	unsigned kind = 0;

	if (!lab->spec.full && hostfs_available(lab->fs) < 150)
		what = share[WRITE] + crashlab_below(lab, 100 - share[WRITE]);
	for (; what >= share[kind]; kind++)
		what -= share[kind];
	return (enum kind)kind;
}

static void one_op(struct crashlab *lab, enum kind kind)
{
	unsigned n = lab->ops->len;
	struct crashlab_op op = {
		.first_epoch = epoch_now(lab),
		.first_event = events_so_far(lab),
		.base = n,
		.moves_data = kind < FLUSH,
	};
	uint64_t commits = commits_so_far(lab);

	switch (kind) {
	case WRITE:
		op.name = do_write(lab, n);
		break;
	case PUNCH:
		op.name = do_punch(lab, n);
		break;
	case ZERO:
		op.name = do_zero(lab, n);
		break;
	case ALLOCATE:
		op.name = do_allocate(lab, n);
		break;
	case TRUNCATE:
		op.name = do_truncate(lab, n);
		break;
	case FLUSH:
		op.name = "flush";
		ck_assert_int_eq(image_flush(lab->img), 0);
		op.covers = true;
		break;
	case COMMIT:
		op.name = "commit";
		op.covers = hostfs_pending(lab->fs);
		ck_assert_int_eq(hostfs_commit(lab->fs), 0);
		break;
	case TICK:
		op.name = "tick";
		op.covers = hostfs_pending(lab->fs);
		ck_assert_int_eq(hostfs_tick(lab->fs), 0);
		break;
	case SETTLE:
		op.name = "settle";
		ck_assert_int_eq(hostfs_settle(lab->fs), 0);
		op.covers = op.closes = true;
		break;
	case REMOUNT:
		op.name = "unmount";
		unmount(lab);
		op.covers = op.closes = true;
		break;
	case FILL:
		op.name = do_fill(lab);
		break;
	case KINDS:
		break;
	}
	if (lab->fs && commits_so_far(lab) != commits)
		op.moves_data = false;
	op.last_epoch = epoch_now(lab);
	op.last_event = events_so_far(lab);
	g_array_append_val(lab->ops, op);
}

void crashlab_work(struct crashlab *lab)
{
	lab->buf = g_malloc((size_t)(MAX_BLOCKS + 1) * lab->spec.block_size);
	crashlab_open(lab);
	oracle_start(lab->oracle, lab->img);
	for (unsigned i = 0; i < lab->spec.ops; i++) {
		if (!lab->fs)
			crashlab_open(lab);
		one_op(lab, some_kind(lab));
	}
	if (lab->fs)
		one_op(lab, REMOUNT);
}
