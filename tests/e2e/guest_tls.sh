#!/usr/bin/env bash
# Guests that speak TLS with programs that are not ours: a client with OpenSSL's server, a listener with curl, and peers
# of both kinds that misbehave. Everything on loopback, at free ports.
. "$(dirname "$0")/lib.sh"
guest=$guests/tls_peer.wasm

# --- Certificates ----------------------------------------------------------------------------------

# certificate NAME HOST: $work/NAME.pem and its key, signed by itself.
certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=$2" \
        -addext "subjectAltName=DNS:$2" -keyout "$work/$1.key" -out "$work/$1.pem" 2>"$work/openssl.err" ||
        { cat "$work/openssl.err"; exit 1; }
}
certificate ours localhost
certificate other localhost
certificate elsewhere elsewhere.example
cat >"$work/ca.conf" <<CONF
[ca]
default_ca = here
[here]
database = $work/ca.index
new_certs_dir = $work
default_md = sha256
policy = any
rand_serial = yes
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = DNS:localhost
CONF
: >"$work/ca.index"
openssl req -new -key "$work/ours.key" -subj /CN=localhost -out "$work/late.csr" 2>"$work/openssl.err"
openssl ca -batch -selfsign -config "$work/ca.conf" -keyfile "$work/ours.key" -in "$work/late.csr" -notext \
    -startdate 20200101000000Z -enddate 20200102000000Z -out "$work/late.pem" 2>"$work/openssl.err" ||
    { cat "$work/openssl.err"; exit 1; }
cp "$work/ours.key" "$work/late.key"

# --- A client among servers ------------------------------------------------------------------------

cat >"$work/servers.py" <<'PY'
"""servers.py KIND CERTIFICATE KEY PORT_FILE: one kind of server on loopback, for one client after the other."""
import os, socket, ssl, struct, sys

kind, certificate, key, port_file = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", 0))
with open(port_file + ".new", "w") as file:
    file.write(str(listener.getsockname()[1]))
os.rename(port_file + ".new", port_file)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
silent = []
while True:
    peer, _ = listener.accept()
    try:
        if kind == "plain":
            peer.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")
        elif kind == "silent":
            silent.append(peer)
            continue
        elif kind == "oversized":
            peer.recv(5)
            peer.sendall(b"\x16\x03\x03\xff\xff" + b"x" * 70000)
        elif kind == "reset-early":
            peer.recv(5)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            secure = context.wrap_socket(peer, server_side=True, suppress_ragged_eofs=False)
            secure.recv(1000)
            secure.sendall(b"x" * 1000)
            if kind == "garbage":
                os.write(secure.fileno(), b"\x17\x03\x03\xff\xff" + b"y" * 70000)
                secure.recv(1000)
            elif kind == "reset":
                secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            secure.close()  # without TLS's own end
            continue
    except OSError:
        pass
    peer.close()
PY

# server KIND CERTIFICATE: in the background; its port is in $port.
server() {
    rm -f "$work/port"
    python3 "$work/servers.py" "$1" "$work/$2.pem" "$work/$2.key" "$work/port" 2>"$work/servers.err" &
    children+=("$!")
    wait_for_file "$work/port" "$!"
    port=$(<"$work/port")
}

# wait_for_file FILE PID [PATTERN]: until it is there (and has a line like that), or that process is gone.
wait_for_file() {
    local i
    for ((i = 0; i < 2400; i++)); do
        if [ -e "$1" ] && grep -q -- "${3-}" "$1"; then return; fi
        kill -0 "$2" || break
        sleep 0.05
    done
    fail "nothing in $1: $(head -n 3 "$work"/*.err)"
    finish
}

# get CODE ROOT HOST PORT PATH [TIMEOUT_MS]
get() {
    SSL_CERT_FILE=$work/$2.pem runs "$1" run --net local "$guest" get "$3" "$4" "$5" "${6-60000}"
}

sum_of() { python3 -c 'import sys; print(sum((i + 1) * b for i, b in enumerate(open(sys.argv[1], "rb").read())) & 0xffffffff)' "$1"; }

