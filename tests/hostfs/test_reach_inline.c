/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images that are in their inode (inline data), of every size they can have. */
#include "reach_bed.h"

#include <rawmap/inspect/mapreport.h>

#define SEED 5
#define HOST "-t ext4 -b 4096 -O inline_data -I "

/* An inode of N bytes has room for N - 128. */
static const struct {
	const char *mkfs;
	size_t size;
	bool inside;
} files[] = {
	{ HOST "256", 0, true },	   { HOST "256", 1, true },
	{ HOST "256", 59, true },	   { HOST "256", 60, true },
	{ HOST "256", 61, true },	   { HOST "256", 128, true },
	{ HOST "256", 129, false },	   { HOST "512", 150, true },
	{ HOST "512", 384, true },	   { HOST "1024", 896, true },
	{ HOST "4096 -N 64", 3968, true }, { HOST "4096 -N 64", 3969, false },
};

static struct hostimg *make(const char *mkfs, size_t size)
{
	const struct hostimg_spec spec = { .mkfs = mkfs };
	const struct hostimg_piece piece = { 0, size };
	struct hostimg *host = hostimg_make(&spec);

	hostimg_put(host, "f", SEED, size, &piece, size != 0);
	return host;
}

static bool is_inside(struct hostimg *host)
{
	g_autofree char *stat = hostimg_ask(host, "stat /f");

	return strstr(stat, "Flags: 0x10000000") != NULL;
}

