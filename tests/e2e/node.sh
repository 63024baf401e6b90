#!/usr/bin/env bash
# A node of its own: pando start, kv, status; two nodes on one folder, foreign folders; kill -9 and SIGTERM; peers that
# send nonsense or do not read.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
data=$work/data
socket=$data/pando.sock

node_starts() {
    start_pando start --data "$data" --listen-client off --log-segment 16MiB --disk-low 0B
    wait_for_text "try "
}

runs 2 start --nonsense
said "no such option: '--nonsense'"
runs 2 start --log-segment 1MiB
said "16MiB to 1GiB"
runs 2 kv
said "which of its commands?"
runs 2 kv put only-a-key
said "VALUE is missing"
runs 2 kv get ''
said "a key is not empty"
runs 1 kv get --data "$data" greeting
said "no node listens on '$socket'"
said "pando start"
runs 1 status --data "$data"
said "no node listens"
runs 1 start --listen-client off --data "$work/no/such/folder"
said "cannot make the folder"

mkdir "$work/foreign"
echo text >"$work/foreign/thesis.txt"
runs 1 start --listen-client off --data "$work/foreign"
said "holds 'thesis.txt' and no node.json"
[ "$(ls "$work/foreign")" = thesis.txt ] || fail "a foreign folder was written to"
long=$work/$(printf 'x%.0s' $(seq 120)).sock
runs 1 start --listen-client off --data "$work/long" --socket "$long"
said "choose a shorter one with --socket"
[ ! -e "$work/long" ] || fail "a node that cannot start has made its folder"

# What is no socket is not replaced by one.
echo mine >"$work/conf.txt"
echo mine >"$work/s.new"
runs 1 start --listen-client off --data "$work/taken" --socket "$work/conf.txt"
said "'$work/conf.txt' is there and is no socket: choose another with --socket"
runs 1 start --listen-client off --data "$work/taken" --socket "$work/s"
said "'$work/s.new' is there and is no socket: choose another with --socket"
ln -s "$work/nowhere" "$work/link"
runs 1 start --listen-client off --data "$work/taken" --socket "$work/link"
said "'$work/link' is there and is no socket"
[ "$(cat "$work/conf.txt" "$work/s.new")" = "$(printf 'mine\nmine')" ] || fail "a socket has replaced a file"

# The path of every command. Of the key whose node id begins with zeros: they are digits of it, everywhere.
mkdir -m 700 "$data"
(umask 077 && printf 'pando key 1 %062d57\n' 0 >"$data/node.key")
node_starts
printed "ready: node 002f056b33ba33bb of cluster "
printed ", new"
runs 0 kv put --data "$data" greeting hello
printed "revision 2"
runs 0 kv get --data "$data" greeting
output_is hello
runs 0 kv put --socket "$socket" users/ada 1 -o json
output_is '{"revision":3}'
runs 0 kv put --socket "$socket" users/bob 2
runs 0 kv get --socket "$socket" users/ --prefix
output_is "$(printf 'users/ada\t1\nusers/bob\t2')"
runs 0 kv get --socket "$socket" users/ada -o json
output_is '{"key":"users/ada","value":"1","create_revision":3,"mod_revision":3,"version":1,"lease":0}'
runs 0 kv get --socket "$socket" --serializable --prefix ''
printed "greeting"
printf '\377\000\001' | runs 0 kv put --socket "$socket" bytes -
runs 0 kv get --socket "$socket" bytes -o json
printed '"value_hex":"ff0001"'
# One value is as it is; a table's bytes are escaped, so that a line stays one, and a terminal takes no orders.
printf 'a\tb\n\033[31m' | runs 0 kv put --socket "$socket" $'e\tsc\n\033[1m' -
runs 0 kv get --socket "$socket" $'e\tsc\n\033[1m'
output_is "$(printf 'a\tb\n\033[31m')"
runs 0 kv get --socket "$socket" --prefix e
output_is "$(printf 'e\\x09sc\\x0a\\x1b[1m\ta\\x09b\\x0a\\x1b[31m')"
runs 0 kv del --socket "$socket" $'e\tsc\n\033[1m'
runs 0 kv put --socket "$socket" bytes -- - </dev/null
runs 0 kv get --socket "$socket" bytes
output_is -
head -c 8388609 /dev/zero >"$work/too-long"
runs 1 kv put --socket "$socket" bytes - <"$work/too-long"
said "the value is longer than 8388608 bytes"
runs 1 kv put --socket "$socket" bytes - </
said "from standard input: Is a directory"
runs 1 kv put --socket "$socket" "$(printf '%9000s' k)" v
said "a key has at most 8 KiB"
runs 1 kv get --socket "$socket" nothing
said "there is no key 'nothing'"
runs 0 kv del --socket "$socket" users/ --prefix
printed "2 deleted"
runs 0 kv del --socket "$socket" -- users/
printed "0 deleted"
runs 0 status --socket "$socket"
printed "leader"
runs 0 status --socket "$socket" -o json
python3 -c 'import json,sys; s=json.load(open(sys.argv[1])); assert s["role"]=="leader" and s["keys"]==2 and s["node"]==s["leader"]=="002f056b33ba33bb" and s["voters"]==[s["node"]], s' "$out" ||
    fail "status: $(cat "$out")"
