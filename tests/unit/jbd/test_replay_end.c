/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a log ends, and which wrong checksums are damage. */
#include "replay_bed.h"

#define A 3
#define B 4

/* Formats by what they can notice. */
static bool has_tails(const struct logbuild_spec *spec)
{
	return spec->incompat & (JBD_INCOMPAT_CSUM_V2 | JBD_INCOMPAT_CSUM_V3);
}

static bool is_async(const struct logbuild_spec *spec)
{
	return spec->incompat & JBD_INCOMPAT_ASYNC_COMMIT;
}

static bool has_csum(const struct logbuild_spec *spec)
{
	return has_tails(spec) || spec->whole_crc32;
}

/* ---- the end ---- */

/* The log cut off behind every one of its blocks. */
START_TEST(transaction_without_its_commit_is_not_there)
{
	for (uint32_t cut = 1; cut <= 15; cut++) {
		struct bed bed = bed_of(&formats[_i]);
		uint32_t whole = (cut - 1) / 5;
		size_t bs;

		for (uint32_t i = 0; i < 3; i++) {
			if (i == whole)
				logbuild_stop(bed.lb);
			put_tx(bed.lb, i);
		}
		bs = (size_t)1 << (formats[_i].bits ? formats[_i].bits : 10);
		for (uint32_t at = cut; at <= 15; at++)
			memset(logbuild_block(bed.lb, at), 0x5a, bs);
		bed_judge(&bed, whole);
		ck_assert_uint_eq(replay_report(bed.r)->log_blocks, whole * 5);
		ck_assert_uint_eq(replay_report(bed.r)->next_sequence,
				  7 + whole + 1);
		bed_close(&bed);
	}
}
END_TEST

/* What a longer lap left behind the end, of older and of newer numbers. */
START_TEST(blocks_of_another_sequence_end_the_log)
{
	static const int32_t distance[] = { -100, -3, -1, 1, 2, INT32_MAX };

	for (size_t i = 0; i < G_N_ELEMENTS(distance); i++) {
		struct bed bed = bed_of(&formats[_i]);

		put_tx(bed.lb, 1);
		logbuild_stop(bed.lb);
		logbuild_set_sequence(bed.lb, logbuild_sequence(bed.lb) +
						      (uint32_t)distance[i]);
		put_tx(bed.lb, 2);
		put_tx(bed.lb, 3);
		bed_judge(&bed, 1);
		bed_close(&bed);
	}
}
END_TEST

START_TEST(stale_commit_does_not_finish_a_transaction)
{
	struct bed bed = bed_of(&formats[_i]);

	put_tx(bed.lb, 1);
	logbuild_stop(bed.lb);
	logbuild_data(bed.lb, A, 2);
	logbuild_descriptor(bed.lb);
	logbuild_set_sequence(bed.lb, logbuild_sequence(bed.lb) - 1);
	logbuild_commit(bed.lb);
	bed_judge(&bed, 1);
	bed_close(&bed);
}
END_TEST

START_TEST(unknown_block_type_ends_the_log)
{
	struct bed bed = bed_of(&formats[_i]);
	struct places at;

	put_tx(bed.lb, 1);
	logbuild_stop(bed.lb);
	at = put_tx(bed.lb, 2);
	logbuild_block(bed.lb, at.revoke)[7] = 9;
	bed_judge(&bed, 1);
	bed_close(&bed);
}
END_TEST

/* Every block is block @type, valid, with the number that is expected. */
static void repeat_block(struct bed *bed, bool revoke)
{
	static const uint64_t blocks[] = { A };
	size_t bs = (size_t)blkdev_geometry(logbuild_dev(bed->lb))->size /
		    logbuild_fs_blocks(bed->lb);
	uint32_t at;

	logbuild_data(bed->lb, A, 1);
	at = revoke ? logbuild_revoke(bed->lb, blocks, 1)
		    : logbuild_descriptor(bed->lb);
	logbuild_stop(bed->lb);
	for (uint32_t i = 1; i < 64; i++)
		if (i != at)
			memcpy(logbuild_block(bed->lb, i),
			       logbuild_block(bed->lb, at), bs);
}

START_TEST(log_of_descriptors_only_ends)
{
	struct bed bed = bed_of(&formats[_i]);

	repeat_block(&bed, false);
	bed_judge(&bed, 0);
	bed_close(&bed);
}
END_TEST

START_TEST(log_of_revokes_only_ends)
{
	struct bed bed = bed_of(&formats[_i]);

	repeat_block(&bed, true);
	bed_judge(&bed, 0);
	bed_close(&bed);
}
END_TEST

/* Its tags go on where zeros are, over the commit block and round the log. */
START_TEST(descriptor_without_its_last_tag_swallows_its_commit)
{
	struct bed bed = bed_of(&formats[_i]);
	struct places at;
	uint8_t *block, byte;

	put_tx(bed.lb, 1);
	logbuild_stop(bed.lb);
	at = put_tx(bed.lb, 2);
	block = logbuild_block(bed.lb, at.descriptor);
	for (size_t i = 12; i < 80; i++) {
		byte = block[i];
		if (byte == (JBD_FLAG_LAST_TAG | JBD_FLAG_SAME_UUID))
			block[i] = JBD_FLAG_SAME_UUID;
	}
	logbuild_reseal(bed.lb, at.descriptor);
	bed_judge(&bed, 1);
	bed_close(&bed);
}
END_TEST

