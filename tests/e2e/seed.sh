#!/usr/bin/env bash
# `pando run --seed`: one seed is one run, wherever, whenever and among whatever else it happens; another seed is another.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
verbs=$guests/verbs.wasm

trace_of() { grep -o 'trace [0-9a-f]* events [0-9]*' "$1"; }

# same NAME CODE ARGUMENT...: twice with seed 7, the second time from another folder, in another environment, with
# another input of time; once with seed 8. The same command each time: $make_room sets up the folder that it may see.
same() {
    local name=$1 code=$2
    shift 2
    rm -rf "$work/here" "$work/there"
    mkdir -p "$work/here/room" "$work/there/room"
    make_room "$work/here/room"
    make_room_otherwise "$work/there/room"
    pushd "$work/here" >/dev/null
    runs "$code" run --seed 7 --dir room::/room "$@" </dev/null
    cp "$out" "$work/first"
    trace_of "$err" >"$work/first.trace" || fail "$name: no trace"
    popd >/dev/null
    pushd "$work/there" >/dev/null
    export NOISE=$RANDOM TZ=Asia/Tokyo LANG=de_DE.UTF-8
    runs "$code" run --seed 7 --dir room::/room "$@" </dev/null
    unset NOISE TZ LANG
    cmp -s "$work/first" "$out" || {
        fail "$name: the output of one seed differs"
        diff "$work/first" "$out" | sed -n 1,6p
    }
    [ "$(trace_of "$err")" = "$(cat "$work/first.trace")" ] ||
        fail "$name: traces of one seed differ: $(cat "$work/first.trace"), $(trace_of "$err")"
    runs "$code" run --seed 8 --dir room::/room "$@" </dev/null
    popd >/dev/null
    [ "$(trace_of "$err")" != "$(cat "$work/first.trace")" ] || fail "$name: seeds 7 and 8 have one trace"
}
make_room() { :; }
make_room_otherwise() { :; }

same hello 0 "$examples/hello.wasm" Ada
same clocks 0 "$verbs" clock sleep:1500 clock
same entropy 0 "$verbs" entropy entropy
same race 0 "$verbs" race:12 clock
same printers 0 "$verbs" printers:8
same ring 0 "$examples/ring.wasm" 30 10
same ping_pong 0 "$examples/ping_pong.wasm" 200
same selective_receive 0 "$examples/selective_receive.wasm"
same supervisor 0 "$examples/supervisor.wasm"
same trap 1 "$verbs" entropy divide
same 'exit code' 9 "$verbs" race:4 exit:9
same 'guarded profile' 0 --profile guarded "$verbs" race:12 entropy clock
same fuel 1 --max-fuel 30 "$verbs" spin

# Files: other times, inode numbers and directory orders below, the same above.
make_room() {
    local name
    for name in alpha beta gamma delta epsilon zeta eta theta; do echo "$name" >"$1/$name"; done
    touch -d '2001-02-03 04:05:06' "$1"/*
}
make_room_otherwise() {
    local name
    for name in theta unused zeta eta epsilon gamma beta delta alpha; do echo "$name" >"$1/$name"; done
    rm "$1/unused"
    touch -d '2011-12-13 14:15:16' "$1"/*
}
same files 0 "$verbs" list:/room list:/room
same 'files of libc' 0 --dir "room::/" "$guests/wasi_files.wasm"

# Another seed can be seen, not only counted.
orders=
for seed in 1 2 3 4 5; do
    runs 0 run --seed $seed "$verbs" race:12
    orders+=$(cat "$out")$'\n'
done
[ "$(printf '%s' "$orders" | sort -u | wc -l)" -ge 4 ] || fail "five seeds schedule alike: $orders"
for verb in entropy; do
    runs 0 run --seed 1 "$verbs" $verb
    cp "$out" "$work/first"
    runs 0 run --seed 2 "$verbs" $verb
    ! cmp -s "$work/first" "$out" || fail "seeds 1 and 2 have the same $verb"
done

# Hours of virtual time pass in an instant.
SECONDS=0
runs 0 run --seed 1 "$verbs" clock sleep:86400000 clock
[ "$SECONDS" -lt 200 ] || fail "a virtual day took $SECONDS s"
[ "$(awk '{print int($3)}' "$out" | paste -sd' ')" = '1 86401' ] || fail "a virtual day: $(cat "$out")"

# Nothing will ever wake it: said, not waited for.
runs 1 run --seed 1 "$verbs" wait
said deadlock

finish
