/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices on each other, as users ask for them: parts of odd sizes, a map of
 * what was not rescued, a place inside, changes in a file. A model in memory
 * says what there is to read; the kernel does some of the I/O by itself, as an
 * engine has it.
 */
#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>
#include <rawmap/dev/cow.h>
#include <rawmap/dev/stack.h>

#include "support/filebed.h"
#include "support/tablebuild.h"

#include <rawmap_config.h>

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR	512u
#define CLUSTER 4096u
#define SIZE	((3u << 20) + 5 * SECTOR + 77)
#define FIRST	5u /* sector of the partition */
#define PLACE	1777u
#define ROUNDS	400
#define LONGEST (20u << 10)

#ifdef HAVE_BLKID
#define PLACES 3
#else
#define PLACES 2 /* nobody finds partitions */
#endif

static char *dir;
static uint8_t *disk;  /* SIZE bytes */
static uint8_t *model; /* what is read, from the place on */
static bool *bad;      /* that byte cannot be */
static uint64_t size;  /* of both */
static struct stack_options opt;
static struct stack stack;
static _Alignas(4096) uint8_t memory[LONGEST + 4096];

static const uint32_t parts[] = { (1u << 20) + 3 * SECTOR + 100, 100001, 4096 };

/* [start, start + length) was not rescued; ascending. */
static const uint32_t lost[][2] = {
	{ 3 * CLUSTER, 100 },
	{ 7 * CLUSTER + 4000, 200 },
	{ (1u << 20) + 3 * SECTOR, 300 }, /* over the end of a part */
	{ (2u << 20) + 1, 3 * CLUSTER },
	{ SIZE - 100, 50 },
};

static void put_parts(void)
{
	const uint8_t *from = disk;

	for (unsigned i = 0; i <= G_N_ELEMENTS(parts); i++) {
		g_autofree char *name = g_strdup_printf("disk.%03u", i + 1);
		size_t len = i < G_N_ELEMENTS(parts)
				     ? parts[i]
				     : (size_t)(disk + SIZE - from);

		filebed_put(dir, name, from, len);
		from += len;
	}
}

static void put_map(void)
{
	g_autoptr(GString) map = g_string_new("0 +\n");
	uint32_t at = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(lost); i++) {
		g_string_append_printf(map, "%u %u +\n%u %u -\n", at,
				       lost[i][0] - at, lost[i][0], lost[i][1]);
		at = lost[i][0] + lost[i][1];
	}
	g_string_append_printf(map, "%u %u +\n", at, SIZE - at);
	filebed_put(dir, "map", map->str, map->len);
}

static void setup(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(7);

	dir = filebed_new();
	disk = g_malloc(SIZE);
	for (unsigned i = 0; i < SIZE; i++)
		disk[i] = (uint8_t)g_rand_int_range(rand, 1, 256);
	memset(disk, 0, SECTOR);
	tablebuild_record(disk, 0, 0x83, FIRST, SIZE / SECTOR - FIRST);
	put_parts();
	put_map();
	opt = (struct stack_options){
		.place = STACK_WHOLE,
		.ddrescue = filebed_path(dir, "map"),
		.cow = filebed_path(dir, "changes"),
	};
}

static void teardown(void)
{
	stack_close(&stack);
	g_free(opt.ddrescue);
	g_free(opt.cow);
	g_clear_pointer(&model, g_free);
	g_clear_pointer(&bad, g_free);
	g_free(disk);
	filebed_free(dir);
}

static void open_it(void)
{
	g_autofree char *path = filebed_path(dir, "disk.001");
	g_autoptr(GError) error = NULL;
	bool ok = stack_open(&stack, path, &opt, &error);

	ck_assert_msg(ok, "%s", error ? error->message : "no error");
}

static void ck_refused(int code, const char *word)
{
	g_autofree char *path = filebed_path(dir, "disk.001");
	g_autoptr(GError) error = NULL;

	ck_assert(!stack_open(&stack, path, &opt, &error));
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, code), "%s",
		      error->message);
	ck_assert_msg(strstr(error->message, word) != NULL, "%s",
		      error->message);
}

/* ---- the model ---- */

static void make_model(void)
{
	uint64_t start = stack.start;

	size = blkdev_geometry(stack.dev)->size;
	model = g_memdup2(disk + start, size);
	bad = g_new0(bool, size);
	for (unsigned i = 0; i < G_N_ELEMENTS(lost); i++)
		for (uint64_t at = lost[i][0]; at < lost[i][0] + lost[i][1];
		     at++) {
			if (at < start || at - start >= size)
				continue;
			if (opt.zero_on_error)
				model[at - start] = 0;
			else
				bad[at - start] = true;
		}
}

