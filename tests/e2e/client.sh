#!/usr/bin/env bash
# The client library as a program meets it: installed, found by pkg-config, linked shared and static, at a node's socket,
# its client port, and with TLS and client certificates; a watch there that outlives its node; and what that port refuses.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
data=$work/data
prefix=$work/prefix
shown=example

node_starts() {
    start_pando start --data "$data" --listen-client "127.0.0.1:$port" --log-segment 16MiB --disk-low 0B "$@"
    node=$started
    wait_for_text "try "
}

# --- Installed ----------------------------------------------------------------------------------------------------------
cmake --install "$PANDO_BUILD_DIR" --prefix "$prefix" --component client >"$work/install" ||
    { fail "cmake --install:"; cat "$work/install"; finish; }
mv "$prefix" "$work/elsewhere" # it may be moved
prefix=$work/elsewhere
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name pando.pc)")
export PKG_CONFIG_PATH
libraries=$(pkg-config --variable=libdir pando)
[ -f "$prefix/include/pando/client.h" ] || fail "no header"
foreign=$(nm -D --defined-only "$libraries/libpando.so" | awk '$2 != "A" {print $3}' | grep -v '^pando_' || true)
[ -z "$foreign" ] || [ -n "$PANDO_SANITIZE" ] || fail "libpando.so also shows: $foreign"
foreign=$(nm -g --defined-only "$libraries/libpando.a" | awk 'NF == 3 {print $3}' | grep -v '^pando_' || true)
[ -z "$foreign" ] || [ -n "$PANDO_SANITIZE" ] || fail "libpando.a also shows: $foreign"
# Every function of the header is there.
for name in $(grep -o 'pando_[a-z_]*(' "$prefix/include/pando/client.h" | tr -d '(' | sort -u); do
    nm -D --defined-only "$libraries/libpando.so" | grep " T $name\(@\|$\)" >/dev/null || fail "no $name in the library"
done

# The build's own compiler: a sanitizer's objects want its runtime.
compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$PANDO_BUILD_DIR/CMakeCache.txt")
flags=(-std=c99 -Wall -Wextra -Wpedantic -Werror -O1 -g)
[ -z "$PANDO_SANITIZE" ] || flags+=("-fsanitize=$PANDO_SANITIZE")
source=$prefix/share/pando/client/example.c
# shellcheck disable=SC2046 # words of options
"$compiler" "${flags[@]}" "$source" $(pkg-config --cflags --libs pando) -Wl,-rpath,"$libraries" -o "$work/shared" || fail "shared"
# shellcheck disable=SC2046
"$compiler" "${flags[@]}" "$source" $(pkg-config --cflags pando) "$libraries/libpando.a" $(pkg-config --libs gnutls) -pthread \
    -o "$work/static" || fail "static"
echo '#include <pando/client.h>
int main() { return pando_status_text(PANDO_OK) == nullptr; }' >"$work/plus.cc"
if command -v c++ >/dev/null; then
    # shellcheck disable=SC2046
    c++ -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags pando) "$work/plus.cc" || fail "C++"
fi

# --- At a node ----------------------------------------------------------------------------------------------------------
"$work/shared" "unix:$data/pando.sock" >"$out" 2>"$err" && fail "no node, and it says nothing"
said "no node listens"
said "no node can be reached"
"$work/shared" "http://here" >"$out" 2>"$err" && fail "not an endpoint, and it says nothing"
said "is no endpoint"
free_base
port=$base
node_starts
walks() { # WAY ENDPOINT...
    local way=$1
    shift
    shown="example $*"
    "$work/$way" "$@" >"$out" 2>"$err" || fail "$way $*: $(cat "$err")"
    output_is "example/a = 1
example/b = 2
lock: taken, then held, the lease is alive
2 deleted
put example/a
put example/b
put example/lock
deleted example/lock
deleted example/a
deleted example/b"
}
walks shared "unix:$work/nobody" "unix:$data/pando.sock" # the first endpoint is nobody's
walks static "tcp:127.0.0.1:$port"

# --- What the port refuses ------------------------------------------------------------------------------------------------
timeout -k 5 300 python3 - "$port" >"$out" 2>"$err" <<'END' || fail "hostile bytes: $(cat "$err")"
import os, random, socket, struct, sys

def connect():
    link = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=120)
    link.sendall(b"PANDO/1\n")
    return link

def ask(link, kind, body=b"", number=0):
    request = struct.pack("<BBQQQQ", kind, 0, 0, 0, 0, number) + body
    link.sendall(struct.pack("<IQ", len(request), 7) + request)
    head = b""
    while len(head) < 12:
        head += link.recv(12 - len(head)) or sys.exit("hung up")
    size, correlation = struct.unpack("<IQ", head)
    answer = b""
    while len(answer) < size:
        answer += link.recv(size - len(answer)) or sys.exit("hung up")
    assert correlation == 7
    return answer

def is_ended(link):
    try:
        while link.recv(65536):
            pass
    except ConnectionError:
        pass
    return True

link = connect()
for kind in (7, 8, 9, 10, 11, 13, 14, 15, 16):
    assert b"own socket" in ask(link, kind, number=1), kind
