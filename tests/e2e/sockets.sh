#!/usr/bin/env bash
# Guests and the network: a server whose workers are killed at random under a real client, peers that misbehave, rights,
# descriptors that run out. Everything on loopback, at free ports.
. "$(dirname "$0")/lib.sh"
server=$examples/http_server.wasm

# serve OPTION... -- ARGUMENT...: a server in the background; its port is in $port, its process in $server_pid.
serve() {
    local -a options=()
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    : >"$work/server.out"
    "$PANDO" run "${options[@]}" "$server" "$@" >"$work/server.out" 2>"$work/server.err" &
    server_pid=$!
    children+=("$server_pid")
    find_port
}

# The port that the server says it listens at, in $port.
find_port() {
    eventually listens
    [ -n "$port" ] || { fail "the server has ended: $(cat "$work/server.err")"; finish; }
}
listens() {
    port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/server.out")
    [ -n "$port" ] || ! kill -0 "$server_pid" 2>/dev/null
}

stop() {
    kill -KILL "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
}

cat >"$work/client.py" <<'PY'
"""client.py load PORT CONNECTIONS REQUESTS | trouble PORT: exit code 0 if all went well."""
import http.client, itertools, socket, struct, sys, threading, time

port = int(sys.argv[2])
failures = []
started = time.monotonic()


def fail(text):
    failures.append(text)


def hand_overs(seen):
    return sum(len(workers) - 1 for workers in seen if workers)


def talk(number, requests, seen):
    """So many requests, and more until all connections together have seen as many hand-overs as they are."""
    workers = seen[number]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.connect()
        here = connection.sock
        for i in itertools.count():
            if i >= requests and (hand_overs(seen) >= len(seen) or time.monotonic() - started > 300):
                break
            body = ("%d/%d " % (number, i)) * (1 + i % 40)
            connection.request("POST", "/echo", body)
            answer = connection.getresponse()
            got = answer.read().decode()
            if answer.status != 200 or got != body:
                fail("connection %d, request %d: %d %r" % (number, i, answer.status, got[:60]))
            if i % 5 == 0:
                connection.request("GET", "/worker")
                workers.add(int(connection.getresponse().read()))
            if connection.sock is not here:
                fail("connection %d was made anew at request %d" % (number, i))
                here = connection.sock
    except Exception as error:
        fail("connection %d: %r" % (number, error))
    finally:
        connection.close()


def load(connections, requests):
    seen = [set() for _ in range(connections)]
    threads = [threading.Thread(target=talk, args=(i, requests, seen)) for i in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moved = hand_overs(seen)
    print("%d requests or more, %d hand-overs seen, %d failures" % (connections * requests, moved, len(failures)))
    if moved < connections:
        fail("hardly any worker was replaced: %d" % moved)


def fresh():
    return socket.create_connection(("127.0.0.1", port), timeout=120)


def good_request(what):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("GET", "/")
        if connection.getresponse().read() != b"Hello from an actor\n":
            fail("a wrong answer " + what)
        connection.close()
    except Exception as error:
        fail("no answer %s: %r" % (what, error))


def trouble():
    # Slow loris: many begin a request and never end it. Others are served meanwhile, and they are told off.
    slow = [fresh() for _ in range(40)]
    for one in slow:
        one.sendall(b"GET / HTTP/1.1\r\nX: ")
    good_request("beside slow clients")
    for one in slow:
        got = one.recv(100)
        if not got.startswith(b"HTTP/1.1 408"):
            fail("a slow client got %r" % got)
        one.close()
    # Half open: the peer ends its side, and still reads.
    half = fresh()
    half.sendall(b"GET / HTTP/1.1\r\n\r\n")
    half.shutdown(socket.SHUT_WR)
    got = b""
    while True:
        piece = half.recv(1000)
        if not piece:
            break
        got += piece
    if not got.endswith(b"Hello from an actor\n"):
        fail("a half-open client got %r" % got)
    # Resets, in all stages.
    for sent in (b"", b"GET", b"GET / HTTP/1.1\r\n\r\n", b"POST /echo HTTP/1.1\r\nContent-Length: 9999\r\n\r\nx"):
        for _ in range(25):
            one = fresh()
            one.sendall(sent)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
    good_request("after resets")
    # Oversized, and no HTTP at all.
    for sent, wanted in ((b"GET / HTTP/1.1\r\nX: " + b"x" * 20000, b"HTTP/1.1 431"), (b"\x16\x03\x01\r\n\r\n", b"HTTP/1.1 400"),
                         (b"POST /echo HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n", b"HTTP/1.1 413")):
        one = fresh()
        one.sendall(sent)
        got = one.recv(12)
        if got != wanted:
            fail("%r got %r" % (sent[:30], got))
        one.close()
    good_request("at the end")


if sys.argv[1] == "load":
    load(int(sys.argv[3]), int(sys.argv[4]))
elif sys.argv[1] == "trouble":
    trouble()
else:
    good_request("when asked")
for text in failures[:10]:
    print("FAIL", text)
sys.exit(1 if failures else 0)
PY

client() { timeout -k 5 400 python3 "$work/client.py" "$@" || fail "the client, $*"; }

# --- Handing over under load -----------------------------------------------------------------------

serve --net local -- 0 5
client load "$port" 16 "$(effort 400 100)"
stop

# --- Peers that misbehave --------------------------------------------------------------------------

serve --net local -- 0
client trouble "$port"
# The server notices those who have just gone when it comes to them.
few_descriptors() {
    descriptors=$(find "/proc/$server_pid/fd" -type l | wc -l)
    [ "$descriptors" -le 64 ]
}
eventually few_descriptors
stop

# --- Descriptors that run out ----------------------------------------------------------------------

# Half of 128 is for guests: the rest of 100 clients wait or are turned away, and the server goes on.
: >"$work/server.out"
(ulimit -n 128 && exec "$PANDO" run --net local "$server" 0) >"$work/server.out" 2>"$work/server.err" &
server_pid=$!
children+=("$server_pid")
find_port
mkfifo "$work/hold"
python3 -c 'import socket, sys
clients = [socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=120) for _ in range(100)]
sys.stdin.read()' "$port" <"$work/hold" &
crowd=$!
children+=("$crowd")
exec {hold}>"$work/hold"
ran_out() { grep -q "os error 24" "$work/server.err"; }
eventually ran_out
exec {hold}>&-
wait "$crowd" || fail "not all of the crowd could connect"
grep -q "accept: accepting a connection: Too many open files (os error 24)" "$work/server.err" ||
    fail "the guest was not told that descriptors ran out: $(head -n 3 "$work/server.err")"
client good "$port"
stop

# --- Rights ----------------------------------------------------------------------------------------

runs 1 run "$server" 0
said "permission denied: this actor may not listen at 127.0.0.1:0: its right 'network' is none; --net"
runs 1 run --net 10.0.0.0/8,127.0.0.1:1 "$server" 0
said "a list without it"
runs 1 run --deny network "$server" 0
said "permission denied"
runs 2 run --net 10.0.0.1/8 "$server" 0
said "takes none, local, all, or a list"
runs 1 run --seed 1 --net all "$server" 0
said "a deterministic run (--seed) has no network"

finish
