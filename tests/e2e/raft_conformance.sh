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

# Line ends of another system, and a last line without its end, are the same script.
sed 's/$/\r/' "$own/interaction/pages.txt" >"$work/returns.txt"
head -c -1 "$own/interaction/pages.txt" >"$work/unended.txt"
"$tool" interaction "$work/returns.txt" "$work/unended.txt" >"$work/out" || fail "line ends: $(cat "$work/out")"

# What is no script is an error that is told, in every mode, and nothing worse.
mkdir "$work/bad"
printf 'vote\n----\nVoteWon\n\nvote\0\n----\n' >"$work/bad/zero.txt"
printf 'vote cfg=(1\n----\n' >"$work/bad/open.txt"
printf 'vote =1\n----\n' >"$work/bad/nameless.txt"
printf 'vote\n----\n----\nVoteWon\n' >"$work/bad/endless.txt"
printf 'vote\n----\n----\nVoteWon\n----\n----\nvote\n' >"$work/bad/behind.txt"
printf 'vote%s\n----\n' "$(seq -s ' ' 100)" >"$work/bad/arguments.txt"
printf 'vote cfg=(%s)\n----\n' "$(seq -s , 1000)" >"$work/bad/values.txt"
printf 'committed cfg=(1,2) idx=(99999999999999999999,\377)\n----\n' >"$work/bad/numbers.txt"
printf 'add-nodes 3 voters=(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32)\n----\n' \
    >"$work/bad/members.txt"
printf 'add-nodes 65\n----\nok\n' >"$work/bad/nodes.txt"
printf 'propose\n----\n\ncompact\n----\n\nstatus 0\n----\nok\n' >"$work/bad/missing.txt"
printf 'simple\n%s\n----\nok\n' "$(seq -s ' ' -f 'v%g' 50)" >"$work/bad/changes.txt"
head -c 20000 "$tool" >"$work/bad/program.txt"
printf '\n' >>"$work/bad/program.txt"
for mode in interaction confchange quorum; do
    status=0
    "$tool" "$mode" "$work/bad" >"$work/out" 2>&1 || status=$?
    [ "$status" -eq 1 ] || fail "$mode: what is no script gives exit code $status"
    [ "$(grep -c '^FAIL' "$work/out")" -eq "$(find "$work/bad" -type f | wc -l)" ] || fail "$mode: $(cat "$work/out")"
done

# Bytes are quoted as Go quotes them.
printf 'add-nodes 1 voters=(1) index=2\n----\nok\n\n' | sed '1i log-level none\n----\nok\n' >"$work/bytes.txt"
printf 'campaign 1\n----\nok\n\nstabilize\n----\nok\n\npropose 1 a\007\377\303(\n----\nok\n\nstabilize\n----\nok\n\n' >>"$work/bytes.txt"
printf 'log-level error\n----\nok\n\nraft-log 1\n----\n1/3 EntryNormal ""\n1/4 EntryNormal "a\\a\\xff\\xc3("\n' >>"$work/bytes.txt"
"$tool" interaction "$work/bytes.txt" >"$work/out" || fail "bytes: $(cat "$work/out")"

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
