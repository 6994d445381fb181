/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deleted files, by the number of their inode. debugfs deletes as the ext2 of
 * the kernel does: the inode stays as it was but for its links and a time.
 */
#include "reach_bed.h"

#include <rawmap/inspect/mapreport.h>
#include <rawmap/map/extent.h>

#include <time.h>

#define SEED 3
#define INO  "<12>" /* the first file of a host */

static const struct hostfs_options deleted = { .deleted = true };

static const char *const kinds[] = {
	"-t ext2 -b 1024",
	"-t ext3 -b 4096",
	"-t ext4 -b 1024",
	"-t ext4 -b 1024 -O ^metadata_csum,uninit_bg",
};
#define EXT2 0
#define EXT4 2

static struct hostimg *make(const char *mkfs)
{
	const struct hostimg_spec spec = { .mkfs = mkfs, .size = 24 << 20 };

	return hostimg_make(&spec);
}

/* A host with the file /f that is in 500 pieces, and its bytes. */
static struct hostimg *make_comb(const char *mkfs, uint8_t **ret_bytes,
				 size_t *ret_len)
{
	struct hostimg *host = make(mkfs);

	hostimg_put_comb(host, "f", SEED, 4096, 500);
	*ret_bytes = hostimg_cat(host, "/f", ret_len);
	return host;
}

static uint64_t count(const GArray *extents)
{
	uint64_t n = 0;

	for (guint i = 0; i < extents->len; i++)
		n += g_array_index(extents, struct extent, i).len;
	return n;
}

/* Blocks of @a that are in @b too. */
static uint64_t count_common(const GArray *a, const GArray *b)
{
	uint64_t n = 0;

	for (guint i = 0; i < a->len; i++) {
		const struct extent *x = &g_array_index(a, struct extent, i);

		for (guint k = 0; k < b->len; k++) {
			const struct extent *y =
				&g_array_index(b, struct extent, k);
			uint64_t low = MAX(x->phys.v, y->phys.v);
			uint64_t high =
				MIN(x->phys.v + x->len, y->phys.v + y->len);

			n += low < high ? high - low : 0;
		}
	}
	return n;
}

