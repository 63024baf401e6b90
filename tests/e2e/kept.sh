#!/usr/bin/env bash
# What a cluster keeps by its settings: old revisions for `retention`, and so many voters as `voters_max` says; `pando dev`
# tells the one that holds.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
free_base
mkdir "$cluster"

# node I WORD...: `pando WORD...` as node I, in the background.
node() {
    local i=$1
    shift
    "$PANDO" "$@" --data "$cluster/node-$i" --name "node-$i" --listen-client off \
        --listen-peer "127.0.0.1:$((base + 10 * i + 1))" --disk-low 0B >"$work/node-$i.log" 2>&1 &
    started=$!
    children+=("$started")
}
standing_is() { # NODE STANDING
    "$PANDO" cluster members --data "$cluster/node-0" >"$work/members" 2>"$err" && grep -q "node-$1 *\($2\)" "$work/members"
}

# Of all members the same, since the leader's counts.
export PANDO_VOTERS_MAX=2 PANDO_RETENTION=1s
node 0 start
eventually "$PANDO" kv put --data "$cluster/node-0" kept value >"$out" 2>&1
ticket=$("$PANDO" cluster ticket --data "$cluster/node-0")
node 1 join "$ticket"
eventually standing_is 1 "voter\|leader"
node 2 join "$ticket"
same_state 0 1 2
runs 0 kv put --data "$cluster/node-2" kept again
same_state 0 1 2
standing_is 2 learner || { fail "there are two voters, and a third becomes one:"; cat "$work/members"; }
promoted() { "$PANDO" cluster promote node-2 --data "$cluster/node-0" >"$out" 2>&1; }
eventually promoted # by hand there may be more
eventually standing_is 2 "voter\|leader"

# A second of state time after a revision came it goes, if it is not the last one of its key.
is_compacted() {
    "$PANDO" kv put --data "$cluster/node-0" kept on >"$out" 2>&1
    [ "$(field 0 compacted_revision)" -gt 2 ]
}
eventually is_compacted
runs 1 kv get --data "$cluster/node-0" --rev 2 kept
said compacted

PANDO_RETENTION=7d start_pando dev --nodes 1 --data "$work/dev" --base-port "$((base + 40))"
wait_for_text "Ctrl-C ends all of it in order."
printed "  retention  old revisions for 7 days"
kill -TERM "$started"
wait_for_end 0
finish
