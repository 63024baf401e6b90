#!/usr/bin/env bash
# Power cuts at random moments of the log and the store: a quick round of what `make power-loss` does at length.
set -euo pipefail
tool=$PANDO_BUILD_DIR/bin/power-loss
if [ ! -e "$PANDO_BUILD_DIR/lib/libpando-power.so" ]; then
    echo "SKIP e2e/power_loss: a sanitizer must be the first library of a process, so nothing can be preloaded"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() { echo "FAIL $*"; failures=$((failures + 1)); }

"$tool" --rounds 10 --seed 1 --work "$work" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
grep -q '^10 rounds: .*nothing was lost$' "$work/out" || fail "no verdict: $(cat "$work/out")"
[ -z "$(find "$work" -mindepth 1 -type d)" ] || fail 'folders are left behind'

status=0
"$tool" --subject nothing >"$work/out" 2>&1 || status=$?
[ "$status" -eq 2 ] || fail "an unknown subject: exit code $status"
status=0
"$tool" --rounds 1 --shim "$work/missing.so" --work "$work" >"$work/out" 2>&1 || status=$?
[ "$status" -eq 2 ] || fail "a missing shim: exit code $status"
exit $((failures > 0))
