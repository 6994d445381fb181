/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The devices over a source, on files: who is above whom, what of the source
 * the host gets, and that it is only read where that was asked for.
 */
#include "parttable_bed.h"

#include <rawmap/dev/cow.h>
#include <rawmap/dev/stack.h>

#include <support/filebed.h>

#include <inttypes.h>

#define SIZE (4 * MIB)

/* What the map of the disk calls bad. */
#define BAD_POS (MIB + 8192)
#define BAD_LEN UINT64_C(4096)

static char *dir, *disk;
static uint8_t *bytes;
static struct stack stack;

/* No byte is zero, no two sectors of a MiB are alike. */
static void setup(void)
{
	dir = filebed_new();
	disk = filebed_path(dir, "disk");
	bytes = g_malloc(SIZE);
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)(1 + (i / 512 + i / MIB) % 251);
	filebed_put(dir, "disk", bytes, SIZE);
}

static void teardown(void)
{
	stack_close(&stack);
	g_free(bytes);
	g_free(disk);
	filebed_free(dir);
}

static void open_ok(struct stack_options opt)
{
	g_autoptr(GError) error = NULL;

	opt.direct = FILEDEV_DIRECT_OFF;
	ck_assert_msg(stack_open(&stack, disk, &opt, &error), "%s",
		      error ? error->message : "?");
}

static void refused(struct stack_options opt, enum rawmap_error code,
		    const char *words)
{
	GError *error = NULL;
	struct stack none;

	opt.direct = FILEDEV_DIRECT_OFF;
	ck_assert(!stack_open(&none, disk, &opt, &error));
	ck_error(error, code, words);
	ck_assert_ptr_null(none.dev);
}

/* @len bytes at @pos of the topmost are those at @from of the disk. */
static void reads_as(uint64_t pos, size_t len, uint64_t from)
{
	g_autofree uint8_t *got = g_malloc(len);

	ck_assert_int_eq(blkdev_pread(stack.dev, got, len, dev_off_at(pos)), 0);
	ck_assert(!memcmp(got, bytes + from, len));
}

static void source_is_as_it_was(void)
{
	size_t len;
	g_autofree uint8_t *now = filebed_get(dir, "disk", &len);

	ck_assert_uint_eq(len, SIZE);
	ck_assert(!memcmp(now, bytes, SIZE));
}

/* ---- the source ---- */

START_TEST(with_changes_elsewhere_the_source_is_only_read)
{
	g_autofree char *cow = filebed_path(dir, "changes");

	open_ok((struct stack_options){ .cow = cow });
	ck_assert(blkdev_geometry(stack.bottom)->readonly);
	ck_assert(!blkdev_geometry(stack.dev)->readonly);
	ck_assert_int_eq(blkdev_pwrite(stack.dev, "new", 3, dev_off_at(5)), 0);
	stack_close(&stack);
	source_is_as_it_was();
}
END_TEST

START_TEST(changes_elsewhere_are_no_writes_of_the_source)
{
	g_autofree char *cow = filebed_path(dir, "changes");
	struct blkdev_counters count;

	open_ok((struct stack_options){ .cow = cow });
	ck_assert_int_eq(blkdev_pwrite(stack.dev, "new", 3, dev_off_at(5)), 0);
	ck_assert_int_eq(blkdev_flush(stack.dev), 0);
	stack_counters(&stack, &count);
	ck_assert_uint_eq(count.writes, 0);
	ck_assert_uint_eq(count.write_bytes, 0);
	ck_assert_uint_gt(count.read_bytes, 0);
}
END_TEST

START_TEST(a_source_that_is_written_has_one_user)
{
	open_ok((struct stack_options){ .readonly = false });
	refused((struct stack_options){ .readonly = true }, RAWMAP_ERROR_BUSY,
		disk);
}
END_TEST

