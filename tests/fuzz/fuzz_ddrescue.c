/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any file at all as a map: it is read or refused with a sentence, and what was
 * read are ranges in order, none outside, or nothing was added.
 */
#include <rawmap/base/error.h>
#include <rawmap/dev/ddrescue.h>

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_set(const struct badranges *bad)
{
	uint64_t total = 0, end = 0;

	for (size_t i = 0; i < badranges_count(bad); i++) {
		struct badrange r = badranges_at(bad, i);

		g_assert(r.len && (!i || r.start.v > end));
		end = r.start.v + r.len;
		g_assert(end > r.start.v && end <= INT64_MAX);
		total += r.len;
	}
	g_assert(badranges_total(bad) == total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct badranges *bad = badranges_new(BADRANGES_MAX);
	int fd = memfd_create("map", MFD_CLOEXEC);
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
	GError *error = NULL;

	g_assert(fd >= 0);
	g_assert(write(fd, data, len) == (ssize_t)len);
	if (ddrescue_read(path, bad, &error)) {
		g_assert(!error);
		check_set(bad);
	} else {
		g_assert(error && error->domain == RAWMAP_ERROR &&
			 error->code == RAWMAP_ERROR_CORRUPT);
		g_assert(!badranges_count(bad));
	}
	g_clear_error(&error);
	badranges_free(bad);
	close(fd);
	return 0;
}
