/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * EWF images that are damaged, cut off, or not all there: what can be read is
 * the disk's, the rest is an error.
 */
#include "unit/dev/ewf_bed.h"

#include <rawmap_config.h>

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * libewf does not free what it made for a chunk that it cannot get. The device
 * makes that happen once a chunk at most, which the leak sanitizer need not
 * tell.
 */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:libewf_chunk_data_initialize\n";
}

/* Flip a bit behind byte @within of chunk @chunk, which is not compressed. */
static void damage_at(unsigned chunk, size_t within)
{
	const uint8_t *needle = source + (size_t)chunk * CHUNK + within;

	for (unsigned i = 1;; i++) {
		g_autofree char *name = segment_name(i);
		size_t len;
		g_autofree uint8_t *bytes = filebed_get(dir, name, &len);
		uint8_t *at = memmem(bytes, len, needle, 64);

		if (!at)
			continue;
		at[33] ^= 4;
		filebed_put(dir, name, bytes, len);
		return;
	}
}

static void damage(unsigned chunk)
{
	damage_at(chunk, 1000);
}

static int read_chunk(struct blkdev *dev, unsigned chunk)
{
	static uint8_t buf[CHUNK];
	uint64_t pos = (uint64_t)chunk * CHUNK;
	int ret = blkdev_pread(dev, buf, CHUNK, dev_off_at(pos));

	ck_assert(ret == 0 || ret == -EIO);
	ck_assert_msg(ret || !memcmp(buf, source + pos, CHUNK),
		      "chunk %u is not the source's", chunk);
	return ret;
}

/* Every chunk is the source's or cannot be read. Returns how many cannot. */
static unsigned count_bad(struct blkdev *dev, unsigned chunks)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < chunks; i++)
		bad += read_chunk(dev, i) != 0;
	return bad;
}

/* Bytes that reading [first, last) chunks @times keeps; 0 under sanitizers. */
static size_t kept(struct blkdev *dev, unsigned first, unsigned last,
		   unsigned times)
{
	size_t before = mallinfo2().uordblks;

	for (unsigned i = 0; i < times; i++)
		for (unsigned chunk = first; chunk < last; chunk++)
			read_chunk(dev, chunk);
	return mallinfo2().uordblks - MIN(before, mallinfo2().uordblks);
}

/* Neighbours, loners, the first and the last one. */
static const unsigned wounds[] = { 70, 0, 20, 21, 22, 40, 95, 38 };

static bool is_wound(unsigned chunk)
{
	for (size_t i = 0; i < G_N_ELEMENTS(wounds); i++)
		if (wounds[i] == chunk)
			return true;
	return false;
}

START_TEST(damaged_chunk_is_eio_and_its_neighbours_are_not)
{
	struct blkdev *dev;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	for (size_t i = 0; i < G_N_ELEMENTS(wounds); i++)
		damage(wounds[i]);
	dev = open_image("x.E01");
	ck_assert(ewf_details(dev)->complete);
	for (size_t i = 0; i < G_N_ELEMENTS(wounds); i++)
		ck_assert_int_eq(read_chunk(dev, wounds[i]), -EIO);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 96; i++)
			ck_assert_int_eq(read_chunk(dev, i),
					 is_wound(i) ? -EIO : 0);
	blkdev_unref(dev);
}
END_TEST

START_TEST(any_read_that_meets_a_damaged_chunk_is_eio)
{
	g_autofree uint8_t *buf = g_malloc(SIZE);
	struct blkdev *dev;
	uint64_t at = 40 * CHUNK;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	damage(40);
	dev = open_image("x.E01");
	ck_assert_int_eq(blkdev_pread(dev, buf, 1, dev_off_at(at - 1)), 0);
	ck_assert_int_eq(blkdev_pread(dev, buf, 1, dev_off_at(at)), -EIO);
	ck_assert_int_eq(blkdev_pread(dev, buf, 2, dev_off_at(at - 1)), -EIO);
	ck_assert_int_eq(blkdev_pread(dev, buf, 1, dev_off_at(at + CHUNK - 1)),
			 -EIO);
	ck_assert_int_eq(blkdev_pread(dev, buf, 1, dev_off_at(at + CHUNK)), 0);
	ck_assert_int_eq(blkdev_pread(dev, buf, SIZE, dev_off_at(0)), -EIO);
	ck_range(dev, buf, at, 0);
	ck_range(dev, buf, SIZE - at - CHUNK, at + CHUNK);
	blkdev_unref(dev);
}
END_TEST