START_TEST(a_source_that_is_read_has_readers_only)
{
	struct stack other;
	const struct stack_options reader = {
		.readonly = true,
		.direct = FILEDEV_DIRECT_OFF,
	};

	open_ok(reader);
	refused((struct stack_options){ .readonly = false }, RAWMAP_ERROR_BUSY,
		disk);
	ck_assert(stack_open(&other, disk, &reader, NULL));
	stack_close(&other);
}
END_TEST

/* ---- bad ranges ---- */

static char *put_map(uint64_t pos, uint64_t len)
{
	g_autofree char *text = g_strdup_printf(
		"0x0 + 1\n0 %" PRIu64 " +\n%" PRIu64 " %" PRIu64 " -\n%" PRIu64
		" %" PRIu64 " +\n",
		pos, pos, len, pos + len, (uint64_t)SIZE - pos - len);

	filebed_put(dir, "map", text, strlen(text));
	return filebed_path(dir, "map");
}

/* What was met of it is told, and nothing else. */
static void told_is(uint64_t pos, uint64_t len)
{
	g_autoptr(badranges) met = badranges_new(BADRANGES_MAX);

	stack_bad_ranges(&stack, met);
	ck_assert_uint_eq(badranges_count(met), 1);
	ck_assert_uint_eq(badranges_at(met, 0).start.v, pos);
	ck_assert_uint_eq(badranges_total(met), len);
}

START_TEST(what_a_map_calls_bad_is_an_error)
{
	g_autofree char *map = put_map(BAD_POS, BAD_LEN);
	uint8_t got[1024];

	open_ok((struct stack_options){ .readonly = true, .ddrescue = map });
	ck_assert_int_eq(blkdev_pread(stack.dev, got, sizeof(got),
				      dev_off_at(BAD_POS - 512)),
			 -EIO);
	reads_as(BAD_POS - 512, 512, BAD_POS - 512);
	reads_as(BAD_POS + BAD_LEN, 512, BAD_POS + BAD_LEN);
	told_is(BAD_POS, 512);
}
END_TEST

START_TEST(what_a_map_calls_bad_is_zeros_when_asked_for)
{
	g_autofree char *map = put_map(BAD_POS, BAD_LEN);

	open_ok((struct stack_options){
		.readonly = true,
		.ddrescue = map,
		.zero_on_error = true,
	});
	memset(bytes + BAD_POS, 0, BAD_LEN);
	reads_as(0, SIZE, 0);
	told_is(BAD_POS, BAD_LEN);
}
END_TEST

/* ---- the place of the host ---- */

START_TEST(an_offset_leaves_what_is_behind_it)
{
	open_ok((struct stack_options){
		.readonly = true,
		.place = STACK_OFFSET,
		.offset = SIZE - 512,
	});
	ck_assert_uint_eq(stack.start, SIZE - 512);
	ck_assert_uint_eq(stack.length, 512);
	ck_assert_uint_eq(blkdev_geometry(stack.dev)->size, 512);
	reads_as(0, 512, SIZE - 512);
}
END_TEST

START_TEST(an_offset_at_the_end_is_refused)
{
	refused((struct stack_options){ .readonly = true,
					.place = STACK_OFFSET,
					.offset = SIZE },
		RAWMAP_ERROR_NOT_FOUND, "lies behind its end");
}
END_TEST

#ifdef HAVE_BLKID

/* Two of a MiB, the second with as much of a host as it takes to be one. */
static void make_partitions(void)
{
	struct bed bed = { .bytes = bytes, .size = SIZE };

	memset(bytes, 0, 512);
	memset(bytes + 2 * MIB + 1024, 0, 1024);
	tablebuild_record(bytes, 0, 0x83, 2048, 2048);
	tablebuild_record(bytes, 1, 0x83, 4096, 2048);
	bed_put_ext(&bed, 2 * MIB, 0, 0);
	filebed_put(dir, "disk", bytes, SIZE);
}