assert b"own socket" in ask(link, 1, b"\x0c\x01\x00"), "a member"
assert b"own socket" not in ask(link, 4), "leases"
huge = connect()
huge.sendall(struct.pack("<IQ", 0xffffffff, 1))
assert is_ended(huge)
random.seed(1)
for _ in range(50):
    rubbish = connect()
    try:
        rubbish.sendall(random.randbytes(random.randrange(1, 5000)))
        rubbish.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    assert is_ended(rubbish)
assert b"own socket" not in ask(link, 4), "and it still serves"
END
walks shared "tcp:[::1]:1" "tcp:127.0.0.1:$port"
kill -TERM "$node"
wait "$node" || fail "the node: exit code $?"

# --- With certificates ----------------------------------------------------------------------------------------------------
certs=$work/certs
mkdir "$certs"
for name in ca other; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$certs/$name.key" -out "$certs/$name.pem" \
        -days 30 -subj "/CN=$name" 2>/dev/null
done
certificate() { # NAME AUTHORITY PURPOSE
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=%s\n' "$3" >"$certs/$1.ext"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$certs/$1.key" -out "$certs/$1.csr" \
        -subj "/CN=$1" 2>/dev/null
    openssl x509 -req -in "$certs/$1.csr" -CA "$certs/$2.pem" -CAkey "$certs/$2.key" -CAcreateserial -days 30 \
        -extfile "$certs/$1.ext" -out "$certs/$1.pem" 2>/dev/null
    chmod 600 "$certs/$1.key"
}
certificate server ca serverAuth
certificate client ca clientAuth
certificate foreign other clientAuth
secure=(--cert-file "$certs/server.pem" --key-file "$certs/server.key" --trusted-ca-file "$certs/ca.pem" --client-cert-auth)
node_starts "${secure[@]}"
known=(--ca-file "$certs/ca.pem" --cert-file "$certs/client.pem" --key-file "$certs/client.key")
at=(--endpoints "tls:localhost:1,tls:127.0.0.1:$port")
runs 0 kv put "${at[@]}" "${known[@]}" secret 1
runs 0 kv get "${at[@]}" "${known[@]}" secret
output_is 1
head -c 3000000 /dev/urandom | base64 -w 0 >"$work/large" # many records of TLS, both ways
shown="kv put large"
"$PANDO" kv put "${at[@]}" "${known[@]}" large - <"$work/large" >"$out" 2>"$err" || fail "large: $(cat "$err")"
runs 0 kv get "${at[@]}" "${known[@]}" large
printf '\n' >>"$work/large"
cmp -s "$out" "$work/large" || fail "a large value is not the same"
runs 1 kv get --endpoints "tls:127.0.0.1:$port" --ca-file "$certs/ca.pem" secret
said "the node refuses TLS with this client"
runs 1 kv get --endpoints "tls:127.0.0.1:$port" --ca-file "$certs/ca.pem" --cert-file "$certs/foreign.pem" \
    --key-file "$certs/foreign.key" secret
said "the node refuses TLS with this client"
runs 1 kv get --endpoints "tls:127.0.0.1:$port" --ca-file "$certs/other.pem" secret
said "the node's certificate is not trusted"
runs 1 kv get --endpoints "tls:127.0.0.1:$port" --ca-file "$certs/none.pem" secret
said "cannot read '$certs/none.pem': No such file or directory"
runs 1 kv get --endpoints "tls:127.0.0.1:1" --ca-file "$certs/none.pem" secret # nobody listens: the file comes first
said "cannot read '$certs/none.pem'"
runs 2 kv get --endpoints "tls:127.0.0.1:$port" --cert-file "$certs/client.pem" secret
said "a certificate and its key go together"
runs 1 kv get --timeout 3 --endpoints "tcp:127.0.0.1:$port" secret
said "is not a node of Pando. If it speaks TLS, say tls:127.0.0.1:$port"

# wait_until TEXT: until the watch has said it.
wait_until() {
    local end=$((SECONDS + 120))
    until grep -qF -- "$1" "$work/watch.err"; do
        [ "$SECONDS" -lt "$end" ] || { fail "no '$1' within two minutes:"; cat "$work/watch.err"; finish; }
        sleep 0.05
    done
}
: >"$work/watch.err"
timeout 500 "$PANDO" watch --prefix w/ --events 6 "${at[@]}" "${known[@]}" >"$work/watched" 2>"$work/watch.err" &
watcher=$!
children+=("$watcher")
wait_until "watching from revision"
for i in 1 2 3; do runs 0 kv put "${at[@]}" "${known[@]}" "w/$i" 1; done
kill -KILL "$node"
wait "$node" 2>/dev/null || true
wait_until "Trying again"
node_starts "${secure[@]}"
for i in 4 5 6; do runs 0 kv put --data "$data" "w/$i" 1; done
wait "$watcher" || fail "watch: exit code $?"
[ "$(awk '{print $3}' "$work/watched" | tr '\n' ' ')" = "w/1 w/2 w/3 w/4 w/5 w/6 " ] || fail "watched: $(cat "$work/watched")"
kill -TERM "$node"
wait "$node" || fail "the node: exit code $?"

finish
