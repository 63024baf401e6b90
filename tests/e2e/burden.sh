#!/usr/bin/env bash
# Guests never hurt the root: three nodes, each with endless guests and with others that take all the memory that they can
# get, in five ways. Every put is acknowledged, no lead changes, what is beyond the budget is refused, and the process has
# no more than the budget and a bound. Afterwards all of it is free again.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
budget_mib=48
puts=$(effort 300 100)

free_base
start_pando dev --data "$cluster" --base-port "$base" --app "$guests/burden.wasm" --allow-kv burden \
    --app-memory ${budget_mib}MiB --log-segment 16MiB --disk-low 0B -- 8
wait_for_text "Ctrl-C ends all of it in order."

pids=()
for node in 0 1 2; do
    pids+=("$(pid_of "$node")")
done
shown="pando dev --app-memory"
python3 - "$base" "$budget_mib" "$puts" "${PANDO_SANITIZE-}" "${pids[@]}" <<'PYTHON' || fail "see above"
"""Burdens the nodes in each way, and looks at what they say of themselves."""
import base64
import http.client
import json
import re
import sys
import time

base, budget_mib, puts = (int(word) for word in sys.argv[1:4])
sanitizer, pids = sys.argv[4], [int(word) for word in sys.argv[5:]]
NODES = range(3)
WAIT_S = 120
# Beyond the budget: slots that the slabs keep warm (32 MiB) and the node's own; and what the heap keeps of messages that are
# freed, which is no more than there were.
BOUND_MIB = budget_mib + 48
# What fills the budget, and what is refused of it.
BURDENS = {"spin memory": ("spawn", "growth"), "spin stacks": ("spawn",), "spin tables": ("spawn",),
           "spin mail": ("message",), "spin memory mail": ("spawn", "growth")}
TRIES = 6  # a machine with much else to do may hold up a node by itself


def ask(node, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", base + 10 * node, timeout=WAIT_S)
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def put(node, key, value):
    body = json.dumps({"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value.encode()).decode()})
    return ask(node, "POST", "/v3/kv/put", body)


def metrics(node):
    return dict(line.rsplit(" ", 1) for line in ask(node, "GET", "/metrics")[1].splitlines() if not line.startswith("#"))


def refused(node):
    pattern = re.compile(r'pando_actors_memory_refused_total\{use="(\w+)"\}')
    return {pattern.match(name)[1]: int(value) for name, value in metrics(node).items() if pattern.match(name)}


def elections(node):
    told = metrics(node)
    return told["pando_raft_term"], told["etcd_server_leader_changes_seen_total"]


def resident_mib(node):
    with open(f"/proc/{pids[node]}/status", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("RssAnon:", "VmPTE:"))) / 1024


def eventually(is_so, what):
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def burden(value):
    status, text = put(0, "burden", value)
    assert status == 200, text


def is_quiet(node):
    return metrics(node)["pando_actors"] == "1"


def is_refused(node, uses, before):
    now = refused(node)
    return all(now[use] > before[node][use] for use in uses)


def is_undisturbed():
    """Puts at all nodes, of which none fails; whether the lead stayed where it was meanwhile."""
    before = [elections(node) for node in NODES]
    for number in range(puts):
        status, text = put(number % len(NODES), f"put-{number % 10}", str(number))
        assert status == 200, f"put {number}: {status} {text}"
    return [elections(node) for node in NODES] == before


for node in NODES:  # they serve before their application runs
    eventually(lambda node=node: metrics(node).get("pando_actors") == "1", f"node {node} has no guest")
assert max(int(metrics(node)["pando_actors_memory_max_bytes"]) for node in NODES) == budget_mib << 20
quiet = [resident_mib(node) for node in NODES]
held = [metrics(node)["pando_actors_memory_bytes"] for node in NODES]
for words, uses in BURDENS.items():
    before = [refused(node) for node in NODES]
    burden(words)
    for node in NODES:
        eventually(lambda node=node: is_refused(node, uses, before), f"{words}: node {node} refuses nothing: {refused(node)}")
    assert any(is_undisturbed() for _ in range(TRIES)), f"{words}: a lead changed in each of {TRIES} tries"
    for node in NODES:
        assert int(metrics(node)["pando_actors_memory_bytes"]) <= budget_mib << 20
        more = resident_mib(node) - quiet[node]
        assert sanitizer or more <= budget_mib + BOUND_MIB, f"{words}: node {node} has {more:.0f} MiB more than when quiet"
    burden("off")
    for node in NODES:
        eventually(lambda node=node: is_quiet(node), f"{words}: actors are left at node {node}")
        eventually(lambda node=node: metrics(node)["pando_actors_memory_bytes"] == held[node],
                   f"{words}: node {node} holds {metrics(node)['pando_actors_memory_bytes']} bytes, not {held[node]}")
PYTHON

kill -TERM "$started"
wait_for_end 0
finish
