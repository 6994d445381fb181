/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Judges of a host that failed, while nobody has it open.
 *
 *   marked         what must hold
 *   clean          e2fsck -fn finds nothing; the image is in the set disk
 *   not clean      refused for writing; with a journal hostfs_recover() brings
 *                  it back; e2fsck -p repairs what a crash may leave and no more;
 *                  after either as above
 *   torn           half a superblock landed, and there are checksums: e2fsck -fy
 *                  brings it back
 *
 * e2fsck is slow: callers say who is judged by it, too.
 */
#ifndef TESTS_FAULT_FAULT_JUDGE_H
#define TESTS_FAULT_FAULT_JUDGE_H

#include "fault_bed.h"

#include <rawmap/hostfs/recover.h>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

#include <stddef.h>
#include <sys/wait.h>

static inline const struct ext2_super_block *super_of(const uint8_t *bytes)
{
	return (const void *)(bytes + 1024);
}

static inline bool needs_recovery(const uint8_t *bytes)
{
	return super_of(bytes)->s_feature_incompat &
	       EXT3_FEATURE_INCOMPAT_RECOVER;
}

static inline bool has_error(const uint8_t *bytes)
{
	return super_of(bytes)->s_state & EXT2_ERROR_FS;
}

static inline bool is_clean(const uint8_t *bytes)
{
	return !needs_recovery(bytes) && !has_error(bytes) &&
	       (super_of(bytes)->s_state & EXT2_VALID_FS);
}

/* What these bytes hold, read-only, is in the set disk. */
static inline void judge_disk(struct bed *bed, const uint8_t *bytes,
			      const char *when)
{
	g_autoptr(blkdev) dev = memdev_new_readonly(
		bytes, blkdev_geometry(bed->h.mem)->size, 512);
	GError *error = NULL;

	bed_open_on(bed, dev, true, &error);
	ck_assert_msg(bed->h.fs, "%s: %s", when, error ? error->message : "");
	judge_image(&bed->disk, bed->h.img, when);
	imagehost_check_map(&bed->h);
	imagehost_abandon(&bed->h);
}

/* Nobody may write there. */
static inline void judge_refusal(struct bed *bed, struct blkdev *dev)
{
	g_autoptr(GError) error = NULL;

	bed_open_on(bed, dev, false, &error);
	ck_assert_msg(!bed->h.fs, "opened for writing, and not clean");
	ck_assert_msg(g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_DIRTY),
		      "%s", error->message);
}

/* e2fsck -fn has nothing to say; nor debugfs, which only reads. */
static inline void judge_sound(struct bed *bed, const uint8_t *bytes,
			       const char *when)
{
	g_autofree char *out = NULL;
	int status;

	hostimg_store(bed->h.host, bytes, blkdev_geometry(bed->h.mem)->size);
	status = hostimg_fsck(bed->h.host, &out);
	ck_assert_msg(!status, "%s: e2fsck -fn: %d\n%s", when, status, out);
}

/* What e2fsck -p may have to say. */
static inline bool line_allowed(const struct kind *kind, const char *line)
{
	static const char *const always[] = {
		"recovering journal",
		"contains a file system with errors, check forced",
		"Journal superblock has an error recorded",
		"journal superblock is corrupt, error",
		"Free blocks count wrong",
		"could be narrower.  IGNORED",
		"could be shorter.  IGNORED",
		" files (",
		": clean, ",
	};
	/* A bitmap, its descriptor and an inode are not changed as one. */
	static const char *const ordered[] = {
		"was not cleanly unmounted, check forced",
		"Block bitmap differences",
		"block bitmap does not match checksum",
		"Padding at end of block bitmap is not set",
	};
	static const char *const indirect[] = { "i_blocks is", "i_size is" };

	for (unsigned i = 0; i < G_N_ELEMENTS(always); i++)
		if (strstr(line, always[i]))
			return true;
	for (unsigned i = 0; i < G_N_ELEMENTS(ordered); i++)
		if (strstr(line, ordered[i]))
			return !kind->journal;
	for (unsigned i = 0; i < G_N_ELEMENTS(indirect); i++)
		if (strstr(line, indirect[i]))
			return !kind->journal && !kind->extents;
	return !*line || !strcmp(line, "FIXED.");
}

