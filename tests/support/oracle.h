/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an image may hold after a power loss.
 *
 * Every operation on the image has a number, ascending from 1; 0 is what the
 * image held at first. The oracle keeps for each block, and for the size, every
 * content that an operation gave it. After a crash the window (base, last] says
 * what is open: a block holds its content as of @base, the last operation that
 * a completed flush covers, or as of any later one up to @last, the last that
 * had begun. Bytes are judged one by one, as two writes into parts of the same
 * block may have become durable without each other; that a byte of somebody
 * else passes is a matter of luck that 8 bytes in a row don't have, since every
 * word that is written says where it belongs and who wrote it.
 *
 *   word of 8 bytes    block, operation and place in the block, scrambled into
 *                      8 times 6 bits; its bytes are 0xc0..0xff
 *
 * So bytes that nobody wrote, bytes of another block and bytes that were
 * overwritten and flushed are all told apart, and named.
 */
#ifndef TESTS_SUPPORT_ORACLE_H
#define TESTS_SUPPORT_ORACLE_H

#include <rawmap/image/image.h>

#include <stdbool.h>
#include <stdint.h>

struct oracle;

struct oracle_window {
	unsigned base, last;
};

/* @block_size of the host. The image is empty, its size 0, as of 0. */
struct oracle *oracle_new(uint32_t block_size);
void oracle_free(struct oracle *o);

/* As of operation 0 the image holds what can be read in it now. */
void oracle_start(struct oracle *o, struct image *img);

/* The bytes that operation @op writes to [pos, +len). */
void oracle_stamp(const struct oracle *o, unsigned op, uint64_t pos,
		  uint8_t *buf, size_t len);

/*
 * What an operation does, in the order of the numbers: it writes its stamp or
 * zeros, sets the size. A size that shrinks makes zeros of what lies behind.
 */
void oracle_write(struct oracle *o, unsigned op, uint64_t pos, uint64_t len);
void oracle_zero(struct oracle *o, unsigned op, uint64_t pos, uint64_t len);
void oracle_resize(struct oracle *o, unsigned op, uint64_t size);
uint64_t oracle_size(const struct oracle *o);

/*
 * The sizes in between count as well: a map of single blocks and the inode do
 * not become durable together, and e2fsck moves the size to where the blocks
 * end.
 */
void oracle_loose_size(struct oracle *o);

/*
 * NULL, or a sentence (the caller frees) when the image, or these bytes of it,
 * hold something that the window doesn't allow.
 */
char *oracle_judge(const struct oracle *o, struct oracle_window w,
		   struct image *img);
char *oracle_judge_bytes(const struct oracle *o, struct oracle_window w,
			 const uint8_t *bytes, uint64_t size);

#endif
