#!/usr/bin/env bash
# A node's folder that the program before (build/bin/pando-before) has written: killed, so that its log is ahead of its store;
# stopped, so that the store is durable; without a store, so that all is in the log. This program opens each, has every
# revision of it, and carries on. (The program before is this tree limited to the version before: a format that changes
# without a version is not seen here.) From then on the program before refuses the folder in words, and harms nothing by the try.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
new=$PANDO

# with PROGRAM FOLDER: a node is started, and can be asked.
with() {
    PANDO=$1
    start_pando start --data "$work/$2" --listen-client off
    wait_for_text "try "
}

# ended SIGNAL CODE: the node that was started.
ended() {
    kill "-$1" "$started"
    wait_for_end "$2"
}

# history FOLDER: every event from revision 4 to 13, with what was there before it.
history() {
    runs 0 watch --data "$work/$1" --rev 4 --events 10 --prefix '' --prev-kv -o json
    cat "$out"
}

# Revisions 2 to 13: eight of one key, a key that was deleted, one with a lease. What was before 4 is compacted.
with "$PANDO_BEFORE" killed
for i in {1..8}; do runs 0 kv put --data "$work/killed" counter "value-$i"; done
runs 0 kv put --data "$work/killed" gone soon
runs 0 kv del --data "$work/killed" gone
runs 0 lease grant --data "$work/killed" --id 77 3600
runs 0 kv put --data "$work/killed" --lease 77 leased here
runs 0 kv put --data "$work/killed" last of-before
runs 0 kv compact --data "$work/killed" 4
history killed >"$work/history"
[ "$(wc -l <"$work/history")" -eq 10 ] || fail "the program before tells $(wc -l <"$work/history") events"
ended KILL 137
cp -r "$work/killed" "$work/stopped"
cp -r "$work/killed" "$work/log-only"
rm -r "$work/log-only/store"
with "$PANDO_BEFORE" stopped
ended TERM 0

# opens FOLDER: with this program. All of it is there.
opens() {
    with "$new" "$1"
    history "$1" >"$work/again"
    cmp -s "$work/history" "$work/again" || fail "$1: other events: $(diff "$work/history" "$work/again")"
    runs 0 lease ttl --data "$work/$1" --keys 77
    printed leased
}

# refused FOLDER: by the program before.
refused() {
    PANDO=$PANDO_BEFORE
    runs 1 start --data "$work/$1" --listen-client off
    said "the cluster is of version 2, and this program can follow up to version 1: start this node with a program that is as new"
    said "Nothing is lost"
    PANDO=$new
}

is_new() { timeout 20 "$new" status --data "$work/$1" -o json 2>/dev/null | grep -F '"cluster_version":2' >/dev/null; }

for folder in killed stopped log-only; do
    opens "$folder"
    runs 3 watch --data "$work/$folder" --rev 3 --events 1 counter
    runs 0 kv put --data "$work/$folder" "from-$folder" this-one
    eventually is_new "$folder"
    ended KILL 137 # the version is in the log, and not yet durable in the store
    refused "$folder"
    opens "$folder"
    runs 0 kv get --data "$work/$folder" "from-$folder"
    output_is this-one
    runs 0 kv put --data "$work/$folder" again this-one
    ended TERM 0 # now it is
    refused "$folder"
done

# What the program before rebuilds of a log alone ends at the version that it cannot follow.
rm -r "$work/killed/store"
refused killed
opens killed
runs 0 kv get --data "$work/killed" again
output_is this-one
ended TERM 0
finish
