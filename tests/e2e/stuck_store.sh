#!/usr/bin/env bash
# The store finds no file descriptor for a new table, and RocksDB does not recover from that by itself: the node opens it
# anew, in the same process, and nothing that was acknowledged is lost.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
library=$PANDO_BUILD_DIR/lib/libpando-no-tables.so
data=$work/data
value=$work/value
head -c 1000000 /dev/zero | tr '\0' v >"$value"

if [ -n "${PANDO_SANITIZE-}" ]; then # a sanitizer has to come before what is preloaded
    finish
fi
export PANDO_NO_TABLES=$work/none
LD_PRELOAD=$library start_pando start --data "$data" --listen-client off --log-segment 16MiB --store-lag 100
wait_for_text "try "
put() { "$PANDO" kv put --data "$data" --timeout "$2" "key-$1" - <"$value" >"$work/put" 2>&1; }

for ((i = 0; i < 10; i++)); do
    put "$i" 120s || fail "a put before: $(cat "$work/put")"
done
touch "$PANDO_NO_TABLES"
acknowledged=10
# Each makes the store flush, by --store-lag or by what a table holds in memory.
while [ "$acknowledged" -lt 120 ] && put "$acknowledged" 20s; do
    acknowledged=$((acknowledged + 1))
done
wait_for_text "it is opened anew"
rm "$PANDO_NO_TABLES"
eventually put later 20s
kill -0 "$started" || fail "the process did not go on"
runs 0 kv get --data "$data" --prefix key-
count=$(grep -c "^key-" "$out" || true)
[ "$count" -ge "$acknowledged" ] || fail "$count of $acknowledged acknowledged writes are there"
kill -TERM "$started"
wait_for_end 0
finish
