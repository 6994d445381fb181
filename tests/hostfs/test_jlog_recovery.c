/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Logs written here, replayed by a stranger: e2fsck -p must make of them the
 * file that the model holds, and e2fsck -fn must find nothing afterwards.
 *
 * The metadata of these transactions are the blocks of a file: e2fsck does not
 * care what it replays, and a file's bytes can be compared. The journal's
 * features are set by hand, so that every format meets every block size.
 */
#include <rawmap/base/crc32c.h>
#include <rawmap/dev/blkdev.h>
#include <rawmap/jbd/format.h>
#include <rawmap/jbd/jlog.h>
#include <rawmap/map/extent.h>

#include <support/faultdev.h>
#include <support/hostimg.h>
#include <support/memdev.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BLOCKS 300u /* more than any descriptor names */
#define FILE_NAME   "file"
#define HOST_SIZE   (UINT64_C(16) << 20)
#define FIRST_SEED  UINT32_C(0xffffffff)

struct bed {
	unsigned bits;
	size_t size; /* of a block */
	uint32_t incompat;
	struct hostimg *img;
	struct blkdev *mem, *dev; /* dev: a faultdev over mem */
	GArray *runs;		  /* struct journal_run */
	GArray *home;		  /* pblk: where the file's blocks are */
	uint8_t *want;		  /* what the file shall hold */
	struct journal *j;
	struct jlog *log;
};

static const uint32_t formats[] = {
	0,
	JBD_INCOMPAT_64BIT,
	JBD_INCOMPAT_CSUM_V2,
	JBD_INCOMPAT_CSUM_V2 | JBD_INCOMPAT_64BIT,
	JBD_INCOMPAT_CSUM_V3,
	JBD_INCOMPAT_CSUM_V3 | JBD_INCOMPAT_64BIT,
};

/* Shape k: format k % 6, a host of 1, 2 or 4 KiB blocks; the last is ext3. */
static const char *const hosts[] = {
	"-t ext4 -b 1024 -O metadata_csum,64bit -J size=1",
	"-t ext4 -b 2048 -O metadata_csum,64bit -J size=2",
	"-t ext4 -b 4096 -O metadata_csum,64bit -J size=4",
	"-t ext3 -b 1024 -J size=1",
};

#define N_SHAPES 19
#define EXT3	 18
#define CSUM_V3	 16

static uint8_t *at_block(const struct bed *bed, pblk block)
{
	return memdev_bytes(bed->mem) + (block.v << bed->bits);
}

static struct jbd_super *super_of(const struct bed *bed)
{
	const struct journal_run *run =
		&g_array_index(bed->runs, struct journal_run, 0);

	return (void *)at_block(bed, run->phys);
}

static uint8_t *log_block(const struct bed *bed, uint32_t block)
{
	uint32_t more;

	return at_block(bed, journal_block_at(bed->j, block, &more));
}

static pblk home_of(const struct bed *bed, size_t i)
{
	return g_array_index(bed->home, pblk, i);
}

/* ---- the host ---- */

static void find_blocks(struct bed *bed)
{
	g_autoptr(GArray) journal = hostimg_extents(bed->img, "<8>");
	g_autoptr(GArray) file = hostimg_extents(bed->img, "/" FILE_NAME);

	bed->runs = g_array_new(FALSE, FALSE, sizeof(struct journal_run));
	bed->home = g_array_new(FALSE, FALSE, sizeof(pblk));
	for (guint i = 0; i < journal->len; i++) {
		const struct extent *e =
			&g_array_index(journal, struct extent, i);
		struct journal_run run = { e->phys, e->len };

		g_array_append_val(bed->runs, run);
	}
	for (guint i = 0; i < file->len; i++) {
		const struct extent *e = &g_array_index(file, struct extent, i);

		for (uint64_t k = 0; k < e->len; k++) {
			pblk at = pblk_add(e->phys, k);

			g_array_append_val(bed->home, at);
		}
	}
	ck_assert_uint_eq(bed->home->len, FILE_BLOCKS);
}

/* The bytes of the image file into memory. */
static void load(struct bed *bed)
{
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	bytes = hostimg_bytes(bed->img, &len);
	bed->mem = memdev_new(len, 512);
	memcpy(memdev_bytes(bed->mem), bytes, len);
	bed->dev = faultdev_new(bed->mem);
}

static void set_sum(struct jbd_super *super)
{
	super->checksum = be32_of(0);
	super->checksum = be32_of(crc32c(FIRST_SEED, super, sizeof(*super)));
}