static void ck_place(unsigned number, uint64_t start, uint64_t length)
{
	ck_assert_uint_eq(stack.partition, number);
	ck_assert_uint_eq(stack.start, start);
	ck_assert_uint_eq(stack.length, length);
	ck_assert_uint_eq(blkdev_geometry(stack.dev)->size, length);
	reads_as(0, length, start);
}

START_TEST(a_partition_is_what_the_table_says)
{
	make_partitions();
	open_ok((struct stack_options){
		.readonly = true,
		.place = STACK_PARTITION,
		.partition = 1,
	});
	ck_place(1, MIB, MIB);
}
END_TEST

START_TEST(auto_is_the_one_with_a_host)
{
	make_partitions();
	open_ok((struct stack_options){
		.readonly = true,
		.place = STACK_AUTO,
	});
	ck_place(2, 2 * MIB, MIB);
}
END_TEST

START_TEST(changes_are_those_of_the_partition)
{
	g_autofree char *cow = filebed_path(dir, "changes");
	struct stack_options opt = {
		.place = STACK_PARTITION,
		.partition = 2,
		.cow = cow,
	};
	struct cow_info info;

	make_partitions();
	open_ok(opt);
	ck_assert_int_eq(blkdev_pwrite(stack.dev, "new", 3, dev_off_at(5)), 0);
	ck_assert(cow_info(stack.cow, &info));
	ck_assert_uint_eq(info.clusters * info.cluster, MIB);
	stack_close(&stack);
	source_is_as_it_was();
	open_ok(opt);
	memcpy(bytes + 2 * MIB + 5, "new", 3);
	ck_place(2, 2 * MIB, MIB);
}
END_TEST

START_TEST(bad_ranges_are_those_of_the_disk)
{
	g_autofree char *map = put_map(BAD_POS, BAD_LEN);

	make_partitions();
	open_ok((struct stack_options){
		.readonly = true,
		.ddrescue = map,
		.zero_on_error = true,
		.place = STACK_PARTITION,
		.partition = 1,
	});
	memset(bytes + BAD_POS, 0, BAD_LEN);
	reads_as(0, MIB, MIB);
	told_is(BAD_POS, BAD_LEN);
}
END_TEST

START_TEST(the_list_asks_for_nothing_that_is_bad)
{
	g_autofree char *map = put_map(0, 512);
	g_autofree char *list = NULL;

	make_partitions();
	open_ok((struct stack_options){ .readonly = true });
	list = stack_list_partitions(&stack, disk, NULL);
	ck_has(list, "Linux");
	stack_close(&stack);
	open_ok((struct stack_options){ .readonly = true, .ddrescue = map });
	ck_assert_ptr_null(stack_list_partitions(&stack, disk, NULL));
}
END_TEST

static void add_places(TCase *tc)
{
	tcase_add_test(tc, a_partition_is_what_the_table_says);
	tcase_add_test(tc, auto_is_the_one_with_a_host);
	tcase_add_test(tc, changes_are_those_of_the_partition);
	tcase_add_test(tc, bad_ranges_are_those_of_the_disk);
	tcase_add_test(tc, the_list_asks_for_nothing_that_is_bad);
}

#else

static void add_places(TCase *tc)
{
	(void)tc;
}

#endif

int main(void)
{
	Suite *suite = suite_create("stack");
	TCase *tc = tcase_create("stack");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, with_changes_elsewhere_the_source_is_only_read);
	tcase_add_test(tc, changes_elsewhere_are_no_writes_of_the_source);
	tcase_add_test(tc, a_source_that_is_written_has_one_user);
	tcase_add_test(tc, a_source_that_is_read_has_readers_only);
	tcase_add_test(tc, what_a_map_calls_bad_is_an_error);
	tcase_add_test(tc, what_a_map_calls_bad_is_zeros_when_asked_for);
	tcase_add_test(tc, an_offset_leaves_what_is_behind_it);
	tcase_add_test(tc, an_offset_at_the_end_is_refused);
	add_places(tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
