#!/usr/bin/env bash
# The streams that a program is given, or is not: a node that is started without any of them; and output that
# nobody takes.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
data=$work/data

# start_closed KEY: nothing that the node opens may get the number of a stream, where messages would go into it.
start_closed() {
    "$PANDO" start --data "$data" --listen-client off --disk-low 0B <&- >&- 2>&- &
    started=$!
    children+=("$started")
    eventually "$PANDO" kv put --data "$data" "$1" value >"$out" 2>"$err"
}

start_closed first
for descriptor in 0 1 2; do
    opened=$(readlink "/proc/$started/fd/$descriptor")
    [ "$opened" = /dev/null ] || fail "descriptor $descriptor of a node without streams is $opened"
done
kill -TERM "$started" # it says that it stops
wait "$started" || fail "a node without streams ended with exit code $?"
start_closed second
kill -KILL "$started"
{ wait "$started" || true; } 2>/dev/null
start_closed third
for key in first second third; do
    runs 0 kv get --data "$data" "$key"
    output_is value
done

# fills COMMAND...: what cannot be written is a failure, and says so.
fills() {
    shown="pando $* >/dev/full"
    local code=0
    "$PANDO" "$@" >/dev/full 2>"$err" || code=$?
    [ "$code" -eq 1 ] || fail "$shown: exit code $code instead of 1"
    said "cannot write to standard output: No space left on device"
}
fills kv get --data "$data" first
fills kv get --data "$data" '' --prefix -o json
fills kv put --data "$data" fourth value
fills status --data "$data"
fills cluster status --data "$data"
fills lease grant --data "$data" 60s
fills lease list --data "$data"
fills version
fills --version
fills --help
fills kv --help
fills completion bash
fills man
fills start --print-config

# More than is gathered before it is written: the reason is gone by then, the failure is not.
head -c 300000 /dev/zero | tr '\0' x | runs 0 kv put --data "$data" large -
code=0
"$PANDO" kv get --data "$data" large >/dev/full 2>"$err" || code=$?
[ "$code" -eq 1 ] || fail "kv get of a large value to a full disk: exit code $code"
grep -q "cannot write to standard output" "$err" || fail "kv get of a large value to a full disk: $(cat "$err")"

# Who closes a pipe has seen enough, also where the signal that tells it is ignored.
mkfifo "$work/narrow"
head -c 1 "$work/narrow" >"$work/one" &
code=0
(trap '' PIPE && exec "$PANDO" kv get --data "$data" large >"$work/narrow" 2>"$err") || code=$?
[ "$code" -eq 0 ] && [ ! -s "$err" ] || fail "kv get to a closed pipe: exit code $code, $(cat "$err")"
wait $!

kill -TERM "$started"
wait "$started" || fail "a node without streams ended with exit code $?"
runs 0 wal verify "$data/log"
printed "sound"
finish
