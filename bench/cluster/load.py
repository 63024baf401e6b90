"""etcd's own `benchmark`, run against a cluster: what it reports, and what that cost the servers."""
import os
import re
import resource
import subprocess

TIMEOUT_S = 600


class Figures:
    """Of one run. Times in microseconds; cpu is the servers', client_cpu the load's own."""

    def __init__(self, report, ops, cpu_s, client_s, switches):
        number = lambda pattern: float(re.search(pattern, report).group(1))
        self.rate = number(r"Requests/sec:\s+([\d.e+]+)")
        self.p50 = 1e6 * number(r"\b50% in ([\d.e+-]+) secs")
        self.p99 = 1e6 * number(r"\b99% in ([\d.e+-]+) secs")
        self.cpu = 1e6 * cpu_s / ops
        self.client_cpu = 1e6 * client_s / ops
        self.switches = switches / ops


def client_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(program, cluster, clients, connections, ops, arguments):
    """`arguments`: of benchmark's command. The whole report, and its figures."""
    command = [program, "--endpoints", cluster.endpoints(), "--conns", str(connections), "--clients", str(clients),
               "--precise"] + arguments
    cpu_s, switches, before_s = cluster.cpu_s(), cluster.switches(), client_s()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S,
                          env={**os.environ, "GODEBUG": ""}, check=False)
    report = done.stdout
    if done.returncode != 0 or "Error distribution" in report or "Requests/sec" not in report:
        raise RuntimeError(f"{' '.join(command)}:\n{report}\n{done.stderr[-2000:]}")
    # watch-latency reports its puts first, and then what is wanted.
    return Figures(report.rsplit("Summary:", 1)[1], ops, cluster.cpu_s() - cpu_s, client_s() - before_s,
                   cluster.switches() - switches)
