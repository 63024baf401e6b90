#!/usr/bin/env bash
# The streams that a program is given, or is not: a node that is started without any of them.
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
kill -TERM "$started"
wait "$started" || fail "a node without streams ended with exit code $?"
runs 0 wal verify "$data/log"
printed "sound"
finish