START_TEST(a_deleted_file_is_read_by_its_number)
{
	struct hostfile_remains left;
	struct hostfile_attr attr;
	g_autofree uint8_t *want = NULL;
	g_autoptr(GArray) extents = NULL;
	struct hostimg *host;
	time_t before = time(NULL);
	struct reach r;
	size_t len;

	host = make_comb(kinds[_i], &want, &len);
	extents = hostimg_extents(host, "/f");
	hostimg_edit(host, "rm f\n");
	reach_open(&r, host, deleted);
	reach_image(&r, INO);
	reach_holds(&r, want, len);
	image_attr(r.img, &attr);
	ck_assert(attr.deleted);
	ck_assert_uint_eq(attr.links, 0);
	ck_assert_int_ge(attr.dtime.tv_sec, before);
	ck_assert_int_le(attr.dtime.tv_sec, time(NULL));
	ck_assert_int_eq(hostfile_remains(image_file(r.img), &left), 0);
	ck_assert_uint_eq(left.blocks, count(extents));
	ck_assert_uint_eq(left.in_use, 0);
	ck_assert(!left.orphan);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(nobody_gets_one_who_did_not_ask)
{
	struct hostimg *host = make(kinds[EXT4]);
	const struct hostimg_piece piece = { 0, 5000 };
	struct hostfile_attr attr;
	struct reach r;

	hostimg_put(host, "f", SEED, 5000, &piece, 1);
	hostimg_put(host, "g", SEED, 5000, &piece, 1);
	hostimg_edit(host, "rm f\n");
	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_refused(&r, INO, RAWMAP_ERROR_NOT_FOUND, "ro,deleted");
	reach_close(&r);
	reach_open(&r, host, deleted);
	/* Names lead where they always did. */
	reach_refused(&r, "/f", RAWMAP_ERROR_NOT_FOUND, "there is no 'f'");
	reach_agrees(&r, host, "/g");
	reach_image(&r, "/g");
	image_attr(r.img, &attr);
	ck_assert(!attr.deleted && !attr.dtime.tv_sec);
	/* An inode that never was anything is not deleted. */
	reach_refused(&r, "<20>", RAWMAP_ERROR_NOT_FOUND, "not in use");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(a_name_without_a_file_is_damage)
{
	struct hostimg *host = make(kinds[EXT4]);
	const struct hostimg_piece piece = { 0, 5000 };
	struct reach r;

	hostimg_put(host, "f", SEED, 5000, &piece, 1);
	hostimg_edit(host, "sif f links_count 0\n");
	reach_open(&r, host, deleted);
	reach_refused(&r, "/f", RAWMAP_ERROR_NOT_FOUND, "not in use");
	reach_image(&r, INO);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(blocks_that_others_have_by_now_are_counted)
{
	/* Less than would take a block of the map as well. */
	const struct hostimg_piece piece = { 0, 8192 };
	struct hostfile_remains left;
	g_autofree uint8_t *want = NULL;
	g_autoptr(GArray) old = NULL, new = NULL;
	struct hostimg *host;
	struct reach r;
	size_t len;

	host = make_comb(kinds[_i], &want, &len);
	old = hostimg_extents(host, "/f");
	hostimg_edit(host, "rm f\n");
	/* Not its inode: that is the next one's. */
	hostimg_edit(host, "seti <12>\n");
	hostimg_put(host, "g", SEED + 1, 8192, &piece, 1);
	hostimg_edit(host, "freei <12>\n");
	new = hostimg_extents(host, "/g");
	ck_assert_uint_gt(count_common(old, new), 0);
	reach_open(&r, host, deleted);
	reach_image(&r, INO);
	ck_assert_int_eq(hostfile_remains(image_file(r.img), &left), 0);
	ck_assert_uint_eq(left.blocks, count(old));
	ck_assert_uint_eq(left.in_use, count_common(old, new));
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(clusters_are_counted_in_blocks)
{
	const struct hostimg_piece piece = { 0, 100000 };
	struct hostimg *host = make("-t ext4 -b 1024 -O bigalloc -C 16384");
	struct hostfile_remains left;
	g_autoptr(GArray) extents = NULL;
	struct reach r;

	hostimg_put(host, "f", SEED, 100000, &piece, 1);
	extents = hostimg_extents(host, "/f");
	hostimg_edit(host, "unlink f\nsif <12> links_count 0\n");
	reach_open(&r, host, deleted);
	reach_image(&r, INO);
	ck_assert_int_eq(hostfile_remains(image_file(r.img), &left), 0);
	ck_assert_uint_eq(left.blocks, count(extents));
	ck_assert_uint_eq(left.in_use, count(extents));
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* Open while it was deleted, and still when the host was left. */
START_TEST(an_orphan_still_has_its_blocks)
{
	struct hostfile_remains left;
	struct hostfile_attr attr;
	g_autofree uint8_t *want = NULL;
	struct hostimg *host;
	struct reach r;
	size_t len;

	host = make_comb(kinds[_i], &want, &len);
	/* Where the list of them goes on stands in place of the time. */
	hostimg_edit(host, "unlink f\nsif <12> links_count 0\n"
			   "sif <12> dtime @13\n");
	reach_open(&r, host, deleted);
	reach_image(&r, INO);
	reach_holds(&r, want, len);
	image_attr(r.img, &attr);
	ck_assert(attr.deleted);
	ck_assert_int_eq(attr.dtime.tv_sec, 0);
	ck_assert_int_eq(hostfile_remains(image_file(r.img), &left), 0);
	ck_assert_uint_eq(left.in_use, left.blocks);
	ck_assert(left.orphan);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

#define NO_POINTERS                                                       \
	"sif <12> block[0] 0\nsif <12> block[1] 0\nsif <12> block[2] 0\n" \
	"sif <12> block[3] 0\nsif <12> block[4] 0\nsif <12> block[5] 0\n" \
	"sif <12> block[6] 0\nsif <12> block[7] 0\nsif <12> block[8] 0\n" \
	"sif <12> block[9] 0\nsif <12> block[10] 0\n"                     \
	"sif <12> block[11] 0\nsif <12> block[IND] 0\n"                   \
	"sif <12> block[DIND] 0\nsif <12> block[TIND] 0\n"

/* As ext3 and ext4 leave a deleted file. */
static const struct {
	int kind;
	const char *edit;
} gone[] = {
	{ EXT2, NO_POINTERS },
	{ EXT2, NO_POINTERS "sif <12> size 0\n" },
	/* A block of pointers, and none in it. */
	{ EXT2, NO_POINTERS "sif <12> block[IND] 8000\nsif <12> size 0\n" },
	/* The magic, and no entry. */
	{ EXT4, "sif <12> block[0] 0xf30a\nsif <12> size 0\n" },
	{ EXT4, "sif <12> block[0] 0xf30a\n" },
	{ EXT4, NO_POINTERS },
};

START_TEST(a_map_that_is_gone_gets_a_sentence)
{
	struct hostimg *host = make(kinds[gone[_i].kind]);
	const struct hostimg_piece piece = { 0, 5000 };
	struct reach r;

	hostimg_put(host, "f", SEED, 5000, &piece, 1);
	hostimg_edit(host, "rm f\n%s", gone[_i].edit);
	reach_open(&r, host, deleted);
	reach_refused(&r, INO, RAWMAP_ERROR_NOT_FOUND, "its map with it");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(a_size_that_is_gone_takes_a_map_that_can_be_read)
{
	struct hostimg *host = make(kinds[EXT2]);
	const struct hostimg_piece piece = { 0, 5000 };
	struct reach r;

	hostimg_put(host, "f", SEED, 5000, &piece, 1);
	hostimg_edit(host, "rm f\nsif <12> size 0\n"
			   "sif <12> block[IND] 99999999\n");
	reach_open(&r, host, deleted);
	reach_refused(&r, INO, RAWMAP_ERROR_CORRUPT,
		      "its size is gone, and what is left");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* A deletion that was cut off: the size goes first, the map from its end on. */
START_TEST(a_size_that_is_gone_is_that_of_the_map)
{
	const uint64_t bs = _i == 1 ? 4096 : 1024;
	g_autofree uint8_t *want = NULL;
	g_autoptr(GArray) extents = NULL;
	struct hostimg *host;
	const struct extent *last;
	struct reach r;
	size_t len;

	host = make_comb(kinds[_i], &want, &len);
	extents = hostimg_extents(host, "/f");
	last = &g_array_index(extents, struct extent, extents->len - 1);
	hostimg_edit(host, "rm f\nsif <12> size 0\n");
	reach_open(&r, host, deleted);
	reach_image(&r, INO);
	ck_assert_uint_lt(extent_end(last) * bs, len);
	reach_holds(&r, want, extent_end(last) * bs);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* What others wrote into the blocks of the map. */
static const uint8_t garbage[] = { 0xa5, 0xff };

START_TEST(an_overwritten_map_is_an_error)
{
	const uint64_t bs = _i == 1 ? 4096 : 1024;
	g_autoptr(GArray) tree = NULL;
	g_autofree uint8_t *want = NULL;
	g_autofree uint8_t *got = NULL;
	struct hostimg *host;
	size_t len, failed = 0;

	host = make_comb(kinds[_i], &want, &len);
	got = g_malloc(len);
	tree = hostimg_tree_blocks(host, "/f");
	ck_assert_uint_gt(tree->len, 0);
	hostimg_edit(host, "rm f\n");
	for (unsigned i = 0; i < G_N_ELEMENTS(garbage); i++) {
		struct hostfile_remains left;
		struct reach r;

		for (guint k = 0; k < tree->len; k++)
			host_fill(host, garbage[i], bs,
				  g_array_index(tree, struct extent, k).phys.v *
					  bs);
		reach_open(&r, host, deleted);
		reach_image(&r, INO);
		for (size_t at = 0; at < len; at += bs) {
			ssize_t n = image_pread(r.img, got, bs, img_off_at(at));

			if (n == -EUCLEAN)
				failed++;
			else
				ck_assert_int_gt(n, 0);
		}
		ck_assert_int_eq(hostfile_remains(image_file(r.img), &left),
				 -EUCLEAN);
		reach_close(&r);
	}
	ck_assert_uint_gt(failed, 0);
	hostimg_free(host);
}
END_TEST

START_TEST(dfxml_says_that_it_is_not_allocated)
{
	const struct hostimg_piece piece = { 0, 5000 };
	struct hostimg *host = make(kinds[EXT4]);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct mapreport what = {
		.format = MAPREPORT_DFXML,
		.out = out,
		.source = "source",
	};
	struct reach r;

	hostimg_put(host, "f", SEED, 5000, &piece, 1);
	hostimg_edit(host, "rm f\n");
	reach_open(&r, host, deleted);
	reach_image(&r, INO);
	what.hf = image_file(r.img);
	ck_assert(mapreport_print(&what, NULL));
	fclose(out);
	ck_assert_msg(strstr(text, "<alloc>0</alloc>") != NULL, "%s", text);
	free(text);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/reach_deleted");
	TCase *tc = tcase_create("reach_deleted");
	SRunner *runner;
	int failed, n = G_N_ELEMENTS(kinds);

	tcase_add_loop_test(tc, a_deleted_file_is_read_by_its_number, 0, n);
	tcase_add_test(tc, nobody_gets_one_who_did_not_ask);
	tcase_add_test(tc, a_name_without_a_file_is_damage);
	tcase_add_loop_test(tc, blocks_that_others_have_by_now_are_counted, 0,
			    n);
	tcase_add_test(tc, clusters_are_counted_in_blocks);
	tcase_add_loop_test(tc, an_orphan_still_has_its_blocks, 0, n);
	tcase_add_loop_test(tc, a_map_that_is_gone_gets_a_sentence, 0,
			    G_N_ELEMENTS(gone));
	tcase_add_test(tc, a_size_that_is_gone_takes_a_map_that_can_be_read);
	tcase_add_loop_test(tc, a_size_that_is_gone_is_that_of_the_map, 0, n);
	tcase_add_loop_test(tc, an_overwritten_map_is_an_error, 0, n);
	tcase_add_test(tc, dfxml_says_that_it_is_not_allocated);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