START_TEST(damaged_end_of_an_odd_size_is_eio)
{
	struct blkdev *dev;
	uint8_t byte;

	make_source(2 * CHUNK + 1777, true);
	ewftools_acquire(dir, "raw", "x", "-c none" ODD);
	damage(2);
	dev = open_image("x.E01");
	ck_assert_int_eq(blkdev_pread(dev, &byte, 1,
				      dev_off_at(2 * CHUNK + 1776)),
			 -EIO);
	ck_assert_int_eq(read_chunk(dev, 1), 0);
	blkdev_unref(dev);
}
END_TEST

START_TEST(damaged_end_of_one_sector_is_eio)
{
	struct blkdev *dev;
	uint8_t byte;

	make_source(2 * CHUNK + 512, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	damage_at(2, 100);
	dev = open_image("x.E01");
	ck_assert_int_eq(
		blkdev_pread(dev, &byte, 1, dev_off_at(2 * CHUNK + 511)), -EIO);
	ck_assert_int_eq(read_chunk(dev, 1), 0);
	blkdev_unref(dev);
}
END_TEST

/* @_i: where, in the middle of the chunks of segment 2. */
START_TEST(damage_among_compressed_chunks_is_eio)
{
	g_autofree uint8_t *bytes = NULL;
	struct blkdev *dev;
	size_t len;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c best");
	bytes = filebed_get(dir, "x.E02", &len);
	bytes[200000 + _i * 9973] ^= 0x10;
	filebed_put(dir, "x.E02", bytes, len);
	dev = open_image("x.E01");
	ck_assert_uint_eq(count_bad(dev, 96), 1);
	blkdev_unref(dev);
}
END_TEST

/*
 * The table of a segment leads to its chunks; a copy follows. @_i: one damaged,
 * or the other, or both, when nothing may be read that is another chunk's.
 */
START_TEST(damaged_table_gives_no_wrong_bytes)
{
	g_autofree uint8_t *bytes = NULL;
	g_autofree char *path = filebed_path(dir, "x.E01");
	static const char *const names[] = { "table", "table2" };
	struct blkdev *dev;
	size_t len;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	bytes = filebed_get(dir, "x.E01", &len);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *at = bytes;

		do {
			at = memmem(at + 1, len - (size_t)(at + 1 - bytes),
				    names[i], strlen(names[i]) + 1);
			ck_assert_ptr_nonnull(at);
		} while (at[8] || at[12]);
		/* Behind the section's head and the table's: entry 3. */
		if ((_i + 1) & (1 << i))
			at[76 + 24 + 12 + 1] ^= 0x40;
	}
	filebed_put(dir, "x.E01", bytes, len);
	dev = ewf_open(path, NULL);
	if (dev) {
		/* The first is lost to libewf when it has found the damage. */
		ck_assert_uint_le(count_bad(dev, 96), _i == 2 ? 3 : 0);
		ck_assert_uint_lt(kept(dev, 0, 4, 30), CHUNK);
		blkdev_unref(dev);
	}
	ck_assert(dev != NULL || _i == 2);
}
END_TEST

/* Once somewhere in a segment: a bit, or all that is behind. */
static void hurt(const char *name, const uint8_t *bytes, size_t len,
		 GRand *rand)
{
	g_autofree uint8_t *copy = g_memdup2(bytes, len);
	size_t at = (size_t)g_rand_int_range(rand, 16, (gint32)len);

	/* Most of a segment is chunks: aim at what leads to them, too. */
	switch (g_rand_int_range(rand, 0, 4)) {
	case 0:
		at = (size_t)g_rand_int_range(rand, 16, 1300);
		break;
	case 1:
	case 2:
		at = len - (size_t)g_rand_int_range(rand, 1, 700);
		break;
	default:
		break;
	}
	copy[at] ^= (uint8_t)(1 << g_rand_int_range(rand, 0, 8));
	filebed_put(dir, name, copy, g_rand_int_range(rand, 0, 6) ? len : at);
}

