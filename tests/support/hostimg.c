/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <support/hostimg.h>

#include <rawmap/dev/blkdev.h>
#include <rawmap/dev/filedev.h>
#include <rawmap/map/extent.h>

#include <glib/gstdio.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct hostimg {
	char *dir, *path;
};

/* Programs of e2fsprogs live in sbin, which users may not have in PATH. */
static char *tool(const char *name)
{
	static const char *const places[] = { "/usr/sbin", "/sbin" };
	char *path = g_find_program_in_path(name);

	for (unsigned i = 0; !path && i < G_N_ELEMENTS(places); i++) {
		path = g_build_filename(places[i], name, NULL);
		if (!g_file_test(path, G_FILE_TEST_IS_EXECUTABLE))
			g_clear_pointer(&path, g_free);
	}
	if (!path)
		g_error("hostimg: there is no program '%s'", name);
	return path;
}

/* Exit status; *ret_out gets standard output, *ret_err standard error. */
static int run(char **argv, char **ret_out, char **ret_err)
{
	g_autofree char *program = tool(argv[0]);
	char *name = argv[0];
	GError *error = NULL;
	int status;

	argv[0] = program;
	if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL,
			  ret_out, ret_err, &status, &error))
		g_error("hostimg: %s: %s", name, error->message);
	argv[0] = name;
	if (!WIFEXITED(status))
		g_error("hostimg: %s died, status %d", name, status);
	return WEXITSTATUS(status);
}

static void run_ok(char **argv)
{
	g_autofree char *out = NULL, *err = NULL;
	int status = run(argv, &out, &err);

	if (status)
		g_error("hostimg: %s exits with %d:\n%s%s", argv[0], status,
			out, err);
}

/* @program and the words of @args. */
static GPtrArray *args_new(const char *program, const char *args)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
	g_auto(GStrv) words = g_strsplit(args, " ", -1);

	g_ptr_array_add(argv, g_strdup(program));
	for (char **w = words; *w; w++)
		if (**w)
			g_ptr_array_add(argv, g_strdup(*w));
	return argv;
}

static void args_run(GPtrArray *argv)
{
	g_ptr_array_add(argv, NULL);
	run_ok((char **)argv->pdata);
	g_ptr_array_unref(argv);
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		g_error("hostimg: %s: %s", path, g_strerror(errno));
	return fd;
}

static void write_all(int fd, const uint8_t *buf, size_t len, uint64_t pos)
{
	while (len) {
		ssize_t n = pwrite(fd, buf, len, (off_t)pos);

		if (n <= 0)
			g_error("hostimg: write: %s", g_strerror(errno));
		buf += n;
		pos += (uint64_t)n;
		len -= (size_t)n;
	}
}

static void set_size(int fd, uint64_t size)
{
	if (ftruncate(fd, (off_t)size))
		g_error("hostimg: truncate: %s", g_strerror(errno));
}

static void remove_dir(const char *path)
{
	GDir *dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *file = g_build_filename(path, name, NULL);

		g_unlink(file);
	}
	if (dir)
		g_dir_close(dir);
	g_rmdir(path);
}

struct hostimg *hostimg_make(const struct hostimg_spec *spec)
{
	struct hostimg *img = g_new0(struct hostimg, 1);
	uint64_t size = spec->size ? spec->size : UINT64_C(8) << 20;
	GError *error = NULL;
	GPtrArray *argv;
	int fd;

	img->dir = g_dir_make_tmp("rawmap-host-XXXXXX", &error);
	if (!img->dir)
		g_error("hostimg: %s", error->message);
	img->path = g_build_filename(img->dir, "image", NULL);
	fd = open_or_die(img->path, O_RDWR | O_CREAT);
	set_size(fd, size);
	close(fd);
	argv = args_new("mke2fs", spec->mkfs ? spec->mkfs : "-t ext4");
	g_ptr_array_add(argv, g_strdup("-q"));
	g_ptr_array_add(argv, g_strdup("-F"));
	g_ptr_array_add(argv, g_strdup(img->path));
	args_run(argv);
	return img;
}

void hostimg_free(struct hostimg *img)
{
	if (!img)
		return;
	remove_dir(img->dir);
	g_free(img->dir);
	g_free(img->path);
	g_free(img);
}

