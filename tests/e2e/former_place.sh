#!/usr/bin/env bash
# A member whose folder was emptied comes back under its name and from its address by a ticket: not by one that it had
# signed itself, for that would be void when its place is free.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
free_base

listen() { echo "127.0.0.1:$((base + 10 * $1 + 1))"; }

# node I WORD...: `pando WORD...` as node I, in the background.
node() {
    local i=$1
    shift
    "$PANDO" "$@" --data "$work/n$i" --name "node-$i" --listen-client off --listen-peer "$(listen "$i")" \
        --disk-low 0B >"$work/node-$i.log" 2>&1 &
    started=$!
    children+=("$started")
}
members() { "$PANDO" cluster members --data "$work/n1" 2>/dev/null; }
are_voters() { [ "$(members | grep -cE ' (voter|leader) ')" -eq 3 ]; }
ticket_of() { "$PANDO" cluster ticket --data "$work/n$1"; }

node 0 start
first=$started
eventually "$PANDO" kv put --data "$work/n0" kept value >"$out" 2>&1
ticket=$(ticket_of 0)
node 1 join "$ticket"
node 2 join "$ticket"
eventually are_voters
is_new() { "$PANDO" status --data "$work/n1" -o json 2>/dev/null | grep '"cluster_version":[2-9]' >/dev/null; }
eventually is_new # nobody is replaced before all have said of which version they are
ticket=$(ticket_of 0) # which knows the others

kill -KILL "$first"
{ wait "$first" || true; } 2>/dev/null
rm -rf "$work/n0"
eventually "$PANDO" kv put --data "$work/n1" later value >"$out" 2>&1 # they have another leader
shown="join by the ticket of whom it replaces"
is_refused() { # not before the others have noticed that it is gone
    local code=0
    timeout 120 "$PANDO" join --data "$work/n0" --name node-0 --listen-client off --listen-peer "$(listen 0)" \
        "$ticket" >"$out" 2>"$err" || code=$?
    [ "$code" -eq 1 ] || fail "$shown: exit code $code"
    grep -q "signed by the member whose place this node would take" "$err"
}
eventually is_refused
are_voters || fail "$shown: the member was removed all the same: $(members)"

node 0 join "$(ticket_of 1)"
holds_all() { "$PANDO" kv get --data "$work/n0" kept 2>/dev/null | grep -x value >/dev/null; }
eventually holds_all
eventually are_voters
grep -q "it takes the place of node" "$work/node-0.log" || fail "node-0 was not told whose place it takes"
finish
