#!/usr/bin/env bash
# A copy of a running node's folder is told from the node: it ends in words before any member hears of it, and the node goes
# on. A folder that was moved, while nobody runs in the old place, is no copy.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
free_base
start_pando dev --data "$cluster" --base-port "$base"
wait_for_text "Ctrl-C ends all of it in order."
leader_index 0 1 2
copied=$(((leader + 1) % 3))
asked=$leader

where() { # the addresses for nodes, as the directory has them
    "$PANDO" cluster members --data "$cluster/node-$asked" -o json | python3 -c 'import json, sys
for member in json.load(sys.stdin):
    print(member["name"], *member["peers"])'
}
where >"$work/before"
cp -r "$cluster/node-$copied" "$work/copy"
id=$(sed -n 's/.*"node": "\([0-9a-f]*\)".*/\1/p' "$work/copy/node.json")
for _ in 1 2; do # the second one finds nothing else than the first
    runs 1 start --data "$work/copy" --listen-client off --listen-peer "127.0.0.1:$((base + 41))"
    said "node $id runs at 127.0.0.1:$((base + 10 * copied + 1)) already"
    said "'$work/copy' is a copy of its folder"
done
runs 0 kv put --data "$cluster/node-$copied" after copy
same_state 0 1 2
where >"$work/after"
cmp -s "$work/before" "$work/after" || { fail "the copy moved a member:"; cat "$work/after"; }
kill -TERM "$started"
wait_for_end 0

# Nobody runs there any more: it is the node, wherever it is.
declare -A pids
start_node() { # NUMBER FOLDER OPTION...
    "$PANDO" start --data "$2" --listen-client off "${@:3}" >>"$work/node-$1.log" 2>&1 &
    pids[$1]=$!
    children+=("$!")
}
mv "$cluster/node-$copied" "$work/moved"
ln -s "$work/moved" "$cluster/node-$copied"
for node in 0 1 2; do
    [ "$node" -eq "$copied" ] || start_node "$node" "$cluster/node-$node"
done
start_node "$copied" "$work/moved" --listen-peer "127.0.0.1:$((base + 41))"
is_moved() { where 2>/dev/null | grep -x "node-$copied 127.0.0.1:$((base + 41))" >"$work/found"; }
eventually is_moved

# An older folder in the place of a follower's: what it acknowledged since is not in it, so it takes part no more. Who leads
# must know that; should the lead change meanwhile, it is done again.
end_node() {
    kill -TERM "${pids[$1]}"
    wait "${pids[$1]}" || true
}
has_ended_or_new_term() { ! kill -0 "${pids[$behind]}" 2>/dev/null || [ "$(field "$leader" term)" != "$term" ]; }
is_found_out() {
    leader_index 0 1 2
    term=$(field "$leader" term)
    behind=$(((leader + 1) % 3))
    local real
    real=$(realpath "$cluster/node-$behind")
    rm -rf "$work/older"
    end_node "$behind"
    cp -r "$real" "$work/older"
    start_node "$behind" "$real"
    same_state 0 1 2
    for i in {1..5}; do runs 0 kv put --data "$cluster/node-$leader" "late-$i" value; done
    same_state 0 1 2
    end_node "$behind"
    start_node "$behind" "$work/older" --listen-peer "127.0.0.1:$((base + 31))"
    eventually has_ended_or_new_term
    [ "$(field "$leader" term)" = "$term" ] && return
    end_node "$behind"
    start_node "$behind" "$real"
    return 1
}
eventually is_found_out
code=0
wait "${pids[$behind]}" || code=$?
[ "$code" -eq 1 ] || fail "a start with an older folder: exit code $code"
id=$(sed -n 's/.*"node": "\([0-9a-f]*\)".*/\1/p' "$work/older/node.json")
grep -q "this node has acknowledged entry .* Remove node $id from its cluster" "$work/node-$behind.log" ||
    { fail "it does not say why"; tail -n 5 "$work/node-$behind.log"; }
runs 0 kv get --data "$cluster/node-$leader" late-5
output_is value
finish