const char *hostimg_path(const struct hostimg *img)
{
	return img->path;
}

const char *hostimg_dir(const struct hostimg *img)
{
	return img->dir;
}

struct blkdev *hostimg_dev(struct hostimg *img, bool readonly)
{
	const struct filedev_options opt = {
		.readonly = readonly,
		.direct = FILEDEV_DIRECT_OFF,
	};
	GError *error = NULL;
	struct blkdev *dev = filedev_open(img->path, &opt, &error);

	if (!dev)
		g_error("hostimg: %s", error->message);
	return dev;
}

uint8_t *hostimg_bytes(struct hostimg *img, size_t *ret_len)
{
	GError *error = NULL;
	char *bytes;

	if (!g_file_get_contents(img->path, &bytes, ret_len, &error))
		g_error("hostimg: %s", error->message);
	return (uint8_t *)bytes;
}

void hostimg_store(struct hostimg *img, const void *bytes, size_t len)
{
	int fd = open_or_die(img->path, O_RDWR | O_TRUNC);

	write_all(fd, bytes, len, 0);
	close(fd);
}

/* debugfs exits with 0 whatever happened; what it says beyond its banner on
   standard error is the only sign. */
static void check_debugfs(const char *err, const char *commands)
{
	g_auto(GStrv) lines = g_strsplit(err, "\n", -1);

	for (char **l = lines; *l; l++)
		if (**l && !g_str_has_prefix(*l, "debugfs 1."))
			g_error("hostimg: debugfs: %s\nin\n%s", *l, commands);
}

void hostimg_edit(struct hostimg *img, const char *fmt, ...)
{
	g_autofree char *script = g_build_filename(img->dir, "commands", NULL);
	g_autofree char *commands = NULL, *out = NULL, *err = NULL;
	char *argv[] = { "debugfs", "-w", "-f", script, img->path, NULL };
	GError *error = NULL;
	va_list args;

	va_start(args, fmt);
	commands = g_strdup_vprintf(fmt, args);
	va_end(args);
	if (!g_file_set_contents(script, commands, -1, &error))
		g_error("hostimg: %s", error->message);
	run(argv, &out, &err);
	check_debugfs(err, commands);
}

char *hostimg_ask(struct hostimg *img, const char *fmt, ...)
{
	g_autofree char *command = NULL, *err = NULL;
	char *argv[] = { "debugfs", "-R", NULL, img->path, NULL };
	char *out = NULL;
	va_list args;

	va_start(args, fmt);
	command = g_strdup_vprintf(fmt, args);
	va_end(args);
	argv[2] = command;
	run(argv, &out, &err);
	return out;
}

uint8_t hostimg_pattern(uint32_t seed, uint64_t pos)
{
	uint64_t n = (pos / 512 + 1) * UINT64_C(0x9e3779b97f4a7c15) + seed;

	return (uint8_t)(((n >> 32) + pos) % 255 + 1);
}

void hostimg_put(struct hostimg *img, const char *name, uint32_t seed,
		 uint64_t size, const struct hostimg_piece *pieces, size_t n)
{
	g_autofree char *local = g_build_filename(img->dir, "data", NULL);
	uint8_t buf[4096];
	int fd = open_or_die(local, O_RDWR | O_CREAT | O_TRUNC);

	set_size(fd, size);
	for (size_t i = 0; i < n; i++) {
		uint64_t pos = pieces[i].start, left = pieces[i].len;

		while (left) {
			size_t len = left < sizeof(buf) ? left : sizeof(buf);

			for (size_t k = 0; k < len; k++)
				buf[k] = hostimg_pattern(seed, pos + k);
			write_all(fd, buf, len, pos);
			pos += len;
			left -= len;
		}
	}
	close(fd);
	hostimg_edit(img, "write %s %s\n", local, name);
	g_unlink(local);
}

void hostimg_put_comb(struct hostimg *img, const char *name, uint32_t seed,
		      uint32_t bs, uint32_t n)
{
	g_autofree struct hostimg_piece *pieces =
		g_new(struct hostimg_piece, n);

	for (uint32_t i = 0; i < n; i++)
		pieces[i] = (struct hostimg_piece){ 2 * (uint64_t)i * bs, bs };
	hostimg_put(img, name, seed, 2 * (uint64_t)n * bs, pieces, n);
}

