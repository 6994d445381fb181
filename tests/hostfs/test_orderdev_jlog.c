/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The writer of logs under the watcher of the write-ahead order: random
 * transactions with checkpoints, revokes, data in revoked blocks, laps and
 * sessions; then the same with a device that fails somewhere, and a recovery.
 */
#include <rawmap/dev/blkdev.h>
#include <rawmap/jbd/format.h>
#include <rawmap/jbd/jlog.h>
#include <rawmap/jbd/replay.h>
#include <rawmap/map/extent.h>

#include <support/faultdev.h>
#include <support/hostimg.h>
#include <support/memdev.h>
#include <support/orderdev.h>

#include <check.h>
#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <string.h>

#define BITS	   10
#define BS	   (1u << BITS)
#define BLOCKS	   8192 /* of the host */
#define OWN	   24	/* in the inode table */
#define TREES	   40	/* free blocks from ... */
#define FIRST_TREE 7000 /* ... here on */
#define POOL	   (OWN + TREES)

static const uint32_t formats[] = {
	0,
	JBD_INCOMPAT_CSUM_V2,
	JBD_INCOMPAT_CSUM_V2 | JBD_INCOMPAT_64BIT,
	JBD_INCOMPAT_CSUM_V3,
	JBD_INCOMPAT_CSUM_V3 | JBD_INCOMPAT_64BIT,
};

/* What a block of the pool is at the moment. */
enum state {
	OUTSIDE, /* a tree block: free, or data */
	LOGGED,
	HOME,
};

static struct bed {
	struct blkdev *mem, *order, *dev;
	struct journal_run runs[64];
	size_t nruns;
	uint32_t itable;
	struct journal *j;
	struct jlog *log;
	enum state state[POOL];
	int version[POOL];
	GRand *rand;
} bed;

static pblk block_at(size_t i)
{
	return pblk_at(i < OWN ? bed.itable + i : FIRST_TREE + i - OWN);
}

/* Some begin with the journal's magic. */
static void content(size_t i, void *buf)
{
	be32 magic = be32_of(JBD_MAGIC);

	memset(buf, (int)i * 31 + bed.version[i], BS);
	if (bed.version[i] % 5 == 0)
		memcpy(buf, &magic, sizeof(magic));
}

static void prepare_journal(uint32_t incompat)
{
	struct jbd_super *s =
		(void *)(memdev_bytes(bed.mem) + (bed.runs[0].phys.v << BITS));

	s->incompat = be32_of(incompat);
	if (!incompat)
		return;
	s->checksum_type = JBD_CSUM_CRC32C;
	s->checksum = be32_of(0);
	s->checksum =
		be32_of(ext2fs_crc32c_le(~0U, (const void *)s, sizeof(*s)));
}

/* Everything is home, and no tree is in use. */
static void forget_states(void)
{
	for (size_t i = 0; i < POOL; i++)
		bed.state[i] = i < OWN ? HOME : OUTSIDE;
}

static void bed_make(uint32_t incompat, guint32 seed)
{
	const struct hostimg_spec spec = { "-t ext4 -b 1024 -J size=1", 0 };
	struct hostimg *img = hostimg_make(&spec);
	g_autoptr(GArray) map = hostimg_extents(img, "<8>");
	g_autofree uint8_t *bytes = NULL;
	const struct ext2_group_desc *gd;
	size_t len;

	bytes = hostimg_bytes(img, &len);
	memset(&bed, 0, sizeof(bed));
	bed.mem = memdev_new(len, 512);
	memcpy(memdev_bytes(bed.mem), bytes, len);
	gd = (const void *)(memdev_bytes(bed.mem) + 2 * BS);
	/* Not the first ones: the journal's inode is there. */
	bed.itable = gd->bg_inode_table + OWN;
	ck_assert_uint_le(map->len, G_N_ELEMENTS(bed.runs));
	for (; bed.nruns < map->len; bed.nruns++) {
		const struct extent *e =
			&g_array_index(map, struct extent, bed.nruns);

		bed.runs[bed.nruns] = (struct journal_run){ e->phys, e->len };
	}
	hostimg_free(img);
	prepare_journal(incompat);
	bed.order = orderdev_new(bed.mem);
	bed.dev = faultdev_new(bed.order);
	bed.rand = g_rand_new_with_seed(seed);
	forget_states();
}

