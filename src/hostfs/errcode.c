/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libext2fs' error codes: the system's errno values lie among them below 256,
 * all others are its own. Most of its own complain about what is on disk.
 */
#include "hostfs_priv.h"

#include <errno.h>
#include <et/com_err.h>

#define ERRNO_END 256

int errcode_to_errno(errcode_t err)
{
	if (err >= 0 && err < ERRNO_END)
		return -(int)err;
	switch (err) {
	case EXT2_ET_NO_MEMORY:
		return -ENOMEM;
	case EXT2_ET_BLOCK_ALLOC_FAIL:
		return -ENOSPC;
	case EXT2_ET_FILE_NOT_FOUND:
		return -ENOENT;
	case EXT2_ET_NO_DIRECTORY:
		return -ENOTDIR;
	case EXT2_ET_SYMLINK_LOOP:
		return -ELOOP;
	case EXT2_ET_RO_FILSYS:
		return -EROFS;
	case EXT2_ET_FILE_TOO_BIG:
		return -EFBIG;
	case EXT2_ET_SHORT_READ:
	case EXT2_ET_SHORT_WRITE:
		return -EIO;
	default:
		return -EUCLEAN;
	}
}

const char *errcode_text(errcode_t err)
{
	const char *text;

	if (err >= 0 && err < ERRNO_END)
		return g_strerror((int)err);
	text = error_message(err);
	return text && *text ? text : "unknown error";
}
