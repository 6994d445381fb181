/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mount that was asked for a record and cannot give one does not begin. The
 * first line is on the disk before the image can be seen; so a record without
 * its last line is that of a server that was killed, not of one that never ran.
 *
 * Each line is one write(2) with O_APPEND: several mounts may share a file. What
 * a full disk took of a line is taken back, or the next one would hang on it.
 *
 * The record is a regular file that has nothing to do with the mount: neither
 * the source, nor a part of it, nor the file of changes. All of these are open by
 * now, but for the map file of ddrescue.
 */
#include "audit.h"

#include <rawmap/base/error.h>
#include <rawmap/base/json.h>
#include <rawmap/base/log.h>
#include <rawmap/dev/ewf.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
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

/* Unless somebody else has written behind it by now. */
static void take_back(const struct audit *a, off_t start, ssize_t n)
{
	struct stat now;

	if (fstat(a->fd, &now) == 0 && now.st_size == start + n &&
	    ftruncate(a->fd, start) < 0)
		log_warning("'%s': a part of a line stays at its end; cut it "
			    "off by hand: %s",
			    a->path, strerror(errno));
}

static bool write_line(const struct audit *a, const char *line, size_t len)
{
	struct stat before;
	ssize_t n;

	if (fstat(a->fd, &before) < 0)
		return false;
	do
		n = write(a->fd, line, len);
	while (n < 0 && errno == EINTR);
	if (n < 0 || (size_t)n == len)
		return n >= 0;
	take_back(a, before.st_size, n);
	errno = ENOSPC;
	return false;
}

static bool append(struct audit *a, struct json *j, GError **error)
{
	g_autofree char *line = NULL;

	g_string_append_c(j->text, '\n');
	line = json_end(j);
	if (write_line(a, line, strlen(line)) && fdatasync(a->fd) == 0)
		return true;
	return failed(a->path, "write", error);
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

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_file(const struct stat *mine, const char *path)
{
	struct stat theirs;

	return path && stat(path, &theirs) == 0 && same(mine, &theirs);
}

/*
 * Is it open for reading, too? Parts of the source have no names here. The three
 * that everybody has, and what a shell holds for a lock, are none of them.
 */
static bool is_read_here(int fd, const struct stat *mine)
{
	g_autoptr(GDir) list = g_dir_open("/proc/self/fd", 0, NULL);
	const char *name;

	while (list && (name = g_dir_read_name(list))) {
		int other = atoi(name), flags = fcntl(other, F_GETFL);
		struct stat theirs;

		if (other > STDERR_FILENO && other != fd && flags >= 0 &&
		    (flags & O_ACCMODE) != O_WRONLY &&
		    fstat(other, &theirs) == 0 && same(mine, &theirs))
			return true;
	}
	return false;
}

static void audit_free(struct audit *a)
{
	if (a->fd >= 0)
		close(a->fd);
	g_free(a->path);
	g_free(a);
}

static bool refuse(const struct audit *a, const char *is, GError **error)
{
	g_set_error(error, RAWMAP_ERROR, RAWMAP_ERROR_USAGE,
		    "the record '%s' is %s; name another file", a->path, is);
	return false;
}

/* A pipe without a reader must not hold up the open. */
static bool open_record(struct audit *a, const struct session *s,
			const struct mountopts *opt, GError **error)
{
	struct stat st;

	a->fd = open(a->path,
		     O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
			     O_NONBLOCK,
		     0600);
	if (a->fd < 0 || fstat(a->fd, &st) < 0)
		return failed(a->path, "open", error);
	if (is_file(&st, s->source))
		return refuse(a, "the source itself", error);
	if (!S_ISREG(st.st_mode))
		return refuse(a, "no regular file", error);
	if (is_file(&st, opt->source.stack.ddrescue) ||
	    is_read_here(a->fd, &st))
		return refuse(a, "a part of what is mounted", error);
	return true;
}

struct audit *audit_begin(const char *path, const struct session *s,
			  const struct mountopts *opt, GError **error)
{
	struct audit *a = g_new0(struct audit, 1);
	struct json j;

	a->path = g_strdup(path);
	if (!open_record(a, s, opt, error)) {
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
