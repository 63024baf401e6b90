#!/usr/bin/env python3
"""`etcdctl make-mirror`, unmodified: from a real etcd to Pando, and from Pando to etcd, each while its source is written to.

    mirror.py BIN_FOLDER PANDO [KEYS]

BIN_FOLDER holds etcdctl and etcd. KEYS are there when a mirror begins: by default more than etcdctl reads at a time. What is there before the mirror begins, what comes while it reads that, and what comes
later must all arrive, in the end equal key by key.
"""
import base64
import http.client
import json
import random
import subprocess
import sys
import tempfile
import urllib.parse

from compare import start_etcd, start_pando
from servers import WAIT_S, wait_for


class Keys:
    """The keys of a server, through its JSON gateway, which is quicker than a process for each."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection(urllib.parse.urlparse(server.url).netloc, timeout=WAIT_S)

    def ask(self, path, **fields):
        body = json.dumps(fields, default=lambda value: base64.b64encode(value).decode())
        self.connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {text!r}")
        return json.loads(text)

    def put(self, key, value):
        self.ask("/v3/kv/put", key=key, value=value)

    def put_all(self, pairs):
        """A hundred in one transaction."""
        for at in range(0, len(pairs), 100):
            self.ask("/v3/kv/txn", success=[{"request_put": {"key": key, "value": value}}
                                            for key, value in pairs[at:at + 100]])

    def delete(self, key):
        self.ask("/v3/kv/deleterange", key=key)

    def all(self, prefix):
        answer = self.ask("/v3/kv/range", key=prefix, range_end=prefix[:-1] + bytes([prefix[-1] + 1]))
        return {base64.b64decode(kv["key"])[len(prefix):]: base64.b64decode(kv.get("value", ""))
                for kv in answer.get("kvs", ())}


def scribble(keys, prefix, rng, count):
    """Puts and deletes over and over again on few keys, so that the order of events matters."""
    for number in range(count):
        key = prefix + b"%d" % rng.randrange(60)
        if rng.randrange(4) == 0:
            keys.delete(key)
        else:
            keys.put(key, b"%d %s" % (number, rng.randbytes(rng.randrange(40))))


def mirror(etcdctl, source, target, count, rng):
    """False: what arrived is not what was sent."""
    prefix, goal = f"from-{source.name}/".encode(), f"mirror-of-{source.name}/".encode()
    keys, copy = Keys(source), Keys(target)
    keys.put_all([(prefix + b"base/%04d" % number, b"%d" % number) for number in range(count)])
    scribble(keys, prefix, rng, 100)
    process = subprocess.Popen(
        [etcdctl, "--endpoints", source.url, "make-mirror", target.url, "--prefix", prefix.decode(), "--dest-prefix",
         goal.decode()], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: (scribble(keys, prefix, rng, 10), copy.all(goal))[1])
        scribble(keys, prefix, rng, 200)
        wanted = keys.all(prefix)
        try:
            wait_for(lambda: process.poll() is not None or copy.all(goal) == wanted)
        except TimeoutError:
            pass
        got = copy.all(goal)
        if process.poll() is not None or got != wanted:
            lost = [key for key, value in wanted.items() if got.get(key) != value]
            print(f"FAIL {source.name} to {target.name}: {len(lost)} keys differ, such as {lost[:3]}; {len(got)} of "
                  f"{len(wanted)} keys arrived; etcdctl: {process.poll()}")
            return False
        print(f"ok {source.name} to {target.name}: {len(wanted)} keys")
        return True
    finally:
        process.terminate()
        process.communicate(timeout=WAIT_S)


def main():
    binaries, pando = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1050
    rng = random.Random(5)
    with tempfile.TemporaryDirectory() as folder:
        servers = []
        try:
            servers.append(start_etcd(folder, binaries))
            servers.append(start_pando(folder, binaries, pando))
            etcd, node = servers
            results = [mirror(f"{binaries}/etcdctl", *pair, count, rng) for pair in ((etcd, node), (node, etcd))]
        finally:
            for server in servers:
                server.stop()
    sys.exit(0 if all(results) else 1)


main()
