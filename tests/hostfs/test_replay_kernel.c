/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Logs that others wrote, judged by others: debugfs writes them; debugfs and
 * e2fsck, whose recovery is the kernel's code, take them home. What the replay
 * makes of the same image must be the same, block for block; only the two
 * superblocks, which know when and by whom, may differ.
 */
#include <rawmap/base/error.h>
#include <rawmap/jbd/replay.h>
#include <rawmap/map/extent.h>

#include <support/hostimg.h>
#include <support/memdev.h>

#include <check.h>
#include <string.h>

#define SIZE	   (UINT64_C(16) << 20)
#define TARGETS	   120 /* blocks of the file that the log is about */
#define MAGIC_EACH 7   /* every 7th block of content has to be escaped */

static const struct shape {
	const char *mkfs, *open;
	size_t bs;
	enum journal_csum csum;
	bool is_64bit;
} shapes[] = {
	{ "-t ext3 -b 1024", "jo", 1024, JOURNAL_CSUM_NONE, false },
	{ "-t ext3 -b 4096", "jo", 4096, JOURNAL_CSUM_NONE, false },
	{ "-t ext4 -b 4096 -O ^metadata_csum,64bit", "jo", 4096,
	  JOURNAL_CSUM_NONE, true },
	{ "-t ext4 -b 1024 -O ^metadata_csum,^64bit", "jo -c", 1024,
	  JOURNAL_CSUM_V1, false },
	{ "-t ext4 -b 1024 -O metadata_csum,^64bit", "jo -c -v 2", 1024,
	  JOURNAL_CSUM_V2, false },
	{ "-t ext4 -b 2048 -O metadata_csum,64bit", "jo -c -v 2", 2048,
	  JOURNAL_CSUM_V2, true },
	{ "-t ext4 -b 4096 -O metadata_csum,^64bit", "jo -c -v 3", 4096,
	  JOURNAL_CSUM_V3, false },
	{ "-t ext4 -b 1024 -O metadata_csum,64bit", "jo -c -v 3", 1024,
	  JOURNAL_CSUM_V3, true },
};

#define N_SHAPES ((int)G_N_ELEMENTS(shapes))

struct host {
	struct hostimg *img;
	const struct shape *shape;
	uint64_t targets[TARGETS]; /* blocks of the device */
	char *content;		   /* path */
};

static void find_targets(struct host *h)
{
	const struct hostimg_piece piece = { 0, TARGETS * h->shape->bs };
	g_autoptr(GArray) extents = NULL;
	size_t n = 0;

	hostimg_put(h->img, "target", 5, piece.len, &piece, 1);
	extents = hostimg_extents(h->img, "/target");
	for (guint i = 0; i < extents->len; i++) {
		const struct extent *e =
			&g_array_index(extents, struct extent, i);

		for (uint64_t k = 0; k < e->len && n < TARGETS; k++)
			h->targets[n++] = e->phys.v + k;
	}
	ck_assert_uint_eq(n, TARGETS);
}

static void make_content(struct host *h)
{
	static const uint8_t magic[] = { 0xc0, 0x3b, 0x39, 0x98 };
	size_t len = TARGETS * h->shape->bs;
	g_autofree uint8_t *bytes = g_malloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = hostimg_pattern(77, i);
	for (size_t i = 0; i < TARGETS; i += MAGIC_EACH)
		memcpy(bytes + i * h->shape->bs, magic, sizeof(magic));
	h->content = g_build_filename(hostimg_dir(h->img), "content", NULL);
	ck_assert(g_file_set_contents(h->content, (char *)bytes, (gssize)len,
				      NULL));
}

/* "100,101,102" of targets [from, to). */
static char *list(const struct host *h, size_t from, size_t to)
{
	GString *text = g_string_new(NULL);

	for (size_t i = from; i < to; i++)
		g_string_append_printf(text, "%s%" G_GUINT64_FORMAT,
				       i == from ? "" : ",", h->targets[i]);
	return g_string_free(text, false);
}

/*
 * debugfs takes revoke blocks into checksums of version 1; the kernel and
 * everybody's recovery do not, and so call them wrong.
 */
static bool can_revoke(const struct shape *shape)
{
	return shape->csum != JOURNAL_CSUM_V1;
}

/* One after the other; each "jw" is a transaction. */
static void write_log(struct host *h)
{
	bool revoke = can_revoke(h->shape);
	g_autofree char *first = list(h, 0, 80), *second = list(h, 40, 110);
	g_autofree char *revoked = list(h, 60, 75), *again = list(h, 65, 68);
	g_autofree char *late = list(h, 3, 5), *never = list(h, 0, 9);

	hostimg_edit(h->img,
		     "%s\njw -b %s %s\njw -b %s %s\n%s%s\njw -b %s %s\njc\n",
		     h->shape->open, first, h->content, second, h->content,
		     revoke ? "jw -r " : "", revoke ? revoked : "", again,
		     h->content);
	hostimg_edit(h->img, "jo\njw -b %s %s\njw -c -b %s %s\njc\n", late,
		     h->content, never, h->content);
}

static struct host make(const struct shape *shape)
{
	const struct hostimg_spec spec = { .mkfs = shape->mkfs, .size = SIZE };
	struct host h = { .img = hostimg_make(&spec), .shape = shape };

	find_targets(&h);
	make_content(&h);
	write_log(&h);
	return h;
}

static void clear(struct host *h)
{
	hostimg_free(h->img);
	g_free(h->content);
}

