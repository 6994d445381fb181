/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What reading and writing a log share: sizes that depend on the journal's
 * features, and checksums. A seed is crc32c of the journal's UUID; a checksum
 * covers its own field as zero. Only csum v2 and v3 have any of these.
 */
#ifndef JBD_PRIV_H
#define JBD_PRIV_H

#include <rawmap/jbd/format.h>
#include <rawmap/jbd/journal.h>

/* ---- sizes (bytes) ---- */

/* Has the log block tails and a checksum per tag, i.e. csum v2 or v3? */
bool jbd_has_csum(enum journal_csum csum);

size_t jbd_tag_size(enum journal_csum csum, bool is_64bit);
size_t jbd_tail_size(enum journal_csum csum); /* 0 where there are none */
size_t jbd_revoke_size(bool is_64bit);	      /* of one entry */

/* Bytes of UUID behind a tag without SAME_UUID. */
#define JBD_UUID_SIZE 16

/* ---- checksums ---- */

uint32_t jbd_csum_seed(const uint8_t uuid[16]);

/*
 * Of a data block of transaction @sequence, as it stands in the log (that is,
 * escaped). csum v2 keeps the low 16 bits of it.
 */
uint32_t jbd_data_csum(uint32_t seed, uint32_t sequence, const void *block,
		       size_t len);

/* The tail of a descriptor or revoke block of @len bytes. */
void jbd_tail_set(uint32_t seed, void *block, size_t len);
bool jbd_tail_ok(uint32_t seed, const void *block, size_t len);

/* The sum of a commit block of @len bytes (csum[0]). */
void jbd_commit_set(uint32_t seed, void *block, size_t len);
bool jbd_commit_ok(uint32_t seed, const void *block, size_t len);
/*
 * The same where only its first sector was written: what is behind the fields
 * does not count, and is taken for the zeros that were to be there.
 */
bool jbd_commit_torn_ok(uint32_t seed, const void *block, size_t len);

/* The superblock has no seed. */
void jbd_super_set(struct jbd_super *super);
bool jbd_super_ok(const struct jbd_super *super);

/* ---- journal.c for journal_update.c ---- */

struct journal {
	struct blkdev *dev; /* a reference */
	bool own_device;    /* which holds nothing else */
	char *name;
	unsigned bits;		  /* log2 of the block size */
	struct journal_run *runs; /* n of them, none empty */
	uint64_t *starts;	  /* of each run, in blocks of the journal */
	size_t n;
	struct journal_info info;
	uint8_t *super; /* block 0 as on the device; aligned */
};

/* Lets a direct device take a block without a copy. */
#define JBD_BUF_ALIGN 4096

/* A zeroed buffer of @blocks blocks for I/O; bytes_aligned_free() it. */
void *journal_buf_new(const struct journal *j, size_t blocks);

/* What @super says, without a look at whether it is possible. */
void journal_decode(const struct jbd_super *super, struct journal_info *ret);

/*
 * Set s_errno to @err in the superblock as it is on the device now, with its
 * checksum, and nothing else. Not flushed. journal_info() gets the error, too.
 * Returns 0, -EUCLEAN (no superblock there) or the device's -errno.
 */
int journal_store_error(struct journal *j, int err);

#endif
