# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the benchmark aims at, as a table, and the judgement of results by it."""

IO = ["randread4k-qd1", "randread4k-qd32", "randwrite4k-qd1", "randwrite4k-qd32",
      "seqread1m", "seqwrite1m", "mix4k-qd32", "overwrite-fsync"]
FILLS = ["fill-seq", "fill-rand", "fill-fsync"]
SEQUENTIAL = ["seqread1m", "seqwrite1m", "fill-seq"]
PEERS = ["fuse2fs", "nbdkit", "qsd"]
# Its filter takes a flush and does not pass it on: not the same work.
NO_FLUSH = {"nbdkit": ["overwrite-fsync", "fill-fsync"]}

# Against the kernel's loop device with direct I/O: at least.
SPEED = {"seqread1m": 1.0, "seqwrite1m": 1.0, "randwrite4k-qd32": 1.0,
         "randread4k-qd32": 0.95, "randread4k-qd1": 0.75, "fill-seq": 0.9,
         "fill-rand": 0.7, "overwrite-fsync": 0.9}
# The same with requests through io_uring, where that changes the aim.
PASSAGE = {"randread4k-qd1": 0.9}
PEER = 1.5          # against the best FUSE peer, everywhere: at least
CPU = 1.3           # CPU time for each GiB, against the kernel's: at most
STALL = 0.2         # of the buffered loop device's: at most; or
STALL_SECONDS = 0.5
FRAGMENTS = 0.9     # fragmented against contiguous: at least
FIRST_BYTE_MS, HOT_MS, MEMORY_MIB = 50, 100, 24


def engine(results):
    """The rawmap that is judged: through a loop device, as the kernel's."""
    for name in ("rawmap-uring", "rawmap", "rawmap-threads"):
        for workload, servers in results.values.items():
            if name in servers and not workload.startswith(
                    ("setup", "mount", "layout")):
                return name
    return "rawmap"


def unit(workload):
    return "mibs" if "1m" in workload or workload == "fill-seq" else "iops"


def aim(what, rawmap, other, figure, bound, most=False, measure=""):
    return {"what": what, "rawmap": rawmap, "other": other, "figure": figure,
            "aim": "%s %g%s" % ("<=" if most else ">=", bound, measure),
            "met": figure <= bound if most else figure >= bound}


def against_kernel(results, mine):
    for table, quantity, most, what in (
            (SPEED, None, False, "%s, against the kernel's loop"),
            (dict.fromkeys(SEQUENTIAL, CPU), "cpu", True,
             "%s, CPU per GiB, against the kernel's loop")):
        for workload, bound in table.items():
            of = quantity or unit(workload)
            figure = results.ratio((workload, mine, of),
                                   (workload, "kernel", of))
            if figure is not None:
                yield aim(what % workload, results.median(workload, mine, of),
                          results.median(workload, "kernel", of), figure,
                          bound, most)


def against_kernel_with_passage(results):
    for workload, bound in PASSAGE.items():
        of = unit(workload)
        figure = results.ratio((workload, "rawmap-io_uring", of),
                               (workload, "kernel", of))
        if figure is not None:
            yield aim("%s through io_uring, against the kernel's loop" % workload,
                      results.median(workload, "rawmap-io_uring", of),
                      results.median(workload, "kernel", of), figure, bound)


def against_peers(results, mine):
    for workload in IO + FILLS:
        of = unit(workload)
        best = None
        for peer in PEERS:
            if workload in NO_FLUSH.get(peer, []):
                continue
            figure = results.ratio((workload, mine, of), (workload, peer, of))
            if figure is not None and (best is None or figure < best[0]):
                best = (figure, peer)
        if best:
            yield aim("%s, against %s" % (workload, best[1]),
                      results.median(workload, mine, of),
                      results.median(workload, best[1], of), best[0], PEER)


def copying(results, mine):
    stall = results.median("copy", mine, "stall_seconds")
    theirs = results.median("copy", "kernel-buffered", "stall_seconds")
    if stall is not None:
        bound = max(STALL_SECONDS, STALL * theirs) if theirs else STALL_SECONDS
        yield aim("copy, longest stall", stall, theirs, stall, bound, True, " s")


def maps(results, mine):
    figure = results.ratio(("frag-fragmented", mine, "iops"),
                           ("frag-contiguous", mine, "iops"))
    if figure is not None:
        yield aim("fragmented, against contiguous",
                  results.median("frag-fragmented", mine, "iops"),
                  results.median("frag-contiguous", mine, "iops"),
                  figure, FRAGMENTS)
    for quantity, bound, what in (
            ("first_byte_ms", FIRST_BYTE_MS, "most extents: mount to first byte"),
            ("hot_ms", HOT_MS, "most extents: whole map hot")):
        value = results.median("setup-1000000", "rawmap", quantity)
        if value is not None:
            yield aim(what, value, None, value, bound, True, " ms")
    kib = results.median("setup-1000000", "rawmap", "rss_kib")
    if kib is not None:
        yield aim("most extents: memory, MiB", kib / 1024, None, kib / 1024,
                  MEMORY_MIB, True, " MiB")


def judge(results):
    mine = engine(results)
    yield from against_kernel_with_passage(results)
    for part in (against_kernel, against_peers, copying, maps):
        yield from part(results, mine)
