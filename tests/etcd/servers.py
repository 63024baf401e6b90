"""A real etcd for a comparison: on free ports, in a folder of its own."""
import os
import socket
import subprocess
import time

WAIT_S = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, seconds=WAIT_S):
    """What `what` returns, once that is true; it is asked again and again, since nobody tells."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = what()
        if value:
            return value
        time.sleep(0.01)
    raise TimeoutError("waited in vain")


def spawn_etcd(folder, binaries):
    """(URL for clients, process), not waited for. Its data and etcd.log are in the folder."""
    url, peer_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    with open(os.path.join(folder, "etcd.log"), "wb") as log:
        process = subprocess.Popen(
            [os.path.join(binaries, "etcd"), "--data-dir", os.path.join(folder, "etcd"), "--listen-client-urls", url,
             "--advertise-client-urls", url, "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
             "--initial-cluster", f"default={peer_url}", "--log-level", "error"], stdout=log, stderr=log)
    return url, process
