/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JBD2 on disk (Documentation/filesystems/ext4/journal.rst and
 * include/linux/jbd2.h of the kernel are the documents). All big-endian.
 *
 *   log       := transaction*
 *   transaction := (descriptor, data block*)* , revoke block*, in any order,
 *                  then one commit block; all with the same sequence number
 *
 * Checksums (crc32c, seeded with the sum of the journal's UUID) depend on the
 * journal's features:
 *
 *   features   tag       in the tag                  block tails, commit block
 *   none       8 or 12   -                           -
 *   csum v2    10 or 14  low 16 bits of the sum      yes
 *   csum v3    16        all 32 bits                 yes
 *
 * (the longer ones with 64BIT). The first tag of a descriptor is followed by 16
 * bytes of UUID; later ones carry SAME_UUID and none.
 */
#ifndef RAWMAP_JBD_FORMAT_H
#define RAWMAP_JBD_FORMAT_H

#include <rawmap/base/endian.h>

#include <assert.h>

#define JBD_MAGIC 0xc03b3998u

enum jbd_blocktype {
	JBD_DESCRIPTOR = 1,
	JBD_COMMIT = 2,
	JBD_SUPER_V1 = 3,
	JBD_SUPER_V2 = 4,
	JBD_REVOKE = 5,
};

#define JBD_COMPAT_CHECKSUM	  0x1u
#define JBD_INCOMPAT_REVOKE	  0x1u
#define JBD_INCOMPAT_64BIT	  0x2u
#define JBD_INCOMPAT_ASYNC_COMMIT 0x4u
#define JBD_INCOMPAT_CSUM_V2	  0x8u
#define JBD_INCOMPAT_CSUM_V3	  0x10u
#define JBD_INCOMPAT_FAST_COMMIT  0x20u

#define JBD_FLAG_ESCAPE	   1u
#define JBD_FLAG_SAME_UUID 2u
#define JBD_FLAG_DELETED   4u
#define JBD_FLAG_LAST_TAG  8u

#define JBD_CSUM_CRC32C 4u /* s_checksum_type */

/* Blocks of the fast-commit area when s_num_fc_blocks is 0. */
#define JBD_FAST_COMMIT_BLOCKS 256u

struct jbd_header {
	be32 magic, blocktype, sequence;
};
static_assert(sizeof(struct jbd_header) == 12, "on-disk layout");

struct jbd_super {
	struct jbd_header header;
	be32 blocksize, maxlen, first;
	be32 sequence, start;
	be32 error;
	be32 compat, incompat, ro_compat; /* from here on version 2 only */
	uint8_t uuid[16];
	be32 nr_users, dynsuper, max_transaction, max_trans_data;
	uint8_t checksum_type;
	uint8_t pad2[3];
	be32 num_fc_blocks, head;
	be32 pad[40];
	be32 checksum;
	uint8_t users[16 * 48];
};
static_assert(sizeof(struct jbd_super) == 1024, "on-disk layout");

struct jbd_tag { /* without csum v3; cut to its size */
	be32 block;
	be16 csum, flags;
	be32 block_high; /* with 64BIT */
};
static_assert(sizeof(struct jbd_tag) == 12, "on-disk layout");

struct jbd_tag3 {
	be32 block, flags, block_high, csum;
};
static_assert(sizeof(struct jbd_tag3) == 16, "on-disk layout");

struct jbd_tail { /* last bytes of descriptor and revoke blocks, csum v2, v3 */
	be32 csum;
};

struct jbd_revoke_header {
	struct jbd_header header;
	be32 count; /* bytes used, this header included */
};
static_assert(sizeof(struct jbd_revoke_header) == 16, "on-disk layout");

struct jbd_commit {
	struct jbd_header header;
	uint8_t csum_type, csum_size, pad[2];
	be32 csum[8];
	be64 seconds;
	be32 nanoseconds;
};
static_assert(sizeof(struct jbd_commit) == 64, "on-disk layout");

#endif