static void set_format(struct bed *bed, uint32_t sequence)
{
	struct jbd_super *super = super_of(bed);

	super->incompat = be32_of(bed->incompat);
	super->sequence = be32_of(sequence);
	for (uint8_t i = 0; i < 16; i++)
		super->uuid[i] = (uint8_t)(i + 0x41);
	if (!(bed->incompat & (JBD_INCOMPAT_CSUM_V2 | JBD_INCOMPAT_CSUM_V3)))
		return;
	super->checksum_type = JBD_CSUM_CRC32C;
	set_sum(super);
}

static void open_log(struct bed *bed)
{
	GError *error = NULL;

	bed->j = journal_open(bed->dev, (void *)bed->runs->data, bed->runs->len,
			      bed->bits, "host", &error);
	ck_assert_msg(bed->j, "%s", error ? error->message : "");
	bed->log = jlog_new(bed->j, HOST_SIZE >> bed->bits, &error);
	ck_assert_msg(bed->log, "%s", error ? error->message : "");
	ck_assert_int_eq(jlog_begin(bed->log), 0);
}

static void bed_init_at(struct bed *bed, int shape, uint32_t sequence)
{
	int host = shape == EXT3 ? 3 : shape / 6;
	const struct hostimg_spec spec = { hosts[host], HOST_SIZE };
	struct hostimg_piece all = { .start = 0 };

	*bed = (struct bed){ .bits = host == 3 ? 10 : 10 + (unsigned)host };
	bed->size = (size_t)1 << bed->bits;
	bed->incompat = shape == EXT3 ? 0 : formats[shape % 6];
	all.len = FILE_BLOCKS * bed->size;
	bed->img = hostimg_make(&spec);
	hostimg_put(bed->img, FILE_NAME, 3, all.len, &all, 1);
	bed->want = g_malloc(all.len);
	for (size_t i = 0; i < all.len; i++)
		bed->want[i] = hostimg_pattern(3, i);
	find_blocks(bed);
	hostimg_edit(bed->img, "feature needs_recovery\n");
	load(bed);
	set_format(bed, sequence);
	open_log(bed);
}

static void bed_init(struct bed *bed, int shape)
{
	bed_init_at(bed, shape, 1000);
}

static void close_log(struct bed *bed)
{
	jlog_free(bed->log);
	journal_close(bed->j);
	bed->log = NULL;
	bed->j = NULL;
}

static void unload(struct bed *bed)
{
	close_log(bed);
	hostimg_store(bed->img, memdev_bytes(bed->mem), HOST_SIZE);
	blkdev_unref(bed->dev);
	blkdev_unref(bed->mem);
	bed->dev = NULL;
	bed->mem = NULL;
}

static void bed_clear(struct bed *bed)
{
	close_log(bed);
	blkdev_unref(bed->dev);
	blkdev_unref(bed->mem);
	g_array_unref(bed->runs);
	g_array_unref(bed->home);
	g_free(bed->want);
	hostimg_free(bed->img);
}

/* ---- changes ---- */

/* Every fifth looks like a part of the log. */
static void fill(const struct bed *bed, size_t i, uint8_t salt, uint8_t *buf)
{
	const be32 magic = be32_of(JBD_MAGIC);

	for (size_t k = 0; k < bed->size; k++)
		buf[k] = (uint8_t)(salt + i * 7 + k / 8);
	if (i % 5 == 0)
		memcpy(buf, &magic, sizeof(magic));
}

struct change {
	const struct bed *bed;
	size_t first;
	uint8_t salt;
};

static int get(void *ctx, size_t i, void *buf)
{
	const struct change *c = ctx;

	fill(c->bed, c->first + i, c->salt, buf);
	return 0;
}

/* A transaction: blocks [first, + n) of the file, revokes [rfirst, + rn). */
static int commit(struct bed *bed, size_t first, size_t n, uint8_t salt,
		  size_t rfirst, size_t rn)
{
	const pblk *home = (const pblk *)(void *)bed->home->data;
	struct change c = { bed, first, salt };
	const struct jlog_tx tx = { .blocks = home + first,
				    .n = n,
				    .get = get,
				    .ctx = &c,
				    .revokes = home + rfirst,
				    .nrevokes = rn };

	return jlog_commit(bed->log, &tx);
}

static void want(struct bed *bed, size_t first, size_t n, uint8_t salt)
{
	for (size_t i = first; i < first + n; i++)
		fill(bed, i, salt, bed->want + i * bed->size);
}

/* Written in place, as data and checkpoints are. */
static void put_home(struct bed *bed, size_t first, size_t n, uint8_t salt)
{
	for (size_t i = first; i < first + n; i++)
		fill(bed, i, salt, at_block(bed, home_of(bed, i)));
}

/* ---- the judge ---- */

