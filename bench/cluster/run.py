#!/usr/bin/env python3
"""Runs the cluster benchmark and prints its table; see run.sh, which builds everything first.

Both clusters are up at the same time, and take turns within a row, so that a slow moment of the machine strikes both. A
ratio is how many times better Pando is: taken round by round, its median and its extremes. Lines in which Pando loses
come first."""
import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import failover
import harm
import load
from clusters import Etcd, Floor, Pando

MORE_IS_BETTER = {"ops/s"}
READ = "AA"  # as in etcd's own documents, but the key is there
PUT = ["put", "--key-size", "8", "--val-size", "256", "--sequential-keys", "--key-space-size", "1000000"]


class Row:
    """One kind of load. goal: {measure: ratio}, of which one must be reached."""

    def __init__(self, name, arguments, clients, connections, ops, goal=None, measures=None):
        self.name = name
        self.arguments = arguments
        self.clients = clients
        self.connections = connections
        self.ops = ops
        self.goal = goal or {}
        self.measures = measures or ["ops/s", "p50 us", "p99 us", "cpu us/op"]


def rows(nodes, scale):
    count = lambda ops: max(100, int(ops * scale))
    many, few = count(20000), count(1500)
    goal = {"ops/s": 3.0, "cpu us/op": 5.0}
    put = [Row("put, 1 client", PUT + ["--total", str(few)], 1, 1, few),
           Row("put, 256 clients", PUT + ["--total", str(many)], 256, 25, many, goal)]
    ranges = [Row("range, linearizable, 256", ["range", READ, "--total", str(many)], 256, 25, many, goal),
              Row("range, serializable, 256", ["range", READ, "--consistency", "s", "--total", str(many)], 256, 25, many)]
    if nodes > 1:
        return put + ranges[:1]
    watched = count(500)
    return put + ranges + [
        Row("lease keepalive, 64", ["lease-keepalive", "--total", str(few * 4)], 64, 8, few * 4),
        Row("watch latency, 100 watchers", ["watch-latency", "--put-total", str(watched), "--put-rate", "200"], 1, 1,
            watched, measures=["p50 us", "p99 us", "cpu us/op"])]


def values_of(figures):
    return {"ops/s": figures.rate, "p50 us": figures.p50, "p99 us": figures.p99, "cpu us/op": figures.cpu}


class Line:
    """One measure of one row: the values of both, by round."""

    def __init__(self, name, measure, goal=None):
        self.name = name
        self.measure = measure
        self.goal = goal
        self.etcd = []
        self.pando = []

    def ratios(self):
        better = self.measure in MORE_IS_BETTER
        return [(pando / etcd if better else etcd / pando) for etcd, pando in zip(self.etcd, self.pando)
                if etcd > 0 and pando > 0]

    def ratio(self):
        ratios = self.ratios()
        return statistics.median(ratios) if ratios else float("nan")

    def text(self):
        ratios = self.ratios()
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}" if ratios else "-"
        goal = "" if self.goal is None else f"{self.goal:g}"
        return [self.name, self.measure, f"{statistics.median(self.etcd):,.1f}", f"{statistics.median(self.pando):,.1f}",
                f"{self.ratio():.2f}", spread, goal]


def measure_rows(etcd, pando, options, lines):
    for cluster in (etcd, pando):
        cluster.put(READ.encode(), b"v" * 256)
    for row in rows(etcd.nodes, options.scale):
        name = f"{row.name}, {etcd.nodes} node{'s' if etcd.nodes > 1 else ''}"
        mine = {measure: Line(name, measure, row.goal.get(measure)) for measure in row.measures}
        client_cpu = []
        for round_number in range(options.rounds):
            for cluster in (etcd, pando):
                figures = load.run(options.benchmark, cluster, row.clients, row.connections, row.ops, row.arguments)
                client_cpu.append(figures.client_cpu)
                values = values_of(figures)
                for measure, line in mine.items():
                    getattr(line, cluster.name).append(values[measure])
                print(f"  {name}, round {round_number + 1}, {cluster.name}: {figures.rate:,.0f}/s, p50 {figures.p50:,.0f} "
                      f"us, server {figures.cpu:.1f} us/op, load's own {figures.client_cpu:.1f} us/op, "
                      f"load average {os.getloadavg()[0]:.1f}", flush=True)
        lines.extend(mine.values())


def measure_floor(etcd, pando, options, lines):
    """What the load reaches when nothing is behind the API, beside both: how much of a goal is left to reach."""
    floor = Floor(options.floor, os.path.join(os.path.dirname(pando.folder), Floor.name), 1)
    floor.start_all()
    try:
        etcd.put(READ.encode(), b"v" * 256)
        pando.put(READ.encode(), b"v" * 256)
        for row in [row for row in rows(1, options.scale) if row.goal]:
            rates, cpu = {}, {}
            for _ in range(options.rounds):
                for cluster in (floor, etcd, pando):
                    figures = load.run(options.benchmark, cluster, row.clients, row.connections, row.ops, row.arguments)
                    rates.setdefault(cluster.name, []).append(figures.rate)
                    cpu.setdefault(cluster.name, []).append(figures.cpu)
            rate = {name: statistics.median(values) for name, values in rates.items()}
            cost = {name: statistics.median(values) for name, values in cpu.items()}
            print(f"  {row.name}, nothing behind the API: {rate['floor']:,.0f}/s, {cost['floor']:.1f} us/op; "
                  f"etcd {rate['etcd']:,.0f}/s, {cost['etcd']:.1f}; pando {rate['pando']:,.0f}/s, {cost['pando']:.1f}: "
                  f"the most that can be reached is {rate['floor'] / rate['etcd']:.2f} in rate, "
                  f"{cost['etcd'] / cost['floor']:.2f} in cpu", flush=True)
    finally:
        floor.stop()


