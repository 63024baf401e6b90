#!/usr/bin/env bash
# etcd's own command line client, unmodified, against a node: the same commands as against a real etcd beside it, and the
# same output, field by field. With a sanitizer in the program the node is alone: exit codes tell.
alone=()
programs=(etcdctl)
if grep -q '^PANDO_SANITIZE:STRING=.' "$PANDO_BUILD_DIR/CMakeCache.txt"; then
    alone=(--alone)
else
    programs+=(etcd)
fi
code=0
tools=$("$PANDO_SOURCE_DIR/scripts/etcd_tools.sh" "${programs[@]}") || code=$? # with the user's cache, not the test's
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
if [ "$code" -eq 77 ]; then
    skip e2e/etcd "no Go that can build etcdctl"
    exit 77
fi
[ "$code" -eq 0 ] || fail "scripts/etcd_tools.sh: exit code $code"
timeout -k 5 500 python3 "$PANDO_SOURCE_DIR/tests/etcd/compare.py" "$tools" "$PANDO" "${alone[@]}" >"$out" 2>&1 ||
    fail "$(cat "$out")"
tail -n 1 "$out"
finish
