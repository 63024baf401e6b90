#!/usr/bin/env bash
# The examples, word for word, on threads and in the deterministic mode; and the C SDK without a libc.
set -euo pipefail
guests=$PANDO_BUILD_DIR/share/examples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() { echo "FAIL $*"; failures=$((failures + 1)); }

# check NAME WANTED ARGUMENT...: runs `pando run ARGUMENT...`, compares its output.
check() {
    local name=$1 wanted=$2 status=0
    shift 2
    "$PANDO" run "$@" >"$work/out" 2>"$work/err" || status=$?
    if [ "$status" -ne 0 ]; then
        fail "$name: exit code $status: $(cat "$work/err")"
    elif ! diff <(printf '%s\n' "$wanted") "$work/out" >"$work/diff"; then
        fail "$name:"
        cat "$work/diff"
    else
        echo "ok $name"
    fi
}

check hello 'Hello from process 1.' "$guests/hello.wasm"
check 'hello with arguments' $'Hello from process 1.\nHello, Ada.\nHello, Grace Hopper.' \
    "$guests/hello.wasm" Ada 'Grace Hopper'

ping_pong='ping 0 pong 1
ping 1 pong 2
ping 2 pong 3
1000 rounds
pong is gone'
ring='50 members, 20 rounds, 1000 messages'
selective='last, but taken first: that was all
urgent: a telegram
one of two tags: a parcel
in order: a letter
in order: another letter
no further parcel within 50 ms'
supervisor='count 1 from counter number 1
count 2 from counter number 1
the counter crashed (failure)
count 4 from counter number 2
count 5 from counter number 2
the counter crashed (failure)
count 7 from counter number 3
count 8 from counter number 3
2 children live
the tree has stopped: 1 process left'

for mode in threads seed; do
    options=()
    [ "$mode" = threads ] || options=(--seed 11)
    check "ping_pong, $mode" "$ping_pong" "${options[@]}" "$guests/ping_pong.wasm" 1000
    check "ring, $mode" "$ring" "${options[@]}" "$guests/ring.wasm" 50 20
    check "selective_receive, $mode" "$selective" "${options[@]}" "$guests/selective_receive.wasm"
    check "supervisor, $mode" "$supervisor" "${options[@]}" "$guests/supervisor.wasm"
    # The visitor's lines alone: nobody is left to tell of the end of the tree.
    check "supervisor as application, $mode" "$(head -n 8 <<<"$supervisor")" "${options[@]}" \
        "$guests/supervisor/app.yaml"
done

status=0
"$PANDO" run "$guests/ring.wasm" 1 >"$work/out" 2>&1 || status=$?
[ "$status" -eq 2 ] && grep -q '^usage: ring' "$work/out" || fail "ring 1: $status, $(cat "$work/out")"

# Every header alone, and a guest of the whole SDK without libc.
include=$PANDO_SOURCE_DIR/sdk/c/include
warnings=(-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes
    -Wmissing-prototypes -Wundef -Wcast-qual -Werror)
for header in "$include"/pando/*.h; do
    clang --target=wasm32 -nostdlibinc "${warnings[@]}" -I"$include" -fsyntax-only -x c \
        -include "$header" /dev/null || fail "${header##*/} does not compile alone"
done
check 'sdk without libc' 'all functions answered' "$PANDO_BUILD_DIR/tests/guests/sdk.wasm"

exit $((failures > 0))
