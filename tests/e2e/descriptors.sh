#!/usr/bin/env bash
# Few file descriptors: floods of clients, and of files that a guest opens, take their parts of them and no more. The node
# lives, says how many it refused, and takes every write; with too few to begin with it does not start, in words.
# shellcheck source=tests/e2e/lib.sh
set -euo pipefail
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
limit=256
data=$work/data
mkdir "$work/files"
pando=$PANDO
ulimit -Sn "$(ulimit -Hn)" # of those who flood

# A hard limit holds for what is begun under it, so the node gets it from a program between.
printf '#!/usr/bin/env bash\nulimit -n "$DESCRIPTORS"\nexec %q "$@"\n' "$pando" >"$work/few"
chmod +x "$work/few"
few() { PANDO=$work/few DESCRIPTORS=$1 "${@:2}"; }

few 100 runs 1 start --data "$data" --listen-client off
said "a node needs 192 file descriptors, and may open only 100"
[ ! -e "$data" ] || fail "a node that does not start has made its folder"

few "$limit" start_pando start --data "$data" --listen-client 127.0.0.1:0 --log-segment 16MiB --store-lag 100 \
    --dir "$work/files::/" --app "$guests/holds_files.wasm"
wait_for_text "try "
url=$(sed -n 's/^  etcd *//p' "$out")
wait_for_text "no more files"

# Who asks may open more files than the node, whose limit it is that counts.
runs_doctor() { "$pando" cluster doctor --data "$data" >"$out" 2>"$err" || true; } # the disk and the clock are the machine's
cp "$out" "$work/begun"
runs_doctor
shown="cluster doctor"
printed "careful  files        the node may open $limit: "
cp "$work/begun" "$out"

# More connections to either port than there are descriptors, held while 24 MB are written over one that was there
# before: that is a new file of the log, and several of the store.
cat >"$work/flood.py" <<'PYTHON'
import base64, http.client, json, os, socket, sys

url, path, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
host, port = url.split("//")[1].split(":")
held = []
client = http.client.HTTPConnection(host, int(port), timeout=240)


def ask(what, body):
    client.request("POST", "/v3/kv/" + what, json.dumps(body))
    answer = client.getresponse()
    return answer.status, json.loads(answer.read())


def key(i):
    return base64.b64encode(b"key-%d" % i).decode()


value = base64.b64encode(b"v" * 600000).decode()
status, answer = ask("put", {"key": key(0), "value": value})
assert status == 200, answer
for i in range(600):
    held.append(socket.create_connection((host, int(port)), timeout=60))
for i in range(200):
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(None)  # else a full queue is an error
    one.connect(path)
    held.append(one)
last = held[599]
assert last.recv(1) == b"", "the last connection is served"  # closed at once
for i in range(1, 40):
    status, answer = ask("put", {"key": key(i), "value": value})
    assert status == 200, (i, answer)
print("open", len(os.listdir("/proc/%d/fd" % pid)))
PYTHON
python3 "$work/flood.py" "$url" "$data/pando.sock" "$started" >"$work/flood" 2>&1 || fail "the flood: $(cat "$work/flood")"
open=$(sed -n 's/^open //p' "$work/flood")
[ "${open:-$limit}" -lt $((limit * 3 / 4)) ] || fail "$open of $limit descriptors are open"

# All is there, also after the end.
refused=$(curl -fsS -m 120 "$url/metrics" | sed -n 's/^pando_client_connections_refused_total //p')
[ "${refused:-0}" -ge 500 ] || fail "refused connections: '$refused'"
kill -TERM "$started"
wait_for_end 0
few "$limit" start_pando start --data "$data" --listen-client off
wait_for_text "try "
runs 0 kv get --data "$data" --prefix key-
count=$(grep -c "^key-" "$out" || true)
[ "$count" -eq 40 ] || fail "$count of 40 acknowledged writes are there"
kill -TERM "$started"
wait_for_end 0

finish
