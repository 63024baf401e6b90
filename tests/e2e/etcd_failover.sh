#!/usr/bin/env bash
# Watches and writes of etcd's Go client, unmodified, while the lead of three nodes moves and their leader is killed:
# watchers see everything once and in order, no write is applied twice, and an unknown outcome is UNAVAILABLE.
code=0
tools=$("$PANDO_SOURCE_DIR/scripts/etcd_tools.sh" failover) || code=$? # with the user's cache, not the test's
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
if [ "$code" -eq 77 ]; then
    skip e2e/etcd_failover "no Go that can build etcd's client"
    exit 77
fi
[ "$code" -eq 0 ] || { fail "scripts/etcd_tools.sh: exit code $code"; finish; }
free_base
start_pando dev --data "$cluster" --base-port "$base"
wait_for_text "Ctrl-C ends all of it in order."
nodes=()
for node in 0 1 2; do nodes+=("127.0.0.1:$((base + 10 * node))=$(pid_of "$node")"); done
timeout -k 5 400 "$tools/failover" "${nodes[@]}" >"$work/failover" 2>&1 || fail "$(cat "$work/failover")"
cat "$work/failover"
kill -TERM "$started"
wait_for_end 0
finish
