/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rawmap info: what is known about a host, or about a file of it; the partitions
 * of a source that is a whole disk.
 */
#include "cli_priv.h"

#include <rawmap/base/text.h>
#include <rawmap/dev/ewf.h>
#include <rawmap/hostfs/hostfile.h>

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
	if (info->replayed)
		return "not clean; shown with its journal replayed in memory";
	if (info->needs_recovery)
		return "not clean: its journal has to be replayed";
	return info->clean ? "clean" : "not clean; run e2fsck";
}

/* One word of the image's maker a line, as he says it. */
static void print_claim(const char *what, const char *text)
{
	g_autofree char *line = text ? g_strescape(text, NULL) : NULL;

	if (line && *line)
		print_line(what, "%s", line);
}

static void print_ewf(const struct ewf_details *ewf)
{
	if (!ewf)
		return;
	print_line("segments:", "%u%s", ewf->segments,
		   ewf->complete ? "" : ", the last one is cut off");
	print_claim("case:", ewf->case_number);
	print_claim("evidence:", ewf->evidence_number);
	print_claim("examiner:", ewf->examiner);
	print_claim("description:", ewf->description);
	print_claim("acquired:", ewf->acquired);
	print_claim("MD5:", ewf->md5);
	print_claim("SHA1:", ewf->sha1);
}

static void print_source(const char *name, const struct stack *stack)
{
	print_line("source:", "%s", name);
	print_line("format:", "%s", stack->format);
	print_line("direct I/O:", "%s", stack_is_direct(stack) ? "yes" : "no");
	print_ewf(ewf_details(stack->bottom));
	if (stack->partition)
		print_line("partition:", "%u", stack->partition);
	if (stack->start)
		print_line("offset:", "%" PRIu64 " bytes", stack->start);
}

static void print_journal(const struct hostfs_info *info)
{
	const struct hostfs_replay *log = &info->replay;

	print_line("journal:", "%s", info->has_journal ? "yes" : "no");
	if (info->replayed)
		print_line("replayed:",
			   "%" PRIu32 " transactions, %" PRIu64
			   " blocks from %" PRIu64 " of the log, %" PRIu64
			   " revoked",
			   log->transactions, log->blocks, log->log_blocks,
			   log->revoked);
	if (info->norecovery)
		print_line("norecovery:", "what the journal holds is not "
					  "shown");
	if (info->log_ignored)
		print_line("log:", "in use, though the filesystem does not say "
				   "so; what it holds is not shown");
	if (info->log_error)
		print_line("log error:", "the journal recorded one; run "
					 "e2fsck -f");
}

static void print_host(const char *name, const struct hostsource *src)
{
	struct hostfs_info info;

	hostfs_info(src->fs, &info);
	print_source(name, &src->stack);
	print_line("filesystem:", "%s", info.kind);
	print_line("label:", "%s", info.label[0] ? info.label : "(none)");
	print_line("UUID:", "%s", info.uuid);
	print_line("state:", "%s", state_of(&info));
	print_journal(&info);
	if (info.super_block)
		print_line("superblock:",
			   "the copy in block %" PRIu64
			   ": state and counts are of the day "
			   "it was written",
			   info.super_block);
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

static const char *mapped_by(const struct hostfile_attr *attr)
{
	if (attr->inline_data)
		return "nothing: its content is in the inode";
	return attr->extent_mapped ? "extents" : "indirect blocks";
}

/* What of a deleted file may still be its own. */
static void print_remains(struct hostfile *hf, const struct hostfile_attr *attr)
{
	struct hostfile_remains remains;
	int err;

	print_line("deleted:", "yes, nothing links to it");
	if (attr->dtime.tv_sec)
		print_time("since:", &attr->dtime);
	err = hostfile_remains(hf, &remains);
	if (err)
		print_line("blocks:", "not known whose they are: %s",
			   g_strerror(-err));
	else if (remains.orphan)
		print_line("blocks:", "%" PRIu64 ", all its own: it was open",
			   remains.blocks);
	else
		print_line("blocks:",
			   "%" PRIu64 ", of which %" PRIu64
			   " are in use by others now",
			   remains.blocks, remains.in_use);
}

static void print_file(struct hostfile *hf)
{
	struct hostfile_attr attr;

	hostfile_attr(hf, &attr);
	print_line("image:", "%s", hostfile_path(hf));
	print_line("inode:", "%" PRIu64, attr.ino);
	print_size("size:", attr.size);
	print_size("allocated:", attr.blocks * 512);
	print_line("mapped by:", "%s", mapped_by(&attr));
	print_line("mode:", "%04o", (unsigned)attr.mode & 07777);
	print_line("owner:", "%u:%u", (unsigned)attr.uid, (unsigned)attr.gid);
	print_line("links:", "%" PRIu32, attr.links);
	print_time("modified:", &attr.mtime);
	print_time("changed:", &attr.ctime);
	print_time("accessed:", &attr.atime);
	if (attr.deleted)
		print_remains(hf, &attr);
}

/* A whole disk: is there a table? */
static bool print_disk(const char *source)
{
	const struct stack_options opt = { .readonly = true };
	g_autofree char *list = NULL;
	struct stack stack;

	if (!stack_open(&stack, source, &opt, NULL))
		return false;
	list = stack_list_partitions(&stack, source, NULL);
	if (list) {
		print_source(source, &stack);
		fputs(list, stdout);
	}
	stack_close(&stack);
	return list != NULL;
}

static bool print_file_of(const struct hostsource *src, const char *path,
			  GError **error)
{
	struct hostfile *hf = hostfile_open(src->fs, path, 0, error);

	if (!hf)
		return false;
	print_file(hf);
	hostfile_close(hf);
	return true;
}

static bool print_info(const char *source, const char *path, char **options,
		       GError **error)
{
	struct hostsource src;
	GError *why = NULL;
	bool done = true;

	if (!look_open(&src, source, options, &why)) {
		if (!path && !options && print_disk(source)) {
			g_error_free(why);
			return output_finish(error);
		}
		g_propagate_error(error, why);
		return false;
	}
	if (path)
		done = print_file_of(&src, path, error);
	else
		print_host(source, &src);
	hostsource_close(&src);
	return done && output_finish(error);
}

int cmd_info(const struct command *self, int argc, char **argv)
{
	g_auto(GStrv) options = NULL;
	GError *error = NULL;
	bool done;
	const GOptionEntry entries[] = { { "options", 'o', 0,
					   G_OPTION_ARG_FILENAME_ARRAY,
					   &options, OPTIONS_HELP, "OPTS" },
					 G_OPTION_ENTRY_NULL };

	if (!command_parse(self, entries, 1, 2, &argc, &argv, &done, &error))
		return command_fail(error);
	if (done)
		return STATUS_OK;
	if (!print_info(argv[1], argc > 2 ? argv[2] : NULL, options, &error))
		return command_fail(error);
	return STATUS_OK;
}
