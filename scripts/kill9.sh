#!/usr/bin/env bash
# scripts/kill9.sh ROUNDS [SEED]: kill -9 of a single node under load, again and again.
#
# Each round: clients are at work, the node is killed at a random moment, now and then again while it recovers, and
# started anew; the clients go on, and in the end look at every key that was acknowledged. Then their record of the
# registers is judged by `linearizability`. Half of the rounds repeat what was not answered, in sessions. The node's
# folder is the same throughout; its log is cut and recycled many times.
#
# PANDO_BUILD_DIR (default: build) holds the programs. Prints one line for each round that fails, and at the end
# 'kill9: N rounds, N acknowledged, N lost, N bad'; exit code 1 on any. The folder of a failure is kept.
set -euo pipefail
rounds=${1:-500}
RANDOM=${2:-$$}
seed=${2:-$$}
build=${PANDO_BUILD_DIR:-build}
work=$(mktemp -d)
data=$work/node
socket=$data/pando.sock
node=0
bad=0
lost=0
acknowledged=0
open=0

finish() {
    [ "$node" -eq 0 ] || kill -KILL "$node" 2>/dev/null || true
    if [ "$bad" -eq 0 ]; then rm -rf "$work"; else echo "kept: $work" >&2; fi
}
trap finish EXIT

# start_node: in the background, its process id in $node, its words in $work/pipe.
start_node() {
    rm -f "$work/pipe"
    mkfifo "$work/pipe"
    "$build/bin/pando" start --data "$data" --listen-client off --log-segment 16MiB --store-lag 500 --disk-low 0B --quiet \
        >"$work/pipe" 2>>"$work/node.err" &
    node=$!
    exec {words}<"$work/pipe"
}

# ready: the node that was started listens. False: it ended instead.
ready() {
    local line
    while IFS= read -r -t 120 -u "$words" line; do
        case $line in ready:*) exec {words}<&-; return 0 ;; esac
    done
    exec {words}<&-
    return 1
}

kill_node() {
    kill -KILL "$node"
    wait "$node" 2>/dev/null || true
    node=0
}

# nap MILLISECONDS_MAX: the moment of a kill has to be any.
nap() { sleep "0.$(printf '%03d' $((RANDOM % $1)))"; }

fail() {
    echo "FAIL round $round (seed $seed): $*"
    bad=$((bad + 1))
}

number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$work/result"; }

start_node
ready || { round=0; fail "the first start: $(cat "$work/node.err")"; exit 1; }
for ((round = 1; round <= rounds; round++)); do
    record=$work/record
    rm -rf "$record"
    options=()
    [ $((round % 2)) -eq 0 ] || options=(--sessions)
    "$build/bin/store-load" --socket "$socket" --prefix "$round/" --seed "$((seed + round))" --record "$record" \
        --clients $((1 + RANDOM % 24)) --connections 3 --keys 4 --seconds 0.6 --wait-back 120 --op-timeout 120 --json \
        ${options[@]+"${options[@]}"} >"$work/result" 2>"$work/load.err" &
    load=$!
    nap 500
    kill_node
    while [ $((RANDOM % 4)) -eq 0 ]; do
        start_node
        nap 80
        kill_node
        exec {words}<&-
    done
    start_node
    if ! ready; then
        fail "the node does not start: $(tail -n 3 "$work/node.err")"
        kill -KILL "$load" 2>/dev/null || true
        exit 1
    fi
    code=0
    wait "$load" || code=$?
    [ "$code" -eq 0 ] || fail "store-load: exit code $code: $(head -n 3 "$work/load.err")"
    acknowledged=$((acknowledged + $(number uniques)))
    lost=$((lost + $(number lost)))
    open=$((open + $(number unknown)))
    "$build/bin/linearizability" "$record"/*.log >"$work/verdicts" || true
    if [ "$(grep -c ' linearizable$' "$work/verdicts")" -ne 4 ]; then
        fail "$(grep -v ' linearizable$' "$work/verdicts" | sed -n 1p)"
        cp -r "$record" "$work/record-$round"
    fi
done
kill -TERM "$node"
code=0
wait "$node" || code=$?
node=0
[ "$code" -eq 0 ] || fail "exit code $code at SIGTERM"
echo "kill9: $rounds rounds, $acknowledged acknowledged, $lost lost, $open open, $bad bad"
exit $((bad > 0 || lost > 0))
