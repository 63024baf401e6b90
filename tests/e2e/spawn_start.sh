#!/usr/bin/env bash
# A module whose start function traps cannot be spawned: the parent is told by the call itself.
set -u
"$PANDO" run "$PANDO_BUILD_DIR/tests/guests/spawn_start_fails.wasm"
code=$?
if [ "$code" -ne 41 ]; then
    echo "FAIL: exit code $code, want 41: 40 and what spawn answered" >&2
    exit 1
fi
for seed in 1 2; do
    "$PANDO" run --seed "$seed" "$PANDO_BUILD_DIR/tests/guests/spawn_start_fails.wasm" 2>/dev/null
    code=$?
    [ "$code" -eq 41 ] || { echo "FAIL: seed $seed: exit code $code" >&2; exit 1; }
done
echo "ok: a start function that traps fails the spawn, not the parent"