/* 508 of them, in a log of 63 blocks. */
START_TEST(descriptor_with_more_tags_than_the_log_has_blocks)
{
	struct logbuild_spec spec = formats[_i];
	struct bed bed;
	struct places at;

	spec.bits = 12;
	spec.fs_blocks = 128;
	bed = bed_of(&spec);
	put_tx(bed.lb, 1);
	logbuild_stop(bed.lb);
	at = put_tx(bed.lb, 2);
	memset(logbuild_block(bed.lb, at.descriptor) + 12, JBD_FLAG_SAME_UUID,
	       4096 - 12);
	logbuild_reseal(bed.lb, at.descriptor);
	bed_judge(&bed, 1);
	bed_close(&bed);
}
END_TEST

/* ---- wrong checksums ---- */

START_TEST(wrong_commit_checksum_is_damage)
{
	const struct logbuild_spec *spec = &formats[_i];
	struct bed bed = bed_of(spec);
	struct places at;

	if (!has_csum(spec) || is_async(spec))
		goto out;
	put_tx(bed.lb, 1);
	at = put_tx(bed.lb, 2);
	logbuild_block(bed.lb, at.commit)[17] ^= 1;
	bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "damaged in its block 10");
out:
	bed_close(&bed);
}
END_TEST

/* Two commits in one second are nothing unusual. */
START_TEST(wrong_commit_checksum_of_the_same_second_is_damage)
{
	const struct logbuild_spec *spec = &formats[_i];
	struct bed bed = bed_of(spec);
	struct places at;

	if (!has_csum(spec) || is_async(spec))
		goto out;
	put_tx(bed.lb, 1);
	logbuild_set_time(bed.lb, logbuild_time(bed.lb) - 1);
	at = put_tx(bed.lb, 2);
	logbuild_block(bed.lb, at.commit)[17] ^= 1;
	bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "damaged in its block 10");
out:
	bed_close(&bed);
}
END_TEST

START_TEST(wrong_commit_checksum_of_an_older_log_is_the_end)
{
	const struct logbuild_spec *spec = &formats[_i];
	struct bed bed = bed_of(spec);
	struct places at;

	if (!has_csum(spec))
		goto out;
	put_tx(bed.lb, 1);
	logbuild_stop(bed.lb);
	logbuild_set_time(bed.lb, 10);
	at = put_tx(bed.lb, 2);
	logbuild_block(bed.lb, at.commit)[17] ^= 1;
	bed_judge(&bed, 1);
out:
	bed_close(&bed);
}
END_TEST

START_TEST(async_commit_that_is_wrong_ends_the_log)
{
	const struct logbuild_spec *spec = &formats[_i];
	struct bed bed = bed_of(spec);
	struct places at;

	if (!is_async(spec))
		goto out;
	put_tx(bed.lb, 1);
	logbuild_stop(bed.lb);
	at = put_tx(bed.lb, 2);
	logbuild_data(bed.lb, A, 3);
	logbuild_descriptor(bed.lb);
	logbuild_block(bed.lb, at.commit)[17] ^= 1;
	bed_judge(&bed, 1);
	/* 9 has a descriptor in the log. */
	ck_assert_uint_eq(replay_report(bed.r)->next_sequence, 10);
	ck_assert_uint_eq(replay_report(bed.r)->log_blocks, 5);
out:
	bed_close(&bed);
}
END_TEST

enum { DESCRIPTOR, REVOKE };

static void spoil(struct bed *bed, const struct places *at, int which)
{
	uint32_t block = which == REVOKE ? at->revoke : at->descriptor;

	/* Behind everything that is read of it but the checksum. */
	logbuild_block(bed->lb, block)[500] ^= 1;
}

START_TEST(wrong_control_block_of_a_commit_is_damage)
{
	for (int which = DESCRIPTOR; which <= REVOKE; which++) {
		const struct logbuild_spec *spec = &formats[_i];
		struct bed bed = bed_of(spec);
		struct places at;

		put_tx(bed.lb, 1);
		at = put_tx(bed.lb, 2);
		put_tx(bed.lb, 3);
		spoil(&bed, &at, which);
		if (has_tails(spec))
			bed_refused(&bed, RAWMAP_ERROR_CORRUPT,
				    which == REVOKE ? "in its block 9"
						    : "in its block 6");
		bed_close(&bed);
	}
}
END_TEST

START_TEST(wrong_control_block_without_a_commit_is_the_end)
{
	for (int which = DESCRIPTOR; which <= REVOKE; which++) {
		struct bed bed = bed_of(&formats[_i]);
		struct places at;

		put_tx(bed.lb, 1);
		logbuild_stop(bed.lb);
		at = put_tx(bed.lb, 2);
		spoil(&bed, &at, which);
		logbuild_block(bed.lb, at.commit)[0] = 0;
		bed_judge(&bed, 1);
		bed_close(&bed);
	}
}
END_TEST

