#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tree of the steady copy, and the watch over the copying of it.

    copy.py tree DIRECTORY BYTES
    copy.py watch TREE INNER DEVICE-STAT SERIES

Progress is what the inner filesystem counts as used, blocks and inodes: it
moves whoever copies and whatever is still in memory. During the final sync it
is the sectors written to the raw device. The longest stall is the longest time
in which neither kind moved in its phase. SERIES gets a line for each tenth of a
second: the second, and the MiB/s in it.
"""

import os
import random
import subprocess
import sys
import threading
import time

STEP = 0.01
LINE = 0.1


def make_tree(root, size):
    """Two fifths in small files of 1 to 64 KiB, the rest in sixteen large."""
    rng = random.Random(1)
    noise = rng.randbytes(1 << 20)
    small, number = size * 2 // 5, 0
    while small > 0:
        length = int(2 ** rng.uniform(10, 16))
        folder = os.path.join(root, "%03d" % (number // 100))
        if number % 100 == 0:
            os.makedirs(folder)
        start = rng.randrange(len(noise) - length)
        with open(os.path.join(folder, "%05d" % number), "wb") as file:
            file.write(noise[start:start + length])
        small -= length
        number += 1
    os.makedirs(os.path.join(root, "large"), exist_ok=True)
    for number in range(16):
        with open(os.path.join(root, "large", str(number)), "wb") as file:
            left = size * 3 // 5 // 16
            while left > 0:
                left -= file.write(noise[:min(left, len(noise))])


class Watch(threading.Thread):
    """Looks at the two counters until it is stopped."""

    def __init__(self, inner, stat):
        super().__init__(daemon=True)
        self.inner, self.stat = inner, stat
        self.start_time = time.monotonic()
        self.syncing = self.stopped = False
        self.stall = 0.0
        self.series = []

    def used(self):
        state = os.statvfs(self.inner)
        return ((state.f_blocks - state.f_bfree) * state.f_frsize,
                state.f_files - state.f_ffree)

    def sectors(self):
        with open(self.stat) as file:
            return int(file.read().split()[6])

    def run(self):
        first = last = self.used()
        moved = written = self.start_time
        line = (self.start_time, first[0])
        phase = False
        while not self.stopped:
            syncing = self.syncing
            now_used = self.sectors() if syncing else self.used()
            now = time.monotonic()
            if syncing != phase:
                # The wait that ends here belongs to the copying.
                self.stall = max(self.stall, now - moved)
                phase, moved = syncing, now
            elif now_used != last:
                self.stall = max(self.stall, now - moved)
                moved = now
            last = now_used
            if not syncing and now - written >= LINE:
                rate = (now_used[0] - line[1]) / (now - line[0]) / 1048576
                self.series.append((now - self.start_time, rate))
                line = (now, now_used[0])
                written = now
            time.sleep(STEP)
        self.stall = max(self.stall, time.monotonic() - moved)


def tree_size(root):
    return sum(os.lstat(os.path.join(folder, name)).st_size
               for folder, _, names in os.walk(root) for name in names)


def watch(tree, inner, stat, series):
    size = tree_size(tree)
    watcher = Watch(inner, stat)
    for name in ("cpio", "rsync"):
        os.mkdir(os.path.join(inner, name))
    watcher.start()
    start = time.monotonic()
    subprocess.run(["sh", "-c", 'find . -print0 | cpio -0 -pdm --quiet "$1"',
                    "sh", os.path.join(inner, "cpio")], check=True, cwd=tree)
    subprocess.run(["rsync", "-a", tree + "/", os.path.join(inner, "rsync")],
                   check=True)
    copied = time.monotonic()
    watcher.syncing = True
    subprocess.run(["sync", "-f", inner], check=True)
    end = time.monotonic()
    watcher.stopped = True
    watcher.join()
    with open(series, "w") as file:
        for second, rate in watcher.series:
            file.write("%.2f\t%.1f\n" % (second, rate))
    for quantity, value in (("mibs", 2 * size / 1048576 / (end - start)),
                            ("seconds", end - start),
                            ("sync_seconds", end - copied),
                            ("stall_seconds", watcher.stall)):
        print("%s\t%.4g" % (quantity, value))


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "tree":
        make_tree(sys.argv[2], int(sys.argv[3]))
    elif len(sys.argv) == 6 and sys.argv[1] == "watch":
        watch(*sys.argv[2:])
    else:
        sys.exit("usage: copy.py tree|watch ...")


main()