static bool file_is_as_wanted(struct bed *bed)
{
	g_autofree uint8_t *got = NULL;
	size_t len;

	got = hostimg_cat(bed->img, "/" FILE_NAME, &len);
	return len == FILE_BLOCKS * bed->size && !memcmp(got, bed->want, len);
}

static void expect_recovery(struct bed *bed)
{
	g_autofree char *preen = NULL, *check = NULL;
	int status;

	unload(bed);
	status = hostimg_preen(bed->img, &preen);
	ck_assert_msg(status == 0 || status == 1, "%s", preen);
	ck_assert_msg(hostimg_fsck(bed->img, &check) == 0, "%s", check);
	ck_assert_msg(file_is_as_wanted(bed), "%s", preen);
}

/* Copies, later ones, revokes, revoked and reused, revoked and logged again. */
static void write_history(struct bed *bed, uint8_t salt)
{
	uint8_t a = salt, b = (uint8_t)(salt + 50), c = (uint8_t)(salt + 100);

	ck_assert_int_eq(commit(bed, 0, FILE_BLOCKS, a, 0, 0), 0);
	want(bed, 0, FILE_BLOCKS, a);
	ck_assert_int_eq(commit(bed, 0, 10, b, 100, 150), 0);
	want(bed, 0, 10, b);
	ck_assert_int_eq(commit(bed, 0, 0, 0, 20, 1), 0);
	ck_assert_int_eq(commit(bed, 100, 7, c, 21, 3), 0);
	want(bed, 100, 7, c);
	put_home(bed, 20, 4, c);
	want(bed, 20, 4, c);
	put_home(bed, 107, 143, b);
	want(bed, 107, 143, b);
}

START_TEST(e2fsck_replays_every_format)
{
	struct bed bed;

	bed_init(&bed, _i);
	write_history(&bed, 1);
	expect_recovery(&bed);
	bed_clear(&bed);
}
END_TEST

START_TEST(numbers_that_wrap_are_replayed)
{
	struct bed bed;

	/* The second transaction is number 0. */
	bed_init_at(&bed, _i, 0xfffffffeu);
	write_history(&bed, 1);
	expect_recovery(&bed);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_session_goes_on_after_a_recovery_of_e2fsck)
{
	struct bed bed;

	bed_init(&bed, _i);
	write_history(&bed, 1);
	expect_recovery(&bed);
	hostimg_edit(bed.img, "feature needs_recovery\n");
	load(&bed);
	open_log(&bed);
	/* Shorter: what is left of the first log must not come back. */
	ck_assert_int_eq(commit(&bed, 40, 20, 9, 0, 0), 0);
	want(&bed, 40, 20, 9);
	expect_recovery(&bed);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_transaction_without_its_commit_block_is_not_replayed)
{
	struct bed bed;

	bed_init(&bed, _i);
	ck_assert_int_eq(commit(&bed, 0, 40, 1, 0, 0), 0);
	want(&bed, 0, 40, 1);
	/* Its blocks are in the log when the first flush fails. */
	faultdev_arm(bed.dev, FAULTDEV_FLUSH, 1, EIO, FAULTDEV_ONCE);
	ck_assert_int_eq(commit(&bed, 30, 40, 2, 0, 10), -EIO);
	expect_recovery(&bed);
	bed_clear(&bed);
}
END_TEST

START_TEST(after_a_restart_only_the_new_lap_is_replayed)
{
	struct bed bed;

	bed_init(&bed, _i);
	ck_assert_int_eq(commit(&bed, 0, 100, 1, 0, 0), 0);
	ck_assert_int_eq(commit(&bed, 100, 100, 1, 0, 0), 0);
	put_home(&bed, 0, 200, 1);
	want(&bed, 0, 200, 1);
	ck_assert_int_eq(jlog_restart(bed.log), 0);
	/* From here on the old lap's copies are out of date. */
	put_home(&bed, 50, 150, 2);
	want(&bed, 50, 150, 2);
	ck_assert_int_eq(commit(&bed, 0, 10, 3, 0, 0), 0);
	want(&bed, 0, 10, 3);
	expect_recovery(&bed);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_log_of_several_laps_is_replayed)
{
	unsigned laps = 0;
	struct bed bed;

	bed_init(&bed, _i);
	for (uint8_t salt = 1; laps < 3; salt++) {
		if (jlog_need(bed.log, 200, 0) > jlog_room(bed.log)) {
			put_home(&bed, 0, 200, (uint8_t)(salt - 1));
			ck_assert_int_eq(jlog_restart(bed.log), 0);
			laps++;
		}
		ck_assert_int_eq(commit(&bed, 0, 200, salt, 0, 0), 0);
		want(&bed, 0, 200, salt);
	}
	expect_recovery(&bed);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_closed_log_is_empty)
{
	struct bed bed;

	bed_init(&bed, _i);
	ck_assert_int_eq(commit(&bed, 0, 100, 1, 0, 0), 0);
	put_home(&bed, 0, 100, 2);
	want(&bed, 0, 100, 2);
	ck_assert_int_eq(jlog_end(bed.log), 0);
	expect_recovery(&bed);
	bed_clear(&bed);
}
END_TEST