static bool is_bad(uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < MIN(to, size); i++)
		if (bad[i])
			return true;
	return false;
}

/* Must a write there fail? What is beside it in its clusters cannot be read. */
static bool is_stuck(uint64_t pos, uint64_t len)
{
	uint64_t end = pos + len;

	return is_bad(align_floor(pos, CLUSTER), pos) ||
	       is_bad(end, align_ceil(end, CLUSTER));
}

static void set_model(uint64_t pos, const uint8_t *from, uint64_t len)
{
	if (from)
		memcpy(model + pos, from, len);
	else
		memset(model + pos, 0, len);
	memset(bad + pos, 0, len * sizeof(*bad));
}

static void ck_bytes(const uint8_t *got, uint64_t pos, uint64_t len)
{
	if (!memcmp(got, model + pos, len))
		return;
	for (uint64_t i = 0; i < len; i++)
		ck_assert_msg(got[i] == model[pos + i],
			      "byte %llu is %#x instead of %#x",
			      (unsigned long long)(pos + i), got[i],
			      model[pos + i]);
}

/* ---- what is done ---- */

static void do_read(uint8_t *buf, uint64_t pos, uint64_t len)
{
	int want = is_bad(pos, pos + len) ? -EIO : 0;
	struct blkdev_raw at;

	memset(buf, 0xee, len);
	ck_assert_int_eq(blkdev_pread(stack.dev, buf, len, dev_off_at(pos)),
			 want);
	if (!want)
		ck_bytes(buf, pos, len);
	if (!blkdev_raw(stack.dev, BLKDEV_READ, buf, len, dev_off_at(pos), &at))
		return;
	ck_assert_int_eq(want, 0);
	memset(buf, 0xee, len);
	ck_assert_int_eq(pread(at.fd, buf, len, (off_t)at.pos.v), (ssize_t)len);
	ck_bytes(buf, pos, len);
}

/* One that has to fail lies in one cluster: then it changes nothing. */
static void do_write(GRand *rand, uint8_t *buf, uint64_t pos, uint64_t len)
{
	struct blkdev_raw at;
	int want;

	if (is_stuck(pos, len))
		len = MIN(len, CLUSTER - pos % CLUSTER);
	want = is_stuck(pos, len) ? -EIO : 0;
	for (uint64_t i = 0; i < len; i++)
		buf[i] = (uint8_t)g_rand_int(rand);
	if (blkdev_raw(stack.dev, BLKDEV_WRITE, buf, len, dev_off_at(pos),
		       &at)) {
		ck_assert(!blkdev_geometry(at.dev)->readonly);
		ck_assert(filedev_raw_hold(at.dev));
		ck_assert_int_eq(pwrite(at.fd, buf, len, (off_t)at.pos.v),
				 (ssize_t)len);
		filedev_raw_release(at.dev);
		want = 0;
	} else {
		ck_assert_int_eq(blkdev_pwrite(stack.dev, buf, len,
					       dev_off_at(pos)),
				 want);
	}
	if (!want)
		set_model(pos, buf, len);
}

static void do_zero(uint64_t pos, uint64_t len)
{
	int want;

	if (is_stuck(pos, len))
		len = MIN(len, CLUSTER - pos % CLUSTER);
	want = is_stuck(pos, len) ? -EIO : 0;
	ck_assert_int_eq(blkdev_zero(stack.dev, len, dev_off_at(pos)), want);
	if (!want)
		set_model(pos, NULL, len);
}

/* What was there before, or zeros; from then on the same. */
static void do_discard(uint64_t pos, uint64_t len)
{
	g_autofree uint8_t *got = g_malloc(len);
	bool same = true;
	int err;

	if (is_bad(pos, pos + len))
		return;
	err = blkdev_discard(stack.dev, len, dev_off_at(pos));
	ck_assert(!err || err == -EOPNOTSUPP);
	ck_assert_int_eq(blkdev_pread(stack.dev, got, len, dev_off_at(pos)), 0);
	for (uint64_t i = 0; i < len; i++)
		same = same && (!got[i] || got[i] == model[pos + i]);
	ck_assert(same);
	set_model(pos, got, len);
}

