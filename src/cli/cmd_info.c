/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rawmap info: what is known about a host, or about a file of it. */
#include "cli_priv.h"

#include <rawmap/base/text.h>
#include <rawmap/dev/filedev.h>
#include <rawmap/hostfs/hostfile.h>
#include <rawmap/hostfs/hostfs.h>

#include <inttypes.h>
#include <stdio.h>

static void print_line(const char *what, const char *fmt, ...)
	G_GNUC_PRINTF(2, 3);

static void print_line(const char *what, const char *fmt, ...)
{
	va_list ap;

	printf("%-14s", what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static void print_size(const char *what, uint64_t bytes)
{
	g_autofree char *text = text_format_size(bytes);

	print_line(what, "%s (%" PRIu64 " bytes)", text, bytes);
}

static void print_time(const char *what, const struct timespec *at)
{
	g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(at->tv_sec);
	g_autofree char *text =
		time ? g_date_time_format(time, "%Y-%m-%d %H:%M:%S %z") : NULL;

	print_line(what, "%s", text ? text : "?");
}

static const char *state_of(const struct hostfs_info *info)
{
	if (info->has_error)
		return "errors were found; run e2fsck";
	if (info->needs_recovery)
		return "not clean: its journal has to be replayed";
	return info->clean ? "clean" : "not clean; run e2fsck";
}

static void print_host(const char *name, const struct source *src)
{
	struct hostfs_info info;

	hostfs_info(src->fs, &info);
	print_line("source:", "%s", name);
	print_line("direct I/O:", "%s",
		   filedev_is_direct(src->dev) ? "yes" : "no");
	print_line("filesystem:", "%s", info.kind);
	print_line("label:", "%s", info.label[0] ? info.label : "(none)");
	print_line("UUID:", "%s", info.uuid);
	print_line("state:", "%s", state_of(&info));
	print_line("journal:", "%s", info.has_journal ? "yes" : "no");
	print_size("size:", info.blocks * info.block_size);
	print_size("free:", info.free_blocks * info.block_size);
	print_size("reserved:", info.reserved_blocks * info.block_size);
	print_line("block size:", "%" PRIu32, info.block_size);
	print_line("groups:", "%" PRIu32 " of %" PRIu32 " blocks", info.groups,
		   info.blocks_per_group);
	print_line("inode size:", "%" PRIu32, info.inode_size);
	print_line("features:", "%s", info.features);
	hostfs_info_clear(&info);
}

static void print_file(struct hostfile *hf)
{
	struct hostfile_attr attr;

	hostfile_attr(hf, &attr);
	print_line("image:", "%s", hostfile_path(hf));
	print_line("inode:", "%" PRIu64, attr.ino);
	print_size("size:", attr.size);
	print_size("allocated:", attr.blocks * 512);
	print_line("mapped by:", "%s",
		   attr.extent_mapped ? "extents" : "indirect blocks");
	print_line("mode:", "%04o", (unsigned)attr.mode & 07777);
	print_line("owner:", "%u:%u", (unsigned)attr.uid, (unsigned)attr.gid);
	print_line("links:", "%" PRIu32, attr.links);
	print_time("modified:", &attr.mtime);
	print_time("changed:", &attr.ctime);
	print_time("accessed:", &attr.atime);
}

static bool print_info(const char *source, const char *path, GError **error)
{
	struct source src;
	struct hostfile *hf;
	bool done = true;

	if (!source_open(&src, source, error))
		return false;
	if (!path) {
		print_host(source, &src);
	} else {
		hf = hostfile_open(src.fs, path, 0, error);
		if (hf)
			print_file(hf);
		done = hf != NULL;
		hostfile_close(hf);
	}
	source_close(&src);
	return done && output_finish(error);
}

int cmd_info(const struct command *self, int argc, char **argv)
{
	GError *error = NULL;
	bool done;

	if (!command_parse(self, NULL, 1, 2, &argc, &argv, &done, &error))
		return command_fail(error);
	if (done)
		return STATUS_OK;
	if (!print_info(argv[1], argc > 2 ? argv[2] : NULL, &error))
		return command_fail(error);
	return STATUS_OK;
}
