#!/usr/bin/env bash
# The store's folder is deleted or damaged at a random moment under load. A node alone rebuilds it from a whole log, or
# stops and says how to restore; nothing acknowledged is ever missing while it serves.
# shellcheck source=tests/e2e/lib.sh
set -euo pipefail
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
load=$PANDO_BUILD_DIR/bin/store-load

node_starts() {
    start_pando start --data "$data" --listen-client off --disk-low 0B "$@"
    wait_for_text "try "
}

has_tables() { [ "$(wc -l <"$work/acks")" -ge 2000 ] && [ -n "$(first_table)" ]; }
is_cut() { [ ! -e "$data/log/log-0000000000000001" ]; }

# load_and_kill CONDITION OPTION...: clients are at work when the node is killed, at any moment once the condition is met,
# however slow the machine is; what was acknowledged is in $work/acks.
load_and_kill() {
    local condition=$1
    shift
    "$load" --socket "$data/pando.sock" --acks "$work/acks" --seconds 240 --wait-back 0 --seed $RANDOM "$@" \
        >"$work/load.out" 2>"$work/load.err" &
    local loader=$!
    local deadline=$((SECONDS + 240))
    until "$condition" || [ $SECONDS -ge $deadline ]; do sleep 0.05; done
    sleep "0.$((RANDOM % 10))"
    kill -KILL "$started"
    { wait_for_end 137; } 2>/dev/null
    wait "$loader" || true
}

# all_there: every key that was acknowledged.
all_there() {
    "$load" --socket "$data/pando.sock" --check "$work/acks" --op-timeout 120 >"$work/check" 2>&1 ||
        fail "$1: $(cat "$work/check")"
}

first_table() { find "$data/store" -name '*.sst' 2>/dev/null | sort | sed -n 1p || true; } # some go while it looks

damage() {
    case $1 in
        delete) rm -rf "$data/store" ;;
        current) rm -f "$data/store/CURRENT" ;;
        manifest) for file in "$data"/store/MANIFEST-*; do truncate -s 7 "$file"; done ;;
        table-gone) rm -f "$(first_table)" ;;
        table-cut) truncate -s 100 "$(first_table)" ;;
        table-rot) # one byte in sixteen, behind the first and before the last block
            python3 - "$(first_table)" <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as file:
    data = bytearray(file.read())
    for at in range(64, max(65, len(data) // 2), 16):
        data[at] ^= 0x55
    file.seek(0)
    file.write(data)
PYTHON
            ;;
    esac
}

# A whole log: with files of the store on disk, because it was made durable every 300 entries. On a fast machine
# clients that are not bounded fill the log's first file before the kill, and then the log is not whole.
for what in $(effort 'delete current manifest table-gone table-cut table-rot' 'delete table-rot'); do
    data=$work/whole-$what
    : >"$work/acks"
    node_starts --store-lag 300 --log-segment 64MiB
    load_and_kill has_tables --mix 10,10,80 --operations 30000
    [ -n "$(first_table)" ] || fail "$what: the store has no table yet"
    [ -e "$data/log/log-0000000000000001" ] || fail "$what: the log is not whole"
    damage "$what"
    node_starts --store-lag 300 --log-segment 64MiB
    all_there "$what"
    kill -TERM "$started"
    wait_for_end 0
done

# A log that was cut: what is missing is said, and nothing is served.
for what in $(effort 'delete manifest' manifest); do
    data=$work/cut-$what
    : >"$work/acks"
    node_starts --store-lag 100 --log-segment 16MiB
    load_and_kill is_cut --mix 0,0,100 --value-bytes 65536
    is_cut || fail "$what: the log was not cut"
    damage "$what"
    runs 1 start --listen-client off --data "$data"
    said "restore this node from a snapshot"
    runs 1 start --listen-client off --data "$data" # and so it stays
    said "restore this node from a snapshot"
done
finish
