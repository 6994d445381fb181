/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * EWF images that somebody made to harm, with checksums that fit: what they say
 * of themselves is not believed before it is looked at.
 */
#include "unit/dev/ewf_bed.h"

#include <rawmap_config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

/*
 * What libewf asks for and does not get, and what it forgets when it gives up, is
 * not what the sanitizers are here for; nor is the memory that they take.
 */
const char *__asan_default_options(void);
const char *__lsan_default_suppressions(void);

const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__lsan_default_suppressions(void)
{
	return "leak:libewf.so\n";
}

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED false
#endif

#define HEAD	     76 /* of a section */
#define VOLUME	     1052
#define VOLUME_SUM   (VOLUME - 4)
#define MANY	     (1u << 26)
#define MEMORY_LIMIT (UINT64_C(100) << 20)

static uint8_t *bytes; /* of x.E01 */
static size_t len;

static void make(unsigned chunks)
{
	make_source((size_t)chunks * CHUNK, true);
	ewftools_acquire(dir, "raw", "x", "-c none");
	bytes = filebed_get(dir, "x.E01", &len);
}

static void store(void)
{
	filebed_put(dir, "x.E01", bytes, len);
	g_clear_pointer(&bytes, g_free);
}

/* What is behind the head of the first section of that name; or NULL. */
static uint8_t *find(const char *name)
{
	char padded[16] = "";
	uint8_t *at;

	memcpy(padded, name, strlen(name));
	at = memmem(bytes, len, padded, sizeof(padded));
	return at ? at + HEAD : NULL;
}

static void change_volume(const char *name, size_t at, uint32_t to)
{
	uint8_t *volume = find(name);

	ck_assert_ptr_nonnull(volume);
	put_le32(volume + at, to);
	put_le32(volume + VOLUME_SUM, adler32(volume, VOLUME_SUM));
}

/* Its copy is in the first file, if that is the only one. */
static void claim(size_t at, uint32_t to)
{
	change_volume("volume", at, to);
	if (find("data"))
		change_volume("data", at, to);
}

#define CHUNKS_AT	 4
#define CHUNK_SECTORS_AT 8
#define SECTORS_AT	 16

static void claim_entries(const char *table, uint32_t to)
{
	uint8_t *head = find(table);

	ck_assert_ptr_nonnull(head);
	put_le32(head, to);
	put_le32(head + 20, adler32(head, 20));
}

/* The most that this process ever had, bytes; where that can be known. */
static uint64_t memory(void)
{
	struct rusage usage;

	ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
	return SANITIZED ? 0 : (uint64_t)usage.ru_maxrss << 10;
}

static void ck_refused_cheaply(void)
{
	uint64_t before = memory();

	ck_refused("x.E01", RAWMAP_ERROR_CORRUPT, "makes no sense");
	ck_assert_uint_lt(memory() - before, MEMORY_LIMIT);
}

START_TEST(more_chunks_than_tables_could_know_are_refused)
{
	make(4);
	claim(CHUNKS_AT, MANY);
	store();
	ck_refused_cheaply();
}
END_TEST

/* A tool that was killed leaves such a file. */
START_TEST(they_are_also_when_there_is_no_table)
{
	make(4);
	claim(CHUNKS_AT, MANY);
	len = (size_t)(find("volume") - bytes) + VOLUME;
	store();
	ck_refused_cheaply();
}
END_TEST

/* The table says it then. */
START_TEST(no_number_of_chunks_is_refused)
{
	make(4);
	claim(CHUNKS_AT, 0);
	claim_entries("table", MANY);
	claim_entries("table2", MANY);
	store();
	ck_refused_cheaply();
}
END_TEST

/* The same without anybody who could say it. */
START_TEST(a_table_before_the_volume_is_refused)
{
	uint8_t *head;

	make(4);
	claim_entries("table", MANY);
	head = find("volume") - HEAD;
	head[0] = 'V';
	put_le32(head + HEAD - 4, adler32(head, HEAD - 4));
	store();
	ck_refused_cheaply();
}
END_TEST

START_TEST(chunks_larger_than_any_are_refused)
{
	make(1);
	claim(CHUNK_SECTORS_AT, 1u << 21);
	claim(SECTORS_AT, 1u << 21);
	store();
	ck_refused_cheaply();
}
END_TEST

