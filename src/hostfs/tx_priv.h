/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tx.c and tx_super.c share. */
#ifndef TX_PRIV_H
#define TX_PRIV_H

#include "hostfs_priv.h"

/*
 * Change s_state of the superblock on the source itself, past the overlay: @on
 * bits set, @off bits cleared, everything else as it stands there. Durable when
 * it returns 0. Else -EUCLEAN (no superblock there), -EIO.
 */
int super_change_state(struct hostfs *fs, uint16_t on, uint16_t off);

#endif
