#!/usr/bin/env bash
# What people watch a node with: pando top, in a terminal and without one; figures of the application inside; alert rules and
# the dashboard, which name only what /metrics of a running node has; the systemd unit.
# shellcheck source=tests/e2e/lib.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
source "$PANDO_SOURCE_DIR/tests/e2e/lib_cluster.sh"
data=$work/data
contrib=$PANDO_SOURCE_DIR/contrib

free_base
start_pando start --data "$data" --listen-client "127.0.0.1:$base" --log-segment 16MiB --disk-low 0B \
    --app "$guests/counts.wasm"
wait_for_text "try "
runs 0 kv put --data "$data" greeting hello

# --- pando top --------------------------------------------------------------------------------------------------------
runs 0 top --once --data "$data"
printed "COMMITS"
printed "leader"
runs 0 top --once -o json --data "$data"
python3 - "$out" <<'PYTHON' || fail "pando top -o json"
import json, sys
top = json.load(open(sys.argv[1]))
member, = top["members"]
assert member["answers"] and member["node"] == top["leader"] and member["standing"] == "leader", member
assert member["keys"] == 1 and member["revision"] == 2 and member["memory_bytes"] > 1 << 20, member
assert member["commits_per_s"] >= 0, member
assert member["actors"] == 1 and member["actor_memory_bytes"] > 0 and member["actor_fuel_per_s"] >= 0, member
PYTHON
runs 1 top --data "$work/nowhere"
said "no node listens"
# In a terminal: drawn in place, smaller when that is smaller, and given back at every end.
python3 - "$PANDO" "$data" <<'PYTHON' || fail "pando top in a terminal"
import fcntl, os, pty, re, select, signal, struct, sys, termios

LEAVE = b"\x1b[?25h\x1b[?1049l"

