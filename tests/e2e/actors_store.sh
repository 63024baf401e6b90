#!/usr/bin/env bash
# Actors at the store: beside a node (pando run --node) and inside of one (pando start --app); rights; a node that is killed
# while a guest waits, and comes back.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
data=$work/data
app=$examples/kv_counter.wasm
export XDG_RUNTIME_DIR=$work/runtime
mkdir -m 700 "$XDG_RUNTIME_DIR"

node_starts() {
    start_pando start --listen-client off --data "$data" --log-segment 16MiB --disk-low 0B "$@"
    wait_for_text "try "
}

# What makes no sense.
runs 2 run --allow-kv '' "$app"
said "--allow-kv needs a node"
runs 2 run --node "$data" --seed 1 "$app"
said "not with --node"
runs 2 run --node
said "--node takes a folder"
runs 2 start --allow-kv ''
said "--app FILE"
runs 2 start --dir "$work"
said "--dir is for an application"
runs 2 start -- words
said "what follows -- is for an application"
runs 1 run --node "$work/none" --allow-kv '' "$app"
said "no node listens there"
said "pando start"
runs 1 run "$app"
said "code 2: this run has no store"

# Beside a node.
node_starts
node=$started
runs 0 run --node "$data" --allow-kv counter/ "$app" 4 25
output_is "4 counters counted to 100; the watcher saw 100 steps"
runs 0 run --node "$data/pando.sock" --allow-kv '' "$app" 1 5
output_is "1 counters counted to 5; the watcher saw 5 steps"
runs 0 kv get --data "$data" counter/total
output_is 5
runs 1 run --node "$data" "$app"
said "code 4: permission denied: this process may not use the store"
runs 1 run --node "$data" --allow-kv counted/ "$app"
said "code 4: permission denied: a key or range lies outside"

# Every function of the SDK.
runs 0 run --node "$data" --allow-kv sdk/ "$guests/store_sdk.wasm"
output_is "all is well"

# An application file gives its workers what the operator allows, and no more.
cat >"$work/app.yaml" <<YAML
name: counters
supervisor: {strategy: one_for_one, auto_shutdown: all_significant}
children:
  - id: allowed
    module: $app
    args: ["2", "10"]
    restart: temporary
    significant: true
    permissions: {spawn: true, kv: counter/}
YAML
runs 0 check "$work/app.yaml"
printed "may: stdio, spawn, kv counter/*"
runs 0 run --node "$data" --allow-kv '' "$work/app.yaml"
printed "2 counters counted to 20; the watcher saw 20 steps"
runs 0 run --node "$data" --allow-kv other/ "$work/app.yaml"
said "permission denied: this process may not use the store"

# kill -9 while guests wait for the node; it comes back, and not a step is lost or counted twice. On a machine with much to do
# the guest may end before the node does, or the node comes back later than a guest waits: then once more.
shown="pando run beside a node that was killed"
for attempt in 1 2 3 4 5; do
    "$PANDO" kv del --data "$data" counter/total >/dev/null || true # what an attempt before has left
    "$PANDO" run --node "$data" --allow-kv counter/ "$app" 8 150 >"$work/guest.out" 2>"$work/guest.err" &
    guest=$!
    children+=("$guest")
    has_begun() {
        seen=$("$PANDO" kv get --data "$data" counter/total 2>/dev/null || echo 0)
        { [ "$seen" -ge 50 ] && [ "$seen" -le 1000 ]; } || ! kill -0 "$guest" 2>/dev/null
    }
    eventually has_begun
    kill -KILL "$node"
    { wait_for_end 137; } 2>/dev/null
    lived=yes
    kill -0 "$guest" 2>/dev/null || lived=no
    node_starts
    node=$started
    code=0
    wait "$guest" || code=$?
    [ "$code" -ne 0 ] || [ "$(cat "$work/guest.out")" = "8 counters counted to 1200; the watcher saw 1200 steps" ] ||
        fail "$shown: $(cat "$work/guest.out")"
    [ "$lived" = no ] || [ "$code" -ne 0 ] || break
    grep -qE 'code 2: the node is gone|code 3: no answer in time' "$work/guest.err" || [ "$code" -eq 0 ] || break
    echo "attempt $attempt: the guest lived: $lived, and ended with $code"
