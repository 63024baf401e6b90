#!/usr/bin/env bash
# Power cuts at random moments: a few rounds of what `make power-loss` does at length.
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

for subject in parts node; do
    "$tool" --subject "$subject" --rounds 5 --work "$work" >"$work/out" 2>&1 || fail "$subject: $(cat "$work/out")"
    grep -q '^5 rounds: .*nothing was lost$' "$work/out" || fail "$subject: no verdict: $(cat "$work/out")"
    [ -z "$(find "$work" -mindepth 1 -type d)" ] || fail "$subject: folders are left behind"
done

# refused ARGUMENT...: it says that it cannot look, and does not call that a loss.
refused() {
    local status=0
    "$tool" --work "$work" "$@" >"$work/out" 2>&1 || status=$?
    [ "$status" -eq 2 ] || fail "$*: exit code $status: $(cat "$work/out")"
}
refused --subject nothing
refused --rounds many
refused --rounds 1 --shim "$work/missing.so"
refused --rounds 1 --subject parts --shim "$PANDO_BUILD_DIR/lib/libpando-power.so" --work "$work/missing"
exit $((failures > 0))
