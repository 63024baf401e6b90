#!/usr/bin/env python3
"""Torments a cluster of real processes, and judges what its clients saw. docs/torture.md says more.

    torture.py [--rounds N | --seconds S] [--seed N] [--nodes N] [--round-seconds S] [--only KIND,...] [--keep]

Each round: clients read and write at all nodes and write down what they are told, while a schedule drawn from the seed
and the round's number kills, pauses and cuts off nodes, slows and loses their packets, fills their disks, turns their
clocks and starts them with another version of the program. Then everything is healed, and the cluster must be as it should: every node serves by itself, all have the
same state, nothing acknowledged is lost at any of them, and every register's history is linearizable.

PANDO_BUILD_DIR (default: build) holds the programs. Exit code 0: all rounds were good; 1: one was not, and what it left is
kept; 2: it cannot run here.
"""
import argparse
import ctypes
import glob
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from network import Network, address

PEER_PORT = 7000
CLIENT_PORT = 7001
SILENCE_S = 1.0     # a client that is not answered for so long goes to another node
HEAL_S = 120       # a cluster that is whole again serves by then
READY_S = 120
VERSION_BEFORE = 1  # the last that build/bin/pando-before can follow: src/kv/version.h
DISK_MIB = 160     # of a node; what it needs and some
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Failure(Exception):
    pass


