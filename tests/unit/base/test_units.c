/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <rawmap/base/endian.h>
#include <rawmap/base/units.h>

#include <check.h>
#include <string.h>

START_TEST(a_position_moves_by_its_own_unit)
{
	ck_assert_uint_eq(img_off_add(img_off_at(5), 7).v, 12);
	ck_assert_uint_eq(dev_off_add(dev_off_at(5), 7).v, 12);
	ck_assert_uint_eq(lblk_add(lblk_at(5), 7).v, 12);
	ck_assert_uint_eq(pblk_add(pblk_at(5), 7).v, 12);
}
END_TEST

START_TEST(bytes_become_blocks_with_the_named_rounding)
{
	ck_assert_uint_eq(lblk_of_img_floor(img_off_at(4095), 12).v, 0);
	ck_assert_uint_eq(lblk_of_img_floor(img_off_at(4096), 12).v, 1);
	ck_assert_uint_eq(lblk_of_img_ceil(img_off_at(0), 12).v, 0);
	ck_assert_uint_eq(lblk_of_img_ceil(img_off_at(1), 12).v, 1);
	ck_assert_uint_eq(lblk_of_img_ceil(img_off_at(4096), 12).v, 1);
	ck_assert_uint_eq(pblk_of_dev_floor(dev_off_at(2047), 10).v, 1);
}
END_TEST

START_TEST(rounding_up_does_not_overflow_at_the_end_of_the_range)
{
	ck_assert_uint_eq(lblk_of_img_ceil(img_off_at(UINT64_MAX), 10).v,
			  UINT64_C(1) << 54);
}
END_TEST

START_TEST(blocks_become_bytes)
{
	ck_assert_uint_eq(img_of_lblk(lblk_at(LBLK_END), 12).v,
			  UINT64_C(0xffffffff000));
	ck_assert_uint_eq(dev_of_pblk(pblk_at(3), 10).v, 3072);
}
END_TEST

START_TEST(little_endian_fields_have_the_low_byte_first)
{
	static const unsigned char want[] = { 0xef, 0xcd, 0xab, 0x89,
					      0x67, 0x45, 0x23, 0x01 };
	le16 a = le16_of(0xcdef);
	le32 b = le32_of(0x89abcdef);
	le64 c = le64_of(UINT64_C(0x0123456789abcdef));

	ck_assert_mem_eq(&a, want, sizeof(a));
	ck_assert_mem_eq(&b, want, sizeof(b));
	ck_assert_mem_eq(&c, want, sizeof(c));
	ck_assert_uint_eq(le16_get(a), 0xcdef);
	ck_assert_uint_eq(le32_get(b), 0x89abcdef);
	ck_assert_uint_eq(le64_get(c), UINT64_C(0x0123456789abcdef));
}
END_TEST

START_TEST(big_endian_fields_have_the_high_byte_first)
{
	static const unsigned char want[] = { 0x01, 0x23, 0x45, 0x67,
					      0x89, 0xab, 0xcd, 0xef };
	be16 a = be16_of(0x0123);
	be32 b = be32_of(0x01234567);
	be64 c = be64_of(UINT64_C(0x0123456789abcdef));

	ck_assert_mem_eq(&a, want, sizeof(a));
	ck_assert_mem_eq(&b, want, sizeof(b));
	ck_assert_mem_eq(&c, want, sizeof(c));
	ck_assert_uint_eq(be16_get(a), 0x0123);
	ck_assert_uint_eq(be32_get(b), 0x01234567);
	ck_assert_uint_eq(be64_get(c), UINT64_C(0x0123456789abcdef));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("units");
	TCase *tc = tcase_create("units");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, a_position_moves_by_its_own_unit);
	tcase_add_test(tc, bytes_become_blocks_with_the_named_rounding);
	tcase_add_test(tc,
		       rounding_up_does_not_overflow_at_the_end_of_the_range);
	tcase_add_test(tc, blocks_become_bytes);
	tcase_add_test(tc, little_endian_fields_have_the_low_byte_first);
	tcase_add_test(tc, big_endian_fields_have_the_high_byte_first);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
