#!/usr/bin/env bash
# Backup and disaster, with clients that live through it: three nodes are saved by etcdctl and by pando, die, and go on as
# one; a watch from before is told to read anew, and a lock's next token is larger than any before. Then two of three
# folders are gone for ever, and the third goes on alone.
code=0
tools=$("$PANDO_SOURCE_DIR/scripts/etcd_tools.sh" etcdctl) || code=$? # with the user's cache, not the test's
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
if [ "$code" -eq 77 ]; then
    skip e2e/backup "no Go that can build etcdctl"
    exit 77
fi
[ "$code" -eq 0 ] || fail "scripts/etcd_tools.sh: exit code $code"

# With patience for the elections of a machine that is loaded; what comes later on the line counts.
client() { timeout -k 5 240 "$tools/etcdctl" --endpoints "127.0.0.1:$base" --command-timeout 60s "$@"; }
# puts KEY VALUE: until it is acknowledged. While the lead changes a client may be told that nobody knows.
puts_once() { client put "$@" >/dev/null; }
puts() { eventually puts_once "$1" "$2"; }
has() { grep -qF -- "$1" "$2" 2>/dev/null; }
# lock NAME FILE: holds it until it is ended, and writes its fencing token to the file.
begin_lock() {
    # shellcheck disable=SC2016
    "$tools/etcdctl" --endpoints "127.0.0.1:$base" lock --ttl 60 "$1" -- \
        sh -c 'echo "$ETCD_LOCK_REV" >"$0.new" && mv "$0.new" "$0" && exec tail --pid=$PPID -f /dev/null' "$2" >"$2.log" 2>&1 &
    locker=$!
    children+=("$locker")
}
has_token() { test -s "$2" || { kill -0 "$locker" 2>/dev/null || begin_lock "$@"; false; }; }
lock() {
    begin_lock "$@"
    eventually has_token "$@"
}
# start_node FOLDER OPTION...: alone, its pid in $node.
start_node() {
    "$PANDO" start --data "$@" >>"$work/node-alone.log" 2>&1 &
    node=$!
    children+=("$node")
}
end_node() {
    kill -TERM "$node"
    wait "$node" || true
}
serves() { client --command-timeout 5s get first >"$work/first" 2>/dev/null && has one "$work/first"; }

free_base
start_pando dev --data "$cluster" --base-port "$base"
wait_for_text "Ctrl-C ends all of it in order."
pids=("$(pid_of 0)" "$(pid_of 1)" "$(pid_of 2)")
puts first one
lock deck "$work/token-a"
# From the beginning on: it may begin late.
"$tools/etcdctl" --endpoints "127.0.0.1:$base" watch --rev 1 live >"$work/watched" 2>&1 &
children+=("$!")
for i in $(seq 8); do puts "key-$i" "value $i"; done
puts live before
eventually has before "$work/watched"
same_state 0 1 2

# One file like the other, from any node, unless the store has done something of its own between the two.
runs 0 cluster snapshot "$work/pando.db" --data "$cluster/node-1" -o json
revision=$(sed 's/.*"revision":\([0-9]*\).*/\1/' "$out")
saves() { client snapshot save "$work/etcd.db" >"$work/saved" 2>&1; }
eventually saves
has "Server version 3.6.0" "$work/saved" || { fail "etcdctl snapshot save:"; cat "$work/saved"; }
same_size() {
    [ "$(stat -c %s "$work/pando.db")" -eq "$(stat -c %s "$work/etcd.db")" ] ||
        { "$PANDO" cluster snapshot "$work/pando.db" --data "$cluster/node-1" --force >"$out" 2>&1 && saves && false; }
}
eventually same_size
runs 1 cluster snapshot "$work/pando.db" --data "$cluster/node-1"
said "is there already"
runs 0 cluster snapshot "$work/pando.db" --data "$cluster/node-2" --force
[ -z "$(find "$work" -name '*.part*')" ] || fail "a part of a snapshot was left"

# What comes after it is lost with the nodes: revisions and tokens that were told to clients.
lock other "$work/token-lost"
for i in $(seq 4); do puts live "after $i"; done
puts after x
eventually has "after 4" "$work/watched"
same_state 0 1 2
kill -KILL "${pids[@]}" "$started"
wait "$started" || true

# A file that was touched, or is not whole, makes nothing.
size=$(stat -c %s "$work/pando.db")
for place in 70 $((size / 2)) $((size - 1)); do
    python3 - "$work/pando.db" "$work/bad.db" "$place" <<'PYTHON'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[int(sys.argv[3])] ^= 16
open(sys.argv[2], "wb").write(data)
PYTHON
    runs 1 cluster restore "$work/bad.db" --data "$work/never"
    said "cannot be used"
    head -c "$place" "$work/pando.db" >"$work/bad.db"
    runs 1 cluster restore "$work/bad.db" --data "$work/never"
    said "cannot be used"
done
[ ! -e "$work/never" ] || fail "a damaged file made a folder"

