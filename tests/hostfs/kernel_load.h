/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random work on a mounted host: files written, cut, punched, renamed, linked
 * and removed, folders that come and go, a commit now and then. The same seed
 * does the same. Blocks of some files start with the journal's magic number, so
 * that a journal of data has to escape them.
 */
#ifndef TESTS_HOSTFS_KERNEL_LOAD_H
#define TESTS_HOSTFS_KERNEL_LOAD_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOAD_FOLDERS 4
#define LOAD_FILES   8
#define LOAD_CROWD   60
#define LOAD_POS_MAX 200000
#define LOAD_LEN_MAX 40000

struct load {
	int root;
	GRand *rand;
	bool fsync; /* single files, too */
};

static inline guint load_pick(struct load *l, guint n)
{
	return (guint)g_rand_int_range(l->rand, 0, (gint32)n);
}

/* Number @i of all names that there may ever be; NULL behind the last. */
static inline char *load_name(guint i)
{
	guint folder = i / LOAD_FILES, n = LOAD_FOLDERS * LOAD_FILES;

	if (i < n)
		return g_strdup_printf("d%u/f%u", folder, i % LOAD_FILES);
	i -= n;
	return i < LOAD_CROWD ? g_strdup_printf("crowd/%u", i) : NULL;
}

static inline char *load_any_name(struct load *l)
{
	return load_name(load_pick(l, LOAD_FOLDERS * LOAD_FILES));
}

static inline int load_open(struct load *l)
{
	g_autofree char *name = load_any_name(l);
	g_autofree char *folder = g_path_get_dirname(name);

	mkdirat(l->root, folder, 0755);
	return openat(l->root, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
}

static inline void load_write(struct load *l, int fd)
{
	static const uint8_t magic[] = { 0xc0, 0x3b, 0x39, 0x98 };
	size_t len = 1 + load_pick(l, LOAD_LEN_MAX);
	off_t pos = load_pick(l, LOAD_POS_MAX);
	g_autofree uint8_t *buf = g_malloc(len);

	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)g_rand_int(l->rand);
	if (load_pick(l, 3) == 0) {
		pos -= pos % 1024;
		for (size_t i = 0; i + 4 <= len; i += 1024)
			memcpy(buf + i, magic, sizeof(magic));
	}
	ck_assert_int_eq(pwrite(fd, buf, len, pos), (ssize_t)len);
	if (l->fsync && load_pick(l, 6) == 0)
		ck_assert_int_eq(fsync(fd), 0);
}

static inline void load_change(struct load *l)
{
	int fd = load_open(l);
	off_t pos = load_pick(l, LOAD_POS_MAX);
	off_t len = 1 + load_pick(l, LOAD_LEN_MAX);
	int err = 0;

	ck_assert_int_ge(fd, 0);
	switch (load_pick(l, 8)) {
	case 0:
		err = ftruncate(fd, pos) ? errno : 0;
		break;
	case 1:
		err = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				pos, len)
			      ? errno
			      : 0;
		break;
	case 2:
		err = fallocate(fd, 0, pos, len) ? errno : 0;
		break;
	default:
		load_write(l, fd);
	}
	/* ext3 has no unwritten blocks. */
	ck_assert(!err || err == EOPNOTSUPP);
	close(fd);
}

/* What is not there is not removed, renamed or linked: any answer will do. */
static inline void load_names(struct load *l)
{
	g_autofree char *a = load_any_name(l);
	g_autofree char *b = load_any_name(l);
	int rc = 0;

	switch (load_pick(l, 3)) {
	case 0:
		rc = unlinkat(l->root, a, 0);
		break;
	case 1:
		rc = renameat(l->root, a, l->root, b);
		break;
	default:
		rc = linkat(l->root, a, l->root, b, 0);
	}
	(void)rc;
}

/* Its blocks are freed, and become those of files: that takes revokes. */
static inline void load_remove_folder(struct load *l)
{
	guint folder = load_pick(l, LOAD_FOLDERS);
	g_autofree char *name = g_strdup_printf("d%u", folder);

	for (guint i = 0; i < LOAD_FILES; i++) {
		g_autofree char *file = load_name(folder * LOAD_FILES + i);

		unlinkat(l->root, file, 0);
	}
	unlinkat(l->root, name, AT_REMOVEDIR);
}

static inline void load_crowd(struct load *l)
{
	bool remove = mkdirat(l->root, "crowd", 0755) != 0;

	for (guint i = 0; i < LOAD_CROWD; i++) {
		g_autofree char *name = g_strdup_printf("crowd/%u", i);
		int fd;

		if (remove) {
			unlinkat(l->root, name, 0);
			continue;
		}
		fd = openat(l->root, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(write(fd, name, strlen(name)),
				 (ssize_t)strlen(name));
		close(fd);
	}
	if (remove)
		unlinkat(l->root, "crowd", AT_REMOVEDIR);
}

static inline void load_run(struct load *l, guint steps)
{
	for (guint i = 0; i < steps; i++) {
		guint what = load_pick(l, 100);

		if (what < 65)
			load_change(l);
		else if (what < 82)
			load_names(l);
		else if (what < 86)
			load_remove_folder(l);
		else if (what < 90)
			load_crowd(l);
		else
			ck_assert_int_eq(syncfs(l->root), 0);
	}
}

#endif
