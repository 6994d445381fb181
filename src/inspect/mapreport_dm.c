/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map as a device-mapper table, one line a target, as dmsetup create reads
 * it (Documentation/admin-guide/device-mapper, linear and zero):
 *
 *   <first sector> <sectors> linear <source> <sector of the source>
 *   <first sector> <sectors> zero
 *
 * Sectors are 512 bytes. A hole is a zero target, and so is an unwritten run
 * (but with unwritten=raw): what its blocks hold is not what the file reads as.
 * A zero target forgets
 * what is written to it, and the host would know of no write at all: the table
 * is for reading, dmsetup create --readonly.
 *
 * It is refused where reading would not give the image's bytes, or where the
 * kernel would not take it:
 *
 *   the source is no block device         there is nothing to map to
 *   the journal has not been applied      blocks are not as the map has them
 *   nobody knows whether it has           the same, perhaps
 *   files share blocks                    whose they are is not in the map
 *   empty, or not a number of sectors     a device cannot have that size
 *   blocks begin inside a sector          the source cannot be read there
 *   the path has blanks, '#' or '\'       dmsetup would cut it
 *
 * Inline and encrypted content is not in blocks: such a file cannot be opened.
 */
#include "inspect_priv.h"

#include <rawmap/base/bytes.h>
#include <rawmap/base/error.h>
#include <rawmap/dev/blkdev.h>

#include <inttypes.h>
#include <string.h>

#define SECTOR_BITS 9
#define SECTOR	    (UINT64_C(1) << SECTOR_BITS)

/* Zero targets next to each other become one, so a target waits. */
struct dm {
	uint64_t start, len; /* sectors; len 0: none */
	uint64_t from;	     /* sector of the source */
	bool zero;
};

static bool has_word(const char *list, const char *word)
{
	g_auto(GStrv) words = g_strsplit(list ? list : "", " ", -1);

	return g_strv_contains((const char *const *)words, word);
}

static bool host_allows(const struct report *r, const struct hostfs_info *info,
			GError **error)
{
	const char *source = r->what->source;

	if (!r->what->source_is_block) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "'%s' is not a block device, and a table maps"
			    " nothing else; 'losetup --read-only --find --show'"
			    " makes one of a disk-image file",
			    source);
		return false;
	}
	if (info->needs_recovery || info->replayed) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "the journal of the filesystem on '%s' has not been"
			    " applied, so the device itself does not hold what"
			    " the map says; 'rawmap recover' applies it",
			    source);
		return false;
	}
	/* A copy of the superblock does not say, and the log was left aside. */
	if (info->norecovery && info->super_block && info->has_journal) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "with sb= and norecovery together nothing says"
			    " whether the journal of the filesystem on '%s' has"
			    " been applied; leave out norecovery",
			    source);
		return false;
	}
	if (has_word(info->features, "shared_blocks")) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "files of the filesystem on '%s' share blocks; a"
			    " table would give away what belongs to others",
			    source);
		return false;
	}
	if (strpbrk(source, " \t\n\v\f\r#\\")) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "a table cannot hold the path '%s'; name the"
			    " device by one without blanks, '#' or '\\'",
			    source);
		return false;
	}
	return true;
}

static bool size_allows(const struct report *r, GError **error)
{
	struct hostfs *fs = hostfile_host(r->what->hf);
	uint32_t sector = blkdev_geometry(hostfs_data_dev(fs))->sector;
	uint64_t align = u64_max(sector, SECTOR);

	if (!r->size) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "'%s' is empty; there is no device of that size",
			    hostfile_path(r->what->hf));
		return false;
	}
	if (!is_aligned(r->size, align)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "'%s' has %" PRIu64 " bytes, and a device has whole"
			    " sectors of %" PRIu64 " bytes",
			    hostfile_path(r->what->hf), r->size, align);
		return false;
	}
	if (!is_aligned(UINT64_C(1) << r->bits, align) ||
	    !is_aligned(r->what->source_offset, align)) {
		g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_UNSUPPORTED,
			    "the blocks of '%s' do not begin where sectors of"
			    " '%s' do, %" PRIu64 " bytes each",
			    hostfile_path(r->what->hf), r->what->source, align);
		return false;
	}
	return true;
}

bool dm_allows(const struct report *r, const struct hostfs_info *info,
	       GError **error)
{
	return host_allows(r, info, error) && size_allows(r, error);
}

static bool dm_begin(struct report *r, GError **error)
{
	struct hostfs_info info;
	bool sound;

	hostfs_info(hostfile_host(r->what->hf), &info);
	sound = dm_allows(r, &info, error);
	hostfs_info_clear(&info);
	return sound;
}

static void print_target(struct report *r, const struct dm *t)
{
	if (!t->len)
		return;
	fprintf(r->out, "%" PRIu64 " %" PRIu64, t->start, t->len);
	if (t->zero)
		fputs(" zero\n", r->out);
	else
		fprintf(r->out, " linear %s %" PRIu64 "\n", r->what->source,
			t->from);
}

static void dm_extent(struct report *r, const struct extent *e)
{
	struct dm *t = r->state, next;
	uint64_t start, len;

	if (!report_bytes(r, e, &start, &len))
		return;
	next = (struct dm){
		.start = start >> SECTOR_BITS,
		.len = len >> SECTOR_BITS,
		.zero = report_reads_zero(r, e->state),
	};
	if (!next.zero)
		next.from = report_source_byte(r, e->phys) >> SECTOR_BITS;
	if (t->len && t->zero && next.zero) {
		t->len += next.len;
		return;
	}
	print_target(r, t);
	*t = next;
}

static void dm_end(struct report *r)
{
	print_target(r, r->state);
}

const struct mapformat mapformat_dm = {
	.name = "dm",
	.state_size = sizeof(struct dm),
	.begin = dm_begin,
	.extent = dm_extent,
	.end = dm_end,
};
