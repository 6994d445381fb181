/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One state before its judges. The bytes are a file without a name (memfd),
 * mapped here and reached by the tools through /proc: no disk has a part in
 * it, and nothing stays behind.
 */
#include <support/crashlab_priv.h>

#include <rawmap/base/error.h>
#include <rawmap/dev/filedev.h>

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define S_STATE	      (1024 + 58)
#define EXT2_VALID_FS 1

bool crashlab_is_clean(const uint8_t *bytes)
{
	return bytes[S_STATE] & EXT2_VALID_FS;
}

/* ---- tools ---- */

static char *path_of(int fd)
{
	return g_strdup_printf("/proc/%d/fd/%d", (int)getpid(), fd);
}

/* What is in out_fd now (g_free()), with a word's room behind it. */
static char *take_out(struct crashlab *lab, size_t *ret_len)
{
	off_t len = lseek(lab->out_fd, 0, SEEK_END);
	char *out;

	g_assert(len >= 0);
	out = g_malloc0((size_t)len + 8);
	for (off_t at = 0; at < len;) {
		ssize_t n =
			pread(lab->out_fd, out + at, (size_t)(len - at), at);

		g_assert(n > 0);
		at += n;
	}
	if (ret_len)
		*ret_len = (size_t)len;
	return out;
}

static void empty_out(struct crashlab *lab)
{
	if (ftruncate(lab->out_fd, 0) || lseek(lab->out_fd, 0, SEEK_SET))
		g_error("crashlab: %s", g_strerror(errno));
}

