/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <rawmap/base/bytes.h>

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(add_and_mul_give_the_exact_result_when_it_fits)
{
	uint64_t n = 0;

	ck_assert(u64_add(UINT64_MAX - 1, 1, &n));
	ck_assert_uint_eq(n, UINT64_MAX);
	ck_assert(u64_mul(UINT64_C(1) << 63, 1, &n));
	ck_assert_uint_eq(n, UINT64_C(1) << 63);
}
END_TEST

START_TEST(add_and_mul_refuse_overflow_and_leave_the_result_alone)
{
	uint64_t n = 42;

	ck_assert(!u64_add(UINT64_MAX, 1, &n));
	ck_assert(!u64_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &n));
	ck_assert_uint_eq(n, 42);
}
END_TEST

START_TEST(range_within_knows_the_ends)
{
	ck_assert(range_within(0, 10, 10));
	ck_assert(range_within(10, 0, 10));
	ck_assert(!range_within(11, 0, 10));
	ck_assert(!range_within(1, 10, 10));
	ck_assert(!range_within(1, UINT64_MAX, 10));
}
END_TEST

START_TEST(range_overlaps_is_half_open)
{
	ck_assert(range_overlaps(0, 10, 9, 1));
	ck_assert(!range_overlaps(0, 10, 10, 1));
	ck_assert(!range_overlaps(10, 1, 0, 10));
	ck_assert(range_overlaps(3, 2, 0, 10));
}
END_TEST

START_TEST(an_empty_range_overlaps_nothing)
{
	ck_assert(!range_overlaps(5, 0, 0, 10));
	ck_assert(!range_overlaps(0, 10, 5, 0));
	ck_assert(!range_overlaps(5, 0, 5, 0));
}
END_TEST

START_TEST(alignment_rounds_to_the_named_side)
{
	ck_assert(is_power_of_two(1) && is_power_of_two(4096));
	ck_assert(!is_power_of_two(0) && !is_power_of_two(12));
	ck_assert(is_aligned(8192, 4096) && !is_aligned(8193, 4096));
	ck_assert_uint_eq(align_floor(8191, 4096), 4096);
	ck_assert_uint_eq(align_ceil(8191, 4096), 8192);
	ck_assert_uint_eq(align_ceil(8192, 4096), 8192);
}
END_TEST

START_TEST(min_and_max_are_what_they_say)
{
	ck_assert_uint_eq(u64_min(3, 4), 3);
	ck_assert_uint_eq(u64_max(3, 4), 4);
	ck_assert_uint_eq(u64_min(UINT64_MAX, 0), 0);
}
END_TEST

/* Every length up to a few words, every alignment, a one at every place. */
START_TEST(one_set_byte_anywhere_is_found)
{
	unsigned char buf[96 + 16];

	for (size_t at = 0; at < 16; at++) {
		for (size_t len = 1; len <= 96; len++) {
			/* Not zero around, so that looking too far shows. */
			memset(buf, 0xff, sizeof(buf));
			memset(buf + at, 0, len);
			ck_assert(bytes_are_zero(buf + at, len));
			for (size_t i = 0; i < len; i++) {
				buf[at + i] = 1;
				ck_assert(!bytes_are_zero(buf + at, len));
				buf[at + i] = 0;
			}
		}
	}
}
END_TEST

START_TEST(no_bytes_are_zero)
{
	ck_assert(bytes_are_zero("x", 0));
}
END_TEST

/* Exactly as long as the allocation: a sanitizer sees a read beyond. */
START_TEST(a_large_buffer_is_read_to_its_last_byte_and_no_further)
{
	size_t len = (1 << 20) + 3;
	unsigned char *buf = calloc(1, len);

	ck_assert_ptr_nonnull(buf);
	ck_assert(bytes_are_zero(buf, len));
	buf[len - 1] = 0x80;
	ck_assert(!bytes_are_zero(buf, len));
	free(buf);
}
END_TEST

START_TEST(aligned_memory_is_aligned_and_zero)
{
	for (size_t align = 1; align <= 65536; align *= 2) {
		void *buf = bytes_aligned_new(65536, align);

		ck_assert_uint_eq((uintptr_t)buf % align, 0);
		ck_assert(bytes_are_zero(buf, 65536));
		bytes_aligned_free(buf);
	}
}
END_TEST

START_TEST(aligned_memory_of_no_length_can_be_freed)
{
	void *buf = bytes_aligned_new(0, 512);

	ck_assert_ptr_nonnull(buf);
	bytes_aligned_free(buf);
	bytes_aligned_free(NULL);
}
END_TEST

/* The end of the process is that of a child. */
START_TEST(memory_that_is_not_there_ends_the_process_with_a_sentence)
{
	char said[1024];
	int ends[2], status;
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		dup2(ends[1], STDERR_FILENO);
		bytes_aligned_new(SIZE_MAX - 4095, 4096);
		_exit(0);
	}
	close(ends[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	n = read(ends[0], said, sizeof(said) - 1);
	close(ends[0]);
	ck_assert_int_gt(n, 0);
	said[n] = '\0';
	ck_assert_ptr_nonnull(
		strstr(said, "cannot allocate 18446744073709547520 bytes: the "
			     "machine, or a limit (ulimit -v), is short of "
			     "memory\n"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bytes");
	TCase *tc = tcase_create("bytes");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, add_and_mul_give_the_exact_result_when_it_fits);
	tcase_add_test(tc,
		       add_and_mul_refuse_overflow_and_leave_the_result_alone);
	tcase_add_test(tc, range_within_knows_the_ends);
	tcase_add_test(tc, range_overlaps_is_half_open);
	tcase_add_test(tc, an_empty_range_overlaps_nothing);
	tcase_add_test(tc, alignment_rounds_to_the_named_side);
	tcase_add_test(tc, min_and_max_are_what_they_say);
	tcase_add_test(tc, one_set_byte_anywhere_is_found);
	tcase_add_test(tc, no_bytes_are_zero);
	tcase_add_test(tc,
		       a_large_buffer_is_read_to_its_last_byte_and_no_further);
	tcase_add_test(tc, aligned_memory_is_aligned_and_zero);
	tcase_add_test(tc, aligned_memory_of_no_length_can_be_freed);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	/* Where tests have no processes a sanitizer has the memory. */
	if (srunner_fork_status(runner) == CK_FORK)
		tcase_add_test(
			tc,
			memory_that_is_not_there_ends_the_process_with_a_sentence);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