uint8_t *hostimg_cat(struct hostimg *img, const char *file, size_t *ret_len)
{
	g_autofree char *local = g_build_filename(img->dir, "dump", NULL);
	GError *error = NULL;
	char *bytes;

	g_unlink(local);
	g_free(hostimg_ask(img, "dump %s %s", file, local));
	if (!g_file_get_contents(local, &bytes, ret_len, &error))
		g_error("hostimg: %s", error->message);
	g_unlink(local);
	return (uint8_t *)bytes;
}

static void append_extent(GArray *list, const struct extent *e)
{
	struct extent *last = NULL;

	if (list->len)
		last = &g_array_index(list, struct extent, list->len - 1);
	if (last && last->state == e->state && extent_end(last) == e->start.v &&
	    last->phys.v + last->len == e->phys.v)
		last->len += e->len;
	else
		g_array_append_val(list, *e);
}

/* "(0-11):100-111", "(7[u]):3", "(IND):5", "(ETB0):9" of debugfs' stat. */
static void parse_item(const char *item, bool tree, GArray *list)
{
	struct extent e = { .len = 1, .state = EXTENT_MAPPED };
	const char *colon = strstr(item, "):");
	bool is_tree;
	char *end;

	if (item[0] != '(' || !colon)
		return;
	is_tree = g_ascii_isalpha(item[1]);
	if (is_tree != tree)
		return;
	if (!is_tree) {
		e.start = lblk_at(g_ascii_strtoull(item + 1, &end, 10));
		if (*end == '-')
			e.len = g_ascii_strtoull(end + 1, &end, 10) -
				e.start.v + 1;
		if (*end == '[')
			e.state = EXTENT_UNWRITTEN;
	} else {
		e.start = lblk_at(2 * (uint64_t)list->len);
	}
	e.phys = pblk_at(g_ascii_strtoull(colon + 2, NULL, 10));
	append_extent(list, &e);
}

static GArray *parse_stat(struct hostimg *img, const char *file, bool tree)
{
	GArray *list = g_array_new(FALSE, FALSE, sizeof(struct extent));
	g_autofree char *out = hostimg_ask(img, "stat %s", file);
	const char *start = strstr(out, "BLOCKS:\n");
	g_auto(GStrv) items = NULL;

	if (!start)
		start = strstr(out, "EXTENTS:\n");
	if (!start)
		return list;
	items = g_strsplit_set(strchr(start, '\n'), "\n ", -1);
	for (char **i = items; *i; i++)
		parse_item(*i, tree, list);
	return list;
}

GArray *hostimg_extents(struct hostimg *img, const char *file)
{
	return parse_stat(img, file, false);
}

GArray *hostimg_tree_blocks(struct hostimg *img, const char *file)
{
	return parse_stat(img, file, true);
}

static int fsck(struct hostimg *img, char *how, char **ret_out)
{
	char *argv[] = { "e2fsck", how, img->path, NULL };
	g_autofree char *out = NULL, *err = NULL;
	int status = run(argv, &out, &err);

	if (ret_out)
		*ret_out = g_strconcat(out, err, NULL);
	return status;
}

int hostimg_fsck(struct hostimg *img, char **ret_out)
{
	return fsck(img, "-fn", ret_out);
}

int hostimg_preen(struct hostimg *img, char **ret_out)
{
	return fsck(img, "-p", ret_out);
}

void hostimg_index_dirs(struct hostimg *img)
{
	g_autofree char *out = NULL;
	int status = fsck(img, "-fyD", &out);

	if (status > 1)
		g_error("hostimg: e2fsck -fyD exits with %d:\n%s", status, out);
}

void hostimg_tune(struct hostimg *img, const char *args)
{
	GPtrArray *argv = args_new("tune2fs", args);

	g_ptr_array_add(argv, g_strdup(img->path));
	args_run(argv);
}

void hostimg_grow(struct hostimg *img)
{
	GPtrArray *argv = args_new("resize2fs", "-f");

	g_ptr_array_add(argv, g_strdup(img->path));
	args_run(argv);
}
