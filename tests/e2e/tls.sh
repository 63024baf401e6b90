#!/usr/bin/env bash
# One TLS port for curl, a browser's requests, Python's ssl and etcdctl: with client certificates, without them, with wrong
# ones; a certificate that is replaced while a connection lives, by a good one and by a bad one; and what doctor says of it.
# The same of `pando dev`, whose nodes share one certificate.
code=0
tools=$("$PANDO_SOURCE_DIR/scripts/etcd_tools.sh" etcdctl) || code=$? # with the user's cache, not the test's
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
if [ "$code" -eq 77 ]; then
    skip e2e/tls "no Go that can build etcdctl: without it"
elif [ "$code" -ne 0 ]; then
    fail "scripts/etcd_tools.sh: exit code $code"
fi
check=$PANDO_SOURCE_DIR/tests/etcd/tls_check.py
certs=$work/certs
mkdir "$certs"

authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$certs/$1.key" -out "$certs/$1.pem" \
        -days 30 -subj "/CN=$1" 2>/dev/null
}

# certificate NAME AUTHORITY PURPOSE DAYS: NAME.pem and NAME.key
certificate() {
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=%s\n' "$3" >"$certs/$1.ext"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$certs/$1.key" -out "$certs/$1.csr" \
        -subj "/CN=$1" 2>/dev/null
    openssl x509 -req -in "$certs/$1.csr" -CA "$certs/$2.pem" -CAkey "$certs/$2.key" -CAcreateserial -days "$4" \
        -extfile "$certs/$1.ext" -out "$certs/$1.pem" 2>/dev/null
    chmod 600 "$certs/$1.key"
}

authority ca
authority other
certificate server ca serverAuth 90
certificate soon ca serverAuth 5
certificate next ca serverAuth 60
certificate client ca clientAuth 90
certificate foreign other clientAuth 90
certificate past ca clientAuth -1

# -- What is refused at the start -----------------------------------------------------------------

start=(start --data "$work/other" --listen-client 127.0.0.1:0)
runs 2 start --cert-file "$certs/server.pem"
said "--cert-file and --key-file go together"
runs 2 start --trusted-ca-file "$certs/ca.pem"
said "--trusted-ca-file is for TLS"
runs 2 start --cert-file "$certs/server.pem" --key-file "$certs/server.key" --client-cert-auth
said "--client-cert-auth needs --trusted-ca-file"
runs 1 "${start[@]}" --cert-file "$certs/none.pem" --key-file "$certs/server.key"
said "cannot read '$certs/none.pem'"
runs 1 "${start[@]}" --cert-file "$certs/none.pem" --key-file "$certs/none.key"
said "cannot read '$certs/none.pem'"
runs 1 "${start[@]}" --cert-file "$certs/server.pem" --key-file "$certs/client.key"
said "the key is not the certificate's"
runs 1 "${start[@]}" --cert-file "$certs/server.key" --key-file "$certs/server.pem"
said "'$certs/server.pem' is to be the key, and is a certificate: are --cert-file and --key-file swapped?"
runs 1 "${start[@]}" --cert-file "$certs/server.pem" --key-file "$certs/server.key" --trusted-ca-file "$certs/server.key"
said "and '$certs/server.key': the file of trusted authorities holds none"
openssl pkey -in "$certs/server.key" -aes256 -passout pass:x -out "$certs/locked.key"
runs 1 "${start[@]}" --cert-file "$certs/server.pem" --key-file "$certs/locked.key"
said "the key has a password"
chmod 644 "$certs/server.key"
runs 1 "${start[@]}" --cert-file "$certs/server.pem" --key-file "$certs/server.key"
said "chmod 600 $certs/server.key"
chmod 600 "$certs/server.key"
[ ! -e "$work/other" ] || fail "a node that was refused has made its folder"

# -- With client certificates ---------------------------------------------------------------------

# asks WANTED ARGUMENT...: curl prints this, errors too.
asks() {
    local wanted=$1 got
    shift
    got=$(curl -sS -m 120 "$@" 2>&1) || true
    [[ $got == *"$wanted"* ]] || fail "curl $*: '$got' instead of '$wanted'"
}

# Of whoever is served now.
serial() {
    openssl s_client -connect "$address" "${openssl_client[@]}" </dev/null 2>/dev/null | openssl x509 -noout -serial
}

cp "$certs/server.pem" "$certs/used.pem"
cp "$certs/server.key" "$certs/used.key"
port=$(cd "$PANDO_SOURCE_DIR/tests/etcd" && python3 -c 'import servers; print(servers.free_port())')
start_pando start --data "$work/data" --listen-client "127.0.0.1:$port" --cert-file "$certs/used.pem" \
    --key-file "$certs/used.key" --trusted-ca-file "$certs/ca.pem" --client-cert-auth
