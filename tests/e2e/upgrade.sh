#!/usr/bin/env bash
# A rolling upgrade of real processes: three nodes of the program before (build/bin/pando-before), a fourth of the new
# one beside them, then one after the other is started again with the new one, under load. Nothing that clients were
# told is lost, the cluster's version rises when the last one can follow and not before, and the program before is
# refused from then on.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
load=$PANDO_BUILD_DIR/bin/store-load
new=$PANDO
declare -A pids

# start_node N PROGRAM
start_node() {
    "$2" start --data "$cluster/node-$1" --listen-client off >>"$work/node-$1.log" 2>&1 &
    pids[$1]=$!
    children+=("$!")
}

end_node() {
    kill -TERM "${pids[$1]}"
    wait "${pids[$1]}" || true
}

# versions_are VERSION NODE...: whether that is what each of them says.
versions_are() {
    local version=$1 node
    shift
    for node in "$@"; do
        [ "$(field "$node" cluster_version)" = "$version" ] || return 1
    done
}

# load_all NAME: clients of the first three nodes, for a few seconds. What is acknowledged goes to a file, and each
# register's history is kept.
load_all() {
    mkdir "$work/history-$1"
    "$load" --socket "$cluster/node-0/pando.sock" --socket "$cluster/node-1/pando.sock" \
        --socket "$cluster/node-2/pando.sock" --clients 6 --connections 6 --keys 4 --prefix "$1/" --sessions \
        --op-timeout 120 --wait-back 120 \
        --acks "$work/acks-$1" --record "$work/history-$1" --seed "$RANDOM" --seconds "$(effort 3 2)" \
        >"$work/load-$1" 2>&1
}

# judged NAME: the load that ended lost nothing, and its histories are linearizable.
judged() {
    wait "$load_pid" || { fail "the clients of '$1' lost something:"; cat "$work/load-$1"; }
    "$PANDO_BUILD_DIR/bin/linearizability" "$work/history-$1"/*.log >"$work/verdicts" ||
        { fail "the histories of '$1' are not linearizable:"; cat "$work/verdicts"; }
}

# programs_told NODE NUMBER: whether so many members have told their program to the directory.
programs_told() {
    timeout 20 "$new" cluster members -o json --data "$cluster/node-$1" >"$work/members" 2>/dev/null || return 1
    [ "$(grep -o '"version_limit":2' "$work/members" | wc -l)" -eq "$2" ]
}

# Folders and keys are made by `pando dev` of the program before.
PANDO=$PANDO_BEFORE
free_base
start_pando dev --data "$cluster" --base-port "$base"
wait_for_text "Ctrl-C ends all of it in order."
kill -TERM "$started"
wait_for_end 0
for node in 0 1 2; do start_node "$node" "$PANDO_BEFORE"; done
leader_index 0 1 2
eventually versions_are 1 0 1 2
runs 0 cluster ticket --data "$cluster/node-0"
cp "$out" "$work/ticket"

# The new program joins a cluster of the old one.
PANDO=$new
runs 0 join "@$work/ticket" --data "$cluster/node-3" --name node-3 --no-start
start_node 3 "$new"
eventually versions_are 1 3
says_limit() { [ "$(field 3 version_limit)" = 2 ]; }
eventually says_limit

# Its leader does not say who is down: nobody takes silence for good news.
runs 0 cluster status --data "$cluster/node-3"
printed "whether one is down now, nobody says: the leader or this node runs an older program"

# The leader goes last, so that the one before leads until the end.
leader_index 0 1 2 3
first=$(((leader + 1) % 3))
second=$(((leader + 2) % 3))
last=$leader
[ "$leader" -ne 3 ] || { first=0; second=1; last=2; }
for node in "$first" "$second" "$last"; do
    load_all "round-$node" &
    load_pid=$!
    eventually test -s "$work/acks-round-$node"
    eventually versions_are 1 0 1 2 3 # the one to go cannot follow more
    end_node "$node"
    start_node "$node" "$new"
    judged "round-$node"
done
eventually versions_are 2 0 1 2 3
leader_index 0 1 2 3
eventually programs_told "$first" 4
same_state 0 1 2 3
for node in 0 1 2; do
    for round in 0 1 2; do
        "$load" --socket "$cluster/node-$node/pando.sock" --check "$work/acks-round-$round" --op-timeout 120 >"$work/check" 2>&1 ||
            { fail "node $node lacks what clients were told in round $round:"; cat "$work/check"; }
    done
done
runs 0 cluster status --data "$cluster/node-0"
printed "version     2; this node can follow 2"

# The program before is refused: with a folder of the cluster, and as a new member. Nothing is harmed by the try.
end_node "$first"
PANDO=$PANDO_BEFORE
runs 1 start --data "$cluster/node-$first" --listen-client off
said "the cluster is of version 2, and this program can follow up to version 1"
runs 1 join "@$work/ticket" --data "$work/fifth" --no-start
said "the cluster is of version 2, and the new node's program can follow up to version 1"
PANDO=$new
start_node "$first" "$new"
same_state 0 1 2 3
runs 0 kv put --data "$cluster/node-$first" after upgrade
for node in 0 1 2 3; do end_node "$node"; done
finish
