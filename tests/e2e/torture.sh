#!/usr/bin/env bash
# `make torture`, one round of it: three nodes in namespaces of their own, tormented while clients write down what they see.
set -euo pipefail
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
if [ "$(id -u)" -ne 0 ] || [ ! -e /dev/net/tun ] || ! unshare --net true 2>/dev/null; then
    skip e2e/torture "network namespaces need root and /dev/net/tun"
    exit 77
fi
export TMPDIR=$work/tmp
mkdir "$TMPDIR"
timeout -k 5 540 python3 "$PANDO_SOURCE_DIR/tests/torture/torture.py" --rounds 1 --round-seconds 4 --seed 28 \
    --only kill,pause,isolate,mute,part,slow,version,cut_clients,cut_clients,break_clients >"$out" 2>"$err" ||
    fail "torture: exit code $?: $(cat "$out" "$err")"
cat "$out"
grep -q '^torture: seed 28, 3 nodes, 1 rounds, .* 0 lost, 0 bad$' "$out" || fail "no sum"
[ -z "$(ls "$TMPDIR")" ] || fail "left behind: $(ls "$TMPDIR")"
finish