def resize(fd, lines, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

def look(name, end, wanted):
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(sys.argv[1], [sys.argv[1], "top", "--data", sys.argv[2]])
    resize(fd, 24, 80)
    seen, step = b"", 0
    while True:
        assert select.select([fd], [], [], 120)[0], f"{name}: silent"
        try:
            got = os.read(fd, 65536)
        except OSError:
            break
        if not got:
            break
        seen += got
        text = re.sub(r"\x1b\[[?0-9]*[a-zA-Z]", "", seen.decode(errors="replace"))
        # The first picture has all in 80 columns, the one actor of the application, too; the next is narrow.
        if step == 0 and re.search(r"ACTORS  MiB\s+leader .* 1 +\d+\s", text):
            lines = text.splitlines()
            assert "q quits" in lines[0] and max(map(len, lines)) < 80, lines
            assert lines[4].endswith("PENDING   P50   P99   P99   ACTORS  MiB"), lines
            step, mark = 1, len(seen)
            resize(fd, 24, 20)
        elif step == 1 and b"\x1b[J" in seen[mark:]:
            last = seen[mark:]
            if b"REQS" not in last[last.rfind(b"\x1b[H"):]:
                step = 2
                end(pid, fd)
            else:
                mark = len(seen)
    status = os.waitpid(pid, 0)[1]
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    assert step == 2, (name, step, seen[-300:])
    assert code == wanted, (name, code)
    assert seen.startswith(b"\x1b[?1049h") and seen.count(LEAVE) == 1 and seen.rstrip().endswith(LEAVE), (name, seen)

look("q", lambda pid, fd: os.write(fd, b"q"), 0)
look("Ctrl-C", lambda pid, fd: os.write(fd, b"\x03"), 0)
look("SIGTERM", lambda pid, fd: os.kill(pid, signal.SIGTERM), -signal.SIGTERM)
look("SIGABRT", lambda pid, fd: os.kill(pid, signal.SIGABRT), -signal.SIGABRT)
PYTHON

# --- Alerts and the dashboard ---------------------------------------------------------------------------------------
counted() {
    curl -sf "http://127.0.0.1:$base/metrics" >"$work/metrics" || return 1
    grep -q '^pando_guest_histogram_count{name="jobs"} 1$' "$work/metrics"
}
eventually counted
has_line() { grep -qxF -- "$1" "$work/metrics" || { fail "/metrics has no $1:"; grep "^pando_[ag]" "$work/metrics"; }; }
has_line 'pando_app_is_running 1'
has_line 'pando_actors 1'
has_line 'pando_actors_ended_total{reason="killed"} 0'
has_line 'pando_guest_counter_total{name="jobs.done"} 7'
has_line 'pando_guest_gauge{name="jobs"} 2.5'
has_line 'pando_guest_histogram_bucket{name="jobs",le="1"} 1'
has_line 'pando_guest_metrics 4'
has_line 'pando_guest_metrics_hidden 1'
! grep -q spoof "$work/metrics" || fail "a guest wrote a line of its own into /metrics"
python3 - "$work/metrics" "$contrib/prometheus/pando.rules.yml" "$contrib/grafana/pando.json" <<'PYTHON' || fail "contrib"
import json, re, sys
has = {line.split("{")[0].split(" ")[0] for line in open(sys.argv[1]) if not line.startswith("#")}
has.add("pando_client_tls_certificate_end_seconds") # with TLS alone: tests/e2e/tls.sh looks at it
rules = re.findall(r"^ *expr: (.*)$", open(sys.argv[2]).read(), re.M)
panels = [target["expr"] for panel in json.load(open(sys.argv[3]))["panels"] for target in panel["targets"]]
named = 0
for expression in rules + panels:
    for name in re.findall(r"\b(?:etcd|pando|process)_[a-z0-9_]+", re.sub(r'"[^"]*"', "", expression)):
        named += 1
        assert name in has, f"{name}: no node has it"
    assert not re.search(r'"', re.sub(r'\{job="pando"\}', "", expression)), expression
assert len(rules) >= 10 and len(panels) >= 20 and named >= 30, (len(rules), len(panels), named)
PYTHON

# --- systemd ------------------------------------------------------------------------------------------------------------
if command -v systemd-analyze >/dev/null; then
    sed "s|/usr/bin/pando|$PANDO|" "$contrib/systemd/pando.service" >"$work/pando.service"
    shown="systemd-analyze verify"
    systemd-analyze verify --man=no "$work/pando.service" >"$out" 2>&1 || true
    ! grep -F pando.service "$out" | grep -v "Permission denied" || fail "$shown"
else
    skip systemd "not installed"
fi

kill -TERM "$started"
wait "$started" || fail "the node: exit code $?"

# --- What the node says, as JSON: one object a line, and nothing beside them ---------------------------------------
"$PANDO" start --data "$data" --listen-client off --log-segment 16MiB --disk-low 0B --log-format json \
    >"$work/said" 2>"$work/log" &
node=$!
children+=("$node")
eventually grep -qs '"message":"ready: node ' "$work/log"
runs 1 start --data "$data" --listen-client off --log-format json
cp "$err" "$work/second"
kill -TERM "$node"
wait "$node" || fail "the node: exit code $?"
[ ! -s "$work/said" ] || { fail "it said beside the log:"; cat "$work/said"; }
python3 - "$work/log" "$work/second" <<'PYTHON' || { fail "--log-format json:"; cat "$work/log" "$work/second"; }
import json, re, sys
first, second = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
for entry in first + second:
    assert set(entry) == {"time", "level", "message"}, entry
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"]), entry
    assert entry["level"] in ("info", "warning", "error"), entry
assert any("stopping" in entry["message"] for entry in first), first
assert second and second[-1]["level"] == "error", second
PYTHON
runs 2 start --log-format xml
said "text or json"

# --- Slow requests: where their time went, with the beginning of the key and nothing of the value ------------------
# Large writes, until one takes a millisecond.
"$PANDO" start --data "$data" --listen-client "127.0.0.1:$base" --log-segment 16MiB --disk-low 0B --log-format json \
    --slow-request 1ms >"$work/said" 2>"$work/log" &
node=$!
children+=("$node")
head -c 1000000 /dev/zero | tr '\0' s >"$work/value"
slow_put() {
    "$PANDO" kv put --data "$data" 'users/"1"' - <"$work/value" >/dev/null 2>&1
    grep -q '"what":"put".*"outcome":"ok"' "$work/log"
}
eventually slow_put
counted() {
    curl -sf "http://127.0.0.1:$base/metrics" >"$work/metrics" || return 1
    grep -q '^pando_slow_requests_total [1-9]' "$work/metrics"
}
eventually counted
kill -TERM "$node"
wait "$node" || fail "the node: exit code $?"
python3 - "$work/log" <<'PYTHON' || { fail "--slow-request:"; cut -c1-300 "$work/log"; }
import json, sys
entries = [json.loads(line) for line in open(sys.argv[1])]
put = [entry for entry in entries if entry.get("what") == "put" and entry["outcome"] == "ok"][0]
stages = sum(put[name + "_ms"] for name in ("queue", "sync", "replicate", "apply"))
assert put["message"] == "slow request" and put["level"] == "warning", put
assert put["key"] == "users/\\x221\\x22" and put["from"] == "socket", put
assert put["total_ms"] >= 1 and abs(stages - put["total_ms"]) < 0.01, put
PYTHON
! grep -q sssss "$work/log" || fail "a value stands in the log"
runs 2 start --slow-request soon
said "a time as 100ms"

# --- How much of it -----------------------------------------------------------------------------------------------
# An app that fails, here for the lack of a right, is a warning; that the node is ready, and that it stops, is only told, as seen above.
PANDO_LOG_LEVEL=warning "$PANDO" start --data "$data" --listen-client off --log-segment 16MiB --disk-low 0B \
    --log-format json --app "$examples/kv_counter.wasm" >"$work/said" 2>"$work/log" &
node=$!
children+=("$node")
eventually "$PANDO" status --data "$data" >/dev/null 2>&1
eventually grep -qs 'has ended with exit code' "$work/log"
kill -TERM "$node"
wait "$node" || fail "the node: exit code $?"
! grep -q '"level":"info"\|"level": "info"' "$work/log" || { fail "--log-level warning:"; cat "$work/log"; }
runs 2 start --log-level debug
said "info, warning or error"
finish
