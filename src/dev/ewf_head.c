/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The first bytes of a segment file.
 *
 *   bytes   first format              second format
 *   0       "EVF" (L01: "LVF") ...    "EVF2" (Lx01: "LEF2") ...
 *   8       1                         version
 *   9       segment, 2 bytes
 *   12                                segment, 4 bytes
 */
#include "ewf_priv.h"

#include <rawmap/base/endian.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct head {
	char signature[8];
	union {
		struct __attribute__((packed)) {
			uint8_t one;
			le16 segment;
		} first;
		struct {
			uint8_t version[2];
			le16 compression;
			le32 segment;
		} second;
	};
};
_Static_assert(sizeof(struct head) == 16, "as on disk");

/* The eighth byte is the NUL of the string. */
static const struct signature {
	char bytes[8];
	bool logical, second;
} signatures[] = {
	{ "EVF\t\r\n\xff", false, false },
	{ "LVF\t\r\n\xff", true, false },
	{ "EVF2\r\n\x81", false, true },
	{ "LEF2\r\n\x81", true, true },
};

/* No device is opened for a look: some mind. Only an owner may O_NOATIME. */
static int open_regular(const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOATIME);
	return fd >= 0 ? fd : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static bool read_head(const char *path, struct head *head)
{
	int fd = open_regular(path);
	ssize_t n;

	if (fd < 0)
		return false;
	do {
		n = pread(fd, head, sizeof(*head), 0);
	} while (n < 0 && errno == EINTR);
	close(fd);
	return n == (ssize_t)sizeof(*head);
}

bool ewf_head_read(const char *path, struct ewf_head *ret)
{
	struct head head;

	if (!read_head(path, &head))
		return false;
	for (size_t i = 0; i < G_N_ELEMENTS(signatures); i++) {
		const struct signature *s = &signatures[i];

		if (memcmp(head.signature, s->bytes, sizeof(s->bytes)))
			continue;
		ret->logical = s->logical;
		ret->second = s->second;
		ret->segment = s->second ? le32_get(head.second.segment)
					 : le16_get(head.first.segment);
		return true;
	}
	return false;
}

bool ewf_recognises(const char *path)
{
	struct ewf_head head;

	return ewf_head_read(path, &head);
}
