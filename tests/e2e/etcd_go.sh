#!/usr/bin/env bash
# A Go program over etcd's client and its `concurrency` package, unmodified, against a node: locks, elections,
# transactional memory, leases, watchers by the thousand.
code=0
tools=$("$PANDO_SOURCE_DIR/scripts/etcd_tools.sh" client) || code=$? # with the user's cache, not the test's
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
if [ "$code" -eq 77 ]; then
    skip e2e/etcd_go "no Go that can build etcd's client"
    exit 77
fi
[ "$code" -eq 0 ] || fail "scripts/etcd_tools.sh: exit code $code"
start_pando start --data "$work/data" --listen-client 127.0.0.1:0 --disk-low 0B
wait_for_text "try "
url=$(awk '$1 == "etcd" { print $2 }' "$out")
WATCHERS=$(effort 10000 1000) timeout -k 5 500 "$tools/client" "$url" >"$work/client" 2>&1 || fail "$(cat "$work/client")"
grep 'many watchers' "$work/client" || true
# Ten thousand watchers at once cost memory for each, and not much. A sanitizer's shadow is not theirs.
peak=$(awk '$1 == "VmHWM:" { print int($2 / 1024) }' "/proc/$started/status")
echo "peak memory of the node: $peak MiB"
[ -n "${PANDO_SANITIZE-}" ] || [ "$peak" -le 512 ] || fail "the node took $peak MiB"
runs 1 start --data "$work/other" --listen-client "${url#http://}"
said "cannot listen for clients"
runs 2 start --listen-client localhost
said "--listen-client takes ADDRESS:PORT"
finish