/* @_i: the seed. An image that does not open any more is fine. */
START_TEST(damage_anywhere_gives_no_wrong_bytes)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)_i);
	g_autofree char *path = filebed_path(dir, "x.E01");
	unsigned opened = 0;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", _i % 2 ? "-c none" : "-c fast");
	for (unsigned round = 0; round < 40; round++) {
		g_autofree char *name =
			segment_name((unsigned)g_rand_int_range(rand, 1, 5));
		size_t len;
		g_autofree uint8_t *bytes = filebed_get(dir, name, &len);
		g_autoptr(GError) error = NULL;
		struct blkdev *dev;

		hurt(name, bytes, len, rand);
		dev = ewf_open(path, &error);
		ck_assert((dev != NULL) != (error != NULL));
		if (dev) {
			ck_assert_uint_eq(blkdev_geometry(dev)->size, SIZE);
			count_bad(dev, 96);
			opened++;
		}
		blkdev_unref(dev);
		filebed_put(dir, name, bytes, len);
	}
	ck_assert_uint_gt(opened, 10);
}
END_TEST

/* Chunks of files behind a damaged one would be read where others belong. */
START_TEST(image_ends_where_its_sections_lead_nowhere)
{
	g_autofree uint8_t *bytes = NULL;
	struct blkdev *dev;
	uint8_t *at;
	size_t len;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	bytes = filebed_get(dir, "x.E02", &len);
	at = memmem(bytes, len, "table\0\0\0\0\0\0", 11);
	ck_assert_ptr_nonnull(at);
	at[50] ^= 1;
	filebed_put(dir, "x.E02", bytes, len);
	dev = open_image("x.E01");
	ck_assert(!ewf_details(dev)->complete);
	ck_assert_uint_eq(ewf_details(dev)->segments, 2);
	ck_assert_uint_gt(count_bad(dev, 96), 60);
	ck_assert_int_eq(read_chunk(dev, 0), 0);
	blkdev_unref(dev);
}
END_TEST

/* Its last chunk, with checksums that fit. */
static void shorten_table(uint8_t *bytes, size_t len, const char *name)
{
	uint8_t *head = memmem(bytes, len, name, strlen(name) + 1);
	uint8_t *table, *entries;
	unsigned n;

	ck_assert_ptr_nonnull(head);
	table = head + 76;
	entries = table + 24;
	n = table[0] - 1u;
	ck_assert_uint_gt(n, 20);
	put_le32(table, n);
	put_le32(table + 20, adler32(table, 20));
	put_le32(entries + 4 * (size_t)n, adler32(entries, 4 * (size_t)n));
}

/* All chunks behind would be read one too early. */
START_TEST(table_that_lost_a_chunk_is_refused)
{
	g_autofree uint8_t *bytes = NULL;
	size_t len;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	bytes = filebed_get(dir, "x.E02", &len);
	shorten_table(bytes, len, "table");
	shorten_table(bytes, len, "table2");
	filebed_put(dir, "x.E02", bytes, len);
	ck_refused("x.E01", RAWMAP_ERROR_CORRUPT, "has to have 96 chunks");
}
END_TEST

START_TEST(missing_segment_is_named)
{
	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	filebed_remove(dir, "x.E04");
	ck_refused("x.E01", RAWMAP_ERROR_NOT_FOUND, "segment 4");
	filebed_remove(dir, "x.E02");
	ck_refused("x.E01", RAWMAP_ERROR_NOT_FOUND, "segment 2");
	ck_refused("x.E03", RAWMAP_ERROR_USAGE, "segment 3");
}
END_TEST

START_TEST(segment_of_another_image_is_refused)
{
	g_autofree char *from = filebed_path(dir, "y.E02");
	g_autofree char *to = filebed_path(dir, "x.E02");

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	g_clear_pointer(&source, g_free);
	make_source(SIZE + CHUNK, true);
	ewftools_acquire(dir, "raw", "y", "-c none");
	ck_assert_int_eq(rename(from, to), 0);
	ck_refused("x.E01", RAWMAP_ERROR_CORRUPT, "libewf");
}
END_TEST

/* The last one that is there. */
static char *last_segment(void)
{
	for (unsigned i = 2;; i++) {
		g_autofree char *name = segment_name(i);
		g_autofree char *path = filebed_path(dir, name);

		if (access(path, F_OK))
			return segment_name(i - 1);
	}
}

/* Of 86 chunks the last segment has about a quarter. */
#define CUT_CHUNKS 86

