#!/usr/bin/env bash
# pando lease, watch and txn at a node of its own: what they print, and a watch that outlives its node.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
data=$work/data
at=(--data "$data")

node_starts() {
    start_pando start --data "$data" --listen-client off --log-segment 16MiB --disk-low 0B
    node=$started
    wait_for_text "try "
}

# value NAME: of the JSON object in $out.
value() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$out" "$1"; }

# wait_until TEXT FILE COUNT: until so many lines of the file have the text, two minutes at most.
wait_until() {
    local end=$((SECONDS + 120))
    until [ "$(grep -cF -- "$1" "$2")" -ge "$3" ]; do
        [ "$SECONDS" -lt "$end" ] || { fail "no '$1' in $2 within two minutes:"; cat "$2"; finish; }
        sleep 0.05
    done
}

runs 1 lease list "${at[@]}"
said "no node listens"
runs 1 watch "${at[@]}" key
said "pando start"
node_starts

# --- Leases -----------------------------------------------------------------------------------------------------------
runs 2 lease grant soon "${at[@]}"
said "'soon' is no time to live"
runs 2 lease ttl xyz "${at[@]}"
said "hexadecimal"
runs 0 lease grant 10m -o json "${at[@]}"
lease=$(value lease)
[ "$(value ttl_s)" = 600 ] || fail "lease grant: $(cat "$out")"
runs 0 lease grant 1h --id abc "${at[@]}"
output_is "lease 0000000000000abc, 3600 s"
runs 1 lease grant 1h --id abc "${at[@]}"
said "already exists"
runs 0 kv put --lease "$lease" "${at[@]}" workers/a here
runs 0 kv put --lease "$lease" "${at[@]}" workers/b there
runs 0 lease list "${at[@]}"
output_is "$(printf '%s\n0000000000000abc' "$lease")"
runs 0 lease ttl --keys "$lease" "${at[@]}"
printed "s left of 600"
printed "workers/a"
runs 0 lease ttl --keys -o json "$lease" "${at[@]}"
printed '"keys":[{"key":"workers/a"},{"key":"workers/b"}]'
runs 0 lease keep-alive --once "$lease" "${at[@]}"
output_is "lease $lease lives for another 600 s"
runs 0 lease revoke "$lease" "${at[@]}"
runs 1 kv get workers/a "${at[@]}"
for verb in revoke ttl keep-alive; do
    runs 1 lease "$verb" "$lease" "${at[@]}"
    said "there is no lease $lease"
    said "pando lease list"
done
runs 1 kv put --lease "$lease" "${at[@]}" workers/c gone
said "there is no lease $lease"
said "pando lease list"

# --- Transactions -----------------------------------------------------------------------------------------------------
runs 0 txn "${at[@]}" 'put balance/a 100; put balance/b 0 # two at once'
output_is "$(printf 'then, revision 5\nput   done\nput   done')"
cat >"$work/transfer" <<'END'
# All or nothing.
if value balance/a = 100 and version balance/b = 1
   and missing lock
then
    put balance/a 90
    put balance/b 10
    get prefix balance/
else
    get "balance/a"
END
runs 0 txn -o json "${at[@]}" <"$work/transfer"
[ "$(value succeeded)" = True ] || fail "txn: $(cat "$out")"
printed '"get":[{"key":"balance/a","value":"90"'
runs 4 txn "${at[@]}" - <"$work/transfer"
printed "else: a compare is not true"
printed "get   balance/a  90"
echo '{"if":[{"value":"balance/b","is":"=","to":"10"},{"exists":"balance/a"},{"mod":"balance/a","is":">","to":1}],
       "then":[{"del":"balance/","prefix":true}]}' >"$work/json"
runs 0 txn "${at[@]}" <"$work/json"
printed "del   2 deleted"
runs 0 txn "${at[@]}" 'put "a \"key\"" "\x00\xff\t"'
runs 0 kv get -o json 'a "key"' "${at[@]}"
printed '"value_hex":"00ff09"'
runs 2 txn "${at[@]}" 'if value a ~ b then'
said "line 1, column 12: =, !=, < or > instead of '~'"
runs 1 txn "${at[@]}" 'put a 1; put a 2'
said "duplicate key"

# --- A watch ------------------------------------------------------------------------------------------------------------
runs 0 watch --rev 5 --events 3 --prefix balance/ "${at[@]}"
output_is "$(printf '       5  put     balance/a  100\n       5  put     balance/b  0\n       6  put     balance/a  90')"
runs 0 watch --rev 6 --events 1 --prev-kv -o json balance/a "${at[@]}"
printed '"type":"put","revision":6'
printed '"previous":{"key":"balance/a","value":"100"'
: >"$work/watch.err"
timeout 500 "$PANDO" watch --prefix w/ --events 60 "${at[@]}" >"$work/watched" 2>"$work/watch.err" &
watcher=$!
children+=("$watcher")
wait_until "watching from revision" "$work/watch.err" 1
for i in $(seq 10); do "$PANDO" kv put "${at[@]}" "w/$i" 1 >/dev/null; done
for round in 1 2; do # the node is lost, and comes back
    kill -KILL "$node"
    wait "$node" 2>/dev/null || true
    wait_until "Trying again" "$work/watch.err" "$round"
    node_starts
    for i in $(seq 20); do "$PANDO" kv put "${at[@]}" "w/$i" "$round" >/dev/null; done
    wait_until "watching again" "$work/watch.err" "$round"
done
"$PANDO" txn "${at[@]}" "$(for i in $(seq 10); do echo "put w/$i txn"; done)" >/dev/null
wait "$watcher" || fail "watch: exit code $?"
awk '{print $1, $3}' "$work/watched" >"$work/got"
first=$(head -n 1 "$work/watched" | awk '{print $1}')
{ for i in $(seq 10); do echo "$((first + i - 1)) w/$i"; done
  for round in 0 1; do for i in $(seq 20); do echo "$((first + 9 + 20 * round + i)) w/$i"; done; done
  for i in $(seq 10); do echo "$((first + 50)) w/$i"; done; } >"$work/wanted"
sort -n -k1,1 "$work/wanted" -s | diff - "$work/got" >"$work/diff" || { fail "watch: gap or duplicate"; head "$work/diff"; }

# --- What is compacted is told -----------------------------------------------------------------------------------------
runs 0 kv compact 7 "${at[@]}"
runs 3 watch --rev 6 balance/a "${at[@]}"
said "revision 6 is compacted"
said "watch on with --rev"
runs 1 kv get --rev 2 greeting "${at[@]}"
first=$(sed -n 's/.*revision 2 is compacted: read with --rev \([0-9]*\),.*/\1/p' "$err")
runs 0 kv get --rev "${first:-0}" --prefix '' "${at[@]}"
runs 1 kv get --rev 6 balance/a "${at[@]}"
said "compacted"
runs 1 kv compact 2 "${at[@]}"
said "revision 2 is compacted already, as all before revision $first are"
runs 1 kv compact 7 "${at[@]}"
said "revision 7 is compacted already"
said "pando status"
for words in "compact 99999" "get --rev 99999 greeting"; do
    # shellcheck disable=SC2086
    runs 1 kv $words "${at[@]}"
    said "revision 99999 is yet to come: \`pando status\`"
done
kill -TERM "$node"
wait "$node" || fail "the node: exit code $?"

finish
