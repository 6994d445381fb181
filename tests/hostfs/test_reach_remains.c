/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the bitmaps say of a deleted file: which of them are asked, and which
 * are not to be believed.
 */
#include "reach_bed.h"

#include <rawmap/map/extent.h>

#define SEED 7
#define INO  "<12>" /* the first file of a host */

/* Groups of 8192 blocks, the third of them with nothing but data. */
#define THIRD 16385

static const struct hostfs_options deleted = { .deleted = true };

static struct hostimg *make(uint64_t len)
{
	const struct hostimg_spec spec = {
		.mkfs = "-t ext4 -b 1024 -O ^has_journal,^resize_inode",
		.size = 24 << 20,
	};
	const struct hostimg_piece piece = { 0, len };
	struct hostimg *host = hostimg_make(&spec);

	hostimg_put(host, "f", SEED, len, &piece, 1);
	return host;
}

static bool has_block(struct hostimg *host, uint64_t block)
{
	g_autoptr(GArray) extents = hostimg_extents(host, "/f");

	for (guint i = 0; i < extents->len; i++) {
		const struct extent *e =
			&g_array_index(extents, struct extent, i);

		if (block >= e->phys.v && block - e->phys.v < e->len)
			return true;
	}
	return false;
}

static int remains(struct hostimg *host, struct hostfile_remains *ret)
{
	struct reach r;
	int err;

	reach_open(&r, host, deleted);
	reach_image(&r, INO);
	err = hostfile_remains(image_file(r.img), ret);
	reach_close(&r);
	return err;
}

/* In use again by now: the first block, and how many. */
static const struct {
	uint64_t block;
	unsigned n;
} used[] = {
	{ THIRD - 1, 1 },
	{ THIRD, 1 },
	{ THIRD - 3, 7 },
	{ 9000, 500 },
};

START_TEST(the_bitmap_of_each_group_is_asked)
{
	struct hostimg *host = make(17 << 20);
	struct hostfile_remains left;

	for (unsigned i = 0; i < G_N_ELEMENTS(used); i++)
		ck_assert(has_block(host, used[i].block) &&
			  has_block(host, used[i].block + used[i].n - 1));
	hostimg_edit(host, "rm f\n");
	for (unsigned i = 0; i < G_N_ELEMENTS(used); i++) {
		unsigned long block = used[i].block;

		hostimg_edit(host, "setb %lu %u\n", block, used[i].n);
		ck_assert_int_eq(remains(host, &left), 0);
		ck_assert_uint_eq(left.blocks, 17 << 10);
		ck_assert_uint_eq(left.in_use, used[i].n);
		hostimg_edit(host, "freeb %lu %u\n", block, used[i].n);
	}
	hostimg_free(host);
}
END_TEST

/* ---- the bitmaps of the first group ---- */

static const struct {
	const char *name;
	unsigned uninit; /* the flag: never written, nothing is in use */
} bitmaps[] = {
	{ "block bitmap at ", 2 },
	{ "inode bitmap at ", 1 },
};

static void spoil(struct hostimg *host, unsigned which, int byte)
{
	g_autofree char *stats = hostimg_ask(host, "stats");
	const char *at = strstr(stats, bitmaps[which].name);

	ck_assert_msg(at != NULL, "%s", stats);
	at += strlen(bitmaps[which].name);
	host_fill(host, byte, 1024, g_ascii_strtoull(at, NULL, 10) * 1024);
}

/* @_i: which bitmap */
START_TEST(a_bitmap_that_was_never_written_says_nothing)
{
	struct hostimg *host = make(5000);
	struct hostfile_remains left;

	hostimg_edit(host, "rm f\nset_bg 0 flags %u\nset_bg 0 checksum calc\n",
		     bitmaps[_i].uninit);
	spoil(host, (unsigned)_i, 0xff);
	ck_assert_int_eq(remains(host, &left), 0);
	ck_assert_uint_eq(left.blocks, 5);
	ck_assert_uint_eq(left.in_use, 0);
	ck_assert(!left.orphan);
	hostimg_free(host);
}
END_TEST

/* @_i: which bitmap */
START_TEST(a_damaged_bitmap_is_an_error)
{
	struct hostimg *host = make(5000);
	struct hostfile_remains left = { .blocks = 4711 };

	hostimg_edit(host, "rm f\n");
	spoil(host, (unsigned)_i, 0xa5);
	ck_assert_int_eq(remains(host, &left), -EUCLEAN);
	ck_assert_uint_eq(left.blocks, 4711);
	hostimg_free(host);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/reach_remains");
	TCase *tc = tcase_create("reach_remains");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, the_bitmap_of_each_group_is_asked);
	tcase_add_loop_test(tc, a_bitmap_that_was_never_written_says_nothing, 0,
			    G_N_ELEMENTS(bitmaps));
	tcase_add_loop_test(tc, a_damaged_bitmap_is_an_error, 0,
			    G_N_ELEMENTS(bitmaps));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
