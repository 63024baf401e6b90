#!/usr/bin/env bash
# etcd3, the client for Python on PyPI, unmodified, against a node: keys, transactions, watches, leases, locks. And gRPC's health,
# watched while the node stops.
code=0
python=$("$PANDO_SOURCE_DIR/scripts/etcd_python.sh") || code=$? # with the user's cache, not the test's
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
if [ "$code" -eq 77 ]; then
    skip e2e/etcd_python "no Python that etcd's client is for"
    exit 77
fi
[ "$code" -eq 0 ] || { fail "scripts/etcd_python.sh: exit code $code"; finish; }
start_pando start --data "$work/data" --listen-client 127.0.0.1:0 --disk-low 0B --stop-grace 1h
wait_for_text "try "
url=$(awk '$1 == "etcd" { print $2 }' "$out")
# Its threads complain on stderr when their channel is closed, whatever the server.
timeout -k 5 500 "$python" "$PANDO_SOURCE_DIR/tests/etcd/python_client.py" "${url#http://}" >"$work/client" 2>"$err" ||
    { fail "$(cat "$work/client")"; tail -n 20 "$err"; }

timeout -k 5 120 "$python" "$PANDO_SOURCE_DIR/tests/etcd/health_watch.py" "${url#http://}" "" >"$work/health" 2>"$err" &
watcher=$!
timeout -k 5 120 "$python" "$PANDO_SOURCE_DIR/tests/etcd/health_watch.py" "${url#http://}" pando.None >"$work/none" 2>"$work/none.err" &
children+=("$watcher" "$!")
eventually grep -qx "1 SERVING" "$work/health"
eventually grep -qx "1 SERVICE_UNKNOWN" "$work/none"
kill -TERM "$started"
eventually grep -qx "2 NOT_SERVING" "$work/health"
kill -TERM "$started"
wait_for_end 0
eventually grep -q "^end: " "$work/health"
eventually grep -q "^end: " "$work/none"
[ "$(wc -l <"$work/health")" -eq 3 ] || fail "the health: $(cat "$work/health")"
[ "$(wc -l <"$work/none")" -eq 2 ] || fail "the health of none: $(cat "$work/none")"
finish
