/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file holds nothing until the end, then "+", or "-" and a sentence. It is
 * written at once and never again; who reads it does so after the server's end.
 */
#include <rawmap/fuse/outcome.h>

#include <rawmap/base/log.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAME	"rawmap-outcome"
#define LONGEST 8192

int outcome_new(void)
{
	int fd = memfd_create(NAME, MFD_CLOEXEC);

	if (fd < 0)
		log_debug("no file for the outcome: %s", strerror(errno));
	return fd;
}

void outcome_set(int fd, const GError *why)
{
	g_autofree char *text =
		g_strconcat(why ? "-" : "+", why ? why->message : NULL, NULL);

	if (fd < 0)
		return;
	if (pwrite(fd, text, strlen(text), 0) < 0)
		log_debug("the outcome is not told: %s", strerror(errno));
	close(fd);
}

int outcome_open(pid_t pid, int fd)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/fd/%d", (int)pid, fd);
	g_autofree char *link = g_file_read_link(path, NULL);

	/* Only what this very module made may be opened like that. */
	if (fd < 0 || !link || !g_str_has_prefix(link, "/memfd:" NAME " "))
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC);
}

enum outcome outcome_read(int fd, char **ret_why)
{
	char text[LONGEST];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return OUTCOME_NONE;
	text[n] = '\0';
	if (text[0] == '+')
		return OUTCOME_DURABLE;
	*ret_why = g_strdup(text + 1);
	return OUTCOME_FAILED;
}
