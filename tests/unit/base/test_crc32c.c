/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../../src/base/crc32c_priv.h"

#include <rawmap/base/crc32c.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST UINT32_C(0xffffffff)
#define LEN   300

typedef uint32_t (*crc_function)(uint32_t seed, const void *buf, size_t len);

/* All there are on this machine; the processor's is the last. */
static const crc_function ways[] = { crc32c, crc32c_tables, crc32c_hardware };

static size_t n_ways(void)
{
	return crc32c_has_hardware() ? 3 : 2;
}

/* As the polynomial says it, a bit at a time. */
static uint32_t by_bits(uint32_t crc, const uint8_t *p, size_t len)
{
	while (len--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

static void fill(uint8_t *buf, size_t len)
{
	uint32_t x = 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(x >> 24);
	}
}

START_TEST(the_check_value_is_the_standards)
{
	for (size_t i = 0; i < n_ways(); i++)
		ck_assert_uint_eq(ways[i](FIRST, "123456789", 9) ^ FIRST,
				  0xe3069283u);
}
END_TEST

/* RFC 3720, B.4; there the sum is inverted, too. */
START_TEST(the_examples_of_iscsi_agree)
{
	uint8_t buf[32];

	for (size_t i = 0; i < n_ways(); i++) {
		memset(buf, 0, sizeof(buf));
		ck_assert_uint_eq(ways[i](FIRST, buf, 32) ^ FIRST, 0x8a9136aau);
		memset(buf, 0xff, sizeof(buf));
		ck_assert_uint_eq(ways[i](FIRST, buf, 32) ^ FIRST, 0x62a8ab43u);
		for (uint8_t k = 0; k < 32; k++)
			buf[k] = k;
		ck_assert_uint_eq(ways[i](FIRST, buf, 32) ^ FIRST, 0x46dd794eu);
	}
}
END_TEST

START_TEST(every_length_and_alignment_gives_the_sum_of_the_bits)
{
	uint8_t buf[LEN + 8];

	fill(buf, sizeof(buf));
	for (size_t i = 0; i < n_ways(); i++)
		for (size_t at = 0; at < 8; at++)
			for (size_t len = 0; len <= LEN; len++)
				ck_assert_uint_eq(
					ways[i](0x12345678u, buf + at, len),
					by_bits(0x12345678u, buf + at, len));
}
END_TEST

START_TEST(the_sum_of_one_part_is_the_seed_of_the_next)
{
	uint8_t buf[LEN];

	fill(buf, sizeof(buf));
	for (size_t i = 0; i < n_ways(); i++)
		for (size_t cut = 0; cut <= LEN; cut++) {
			uint32_t sum = ways[i](FIRST, buf, cut);

			sum = ways[i](sum, buf + cut, LEN - cut);
			ck_assert_uint_eq(sum, by_bits(FIRST, buf, LEN));
		}
}
END_TEST

/* Every entry of every table is used: any byte, at any place of a step. */
START_TEST(every_byte_at_every_place_counts)
{
	for (int b = 0; b < 256; b++)
		for (size_t at = 0; at < 16; at++) {
			uint8_t buf[16] = { 0 };

			buf[at] = (uint8_t)b;
			for (size_t i = 0; i < n_ways(); i++)
				ck_assert_uint_eq(ways[i](0, buf, 16),
						  by_bits(0, buf, 16));
		}
}
END_TEST

START_TEST(no_bytes_leave_the_seed)
{
	for (size_t i = 0; i < n_ways(); i++)
		ck_assert_uint_eq(ways[i](42, "", 0), 42);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crc32c");
	TCase *tc = tcase_create("crc32c");
	SRunner *runner;
	int failed;

	if (!crc32c_has_hardware())
		printf("this processor has no crc32 instruction\n");
	tcase_add_test(tc, the_check_value_is_the_standards);
	tcase_add_test(tc, the_examples_of_iscsi_agree);
	tcase_add_test(tc,
		       every_length_and_alignment_gives_the_sum_of_the_bits);
	tcase_add_test(tc, the_sum_of_one_part_is_the_seed_of_the_next);
	tcase_add_test(tc, every_byte_at_every_place_counts);
	tcase_add_test(tc, no_bytes_leave_the_seed);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
