#!/usr/bin/env bash
# Three real processes are one cluster: nothing acknowledged is lost when the leader is killed under load; a node catches
# up, is rebuilt from another one's snapshot, and cannot come back once it was removed or wiped.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
load=$PANDO_BUILD_DIR/bin/store-load
declare -A pids

# start_node N: one of the folders that `pando dev` made, alone. Its log keeps little, so that a snapshot is needed soon.
start_node() {
    "$PANDO" start --data "$cluster/node-$1" --listen-client off --store-lag 100 \
        >>"$work/node-$1.log" 2>&1 &
    pids[$1]=$!
    children+=("$!")
}

# end_node N SIGNAL: and wait for its end.
end_node() {
    kill "-$2" "${pids[$1]}"
    wait "${pids[$1]}" || true
}

# removed N: it is told by the others that it was removed, says so, and ends.
removed() {
    local code=0
    wait "${pids[$1]}" || code=$?
    [ "$code" -eq 5 ] || fail "node $1 ended with $code after its removal"
    grep -q "was removed from cluster" "$work/node-$1.log" || { fail "node $1 does not say why"; cat "$work/node-$1.log"; }
}

# load_all NAME OPTION...: clients of all nodes, whose connections go to the next node when one is lost. What is
# acknowledged goes to a file, and each register's history is kept.
load_all() {
    local name=$1
    shift
    mkdir "$work/history-$name"
    "$load" --socket "$cluster/node-0/pando.sock" --socket "$cluster/node-1/pando.sock" \
        --socket "$cluster/node-2/pando.sock" --clients 12 --connections 6 --keys 8 --prefix "$name/" --op-timeout 120 --wait-back 120 \
        --acks "$work/acks-$name" --record "$work/history-$name" --seed "$RANDOM" "$@" >"$work/load-$name" 2>&1
}