class Node:
    def __init__(self, cluster, number):
        self.cluster, self.number, self.name = cluster, number, f"node-{number}"
        self.disk = os.path.join(cluster.folder, f"node-{number}")
        self.data = os.path.join(self.disk, "data")
        self.log = os.path.join(cluster.work, f"node-{number}.log")
        self.clock = os.path.join(cluster.work, f"clock-{number}")
        self.process = None
        self.is_paused = False
        self.program = cluster.before

    def start(self):
        environment = dict(os.environ)
        if self.cluster.wall_clock:
            environment.update(LD_PRELOAD=self.cluster.wall_clock, PANDO_WALL_CLOCK=self.clock)
        with open(self.log, "ab") as log, self.cluster.network.spaces[self.number]:
            self.process = subprocess.Popen(
                [self.program, "start", "--data", self.data, "--listen-client", f"{address(self.number)}:{CLIENT_PORT}",
                 "--insecure", "--listen-peer", f"{address(self.number)}:{PEER_PORT}", "--log-segment", "16MiB",
                 "--store-lag", "500", "--disk-low", "24MiB"], stdout=log, stderr=log, env=environment, preexec_fn=die_with_parent)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.is_paused = False

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(READY_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return "not within two minutes"

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.is_paused = True

    def go_on(self):
        if self.is_paused:
            self.process.send_signal(signal.SIGCONT)
        self.is_paused = False

    def ask(self, other, *words):
        """A command of `pando`, by the node's namespace; `other` is asked about the cluster."""
        with self.cluster.network.spaces[self.number]:
            done = subprocess.run([self.cluster.pando, *words, *(["--data", other.data] if other else [])],
                                  capture_output=True, text=True, timeout=2 * HEAL_S, check=False)
        if done.returncode != 0:
            raise Failure(f"pando {' '.join(words[:2])}: {done.stderr}")
        return done.stdout.strip()

    def replace(self):
        """It is lost for good, and another one joins in its place, with a key of its own and an empty disk."""
        self.kill()
        other = self.cluster.nodes[(self.number + 1) % len(self.cluster.nodes)]
        self.ask(other, "cluster", "remove", self.name)
        shutil.rmtree(self.data)
        self.name = f"{self.name.split('.')[0]}.{int(self.name.partition('.')[2] or 0) + 1}"
        ticket = self.ask(other, "cluster", "ticket")
        self.ask(None, "join", "--no-start", "--data", self.data, "--name", self.name, "--listen-peer",
                 f"{address(self.number)}:{PEER_PORT}", ticket)
        self.start()

    def turn_program(self):
        """As in an upgrade, or by an operator who takes one back."""
        self.kill()
        self.program = self.cluster.pando if self.program == self.cluster.before else self.cluster.before
        self.start()

    def is_too_old(self):
        """It ended because it cannot follow the cluster's version, and says so."""
        if self.program != self.cluster.before or self.process.poll() is None:
            return False
        with open(self.log, encoding="utf-8") as log:
            last = log.read().splitlines()[-3:]
        return any(f"this program can follow up to version {VERSION_BEFORE}:" in line for line in last)

    def run_again(self):
        if self.is_too_old():
            self.program = self.cluster.pando
        self.start()

    def is_up(self):
        return self.process.poll() is None and not self.is_paused

    def turn_clock(self, seconds):
        with open(self.clock, "r+b" if os.path.exists(self.clock) else "wb", buffering=0) as file:
            file.write(struct.pack("q", seconds * 10**9))  # whoever has it mapped sees it at once

    def fill_disk(self):
        """To the last byte."""
        with open(os.path.join(self.disk, "ballast"), "wb", buffering=0) as file:
            block = bytes(1 << 20)
            try:
                while True:
                    file.write(block)
            except OSError:
                pass

    def free_disk(self):
        try:
            os.remove(os.path.join(self.disk, "ballast"))
        except FileNotFoundError:
            pass

    def status(self):
        """What it says of itself; {} when it does not answer."""
        done = subprocess.run([self.cluster.pando, "status", "-o", "json", "--data", self.data], capture_output=True,
                              text=True, timeout=READY_S, check=False)
        try:
            return json.loads(done.stdout)
        except json.JSONDecodeError:
            return {}


class Cluster:
    def __init__(self, build, work, count, seed):
        self.pando = os.path.join(build, "bin", "pando")
        self.before = os.path.join(build, "bin", "pando-before")  # the same, held back to the version before
        self.load = os.path.join(build, "bin", "store-load")
        self.judge = os.path.join(build, "bin", "linearizability")
        self.work, self.folder = work, os.path.join(work, "cluster")
        wall_clock = os.path.join(build, "lib", "libpando-wall-clock.so")
        self.wall_clock = wall_clock if os.path.exists(wall_clock) else None  # a sanitizer has to come first
        self.network = Network(count + 1, seed)
        self.clients = count  # where those live that come over the network
        self.nodes = []
        os.mkdir(self.folder)
        self.make(count)

    def make(self, count):
        """Keys are made by `pando dev`, in a namespace; with them a new cluster begins, whose nodes have addresses and disks of
        their own."""
        with self.network.spaces[0]:
            dev = subprocess.Popen([self.pando, "dev", "--data", self.folder, "--nodes", str(count)],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=die_with_parent)
        said = []
        for line in dev.stdout:
            said.append(line)
            if line.startswith("ready:"):
                break
        dev.terminate()
        said.append(dev.stdout.read())
        if dev.wait() != 0:
            raise Failure("pando dev: " + "".join(said)[-1000:])
        for number in range(count):
            node = Node(self, number)
            aside = node.disk + ".aside"
            os.rename(node.disk, aside)
            with open(os.path.join(aside, "cluster.json"), encoding="utf-8") as file:
                members = json.load(file)
            members["start"] = "new"
            for member in members["members"]:
                member["peers"] = [f"{address(int(member['name'].removeprefix('node-')))}:{PEER_PORT}"]
            os.mkdir(node.disk)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", node.disk], check=True)
            os.mkdir(node.data)
            shutil.copy(os.path.join(aside, "node.key"), node.data)
            with open(os.path.join(node.data, "cluster.json"), "w", encoding="utf-8") as file:
                json.dump(members, file)
            shutil.rmtree(aside)
            node.turn_clock(0)
            self.nodes.append(node)
        for node in self.nodes:
            node.start()

    def close(self):
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                node.kill()
        self.network.close()

    def leader(self):
        """Who leads, as far as it says so itself; None when nobody does."""
        for node in self.nodes:
            if node.is_up():
                status = node.status()
                if status.get("leader") and status.get("leader") == status.get("node"):
                    return node
        return None

    def heal(self):
        """Undo whatever was done; what runs then has to find together by itself."""
        self.network.heal()
        for node in self.nodes:
            node.go_on()
            node.free_disk()
            node.turn_clock(0)
            if node.process.poll() is not None:
                node.run_again()

    def upgrade(self):
        """Every node gets the newer program, one by one; the cluster's version rises by itself, if it has not before."""
        for node in self.nodes:
            if node.program != self.pando:
                node.stop()
                node.program = self.pando
                node.start()
                self.wait_whole()
        begin = time.monotonic()
        while True:
            versions = {node.status().get("cluster_version") for node in self.nodes}
            if versions == {VERSION_BEFORE + 1}:
                return
            if time.monotonic() - begin > HEAL_S:
                raise Failure(f"every node was upgraded, and the cluster's version is {versions}")
            time.sleep(0.1)

    def wait_whole(self):
        """Until every node serves and votes, and all have applied the same. The seconds that it took."""
        begin = time.monotonic()
        while True:
            for node in self.nodes:
                if node.is_too_old():  # it heard of the raise only now
                    node.run_again()
            states = [node.status() for node in self.nodes]
            told = [{name: state.get(name) for name in ("phase", "applied_index", "hash", "leader", "voters", "learners")}
                    for state in states]
            voters = [state.get("node") for state in states][:5]  # further ones stand by
            if all(state == told[0] for state in told) and told[0]["phase"] == "running" and \
                    set(voters) <= set(told[0]["voters"] + told[0]["learners"]) and \
                    len(told[0]["voters"]) == min(len(self.nodes), 5):
                return time.monotonic() - begin
            if time.monotonic() - begin > HEAL_S:
                raise Failure(f"not whole within {HEAL_S} s: {told}")


class Schedule:
    """What is done to the cluster in a round: a list of (when, words, what to do), drawn before anything is done. A node that is
    drawn as 'leader' is who leads then; nobody can know that before."""

    def __init__(self, cluster, rng, seconds, kinds):
        self.cluster, self.rng = cluster, rng
        self.steps, self.kinds = [], []
        at = rng.uniform(0.2, 0.8)
        if "replace" in kinds and len(cluster.nodes) >= 3 and rng.random() < kinds.count("replace") / 4:
            # Nothing else then: it takes a majority that can be reached.
            self.replace(seconds / 3, seconds)
            self.kinds.append("replace")
            return
        kinds = [kind for kind in kinds if kind != "replace"]
        while at < seconds - 0.5 and kinds:
            kind = rng.choice(kinds)
            length = rng.uniform(0.3, 2.5)
            getattr(self, kind)(at, min(at + length, seconds))
            self.kinds.append(kind)
            # Half of them begin while another one lasts.
            at += length * rng.choice((0.5, 1.2)) + rng.uniform(0, 0.4)
        self.steps.sort(key=lambda step: step[0])

    def add(self, at, words, action):
        self.steps.append((at, words, action))

    def victim(self):
        """Half of the time who leads."""
        number = self.rng.randrange(len(self.cluster.nodes))
        if self.rng.random() < 0.5:
            return "leader", lambda: self.cluster.leader() or self.cluster.nodes[number]
        return f"node-{number}", lambda: self.cluster.nodes[number]

    def hold(self, begin, end, words, do, undo):
        """The same node for both: who is found at the beginning."""
        name, find = self.victim()
        found = []

        def first():
            node = find()
            if node.is_up():
                found.append(node)
                do(node)

        self.add(begin, f"{words} {name}", first)
        self.add(end, None, lambda: [undo(node) for node in found])

    def kill(self, begin, end):
        self.hold(begin, end, "kill", lambda node: node.kill(),
                  lambda node: node.process.poll() is None or node.run_again())

    def kill_all(self, begin, end):
        self.add(begin, "kill all", lambda: [node.kill() for node in self.cluster.nodes])
        for node in self.cluster.nodes:
            self.add(self.rng.uniform(begin, end), None,
                     lambda node=node: node.process.poll() is None or node.run_again())

    def stop(self, begin, end):
        """As an operator does: SIGTERM, which hands over."""
        ending = []

        def first(node):
            ending.append(node.process)
            node.process.terminate()

        def then(node):
            node.go_on()
            if node.process is ending[0]:  # nobody else has killed and started it meanwhile
                node.stop()
                node.start()
        self.hold(begin, end, "stop", first, then)

    def pause(self, begin, end):
        self.hold(begin, end, "pause", lambda node: node.pause(), lambda node: node.go_on())

    def links(self, node, outgoing, incoming):
        rows = self.cluster.network.links
        others = [number for number in range(len(self.cluster.nodes)) if number != node.number]
        return ([rows[node.number][other] for other in others] if outgoing else []) + \
            ([rows[other][node.number] for other in others] if incoming else [])

    def client_links(self, node):
        """To it, and from it."""
        rows, clients = self.cluster.network.links, self.cluster.clients
        return rows[clients][node.number], rows[node.number][clients]

    def cut_clients(self, begin, end):
        """What they ask does not come; or what they are answered; or neither. They go to another node, and do not know."""
        ways, words = self.rng.choice((((0, 1), "both ways"), ((0,), "what they ask"), ((1,), "what they are answered")))

        def turn(node, is_cut):
            for way in ways:
                self.client_links(node)[way].is_cut = is_cut
        self.hold(begin, end, f"cut clients ({words}) from", lambda node: turn(node, True), lambda node: turn(node, False))

    def break_clients(self, begin, end):
        """Every connection that says something is over, for both ends."""
        end = min(end, begin + self.rng.uniform(0.05, 0.5))

        def turn(node, breaks):
            for link in self.client_links(node):
                link.breaks = breaks
        self.hold(begin, end, "break clients' connections with", lambda node: turn(node, True),
                  lambda node: turn(node, False))

    def cut(self, begin, end, words, outgoing, incoming):
        def turn(node, is_cut):
            for link in self.links(node, outgoing, incoming):
                link.is_cut = is_cut
        self.hold(begin, end, words, lambda node: turn(node, True), lambda node: turn(node, False))

    def isolate(self, begin, end):
        self.cut(begin, end, "cut off", True, True)

    def deafen(self, begin, end):
        self.cut(begin, end, "let nothing reach", False, True)

    def mute(self, begin, end):
        self.cut(begin, end, "let nothing leave", True, False)

    def part(self, begin, end):
        """Two that do not reach each other, while the others reach both; perhaps one way only."""
        one, other = self.rng.sample(range(len(self.cluster.nodes)), 2)
        rows = self.cluster.network.links
        links = [rows[one][other]] + ([rows[other][one]] if self.rng.random() < 0.5 else [])

        def turn(is_cut):
            for link in links:
                link.is_cut = is_cut
        self.add(begin, f"cut {'one way' if len(links) == 1 else 'both ways'} between node-{one} and node-{other}",
                 lambda: turn(True))
        self.add(end, None, lambda: turn(False))

    def slow(self, begin, end):
        """Every packet takes its own time, so that they overtake each other; some are lost."""
        delay = self.rng.choice(((0.001, 0.01), (0.005, 0.06), (0.02, 0.3)))
        loss = self.rng.choice((0.0, 0.02, 0.15))

        def turn(node, delay_s, lost):
            for link in self.links(node, True, True):
                link.delay_s, link.loss = delay_s, lost
        self.hold(begin, end, f"{delay[1] * 1000:.0f} ms and {loss * 100:.0f} % loss at",
                  lambda node: turn(node, delay, loss), lambda node: turn(node, (0.0, 0.0), 0.0))

    def replace(self, begin, end):
        self.hold(begin, end, "replace", lambda node: node.replace(), lambda node: None)

    def fill(self, begin, end):
        self.hold(begin, end, "fill the disk of", lambda node: node.fill_disk(), lambda node: node.free_disk())

    def version(self, begin, end):
        self.hold(begin, end, "start the other version at", lambda node: node.turn_program(),
                  lambda node: node.process.poll() is None or node.run_again())

    def clock(self, begin, end):
        seconds = self.rng.choice((-86400, -30, 30, 3600, 86400 * 365))
        self.hold(begin, end, f"turn the clock by {seconds} s at", lambda node: node.turn_clock(seconds),
                  lambda node: node.turn_clock(0))


KINDS = ("kill", "kill", "kill_all", "stop", "pause", "pause", "isolate", "isolate", "deafen", "mute", "part", "part",
         "slow", "slow", "fill", "clock", "replace", "version", "version", "cut_clients", "cut_clients", "break_clients")


def run_load(cluster, record, number, seed, seconds):
    """Half of the connections come through nodes' sockets, which nothing cuts, the others over the network."""
    sockets = []
    for node in random.Random(seed).sample(cluster.nodes, len(cluster.nodes)):
        sockets += ["--socket", os.path.join(node.data, "pando.sock")]
        sockets += ["--socket", f"tcp:{address(node.number)}:{CLIENT_PORT}"]
    os.mkdir(record)
    with cluster.network.spaces[cluster.clients]:
        return subprocess.Popen(
            [cluster.load, *sockets, "--prefix", f"{number}/", "--seed", str(seed), "--record", record, "--acks",
             os.path.join(record, "acks"), "--clients", "24", "--connections", str(4 * len(cluster.nodes)), "--keys", "8",
             "--seconds", str(seconds), "--wait-back", str(HEAL_S), "--op-timeout", str(2 * HEAL_S), "--silence", str(SILENCE_S),
             "--json", *(["--sessions"] if seed % 2 else [])],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)


def judge(cluster, record, load):
    """What the clients were told, against what is there. Figures of the load."""
    try:
        out, err = load.communicate(timeout=3 * HEAL_S)
    except subprocess.TimeoutExpired:
        load.kill()
        raise Failure(f"the clients hang: {load.communicate()}") from None
    if load.returncode != 0:
        raise Failure(f"the clients say: {out} {err}")
    logs = sorted(glob.glob(os.path.join(record, "*.log")))
    verdicts = subprocess.run([cluster.judge, *logs], capture_output=True, text=True, check=False).stdout.splitlines()
    wrong = [line for line in verdicts if not line.endswith(" linearizable")]
    if wrong or len(verdicts) != len(logs) or not logs:
        raise Failure(f"histories: {wrong or verdicts}")
    for node in cluster.nodes:
        done = subprocess.run([cluster.load, "--socket", os.path.join(node.data, "pando.sock"), "--check",
                               os.path.join(record, "acks")], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"node-{node.number} lacks what clients were told: {done.stdout}{done.stderr}")
    return json.loads(out)


def run_round(cluster, number, options, kinds):
    rng = random.Random(f"{options.seed}/{number}")
    schedule = Schedule(cluster, rng, options.round_seconds, kinds)
    record = os.path.join(cluster.work, f"round-{number}")
    load = run_load(cluster, record, number, rng.randrange(1 << 30), options.round_seconds)
    done = []
    begin = time.monotonic()
    try:
        for at, words, action in schedule.steps:
            time.sleep(max(begin + at - time.monotonic(), 0))
            action()
            if words:
                done.append(words)
        time.sleep(max(begin + options.round_seconds - time.monotonic(), 0))
        cluster.heal()
        whole_s = cluster.wait_whole()
        result = judge(cluster, record, load)
    except Failure as failure:
        load.kill()
        raise Failure(f"{failure}\n  done: {', '.join(done)}") from None
    shutil.rmtree(record)
    print(f"round {number}: {', '.join(done) or 'nothing was done'}; {result['operations']} operations, "
          f"{result['unknown']} open, {result['retried']} repeated, {result['silent']} connections left, "
          f"longest {result['max_us'] / 1e6:.1f} s; whole in {whole_s:.1f} s", flush=True)
    return result, schedule.kinds


def parse():
    parser = argparse.ArgumentParser(description="torments a cluster of real processes")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0, help="no new round after so long")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--nodes", type=int, default=3, choices=(1, 2, 3, 4, 5, 6, 7))
    parser.add_argument("--round-seconds", type=float, default=6)
    parser.add_argument("--only", default="", help="kinds of faults, such as kill,slow")
    parser.add_argument("--keep", action="store_true", help="the folder, also when all is well")
    options = parser.parse_args()
    if options.rounds == 0 and options.seconds == 0:
        options.rounds = 10
    return options


