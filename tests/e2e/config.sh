#!/usr/bin/env bash
# pando.yaml: what it says holds, its mistakes are told; and the same file at three nodes makes exactly one cluster, in any
# order of starts, with nodes killed in the middle of it; again changes nothing; a fourth node joins by the secret.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
declare -A pids

# --- One node's file ---------------------------------------------------------------------------------------------------
cat >"$work/one.yaml" <<YAML
# All of it may be said elsewhere, too.
data: $work/one
listen_client: "off"
disk_low: 1MiB
allow_host: [one.example, other.example]
YAML
export PANDO_DISK_LOW=2MiB
runs 0 start --print-config --config "$work/one.yaml" --name first
printed "data: '$work/one'  # $work/one.yaml:2"
printed "disk_low: 2MiB  # PANDO_DISK_LOW"
printed "name: 'first'  # --name"
printed "quiet: false  # default"
cp "$out" "$work/printed.yaml"
unset PANDO_DISK_LOW
runs 0 start --print-config --config "$work/printed.yaml"
printed "disk_low: 2MiB  # $work/printed.yaml:"
start_pando start --config "$work/one.yaml"
wait_for_text "try     pando kv put --data $work/one"
runs 0 kv put --data "$work/one" greeting hello
kill -TERM "$started"
wait_for_end 0

# SIGTERM: /readyz turns off first, and all else goes on; a second one does not wait.
start_pando start --config "$work/one.yaml" --listen-client 127.0.0.1:0 --stop-grace 1h
wait_for_text "try "
url=$(sed -n 's/^  etcd *//p' "$out")
is_ready() { [ "$(curl -s -o /dev/null -w '%{http_code}' "$url/readyz")" = "$1" ]; }
eventually is_ready 200
kill -TERM "$started"
eventually is_ready 503
curl -s "$url/readyz?verbose" >"$err" || true
said "[-]serving failed: this node is about to stop"
curl -s -o /dev/null -w '%{http_code}' "$url/livez" >"$err" || true
said 200
runs 0 kv get --data "$work/one" greeting
output_is hello
kill -TERM "$started"
wait_for_end 0

printf 'listen_cleint: x\nquiet: yes\n' >"$work/bad.yaml"
runs 2 start --config "$work/bad.yaml"
said "$work/bad.yaml:1:1: listen_cleint: unknown key \`listen_cleint\`, did you mean \`listen_client\`?"
said "$work/bad.yaml:2:8: quiet: takes true or false, not \`yes\`"
runs 2 start --config "$work/nowhere.yaml"
said "$work/nowhere.yaml: there is no such file"
runs 2 start --data "$work/open" --listen-client localhost:2379 # a name may be several addresses
said "--listen-client takes ADDRESS:PORT with an address in numbers"
runs 2 start --data "$work/open" --listen-client 0.0.0.0:0
said "say --insecure"
[ ! -e "$work/open" ] || fail "a start that was refused made its folder"

# --- The same file at three nodes --------------------------------------------------------------------------------------
# peers_file NAME: three addresses that are free, and a new secret.
peers_file() {
    free_base
    mkdir "$work/$1"
    cluster=$work/$1
    head -c 32 /dev/urandom | base64 >"$cluster/secret"
    chmod 600 "$cluster/secret"
    cat >"$cluster/pando.yaml" <<YAML
peers: ["localhost:$((base + 1))", "localhost:$((base + 11))", "localhost:$((base + 21))"]
expect: 3
secret_file: $cluster/secret
listen_client: "off"
YAML
}

# start_node N: with the file alone, but for what one machine cannot tell of three.
start_node() {
    PANDO_DATA=$cluster/node-$1 PANDO_LISTEN_PEER=127.0.0.1:$((base + 10 * $1 + 1)) PANDO_NAME=node-$1 \
        "$PANDO" start --config "$cluster/pando.yaml" >>"$work/node-$1.log" 2>&1 &
    pids[$1]=$!
    children+=("$!")
}

end_node() {
    kill "-$2" "${pids[$1]}"
    wait "${pids[$1]}" || true
}

# members N: how many stand in the configuration, as the node N tells.
members() { timeout 20 "$PANDO" cluster members -o json --data "$cluster/node-$1" 2>/dev/null || true; }
has_members() { [ "$(members "$1" | grep -o '"node":' | wc -l)" -eq "$2" ]; }

# one_cluster N...: all of them run, in one cluster, and hold the same.
one_cluster() {
    leader_index "$@"
    local node id told=
    for node in "$@"; do
        id=$(sed -n 's/.*"cluster": "\([0-9a-f]*\)".*/\1/p' "$cluster/node-$node/node.json")
        : "${told:=$id}"
        [ "$id" = "$told" ] || fail "node-$node is of cluster $id, not of $told"
    done
    cluster_id=$told
}