# judged NAME: the load that ended lost nothing, and its histories are linearizable.
judged() {
    wait "$load_pid" || { fail "the clients of '$1' lost something:"; cat "$work/load-$1"; }
    cat "$work/load-$1"
    "$PANDO_BUILD_DIR/bin/linearizability" "$work/history-$1"/*.log >"$work/verdicts" ||
        { fail "the histories of '$1' are not linearizable:"; cat "$work/verdicts"; }
}

# Folders and keys are made by `pando dev`; the processes are ours.
free_base
start_pando dev --data "$cluster" --base-port "$base"
wait_for_text "Ctrl-C ends all of it in order."
kill -TERM "$started"
wait_for_end 0
for node in 0 1 2; do start_node "$node"; done
leader_index 0 1 2

# The leader is killed while clients of all nodes read and write: they go on, nothing that they were told is lost, and
# nobody reads what is not so. It comes back and catches up. First with sessions of the clients' own, then without.
for name in sessions plain; do
    options=()
    [ "$name" = plain ] || options+=(--sessions)
    load_all "$name" --seconds 4 "${options[@]}" &
    load_pid=$!
    eventually test -s "$work/acks-$name"
    leader_index 0 1 2
    end_node "$leader" KILL
    start_node "$leader"
    judged "$name"
    same_state 0 1 2
    "$load" --socket "$cluster/node-$leader/pando.sock" --check "$work/acks-$name" --op-timeout 120 >"$work/check" 2>&1 ||
        { fail "node $leader lacks what clients were told:"; cat "$work/check"; }
done

# A follower's store is deleted: its log does not reach back far enough, so another one's snapshot is its state.
leader_index 0 1 2
follower=$(((leader + 1) % 3))
end_node "$follower" TERM
rm -rf "$cluster/node-$follower/store"
start_node "$follower"
same_state 0 1 2
runs 0 kv put --data "$cluster/node-$follower" after snapshot
same_state 0 1 2

# A new node joins by a ticket, learns, and votes; joining again is a start. A ticket that was touched, or is too old,
# is none. It goes again by etcd's MemberRemove, asked at its own port.
runs 0 cluster ticket --expires 1h --data "$cluster/node-$follower"
cp "$out" "$work/ticket"
ticket=$(cat "$work/ticket")
other=A
[ "${ticket:40:1}" != A ] || other=B
runs 1 join "${ticket:0:40}$other${ticket:41}" --no-start --data "$work/nobody"
said "no ticket"
runs 0 join "@$work/ticket" --data "$cluster/node-3" --name node-3 --no-start
printed "joined cluster"
"$PANDO" join "@$work/ticket" --data "$cluster/node-3" --listen-client "127.0.0.1:$base" >"$work/node-3.log" 2>&1 &
pids[3]=$!
children+=("$!")
standing() {
    "$PANDO" cluster members --data "$cluster/node-0" >"$work/members"
    grep -q "node-3 *$1" "$work/members"
}
eventually standing "\\(voter\\|leader\\)"
same_state 0 1 2 3
runs 0 cluster ticket --expires 1s --data "$cluster/node-0"
cp "$out" "$work/ticket"
late() { [ "$(date +%s)" -gt "$(($1 + 1))" ]; }
eventually late "$(date +%s)"
runs 1 join "@$work/ticket" --no-start --data "$work/nobody"
said "has expired"
node_3=$(awk '/node-3/ { print $1 }' "$work/members")
printf '{"ID":"%u"}' "0x$node_3" >"$work/member"
left() { # or, should the lead change meanwhile, it is gone before it can answer
    curl -sf "http://127.0.0.1:$base/v3/cluster/member/remove" -d "@$work/member" >"$work/left" ||
        grep -q "was removed from cluster" "$work/node-3.log"
}
eventually left
[ ! -s "$work/left" ] || [ "$(grep -o '"name":"node-' "$work/left" | wc -l)" -eq 3 ] || { fail "who is left?"; cat "$work/left"; }
removed 3
runs 0 cluster members --data "$cluster/node-0"
[ "$(grep -c "node-" "$out")" -eq 3 ] || { fail "node 3 is still listed"; cat "$out"; }
# What it says of the disk, and whether a member answers within three seconds, is the machine's.
is_examined() {
    "$PANDO" cluster doctor --data "$cluster/node-0" >"$out" 2>"$err" && grep -qF "ok       voters       3, 1 may fail" "$out" &&
        [ "$(grep -c "proves its key" "$out")" -eq 3 ] && [ "$(grep -c "^ok  *node-[0-2]  *its clock is .* the one here" "$out")" -eq 3 ]
}
eventually is_examined

# Who leads and is asked to end hands over: the others do not wait for an election.
leader_index 0 1 2
end_node "$leader" TERM
handed=$leader
others=()
for node in 0 1 2; do [ "$node" -eq "$handed" ] || others+=("$node"); done
leader_index "${others[@]}"
# Whichever node is asked, it says who is down, and when that one is there again.
is_told_down() { # NODE
    "$PANDO" cluster status --data "$cluster/node-$1" >"$out" 2>"$err" &&
        grep -qF "tolerates   0 more (1 of 3 voters is down): stop no other one" "$out" &&
        grep -q "node-$handed  *voter  *down [0-9]* s" "$out" && [ "$(grep -c "  up  " "$out")" -eq 2 ]
}
are_told_down() { # NODE NUMBER
    "$PANDO" cluster status -o json --data "$cluster/node-$1" >"$out" 2>"$err" && grep -qF "\"voters_down\":$2," "$out" &&
        [ "$(grep -o '"state":"down"' "$out" | wc -l)" -eq "$2" ]
}
for node in "${others[@]}"; do
    eventually is_told_down "$node"
    eventually are_told_down "$node" 1
done
runs 1 cluster doctor --data "$cluster/node-${others[0]}"
printed "WRONG    voters       3, 0 more may fail (1 of 3 voters is down)"
start_node "$handed"
leader_index 0 1 2
for node in 0 1 2; do eventually are_told_down "$node" 0; done
runs 0 cluster status --data "$cluster/node-$handed"
printed "tolerates   1 of 3 voters down"
# An election may undo it at once.
leads() {
    ! { agree 0 1 2 && [ "$leader" -eq "$1" ]; } || return 0
    "$PANDO" cluster transfer "node-$1" --data "$cluster/node-${others[0]}" >"$out" 2>"$err" || true
    false
}
eventually leads "$handed"

# A voter that lost everything but its key could vote twice: it is refused.
wiped=${others[0]}
end_node "$wiped" TERM
cp -r "$cluster/node-$wiped" "$work/saved"
rm -rf "$cluster/node-$wiped"/{log,store,node.json}
runs 1 start --data "$cluster/node-$wiped" --listen-client off
said "what it promised"
# With an empty folder it is another node, and nobody knows that one.
rm -rf "$cluster/node-$wiped"
mkdir "$cluster/node-$wiped"
cp "$work/saved/cluster.json" "$cluster/node-$wiped/"
sed -i 's/"begun"/"new"/' "$cluster/node-$wiped/cluster.json"
runs 1 start --data "$cluster/node-$wiped" --listen-client off
said "does not name this node"
rm -rf "$cluster/node-$wiped"
mv "$work/saved" "$cluster/node-$wiped"
start_node "$wiped"
same_state 0 1 2

# A node that was removed is refused by all, whatever its folder holds.
runs 0 cluster remove "node-$wiped" --data "$cluster/node-$handed"
runs 0 cluster members --data "$cluster/node-$handed"
[ "$(grep -c "node-" "$out")" -eq 2 ] || { fail "the removed node is still listed"; cat "$out"; }
removed "$wiped"
start_node "$wiped"
removed "$wiped"
runs 0 kv put --data "$cluster/node-$handed" without removed
runs 1 cluster remove "node-$wiped" --data "$cluster/node-$handed"
said "no member is called"

# The very node that leaves is asked, and leads: it hands over, leaves, answers, and ends.
leader_index "$handed" "${others[1]}"
rest=$handed
[ "$leader" -ne "$handed" ] || rest=${others[1]}
runs 0 cluster remove "node-$leader" --data "$cluster/node-$leader"
printed "for good"
removed "$leader"
runs 0 cluster members --data "$cluster/node-$rest"
[ "$(grep -c "node-" "$out")" -eq 1 ] || { fail "the node that left is still listed"; cat "$out"; }
runs 0 kv put --data "$cluster/node-$rest" alone now
finish