/* As large as programs make them: 32768 sectors. */
START_TEST(large_chunks_are_read)
{
	struct blkdev *dev;

	make_source(3 * CHUNK + 512, false);
	ewftools_acquire(dir, "raw", "x", "-c fast -b 32768");
	dev = open_image("x.E01");
	ck_source(dev, 3 * CHUNK + 512);
	blkdev_unref(dev);
}
END_TEST

/* ---- tables whose checksums fit, and whose chunks do not ---- */

/* Entry @i of both tables. */
static void claim_entry(unsigned i, uint32_t offset)
{
	static const char *const name[] = { "table", "table2" };

	for (unsigned k = 0; k < 2; k++) {
		uint8_t *head = find(name[k]), *entries = head + 24;
		uint32_t n = head[0];

		ck_assert_uint_lt(i, n);
		put_le32(entries + 4 * i, offset);
		put_le32(entries + 4 * n, adler32(entries, 4 * n));
	}
}

static uint32_t entry(unsigned i)
{
	const uint8_t *at = find("table") + 24 + 4 * i;

	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static void read_everything(struct blkdev *dev, unsigned chunks)
{
	g_autofree uint8_t *buf = g_malloc(3 * CHUNK);
	uint64_t size = MIN(blkdev_geometry(dev)->size, chunks * CHUNK);

	for (uint64_t at = 0; at < size; at += 4096 - 512)
		for (size_t n = 512; n <= 3 * CHUNK; n *= 3) {
			uint64_t left = size - at;
			int ret = blkdev_pread(dev, buf, MIN(n, left),
					       dev_off_at(at));

			ck_assert(ret == 0 || ret == -EIO);
		}
}

/* Bytes that chunk 3 has at most; chunk 4 has the rest of what both have. */
static const uint32_t cuts[] = { 1, 4, 5, 100, 512 + 4, CHUNK, CHUNK + 3 };

/*
 * @_i: one chunk is short, the next one long, and the checksums of both fit:
 * what libewf does with that is its business, but there is nothing outside of
 * its memory that it touches.
 */
START_TEST(chunks_of_any_length_do_no_harm)
{
	uint32_t start, cut = cuts[_i];
	struct blkdev *dev;

	make(8);
	start = entry(3) & INT32_MAX;
	claim_entry(4, start + cut);
	if (cut > 4)
		put_le32(bytes + start + cut - 4,
			 adler32(bytes + start, cut - 4));
	put_le32(bytes + entry(5) - 4,
		 adler32(bytes + start + cut, entry(5) - 4 - start - cut));
	store();
	dev = open_image("x.E01");
	read_everything(dev, 8);
	ck_range(dev, (uint8_t[512]){ 0 }, 512, 0);
	ck_range(dev, (uint8_t[512]){ 0 }, 512, 7 * CHUNK);
	blkdev_unref(dev);
}
END_TEST

/* @_i: it is compressed, it says. */
START_TEST(a_chunk_of_two_gigabytes_takes_no_memory)
{
	uint64_t before;
	struct blkdev *dev;

	make(8);
	claim_entry(4, INT32_MAX | (_i ? 1u << 31 : 0));
	store();
	dev = open_image("x.E01");
	before = memory();
	read_everything(dev, 8);
	ck_assert_uint_lt(memory() - before, MEMORY_LIMIT);
	blkdev_unref(dev);
}
END_TEST

/* ---- anything ---- */

static void put_le64(uint8_t *at, uint64_t n)
{
	put_le32(at, (uint32_t)n);
	put_le32(at + 4, (uint32_t)(n >> 32));
}

/* Numbers that break something, more often than others do. */
static uint64_t hostile_number(GRand *rand, uint64_t usual)
{
	static const uint64_t known[] = {
		0,	  1,	      2,	 3,	    75,
		76,	  77,	      INT32_MAX, INT64_MAX, UINT32_MAX,
		1u << 31, UINT64_MAX, 1u << 21,	 1u << 26,  1u << 16,
		512,	  32768,      65536,	 1u << 30,  13,
	};

	switch (g_rand_int_range(rand, 0, 4)) {
	case 0:
		return known[g_rand_int_range(rand, 0, G_N_ELEMENTS(known))];
	case 1:
		return usual + (uint64_t)g_rand_int_range(rand, -200, 200);
	case 2:
		return usual << g_rand_int_range(rand, 0, 33);
	default:
		return (uint64_t)g_rand_int(rand)
		       << g_rand_int_range(rand, 0, 33);
	}
}

static uint64_t get_le(const uint8_t *at, unsigned n)
{
	uint64_t value = 0;

	while (n--)
		value = value << 8 | at[n];
	return value;
}

static void forge_head(GRand *rand, uint8_t *head)
{
	static const char *const names[] = { "volume", "disk",	  "data",
					     "table",  "table2",  "sectors",
					     "next",   "done",	  "hash",
					     "digest", "session", "error2" };
	unsigned at = g_rand_boolean(rand) ? 16 : 24;

	if (g_rand_int_range(rand, 0, 3)) {
		put_le64(head + at, hostile_number(rand, get_le(head + at, 8)));
	} else {
		memset(head, 0, 16);
		g_strlcpy((char *)head,
			  names[g_rand_int_range(rand, 0, G_N_ELEMENTS(names))],
			  16);
	}
	/* Mostly the two agree. */
	if (g_rand_boolean(rand))
		put_le64(head + 16,
			 (uint64_t)(head - bytes) + get_le(head + 24, 8));
	put_le32(head + 72, adler32(head, 72));
}

static void forge_content(GRand *rand, uint8_t *head, size_t size)
{
	bool table = !strncmp((char *)head, "table", 5);
	uint8_t *content = head + HEAD;
	size_t sum = table ? 20 : VOLUME_SUM;
	size_t at = 4 * (size_t)g_rand_int_range(rand, 0, 6);

	if (size < HEAD + sum + 4)
		return;
	if (table && g_rand_boolean(rand)) {
		size_t n = get_le(content, 4);

		if (n > 8)
			return;
		at = 24 + 4 * (size_t)g_rand_int_range(rand, 0, 8);
		put_le32(content + at, (uint32_t)hostile_number(
					       rand, get_le(content + at, 4)));
		put_le32(content + 24 + 4 * n, adler32(content + 24, 4 * n));
		return;
	}
	put_le32(content + at,
		 (uint32_t)hostile_number(rand, get_le(content + at, 4)));
	put_le32(content + sum, adler32(content, sum));
}

/* One of the sections, as ewfacquire made them. */
static void forge_one(GRand *rand)
{
	size_t at = 13, n = (size_t)g_rand_int_range(rand, 0, 12), size = 0;

	do {
		size = get_le(bytes + at + 24, 8);
		if (size < HEAD || size > len - at)
			size = HEAD;
		if (!n-- || at + size + HEAD > len)
			break;
		at += size;
	} while (true);
	if (g_rand_int_range(rand, 0, 4))
		forge_content(rand, bytes + at, size);
	else
		forge_head(rand, bytes + at);
}

/* @_i: the seed */
START_TEST(random_forgeries_do_no_harm)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)_i);
	g_autofree char *path = filebed_path(dir, "x.E01");
	g_autofree uint8_t *good = NULL;
	uint64_t before;

	make(8);
	good = g_memdup2(bytes, len);
	before = memory();
	for (unsigned i = 0; i < 60; i++) {
		g_autoptr(GError) error = NULL;
		struct blkdev *dev;

		memcpy(bytes, good, len);
		for (int n = g_rand_int_range(rand, 1, 4); n; n--)
			forge_one(rand);
		filebed_put(dir, "x.E01", bytes, len);
		dev = ewf_open(path, &error);
		ck_assert(!dev == !!error);
		if (dev)
			read_everything(dev, 8);
		blkdev_unref(dev);
	}
	g_clear_pointer(&bytes, g_free);
	ck_assert_uint_lt(memory() - before, 5 * MEMORY_LIMIT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ewf hostile");
	TCase *tc = tcase_create("hostile");
	SRunner *runner;
	int failed;

#ifndef HAVE_LIBEWF
	printf("skipped: this rawmap was built without libewf\n");
	return 77;
#endif
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, more_chunks_than_tables_could_know_are_refused);
	tcase_add_test(tc, they_are_also_when_there_is_no_table);
	tcase_add_test(tc, no_number_of_chunks_is_refused);
	tcase_add_test(tc, a_table_before_the_volume_is_refused);
	tcase_add_test(tc, chunks_larger_than_any_are_refused);
	tcase_add_test(tc, large_chunks_are_read);
	tcase_add_loop_test(tc, chunks_of_any_length_do_no_harm, 0,
			    G_N_ELEMENTS(cuts));
	tcase_add_loop_test(tc, a_chunk_of_two_gigabytes_takes_no_memory, 0, 2);
	tcase_add_loop_test(tc, random_forgeries_do_no_harm, 0, 8);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