/* The journal of the image, on @dev. @ret_super: the byte of its superblock. */
static struct journal *open_journal(struct host *h, struct blkdev *dev,
				    uint64_t *ret_super)
{
	g_autoptr(GArray) extents = hostimg_extents(h->img, "<8>");
	g_autoptr(GArray)
		runs = g_array_new(false, false, sizeof(struct journal_run));
	unsigned bits = (unsigned)__builtin_ctzl(h->shape->bs);
	GError *error = NULL;
	struct journal *j;

	for (guint i = 0; i < extents->len; i++) {
		const struct extent *e =
			&g_array_index(extents, struct extent, i);
		struct journal_run run = { e->phys, e->len };

		if (!i)
			*ret_super = e->phys.v * h->shape->bs;
		g_array_append_val(runs, run);
	}
	j = journal_open(dev, (void *)runs->data, runs->len, bits, "image",
			 &error);
	ck_assert_msg(j != NULL, "%s", error ? error->message : "");
	return j;
}

static struct blkdev *load(struct host *h)
{
	size_t len;
	g_autofree uint8_t *bytes = hostimg_bytes(h->img, &len);
	struct blkdev *dev = memdev_new(len, 512);

	memcpy(memdev_bytes(dev), bytes, len);
	return dev;
}

static void check_report(const struct shape *shape, struct journal *j,
			 const struct replay_report *report)
{
	ck_assert_int_eq(journal_info(j)->csum, shape->csum);
	ck_assert(journal_info(j)->is_64bit == shape->is_64bit);
	if (!can_revoke(shape)) {
		ck_assert_uint_eq(report->transactions, 4);
		ck_assert_uint_eq(report->blocks, 110);
		return;
	}
	ck_assert_uint_eq(report->transactions, 5);
	ck_assert_uint_eq(report->revokes, 15);
	/* 15 of the first, 15 of the second; 3 of them come again. */
	ck_assert_uint_eq(report->revoked, 30);
	ck_assert_uint_eq(report->blocks, 110 - 15 + 3);
}

static void check_same(const uint8_t *ours, const uint8_t *theirs,
		       uint64_t journal_super)
{
	for (uint64_t at = 0; at < SIZE; at += 1024)
		if (at != 1024 && at != journal_super)
			ck_assert_msg(!memcmp(ours + at, theirs + at, 1024),
				      "the KiB at %" G_GUINT64_FORMAT
				      " differs",
				      at);
}

/* What applying the log leaves, the journal closed; both superblocks aside. */
static struct blkdev *recover(struct host *h, uint64_t *ret_super)
{
	struct blkdev *dev = load(h);
	struct journal *j = open_journal(h, dev, ret_super);
	GError *error = NULL;
	struct replay *r =
		replay_scan(j, SIZE / h->shape->bs, NULL, NULL, &error);
	struct journal_change done = { 0 };

	ck_assert_msg(r != NULL, "%s", error ? error->message : "");
	check_report(h->shape, j, replay_report(r));
	ck_assert_int_eq(replay_apply(r, dev, NULL, NULL), 0);
	done.sequence = replay_report(r)->next_sequence;
	ck_assert_int_eq(journal_update(j, &done), 0);
	replay_free(r);
	journal_close(j);
	return dev;
}

START_TEST(apply_leaves_what_debugfs_leaves)
{
	struct host h = make(&shapes[_i]);
	uint64_t journal_super;
	g_autoptr(blkdev) ours = recover(&h, &journal_super);
	g_autofree uint8_t *theirs = NULL;
	size_t len;

	hostimg_edit(h.img, "jr\n");
	theirs = hostimg_bytes(h.img, &len);
	ck_assert_uint_eq(len, SIZE);
	check_same(memdev_bytes(ours), theirs, journal_super);
	clear(&h);
}
END_TEST

START_TEST(apply_leaves_what_e2fsck_leaves)
{
	struct host h = make(&shapes[_i]);
	uint64_t journal_super;
	g_autoptr(blkdev) ours = recover(&h, &journal_super);
	g_autofree uint8_t *theirs = NULL;
	g_autofree char *said = NULL;
	size_t len;

	ck_assert_int_le(hostimg_preen(h.img, &said), 1);
	ck_assert_msg(strstr(said, "recovering journal") != NULL, "%s", said);
	theirs = hostimg_bytes(h.img, &len);
	ck_assert_uint_eq(len, SIZE);
	check_same(memdev_bytes(ours), theirs, journal_super);
	clear(&h);
}
END_TEST

/* What is left when recovery is over must be a journal to others, too. */
START_TEST(closed_journal_is_clean_to_e2fsck)
{
	struct host h = make(&shapes[_i]);
	uint64_t journal_super;
	g_autoptr(blkdev) ours = recover(&h, &journal_super);
	g_autofree char *said = NULL;
	int status;

	/* needs_recovery is another layer's business: debugfs takes it. */
	hostimg_store(h.img, memdev_bytes(ours), SIZE);
	hostimg_edit(h.img, "feature -needs_recovery\n");
	status = hostimg_fsck(h.img, &said);
	ck_assert_msg(status == 0, "%s", said);
	clear(&h);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("replay of foreign logs");
	TCase *tc = tcase_create("replay of foreign logs");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, apply_leaves_what_debugfs_leaves, 0, N_SHAPES);
	tcase_add_loop_test(tc, apply_leaves_what_e2fsck_leaves, 0, N_SHAPES);
	tcase_add_loop_test(tc, closed_journal_is_clean_to_e2fsck, 0, N_SHAPES);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
