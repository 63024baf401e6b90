"""How long a cluster takes no writes after its leader is killed with SIGKILL.

Puts are sent to both other nodes, one every few milliseconds, none of which waits for another: a put that a node took
while it knew no leader may be lost in it. The time from the kill to the first answer counts."""
import base64
import random
import threading
import time

from clusters import post, wait_for

EVERY_S = 0.01
QUIET_S = (0.3, 0.8)
TIMEOUT_S = 5


class Attempts:
    """Puts under way; `answered` is the time of the first answer."""

    def __init__(self, ports):
        self.ports = ports
        self.lock = threading.Lock()
        self.answered = None
        self.threads = []

    def put(self, port, number):
        body = {"key": base64.b64encode(b"failover").decode(),
                "value": base64.b64encode(str(number).encode()).decode()}
        if post(port, "/v3/kv/put", body, TIMEOUT_S) is not None:
            now = time.monotonic()
            with self.lock:
                self.answered = now if self.answered is None else min(now, self.answered)

    def until_answered(self):
        number = 0
        while self.answered is None:
            thread = threading.Thread(target=self.put, args=(self.ports[number % len(self.ports)], number))
            thread.start()
            self.threads.append(thread)
            number += 1
            time.sleep(EVERY_S)
        for thread in self.threads:
            thread.join()
        return self.answered


def kill_once(cluster):
    """Milliseconds; afterwards the killed node is back, and has caught up."""
    leader = cluster.leader()
    time.sleep(random.uniform(*QUIET_S))
    others = [port for node, port in enumerate(cluster.ports) if node != leader]
    begin = time.monotonic()
    cluster.kill(leader)
    took = Attempts(others).until_answered() - begin
    cluster.start(leader)
    wait_for(lambda: cluster.answers(leader), f"{cluster.name} {leader} is back")
    return 1e3 * took
