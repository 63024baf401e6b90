#!/usr/bin/env bash
# Recorded histories: those of this repository, always, and Jepsen's of etcd where they are.
set -euo pipefail
tool=$PANDO_BUILD_DIR/bin/linearizability
own=$PANDO_SOURCE_DIR/tests/conformance/linearizability
outside=${PANDO_LINEARIZABILITY:-$PANDO_SOURCE_DIR/../shared/conformance/linearizability}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() { echo "FAIL $*"; failures=$((failures + 1)); }

# judges FOLDER: all its histories as its EXPECTED says.
judges() {
    (cd "$1" && timeout 300 "$tool" *.log) >"$work/out" || true
    diff "$1/EXPECTED" "$work/out" >"$work/diff" || fail "$1: $(cat "$work/diff")"
}
judges "$own"

# malformed TEXT LINE: exit code 2, the line named, and no verdict.
malformed() {
    local status=0
    printf '%b' "$1" >"$work/bad.log"
    "$tool" "$work/bad.log" >"$work/out" 2>"$work/err" || status=$?
    if [ "$status" -ne 2 ] || ! grep -q "bad.log:$2: " "$work/err" ||
        [ "$(cat "$work/out")" != "$work/bad.log unknown" ]; then
        fail "malformed '$1': exit code $status: $(cat "$work/out" "$work/err")"
    fi
}
prefix='INFO  jepsen.util - '
malformed "${prefix}0\t:ok\t:read\t1\n" 1
malformed "${prefix}0\t:invoke\t:read\tnil\n${prefix}0\t:invoke\t:read\tnil\n" 2
malformed "${prefix}0\t:invoke\t:write\tx\n" 1
malformed "${prefix}0\t:invoke\t:cas\t[1\n" 1
malformed "${prefix}0\t:invoke\t:read\tnil\n${prefix}0\t:ok\t:write\t1\n" 2
malformed "${prefix}0\t:invoke\t:jump\t1\n" 1
status=0
"$tool" "$work/missing.log" >"$work/out" 2>"$work/err" || status=$?
[ "$status" -eq 2 ] || fail "a missing file: exit code $status"

if [ "$failures" -eq 0 ] && [ ! -d "$outside" ]; then
    echo "SKIP e2e/linearizability: no folder $outside with recorded histories (PANDO_LINEARIZABILITY names another)"
    exit 77
fi
[ -d "$outside" ] && judges "$outside"
exit $((failures > 0))
