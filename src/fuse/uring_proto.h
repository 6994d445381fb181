/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * FUSE over io_uring as the kernel speaks it (protocol 7.42, linux/fuse.h), for
 * systems whose headers are older than their kernel.
 */
#ifndef RAWMAP_URING_PROTO_H
#define RAWMAP_URING_PROTO_H

#include "uring_priv.h"

#include <linux/fuse.h>

#ifndef FUSE_OVER_IO_URING
#define FUSE_OVER_IO_URING (UINT64_C(1) << 41)

struct fuse_uring_ent_in_out {
	uint64_t flags;
	uint64_t commit_id;
	uint32_t payload_sz;
	uint32_t padding;
	uint64_t reserved;
};

struct fuse_uring_req_header {
	char in_out[128];
	char op_in[128];
	struct fuse_uring_ent_in_out ring_ent_in_out;
};

struct fuse_uring_cmd_req {
	uint64_t flags;
	uint64_t commit_id;
	uint16_t qid;
	uint8_t padding[6];
};

enum fuse_uring_cmd {
	FUSE_IO_URING_CMD_REGISTER = 1,
	FUSE_IO_URING_CMD_COMMIT_AND_FETCH = 2,
};
#endif

G_STATIC_ASSERT(sizeof(struct fuse_uring_req_header) == 288);
G_STATIC_ASSERT(sizeof(struct fuse_uring_cmd_req) == 24);

/* What a ring has to be made with: a command is longer than an I/O. */
#define URING_WIDE    IORING_SETUP_SQE128
#define URING_SQE_LEN 128

/* libfuse's reply to what an entry has. False: no entry has that. */
bool entry_relay(struct uring *u, const struct fuse_out_header *out,
		 const void *data);

#endif