def isolate_mounts():
    """What is mounted from now on is seen by this process and its children alone, and gone with them."""
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        raise OSError(ctypes.get_errno(), "cannot have mounts of its own")


def choose_kinds(cluster, options):
    kinds = [kind for kind in KINDS if kind != "clock" or cluster.wall_clock]
    wanted = options.only.split(",") if options.only else kinds
    if not set(wanted) <= set(kinds):
        raise Failure(f"not all of these kinds can be: {options.only}; there are {', '.join(sorted(set(kinds)))}")
    return wanted


def torment(cluster, options):
    """How many rounds, operations, acknowledged keys there were; and the faults by kind."""
    kinds = choose_kinds(cluster, options)
    rounds = operations = uniques = 0
    faults = {}
    begin = time.monotonic()
    cluster.wait_whole()
    while (options.rounds == 0 or rounds < options.rounds) and \
            (options.seconds == 0 or time.monotonic() - begin < options.seconds):
        result, done = run_round(cluster, rounds + 1, options, kinds)
        rounds += 1
        operations += result["operations"]
        uniques += result["uniques"]
        for kind in done:
            faults[kind] = faults.get(kind, 0) + 1
    cluster.upgrade()
    codes = [node.stop() for node in cluster.nodes]
    if any(codes):
        raise Failure(f"ending: exit codes {codes}")
    counts = cluster.network.counts
    print(", ".join(f"{count} {kind}" for kind, count in sorted(faults.items())), end="; ")
    print(", ".join(f"{count} packets {kind}" for kind, count in counts.items()))
    print(f"torture: seed {options.seed}, {options.nodes} nodes, {rounds} rounds, {operations} operations, {uniques} keys "
          "acknowledged, 0 lost, 0 bad")


def main():
    options = parse()
    build = os.environ.get("PANDO_BUILD_DIR", "build")
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        print("torture: network namespaces need root and /dev/net/tun", file=sys.stderr)
        return 2
    isolate_mounts()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    work = tempfile.mkdtemp(prefix="pando-torture.")
    cluster, code = None, 1
    try:
        cluster = Cluster(os.path.abspath(build), work, options.nodes, options.seed)
        torment(cluster, options)
        code = 0
    except Failure as failure:
        print(f"FAIL (seed {options.seed}): {failure}", flush=True)
    finally:
        if cluster is not None:
            cluster.close()
        keep = code != 0 or options.keep
        if keep and cluster is not None:
            for node in cluster.nodes:  # the disks are gone with this process
                shutil.copytree(node.disk, node.disk + ".kept", ignore=shutil.ignore_patterns("*.sock", "ballast"))
        if cluster is not None:
            for node in cluster.nodes:
                subprocess.run(["umount", "-l", node.disk], check=False)
        if keep:
            print(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
