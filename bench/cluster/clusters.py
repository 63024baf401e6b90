"""Clusters of real processes on this machine, etcd's and Pando's, which a benchmark handles alike."""
import base64
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

WAIT_S = 60
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(port, path, body, timeout_s):
    """The answer of the JSON gateway; None: there was none, or it was an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        return json.loads(text) if answer.status == 200 else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def get(port, path, timeout_s):
    """The text there; None: there was none, or an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        return text if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def wait_for(what, why):
    """What `what` returns, once that is true; it is asked again and again, since nobody tells."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        value = what()
        if value:
            return value
        time.sleep(0.002)
    raise TimeoutError(f"waited in vain: {why}")


class Cluster:
    """Nodes 0 to n - 1, each a process that serves the etcd API at ports[node]."""
    name = ""

    def __init__(self, program, folder, nodes):
        self.program = program
        self.folder = folder
        self.nodes = nodes
        self.ports = [free_port() for _ in range(nodes)]
        self.processes = {}
        os.makedirs(folder)

    def command(self, node):
        raise NotImplementedError

    def start(self, node):
        with open(os.path.join(self.folder, f"log-{node}"), "ab") as log:
            self.processes[node] = subprocess.Popen(self.command(node), stdout=log, stderr=log)

    def start_all(self):
        for node in range(self.nodes):
            self.start(node)
        self.wait_ready()

    def answers(self, node):
        """Whether a linearizable read is answered there."""
        return post(self.ports[node], "/v3/kv/range", {"key": "AA=="}, 5) is not None

    def put(self, key, value):
        """Waits until it is done; bytes."""
        body = {"key": base64.b64encode(key).decode(), "value": base64.b64encode(value).decode()}
        wait_for(lambda: post(self.ports[0], "/v3/kv/put", body, 5) is not None, f"{self.name}: a put")

    def wait_ready(self):
        for node in range(self.nodes):
            wait_for(lambda node=node: self.answers(node), f"{self.name} {node} in {self.folder}")

    def status(self, node):
        return post(self.ports[node], "/v3/maintenance/status", {}, 5)

    def leader(self):
        """The node that leads, once all of them name it."""
        def agreed():
            told = [self.status(node) for node in range(self.nodes)]
            if None in told or len({status.get("leader", "0") for status in told}) != 1:
                return None
            for node, status in enumerate(told):
                if status["header"]["member_id"] == status.get("leader"):
                    return [node]
            return None
        return wait_for(agreed, f"{self.name}: a leader")[0]

    def endpoints(self):
        """The leader's first: etcd's benchmark talks to it alone, with one endpoint."""
        return f"127.0.0.1:{self.ports[self.leader()]}"

    def cpu_s(self):
        """Processor time of all nodes since their start."""
        total = 0
        for process in self.processes.values():
            text = pathlib.Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii")
            fields = text.rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def switches(self):
        """How often threads of all nodes have gone to sleep, since their start."""
        total = 0
        for process in self.processes.values():
            for path in pathlib.Path(f"/proc/{process.pid}/task").glob("*/status"):
                for line in path.read_text(encoding="ascii").splitlines():
                    if line.startswith("voluntary_ctxt_switches:"):
                        total += int(line.split()[1])
        return total

    def resident_mib(self):
        """Of the largest node."""
        pages = [int(pathlib.Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1])
                 for process in self.processes.values()]
        return max(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def kill(self, node):
        process = self.processes.pop(node)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait()
        self.processes = {}


class Etcd(Cluster):
    name = "etcd"

    def __init__(self, program, folder, nodes):
        super().__init__(program, folder, nodes)
        self.peers = [f"http://127.0.0.1:{free_port()}" for _ in range(nodes)]

    def command(self, node):
        url = f"http://127.0.0.1:{self.ports[node]}"
        members = ",".join(f"node-{at}={peer}" for at, peer in enumerate(self.peers))
        return [self.program, "--name", f"node-{node}", "--data-dir", os.path.join(self.folder, f"node-{node}"),
                "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", self.peers[node],
                "--initial-advertise-peer-urls", self.peers[node], "--initial-cluster", members,
                "--log-level", "error"]


class Pando(Cluster):
    name = "pando"

    def __init__(self, program, folder, nodes):
        super().__init__(program, folder, nodes)
        if nodes > 1:
            self.form()

    def form(self):
        """Folders and keys, by `pando dev`, which takes its ports in a row: until a row is free."""
        for _ in range(20):
            base = random.randrange(20000, 32000)
            process = subprocess.Popen(
                [self.program, "dev", "--nodes", str(self.nodes), "--data", self.folder, "--base-port", str(base)],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            formed = False
            for line in process.stdout:
                formed = formed or line.startswith("ready:")
                if "Ctrl-C ends" in line:
                    process.send_signal(signal.SIGTERM)
            if process.wait() == 0 and formed:
                return
        raise RuntimeError(f"pando dev formed no cluster in {self.folder}")

    def command(self, node):
        return [self.program, "start", "--data", os.path.join(self.folder, f"node-{node}"), "--listen-client",
                f"127.0.0.1:{self.ports[node]}", "--quiet"]


class Floor(Cluster):
    """The etcd API with nothing behind it (floor.c): what the load and gRPC themselves allow."""
    name = "floor"

    def command(self, node):
        return [self.program, str(self.ports[node])]

    def endpoints(self):
        return f"127.0.0.1:{self.ports[0]}"