# Whoever is first waits for the others; each order makes one cluster.
orders=("0 1 2")
[ -n "${PANDO_SANITIZE-}" ] || orders+=("2 0 1")
for order in "${orders[@]}"; do
    peers_file "order-${order// /-}"
    read -ra nodes <<<"$order"
    for node in "${nodes[@]}"; do
        : >"$work/node-$node.log"
        start_node "$node"
        [ "$node" = "${nodes[2]}" ] || eventually grep -q "first members" "$work/node-$node.log"
    done
    one_cluster 0 1 2
    eventually has_members 0 3
    for node in 0 1 2; do end_node "$node" TERM; done
done

# Killed while they agree, at different moments, and started again: still one, of all three.
for round in $(seq "$(effort 2 1)"); do
    peers_file "killed-$round"
    for node in 0 1 2; do start_node "$node"; done
    for node in 2 0 1; do
        # As soon as one of them has agreed, or begun: what is on the disk then is what it must go on with.
        eventually test -e "$cluster/node-$(((node + round) % 3))/cluster.json"
        end_node "$node" KILL
        start_node "$node"
    done
    one_cluster 0 1 2
    eventually has_members 1 3
    [ "$round" -eq 1 ] || for node in 0 1 2; do end_node "$node" KILL; done
    [ "$round" -gt 1 ] || kept=$cluster kept_base=$base kept_pids="${pids[0]} ${pids[1]} ${pids[2]}"
done
cluster=$kept base=$kept_base
read -r "pids[0]" "pids[1]" "pids[2]" <<<"$kept_pids"

# Once more with the same file: nothing changes.
runs 0 kv put --data "$cluster/node-0" kept value
one_cluster 0 1 2
before=$cluster_id
for node in 0 1 2; do end_node "$node" TERM; done
sha256sum "$cluster"/node-*/{node,cluster}.json >"$work/sums"
for node in 1 2 0; do start_node "$node"; done
one_cluster 0 1 2
[ "$cluster_id" = "$before" ] || fail "another start made cluster $cluster_id of $before"
sha256sum --quiet -c "$work/sums" || fail "another start wrote identities anew"
runs 0 kv get --data "$cluster/node-2" kept
output_is value

# A fourth node with the same file joins; one whose folder was emptied is a new node, and joins, too, in the place of the
# one that it was: it has its name and its address. One that kept its key and nothing else could vote twice: it is refused.
start_node 3
one_cluster 0 1 2 3
[ "$cluster_id" = "$before" ] || fail "the fourth node is of cluster $cluster_id, not $before"
eventually has_members 0 4
end_node 2 KILL
mv "$cluster/node-2/node.key" "$work/node-2.key"
rm -rf "$cluster/node-2"
mkdir "$cluster/node-2"
mv "$work/node-2.key" "$cluster/node-2/node.key"
runs 1 start --config "$cluster/pando.yaml" --data "$cluster/node-2" --listen-peer "127.0.0.1:$((base + 21))"
said "this node votes there already"
rm -rf "$cluster/node-2"
# Its name alone, from elsewhere, is not enough.
runs 1 start --config "$cluster/pando.yaml" --data "$work/namesake" --listen-peer "127.0.0.1:$((base + 41))" --name node-2
said "another member is called 'node-2'"
eventually has_members 0 4
start_node 2
one_cluster 0 1 2 3
grep -q "it takes the place of node" "$work/node-2.log" || fail "node-2 was not told whose place it takes"
[ "$cluster_id" = "$before" ] || fail "an emptied node made cluster $cluster_id"
same_state 0 1 2 3

# Another secret is refused, with words; so is one that others may read, or that anybody could guess.
echo "this is another secret altogether" >"$work/secret"
chmod 600 "$work/secret"
refused=(start --config "$cluster/pando.yaml" --data "$work/stranger" --listen-peer "127.0.0.1:$((base + 41))")
runs 1 "${refused[@]}" --secret-file "$work/secret"
said "the secret of this node is not the others'"
[ ! -e "$work/stranger/cluster.json" ] || fail "a stranger has a cluster.json"
chmod 640 "$work/secret"
runs 1 "${refused[@]}" --secret-file "$work/secret"
said "mode 600"
echo short >"$work/short"
chmod 600 "$work/short"
runs 1 "${refused[@]}" --secret-file "$work/short"
said "shorter than 16 bytes"
runs 2 "${refused[@]}" --expect 1
said "more than half"
eventually has_members 0 4 # and nobody who was refused, and no node-2 of before

# A node that agreed and cannot go on says so, and is not started alone.
mkdir "$work/agreed"
sed 's/"start": "[a-z]*"/"start": "gather"/' "$cluster/node-0/cluster.json" >"$work/agreed/cluster.json"
runs 1 start --data "$work/agreed" --listen-client off
said "start it with the same peers and secret_file"
finish
