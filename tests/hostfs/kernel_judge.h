/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two views of a host: every file that the kernel has is there, with the same
 * bytes, and of what it does not have there is none.
 *
 * A log that damage has cut off leaves a host that makes no sense: files may share
 * blocks. Nothing is said of files there that one of the two calls damaged; the
 * kernel does not ask for a checksum twice, whoever owns the block.
 */
#ifndef TESTS_HOSTFS_KERNEL_JUDGE_H
#define TESTS_HOSTFS_KERNEL_JUDGE_H

#include "kernel_load.h"
#include "replayed_bed.h"

#include <dirent.h>

struct judge {
	struct hostfs *fs;
	int root;
	bool damaged;
	guint files;
};

/* NULL: it cannot be read. */
static inline uint8_t *judge_read(int root, const char *path, size_t *ret_len)
{
	int fd = openat(root, path, O_RDONLY | O_CLOEXEC);
	uint8_t *bytes = NULL;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st)) {
		*ret_len = (size_t)st.st_size;
		bytes = g_malloc(*ret_len + 1);
		if (pread(fd, bytes, *ret_len, 0) != (ssize_t)*ret_len)
			g_clear_pointer(&bytes, g_free);
	}
	close(fd);
	return bytes;
}

static inline void judge_file(struct judge *judge, const char *path)
{
	g_autofree char *absolute = g_strdup_printf("/%s", path);
	size_t len = 0, their_len = 0;
	g_autofree uint8_t *ours = NULL;
	g_autoptr(GError) error = NULL;
	g_autofree uint8_t *theirs = judge_read(judge->root, path, &their_len);

	if (!theirs) {
		ck_assert_msg(judge->damaged, "the kernel cannot read %s",
			      path);
		return;
	}
	ours = seen_file_try(judge->fs, absolute, &len, &error);
	if (judge->damaged &&
	    g_error_matches(error, RAWMAP_ERROR, RAWMAP_ERROR_CORRUPT))
		return;
	ck_assert_msg(ours != NULL, "%s", error ? error->message : "");
	ck_assert_msg(len == their_len, "%s has %zu bytes, not %zu", path, len,
		      their_len);
	ck_assert_msg(!memcmp(ours, theirs, len), "%s has other bytes", path);
	judge->files++;
}

/* Every file of the kernel's below @folder. */
static inline void judge_folder(struct judge *judge, const char *folder)
{
	int fd =
		openat(judge->root, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	ck_assert_msg(dir || judge->damaged, "the kernel cannot read %s",
		      folder);
	if (!dir)
		return;
	while ((e = readdir(dir))) {
		g_autofree char *path =
			strcmp(folder, ".")
				? g_build_filename(folder, e->d_name, NULL)
				: g_strdup(e->d_name);

		if (e->d_type == DT_REG)
			judge_file(judge, path);
		else if (e->d_type == DT_DIR && e->d_name[0] != '.')
			judge_folder(judge, path);
	}
	closedir(dir);
}

static inline void judge_missing(struct judge *judge)
{
	char *name;

	for (guint i = 0; (name = load_name(i)); i++) {
		g_autofree char *path = g_strdup_printf("/%s", name);
		g_autofree uint8_t *ours = NULL;
		size_t len;

		/* For whatever reason: a folder may be damaged. */
		if (faccessat(judge->root, name, F_OK, AT_SYMLINK_NOFOLLOW))
			ours = seen_file_try(judge->fs, path, &len, NULL);
		ck_assert_msg(!ours, "%s should not be there", path);
		g_free(name);
	}
}

static inline guint judge_all(struct hostfs *fs, int root, bool damaged)
{
	struct judge judge = {
		.fs = fs,
		.root = root,
		.damaged = damaged,
	};

	judge_folder(&judge, ".");
	judge_missing(&judge);
	return judge.files;
}

#endif
