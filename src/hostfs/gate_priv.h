/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of features, and the gate of the recovery. */
#ifndef HOSTFS_GATE_PRIV_H
#define HOSTFS_GATE_PRIV_H

#include "hostfs_priv.h"

/* Worse is larger. */
enum feature_policy { FEATURE_WRITABLE, FEATURE_READABLE, FEATURE_REFUSED };

struct feature {
	unsigned set; /* 0 compat, 1 incompat, 2 ro_compat */
	uint32_t bit;
	const char *name; /* NULL when it is not known */
	enum feature_policy policy;
	const char *why; /* not all is allowed, and the way out */
};

/*
 * The feature of the superblock that allows least; false when all may be
 * written. The caller frees *ret_name.
 */
bool feature_worst(const struct ext2_super_block *super, struct feature *ret,
		   char **ret_name);

/* The superblock's checksum, where it has one. */
bool gate_csum_ok(const struct ext2_super_block *super);

/*
 * May the journal of the host with this superblock be applied to it? Else a
 * sentence: CORRUPT, UNSUPPORTED. What passes has sane numbers.
 */
bool gate_check_recover(const struct ext2_super_block *super,
			uint64_t device_size, const char *name, bool dry_run,
			GError **error);

#endif
