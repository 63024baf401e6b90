#!/usr/bin/env python3
"""The same etcdctl commands against a real etcd and against Pando: exit status, output and errors must be equal.

    compare.py BIN_FOLDER PANDO [--alone]

BIN_FOLDER holds etcdctl and etcd. Both servers get free ports and folders of their own. JSON is compared field by
field; what must differ (ids of clusters and members, terms, raft's indices, sizes, versions, lease ids) is replaced first.
With --alone there is no etcd: every command must end as the table of expected ends says, which is the same for both.
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

from servers import WAIT_S, spawn_etcd, wait_for

LEASE = "%LEASE%"

# Fields that no two clusters share.
OWN = {"cluster_id", "member_id", "raft_term", "raftTerm", "raftIndex", "raftAppliedIndex", "dbSize", "dbSizeInUse",
       "dbSizeQuota", "leader", "version", "storageVersion", "hash", "took", "Took", "took_ms", "clientURLs",
       "peerURLs", "downgradeInfo", "name"}


class Server:
    """A server, what it has granted, and what it is called with."""

    def __init__(self, name, url, process, etcdctl):
        self.name, self.url, self.process, self.etcdctl = name, url, process, etcdctl
        self.leases = []
        # Its own patience, 5 s, is not that of a loaded machine.
        self.env = {**os.environ, "ETCDCTL_ENDPOINTS": url, "ETCDCTL_COMMAND_TIMEOUT": "60s", "LC_ALL": "C"}

    def words(self, words):
        return [self.leases[int(w[7:])] if w.startswith(LEASE) else
                re.sub(r"%LEASE%(\d)", lambda m: self.leases[int(m[1])], w) for w in words]

    def run(self, words, text=""):
        done = subprocess.run([self.etcdctl, *self.words(words)], input=text, capture_output=True, text=True,
                              env=self.env, timeout=WAIT_S, check=False)
        for lease in re.findall(r"lease ([0-9a-f]{16}) granted", done.stdout):
            self.leases.append(lease)
        return done.returncode, self.plain(done.stdout), self.error(done.stderr)

    def error(self, text):
        """The last words of a failure; the log lines before them name addresses and times."""
        lines = [line for line in text.splitlines() if line and not line.startswith("{")]
        return [self.plain(line) for line in lines]

    def plain(self, text):
        for number, lease in enumerate(self.leases):
            text = text.replace(lease, f"{LEASE}{number}")
            text = text.replace(str(int(lease, 16)), f"{LEASE}{number}") if int(lease, 16) > 9999999 else text
        text = text.replace(self.url, "URL").replace(self.url.removeprefix("http://"), "URL")
        text = re.sub(r"remaining\(\d+s\)", "remaining(N)", text)
        # etcd keeps them in a map, which has no order.
        text = re.sub(r"attached keys\(\[(.*?)\]\)", lambda m: f"attached keys({sorted(m[1].split())})", text)
        text = re.sub(r"(took =|took|last seen) \S+", "took T", text)
        text = re.sub(r"^(w/\w+/)[0-9a-f]+$", r"\1OWN", text, flags=re.MULTILINE)
        return text

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=WAIT_S)


def blank(value, lease_fields=("ID", "lease", "id")):
    """JSON without what must differ."""
    if isinstance(value, dict):
        return {k: "*" if k in lease_fields and isinstance(v, int) else blank(v)
                for k, v in value.items() if k not in OWN}
    if isinstance(value, list):
        return [blank(item) for item in value]
    return value


def comparable(output):
    lines = output.splitlines()
    result = []
    for line in lines:
        if line.startswith(("{", "[")):
            try:
                result.append(blank(json.loads(line)))
                continue
            except json.JSONDecodeError:
                pass
        if re.match(r'"(ID|ClusterID|MemberID|RaftTerm|Hash|Leader|DBSize|RaftIndex)" :', line):
            line = line.split(":")[0]
        result.append(line)
    return result


def start_etcd(folder, binaries):
    url, process = spawn_etcd(folder, binaries)
    server = Server("etcd", url, process, os.path.join(binaries, "etcdctl"))
    wait_for(lambda: server.run(["endpoint", "health"])[0] == 0)
    return server


def start_pando(folder, binaries, pando):
    output = os.path.join(folder, "pando.out")
    with open(output, "wb") as out:
        process = subprocess.Popen([pando, "start", "--data", os.path.join(folder, "pando"), "--listen-client",
                                    "127.0.0.1:0", "--disk-low", "0B", "--quiet"], stdout=out, stderr=out)

    def url():
        with open(output, encoding="utf-8") as text:
            found = re.search(r"etcd +(http://\S+)\n", text.read())
        if process.poll() is not None:
            raise RuntimeError("pando start has ended")
        return found and found[1]
    return Server("pando", wait_for(url), process, os.path.join(binaries, "etcdctl"))


class Comparison:
    def __init__(self, servers):
        self.servers, self.failures, self.steps = servers, 0, 0

    def judge(self, shown, results):
        self.steps += 1
        first = results[0]
        for server, result in zip(self.servers[1:], results[1:]):
            if result != first:
                self.failures += 1
                print(f"FAIL etcdctl {shown}")
                print(f"  {self.servers[0].name}: {first}")
                print(f"  {server.name}: {result}")

    def same(self, command, text="", expect=None):
        """One command on each. expect: its exit code; with one server alone nothing else tells what is right."""
        words = command.split() if isinstance(command, str) else command
        results = [server.run(words, text) for server in self.servers]
        results = [(code, comparable(out), err) for code, out, err in results]
        shown = " ".join(words)
        self.judge(shown, results)
        if expect is not None and results[-1][0] != expect:
            self.failures += 1
            print(f"FAIL etcdctl {shown}: exit code {results[-1][0]} instead of {expect}: {results[-1][1:]}")

    def until(self, command, lines, then=(), text=""):
        """A command that does not end: until it has printed so many lines, `then` are run meanwhile."""
        words = command.split()
        results = []
        for server in self.servers:
            # Two descriptions of one file: a reader that shares the writer's would move the place where it writes.
            with tempfile.NamedTemporaryFile("rb") as file, open(file.name, "ab") as written:
                process = subprocess.Popen([server.etcdctl, *server.words(words)], stdout=written,
                                           stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=server.env)

                def output():
                    file.seek(0)
                    return file.read().decode()
                if text:
                    process.stdin.write(text)
                    process.stdin.flush()
                try:
                    for number, needed in enumerate(lines):
                        wait_for(lambda: output().count("\n") >= needed or process.poll() is not None, 15)
                        if number < len(then):
                            server.run(then[number].split())
                except TimeoutError:
                    self.failures += 1
                    print(f"FAIL etcdctl {command} at {server.name}: waited in vain for {lines} lines:\n{output()}")
                process.send_signal(signal.SIGINT)
                process.wait(timeout=WAIT_S)  # its input stays open: the end of that is another error
                errors = process.stderr.read()
                process.stdin.close()
                process.stderr.close()
                results.append((comparable(server.plain(output())), server.error(errors)))
        self.judge(command, results)


def keys(c):
    c.same("put greeting hello", expect=0)
    c.same("get greeting", expect=0)
    c.same("get greeting -w json", expect=0)
    c.same("get greeting -w fields", expect=0)
    c.same("get greeting --print-value-only", expect=0)
    c.same("get nothing -w json", expect=0)
    c.same("put greeting hi --prev-kv", expect=0)
    c.same("put greeting hey --prev-kv -w json", expect=0)
    c.same("put greeting --ignore-value -w json", expect=0)
    c.same("put nothing --ignore-value", expect=1)
    c.same("put nothing x --ignore-lease", expect=1)
    c.same("put greeting x --lease=1234", expect=1)
    c.same(["put", "", "x"], expect=1)
    c.same(["put", "empty", ""], expect=0)
    c.same(["put", "from-input"], text="of several\nlines\n", expect=0)
    for number in range(6):
        c.same(f"put item/{number} {9 - number}", expect=0)
    c.same("put item/3 again", expect=0)
    c.same("get item/ --prefix", expect=0)
    c.same("get item/ --prefix -w json --limit 2", expect=0)
    c.same("get item/ --prefix --keys-only", expect=0)
    c.same("get item/ --prefix --count-only -w fields", expect=0)
    c.same("get item/1 item/4 -w json", expect=0)
    c.same("get item/4 --from-key -w json", expect=0)
    c.same(["get", "", "--prefix", "-w", "json"], expect=0)
    c.same(["get", "", "--from-key", "--keys-only"], expect=0)
    for target in ("CREATE", "KEY", "MODIFY", "VALUE", "VERSION"):
        for order in ("ASCEND", "DESCEND"):
            c.same(f"get item/ --prefix --sort-by={target} --order={order} -w json --limit=4", expect=0)
    c.same("get item/ --prefix --sort-by=VALUE -w json", expect=0)
    c.same("get item/3 --rev 8 -w json", expect=0)
    c.same("get item/3 --rev 100000", expect=1)
    c.same("get item/ --prefix --min-mod-rev=10 -w json", expect=0)
    c.same("get item/ --prefix --max-mod-rev=10 -w json", expect=0)
    c.same("get item/ --prefix --min-create-rev=10 --max-create-rev=11 -w json", expect=0)
    c.same("get greeting --consistency=s -w json", expect=0)
    c.same("del nothing -w json", expect=0)
    c.same("del item/0 --prev-kv", expect=0)
    c.same("del item/1 --prev-kv -w json", expect=0)
    c.same("del item/2 item/4 -w json", expect=0)
    c.same("del item/ --prefix --prev-kv -w json", expect=0)
    c.same("put item/1 back -w json", expect=0)
    c.same("get item/1 -w json", expect=0)
    c.same("del item/0 --from-key -w json", expect=0)
    c.same(["put", "large", "x" * 100000], expect=0)
    c.same("get large -w json", expect=0)


def transactions(c):
    c.same("put a 1", expect=0)
    c.same("txn", text='value("a") = "1"\n\nput b yes\nget b\n\nput b no\n\n', expect=0)
    c.same("txn -w json", text='value("a") = "2"\n\nput b yes\n\nget a\nget b\ndel b\n\n', expect=0)
    c.same("txn -w json", text='version("a") > "0"\nmod("a") < "100000"\ncreate("a") = "7"\n\nget a\n\nget b\n\n')
    c.same("txn -w json", text='ver("none") = "0"\n\nput none --lease=0 now\n\n\n')
    c.same("txn -w json", text='value("a") = "1"\n\nput a 3\nget a\n\n\n', expect=0)
    c.same("txn -w json", text='\nget a\nget b\n\n\n', expect=0)  # reads alone: no revision
    c.same("txn", text='\nput c 1\nput c 2\n\n\n', expect=1)
    c.same("txn", text='\nput c 1\ndel c\n\n\n')
    c.same("txn -w json", text='\nput c 1\nget c\n\n\n', expect=0)
    c.same("txn -w json", text='\ndel nothing\n\n\n', expect=0)
    c.same("txn", text="\n" + "".join(f"put many/{i} {i}\n" for i in range(129)) + "\n\n", expect=1)
    c.same("txn -w fields", text='value("a") = "3"\n\nget a\nput d 1\ndel d\n\n\n')
    c.same("get a -w json", expect=0)


def leases(c):
    c.same("lease grant 100", expect=0)
    c.same("lease grant 1 -w fields")
    c.same("lease grant 9000000001", expect=1)
    c.same(f"put leased one --lease={LEASE}0", expect=0)
    c.same(f"put leased/2 two --lease={LEASE}0", expect=0)
    c.same(f"lease timetolive {LEASE}0", expect=0)
    c.same(f"lease timetolive {LEASE}0 --keys", expect=0)
    c.same(f"lease keep-alive --once {LEASE}0", expect=0)
    c.same("lease keep-alive --once 123456789abc")
    c.same("lease timetolive 123456789abc", expect=0)
    c.same("put leased three --ignore-lease", expect=0)
    c.same("get leased", expect=0)
    c.same(f"lease revoke {LEASE}0", expect=0)
    c.same("get leased --prefix -w json", expect=0)
    c.same(f"lease revoke {LEASE}0", expect=1)
    c.same(f"put leased one --lease={LEASE}0", expect=1)


def watches(c):
    c.same("put w/1 a", expect=0)
    c.same("put w/2 b", expect=0)
    c.same("del w/1", expect=0)
    c.until("watch w/ --prefix --rev=2", [8])
    c.until("watch w/ --prefix --rev=2 -w json", [1])
    c.until("watch w/2 --rev=2 --prev-kv", [3], text="")
    c.until("watch w/ w0 --rev=2 --prev-kv", [8])
    c.until("watch --rev=2 w/2 -- echo seen", [4])
    c.until("watch -i", [8], text="watch --rev=2 w/ --prefix\n")
    # From now on: the events come while it watches.
    c.until("watch w/3 --rev=2", [0, 3, 6], then=["put w/3 x", "put w/3 y"])
    c.until("lock w/lock", [1])
    c.same("lock w/lock echo held", expect=0)
    c.same("lock w/lock false")
    c.until("elect w/election me", [2])


def compaction(c):
    c.same("compaction 100000", expect=1)
    c.same("put x 1", expect=0)
    c.same("put x 2", expect=0)
    c.same("compaction 12", expect=0)
    c.same("compaction 12", expect=1)
    c.same("compaction 5", expect=1)
    c.same("get x --rev 11", expect=1)
    c.same("get x --rev 12 -w json", expect=0)
    c.same("watch x --rev 3", expect=5)
    c.same("compaction 14 --physical", expect=0)


def cluster(c):
    c.same("endpoint health", expect=0)
    c.same("endpoint status -w json", expect=0)
    c.same("endpoint hashkv -w json", expect=0)
    c.same("member list -w json", expect=0)
    c.same("member remove abcdef", expect=1)
    c.same("member promote abcdef", expect=1)
    c.same("member add new --peer-urls=127.0.0.1:1", expect=1)
    c.same("member update abcdef --peer-urls=http://127.0.0.1:1", expect=1)
    c.same("member update abcdef --peer-urls=http://127.0.0.1:1/folder", expect=1)
    c.same("move-leader abcdef", expect=1)
    c.same("alarm list", expect=0)
    c.same("alarm disarm", expect=0)
    c.same("defrag", expect=0)
    for version in ("3.4", "3.6.0", "4.5.1-x", "x", "3", "v3.5", "3.5.0.1"):
        c.same(f"downgrade validate {version}", expect=1)
    c.same("downgrade enable 3.4", expect=1)
    c.same("downgrade cancel", expect=0)
    c.same("auth status")


def main():
    binaries, pando = sys.argv[1], sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        servers = [] if "--alone" in sys.argv else [start_etcd(folder, binaries)]
        servers.append(start_pando(folder, binaries, pando))
        c = Comparison(servers)
        try:
            for part in (keys, transactions, leases, watches, compaction, cluster):
                part(c)
        finally:
            for server in servers:
                server.stop()
    print(f"{c.steps} commands compared, {c.failures} differ")
    return 1 if c.failures else 0


if __name__ == "__main__":
    sys.exit(main())