/* @_i: sixteenths of the last segment that are left. */
START_TEST(truncated_last_segment_reads_to_where_it_goes)
{
	g_autofree char *path = filebed_path(dir, "x.E01");
	g_autofree char *last = NULL;
	g_autofree uint8_t *bytes = NULL;
	g_autoptr(GError) error = NULL;
	struct blkdev *dev;
	unsigned bad;
	size_t len;

	make_source(CUT_CHUNKS * CHUNK, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	last = last_segment();
	bytes = filebed_get(dir, last, &len);
	filebed_put(dir, last, bytes, len * (size_t)_i / 16);
	dev = ewf_open(path, &error);
	ck_assert_msg(dev != NULL, "%s", error ? error->message : "no error");
	ck_assert(!ewf_details(dev)->complete);
	bad = count_bad(dev, CUT_CHUNKS);
	ck_assert_uint_gt(bad, 0);
	ck_assert_uint_lt(bad, CUT_CHUNKS / 2);
	blkdev_unref(dev);
}
END_TEST

START_TEST(reading_what_is_not_there_takes_no_memory)
{
	g_autofree char *last = NULL;
	g_autofree uint8_t *bytes = NULL;
	struct blkdev *dev;
	size_t len;

	make_source(CUT_CHUNKS * CHUNK, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	last = last_segment();
	bytes = filebed_get(dir, last, &len);
	filebed_put(dir, last, bytes, len / 2);
	dev = open_image("x.E01");
	ck_assert_int_eq(read_chunk(dev, CUT_CHUNKS - 10), -EIO);
	ck_assert_uint_lt(kept(dev, CUT_CHUNKS - 10, CUT_CHUNKS, 2), CHUNK);
	blkdev_unref(dev);
}
END_TEST

START_TEST(file_cut_off_underneath_is_eio)
{
	g_autofree char *path = filebed_path(dir, "x.E02");
	struct blkdev *dev;
	unsigned bad;

	make_source(SIZE, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	dev = open_image("x.E01");
	ck_assert_int_eq(read_chunk(dev, 32), 0);
	ck_assert_int_eq(truncate(path, 400000), 0);
	bad = count_bad(dev, 96);
	ck_assert_uint_gt(bad, 10);
	ck_assert_uint_lt(bad, 31);
	ck_assert_int_eq(read_chunk(dev, 55), -EIO);
	ck_assert_uint_lt(kept(dev, 46, 62, 3), CHUNK);
	blkdev_unref(dev);
}
END_TEST

START_TEST(image_that_is_cut_off_at_its_head_is_an_error)
{
	g_autofree uint8_t *bytes = NULL;
	g_autofree char *path = filebed_path(dir, "x.E01");
	size_t len;

	make_source(CHUNK, false);
	ewftools_acquire(dir, "raw", "x", "-c fast");
	bytes = filebed_get(dir, "x.E01", &len);
	for (size_t left = 16; left < 1000; left += 61) {
		g_autoptr(GError) error = NULL;
		struct blkdev *dev;

		filebed_put(dir, "x.E01", bytes, left);
		dev = ewf_open(path, &error);
		ck_assert((dev != NULL) != (error != NULL));
		if (dev && blkdev_geometry(dev)->size == CHUNK)
			count_bad(dev, 1);
		blkdev_unref(dev);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ewf damage");
	TCase *bad = tcase_create("damaged");
	SRunner *runner;
	int failed;

#ifndef HAVE_LIBEWF
	printf("skipped: this rawmap was built without libewf\n");
	return 77;
#endif
	suite_add_tcase(suite, bad);
	tcase_add_checked_fixture(bad, setup, teardown);
	tcase_add_test(bad, damaged_chunk_is_eio_and_its_neighbours_are_not);
	tcase_add_test(bad, any_read_that_meets_a_damaged_chunk_is_eio);
	tcase_add_test(bad, damaged_end_of_an_odd_size_is_eio);
	tcase_add_test(bad, damaged_end_of_one_sector_is_eio);
	tcase_add_loop_test(bad, damage_among_compressed_chunks_is_eio, 0, 4);
	tcase_add_loop_test(bad, damaged_table_gives_no_wrong_bytes, 0, 3);
	tcase_add_loop_test(bad, damage_anywhere_gives_no_wrong_bytes, 0, 6);
	tcase_add_test(bad, image_ends_where_its_sections_lead_nowhere);
	tcase_add_test(bad, missing_segment_is_named);
	tcase_add_test(bad, segment_of_another_image_is_refused);
	tcase_add_loop_test(bad, truncated_last_segment_reads_to_where_it_goes,
			    1, 16);
	tcase_add_test(bad, reading_what_is_not_there_takes_no_memory);
	tcase_add_test(bad, file_cut_off_underneath_is_eio);
	tcase_add_test(bad, image_that_is_cut_off_at_its_head_is_an_error);
	tcase_add_test(bad, table_that_lost_a_chunk_is_refused);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