/* Exit status; output and errors go to @out, which may be -1. */
static int run(char **argv, int out)
{
	posix_spawn_file_actions_t actions;
	int status, err;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	for (int fd = 1; fd <= 2; fd++) {
		if (out >= 0)
			posix_spawn_file_actions_adddup2(&actions, out, fd);
		else
			posix_spawn_file_actions_addopen(
				&actions, fd, "/dev/null", O_WRONLY, 0);
	}
	err = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
	if (err)
		g_error("crashlab: %s: %s", argv[0], g_strerror(err));
	posix_spawn_file_actions_destroy(&actions);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			g_error("crashlab: %s", g_strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Programs of e2fsprogs live in sbin, which users may not have in PATH. */
static char *tool(const char *name)
{
	char *path = g_find_program_in_path(name);

	return path ? path : g_build_filename("/usr/sbin", name, NULL);
}

static int fsck(struct crashlab *lab, char *how, char **ret_out)
{
	g_autofree char *program = tool("e2fsck"), *path = path_of(lab->fd);
	char *argv[] = { program, how, path, NULL };
	int status;

	empty_out(lab);
	status = run(argv, lab->out_fd);
	*ret_out = take_out(lab, NULL);
	return status;
}

/* ---- judges ---- */

static char *judge_dump(struct crashlab *lab, struct oracle_window w)
{
	g_autofree char *program = tool("debugfs"), *path = path_of(lab->fd);
	g_autofree char *out = path_of(lab->out_fd);
	g_autofree char *command =
		g_strdup_printf("dump " CRASHLAB_IMAGE " %s", out);
	char *argv[] = { program, "-R", command, path, NULL };
	g_autofree char *bytes = NULL, *wrong = NULL;
	size_t len;

	empty_out(lab);
	run(argv, -1);
	bytes = take_out(lab, &len);
	wrong = oracle_judge_bytes(lab->oracle, w, (uint8_t *)bytes, len);
	return wrong ? g_strconcat("debugfs: ", wrong, NULL) : NULL;
}

static struct blkdev *state_dev(struct crashlab *lab, bool readonly)
{
	const struct filedev_options opt = {
		.readonly = readonly,
		.direct = FILEDEV_DIRECT_OFF,
	};
	g_autofree char *path = path_of(lab->fd);
	GError *error = NULL;
	struct blkdev *dev = filedev_open(path, &opt, &error);

	if (!dev)
		g_error("crashlab: %s", error->message);
	return dev;
}

/* The engine reads it, read-only. */
static char *judge_content(struct crashlab *lab, struct oracle_window w,
			   const char *when)
{
	const struct hostfs_options opt = { .readonly = true };
	g_autoptr(blkdev) dev = state_dev(lab, true);
	g_autoptr(GError) error = NULL;
	struct hostfs *fs = hostfs_open(dev, &opt, &error);
	g_autofree char *wrong = NULL;
	struct hostfile *hf = NULL;
	struct image *img;

	if (fs)
		hf = hostfile_open(fs, CRASHLAB_IMAGE, 1 << 20, &error);
	if (!hf) {
		hostfs_close(fs);
		return g_strdup_printf("%s: %s", when, error->message);
	}
	img = image_new(hf, true);
	wrong = hostfile_check(hf);
	if (!wrong)
		wrong = oracle_judge(lab->oracle, w, img);
	image_free(img);
	hostfs_close(fs);
	return wrong ? g_strdup_printf("%s: %s", when, wrong) : NULL;
}

/* Not clean: nobody may write there. */
static char *judge_refusal(struct crashlab *lab)
{
	const struct hostfs_options opt = { .use_reserved = true };
	g_autoptr(blkdev) dev = state_dev(lab, false);
	g_autoptr(GError) error = NULL;
	struct hostfs *fs = hostfs_open(dev, &opt, &error);

	if (fs) {
		hostfs_abandon(fs);
		return g_strdup("opened for writing, and not clean");
	}
	if (!g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_DIRTY))
		return g_strdup_printf("refused, but with: %s", error->message);
	return NULL;
}

/* What e2fsck -p may have to say. */
static bool line_allowed(const struct crashlab *lab, const char *line)
{
	static const char *const always[] = {
		"was not cleanly unmounted, check forced",
		"Free blocks count wrong",
		"Block bitmap differences",
		/* A bitmap and its descriptor are two blocks. */
		"block bitmap does not match checksum",
		/* The first bitmap of a group that had none so far. */
		"Padding at end of block bitmap is not set",
		/* Advice, not an error. */
		"could be narrower.  IGNORED",
		"could be shorter.  IGNORED",
		" files (",
	};
	static const char *const inode[] = { "i_blocks is", "i_size is" };

	for (unsigned i = 0; i < G_N_ELEMENTS(always); i++)
		if (strstr(line, always[i]))
			return true;
	for (unsigned i = 0; i < G_N_ELEMENTS(inode); i++)
		if (strstr(line, inode[i]))
			return !lab->extents || lab->spec.full;
	return !*line || !strcmp(line, "FIXED.");
}

static char *judge_repairs(const struct crashlab *lab, const char *out)
{
	g_auto(GStrv) lines = g_strsplit(out, "\n", -1);

	for (char **l = lines; *l; l++)
		if (!line_allowed(lab, *l))
			return g_strdup_printf("e2fsck -p repairs '%s':\n%s",
					       *l, out);
	return NULL;
}

static char *judge_preen(struct crashlab *lab, struct crashlab_result *ret)
{
	g_autofree char *out = NULL, *again = NULL;
	int status = fsck(lab, "-p", &out);

	ret->repaired += status != 0;
	if (status <= 1)
		return judge_repairs(lab, out);
	if (!lab->spec.full)
		return g_strdup_printf("e2fsck -p: %d\n%s", status, out);
	ret->forced++;
	status = fsck(lab, "-fy", &again);
	return status <= 1
		       ? NULL
		       : g_strdup_printf("e2fsck -fy: %d\n%s", status, again);
}

static char *judge_consistency(struct crashlab *lab, bool clean)
{
	g_autofree char *out = NULL;
	int status = fsck(lab, "-fn", &out);

	if (!status)
		return NULL;
	return g_strdup_printf("%s, and e2fsck -fn: %d\n%s",
			       clean ? "marked clean" : "after the repair",
			       status, out);
}

char *crashlab_verdict(struct crashlab *lab, const struct crashlab_verdict *v,
		       struct crashlab_result *ret)
{
	bool clean = crashlab_is_clean(lab->state);
	char *wrong = NULL;

	if (clean && v->must_be_dirty)
		return g_strdup("marked clean in the middle of changes");
	if (!lab->spec.full)
		wrong = judge_content(lab, v->window, "before the repair");
	if (!wrong && !clean)
		wrong = judge_refusal(lab);
	if (!wrong && !clean)
		wrong = judge_preen(lab, ret);
	if (!wrong)
		wrong = judge_consistency(lab, clean);
	if (!wrong)
		wrong = judge_content(lab, v->window, "after the repair");
	if (!wrong && v->dump)
		wrong = judge_dump(lab, v->window);
	return wrong;
}