# One node takes their place. The watch that lived through it is told to read anew, and a lock is given under a token
# that is larger than the ones that were lost.
mkdir "$work/single" "$work/single/restored-store"
: >"$work/single/restored-store/000001.sst"
runs 1 cluster restore "$work/pando.db" --data "$work/single"
said "is not empty"
: >"$work/single/restored-unfinished" # now it is what an attempt leaves that was cut short
: >"$work/single/node.key.new-1"
runs 0 cluster restore "$work/pando.db" --data "$work/single"
printed "raised from $revision"
runs 1 cluster restore "$work/pando.db" --data "$work/single"
said "is not empty"
start_node "$work/single" --listen-client "127.0.0.1:$base"
eventually serves
eventually has "compacted" "$work/watched"
client get "" --prefix --keys-only | sed '/^$/d' >"$work/keys-pando"
has "key-8" "$work/keys-pando" || fail "key-8 is not in what was restored"
! has after "$work/keys-pando" || fail "what was written after the snapshot is in it"
! has deck "$work/keys-pando" || fail "a lock is held by whoever held it before the snapshot"
for name in deck other; do
    lock "$name" "$work/token-$name"
    for before in a lost; do
        [ "$(cat "$work/token-$name")" -gt "$(cat "$work/token-$before")" ] ||
            fail "$name: the token $(cat "$work/token-$name") is not beyond $(cat "$work/token-$before")"
    done
done
end_node
runs 1 cluster restore "$work/etcd.db" --data "$work/second" --name next
said "--listen-peer"
runs 1 cluster restore "$work/etcd.db" --data "$work/second" --name next --listen-peer nowhere
said "HOST:PORT"
[ ! -e "$work/second" ] || fail "a restore that was refused made a folder"
runs 0 cluster restore "$work/etcd.db" --data "$work/second" --bump-revision 5000 --name next \
    --listen-peer "127.0.0.1:$((base + 1))" --log-segment 16MiB
start_node "$work/second" --listen-client "127.0.0.1:$base"
eventually serves
named() { "$PANDO" cluster members --data "$work/second" -o json >"$work/named" && has '"next"' "$work/named"; }
eventually named
has "127.0.0.1:$((base + 1))" "$work/named" || fail "the restored node's address: $(cat "$work/named")"
has '"segment": 16777216' "$work/second/node.json" || fail "the restored node's log: $(cat "$work/second/node.json")"
client get "" --prefix --keys-only | sed '/^$/d' >"$work/keys-etcd"
cmp "$work/keys-pando" "$work/keys-etcd" || fail "what etcdctl saved is not what pando saved"
end_node

# A majority of the old cluster: first one that answers, then none.
"$PANDO" start --data "$cluster/node-1" --listen-client off >"$work/node-1.log" 2>&1 &
one=$!
children+=("$one")
eventually has "waiting for a leader" "$work/node-1.log"
runs 1 cluster recover --data "$cluster/node-1"
said "a node runs in"
# Who does not answer in time counts as lost, so it is a copy that is asked.
is_refused() {
    rm -rf "$work/asked"
    cp -r "$cluster/node-2" "$work/asked"
    ! "$PANDO" cluster recover --data "$work/asked" >"$out" 2>"$err" && has "nothing is lost for ever" "$err"
}
eventually is_refused
kill -TERM "$one"
wait "$one" || true
mv "$cluster/node-1" "$work/kept"
rm -rf "$cluster/node-0"
# Killed at any moment it leaves the folder as it was, or as it is to be: asking again ends it. How long it takes shows a
# copy; the kills fall into the second half, behind the members that do not answer.
cluster_of() { grep '"cluster"' "$1/node.json"; }
cp -r "$cluster/node-2" "$work/copy"
begun=$(date +%s%N)
runs 0 cluster recover --data "$work/copy"
printed "kept      every entry of this node's log up to"
took_ms=$((($(date +%s%N) - begun) / 1000000))
old_cluster=$(cluster_of "$cluster/node-2")
for _ in 1 2; do
    code=0
    patience_ms=$((took_ms * (60 + RANDOM % 40) / 100 + 1))
    "$PANDO" cluster recover --data "$cluster/node-2" >"$out" 2>"$err" &
    recovering=$!
    children+=("$recovering")
    sleep "$((patience_ms / 1000)).$(printf '%03d' $((patience_ms % 1000)))"
    kill -KILL "$recovering" 2>/dev/null || true
    # Until it is gone, and its lock with it. (`timeout -s KILL` ends before what it kills, which then still holds the folder.)
    wait "$recovering" || code=$?
    [ "$code" -eq 137 ] || break # it was faster this time
done
if [ "$code" -ne 0 ]; then
    code=0
    "$PANDO" cluster recover --data "$cluster/node-2" >"$out" 2>"$err" || code=$?
    # Or it was killed when all was done: then there is nobody who is lost.
    [ "$code" -eq 0 ] || said "nothing is lost for ever"
fi
[ "$(cluster_of "$cluster/node-2")" != "$old_cluster" ] || fail "the folder is the old cluster's still: $(cat "$out" "$err")"
start_node "$cluster/node-2" --listen-client "127.0.0.1:$base"
eventually serves
client get after | grep -x x >/dev/null || fail "the last write that was acknowledged is lost"
client watch live --rev "$revision" >"$work/late" 2>&1 || true
has compacted "$work/late" || fail "a watch from before the recovery is served: $(cat "$work/late")"
lock deck "$work/token-recovered"
[ "$(cat "$work/token-recovered")" -gt "$(cat "$work/token-lost")" ] || fail "a token is handed out twice"

# Who comes back after all is of the cluster that is gone.
"$PANDO" start --data "$work/kept" --listen-client off >"$work/node-kept.log" 2>&1 &
children+=("$!")
eventually has "waiting for a leader" "$work/node-kept.log"
runs 0 cluster members --data "$cluster/node-2" -o json
[ "$(grep -o '"node":' "$out" | wc -l)" -eq 1 ] || fail "a node of the old cluster is a member of the new one"
[ "$(field 2 cluster)" != "$(timeout 20 "$PANDO" status -o json --data "$work/kept" | sed 's/.*"cluster":"\([0-9a-f]*\)".*/\1/')" ] ||
    fail "the recovered cluster has the old one's id"
finish
