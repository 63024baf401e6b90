#!/usr/bin/env bash
# Two of three nodes start anew at other addresses, one of them as the leader: neither of the two knows where the other one
# is. The third one, which has not moved, tells.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"

free_base
start_pando dev --data "$cluster" --base-port "$base"
wait_for_text "Ctrl-C ends all of it in order."
runs 0 kv put --data "$cluster/node-0" key value
kill -INT "$started"
wait_for_end 0

declare -A process
place() { echo "$1:$((base + 10 * $2 + 1))"; }
start_node() { # HOST NODE
    "$PANDO" start --data "$cluster/node-$2" --listen-client off --listen-peer "$(place "$1" "$2")" --disk-low 0B \
        >>"$work/node-$2.log" 2>&1 &
    process[$2]=$!
    children+=("$!")
}
stop_node() {
    kill -TERM "${process[$1]}"
    wait "${process[$1]}" || fail "node $1: exit code $?"
}
lists() { # NODE PLACE
    "$PANDO" cluster members --data "$cluster/node-$1" >"$work/members" 2>&1 && grep -qF "$2" "$work/members"
}
leads() { # the node 1, which is asked to until it does
    "$PANDO" cluster transfer node-1 --data "$cluster/node-0" >/dev/null 2>&1 || true
    agree 0 1 && [ "$leader" = 1 ]
}

# Node 2 is down. Node 1 moves, says so, and leads.
start_node 127.0.0.1 0
start_node 127.0.0.1 1
leader_index 0 1
stop_node 1
start_node 127.0.0.12 1
leader_index 0 1
eventually lists 0 "$(place 127.0.0.12 1)"
eventually leads

# Node 2 moves as well: it dials node 0, which does not lead, and node 1 where that was.
start_node 127.0.0.13 2
eventually agree 0 1 2
[ "$leader" = 1 ] || echo "the lead went to node $leader meanwhile"
eventually lists 0 "$(place 127.0.0.13 2)"
same_state 0 1 2
runs 0 kv get --data "$cluster/node-2" key
output_is value
grep -qF "is found at $(place 127.0.0.13 2), not where it says ($(place 127.0.0.1 2)): the directory is told" "$work/node-0.log" ||
    fail "node 0 does not say where it found node 2"

# Node 2 says an address at which nobody is: the others find it at that from which it speaks, the directory has both, and the
# doctor says which one is of no use.
stop_node 2
"$PANDO" start --data "$cluster/node-2" --listen-client off --listen-peer "$(place 127.0.0.13 2)" --disk-low 0B \
    --advertise-peer "$(place 127.0.0.14 2)" >>"$work/node-2.log" 2>&1 &
process[2]=$!
children+=("$!")
both_listed() { lists 0 "$(place 127.0.0.14 2)" && lists 0 "$(place 127.0.0.13 2)"; }
eventually both_listed
told() {
    "$PANDO" cluster doctor --data "$cluster/node-0" >"$out" 2>"$err" || true
    grep -q "^ok *node-2 *$(place 127.0.0.13 2) proves its key" "$out" &&
        grep -q "^careful *node-2 *$(place 127.0.0.14 2) (UDP) does not answer (.*): it is reached at $(place 127.0.0.13 2) alone" "$out"
}
eventually told
for node in 0 1 2; do
    stop_node "$node"
done
finish