/* debugfs reads no less than 60 bytes. */
START_TEST(the_content_is_what_was_written)
{
	struct hostimg *host = make(files[_i].mkfs, files[_i].size);
	uint8_t want[4096];
	struct hostfile_attr attr;
	struct reach r;

	ck_assert_int_eq(is_inside(host), files[_i].inside);
	for (size_t i = 0; i < files[_i].size; i++)
		want[i] = hostimg_pattern(SEED, i);
	reach_open(&r, host, (struct hostfs_options){ 0 });
	if (files[_i].size >= 60)
		reach_agrees(&r, host, "<12>");
	reach_image(&r, "/f");
	reach_holds(&r, want, files[_i].size);
	image_attr(r.img, &attr);
	ck_assert_int_eq(attr.inline_data, files[_i].inside);
	ck_assert_uint_eq(attr.size, files[_i].size);
	/* A file of no blocks is taken for one of no data. */
	ck_assert_int_eq(attr.blocks != 0, files[_i].size != 0);
	ck_assert_ptr_null(hostfile_check(image_file(r.img)));
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* Longer than what is in the inode: 61 bytes, 5000 in all. */
static void make_longer(struct hostimg **ret_host, struct reach *r)
{
	*ret_host = make(HOST "256", 61);
	hostimg_edit(*ret_host, "sif f size 5000\n");
	ck_assert(is_inside(*ret_host));
	reach_open(r, *ret_host, (struct hostfs_options){ 0 });
	reach_image(r, "/f");
}

START_TEST(behind_the_bytes_are_zeros)
{
	uint8_t want[5000] = { 0 };
	struct hostimg *host;
	struct reach r;

	make_longer(&host, &r);
	for (unsigned i = 0; i < 61; i++)
		want[i] = hostimg_pattern(SEED, i);
	reach_holds(&r, want, sizeof(want));
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(an_io_is_bytes_and_zeros)
{
	struct hostimg *host;
	struct image_io io;
	struct reach r;

	make_longer(&host, &r);
	ck_assert_int_eq(image_begin(r.img, IMAGE_READ, img_off_at(60), 9000,
				     IMAGE_NOWAIT, &io),
			 0);
	ck_assert_uint_eq(io.len, 4940);
	ck_assert_uint_eq(io.nseg, 2);
	ck_assert_int_eq(io.seg[0].kind, IMAGE_SEG_BYTES);
	ck_assert_uint_eq(io.seg[0].len, 1);
	ck_assert_uint_eq(io.seg[0].bytes[0], hostimg_pattern(SEED, 60));
	ck_assert_int_eq(io.seg[1].kind, IMAGE_SEG_ZERO);
	ck_assert_uint_eq(io.seg[1].len, 4939);
	ck_assert_int_eq(image_end(r.img, &io, 0), 0);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(bytes_are_data_and_the_rest_is_a_hole)
{
	struct hostimg *host;
	struct reach r;
	img_off at;

	make_longer(&host, &r);
	ck_assert_int_eq(image_seek_data(r.img, img_off_at(60), &at), 0);
	ck_assert_uint_eq(at.v, 60);
	ck_assert_int_eq(image_seek_data(r.img, img_off_at(61), &at), -ENXIO);
	ck_assert_int_eq(image_seek_hole(r.img, img_off_at(0), &at), 0);
	ck_assert_uint_eq(at.v, 61);
	ck_assert_int_eq(image_seek_hole(r.img, img_off_at(4999), &at), 0);
	ck_assert_uint_eq(at.v, 4999);
	ck_assert_int_eq(image_seek_hole(r.img, img_off_at(5000), &at), -ENXIO);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

static char *report(struct reach *r, enum mapreport_format format)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	const struct mapreport what = {
		.hf = image_file(r->img),
		.format = format,
		.out = out,
		.source = "source",
	};

	ck_assert(mapreport_print(&what, NULL));
	fclose(out);
	return text;
}

START_TEST(a_report_says_inline_and_no_place)
{
	struct hostimg *host;
	struct reach r;
	char *text;

	make_longer(&host, &r);
	text = report(&r, MAPREPORT_JSON);
	ck_assert_str_eq(
		text,
		"[\n{ \"start\": 0, \"length\": 61, \"state\": \"inline\" },\n"
		"{ \"start\": 61, \"length\": 4939, \"state\": \"hole\" }\n]\n");
	free(text);
	text = report(&r, MAPREPORT_TABLE);
	ck_assert_msg(strstr(text, "   0:        0..       0:          -"
				   "..         -:          1: inline,last\n"),
		      "%s", text);
	ck_assert_msg(strstr(text, "/f: 1 extent\n") != NULL, "%s", text);
	free(text);
	text = report(&r, MAPREPORT_DFXML);
	ck_assert_msg(strstr(text, "<byte_run file_offset=\"0\" len=\"61\" "
				   "type=\"resident\"/>") &&
			      strstr(text, "<byte_run file_offset=\"61\" "
					   "len=\"4939\" fill=\"0\"/>"),
		      "%s", text);
	free(text);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(a_report_of_an_empty_file_is_empty)
{
	struct hostimg *host = make(HOST "256", 0);
	struct reach r;
	char *text;

	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_image(&r, "/f");
	text = report(&r, MAPREPORT_JSON);
	ck_assert_str_eq(text, "[]\n");
	free(text);
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(a_file_without_its_attribute_is_damaged)
{
	struct hostimg *host = make(HOST "256", 61);
	struct reach r;

	hostimg_edit(host, "ea_rm /f system.data\n");
	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_refused(&r, "/f", RAWMAP_ERROR_CORRUPT, "lacks a part");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* Where the inode lies, in bytes. */
static uint64_t place_of(struct hostimg *host, const char *file)
{
	g_autofree char *said = hostimg_ask(host, "imap %s", file);
	const char *block = strstr(said, "block ");
	const char *offset = strstr(said, "offset ");

	ck_assert_msg(block && offset, "%s", said);
	block = strstr(block + 1, "located at block ");
	ck_assert_ptr_nonnull(block);
	return strtoull(block + 17, NULL, 10) * 4096 +
	       strtoull(offset + 7, NULL, 16);
}

/* Every byte of the attributes, bent: a sentence or some bytes, nothing else. */
START_TEST(bent_attributes_do_no_harm)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	struct hostimg *host = make(
		"-t ext4 -b 4096 -O inline_data,^metadata_csum -I 512", 150);
	const uint64_t place = place_of(host, "/f") + 128;
	unsigned read = 0, refused = 0;
	uint8_t was[128];

	host_read(host, was, sizeof(was), place);
	for (unsigned i = 0; i < 64 * G_N_ELEMENTS(values); i++) {
		unsigned at = i % 64;
		struct hostfile *hf;
		struct reach r;

		host_write(host, &values[i / 64], 1, place + at);
		reach_open(&r, host, (struct hostfs_options){ 0 });
		hf = hostfile_open(r.fs, "/f", 0, NULL);
		if (hf) {
			uint8_t buf[200];

			r.img = image_new(hf, false);
			ck_assert_int_eq(image_pread(r.img, buf, sizeof(buf),
						     img_off_at(0)),
					 150);
			read++;
		} else {
			refused++;
		}
		reach_close(&r);
		host_write(host, &was[at], 1, place + at);
	}
	ck_assert_uint_gt(read, 0);
	ck_assert_uint_gt(refused, 0);
	hostimg_free(host);
}
END_TEST

/* As the kernel and libext2fs have them: fields behind i_extra_isize. */
#define ATTRIBUTES (128 + 32 + 4)

/* What another inode holds is not this one's content. */
START_TEST(a_value_in_another_inode_is_damage)
{
	static const uint8_t ino[4] = { 11 };
	struct hostimg *host = make(
		"-t ext4 -b 4096 -O inline_data,^metadata_csum -I 512", 150);
	struct reach r;

	host_write(host, ino, 4, place_of(host, "/f") + ATTRIBUTES + 4);
	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_refused(&r, "/f", RAWMAP_ERROR_CORRUPT, "lacks a part");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* The last entry ends with the inode, and its name would be behind that. */
START_TEST(a_name_behind_the_inode_is_damage)
{
	uint8_t list[256 - ATTRIBUTES] = { 60, 7 };
	struct hostimg *host = make(
		"-t ext4 -b 4096 -O inline_data,^metadata_csum -I 256", 61);
	struct reach r;

	list[sizeof(list) - 16] = 4;
	list[sizeof(list) - 15] = 7;
	host_write(host, list, sizeof(list), place_of(host, "/f") + ATTRIBUTES);
	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_refused(&r, "/f", RAWMAP_ERROR_CORRUPT, "lacks a part");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

#define PLAIN_HOST "-t ext4 -b 4096 -O inline_data,^metadata_csum -I 256"

/* An entry, its name, and where its one byte of value is. */
static void put_attribute(uint8_t *at, uint8_t index, const char *name,
			  uint8_t offset)
{
	at[0] = (uint8_t)strlen(name);
	at[1] = index;
	at[2] = offset;
	at[8] = 1;
	memcpy(at + 16, name, strlen(name));
}

/* Names of any length, and of others that have the same. */
START_TEST(other_attributes_are_passed_by)
{
	uint8_t list[256 - ATTRIBUTES] = { 0 }, byte = 0;
	struct hostimg *host = make(PLAIN_HOST, 61);
	struct reach r;

	put_attribute(list, 1, "x", 80);
	put_attribute(list + 20, 1, "data", 80);
	put_attribute(list + 40, 7, "data", 84);
	list[80] = 'n';
	list[84] = 'y';
	host_write(host, list, sizeof(list), place_of(host, "/f") + ATTRIBUTES);
	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_image(&r, "/f");
	ck_assert_int_eq(image_pread(r.img, &byte, 1, img_off_at(60)), 1);
	ck_assert_uint_eq(byte, 'y');
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* Bytes of the inode that say that there are no attributes. */
static const struct {
	unsigned at;
	uint8_t byte;
} without[] = {
	{ ATTRIBUTES - 4, 1 }, /* the magic */
	{ 128, 128 },	       /* i_extra_isize: fields to the end */
};

/* @_i: of without */
START_TEST(what_is_no_list_of_attributes_is_not_read)
{
	struct hostimg *host = make(PLAIN_HOST, 61);
	struct reach r;

	host_write(host, &without[_i].byte, 1,
		   place_of(host, "/f") + without[_i].at);
	reach_open(&r, host, (struct hostfs_options){ 0 });
	reach_refused(&r, "/f", RAWMAP_ERROR_CORRUPT, "lacks a part");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

/* What the kernel leaves of one: no size, and no map to be taken apart. */
START_TEST(a_deleted_one_is_read_with_all_that_is_there)
{
	const struct hostfs_options opt = { .deleted = true };
	struct hostimg *host = make(HOST "512", 150);
	uint8_t got[200];
	struct reach r;

	hostimg_edit(host, "unlink f\nsif <12> links_count 0\n"
			   "sif <12> size 0\nsif <12> dtime @0x60000000\n");
	reach_open(&r, host, opt);
	reach_image(&r, "<12>");
	ck_assert_uint_ge(image_size(r.img), 150);
	ck_assert_int_ge(image_pread(r.img, got, 150, img_off_at(0)), 150);
	for (unsigned i = 0; i < 150; i++)
		ck_assert_uint_eq(got[i], hostimg_pattern(SEED, i));
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(a_deleted_one_without_a_byte_is_gone)
{
	const struct hostfs_options opt = { .deleted = true };
	struct hostimg *host = make(HOST "256", 0);
	struct reach r;

	hostimg_edit(host, "unlink f\nsif <12> links_count 0\n");
	reach_open(&r, host, opt);
	reach_refused(&r, "<12>", RAWMAP_ERROR_NOT_FOUND, "nothing is left");
	reach_close(&r);
	hostimg_free(host);
}
END_TEST

START_TEST(it_is_not_for_writing)
{
	const struct hostfs_options opt = { 0 };
	struct hostimg *host = make(HOST "256", 61);
	g_autoptr(blkdev) dev = hostimg_dev(host, false);
	struct hostfs *fs = hostfs_open(dev, &opt, NULL);
	g_autoptr(GError) error = NULL;

	ck_assert_ptr_nonnull(fs);
	ck_assert_ptr_null(hostfile_open(fs, "/f", 0, &error));
	ck_assert_int_eq(error->code, RAWMAP_ERROR_READONLY);
	ck_assert_ptr_nonnull(strstr(error->message, "(-r)"));
	hostfs_abandon(fs);
	hostimg_free(host);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostfs/reach_inline");
	TCase *tc = tcase_create("reach_inline");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, the_content_is_what_was_written, 0,
			    G_N_ELEMENTS(files));
	tcase_add_test(tc, behind_the_bytes_are_zeros);
	tcase_add_test(tc, an_io_is_bytes_and_zeros);
	tcase_add_test(tc, bytes_are_data_and_the_rest_is_a_hole);
	tcase_add_test(tc, a_report_says_inline_and_no_place);
	tcase_add_test(tc, a_report_of_an_empty_file_is_empty);
	tcase_add_test(tc, a_file_without_its_attribute_is_damaged);
	tcase_add_test(tc, bent_attributes_do_no_harm);
	tcase_add_test(tc, a_value_in_another_inode_is_damage);
	tcase_add_test(tc, a_name_behind_the_inode_is_damage);
	tcase_add_test(tc, other_attributes_are_passed_by);
	tcase_add_loop_test(tc, what_is_no_list_of_attributes_is_not_read, 0,
			    G_N_ELEMENTS(without));
	tcase_add_test(tc, a_deleted_one_is_read_with_all_that_is_there);
	tcase_add_test(tc, a_deleted_one_without_a_byte_is_gone);
	tcase_add_test(tc, it_is_not_for_writing);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
