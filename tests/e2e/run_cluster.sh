#!/usr/bin/env bash
# `pando run --cluster TICKET`: a guest outside of every node uses a cluster's store. It loses nothing and counts nothing
# twice while each of the nodes is killed in turn, whichever of them it speaks to.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
app=$examples/kv_counter.wasm
declare -A pids

start_node() {
    "$PANDO" start --data "$cluster/node-$1" --listen-client off >>"$work/node-$1.log" 2>&1 &
    pids[$1]=$!
    children+=("$!")
}

free_base
start_pando dev --data "$cluster" --base-port "$base"
wait_for_text "Ctrl-C ends all of it in order."
kill -TERM "$started"
wait_for_end 0
for node in 0 1 2; do start_node "$node"; done
leader_index 0 1 2
runs 0 cluster ticket --data "$cluster/node-0" --expires 1h
cp "$out" "$work/ticket"
runs 0 cluster ticket --data "$cluster/node-0" --expires 1s
cp "$out" "$work/old"

# What makes no sense, and what is refused.
runs 2 run --cluster @"$work/ticket" --node "$cluster/node-0" "$app"
said "which of the two stores"
runs 2 run --cluster @"$work/ticket" --seed 1 "$app"
said "not with --cluster"
runs 1 run --cluster @"$work/none" "$app"
said "cannot read the ticket"
runs 1 run --cluster pando1.nonsense "$app"
said "that is no ticket"
runs 1 run --cluster @"$work/ticket" "$app"
said "code 4: permission denied: this process may not use the store"

runs 0 run --cluster @"$work/ticket" --allow-kv counter/ "$app" 4 25
output_is "4 counters counted to 100; the watcher saw 100 steps"
runs 0 run --cluster "$(cat "$work/ticket")" --allow-kv sdk/ "$guests/store_sdk.wasm"
output_is "all is well"
runs 0 kv get --data "$cluster/node-1" counter/total
output_is 100
late() { [ "$(date +%s)" -gt "$(($1 + 1))" ]; }
eventually late "$(date +%s)"
runs 1 run --cluster @"$work/old" --allow-kv counter/ "$app"
said "the ticket has expired"

# Nodes are killed while the guest counts, and come back; first the one that made the ticket, which is asked first. On a
# machine with much to do the guest may end before it is, or waits for a cluster that is whole later than it may: then once more.
steps=$(effort 1200 480)
for attempt in 1 2 3 4 5; do
    "$PANDO" run --cluster @"$work/ticket" --allow-kv counter/ "$app" 8 "$((steps / 8))" >"$work/guest.out" 2>"$work/guest.err" &
    guest=$!
    children+=("$guest")
    has_begun() {
        total=$("$PANDO" kv get --data "$cluster/node-0" counter/total 2>/dev/null || echo 0)
        { [ "$total" -gt 0 ] && [ "$total" -ne 100 ] && [ "$total" -ne "$steps" ]; } || ! kill -0 "$guest" 2>/dev/null
    }
    eventually has_begun
    lived=
    for node in $(effort '0 1 2' 0); do
        kill -KILL "${pids[$node]}"
        wait "${pids[$node]}" 2>/dev/null || true
        : "${lived:=$(kill -0 "$guest" 2>/dev/null && echo yes || echo no)}" # while the first one was killed
        start_node "$node"
        leader_index 0 1 2
    done
    code=0
    wait "$guest" || code=$?
    [ "$code" -ne 0 ] || [ "$(cat "$work/guest.out")" = "8 counters counted to $steps; the watcher saw $steps steps" ] ||
        fail "the guest: $(cat "$work/guest.out" "$work/guest.err")"
    [ "$lived" = no ] || [ "$code" -ne 0 ] || break
    grep -qE 'code 2:|code 3:' "$work/guest.err" || [ "$code" -eq 0 ] || break
    echo "attempt $attempt: the guest lived: $lived, and ended with $code"
done
[ "$lived" = yes ] && [ "$code" -eq 0 ] || fail "exit code $code: $(cat "$work/guest.out" "$work/guest.err")"

# When the cluster is gone, that is told, and what is known of a write.
"$PANDO" run --cluster @"$work/ticket" --allow-kv '' "$guests/store_endless.wasm" 300 >"$work/guest.out" 2>"$work/guest.err" &
guest=$!
children+=("$guest")
counting() { grep -qs "counting without an end" "$work/guest.err"; }
eventually counting
for node in 0 1 2; do kill -KILL "${pids[$node]}"; done
wait "${pids[@]}" 2>/dev/null || true
code=0
wait "$guest" || code=$?
[ "$code" -eq 1 ] || fail "a cluster that is gone: exit code $code"
grep -qE 'code 3|code 2' "$work/guest.err" || fail "a cluster that is gone: $(cat "$work/guest.err")"

# While it looks for a member it can be stopped as ever: somebody who never answers has a node's port, and tells when it is
# asked.
shown="pando run --cluster"
for signal in INT TERM; do
    python3 - "$base" "$signal" "$PANDO" run --cluster @"$work/ticket" "$app" 2>"$err" <<'PYTHON' || fail "SIG$signal while it dials: $(cat "$err")"
import signal, socket, subprocess, sys

number = signal.Signals["SIG" + sys.argv[2]]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
    silent.bind(("127.0.0.1", int(sys.argv[1]) + 1))
    silent.settimeout(120)
    run = subprocess.Popen(sys.argv[3:], stderr=subprocess.PIPE)
    silent.recv(65536)
    run.send_signal(number)
    said = run.communicate(timeout=120)[1]
    assert run.returncode == -number, (run.returncode, said)
PYTHON
done
finish