done
[ "$lived" = yes ] && [ "$code" -eq 0 ] || fail "$shown: exit code $code: $(cat "$work/guest.out" "$work/guest.err")"

# A node that does not come back: the guest is told, in its time, what is known of its write.
"$PANDO" run --node "$data" --allow-kv '' "$guests/store_endless.wasm" 300 >"$work/guest.out" 2>"$work/guest.err" &
guest=$!
children+=("$guest")
counts() { grep -qs "counting without an end" "$work/guest.err"; }
eventually counts
kill -KILL "$started"
{ wait_for_end 137; } 2>/dev/null
shown="pando run beside a node that is gone"
code=0
wait "$guest" || code=$?
err=$work/guest.err
[ "$code" -eq 1 ] || fail "$shown: exit code $code"
grep -qE 'code 3: no answer in time: it may or may not have happened|code 2: the node is gone' "$err" || said "code 3"
err=$work/err
runs 1 run --node "$data" --allow-kv '' "$app"
said "no node listens there"

# Inside of a node. The application ends; the node goes on, and stops in order.
start_pando start --listen-client off --data "$data" --log-segment 16MiB --disk-low 0B --app "$app" --allow-kv counter/
wait_for_text "has ended with exit code 0"
printed "4 counters counted to 100; the watcher saw 100 steps"
runs 0 kv get --data "$data" counter/total
output_is 100
shown="pando start --app"
kill -TERM "$started"
wait_for_end 0
# One that has not ended is looked into as any program, by the node's name too (which may look like a process id, here a larger one than there are);
# and it is ended with the node.
start_pando start --listen-client off --data "$data" --log-segment 16MiB --disk-low 0B --name 4999999 \
    --app "$guests/store_endless.wasm" --allow-kv ''
wait_for_text "counting without an end"
runs 0 ps --program "$started"
printed "store_endless.wasm"
runs 0 info --program 4999999 1
printed "process 1"
runs 0 trace --program 4999999 --count 3 1
printed "pando::kv::put"
runs 1 ps --program loom
said "no program of yours runs inside of a node 'loom'"
shown="pando start --app"
kill -TERM "$started"
wait_for_end 0
[ -z "$(ls -A "$XDG_RUNTIME_DIR/pando")" ] || fail "left behind: $(ls -A "$XDG_RUNTIME_DIR/pando")"
runs 0 wal verify "$data/log"
printed "sound"
# Its memory is bounded: spawns and growth beyond are refused, and the node goes on.
start_pando start --listen-client off --data "$data" --log-segment 16MiB --disk-low 0B \
    --app "$guests/store_many.wasm" --allow-kv '' --app-memory 8MiB
wait_for_text "has ended with exit code 0"
printed "some children, growth refused, the store works"
runs 0 kv get --data "$data" many
shown="pando start --app-memory"
kill -TERM "$started"
wait_for_end 0
# Without the right it may do nothing.
start_pando start --listen-client off --data "$data" --log-segment 16MiB --disk-low 0B --app "$app"
wait_for_text "has ended with exit code 1"
printed "permission denied"
kill -TERM "$started"
wait_for_end 0
# One that cannot be run is told before anything is made; a node without its application would look as if it were well.
no_app() {
    runs 1 start --listen-client off --data "$work/fresh" --app "$@"
    ! grep -q "ready" "$out" "$err" || fail "$shown: said that it is ready"
    [ ! -e "$work/fresh" ] || fail "$shown: made the folder"
}
no_app "$work/none.wasm"
said "none.wasm: cannot open"
printf '\0asm\1\0\0\0\1\4\1\x60\0\0\2\x0d\1\7nowhere\1f\0\0' >"$work/import.wasm" # a function that nobody has
no_app "$work/import.wasm"
said "nowhere"
printf 'name: shop\nchildern: []\n' >"$work/bad.yaml"
no_app "$work/bad.yaml"
said "bad.yaml:2:"
printf 'name: shop\nchildren:\n  - id: one\n    module: none.wasm\n' >"$work/part.yaml"
no_app "$work/part.yaml"
said "none.wasm"
no_app "$app" --dir "$work/no-such-folder"
said "--dir $work/no-such-folder"
finish
