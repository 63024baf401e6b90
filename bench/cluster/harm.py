"""What guests can do to the nodes that they run inside of: puts at a fixed rate, quiet, and beside guests that compute
without an end on every scheduler thread of every node and others that have filled its budget of memory, and ask for more
again and again. Quiet and burdened turns take turns; a ratio is of one pair. The guest is tests/guests/burden.c."""
import os
import pathlib
import statistics
import time

import load
from clusters import Pando, get, wait_for

GOAL = 3.0
CLIENTS = 4
SECONDS_MIN = 60.0  # of all burdened turns together
SPINNERS = 2 * (os.cpu_count() or 1)
REFUSED = "pando_actors_memory_refused_total"
MEMORY = ("RssAnon:", "VmPTE:")  # with the tables of pages


class Burdened(Pando):
    """Each node hosts the guest, which does nothing until it is told."""
    name = "pando"

    def __init__(self, program, folder, nodes, guest, budget):
        super().__init__(program, folder, nodes)
        self.guest = guest
        self.budget = budget

    def command(self, node):
        memory = [] if self.budget == "default" else ["--app-memory", self.budget]
        return super().command(node) + ["--app", self.guest, "--allow-kv", "burden"] + memory + ["--", str(SPINNERS)]

    def metrics(self, node):
        lines = (get(self.ports[node], "/metrics", 30) or "").splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] not in "#")}

    def refused(self, node, use):
        return self.metrics(node)[f'{REFUSED}{{use="{use}"}}']

    def burden(self, words):
        """Returns when every node has as great a burden as it takes, or none."""
        before = [(self.refused(node, "spawn"), self.refused(node, "growth")) for node in range(self.nodes)]
        self.put(b"burden", words.encode())
        for node in range(self.nodes):
            wait_for(lambda node=node: self.metrics(node)["pando_actors"] == 1 if words == "off" else
                     self.refused(node, "spawn") > before[node][0] and self.refused(node, "growth") > before[node][1],
                     f"{words} at node {node}")

    def elections(self):
        """(term, leaders seen) of each node."""
        told = [self.metrics(node) for node in range(self.nodes)]
        return [(of["pando_raft_term"], of["etcd_server_leader_changes_seen_total"]) for of in told]

    def memory_mib(self):
        """Of each process."""
        texts = [pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
                 for process in self.processes.values()]
        return [sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(MEMORY)) / 1024
                for text in texts]


def turn(cluster, options, words, seconds):
    cluster.burden(words)
    ops = int(options.rate * seconds)
    cpu_s, began = cluster.cpu_s(), time.monotonic()
    figures = load.run(options.benchmark, cluster, CLIENTS, CLIENTS, ops,
                       ["put", "--key-size", "8", "--val-size", "256", "--sequential-keys", "--rate", str(options.rate),
                        "--total", str(ops)])
    busy = (cluster.cpu_s() - cpu_s) / (time.monotonic() - began)
    print(f"  {words:12} p50 {figures.p50:7,.0f} us  p99 {figures.p99:8,.0f} us  {figures.rate:5.0f}/s  nodes use {busy:.2f} "
          f"processors, {max(cluster.memory_mib()):.0f} MiB  load average {os.getloadavg()[0]:.1f}", flush=True)
    return figures


def measure(options, top):
    """Prints the ratios, and what the nodes say of themselves."""
    cluster = Burdened(options.pando, os.path.join(top, "harm"), 3, options.guest, options.app_memory)
    quiet, burdened = [], []
    try:
        cluster.start_all()
        for node in range(cluster.nodes):  # a node serves before its application runs
            wait_for(lambda node=node: "pando_actors" in cluster.metrics(node), f"the guest of node {node}")
        cluster.burden("off")
        before, memory = cluster.elections(), max(cluster.memory_mib())
        seconds = max(10.0, SECONDS_MIN / options.rounds)
        for _ in range(options.rounds):
            quiet.append(turn(cluster, options, "off", seconds))
            burdened.append(turn(cluster, options, "spin memory", seconds))
        after = cluster.elections()
        more = max(cluster.memory_mib()) - memory
        told = [cluster.metrics(node) for node in range(cluster.nodes)]
        refused = [sum(value for name, value in of.items() if name.startswith(REFUSED)) for of in told]
    finally:
        cluster.stop()
    print(f"\nputs of {CLIENTS} clients, {options.rate} a second, 3 nodes, beside {SPINNERS} endless guests and a full "
          f"budget ({options.app_memory}) at each; {options.rounds} turns of {seconds:.0f} s")
    for name, of in (("p50", lambda figures: figures.p50), ("p99", lambda figures: figures.p99)):
        ratios = [of(beside) / of(alone) for alone, beside in zip(quiet, burdened)]
        goal = f", goal {GOAL:g}" if name == "p99" else ""
        print(f"  {name}: quiet {statistics.median(map(of, quiet)):,.0f} us, burdened "
              f"{statistics.median(map(of, burdened)):,.0f} us, {statistics.median(ratios):.2f} times "
              f"({min(ratios):.2f} to {max(ratios):.2f}{goal})")
    elections = sum(int(new[0] - old[0]) for old, new in zip(before, after))
    leaders = sum(int(new[1] - old[1]) for old, new in zip(before, after))
    print(f"  elections: terms that nodes entered {elections}, leaders that they saw {leaders} (goal 0)")
    print(f"  refused: {', '.join(f'{count:,.0f}' for count in refused)}; memory beyond the quiet node's: {more:.0f} MiB")