static void bed_clear(void)
{
	jlog_free(bed.log);
	journal_close(bed.j);
	blkdev_unref(bed.dev);
	blkdev_unref(bed.order);
	blkdev_unref(bed.mem);
	g_rand_free(bed.rand);
}

static struct journal *open_journal(void)
{
	GError *error = NULL;
	struct journal *j = journal_open(bed.dev, bed.runs, bed.nruns, BITS,
					 "test", &error);

	ck_assert_msg(j != NULL, "%s", error ? error->message : "");
	return j;
}

/* ---- steps: 0 or -errno ---- */

static int set_recover(bool on)
{
	uint8_t sb[BS];
	struct ext2_super_block *s = (void *)sb;
	int err = blkdev_pread(bed.dev, sb, BS, dev_off_at(1024));

	s->s_feature_incompat &= ~(uint32_t)EXT3_FEATURE_INCOMPAT_RECOVER;
	if (on)
		s->s_feature_incompat |= EXT3_FEATURE_INCOMPAT_RECOVER;
	if (!err)
		err = blkdev_pwrite(bed.dev, sb, BS, dev_off_at(1024));
	return err ? err : blkdev_flush(bed.dev);
}

static int begin(void)
{
	GError *error = NULL;
	int err;

	if (!bed.j)
		bed.j = open_journal();
	bed.log = jlog_new(bed.j, BLOCKS, &error);
	ck_assert_msg(bed.log != NULL, "%s", error ? error->message : "");
	err = set_recover(true);
	return err ? err : jlog_begin(bed.log);
}

static int write_home(size_t i)
{
	uint8_t buf[BS];

	content(i, buf);
	bed.state[i] = bed.state[i] == OUTSIDE ? OUTSIDE : HOME;
	return blkdev_pwrite(bed.dev, buf, BS,
			     dev_off_at(block_at(i).v << BITS));
}

static int checkpoint(int percent)
{
	int err = 0;

	for (size_t i = 0; i < POOL && !err; i++)
		if (bed.state[i] == LOGGED &&
		    g_rand_int_range(bed.rand, 0, 100) < percent)
			err = write_home(i);
	return err;
}

/* A new lap, or the end. */
static int turn(int (*fn)(struct jlog *))
{
	int err = checkpoint(100);

	if (!err)
		err = blkdev_flush(bed.dev);
	return err ? err : fn(bed.log);
}

static int end(void)
{
	int err = turn(jlog_end);

	if (!err)
		err = set_recover(false);
	jlog_free(bed.log);
	bed.log = NULL;
	return err;
}

static int get(void *ctx, size_t i, void *buf)
{
	const size_t *picked = ctx;

	content(picked[i], buf);
	return 0;
}

/* Of the pool some are logged anew, of the trees some are freed. */
static int transaction(void)
{
	pblk blocks[POOL], revokes[POOL];
	size_t picked[POOL];
	struct jlog_tx tx = {
		.blocks = blocks, .get = get, .ctx = picked, .revokes = revokes
	};
	int err = 0;

	if (jlog_need(bed.log, POOL, POOL) > jlog_room(bed.log))
		err = turn(jlog_restart);
	if (err)
		return err;
	for (size_t i = 0; i < POOL; i++) {
		int dice = g_rand_int_range(bed.rand, 0, 100);

		if (dice < 20) {
			bed.version[i]++;
			picked[tx.n] = i;
			blocks[tx.n++] = block_at(i);
		} else if (i >= OWN && dice < 30 && bed.state[i] != OUTSIDE) {
			bed.state[i] = OUTSIDE;
			if (jlog_has(bed.log, block_at(i)))
				revokes[tx.nrevokes++] = block_at(i);
		}
	}
	if (!tx.n && !tx.nrevokes)
		return 0;
	err = jlog_commit(bed.log, &tx);
	for (size_t i = 0; i < tx.n && !err; i++)
		bed.state[picked[i]] = LOGGED;
	return err;
}

/* Trees that are free become data. */
static int data(void)
{
	int err = 0;

	for (size_t i = OWN; i < POOL && !err; i++) {
		if (bed.state[i] != OUTSIDE || g_rand_boolean(bed.rand))
			continue;
		bed.version[i]++;
		err = write_home(i);
	}
	return err;
}

