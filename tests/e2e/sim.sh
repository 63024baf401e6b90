#!/usr/bin/env bash
# `pando sim`: a quick set of seeds passes, a seed has one trace hash in any process, a schedule replays.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

hash_of() { grep -o '"trace_hash":"[0-9a-f]*"' "$1"; }

seeds=$(effort '1 2 3' '1 2')
for seed in $seeds; do
    runs 0 sim --seed "$seed" --json
    cp "$out" "$work/first"
    hash_of "$work/first" >"$work/first.hash" || fail "seed $seed: no trace hash"
    pushd "$work" >/dev/null
    export NOISE=$RANDOM TZ=Asia/Tokyo LANG=de_DE.UTF-8
    runs 0 sim --seed "$seed" --json
    unset NOISE TZ LANG
    popd >/dev/null
    [ "$(hash_of "$out")" = "$(cat "$work/first.hash")" ] || fail "seed $seed: two runs, two traces"
    cat "$work/first.hash" >>"$work/hashes"
done
[ "$(sort -u "$work/hashes" | wc -l)" = "$(wc -w <<<"$seeds")" ] || fail 'two seeds share a trace'

# A few at a time: sanitizers and busy machines are slow.
count=$(effort 6 2)
for first in $(effort '100 106 112 118' 100); do
    runs 0 sim --seeds "$first..$((first + count - 1))" --json
    grep -q "\"seeds\":$count,\"failed\":0" "$out" || fail "seeds from $first: $(cat "$out")"
done

printf 'pando-schedule 1\nseed 7\nminutes 1\nnodes 3\nfault at 5000000000 crash target 1 for 2000000000 amount 1\n' \
    >"$work/one.schedule"
runs 0 sim --schedule "$work/one.schedule" --json
grep -q '"fault:crash":1' "$out" || fail 'the schedule has a crash'
grep -q '"crashes":[1-9]' "$out" || fail 'the crash did not happen'

for scenario in "$PANDO_SOURCE_DIR"/tests/sim/scenarios/*.schedule; do
    runs 0 sim --schedule "$scenario"
done

echo 'no schedule' >"$work/bad.schedule"
runs 1 sim --schedule "$work/bad.schedule"
runs 2 sim --faults earthquake
runs 2 sim --seeds 9..3

finish
