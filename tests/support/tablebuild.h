/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Partition tables, written by hand into the bytes of a disk: what no tool
 * makes, because it is for other sectors, or wrong.
 *
 * What cannot be (a table larger than the disk) aborts the test.
 */
#ifndef RAWMAP_TESTS_TABLEBUILD_H
#define RAWMAP_TESTS_TABLEBUILD_H

#include <stdbool.h>
#include <stdint.h>

/* ---- boot records, master or extended: 512 bytes at @record ---- */

/* The signature, and entry @i, 0 to 3, in sectors. */
void tablebuild_record(uint8_t *record, unsigned i, uint8_t type,
		       uint32_t start, uint32_t count);

/* ---- GPT ---- */

struct tablebuild_gpt {
	uint8_t *disk;	  /* borrowed */
	uint64_t size;	  /* bytes */
	uint32_t sector;  /* bytes */
	uint32_t entries; /* how many there is room for */
};

/* Protective record, both headers, no partitions. Sealed. */
void tablebuild_gpt(const struct tablebuild_gpt *g);
/* Partition @number, from 1: sectors @first to @last. In both; sealed. */
void tablebuild_gpt_add(const struct tablebuild_gpt *g, unsigned number,
			uint64_t first, uint64_t last, const char *name);

/* To bend: 92 bytes of a header, 128 of an entry. */
uint8_t *tablebuild_gpt_header(const struct tablebuild_gpt *g, bool backup);
uint8_t *tablebuild_gpt_entry(const struct tablebuild_gpt *g, bool backup,
			      unsigned number);
/* Right sums for what is there: of the header; of the entries and the header. */
void tablebuild_gpt_seal_header(const struct tablebuild_gpt *g, bool backup);
void tablebuild_gpt_seal(const struct tablebuild_gpt *g, bool backup);

/* Little-endian numbers at any place. */
void tablebuild_put32(uint8_t *at, uint32_t n);
void tablebuild_put64(uint8_t *at, uint64_t n);

#endif
