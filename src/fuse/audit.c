/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mount that was asked for a record and cannot give one does not begin. The
 * first line is on the disk before the image can be seen; so a record without
 * its last line is that of a server that was killed, not of one that never ran.
 *
 * Each line is one write(2) with O_APPEND: several mounts may share a file.
 */
#include "audit.h"

#include <rawmap/base/error.h>
#include <rawmap/base/json.h>
#include <rawmap/dev/ewf.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct audit {
	char *path;
	int fd;
};

static bool failed(const char *path, const char *what, GError **error)
{
	error_set_errno(error, RAWMAP_ERROR_IO, errno,
			"cannot %s the record '%s'", what, path);
	return false;
}

static bool append(struct audit *a, struct json *j, GError **error)
{
	g_autofree char *line = NULL;
	size_t len;
	ssize_t n;

	g_string_append_c(j->text, '\n');
	line = json_end(j);
	len = strlen(line);
	do
		n = write(a->fd, line, len);
	while (n < 0 && errno == EINTR);
	if (n >= 0 && (size_t)n < len)
		errno = ENOSPC;
	if (n < 0 || (size_t)n < len || fdatasync(a->fd) < 0)
		return failed(a->path, "write", error);
	return true;
}

/* ---- what there is to say ---- */

static void add_time(struct json *j, const char *name, time_t at)
{
	g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(at);
	g_autofree char *text =
		time ? g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ") : NULL;

	json_string(j, name, text);
}

static void begin_line(struct json *j, const char *event,
		       const struct session *s)
{
	json_init(j);
	json_object(j, NULL);
	json_string(j, "event", event);
	add_time(j, "time", time(NULL));
	json_u64(j, "process", (uint64_t)getpid());
	json_string(j, "source", s->source);
	json_string(j, "mountpoint", s->mountpoint);
}

static void add_program(struct json *j, const struct session *s,
			const struct mountopts *opt)
{
	json_string(j, "rawmap", RAWMAP_VERSION);
	json_u64(j, "user", s->uid);
	json_bool(j, "read_only", s->readonly);
	json_string(j, "options", opt->given->str);
}

static void add_ewf(struct json *j, const struct ewf_details *ewf)
{
	if (!ewf)
		return;
	json_object(j, "ewf");
	json_string(j, "case_number", ewf->case_number);
	json_string(j, "evidence_number", ewf->evidence_number);
	json_string(j, "examiner", ewf->examiner);
	json_string(j, "description", ewf->description);
	json_string(j, "notes", ewf->notes);
	json_string(j, "acquired", ewf->acquired);
	json_string(j, "model", ewf->model);
	json_string(j, "serial", ewf->serial);
	json_string(j, "md5", ewf->md5);
	json_string(j, "sha1", ewf->sha1);
	json_u64(j, "segments", ewf->segments);
	json_bool(j, "complete", ewf->complete);
	json_object_end(j);
}

static void add_device(struct json *j, const struct session *s)
{
	const struct stack *stack = &s->src.stack;
	const struct blkdev_geometry *geo = blkdev_geometry(stack->bottom);
	struct stat st;

	json_object(j, "device");
	json_string(j, "format", stack->format);
	json_u64(j, "size", geo->size);
	json_u64(j, "sector", geo->sector);
	if (stat(s->source, &st) == 0) {
		json_u64(j, "inode", st.st_ino);
		json_bool(j, "block_device", S_ISBLK(st.st_mode));
		add_time(j, "modified", st.st_mtime);
	}
	add_ewf(j, ewf_details(stack->bottom));
	json_u64(j, "host_offset", stack->start);
	json_u64(j, "host_length", stack->length);
	if (stack->partition)
		json_u64(j, "partition", stack->partition);
	if (s->src.stack.cow)
		json_bool(j, "copy_on_write", true);
	json_object_end(j);
}

