#!/usr/bin/env bash
# HTTP on the port of etcd's API: curl as people use it, whose Host and Origin are answered, and the JSON gateway beside a
# real etcd, answer by answer (alone where no Go can build one, and with a sanitizer in the program).
beside=()
code=77
if ! grep -q '^PANDO_SANITIZE:STRING=.' "$PANDO_BUILD_DIR/CMakeCache.txt"; then
    code=0
    # With the user's cache, not the test's.
    tools=$("$PANDO_SOURCE_DIR/scripts/etcd_tools.sh" etcd) || code=$?
fi
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
case $code in
    0) beside=("$tools") ;;
    77) skip e2e/http "no etcd beside: looked at alone" ;;
    *) fail "scripts/etcd_tools.sh: exit code $code" ;;
esac

runs 2 start --allow-host http://name
said "--allow-host takes a name without a port"
runs 2 start --allow-origin name
said "--allow-origin takes http://NAME"

start_pando start --data "$work/data" --listen-client 127.0.0.1:0 --allow-host db.example --allow-origin https://ok.example
wait_for_text "try "
url=$(sed -n 's/^  etcd *//p' "$out")

# asks WANTED ARGUMENT...: curl prints this.
asks() {
    local wanted=$1 got
    shift
    got=$(curl -sS -m 120 "$@" 2>&1) || true
    [[ $got == *"$wanted"* ]] || fail "curl $*: '$got' instead of '$wanted'"
}
status=(-o /dev/null -w '%{http_code}')
json='Content-Type: application/json'

asks '"revision":"2"' "$url/v3/kv/put" -d '{"key":"Zm9v","value":"YmFy"}'
asks '"kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"}],"count":"1"}' \
    "$url/v3/kv/range" -d '{"key":"Zm9v"}'
asks '{"health":"true","reason":""}' "$url/health"
asks ok "$url/livez"
asks '[+]linearizable_read ok' "$url/readyz?verbose"
asks 'etcdserver' "$url/version"
asks 'etcd_server_has_leader 1' "$url/metrics"
asks 'This node leads.' "$url/"
asks 405 "${status[@]}" "$url/v3/kv/put"
asks 404 "${status[@]}" "$url/nowhere"
asks '"code":3' "$url/v3/kv/put" -d '{"key":'

asks 403 "${status[@]}" -H 'Host: evil.example' "$url/version"
asks 200 "${status[@]}" -H 'Host: db.example' "$url/version"
asks 200 "${status[@]}" -H 'Host: localhost:1234' "$url/version"
asks 403 "${status[@]}" -H 'Origin: https://evil.example' -H "$json" "$url/v3/kv/put" -d '{"key":"Zm9v"}'
asks 415 "${status[@]}" -H 'Origin: https://ok.example' -H 'Content-Type: text/plain' "$url/v3/kv/put" -d '{"key":"Zm9v"}'
asks 'Access-Control-Allow-Origin: https://ok.example' -i -X OPTIONS -H 'Origin: https://ok.example' "$url/v3/kv/put"
asks 200 "${status[@]}" -H 'Origin: https://ok.example' -H "$json" "$url/v3/kv/range" -d '{"key":"Zm9v"}'

# A store of its own: the same revisions on both sides.
kill -TERM "$started"
wait_for_end 0
start_pando start --data "$work/fresh" --listen-client 127.0.0.1:0
wait_for_text "try "
url=$(sed -n 's/^  etcd *//p' "$out")
timeout -k 5 400 python3 "$PANDO_SOURCE_DIR/tests/etcd/http_check.py" "$url" "${beside[@]}" >"$work/check" 2>&1 ||
    fail "$(cat "$work/check")"
tail -n 1 "$work/check"
kill -TERM "$started"
wait_for_end 0
finish
