#!/usr/bin/env bash
# The raft core against data-driven scripts: those of this repository, always, and those of etcd-io/raft where they are.
set -euo pipefail
tool=$PANDO_BUILD_DIR/bin/raft-conformance
own=$PANDO_SOURCE_DIR/tests/conformance
outside=${PANDO_CONFORMANCE:-$PANDO_SOURCE_DIR/../shared/conformance/raft}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() { echo "FAIL $*"; failures=$((failures + 1)); }

for mode in interaction confchange quorum; do
    "$tool" "$mode" "$own/$mode" || failures=$((failures + 1))
done

# A difference is found and told, and a broken script is no success.
sed 's/^7$/8/' "$own/quorum/joint.txt" >"$work/wrong.txt"
if "$tool" quorum "$work/wrong.txt" >"$work/out"; then fail 'a wrong expectation passed'; fi
grep -q '^FAIL .*wrong.txt$' "$work/out" && grep -q 'expected: 8$' "$work/out" && grep -q 'got:      7$' "$work/out" ||
    fail "a wrong expectation: $(cat "$work/out")"
printf 'vote\n' >"$work/cut.txt"
if "$tool" quorum "$work/cut.txt" >"$work/out"; then fail 'a script that was cut passed'; fi
printf 'committed\n----\n----\n<empty majority quorum>∞\n----\n----\n\nvote\n----\nVoteWon\n' >"$work/double.txt"
"$tool" quorum "$work/double.txt" || fail 'double separators'
if "$tool" quorum "$work/missing.txt" >"$work/out"; then fail 'a missing file passed'; fi
status=0
"$tool" quorums "$work" >"$work/out" 2>&1 || status=$?
[ "$status" -eq 2 ] || fail "an unknown mode: exit code $status"

if [ "$failures" -eq 0 ] && [ ! -d "$outside" ]; then
    echo "SKIP e2e/raft_conformance: no folder $outside with etcd-io/raft's scripts (PANDO_CONFORMANCE names another)"
    exit 77
fi
for mode in interaction confchange quorum; do
    if [ -d "$outside/$mode" ]; then
        "$tool" "$mode" "$outside/$mode" || failures=$((failures + 1))
    fi
done
exit $((failures > 0))