shown="pando start"

# One node for a folder, and one for a socket.
runs 1 start --listen-client off --data "$data"
said "in use by another node"
runs 1 start --listen-client off --data "$work/other" --socket "$socket"
said "somebody listens on"

# Peers that send nonsense, and one that asks for much and does not read.
timeout -k 5 300 python3 - "$socket" <<'PYTHON' || fail "a peer that behaves badly"
import socket, struct, sys

def connect():
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(sys.argv[1])
    return peer

def frame(correlation, body):
    return struct.pack("<IQ", len(body), correlation) + body

def receive(peer):
    def exactly(size):
        data = b""
        while len(data) < size:
            more = peer.recv(min(size - len(data), 1 << 20))
            if not more:
                raise EOFError(data)
            data += more
        return data
    size, correlation = struct.unpack("<IQ", exactly(12))
    return correlation, exactly(size)

INVALID = 7
BUSY = 3
peer = connect()
for body in (b"", b"x", b"\xff" * 34, b"\x01" + b"\xff" * 200):  # no requests: refused, and the peer may go on
    peer.sendall(frame(9, body))
    correlation, answer = receive(peer)
    assert correlation == 9 and answer[0] in (0, INVALID), (body, answer)
for byte in frame(10, b"nonsense"):  # in pieces
    peer.sendall(bytes([byte]))
assert receive(peer)[0] == 10
peer.sendall(struct.pack("<IQ", 0xFFFFFFFF, 11) + b"zzzz")
correlation, answer = receive(peer)
assert correlation == 11 and answer[0] == INVALID and b"more than" in answer, answer
try:
    receive(peer)
    raise SystemExit("the connection went on")
except (EOFError, ConnectionResetError):
    pass

slow = connect()
status = struct.pack("<BBQQQQ", 11, 0, 0, 0, 0, 0)
count = 60000
slow.setblocking(False)
sent = 0
want = b"".join(frame(i, status) for i in range(count))
while sent < len(want):  # until nothing more is taken from us: what we do not read is bounded
    try:
        sent += slow.send(want[sent:sent + 65536])
    except BlockingIOError:
        break
assert sent < len(want), "everything was taken from a peer that reads nothing"
other = connect()
other.sendall(frame(1, status))
assert receive(other)[1][0] == 0  # others do not notice
slow.setblocking(True)
answers = {}  # in whatever order: one is refused at once when too many wait already
for _ in range(sent // (12 + len(status))):
    correlation, answer = receive(slow)
    assert correlation not in answers and answer[0] in (0, BUSY), (correlation, answer)
    answers[correlation] = answer
assert sorted(answers) == list(range(len(answers)))
PYTHON

# kill -9, and again from the same folder.
kill -KILL "$started"
{ wait_for_end 137; } 2>/dev/null
runs 1 kv get --data "$data" greeting
said "no node listens"
node_starts
runs 0 kv get --data "$data" greeting
output_is hello
shown="pando start"

# In order.
kill -TERM "$started"
wait_for_end 0
printed "the store is made durable"
[ ! -e "$socket" ] || fail "the socket is still there after SIGTERM"
runs 0 wal verify "$data/log"
printed "sound"

# When the terminal is closed, too, unless it was said that this does not matter.
node_starts
kill -HUP "$started"
wait_for_end 0
printed "the store is made durable"
trap '' HUP
node_starts
trap - HUP
[ $((0x$(sed -n 's/^SigIgn:[[:space:]]*//p' "/proc/$started/status") & 1)) -eq 1 ] || fail "nohup pando start does not ignore SIGHUP"
kill -TERM "$started"
wait_for_end 0
finish
