#!/usr/bin/env bash
# `pando join --role worker`: a member without a log runs an application over the cluster's store. It is known by its key,
# so that it comes back when its ticket is over; a removed one does not. Its settings are those of `pando start`.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
app=$examples/kv_counter.wasm
export XDG_RUNTIME_DIR=$work/runtime
mkdir -m 700 "$XDG_RUNTIME_DIR"

free_base
start_pando dev --data "$cluster" --base-port "$base"
wait_for_text "Ctrl-C ends all of it in order."
dev=$started
for_workers() { "$PANDO" cluster ticket --data "$cluster/node-0" --role worker --expires "$1"; }
for_workers 1h >"$work/ticket"

# Words.
runs 2 join @"$work/ticket" --role boss
said "--role takes voter or worker"
runs 2 join @"$work/ticket" --timeout never
said "--timeout takes a time"
runs 2 join @"$work/ticket" another
said "one ticket is enough"
runs 2 join @"$work/ticket" --lisen-peer 127.0.0.1:0
said "Did you mean --listen-peer?"
runs 2 join --role worker
said "which ticket?"
PANDO_LISTEN_CLEINT=off runs 2 join @"$work/ticket" --role worker
said "the variable PANDO_LISTEN_CLEINT is no setting's. Did you mean PANDO_LISTEN_CLIENT?"
printf 'data: %s\nroll: worker\n' "$work/w" >"$work/bad.yaml"
runs 2 join @"$work/ticket" --config "$work/bad.yaml"
said "bad.yaml:2:"

# Nobody joins for an application that cannot be run.
runs 1 join @"$work/ticket" --role worker --data "$work/lame" --name lame --app "$work/none.wasm"
said "none.wasm: cannot open"
runs 1 join @"$work/ticket" --role worker --data "$work/lame" --name lame --app "$app" --dir "$work/no-such-folder"
said "--dir $work/no-such-folder"
[ ! -e "$work/lame" ] || fail "a worker that could not run has a folder"
runs 0 cluster members --data "$cluster/node-0"
! grep -q lame "$out" || fail "a worker that could not run is a member: $(cat "$out")"

# A ticket for workers makes no voter; the role is for life.
runs 1 join @"$work/ticket" --data "$work/voter" --no-start
said "the ticket is for workers"
runs 0 join @"$work/ticket" --role worker --data "$work/w" --name mill --no-start
printed "joined cluster"
runs 0 join @"$work/ticket" --role worker --data "$work/w" --no-start
runs 0 cluster ticket --data "$cluster/node-0"
cp "$out" "$work/any"
runs 1 join @"$work/any" --data "$work/w" --no-start
said "is a worker's already"
# Nor a voter whose certificate cannot be used.
runs 1 join @"$work/any" --data "$work/lame" --name lame --listen-client 127.0.0.1:0 --cert-file "$work/no.pem" --key-file "$work/no.key"
said "$work/no.pem"
[ ! -e "$work/lame" ] || fail "a voter that could not serve has a folder"
# Whoever says a name means one member.
runs 1 join @"$work/any" --data "$work/twin" --name node-0 --no-start
said "another member is called 'node-0'"
said "choose another name with --name, or, if that one is gone for ever, remove it first"
runs 1 join @"$work/any" --role worker --data "$work/twin" --name mill --no-start
said "another member is called 'mill'"
runs 0 cluster members --data "$cluster/node-1"
[ "$(grep -c 'node-0\|mill' "$out")" -eq 2 ] || fail "two members of one name: $(cat "$out")"
runs 1 join @"$work/any" --role worker --data "$cluster/node-1" --no-start
said "a node runs in '"

# Who is a member needs no ticket.
runs 0 join --role worker --data "$work/w" --no-start
runs 1 join --data "$work/w" --no-start
said "is a worker's already"
runs 2 join --role worker --data "$work/nobodys" --no-start
said "which ticket?"
[ ! -e "$work/nobodys" ] || fail "a look at a folder made it"

# It runs an application, told by a file, and ends with it; no log and no store are in its folder. Its ticket is not needed.
rm "$work/ticket"
printf 'data: %s\nname: mill\napp: %s\nallow_kv: counter/\n' "$work/w" "$app" >"$work/worker.yaml"
runs 0 start --config "$work/worker.yaml" -- 4 25
grep -q "4 counters counted to 100; the watcher saw 100 steps" "$out" || fail "the worker: $(cat "$out" "$err")"
runs 0 kv get --data "$cluster/node-1" counter/total
output_is 100
[ "$(cd "$work/w" && ls | sort | tr '\n' ' ')" = "cluster.json node.key " ] || fail "a worker's folder: $(ls "$work/w")"
runs 0 cluster members --data "$cluster/node-2"
grep -q "mill.*worker" "$out" || fail "the members: $(cat "$out")"

