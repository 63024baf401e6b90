#!/usr/bin/env bash
# scripts/prove.sh [--replay]: proves every module that proofs/goals.txt names, on the source that ships.
#
# --replay uses only the results in proofs/session, runs no prover, and so does not depend on the machine's load.
# Ends with "proved P of T goals in M modules"; exits with 1 unless every goal is proved and each module has just
# the number of goals that the list names: a contract that was lost is noticed.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=update
[ "${1:-}" != --replay ] || cache=offline
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ "$cache" = offline ] || why3 config detect >"$work/why3" 2>&1

# A replay must leave the session as it is, whatever the tools write into it.
session=proofs/session
if [ "$cache" = offline ]; then
    cp -r "$session" "$work/session"
    session=$work/session
fi

proved=0 total=0 modules=0 failed=0
while read -r source wanted; do
    [[ $source != \#* && -n $source ]] || continue
    modules=$((modules + 1))
    rm -f "$work/report.json"
    if ! frama-c -machdep gcc_x86_64 -cpp-extra-args="-Isrc" -warn-unsigned-overflow -wp -wp-rte \
        -wp-prover z3,cvc4 -wp-timeout 20 -wp-par 2 -wp-session "$session" -wp-cache "$cache" \
        -wp-report-json "$work/report.json" "$source" >"$work/log" 2>&1; then
        tail -n 20 "$work/log"
        echo "$source: Frama-C failed"
        failed=1
        continue
    fi
    read -r valid goals < <(python3 -c '
import json, sys
main = json.load(open(sys.argv[1]))["wp:global"]["wp:main"]
print(main.get("valid", 0), main["total"])' "$work/report.json")
    printf '%-28s %4s of %4s goals\n' "$source" "$valid" "$goals"
    proved=$((proved + valid)) total=$((total + goals))
    if [ "$goals" -eq 0 ] || [ "$valid" -ne "$goals" ]; then
        grep -E '^\[wp\] \[.*\] Goal .* : (Unknown|Timeout|Failed|Stepout)' "$work/log" || true
        failed=1
    fi
    if [ "$goals" -ne "$wanted" ]; then
        echo "$source: proofs/goals.txt names $wanted goals, there are $goals: was a contract lost or added?"
        failed=1
    fi
done <proofs/goals.txt
echo "proved $proved of $total goals in $modules modules"
exit "$failed"