/* e2fsck -p has little to do, and then the host is sound and as promised. */
static inline void judge_preen(struct bed *bed, const uint8_t *bytes,
			       const char *when)
{
	g_autofree char *out = NULL, *again = NULL;
	g_autofree uint8_t *after = NULL;
	g_auto(GStrv) lines = NULL;
	size_t len;
	int status;

	hostimg_store(bed->h.host, bytes, blkdev_geometry(bed->h.mem)->size);
	status = hostimg_preen(bed->h.host, &out);
	ck_assert_msg(status <= 1, "%s: e2fsck -p: %d\n%s", when, status, out);
	lines = g_strsplit(out, "\n", -1);
	for (char **l = lines; *l; l++)
		ck_assert_msg(line_allowed(bed->kind, *l),
			      "%s: e2fsck -p repairs '%s':\n%s", when, *l, out);
	status = hostimg_fsck(bed->h.host, &again);
	ck_assert_msg(!status, "%s, e2fsck -p: e2fsck -fn: %d\n%s\n%s", when,
		      status, out, again);
	after = hostimg_bytes(bed->h.host, &len);
	ck_assert_msg(is_clean(after), "%s: not clean after e2fsck -p:\n%s",
		      when, out);
	judge_disk(bed, after, "after e2fsck -p");
}

/* Our own recovery, on a copy; with @tools e2fsck judges what it left. */
static inline void judge_recover(struct bed *bed, const uint8_t *bytes,
				 bool tools)
{
	size_t size = blkdev_geometry(bed->h.mem)->size;
	const struct recover_options opt = { 0 };
	g_autoptr(blkdev) dev = memdev_new(size, 512);
	struct recover_report report;
	GError *error = NULL;
	bool done;

	memcpy(memdev_bytes(dev), bytes, size);
	done = hostfs_recover(dev, &opt, &report, &error);
	ck_assert_msg(done, "recover: %s", error ? error->message : "");
	bytes = memdev_bytes(dev);
	ck_assert_int_eq(report.needed, needs_recovery(bed_bytes(bed)));
	ck_assert(!needs_recovery(bytes));
	ck_assert(has_error(bytes) ||
		  !(report.had_error || bed->must_have_error));
	judge_disk(bed, bytes, "after the recovery");
	if (tools && has_error(bytes))
		judge_preen(bed, bytes, "recovered, with an error");
	else if (tools)
		judge_sound(bed, bytes, "recovered");
	if (has_error(bytes))
		judge_refusal(bed, dev);
}

/* Half a superblock landed: its backup is e2fsck's business. */
static inline bool is_torn(const uint8_t *bytes)
{
	const struct ext2_super_block *super = super_of(bytes);

	return (super->s_feature_ro_compat &
		EXT4_FEATURE_RO_COMPAT_METADATA_CSUM) &&
	       ext2fs_crc32c_le(~UINT32_C(0), (const uint8_t *)super,
				offsetof(struct ext2_super_block,
					 s_checksum)) != super->s_checksum;
}

static inline void judge_torn(struct bed *bed, const uint8_t *bytes)
{
	g_autofree char *out = NULL;
	g_autofree uint8_t *after = NULL;
	const char *argv[] = { "e2fsck", "-fy", hostimg_path(bed->h.host),
			       NULL };
	size_t len;
	int status;

	hostimg_store(bed->h.host, bytes, blkdev_geometry(bed->h.mem)->size);
	ck_assert(g_spawn_sync(NULL, (char **)argv, NULL,
			       G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL,
			       NULL, NULL, &out, NULL, &status, NULL));
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) <= 1,
		      "torn superblock: e2fsck -fy: %#x\n%s", status, out);
	after = hostimg_bytes(bed->h.host, &len);
	judge_disk(bed, after, "torn superblock, after e2fsck -fy");
	judge_sound(bed, after, "torn superblock, after e2fsck -fy");
}

/* The host as it lies there now, closed; with @tools by e2fsck, too. */
static inline void judge_host(struct bed *bed, bool tools)
{
	size_t size = blkdev_geometry(bed->h.mem)->size;
	g_autofree uint8_t *bytes = g_memdup2(bed_bytes(bed), size);

	if (bed->torn && is_torn(bytes)) {
		judge_torn(bed, bytes);
		return;
	}
	ck_assert(has_error(bytes) || !bed->must_have_error);
	if (is_clean(bytes)) {
		judge_disk(bed, bytes, "clean");
		if (tools)
			judge_sound(bed, bytes, "marked clean");
		return;
	}
	judge_refusal(bed, bed->h.mem);
	if (bed->kind->journal)
		judge_recover(bed, bytes, tools);
	else
		judge_disk(bed, bytes, "not clean");
	if (tools)
		judge_preen(bed, bytes, "not clean");
}

#endif
