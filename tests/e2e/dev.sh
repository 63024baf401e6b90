#!/usr/bin/env bash
# `pando dev`: three processes become one cluster, any of them serves, nothing is left behind.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"

free_base
start_pando dev --data "$cluster" --base-port "$base"
wait_for_text "Ctrl-C ends all of it in order."
printed "ready: 3 nodes"
printed "http://127.0.0.1:$((base + 20)) (TCP)"
printed "127.0.0.1:$((base + 21)) (UDP)"
printed "security"
printed "  retention  old revisions for 24 hours"
printed "pando kv put --data $cluster/node-0"
sed -n 's/^ready: .*, in \(.*\)/formed in \1/p' "$out"

# Any node takes writes, and a read at any node sees them.
cp "$out" "$work/banner"
for node in 0 1 2; do
    runs 0 kv put --data "$cluster/node-$node" "from-$node" "value-$node"
done
for node in 0 1 2; do
    runs 0 kv get --data "$cluster/node-$node" --prefix from-
    output_is "$(printf 'from-0\tvalue-0\nfrom-1\tvalue-1\nfrom-2\tvalue-2')"
done
runs 0 cluster status --data "$cluster/node-1"
printed "tolerates   1 of 3 voters down"
printed "127.0.0.1:$((base + 11))"

# What a node counts at its port for the others: a large value leaves in trains of datagrams.
trains() {
    for node in 0 1 2; do curl -sf "http://127.0.0.1:$((base + 10 * node))/metrics"; done >"$work/metrics" &&
        grep -q '^pando_peer_trains_total [1-9]' "$work/metrics"
}
head -c 1000000 /dev/zero | tr '\0' x >"$work/large"
runs 0 kv put --data "$cluster/node-0" large - <"$work/large"
if python3 -c 'import socket; socket.socket(type=socket.SOCK_DGRAM).getsockopt(17, 103)' 2>/dev/null; then
    eventually trains
else
    skip trains "the kernel has no UDP_SEGMENT"
fi

# The folder, and the ports, are taken.
runs 1 dev --data "$cluster" --base-port "$base"
said "is in use by another"
runs 1 dev --data "$work/other" --base-port "$base"
said "port $base (TCP, for node-0) cannot be had"
runs 1 start --data "$cluster/node-0" --listen-client off
said "in use by another node"
runs 1 start --data "$work/alone" --listen-client off --listen-peer "127.0.0.1:$((base + 1))"
said "cannot listen for nodes on UDP port $((base + 1)): Address already in use; choose another with --listen-peer"

# A node is to be named, and whoever names none is told which there are.
runs 1 kv get --data "$cluster" from-0
said "'$cluster' is a folder of \`pando dev\`: name one of its nodes, as --data $cluster/node-0"
pushd "$work" >/dev/null
runs 1 cluster status
said "no node listens on 'pando-data/pando.sock'. Start one"
ln -s "$cluster" pando-dev
runs 1 cluster status
said "those of \`pando dev\` are here: name one, as --data pando-dev/node-0"
popd >/dev/null

# In order, and nothing is left.
cp "$work/banner" "$out"
pids="$(pid_of 0) $(pid_of 1) $(pid_of 2)"
kill -INT "$started"
wait_for_end 0
for pid in $pids; do
    [ ! -e "/proc/$pid" ] || fail "process $pid is left behind"
done
[ -z "$(find "$cluster" -name '*.sock')" ] || fail "a socket is left behind"
runs 1 wal verify "$cluster/node-0"
said "holds no log, but its folder '$cluster/node-0/log' may: name that"
runs 0 wal verify "$cluster/node-0/log"

# A second start goes on with it, on other ports; a parent that is killed takes its nodes along.
free_base
start_pando dev --data "$cluster" --base-port "$base"
wait_for_text "Ctrl-C ends all of it in order."
cp "$out" "$work/banner"
runs 0 kv get --data "$cluster/node-2" from-0
output_is value-0
moved() { "$PANDO" cluster members --data "$cluster/node-0" | grep -F "127.0.0.1:$((base + 21))" >/dev/null; }
eventually moved
cp "$work/banner" "$out"
pids="$(pid_of 0) $(pid_of 1) $(pid_of 2)"
gone() { [ ! -e "/proc/$1" ] || [ "$(awk '{print $3}' "/proc/$1/stat" 2>/dev/null)" = Z ]; }
kill -KILL "$started"
wait "$started" 2>/dev/null || true
for pid in $pids; do
    eventually gone "$pid"
done

# The nodes' lines as JSON hide from nobody that they are ready.
start_pando dev --data "$work/json" --nodes 1 --base-port "$base" --app "$examples/hello.wasm" --log-format json
wait_for_text "Ctrl-C ends all of it in order."
wait_for_text '"message":"'
kill -HUP "$started" # its terminal is closed
wait_for_end 0

# What is no folder of `pando dev` is left alone.
mkdir "$work/foreign"
echo "do not touch" >"$work/foreign/thesis.txt"
runs 1 dev --data "$work/foreign" --base-port "$base"
said "thesis.txt"
runs 1 dev --data "$cluster" --nodes 5 --base-port "$base"
said "a cluster of 3 nodes is here already"
runs 2 dev --nodes 0
said "--nodes takes 1 to 9"
runs 2 dev --data "$work/new" --base-port 65500
said "--base-port takes 1 to 65445"
runs 1 dev --data "$work/$(printf 'x%.0s' {1..100})" --base-port "$base"
said "of 103 bytes at most. Choose a shorter one with --data"
runs 1 dev --data "$work/foreign/thesis.txt" --base-port "$base"
said "Not a directory. Choose another with --data"
runs 1 start --data "$work/foreign/thesis.txt" --listen-client off
said "Not a directory. Choose another with --data"
finish
