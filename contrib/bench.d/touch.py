#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes a server load the map of FILE with few requests: SEEK_DATA in steps no
longer than what a leaf of an extent tree describes when it is at its worst, 340
extents of two blocks. Prints the
milliseconds that this took."""

import os
import sys
import time

STEP = 340 * 4096

descriptor = os.open(sys.argv[1], os.O_RDONLY)
start = time.monotonic()
size = os.fstat(descriptor).st_size
for position in range(0, size, STEP):
    try:
        os.lseek(descriptor, position, os.SEEK_DATA)
    except OSError:
        break
print("%.3f" % ((time.monotonic() - start) * 1000))