static void add_host(struct json *j, const struct session *s)
{
	struct hostfs_info info;

	hostfs_info(s->fs, &info);
	json_object(j, "host");
	json_string(j, "kind", info.kind);
	json_string(j, "uuid", info.uuid);
	json_string(j, "label", info.label);
	json_u64(j, "blocks", info.blocks);
	json_u64(j, "block_size", info.block_size);
	json_string(j, "features", info.features);
	json_bool(j, "clean", info.clean);
	json_bool(j, "errors", info.has_error);
	json_bool(j, "needs_recovery", info.needs_recovery);
	json_bool(j, "journal_replayed", info.replayed);
	if (info.replayed) {
		json_u64(j, "transactions", info.replay.transactions);
		json_u64(j, "replayed_blocks", info.replay.blocks);
		json_u64(j, "revoked_blocks", info.replay.revoked);
	}
	json_object_end(j);
	hostfs_info_clear(&info);
}

static void add_images(struct json *j, const struct session *s)
{
	json_array(j, "images");
	for (guint i = 0; i < s->images->len; i++) {
		struct image *img = g_ptr_array_index(s->images, i);
		struct hostfile_attr attr;

		image_attr(img, &attr);
		json_object(j, NULL);
		json_string(j, "path", hostfile_path(image_file(img)));
		json_u64(j, "inode", attr.ino);
		json_u64(j, "size", attr.size);
		json_bool(j, "deleted", attr.deleted);
		json_object_end(j);
	}
	json_array_end(j);
}

static void add_bad_ranges(struct json *j, const struct session *s)
{
	g_autoptr(badranges) bad = badranges_new(BADRANGES_MAX);

	stack_bad_ranges(&s->src.stack, bad);
	json_array(j, "bad_ranges");
	for (size_t i = 0; i < badranges_count(bad); i++) {
		struct badrange range = badranges_at(bad, i);

		json_object(j, NULL);
		json_u64(j, "offset", range.start.v);
		json_u64(j, "length", range.len);
		json_object_end(j);
	}
	json_array_end(j);
}

static void add_traffic(struct json *j, const struct session *s)
{
	struct blkdev_counters count;

	stack_counters(&s->src.stack, &count);
	json_u64(j, "reads", count.reads);
	json_u64(j, "bytes_read", count.read_bytes);
	json_u64(j, "writes", count.writes + count.zeros + count.discards);
	json_u64(j, "bytes_written", count.write_bytes);
	json_u64(j, "read_errors", count.errors);
}

/* ---- begin and end ---- */

static bool is_source(int fd, const char *source)
{
	struct stat mine, theirs;

	return fstat(fd, &mine) == 0 && stat(source, &theirs) == 0 &&
	       mine.st_dev == theirs.st_dev && mine.st_ino == theirs.st_ino;
}

static void audit_free(struct audit *a)
{
	if (a->fd >= 0)
		close(a->fd);
	g_free(a->path);
	g_free(a);
}

static bool open_record(struct audit *a, const char *source, GError **error)
{
	a->fd = open(a->path,
		     O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY,
		     0600);
	if (a->fd < 0)
		return failed(a->path, "open", error);
	if (!is_source(a->fd, source))
		return true;
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
		    "the record '%s' is the source itself; name another file",
		    a->path);
	return false;
}

struct audit *audit_begin(const char *path, const struct session *s,
			  const struct mountopts *opt, GError **error)
{
	struct audit *a = g_new0(struct audit, 1);
	struct json j;

	a->path = g_strdup(path);
	if (!open_record(a, s->source, error)) {
		audit_free(a);
		return NULL;
	}
	begin_line(&j, "begin", s);
	add_program(&j, s, opt);
	add_device(&j, s);
	add_host(&j, s);
	add_images(&j, s);
	json_object_end(&j);
	if (append(a, &j, error))
		return a;
	audit_free(a);
	return NULL;
}

bool audit_end(struct audit *a, const struct session *s, GError **error)
{
	struct json j;
	bool done;

	if (!a)
		return true;
	begin_line(&j, "end", s);
	add_traffic(&j, s);
	add_bad_ranges(&j, s);
	json_object_end(&j);
	done = append(a, &j, error);
	audit_free(a);
	return done;
}