def measure_raw(etcd, pando, options, lines):
    """A put of one client on three nodes beside what it rests on: one sync, and one round trip between the nodes."""
    row = rows(etcd.nodes, options.scale)[0]
    of_raw = {"etcd": [], "pando": []}
    for _ in range(options.rounds):
        told = subprocess.run([options.limits, options.folder, "2"], capture_output=True, text=True, check=True).stdout.split()
        sync, trip = float(told[1]), float(told[3])
        p50 = {}
        for cluster in (etcd, pando):
            p50[cluster.name] = load.run(options.benchmark, cluster, row.clients, row.connections, row.ops, row.arguments).p50
            of_raw[cluster.name].append(p50[cluster.name] / (sync + trip))
        print(f"  put, 1 client, {etcd.nodes} nodes: fdatasync {sync:.0f} us, round trip {trip:.0f} us; p50 etcd "
              f"{p50['etcd']:,.0f}, pando {p50['pando']:,.0f} us", flush=True)
    print(f"  put, 1 client, {etcd.nodes} nodes, p50 / (fdatasync + round trip): etcd {statistics.median(of_raw['etcd']):.2f}, "
          f"pando {statistics.median(of_raw['pando']):.2f}, goal 1.5", flush=True)


def measure_keys(etcd, pando, options, lines):
    """Memory and the time of a start, with many keys."""
    label = f"{options.keys:,} keys, 1 node"
    memory = Line(label, "resident MiB")
    start = Line(label, "restart ms")
    for cluster in (etcd, pando):
        load.run(options.benchmark, cluster, 256, 25, options.keys, PUT + ["--total", str(options.keys)])
        getattr(memory, cluster.name).append(cluster.resident_mib())
    for _ in range(options.rounds):
        for cluster in (etcd, pando):
            cluster.stop()
            begin = time.monotonic()
            cluster.start_all()
            getattr(start, cluster.name).append(1e3 * (time.monotonic() - begin))
    after = Line(f"{label}, started anew", "resident MiB")
    for cluster in (etcd, pando):
        getattr(after, cluster.name).append(cluster.resident_mib())
    lines.extend([memory, start, after])


def measure_failover(etcd, pando, options, lines):
    took = {"etcd": [], "pando": []}
    for number in range(options.kills):
        for cluster in (etcd, pando):
            took[cluster.name].append(failover.kill_once(cluster))
        print(f"  kill {number + 1}: etcd {took['etcd'][-1]:.0f} ms, pando {took['pando'][-1]:.0f} ms", flush=True)
    for measure, at in (("p50 ms", 0.5), ("p99 ms", 0.99)):
        line = Line(f"kill -9 of the leader, {options.kills} kills", measure)
        for name, values in took.items():
            place = min(len(values) - 1, int(at * len(values)))
            getattr(line, name).append(sorted(values)[place])
        lines.append(line)


def print_table(lines, file=sys.stdout):
    head = ["what", "measure", "etcd", "pando", "times better", "of each round", "goal"]
    table = [line.text() for line in sorted(lines, key=Line.ratio)]
    widths = [max(len(row[at]) for row in [head] + table) for at in range(len(head))]
    for row in [head] + table:
        print("  ".join(cell.ljust(width) if at < 2 else cell.rjust(width)
                        for at, (cell, width) in enumerate(zip(row, widths))).rstrip(), file=file)
    losing = sum(1 for line in lines if line.ratio() < 1)
    print(f"\nPando is behind in {losing} of {len(lines)} lines, which come first.", file=file)


def with_clusters(options, nodes, top, work):
    clusters = []
    folder = os.path.join(top, str(nodes))
    try:
        for kind, program in ((Etcd, options.etcd), (Pando, options.pando)):
            clusters.append(kind(program, os.path.join(folder, kind.name), nodes))
            clusters[-1].start_all()
        work(*clusters)
    finally:
        for cluster in clusters:
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pando", required=True)
    parser.add_argument("--etcd", required=True)
    parser.add_argument("--benchmark", required=True, help="etcd's tools/benchmark")
    parser.add_argument("--floor", required=True, help="gateway-floor")
    parser.add_argument("--limits", required=True, help="raw-limits")
    parser.add_argument("--folder", required=True, help="on a disk: both write there")
    parser.add_argument("--only", default="one,floor,three,raw,keys,failover",
                        help="parts, with commas between: also harm, of Pando alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the operations of a round")
    parser.add_argument("--keys", type=int, default=100000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--guest", default="", help="of the part `harm`")
    parser.add_argument("--rate", type=int, default=200, help="puts a second, of `harm`")
    parser.add_argument("--app-memory", default="256MiB", help="budget of a node's guests, of `harm`; or: default")
    parser.add_argument("--json", help="write the figures of each round here")
    options = parser.parse_args()
    parts = options.only.split(",")
    lines = []
    print(f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}, "
          f"load average {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-cluster-", dir=options.folder) as top:
        plan = (("one", 1, measure_rows), ("floor", 1, measure_floor), ("keys", 1, measure_keys), ("three", 3, measure_rows),
                ("raw", 3, measure_raw),
                ("failover", 3, measure_failover))
        for part, nodes, measure in plan:
            if part in parts:
                with_clusters(options, nodes, top,
                              lambda etcd, pando, measure=measure: measure(etcd, pando, options, lines))
        if "harm" in parts:
            harm.measure(options, top)
    if lines:
        print()
        print_table(lines)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump([{"what": line.name, "measure": line.measure, "etcd": line.etcd, "pando": line.pando}
                       for line in lines], file, indent=1)


if __name__ == "__main__":
    main()