START_TEST(wrong_control_block_of_an_older_commit_is_the_end)
{
	for (int which = DESCRIPTOR; which <= REVOKE; which++) {
		const struct logbuild_spec *spec = &formats[_i];
		struct bed bed = bed_of(spec);
		struct places at;

		put_tx(bed.lb, 1);
		logbuild_stop(bed.lb);
		logbuild_set_time(bed.lb, 999);
		at = put_tx(bed.lb, 2);
		spoil(&bed, &at, which);
		if (has_tails(spec))
			bed_judge(&bed, 1);
		bed_close(&bed);
	}
}
END_TEST

/* The second of one transaction's two data blocks. */
static struct bed spoilt_data(const struct logbuild_spec *spec)
{
	struct bed bed = bed_of(spec);
	struct places at;

	put_tx(bed.lb, 1);
	at = put_tx(bed.lb, 2);
	logbuild_block(bed.lb, at.descriptor + 2)[700] ^= 1;
	put_tx(bed.lb, 3);
	return bed;
}

START_TEST(wrong_data_is_damage_though_a_later_copy_is_right)
{
	const struct logbuild_spec *spec = &formats[_i];
	struct bed bed = spoilt_data(spec);

	if (has_tails(spec))
		bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "in its block 8");
	else if (spec->whole_crc32)
		bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "in its block 10");
	else
		bed_judge(&bed, 3);
	bed_close(&bed);
}
END_TEST

START_TEST(wrong_data_that_is_revoked_does_not_matter)
{
	static const uint64_t both[] = { A, B };
	const struct logbuild_spec *spec = &formats[_i];
	struct bed bed = spoilt_data(spec);

	if (!spec->whole_crc32) {
		logbuild_revoke(bed.lb, both, 2);
		logbuild_commit(bed.lb);
		bed_judge(&bed, 4);
	}
	bed_close(&bed);
}
END_TEST

/* What an older lap left in its place: the number is part of the checksum. */
START_TEST(data_of_another_transaction_is_damage)
{
	struct logbuild_spec spec = {
		.incompat = JBD_INCOMPAT_CSUM_V3,
		.sequence = 8,
	};
	struct bed bed = bed_of(&spec);
	struct places at;
	uint8_t old[1024];

	logbuild_stop(bed.lb);
	logbuild_set_sequence(bed.lb, 7);
	at = put_tx(bed.lb, 1);
	memcpy(old, logbuild_block(bed.lb, at.descriptor), sizeof(old));
	logbuild_set_head(bed.lb, 1);
	at = put_tx(bed.lb, 1);
	/* The older one's tags, as if it were this one's. */
	old[11] = 8;
	memcpy(logbuild_block(bed.lb, at.descriptor), old, sizeof(old));
	logbuild_reseal(bed.lb, at.descriptor);
	bed_refused(&bed, RAWMAP_ERROR_CORRUPT, "in its block 2");
	bed_close(&bed);
}
END_TEST

#define EACH_FORMAT(tc, test) tcase_add_loop_test(tc, test, 0, N_FORMATS)

static void add_ends(TCase *tc)
{
	EACH_FORMAT(tc, transaction_without_its_commit_is_not_there);
	EACH_FORMAT(tc, blocks_of_another_sequence_end_the_log);
	EACH_FORMAT(tc, stale_commit_does_not_finish_a_transaction);
	EACH_FORMAT(tc, unknown_block_type_ends_the_log);
	EACH_FORMAT(tc, log_of_descriptors_only_ends);
	EACH_FORMAT(tc, log_of_revokes_only_ends);
	EACH_FORMAT(tc, descriptor_without_its_last_tag_swallows_its_commit);
	EACH_FORMAT(tc, descriptor_with_more_tags_than_the_log_has_blocks);
}

static void add_checksums(TCase *tc)
{
	EACH_FORMAT(tc, wrong_commit_checksum_is_damage);
	EACH_FORMAT(tc, wrong_commit_checksum_of_the_same_second_is_damage);
	EACH_FORMAT(tc, wrong_commit_checksum_of_an_older_log_is_the_end);
	EACH_FORMAT(tc, async_commit_that_is_wrong_ends_the_log);
	EACH_FORMAT(tc, wrong_control_block_of_a_commit_is_damage);
	EACH_FORMAT(tc, wrong_control_block_without_a_commit_is_the_end);
	EACH_FORMAT(tc, wrong_control_block_of_an_older_commit_is_the_end);
	EACH_FORMAT(tc, wrong_data_is_damage_though_a_later_copy_is_right);
	EACH_FORMAT(tc, wrong_data_that_is_revoked_does_not_matter);
	tcase_add_test(tc, data_of_another_transaction_is_damage);
}

int main(void)
{
	Suite *suite = suite_create("replay: end of the log");
	TCase *tc = tcase_create("replay: end of the log");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	add_ends(tc);
	add_checksums(tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