# A member that does not answer at the first of its addresses is found at the next one.
python3 - "$work/w/cluster.json" <<'PYTHON'
import json, sys
with open(sys.argv[1]) as file:
    told = json.load(file)
for member in told["members"]:
    if member["peers"]:
        member["peers"].insert(0, "127.0.0.1:1")
with open(sys.argv[1], "w") as file:
    json.dump(told, file)
PYTHON
runs 0 start --config "$work/worker.yaml" -- 1 5
printed "1 counters counted to 5;"

# It is looked into as any program, by its name; and ends when its main process is killed.
"$PANDO" start --config "$work/worker.yaml" --allow-kv '' --app "$guests/store_endless.wasm" >"$work/mill.out" 2>"$work/mill.err" &
mill=$!
children+=("$mill")
eventually grep -qs "counting without an end" "$work/mill.err"
runs 0 ps --program mill
printed "store_endless.wasm"
shown="pando kill"
if "$PANDO" kill --program mill 1 >"$out" 2>"$err"; then printed "killed process 1"; else said "has not ended within"; fi
code=0
wait "$mill" || code=$?
[ "$code" -eq 1 ] || fail "a worker whose main process is killed ends with $code: $(cat "$work/mill.err")"

# In one go, with a ticket that makes any node; stopped by a signal while it has nothing to do.
"$PANDO" join @"$work/any" --role worker --data "$work/idle" --name idle >"$work/idle.out" 2>"$work/idle.err" &
idle=$!
children+=("$idle")
waits() { cat "$work/idle.out" "$work/idle.err" | grep "it runs nothing" >/dev/null; }
eventually waits
runs 1 start --data "$work/idle"
said "in use by another node"
kill -TERM "$idle"
code=0
wait "$idle" || code=$?
[ "$code" -eq 0 ] || fail "an idle worker ends with $code: $(cat "$work/idle.err")"

# For programs: ids are texts of 16 digits, wherever they are told, and a ticket is one.
runs 0 cluster status --data "$cluster/node-0" -o json
read -r node leader < <(python3 -c 'import json, sys
told = json.load(open(sys.argv[1]))
ids = [member["node"] for member in told["members"]]
voters = [member["node"] for member in told["members"] if member["standing"] in ("voter", "leader")]
assert told["node"] in ids and told["leader"] in voters and sorted(told["voters"]) == sorted(voters), told
assert all(len(one) == 16 for one in ids + [told["cluster"]]), told
print(told["node"], told["leader"])' "$out")
runs 0 cluster promote "$node" --data "$cluster/node-0" -o json
output_is "{\"voter\":\"$node\",\"changed\":false}"
runs 0 cluster transfer "$leader" --data "$cluster/node-0" -o json
printed "{\"leader\":\"$leader\",\"changed\":" # true, if it has lost the lead since
runs 0 cluster ticket --role worker --data "$cluster/node-0" -o json
python3 -c 'import json, sys, time
told = json.load(open(sys.argv[1]))
assert told["role"] == "worker" and len(told["cluster"]) == 16, told
assert 86000 < told["expires_s"] - time.time() < 86500, told
print(told["ticket"])' "$out" >"$work/by-program"
runs 0 join @"$work/by-program" --role worker --data "$work/twin" --name twin --no-start
printed "joined cluster"

# Removed for good: its key is not let in any more, nor taken in again.
mill=$("$PANDO" cluster members --data "$cluster/node-0" | awk '/ mill / { print $1 }')
runs 0 cluster remove mill --data "$cluster/node-0" -o json
output_is "{\"removed\":\"$mill\",\"changed\":true}"
runs 1 start --config "$work/worker.yaml" -- 1 1
said "no member, or not any more"
rm "$work/w/cluster.json"
runs 1 join @"$work/any" --role worker --data "$work/w" --no-start
said "removed"

kill -TERM "$dev"
wait "$dev" || true

# A cluster that does not answer is waited for as long as --timeout says; a handshake alone would take five seconds.
begun=$(date +%s%N)
runs 1 join @"$work/any" --role worker --data "$work/late" --timeout 1 --no-start
took=$((($(date +%s%N) - begun) / 1000000))
said "no member of the cluster took this node in within 1 s"
[ "$took" -ge 1000 ] && [ "$took" -lt 4500 ] || fail "it was given up after $took ms"
finish