static int session(int transactions)
{
	int err = begin();

	while (!err && transactions--) {
		err = transaction();
		if (!err)
			err = data();
		if (!err && g_rand_int_range(bed.rand, 0, 4) == 0)
			err = checkpoint(50);
	}
	return err ? err : end();
}

/* ---- tests ---- */

START_TEST(sessions_keep_the_order)
{
	struct orderdev_stats s;

	bed_make(formats[_i], 4711);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(session(120), 0);
	orderdev_stats(bed.order, &s);
	ck_assert(s.journal);
	ck_assert_uint_ge(s.transactions, 300);
	ck_assert_uint_ge(s.copies, 3000);
	ck_assert_uint_ge(s.revokes, 300);
	ck_assert_uint_ge(s.home_writes, 3000);
	ck_assert_uint_ge(s.tails, 9);
	bed_clear();
}
END_TEST

/*
 * The flush comes first: what a scan finds may be no more than written, and
 * nothing goes home before its log is durable.
 */
static void recover(void)
{
	struct journal *j;
	GError *error = NULL;
	struct journal_change change = { 0 };
	struct replay *r;

	j = open_journal();
	r = replay_scan(j, BLOCKS, NULL, NULL, &error);
	ck_assert_msg(r != NULL, "%s", error ? error->message : "");
	ck_assert_int_eq(blkdev_flush(bed.dev), 0);
	ck_assert_int_eq(replay_apply(r, bed.dev, NULL, NULL), 0);
	ck_assert_int_eq(blkdev_flush(bed.dev), 0);
	change.sequence = replay_report(r)->next_sequence;
	replay_free(r);
	ck_assert_int_eq(journal_update(j, &change), 0);
	ck_assert_int_eq(blkdev_flush(bed.dev), 0);
	ck_assert_int_eq(set_recover(false), 0);
	journal_close(j);
}

static bool log_in_use(void)
{
	struct journal *j = open_journal();
	bool used = journal_info(j)->start != 0;

	journal_close(j);
	return used;
}

static void break_off(enum faultdev_kind kind, unsigned nth, unsigned flags)
{
	faultdev_arm(bed.dev, kind, nth, EIO, flags | FAULTDEV_PERSISTENT);
	ck_assert_int_eq(session(6) != 0, faultdev_fired(bed.dev));
	faultdev_disarm(bed.dev);
	g_clear_pointer(&bed.log, jlog_free);
	g_clear_pointer(&bed.j, journal_close);
}

static void fail_and_recover(enum faultdev_kind kind, unsigned nth)
{
	struct orderdev_stats before, after;

	orderdev_stats(bed.order, &before);
	break_off(kind, nth, 0);
	/* Another watcher must come to the same. */
	if (nth % 2)
		orderdev_look(bed.order);
	if (log_in_use())
		recover();
	forget_states();
	ck_assert_int_eq(session(3), 0);
	g_clear_pointer(&bed.j, journal_close);
	orderdev_stats(bed.order, &after);
	ck_assert_uint_ge(after.transactions, before.transactions + 3);
}

/* From the first, second, ... write or flush on the device fails. */
START_TEST(failures_and_recovery_keep_the_order)
{
	bed_make(formats[_i], 4712);
	for (unsigned nth = 1; nth <= 40; nth++) {
		fail_and_recover(FAULTDEV_WRITE, 3 * nth);
		fail_and_recover(FAULTDEV_FLUSH, nth % 18 + 1);
	}
	bed_clear();
}
END_TEST

/* What lands by half belongs to no transaction; nothing may rely on it. */
START_TEST(writes_that_land_by_half_keep_the_order)
{
	g_autoptr(GBytes) first = NULL;

	bed_make(formats[_i], 4713);
	first = memdev_snapshot(bed.mem);
	for (unsigned nth = 1; nth <= 40; nth++) {
		break_off(FAULTDEV_WRITE, nth, FAULTDEV_SHORT);
		memdev_restore(bed.mem, first);
		orderdev_look(bed.order);
		forget_states();
	}
	bed_clear();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log writer under the order device");
	TCase *tc = tcase_create("jlog");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, sessions_keep_the_order, 0,
			    G_N_ELEMENTS(formats));
	tcase_add_loop_test(tc, failures_and_recovery_keep_the_order, 0,
			    G_N_ELEMENTS(formats));
	tcase_add_loop_test(tc, writes_that_land_by_half_keep_the_order, 0,
			    G_N_ELEMENTS(formats));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
