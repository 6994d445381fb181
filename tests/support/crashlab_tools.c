/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * e2fsck and debugfs. The bytes of a host are a file without a name (memfd),
 * mapped here and reached by the tools through /proc: no disk has a part in it,
 * and nothing stays behind.
 */
#include <support/crashlab_priv.h>

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct crashlab_copy crashlab_copy_new(size_t size)
{
	struct crashlab_copy c = { .fd = memfd_create("state", MFD_CLOEXEC) };

	if (c.fd < 0 || ftruncate(c.fd, (off_t)size))
		g_error("crashlab: %s", g_strerror(errno));
	c.bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, c.fd, 0);
	g_assert(c.bytes != MAP_FAILED);
	return c;
}

void crashlab_copy_free(struct crashlab_copy *copy, size_t size)
{
	munmap(copy->bytes, size);
	close(copy->fd);
}

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

int crashlab_fsck(struct crashlab *lab, const struct crashlab_copy *c,
		  const char *how, char **ret_out)
{
	g_autofree char *program = tool("e2fsck"), *path = path_of(c->fd);
	g_autofree char *flags = g_strdup(how);
	char *argv[] = { program, flags, path, NULL };
	int status;

	empty_out(lab);
	status = run(argv, lab->out_fd);
	*ret_out = take_out(lab, NULL);
	return status;
}

uint8_t *crashlab_dump(struct crashlab *lab, const struct crashlab_copy *c,
		       size_t *ret_len)
{
	g_autofree char *program = tool("debugfs"), *path = path_of(c->fd);
	g_autofree char *out = path_of(lab->out_fd);
	g_autofree char *command =
		g_strdup_printf("dump " CRASHLAB_IMAGE " %s", out);
	char *argv[] = { program, "-R", command, path, NULL };

	empty_out(lab);
	run(argv, -1);
	return (uint8_t *)take_out(lab, ret_len);
}