START_TEST(a_session_without_a_transaction_is_replayed_as_nothing)
{
	struct bed bed;

	bed_init(&bed, _i);
	expect_recovery(&bed);
	bed_clear(&bed);
}
END_TEST

/* ---- controls: the judge looks ---- */

static void spoil_tail(const struct bed *bed, uint8_t *block)
{
	be32 *tail = (void *)(block + bed->size - 4);
	uint32_t seed = crc32c(FIRST_SEED, super_of(bed)->uuid, 16);

	*tail = be32_of(0);
	*tail = be32_of(crc32c(seed, block, bed->size));
}

/*
 * Block 1 is the descriptor of a first transaction of 4 blocks, 2 to 5 are
 * these, 6 is the commit block.
 */
static void spoil(const struct bed *bed, int how)
{
	uint8_t *desc = log_block(bed, 1);
	size_t sum = bed->incompat & JBD_INCOMPAT_CSUM_V3 ? 12 : 4;

	switch (how) {
	case 0: /* a tag's checksum, the descriptor's own is right */
		desc[12 + sum] ^= 1;
		spoil_tail(bed, desc);
		break;
	case 1: /* a block's content */
		log_block(bed, 3)[77] ^= 1;
		break;
	case 2: /* the commit block's checksum */
		log_block(bed, 6)[16] ^= 1;
		break;
	default: /* the descriptor's */
		desc[bed->size - 1] ^= 1;
		break;
	}
}

START_TEST(one_wrong_byte_is_found_by_e2fsck)
{
	g_autofree char *said = NULL;
	struct bed bed;
	int status;

	/* csum v2 and v3 of 4 KiB. */
	bed_init(&bed, _i / 4 ? CSUM_V3 : CSUM_V3 - 2);
	ck_assert_int_eq(commit(&bed, 0, 4, 1, 0, 0), 0);
	ck_assert_int_eq(commit(&bed, 4, 4, 1, 0, 0), 0);
	want(&bed, 0, 8, 1);
	spoil(&bed, _i % 4);
	unload(&bed);
	status = hostimg_preen(bed.img, &said);
	ck_assert_msg(status >= 4 || !file_is_as_wanted(&bed), "%d: %s", status,
		      said);
	bed_clear(&bed);
}
END_TEST

/* What a missing revoke would do, so that the histories above mean something. */
START_TEST(without_the_revoke_the_old_copy_comes_back)
{
	struct bed bed;

	bed_init(&bed, _i);
	ck_assert_int_eq(commit(&bed, 0, 20, 1, 0, 0), 0);
	want(&bed, 0, 20, 1);
	put_home(&bed, 10, 5, 2);
	expect_recovery(&bed);
	bed_clear(&bed);
}
END_TEST

static void add_shapes(TCase *tc)
{
	tcase_add_loop_test(tc, e2fsck_replays_every_format, 0, N_SHAPES);
	/* Here the format matters less: some of each. */
	tcase_add_loop_test(tc, numbers_that_wrap_are_replayed, CSUM_V3,
			    N_SHAPES);
	tcase_add_loop_test(tc, a_session_goes_on_after_a_recovery_of_e2fsck,
			    CSUM_V3, N_SHAPES);
	tcase_add_loop_test(
		tc, a_transaction_without_its_commit_block_is_not_replayed, 12,
		N_SHAPES);
	tcase_add_loop_test(tc, after_a_restart_only_the_new_lap_is_replayed,
			    12, N_SHAPES);
	tcase_add_loop_test(tc, a_log_of_several_laps_is_replayed, CSUM_V3,
			    N_SHAPES);
	tcase_add_loop_test(tc, a_closed_log_is_empty, CSUM_V3, N_SHAPES);
	tcase_add_loop_test(
		tc, a_session_without_a_transaction_is_replayed_as_nothing,
		CSUM_V3, N_SHAPES);
}

int main(void)
{
	Suite *suite = suite_create("jlog_recovery");
	TCase *tc = tcase_create("jlog_recovery");
	SRunner *runner;
	int failed;

	add_shapes(tc);
	tcase_add_loop_test(tc, one_wrong_byte_is_found_by_e2fsck, 0, 8);
	tcase_add_loop_test(tc, without_the_revoke_the_old_copy_comes_back,
			    EXT3, N_SHAPES);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
