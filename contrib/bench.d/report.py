#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Results of contrib/bench to tables, JSON and plots.

    report.py RESULTS OUT           prints; writes table.md, results.json, *.svg
    report.py --publish OUT PAGE    table.md into PAGE between its two marks, the
                                    plots into PAGE's folder of the same name

A figure is the median of its rounds. A ratio is the median of the ratios of the
rounds: both sides of each were taken within the same minute.
"""

import collections
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import targets

HERE = pathlib.Path(__file__).resolve().parent
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


class Results:
    """values[workload][server][quantity][round]; order as measured."""

    def __init__(self, path):
        self.values = {}
        self.machine = {}
        for line in open(path):
            workload, server, turn, quantity, value = line.rstrip("\n").split("\t")
            if workload == "machine":
                self.machine[quantity] = value
                continue
            try:
                number = float(value)
            except ValueError:
                continue
            self.values.setdefault(workload, {}).setdefault(
                server, {}).setdefault(quantity, {})[int(turn)] = number

    def rounds(self, workload, server, quantity):
        return self.values.get(workload, {}).get(server, {}).get(quantity, {})

    def median(self, workload, server, quantity):
        rounds = self.rounds(workload, server, quantity)
        return statistics.median(rounds.values()) if rounds else None

    def ratio(self, mine, theirs):
        """Of two (workload, server, quantity): median over common rounds."""
        mine, theirs = self.rounds(*mine), self.rounds(*theirs)
        both = [mine[turn] / theirs[turn] for turn in mine
                if theirs.get(turn)]
        return statistics.median(both) if both else None

    def servers(self, workloads):
        seen = collections.OrderedDict()
        for workload in workloads:
            for server in self.values.get(workload, {}):
                seen[server] = True
        return list(seen)


def number(value):
    if value is None:
        return "-"
    if value >= 10000:
        return "%.1fk" % (value / 1000)
    return "%.3g" % value if value < 100 else "%.0f" % value


def markdown(head, rows):
    """Aligned, so that it reads on a terminal too."""
    widths = [max(len(row[i]) for row in [head] + rows)
              for i in range(len(head))]
    def line(cells):
        return "| " + " | ".join(
            cell.ljust(widths[i]) if i == 0 else cell.rjust(widths[i])
            for i, cell in enumerate(cells)) + " |"
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    return "\n".join([line(head), line(rule)] + [line(row) for row in rows])


def by_server(results, rows):
    """rows of (label, workload, quantity): a line each, a column per server."""
    rows = [row for row in rows if row[1] in results.values]
    servers = results.servers([row[1] for row in rows])
    return rows and markdown([""] + servers, [
        [label] + [number(results.median(workload, server, quantity))
                   for server in servers]
        for label, workload, quantity in rows])


def aims_table(results):
    rows = []
    for aim in targets.judge(results):
        rows.append([aim["what"], number(aim["rawmap"]), number(aim["other"]),
                     number(aim["figure"]), aim["aim"],
                     "met" if aim["met"] else "missed"])
    return rows and markdown(
        ["what", "rawmap", "against", "figure", "aim", ""], rows)


def soundness(results):
    lines = []
    for workload, servers in results.values.items():
        for server, quantities in servers.items():
            bad = [turn for turn, sound in quantities.get("sound", {}).items()
                   if not sound]
            if bad:
                lines.append("- %s, %s: e2fsck finds errors in the host "
                             "afterwards (%d of %d rounds)" % (
                                 server, workload, len(bad),
                                 len(quantities["sound"])))
            if quantities.get("failed"):
                lines.append("- %s, %s: failed" % (server, workload))
    return "\n".join(lines)


def simple(results, prefix, columns):
    """One line for each workload and server whose name starts so."""
    rows = []
    for workload, servers in results.values.items():
        if workload.startswith(prefix):
            for server in servers:
                rows.append([workload, server] + [
                    number(results.median(workload, server, quantity))
                    for quantity, _ in columns])
    return rows and markdown(
        ["", "server"] + [title for _, title in columns], rows)


def sections(results):
    io = [(w, w, "mibs" if "1m" in w or w == "fill-seq" else "iops")
          for w in results.values if w in targets.IO + targets.FILLS]
    ram = [(w, w, "mibs" if "1m" in w else "iops")
           for w in results.values if w.startswith("ram-")]
    frag = [(w, w, "iops") for w in ("frag-fragmented", "frag-contiguous")]
    copy = [("MiB/s, sync included", "copy", "mibs"),
            ("seconds", "copy", "seconds"),
            ("seconds of the last sync", "copy", "sync_seconds"),
            ("longest stall, seconds", "copy", "stall_seconds"),
            ("CPU seconds, copying included", "copy", "cpu_seconds"),
            ("peak memory, KiB", "copy", "rss_kib")]
    costs = [w for _, w, _ in io]
    yield "Aims", aims_table(results)
    yield "Input and output: operations a second, MiB/s for 1m and fill-seq", \
        by_server(results, io)
    yield "99th percentile, microseconds", \
        by_server(results, [(w, w, "p99_us") for w in costs])
    yield "CPU seconds of the system for each GiB, fio's own left out", \
        by_server(results, [(w, w, "cpu") for w in costs])
    yield "Peak memory of the server, KiB", \
        by_server(results, [(w, w, "rss_kib") for w in costs])
    yield "A device as fast as memory", by_server(results, ram)
    yield "The steady copy", by_server(results, copy)
    yield "Fragments: 4k random reads at depth 32, operations a second", \
        by_server(results, frag)
    yield "Setting up a map of 1, 1000, 1000000 extents at 4G (fewer below)", \
        simple(results, "setup-", [
            ("mount_ms", "mounted, ms"), ("first_byte_ms", "first byte, ms"),
            ("first_extents", "extents read"), ("hot_ms", "all hot, ms"),
            ("hot_extents", "extents"), ("hot_bytes", "bytes"),
            ("rss_kib", "peak memory, KiB"),
            ("map_command_ms", "rawmap map, ms"), ("map_lines", "lines")])
    yield "Mounting", simple(results, "mount-", [
        ("mount_ms", "mounted, ms"), ("rss_kib", "peak memory, KiB")])
    yield "Extents that a sequential fill leaves", simple(results, "layout-", [
        ("extents", "extents"), ("mibs", "MiB/s, fsync included")])
    yield "What went wrong", soundness(results)


def text(results):
    about = results.machine
    lines = ["%s; %s cores, %s MiB, Linux %s; %s. Image of %s MiB, %s rounds, "
             "%s seconds each, %s; other programs kept %.1f cores busy at the "
             "start." % (
                 about["rawmap"], about["cores"], about["memory_mib"],
                 about["kernel"], about["processor"], about["size_mib"],
                 about["rounds"], about["seconds"], about["date"],
                 float(about["others_busy_cores"]))]
    if about["quick"] == "yes":
        lines.append("A quick run: too small and too short to say how fast "
                     "anything is.")
    for title, table in sections(results):
        if table:
            lines.append("### " + title + "\n\n" + table)
    return "\n\n".join(lines) + "\n"


def as_json(results):
    figures = {
        workload: {
            server: {quantity: {"median": statistics.median(rounds.values()),
                                "rounds": list(rounds.values())}
                     for quantity, rounds in quantities.items()}
            for server, quantities in servers.items()}
        for workload, servers in results.values.items()}
    return {"machine": results.machine, "figures": figures,
            "aims": list(targets.judge(results))}


# ---- plots

def ratio_rows(results, workloads, quantity):
    servers = [s for s in results.servers(workloads) if s != "kernel"]
    rows = []
    for workload in workloads:
        unit = quantity or ("mibs" if "1m" in workload or workload == "fill-seq"
                            else "iops")
        rows.append([workload] + [
            results.ratio((workload, server, unit), (workload, "kernel", unit))
            for server in servers])
    return servers, [row for row in rows if any(row[1:])]


def plot_bars(results, out, name, title, workloads, quantity=None,
              kind="bars"):
    servers, rows = ratio_rows(
        results, [w for w in results.values if w in workloads], quantity)
    if not rows:
        return
    data = out / "plot" / (name + ".dat")
    with open(data, "w") as file:
        file.write("\t".join(["workload"] + servers) + "\n")
        for row in rows:
            file.write("\t".join([row[0]] + ["?" if cell is None else
                                             "%.4g" % cell
                                             for cell in row[1:]]) + "\n")
    gnuplot(out / (name + ".svg"), kind, title, str(data), len(servers) + 1)


def plot_copy(results, out):
    names = [server for server in results.values.get("copy", {})
             if (out / ("copy-%s-1.tsv" % server)).exists()]
    if names:
        data = " ".join("%s=%s" % (n, out / ("copy-%s-1.tsv" % n)) for n in names)
        gnuplot(out / "copy.svg", "lines", "The steady copy, MiB/s over seconds",
                data, len(names))


def gnuplot(svg, kind, title, data, columns):
    subprocess.run(["gnuplot", "-e",
                    "svg='%s'; kind='%s'; heading='%s'; data='%s'; columns=%d"
                    % (svg, kind, title, data, columns),
                    str(HERE / "plots.gp")], check=True)


def plot(results, out):
    (out / "plot").mkdir(exist_ok=True)
    for old in out.glob("*.svg"):
        old.unlink()
    plot_bars(results, out, "speed", "Speed, the kernel''s loop device = 1",
              targets.IO)
    plot_bars(results, out, "fills", "Filling holes, the kernel''s loop device = 1",
              targets.FILLS)
    plot_bars(results, out, "cpu",
              "CPU time for each GiB, the kernel''s loop device = 1",
              targets.IO + targets.FILLS, "cpu", "scale")
    plot_bars(results, out, "ram",
              "A device as fast as memory, the kernel''s loop device = 1",
              [w for w in results.values if w.startswith("ram-")])
    plot_copy(results, out)


def publish(out, page):
    out, page = pathlib.Path(out), pathlib.Path(page)
    before, _, rest = page.read_text().partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        sys.exit("bench: %s has no marks for the figures" % page)
    folder = page.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    body = (out / "table.md").read_text()
    for svg in sorted(out.glob("*.svg")):
        shutil.copy(svg, folder)
        body += "\n![%s](%s/%s)\n" % (svg.stem, folder.name, svg.name)
    page.write_text(before + BEGIN + "\n\n" + body + "\n" + END + after)


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--publish":
        publish(sys.argv[2], sys.argv[3])
        return
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[2])
    results = Results(sys.argv[1])
    report = text(results)
    (out / "table.md").write_text(report)
    (out / "results.json").write_text(json.dumps(as_json(results), indent=1))
    plot(results, out)
    print(report, end="")
    print("\nTables, JSON and plots: %s" % os.path.relpath(out))


main()
