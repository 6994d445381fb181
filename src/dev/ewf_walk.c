/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sections of a segment file, without the library.
 *
 * libewf puts the chunks that the tables of an image know one behind the other,
 * file by file. When it meets a section that is damaged it leaves the rest of
 * that file and goes on with the next one: the chunks there then move up, and
 * are read, with fitting checksums, where others belong. So who opens an image
 * has to know that every file leads to its end, and how many chunks there are.
 *
 *   section   what it means here
 *   table     knows chunks, if all of it is there; how many is the first number
 *   next      the end of the file; another one follows
 *   done      the end of the image
 *   others    passed by
 */
#include "ewf_priv.h"

#include <rawmap/base/endian.h>

#include <stddef.h>
#include <string.h>

/* Behind the signature and the segment's number. */
#define FIRST_SECTION 13
/*
 * A file has some for each half gigabyte. Somebody could make one of nothing
 * but sections, and have us read on for hours.
 */
#define SECTIONS_MAX 65536

struct section {
	char name[16];
	le64 next; /* byte of the file; its own for the last */
	le64 size;
	uint8_t padding[40];
	le32 checksum; /* Adler-32 of what is before */
};
_Static_assert(offsetof(struct section, checksum) == 72, "as on disk");
#define SECTION_SIZE 76 /* without what C adds */

static uint32_t adler32(const uint8_t *bytes, size_t len)
{
	uint32_t a = 1, b = 0;

	for (size_t i = 0; i < len; i++) {
		a = (a + bytes[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static bool read_section(struct blkdev *segment, uint64_t pos,
			 struct section *ret)
{
	return !blkdev_pread(segment, ret, SECTION_SIZE, dev_off_at(pos)) &&
	       le32_get(ret->checksum) ==
		       adler32((const uint8_t *)ret,
			       offsetof(struct section, checksum));
}

static bool is_called(const struct section *s, const char *name)
{
	return !strncmp(s->name, name, sizeof(s->name));
}

/* @pos: behind the section's head. */
static bool count_chunks(struct blkdev *segment, uint64_t pos,
			 uint64_t *ret_chunks)
{
	le32 count;

	if (blkdev_pread(segment, &count, sizeof(count), dev_off_at(pos)))
		return false;
	*ret_chunks += le32_get(count);
	return true;
}

enum ewf_end ewf_walk(struct blkdev *segment, uint64_t *ret_chunks)
{
	uint64_t size = blkdev_geometry(segment)->size;
	uint64_t pos = FIRST_SECTION;
	struct section s;

	*ret_chunks = 0;
	for (unsigned i = 0; i < SECTIONS_MAX; i++) {
		if (!read_section(segment, pos, &s))
			break;
		if (is_called(&s, "done"))
			return EWF_END_DONE;
		if (is_called(&s, "next"))
			return EWF_END_NEXT;
		if (le64_get(s.next) <= pos || le64_get(s.next) > size)
			break;
		if (is_called(&s, "table") &&
		    !count_chunks(segment, pos + SECTION_SIZE, ret_chunks))
			break;
		pos = le64_get(s.next);
	}
	return EWF_END_CUT;
}