# openssl_server CERTIFICATE OPTION...: serves files of $work/files.
openssl_server() {
    local name=$1
    shift
    rm -f "$work/s_server.out" # of the one before
    (cd "$work/files" && exec openssl s_server -accept 127.0.0.1:0 -cert "$work/$name.pem" -key "$work/$name.key" \
        -WWW "$@") >"$work/s_server.out" 2>"$work/s_server.err" </dev/null &
    children+=("$!")
    wait_for_file "$work/s_server.out" "$!" "^ACCEPT 127\\.0\\.0\\.1:[0-9]"
    port=$(sed -n 's/^ACCEPT 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/s_server.out" | sed -n 1p)
}

mkdir "$work/files"
head -c 3000000 /dev/urandom >"$work/files/big"
printf 'HTTP/1.0 200 ok\r\nContent-type: text/plain\r\n\r\n' | cat - "$work/files/big" >"$work/answer"
wanted="$(stat -c %s "$work/answer") bytes, sum $(sum_of "$work/answer")"
for version in -tls1_2 -tls1_3; do
    openssl_server ours "$version"
    get 0 ours localhost "$port" /big
    printed "$wanted"
done
get 1 other localhost "$port" /big # not signed by whom it trusts
printed "connect: localhost: Error in the certificate verification."
get 1 ours 127.0.0.1 "$port" /big # whose address is not in it
printed "connect: 127.0.0.1: Error in the certificate verification."
openssl_server elsewhere
get 1 elsewhere localhost "$port" /big # of another name
printed "connect: localhost: Error in the certificate verification."
openssl_server late
get 1 late localhost "$port" /big # expired
printed "connect: localhost: Error in the certificate verification."

server plain ours
get 1 ours localhost "$port" /
printed "connect: localhost: "
server oversized ours
get 1 ours localhost "$port" /
printed "connect: localhost: "
server reset-early ours
get 1 ours localhost "$port" /
printed "connect: localhost: "
server silent ours
get 1 ours localhost "$port" / 300
printed "connect: timed out"
server cut ours # an end that TLS did not announce is no end
get 1 ours localhost "$port" /
printed "after 1000 bytes, read: reading: The TLS connection was non-properly terminated."
server reset ours
get 1 ours localhost "$port" /
printed "read: "
server garbage ours
get 1 ours localhost "$port" /
printed "after 1000 bytes, read: "

# --- A listener among clients ----------------------------------------------------------------------

: >"$work/listener.out"
"$PANDO" run --net local "$guest" serve "$(<"$work/ours.pem")" "$(<"$work/ours.key")" \
    >"$work/listener.out" 2>"$work/listener.err" &
listener_pid=$!
children+=("$listener_pid")
wait_for_file "$work/listener.out" "$listener_pid" "listening on"
port=$(sed -n 's/^listening on 127\.0\.0\.1://p' "$work/listener.out")

# fetch SIZE OPTION...: with curl, and looked at.
python3 - "$work/body" <<'PY'
import sys
open(sys.argv[1], "wb").write(bytes(range(256)) * 8000)
PY
fetch() {
    local size=$1
    shift
    curl -sS --max-time 60 --noproxy '*' --cacert "$work/ours.pem" "$@" -o "$work/got" "https://localhost:$port/$size" ||
        fail "curl $* gets no $size bytes"
    head -c "$size" "$work/body" | cmp -s - "$work/got" || fail "curl $* got others than the $size bytes"
}
fetch 1 --tls-max 1.2
fetch 2000000 --tls-max 1.2
fetch 2000000 --tlsv1.3
if curl -sS --max-time 60 --noproxy '*' --cacert "$work/other.pem" "https://localhost:$port/1" -o "$work/got" 2>"$err"; then
    fail "curl trusts whom it should not"
fi

cat >"$work/clients.py" <<'PY'
"""clients.py PORT CERTIFICATE: clients that misbehave, and between them one that does not."""
import socket, ssl, struct, sys

port = int(sys.argv[1])
context = ssl.create_default_context(cafile=sys.argv[2])


def fresh():
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def secure():
    return context.wrap_socket(fresh(), server_hostname="localhost", suppress_ragged_eofs=False)


def ask(what, size=5000):
    with secure() as client:
        client.sendall(b"GET /%d HTTP/1.1\r\n\r\n" % size)
        got = b""
        while True:
            piece = client.recv(65536)
            if not piece:
                break
            got += piece
    if not got.endswith(bytes(i & 255 for i in range(size))):
        sys.exit("a wrong answer %s: %d bytes" % (what, len(got)))


# Slow loris: some never greet, some stop in the middle of it, some of a request.
slow = [fresh() for _ in range(30)]
for one in slow[10:]:
    one.sendall(b"\x16\x03\x01")
half = [secure() for _ in range(10)]
for one in half:
    one.sendall(b"GET /1")
ask("beside slow clients")
# Resets in all stages.
for sent in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
    for _ in range(20):
        one = fresh()
        one.sendall(sent)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()
for _ in range(10):
    one = secure()
    one.sendall(b"GET /2000000 HTTP/1.1\r\n\r\n")
    one.recv(100)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()
ask("after resets")
# Records beyond any size, and what is no TLS: the connection ends, whatever it is told before.
for sent in (b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"GET / HTTP/1.1\r\n\r\n", b"\x17\x03\x03\x00\x10" + b"x" * 16):
    one = fresh()
    try:
        one.sendall(sent)
        while one.recv(1000):
            pass
    except ConnectionError:
        pass
    one.close()
one = secure()
raw = socket.socket(fileno=socket.dup(one.fileno()))
try:
    raw.sendall(b"\x17\x03\x03\xff\xff" + b"x" * 70000)
    while one.recv(1000):
        sys.exit("garbage was answered")
except (ssl.SSLError, ConnectionError):
    pass
raw.close()
one.close()
# Half open: it says that it will say no more, and still reads.
one = secure()
one.sendall(b"GET /1000 HTTP/1.1\r\n\r\n")
one.settimeout(60)
raw = socket.socket(fileno=socket.dup(one.fileno()))
raw.shutdown(socket.SHUT_WR)
got = b""
try:
    while True:
        piece = one.recv(65536)
        if not piece:
            break
        got += piece
except (ssl.SSLError, ConnectionError):
    pass
raw.close()
one.close()
ask("at the end", 300000)
for one in slow + half:
    one.close()
PY
timeout -k 5 400 python3 "$work/clients.py" "$port" "$work/ours.pem" || fail "the clients"
fetch 2000000
# Those who were slow or half open have just gone; the listener notices when it comes to them.
end=$((SECONDS + 120))
while descriptors=$(find "/proc/$listener_pid/fd" -type l | wc -l) && [ "$descriptors" -gt 64 ] && [ "$SECONDS" -lt "$end" ]; do
    sleep 0.1
done
[ "$descriptors" -le 64 ] || fail "$descriptors descriptors are left after all clients have gone"
kill -0 "$listener_pid" || fail "the listener is gone"

finish