wait_for_text "try "
url=$(sed -n 's/^  etcd *//p' "$out")
address=${url#https://}
[ "$url" = "https://127.0.0.1:$port" ] || fail "told '$url'"
trust=(--cacert "$certs/ca.pem")
client=("${trust[@]}" --cert "$certs/client.pem" --key "$certs/client.key")
openssl_client=(-CAfile "$certs/ca.pem" -cert "$certs/client.pem" -key "$certs/client.key")

asks '"revision":"2"' "${client[@]}" "$url/v3/kv/put" -d '{"key":"Zm9v","value":"YmFy"}'
asks '"value":"YmFy"' "${client[@]}" "https://localhost:$port/v3/kv/range" -d '{"key":"Zm9v"}'
asks 'This node leads.' "${client[@]}" "$url/" # curl offers what browsers do: h2 and http/1.1
asks '200 1.1' "${client[@]}" -o /dev/null -w '%{http_code} %{http_version}' "$url/version"
asks 200 "${client[@]}" -o /dev/null -w '%{http_code}' -H "Origin: $url" -H 'Content-Type: application/json' \
    "$url/v3/kv/range" -d '{"key":"Zm9v"}'
asks 200 "${client[@]}" --tls-max 1.2 -o /dev/null -w '%{http_code}' "$url/version"
asks 'alert protocol version' "${client[@]}" --tls-max 1.1 "$url/version"
asks 'certificate required' "${trust[@]}" "$url/version"
asks 'alert handshake failure' "${trust[@]}" --tls-max 1.2 "$url/version"
asks 'alert bad certificate' "${trust[@]}" --cert "$certs/foreign.pem" --key "$certs/foreign.key" "$url/version"
asks 'alert certificate expired' "${trust[@]}" --cert "$certs/past.pem" --key "$certs/past.key" "$url/version"
asks 'this port speaks TLS: use https' "http://127.0.0.1:$port/version"
asks 'pando_client_tls_denied_total 4' "${client[@]}" "$url/metrics"
asks 'pando_client_tls_plain_total 1' "${client[@]}" "$url/metrics"
timeout -k 5 240 python3 "$check" "$address" "$certs" offers >"$work/check" 2>&1 || fail "$(cat "$work/check")"

if [ "$code" -eq 0 ]; then
    etcdctl=(timeout -k 5 240 "$tools/etcdctl" --endpoints "$url" --cacert "$certs/ca.pem" --command-timeout 60s)
    known=(--cert "$certs/client.pem" --key "$certs/client.key")
    got=$("${etcdctl[@]}" "${known[@]}" put greeting hello 2>&1) && [ "$got" = OK ] || fail "etcdctl put: $got"
    got=$("${etcdctl[@]}" "${known[@]}" get greeting --print-value-only 2>&1) && [ "$got" = hello ] ||
        fail "etcdctl get: $got"
    "${etcdctl[@]}" "${known[@]}" lock tls true >"$work/lock" 2>&1 || fail "etcdctl lock: $(cat "$work/lock")"
    ! got=$("${etcdctl[@]}" --command-timeout 2s get greeting 2>&1) || fail "etcdctl without a certificate: $got"
fi

# -- A certificate is replaced --------------------------------------------------------------------

before=$(serial)
coproc lives { exec timeout -k 5 500 python3 "$check" "$address" "$certs" lives 2>&1; }
read -r -t 120 line <&"${lives[0]}" || line=
[ "$line" = "HTTP/1.1 200 OK" ] || fail "a connection that lives: '$line'"

mv "$certs/soon.pem" "$certs/used.pem"
mv "$certs/soon.key" "$certs/used.key"
wait_for_text "ends in 4 days: replace it"
after=$(serial)
[ -n "$after" ] && [ "$after" != "$before" ] || fail "the new certificate is not shown: '$before', then '$after'"
echo garbage >"$certs/used.pem"
wait_for_text "the changed certificate is not used, the one before goes on"
[ "$(serial)" = "$after" ] || fail "a bad certificate: '$(serial)' instead of '$after'"
asks 200 "${client[@]}" -o /dev/null -w '%{http_code}' "$url/version"
lives_pid=$lives_PID
echo on >&"${lives[1]}"
read -r -t 120 line <&"${lives[0]}" || line=
[ "$line" = "HTTP/1.1 200 OK" ] || fail "a connection that lived on: '$line'"
wait "$lives_pid" || fail "a connection that lived on: exit code $?"

runs 0 cluster doctor --data "$work/data"
printed "the certificate of $url ends in 4 days: replace its file"
mv "$certs/server.pem" "$certs/used.pem"
mv "$certs/server.key" "$certs/used.key"
wait_for_text "was read again; new connections get it"
runs 0 cluster doctor --data "$work/data"
printed "the certificate of $url ends in 89 days"
# Its figures, by the same files as for every other client; without them it is told which are missing.
runs 0 top --once --data "$work/data"
printed "TLS: --ca-file, --cert-file and --key-file do not fit"
runs 0 top --once -o json --data "$work/data"
printed '"answers":null'
trusts=(--ca-file "$certs/ca.pem" --cert-file "$certs/client.pem" --key-file "$certs/client.key")
figures() { "$PANDO" top --once -o json --timeout 60s --data "$work/data" "${trusts[@]}" >"$out" 2>"$err" && grep -qF '"answers":true' "$out"; }
eventually figures
shown="top with certificates"
printed '"revision":'
runs 2 top --once --data "$work/data" --cert-file "$certs/client.pem"
said "--cert-file and --key-file go together"
kill -TERM "$started"
wait_for_end 0

# -- Without client certificates, and without TLS -------------------------------------------------

start_pando "${start[@]}" --cert-file "$certs/used.pem" --key-file "$certs/used.key"
wait_for_text "try "
url=$(sed -n 's/^  etcd *//p' "$out")
asks '"revision":"2"' "${trust[@]}" "$url/v3/kv/put" -d '{"key":"Zm9v","value":"YmFy"}'
asks 'certificate' --cacert "$certs/other.pem" "$url/version"
kill -TERM "$started"
wait_for_end 0

start_pando start --data "$work/data" --listen-client 127.0.0.1:0 # it spoke TLS, on another port
wait_for_text "try "
url=$(sed -n 's/^  etcd *//p' "$out")
asks 'wrong version number' "${trust[@]}" "https${url#http}/version"
wait_for_text "speaks TLS, and this port does not"
asks "\"clientURLs\":[\"$url\"]" "$url/v3/cluster/member/list" -d '{}'
asks 'pando_client_tls_unwanted_total 1' "$url/metrics"
runs 1 kv get x --endpoints "tls:${url#http://}" --ca-file "$certs/ca.pem"
said "A port that speaks no TLS is tcp:HOST:PORT"
kill -TERM "$started"
wait_for_end 0

# -- `pando dev` ----------------------------------------------------------------------------------

# What is wrong is told once, and nothing is made.
runs 2 dev --data "$cluster" --cert-file "$certs/used.pem"
said "--cert-file and --key-file go together"
runs 1 dev --data "$cluster" --cert-file "$certs/none.pem" --key-file "$certs/used.key"
said "cannot read '$certs/none.pem'"
[ ! -e "$cluster" ] || fail "a folder was made before the certificate was read"

free_base
export PANDO_TRUSTED_CA_FILE=$certs/ca.pem # the nodes would take it, so the banner tells
start_pando dev --data "$cluster" --nodes 2 --base-port "$base" --cert-file "$certs/used.pem" --key-file "$certs/used.key"
wait_for_text "Ctrl-C ends all of it in order."
unset PANDO_TRUSTED_CA_FILE
printed "etcd API and HTTP https://127.0.0.1:$((base + 10)) (TCP)"
printed "clients speak TLS:"
printed "the certificate of $certs/used.pem, good until $(date -u -d "$(openssl x509 -noout -enddate -in "$certs/used.pem" |
    sed 's/.*=//')" +%F); read again when the files change."
printed "Clients need a certificate that an authority of $certs/ca.pem has signed"
printed "etcdctl --endpoints https://127.0.0.1:$base,https://127.0.0.1:$((base + 10)) --cacert CA.pem --cert CLIENT.pem"
cp "$out" "$work/banner"
both="https://127.0.0.1:$base,https://127.0.0.1:$((base + 10))"
asks '"revision":"2"' "${client[@]}" "https://127.0.0.1:$base/v3/kv/put" -d '{"key":"Zm9v","value":"YmFy"}'
asks '"value":"YmFy"' "${client[@]}" "https://localhost:$((base + 10))/v3/kv/range" -d '{"key":"Zm9v"}'
asks 'certificate required' "${trust[@]}" "https://127.0.0.1:$base/version"
if [ "$code" -eq 0 ]; then
    etcdctl=(timeout -k 5 240 "$tools/etcdctl" --endpoints "$both" --cacert "$certs/ca.pem" --command-timeout 60s)
    got=$("${etcdctl[@]}" "${known[@]}" get foo --print-value-only 2>&1) && [ "$got" = bar ] || fail "etcdctl get: $got"
fi
runs 0 cluster doctor --data "$cluster/node-0"
printed "the certificate of https://127.0.0.1:$base ends in 89 days"
printed "the certificate of https://127.0.0.1:$((base + 10)) ends in 89 days"

# Every node takes the new one, and that is told once.
wanted=$(openssl x509 -noout -serial -in "$certs/next.pem")
cp "$work/banner" "$out"
mv "$certs/next.pem" "$certs/used.pem"
mv "$certs/next.key" "$certs/used.key"
wait_for_text "TLS | the certificate '$certs/used.pem' was read again"
shows_next() { address=127.0.0.1:$1 && [ "$(serial)" = "$wanted" ]; }
eventually shows_next "$base"
eventually shows_next "$((base + 10))"
kill -INT "$started"
wait_for_end 0
finish
