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
cp -r "$cluster/node-$copied" "$work/moved"
for node in 0 1 2; do
    [ "$node" -eq "$copied" ] && continue
    "$PANDO" start --data "$cluster/node-$node" --listen-client off >"$work/node-$node.log" 2>&1 &
    children+=("$!")
done
"$PANDO" start --data "$work/moved" --listen-client off --listen-peer "127.0.0.1:$((base + 41))" >"$work/node-$copied.log" 2>&1 &
children+=("$!")
is_moved() { where 2>/dev/null | grep -x "node-$copied 127.0.0.1:$((base + 41))" >"$work/found"; }
eventually is_moved
finish
