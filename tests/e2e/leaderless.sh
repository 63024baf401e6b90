#!/usr/bin/env bash
# What etcd's clients call WithRequireLeader: when two of three nodes are gone, the third refuses who requires a leader, and
# ends such streams; others are served from what it has.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
free_base
start_pando dev --data "$cluster" --base-port "$base"
wait_for_text "Ctrl-C ends all of it in order."
at=http://127.0.0.1:$base/v3
required=(-H "Grpc-Metadata-hasleader: true")
no_leader='"message":"etcdserver: no leader"'
create='{"create_request":{"key":"YQ=="}}'
get='{"key":"YQ==","serializable":true}'

curl -sNm 500 "${required[@]}" "$at/watch" -d "$create" >"$work/led" 2>&1 &
led=$!
curl -sNm 500 "$at/watch" -d "$create" >"$work/unled" 2>&1 &
children+=("$led" "$!")
eventually grep -q '"created":true' "$work/led"
eventually grep -q '"created":true' "$work/unled"
first=$(curl -sm 100 "${required[@]}" "$at/kv/range" -d "$get")
[[ $first == *'"revision"'* ]] || fail "there is a leader: $first"

kill -KILL "$(pid_of 1)" "$(pid_of 2)"
is_ended() { ! kill -0 "$led" 2>/dev/null; }
eventually is_ended
grep -q "{\"error\":{\"code\":14,$no_leader" "$work/led" || fail "the stream: $(cat "$work/led")"
refused=$(curl -sm 100 -w '%{http_code}' "${required[@]}" "$at/kv/range" -d "$get")
[[ $refused == *"$no_leader"*503 ]] || fail "who requires a leader: $refused"
served=$(curl -sm 100 -w '%{http_code}' "$at/kv/range" -d "$get")
[[ $served == *'"revision"'*200 ]] || fail "who requires none: $served"
! grep -q error "$work/unled" || fail "the other stream: $(cat "$work/unled")"
kill -TERM "$started"
wait "$started" || true
finish