static void do_something(GRand *rand)
{
	uint64_t pos = (uint64_t)g_rand_int_range(rand, 0, (gint32)size);
	uint64_t len = (uint64_t)g_rand_int_range(rand, 1, LONGEST);
	uint8_t *buf = memory;

	if (g_rand_boolean(rand))
		buf += g_rand_int_range(rand, 0, 4096);
	if (g_rand_boolean(rand)) {
		pos = align_floor(pos, SECTOR);
		len = align_ceil(len, SECTOR);
	}
	len = MIN(len, size - pos);
	switch (g_rand_int_range(rand, 0, 8)) {
	case 0:
		do_zero(pos, len);
		break;
	case 1:
		do_discard(pos, len);
		break;
	case 2:
		ck_assert_int_eq(blkdev_flush(stack.dev), 0);
		break;
	case 3:
	case 4:
		do_write(rand, buf, pos, len);
		break;
	default:
		do_read(buf, pos, len);
	}
}

static void ck_everything(void)
{
	for (uint64_t pos = 0; pos < size; pos += SECTOR)
		do_read(memory, pos, MIN(SECTOR, size - pos));
}

static void ck_parts_untouched(void)
{
	const uint8_t *want = disk;

	for (unsigned i = 0; i <= G_N_ELEMENTS(parts); i++) {
		g_autofree char *name = g_strdup_printf("disk.%03u", i + 1);
		g_autofree uint8_t *got = NULL;
		size_t len;

		got = filebed_get(dir, name, &len);
		ck_assert(!memcmp(got, want, len));
		want += len;
	}
}

/* @_i: bit 0, zeros for what is lost; the rest, the place. */
START_TEST(changes_of_a_place_of_a_rescued_disk_agree_with_a_model)
{
	static const enum stack_place places[] = { STACK_WHOLE, STACK_OFFSET,
						   STACK_PARTITION };
	g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)_i);

	opt.zero_on_error = _i % 2;
	opt.place = places[_i / 2];
	opt.offset = PLACE;
	opt.partition = 1;
	open_it();
	make_model();
	for (unsigned i = 0; i < ROUNDS; i++) {
		do_something(rand);
		if (i % 100 == 99) {
			stack_close(&stack);
			open_it();
		}
	}
	ck_everything();
	ck_parts_untouched();
}
END_TEST

/* ---- the same source another day ---- */

static void write_and_close(void)
{
	ck_assert_int_eq(blkdev_pwrite(stack.dev, "word", 4, dev_off_at(99)),
			 0);
	stack_close(&stack);
}

static void ck_opens(void)
{
	char got[4];

	open_it();
	ck_assert_int_eq(blkdev_pread(stack.dev, got, 4, dev_off_at(99)), 0);
	ck_assert_mem_eq(got, "word", 4);
	stack_close(&stack);
}

/* More was rescued: what was zeros then is bytes now. @_i: and on-error=zero */
START_TEST(zeros_for_what_was_lost_are_not_what_a_source_is_known_by)
{
	opt.zero_on_error = true;
	open_it();
	write_and_close();
	opt.zero_on_error = _i;
	g_clear_pointer(&opt.ddrescue, g_free);
	ck_opens();
}
END_TEST

/* The disk got worse: what was bytes then is zeros now. @_i: as above */
START_TEST(what_was_read_once_may_be_lost_later)
{
	g_autofree char *map = g_steal_pointer(&opt.ddrescue);

	opt.zero_on_error = _i;
	open_it();
	write_and_close();
	opt.zero_on_error = true;
	opt.ddrescue = g_steal_pointer(&map);
	ck_opens();
}
END_TEST

START_TEST(with_zeros_a_changed_source_is_refused_too)
{
	opt.zero_on_error = true;
	opt.place = STACK_OFFSET;
	opt.offset = PLACE;
	open_it();
	write_and_close();
	disk[PLACE + 50] ^= 1;
	put_parts();
	ck_refused(RAWMAP_ERROR_FAILED, "first at byte 0");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stack");
	TCase *tc = tcase_create("stack");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(
		tc, changes_of_a_place_of_a_rescued_disk_agree_with_a_model, 0,
		2 * PLACES);
	tcase_add_loop_test(
		tc, zeros_for_what_was_lost_are_not_what_a_source_is_known_by,
		0, 2);
	tcase_add_loop_test(tc, what_was_read_once_may_be_lost_later, 0, 2);
	tcase_add_test(tc, with_zeros_a_changed_source_is_refused_too);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
