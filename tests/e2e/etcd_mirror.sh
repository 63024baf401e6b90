#!/usr/bin/env bash
# etcdctl make-mirror, unmodified, from a real etcd to a node and from a node to etcd, while the source is written to.
code=0
tools=$("$PANDO_SOURCE_DIR/scripts/etcd_tools.sh" etcdctl etcd) || code=$? # with the user's cache, not the test's
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
if [ "$code" -eq 77 ]; then
    skip e2e/etcd_mirror "no Go that can build etcd"
    exit 77
fi
[ "$code" -eq 0 ] || { fail "scripts/etcd_tools.sh: exit code $code"; finish; }
timeout -k 5 500 python3 "$PANDO_SOURCE_DIR/tests/etcd/mirror.py" "$tools" "$PANDO" "$(effort 1050 100)" >"$out" 2>&1 ||
    fail "$(cat "$out")"
cat "$out"
finish
