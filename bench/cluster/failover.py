#!/usr/bin/env python3
"""How long a cluster takes no writes after its leader is killed with SIGKILL.

Three real processes on this machine. A client of a node that does not lead puts one key after the other; the
leader is killed, and the time to the next answer that the client gets for a put is taken. Then the killed node
is started again, and the next round begins when it has caught up.

    bench/cluster/failover.py --pando build/bin/pando [--rounds 10] [--nodes 3]
"""
import argparse
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import tempfile
import time

FRAME = struct.Struct("<IQ")


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def put(key, value):
    """A request of src/node/replica_request.h: a write of one put, in no session."""
    span = lambda text: varint(len(text)) + text
    command = varint(1) + varint(2) + varint(0) + span(key) + span(value) + varint(0)
    return bytes([1, 0]) + bytes(32) + command


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.correlation = 0

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionError("the node hung up")
            data += more
        return data

    def call(self, request):
        """The outcome of the answer; 0 is OK."""
        self.correlation += 1
        self.socket.sendall(FRAME.pack(len(request), self.correlation) + request)
        while True:
            size, correlation = FRAME.unpack(self.read(FRAME.size))
            answer = self.read(size)
            if correlation == self.correlation:
                return answer[0]


class Cluster:
    def __init__(self, pando, folder, nodes):
        self.pando = pando
        self.folder = folder
        self.nodes = nodes
        self.processes = {}
        self.form()
        for node in range(nodes):
            self.start(node)

    def form(self):
        """Folders and keys, by `pando dev`."""
        while True:
            base = random.randrange(20000, 32000)
            process = subprocess.Popen(
                [self.pando, "dev", "--nodes", str(self.nodes), "--data", self.folder, "--base-port", str(base)],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            formed = None
            for line in process.stdout:
                if line.startswith("ready:"):
                    formed = line.strip()
                if "Ctrl-C ends" in line:
                    process.send_signal(signal.SIGTERM)
            if process.wait() == 0 and formed:
                print(formed)
                return

    def start(self, node):
        self.processes[node] = subprocess.Popen(
            [self.pando, "start", "--data", f"{self.folder}/node-{node}", "--listen-client", "off", "--quiet"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def status(self, node):
        answer = subprocess.run(
            [self.pando, "status", "-o", "json", "--data", f"{self.folder}/node-{node}"],
            capture_output=True, text=True, timeout=30)
        return json.loads(answer.stdout) if answer.returncode == 0 else {}

    def leader(self):
        """The node that all of them name, when all have applied the same."""
        while True:
            told = [self.status(node) for node in range(self.nodes)]
            names = {status.get("leader") for status in told}
            applied = {status.get("applied_index") for status in told}
            if all(told) and len(names) == 1 and len(applied) == 1:
                for node, status in enumerate(told):
                    if status.get("node") == told[0].get("leader"):
                        return node
            time.sleep(0.05)

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait()


def measure(cluster, quiet_s):
    leader = cluster.leader()
    client = Client(pathlib.Path(cluster.folder) / f"node-{(leader + 1) % cluster.nodes}" / "pando.sock")
    number = 0
    begin = time.monotonic()
    while time.monotonic() < begin + quiet_s:
        number += 1
        assert client.call(put(b"failover", str(number).encode())) == 0
    os.kill(cluster.processes[leader].pid, signal.SIGKILL)
    killed = time.monotonic()
    while True:
        number += 1
        if client.call(put(b"failover", str(number).encode())) == 0:
            break
    took = time.monotonic() - killed
    cluster.processes[leader].wait()
    cluster.start(leader)
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pando", default="build/bin/pando")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--nodes", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as top:
        cluster = Cluster(os.path.abspath(arguments.pando), os.path.join(top, "cluster"), arguments.nodes)
        try:
            took = sorted(measure(cluster, random.uniform(0.3, 0.8)) for _ in range(arguments.rounds))
        finally:
            cluster.stop()
    shown = ", ".join(f"{1000 * seconds:.0f}" for seconds in took)
    print(f"kill -9 of the leader to the next answered put, ms: {shown}")
    print(f"median {1000 * took[len(took) // 2]:.0f} ms, worst of {len(took)} {1000 * took[-1]:.0f} ms")


if __name__ == "__main__":
    main()
