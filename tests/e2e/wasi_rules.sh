#!/usr/bin/env bash
# WASI as programs for other runtimes know it: preview 1's calls one by one, a grant of "/" that opens no process,
# a listener that the command line gives, and the adapter for the public test suite's runner.
source "$(dirname "$0")/lib.sh"

# Every call, with the errnos that others give; the same in a run of a seed.
for seed in "" "--seed=1"; do
    mkdir "$work/rules"
    runs 0 run ${seed:+"$seed"} --dir "$work/rules::/" "$guests/wasi_rules.wasm"
    [ "$(tail -n 1 "$out")" = "OK all" ] || { fail "$shown: did not come to its end:"; tail -n 3 "$out"; }
    [ -z "$(ls -A "$work/rules")" ] || fail "$shown: left something behind"
    rm -rf "$work/rules"
done

# The whole file system is granted, and still no process is: neither this one's memory nor its variables.
export PANDO_TEST_SECRET=hidden
for path in /proc/self/mem /p/self/environ /proc/self/root/etc/passwd "/proc/$$/environ" /usr/../proc/self/mem; do
    runs 9 run --dir /::/ --dir /proc::/p "$guests/verbs.wasm" once:"$path"
done
# What is a file is one.
echo text >"$work/text"
runs 0 run --dir /::/ "$guests/verbs.wasm" once:"$work/text" say:read
output_is read

# A listener lies behind the directories; the guest serves two clients and ends when the second says so.
mkdir "$work/dir"
start_pando run --dir "$work/dir::/" --listen 127.0.0.1:0 "$guests/wasi_server.wasm" 4
wait_for_text "listening at"
port=$(sed -n 's/.*listening at 127.0.0.1:\([0-9]*\)$/\1/p' "$out")
timeout -k 5 400 python3 - "$port" <<'PY' || fail "$shown: a client was not served"
import socket, sys

def ask(connection, *pieces):
    for piece in pieces:
        connection.sendall(piece)
    text = b"".join(pieces)
    answer = b""
    while len(answer) < len(text):
        piece = connection.recv(4096)
        assert piece, (text[:20], answer[:20])
        answer += piece
    assert answer == text.upper(), (text[:20], answer[:20])

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as one:
    ask(one, b"first")
    ask(one, b"of two " * 2000)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ask(one, b"whole")
    ask(one, *[b"in small pieces "] * 16)
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as two:
    ask(two, b"quit")
    assert two.recv(1) == b""
PY
wait_for_end 0
printed "served"
runs 2 run --seed 1 --listen 127.0.0.1:0 "$guests/wasi_server.wasm"
said "--listen"
runs 1 run --listen nonsense "$guests/wasi_server.wasm"
said "HOST:PORT is wanted"
# Without one there is nothing to accept.
runs 1 run "$guests/wasi_server.wasm"

# The adapter's words, for the runner of today, which names one root, and those of before: pairs, and the first of all.
mkdir "$work/suite"
timeout -k 5 400 python3 - "$PANDO_SOURCE_DIR/contrib/wasi-testsuite" "$work/suite" "$guests" <<'PY' >"$out" 2>"$err" ||
import os, subprocess, sys
folder, scratch, guests = sys.argv[1:]
sys.path.insert(0, folder)
import pando

assert pando.get_name() == "pando" and pando.get_version()[0].isdigit()
assert pando.get_wasi_versions() == ["wasm32-wasip1"]
of_root, of_pairs = [
    pando.compute_argv(guests + "/wasi_rules.wasm", (["word"], {"NAME": "value"}, dirs), [], "world", "version")
    for dirs in (scratch, [(scratch, "/")])]
assert of_root == of_pairs
by_name = {"args": ["word"], "env": {"NAME": "value"}, "dirs": [(scratch, "/")]}
assert of_root == pando.compute_argv(test_path=guests + "/wasi_rules.wasm", **by_name)
assert of_root == pando.compute_argv(guests + "/wasi_rules.wasm", *by_name.values(), "version")
ended = subprocess.run(of_root, capture_output=True, text=True)
assert ended.returncode == 0 and ended.stdout.endswith("OK all\n"), ended
words = ["one", "two words", "--dir", "/"]
argv = pando.compute_argv(guests + "/wasi_system.wasm", (words, {"PANDO_TEST": "yes"}, None), [], "world", "version")
assert argv[-4:] == words and "--env" in argv

def script(*words):
    ended = subprocess.run([sys.executable, folder + "/pando_script.py", *words], cwd=os.path.dirname(scratch),
                           capture_output=True, text=True)
    return ended.returncode, ended.stdout

with open(scratch + "/file", "w") as file:
    file.write("text")
assert script("--version") == (0, f"pando {pando.get_version()}\n")
name = os.path.basename(scratch)
test = ["--test-file", guests + "/verbs.wasm", "--arg", f"once:{name}/file", "--arg", "say:read"]
assert script(*test, "--env", "A=b=c", "--dir", name) == (0, "read\n")
assert script(*test)[0] == 9
PY
    { fail "the adapter:"; cat "$out" "$err"; }

finish
