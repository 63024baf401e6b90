#!/usr/bin/env bash
# Who reads a program's output stands still, as a pager does: no actor but those who write waits for it, a node serves
# on, and everybody ends when told to.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
mkfifo "$work/pipe"
exec 9<>"$work/pipe" # open, and never read

reported() { grep -c '^working' "$work/reports" || true; }
has_reported() { [ "$(reported)" -gt "$1" ]; }

# -- A program: the writers fill the pipe, the worker works on, each can be killed, and an interrupt ends it.
"$PANDO" run "$guests/stuck_reader.wasm" >"$work/pipe" 2>"$work/reports" &
started=$!
children+=("$started")
eventually has_reported 3
runs 0 ps --program "$started" -o json
writer=$(python3 -c 'import json, sys
print(next(one["pid"] for one in json.load(sys.stdin) if one["function"] == "writes"))' <"$out")
runs 0 kill --program "$started" "$writer"
eventually has_reported "$(($(reported) + 2))"
kill -INT "$started"
code=0
wait "$started" || code=$?
[ "$code" -eq 130 ] || fail "a program behind a reader that stands still ended with exit code $code"

# -- A node that says things while nobody reads serves on. Both of its streams are the pipe.
data=$work/data
"$PANDO" start --data "$data" --listen-client off --disk-low 0B --slow-request 1ms \
    --app "$guests/stuck_reader.wasm" >"$work/pipe" 2>&1 &
started=$!
children+=("$started")
eventually "$PANDO" kv put --data "$data" first value >"$out" 2>&1
for round in 1 2 3; do
    runs 0 kv put --data "$data" "round$round" value
    runs 0 kv get --data "$data" "round$round"
    output_is value
done
kill -TERM "$started"
code=0
wait "$started" || code=$?
[ "$code" -eq 0 ] || fail "a node behind a reader that stands still ended with exit code $code"

# -- And all of a cluster on one machine.
"$PANDO" dev --data "$work/dev" --base-port "$((20000 + RANDOM % 8000))" --app "$guests/stuck_reader.wasm" \
    >"$work/pipe" 2>&1 &
started=$!
children+=("$started")
eventually "$PANDO" kv put --data "$work/dev/node-0" first value >"$out" 2>&1
kill -INT "$started"
code=0
wait "$started" || code=$?
[ "$code" -eq 0 ] || fail "a cluster behind a reader that stands still ended with exit code $code"

exec 9>&-
finish
