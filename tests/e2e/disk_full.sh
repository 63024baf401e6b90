#!/usr/bin/env bash
# A disk that fills up: writes are refused with words, reads and deletes go on, even when not a byte is left; with room
# again the node takes writes again by itself. Needs a small file system of its own, so root.
# shellcheck source=tests/e2e/lib.sh
set -euo pipefail
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
load=$PANDO_BUILD_DIR/bin/store-load
disk=$work/disk
data=$disk/node
socket=$data/pando.sock

mkdir "$disk"
if [ "$(id -u)" -ne 0 ] || ! mount -t tmpfs -o size=140m tmpfs "$disk" 2>/dev/null; then
    skip e2e/disk_full "mounting a small tmpfs needs root"
    exit 77
fi
leave() {
    kill -KILL "${children[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    umount -l "$disk"
    cleanup
}
trap leave EXIT

node_starts() {
    start_pando start --data "$data" --listen-client off --log-segment 16MiB --disk-low 24MiB --store-lag 100
    wait_for_text "try "
}

# The node looks at its disk now and then, and after its batches: until a put is refused, or taken again.
put_until() {
    local code=0 i
    for ((i = 0; i < 600; i++)); do
        code=0
        timeout 60 "$PANDO" kv put --socket "$socket" probe "$i" >"$out" 2>"$err" || code=$?
        [ "$code" -ne "$1" ] || return 0
        [ "$code" -eq 0 ] || sleep 0.1
    done
    fail "kv put: exit code $code, never $1: $(cat "$err")"
}

node_starts
"$load" --socket "$socket" --mix 0,0,100 --operations 500 --seconds 60 --op-timeout 120 --prefix keys/ --acks "$work/acks" >"$out" 2>&1 ||
    fail "store-load: $(cat "$out")"

# Nearly full.
free=$(df -B1 --output=avail "$disk" | tail -n 1)
head -c $((free - (16 << 20))) /dev/zero >"$disk/ballast"
put_until 1
said "the leader's disk is nearly full"
said "deletes and compaction are still taken"
runs 0 kv get --socket "$socket" keys/u1
runs 0 kv del --socket "$socket" keys/u1
printed "1 deleted"

# What the store was given before the disk was low is written.
field() { sed -n "s/^$1 *//p" "$out"; }
for ((i = 0; i < 600; i++)); do
    runs 0 status --socket "$socket"
    durable=$(field durable_index)
    [ "${durable:-0}" -lt 500 ] || break
    sleep 0.1
done

# Full.
# RocksDB may remove a file of its own after that.
is_full() {
    cat /dev/zero >>"$disk/more" 2>/dev/null || true
    [ "$(df -B1 --output=avail "$disk" | tail -n 1)" -eq 0 ]
}
eventually is_full
for i in $(seq 2 150); do # more than --store-lag: the store has to be made durable
    runs 0 kv del --socket "$socket" "keys/u$i"
done
runs 1 kv put --socket "$socket" probe x
runs 0 kv get --socket "$socket" keys/u200
runs 0 status --socket "$socket"
grep -q 'disk_is_low *true' "$out" || fail "status does not say that the disk is low: $(cat "$out")"

# A crash, and the start on a disk that is nearly full.
shown="pando start"
rm "$disk/more"
kill -KILL "$started"
{ wait_for_end 137; } 2>/dev/null
node_starts
runs 0 kv get --socket "$socket" keys/u200
runs 0 kv del --socket "$socket" keys/u151

# Room again.
rm "$disk/ballast"
put_until 0
awk '{ n = substr($1, 7) + 0; if (n > 151) print }' "$work/acks" >"$work/kept"
"$load" --socket "$socket" --check "$work/kept" --op-timeout 120 >"$out" 2>&1 || fail "$(cat "$out")"
runs 0 kv get --socket "$socket" keys/ --prefix
[ "$(wc -l <"$out")" -eq "$(wc -l <"$work/kept")" ] || fail "what was deleted is there again"

# Somebody else fills the disk to the last byte while the store is being written.
has_applied() {
    "$PANDO" status --socket "$socket" >"$out" 2>"$err" && [ "$(field applied_index)" -gt "$1" ]
}
for round in 1 2 3; do
    runs 0 status --socket "$socket"
    before=$(field applied_index)
    "$load" --socket "$socket" --mix 0,0,100 --operations 40000 --seconds 60 --op-timeout 120 --value-bytes 200 \
        --prefix "burst$round/" --acks "$work/burst$round" >"$work/load" 2>&1 &
    burst=$!
    eventually has_applied $((before + 5000 * round))
    cat /dev/zero >>"$disk/more" 2>/dev/null || true
    put_until 1
    runs 0 kv get --socket "$socket" keys/u200
    rm "$disk/more"
    wait "$burst" || fail "store-load: $(cat "$work/load")"
    put_until 0
    "$load" --socket "$socket" --check "$work/burst$round" --op-timeout 120 >"$out" 2>&1 || fail "$(cat "$out")"
    runs 0 kv del --socket "$socket" --prefix "burst$round/"
done
shown="pando start"
kill -TERM "$started"
wait_for_end 0

# A disk that may only be read is called that.
if mount -o remount,ro "$disk"; then
    runs 1 start --data "$data" --listen-client off --log-segment 16MiB
    said "Read-only file system"
fi
finish
