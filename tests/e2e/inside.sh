#!/usr/bin/env bash
# Looking into a running program: ps, info, kill and trace, who may, and what crashes leave on standard error.
# Every wait is for a line that the program writes or for an answer: none is for time.
. "$(dirname "$0")/lib.sh"

export XDG_RUNTIME_DIR=$work/runtime
mkdir -m 700 "$XDG_RUNTIME_DIR"
sockets=$XDG_RUNTIME_DIR/pando

# begin NAME ARGUMENT...: a program in the background that obeys lines; waits until it is ready.
begin() {
    local name=$1
    shift
    mkfifo "$work/$name.in" "$work/$name.out"
    "$PANDO" run "$@" "$guests/inside.wasm" <"$work/$name.in" >"$work/$name.out" \
        2>"$work/$name.err" &
    program=$!
    children+=("$program")
    exec {orders}>"$work/$name.in" {replies}<"$work/$name.out"
    await ready
}

# await TEXT: the next line of the program's output is this.
await() {
    local line=
    IFS= read -r -t 400 -u "$replies" line || true
    [ "$line" = "$1" ] || fail "the program wrote '$line' instead of '$1'"
}

order() {
    printf '%s\n' "$1" >&"$orders"
    await "done $1"
}

# has_answer TEXT ARGUMENT...: whether the answer has the text. Each attempt is a conversation of its own, and one that is
# turned away, because others are not gone yet, is none.
has_answer() {
    local text=$1
    shift
    shown="pando $*"
    timeout -k 5 240 "$PANDO" "$@" >"$out" 2>"$err" && grep -qF -- "$text" "$out"
}

# kills PROCESS TEXT: this is told of its end. On a machine with much to do it may be that it will end, and then it does.
is_gone() { ! "$PANDO" info "$1" >"$out" 2>"$err" && grep -q "there is no such process" "$err"; }
kills() {
    local code=0
    shown="pando kill $1"
    timeout -k 5 240 "$PANDO" kill "$1" >"$out" 2>"$err" || code=$?
    if [ "$code" -eq 0 ]; then
        printed "$2"
    else
        said "has not ended within"
        eventually is_gone "$1"
    fi
}

report_has() {
    grep -qE -- "$1" "$report" || { fail "the report has no '$1':"; head -n 60 "$report"; }
}

# --- Nobody runs ---------------------------------------------------------------------------------------------
runs 1 ps
said "no program of yours is running"

# --- One runs ------------------------------------------------------------------------------------------------
begin one
one=$program one_orders=$orders one_replies=$replies
report=$work/one.err
[ "$(stat -c %a "$sockets")" = 700 ] || fail "the folder of sockets has mode $(stat -c %a "$sockets")"
[ "$(stat -c %a "$sockets/$one.sock")" = 600 ] || fail "the socket has mode $(stat -c %a "$sockets/$one.sock")"

runs 0 ps
for name in main tree worker echo pinger sleeper stuck spinner; do
    printed "$name"
done
printed "inside.wasm ["
eventually has_answer "blocked on send" ps
eventually has_answer "in host call fd_read" ps
printed "in host call sleep_ms"
runs 0 ps --tree
printed "├── tree"
printed "│   └── worker"
runs 0 ps -o json
python3 - "$out" <<'CHECK' || fail "ps -o json is not what was expected"
import json, sys
rows = {row.get("name", row.get("path")): row for row in json.load(open(sys.argv[1]))}
assert rows["main"]["pid"] == 1 and rows["main"]["parent"] == 0, rows["main"]
assert rows["tree"]["kind"] == "supervisor" and rows["tree"]["parent"] == 1, rows["tree"]
assert rows["child"]["parent"] == rows["tree"]["pid"] and rows["child"]["id"] == "worker"
assert rows["echo"]["monitors"] == 1 and rows["tree"]["links"] == 1 and rows["tree"]["monitors"] == 1
assert rows["sleeper"]["messages"] == 65536 and rows["sleeper"]["senders_waiting"] == 1, rows["sleeper"]
assert rows["stuck"]["state"] == "blocked on send", rows["stuck"]
assert all(row["memory"] == 65536 and row["fuel"] > 0 for row in rows.values() if "module" in row)
CHECK

# --- One process ------------------------------------------------------------------------------------------------
runs 0 info echo
printed "path          main/echo"
printed "names         echo"
printed "groups        workers"
printed "monitors      1"
printed "rights        spawn, compile, configure, stdio"
runs 0 info tree
printed "kind          supervisor"
printed "monitors      3"
runs 0 info tree/worker
printed "names         child"
printed "monitored by  2"
runs 0 info spinner
printed "rights        spawn"
runs 0 info main
printed "call          wasi_snapshot_preview1::fd_read"
printed "children      2,"
runs 0 info -o json 1
python3 -c 'import json,sys; info=json.load(open(sys.argv[1])); assert info["answered"] and info["linked"]==[2]' \
    "$out" || fail "info -o json 1: $(cat "$out")"

# --- Traces --------------------------------------------------------------------------------------------------------
runs 0 trace pinger --count 50 --seconds 120
[ "$(wc -l <"$out")" -eq 50 ] || fail "trace --count 50 printed $(wc -l <"$out") lines"
printed "tag 42, 8 bytes"
printed "lunatic::process::sleep_ms"
said "the number of events is reached: 50 events"
runs 0 trace spinner --seconds 1 --count 5
said "the time is over: 0 events"
runs 0 trace -o json --count 3 --seconds 120 pinger
python3 -c 'import json,sys; lines=[json.loads(line) for line in open(sys.argv[1])]
assert "tracing" in lines[0] and lines[-1]["end"]["count"]==3 and len(lines)==5' "$out" ||
    fail "trace -o json: $(cat "$out")"
# A tree's trace shows the restart; the child's shows its end.
timeout 240 "$PANDO" trace tree --count 2 --seconds 120 >"$work/tree.trace" 2>"$work/tree.begin" &
tracer=$!
children+=("$tracer")
until grep -qs tracing "$work/tree.begin"; do kill -0 "$tracer" || break; done
order crash
wait "$tracer" || fail "trace tree: exit code $?"
grep -q "notice .*3 .*(failure)" "$work/tree.trace" || { fail "no notice in:"; cat "$work/tree.trace"; }
grep -q "restarted .*3 for the 1. time" "$work/tree.trace" || { fail "no restart in:"; cat "$work/tree.trace"; }
runs 0 info worker
printed "restarts      1"

# --- Crash reports ---------------------------------------------------------------------------------------------------
report_has '^pando: process 3 "child" crashed: failure: wasm trap: .*unreachable'
report_has '^  path       tree/worker$'
report_has '^  module     [0-9a-f]{12} .*/inside\.wasm$'
report_has '^  function   child$'
report_has '^  fuel       [1-9][0-9]*$'
report_has '^  memory     65536 bytes$'
report_has '^  mailbox    [0-9]+ messages'
report_has '^    \| child: the cupboard is bare$'
report_has '^    0: child$'
report_has 'inside\.c:[0-9]+'
report_has '^  restart    1 of 3$'
order orphan
report_has '^    \| fail: about to divide by nothing$'

# --- The end of one ---------------------------------------------------------------------------------------------------
kills echo "killed process 4 (echo)"
runs 1 info echo
said "there is no such process"
report_has '^pando: process 4 "echo" \(main/echo\) was killed: killed by the operator$'
"$PANDO" kill tree/worker >"$out" 2>"$err" || said "has not ended within"
eventually has_answer "restarts      2" info worker
report_has '^pando: process [0-9]+ "child" \(tree/worker\) was killed: killed by the operator \(restart 2 of 3\)$'
runs 1 kill nobody
runs 2 kill
runs 2 info
runs 2 trace --count 0 1
runs 2 trace --seconds 4000 1
runs 2 ps -o yaml
runs 2 ps 7
runs 1 info --program x 1
said "no program of yours runs inside of a node 'x'"
runs 1 info --program 1073741824 1
said "no program of yours runs as process 1073741824, or inside of a node of that name"

# --- Clients that mean no good: the program goes on -----------------------------------------------------------------------
python3 - "$sockets/$one.sock" <<'CHECK' || fail "a hostile client was not turned away"
import json, socket, sys
def connect():
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(120); return s
def ask(data):
    s = connect(); s.sendall(data); s.shutdown(socket.SHUT_WR)
    answer = b""
    while True:
        part = s.recv(65536)
        if not part: break
        answer += part
    return [json.loads(line) for line in answer.splitlines()]
assert "error" in ask(b"\x00\xff garbage\n")[0]
assert "error" in ask(b'{"op":"list","op":"kill"}\n')[0]
assert "error" in ask(b'{"op":"kill"}\n')[0]
assert "error" in ask(b'{"op":"info","process":"' + b"9" * 200 + b'"}\n')[0]
assert ask(b'{"op":"program"}\n{"op":"program"}\n')[1]["program"]["main"] == 1
try:
    assert "too long" in ask(b"[" * 100000)[0]["error"]
except (BrokenPipeError, ConnectionResetError):
    pass
held = [connect() for _ in range(30)]          # more than are served
for s in held: s.close()
s = connect(); s.sendall(b'{"op":"list"}\n' * 200); s.close()  # never reads
s = connect(); s.sendall(b'{"op":"trace","process":"pinger","seconds":3600}\n'); s.recv(1); s.close()
CHECK
eventually has_answer "lunatic::process::sleep_ms" trace pinger --count 20

# --- Two run ----------------------------------------------------------------------------------------------------------------
begin two --crash-reports brief --threads 1
two=$program
runs 1 ps
said "2 programs of yours are running"
said "--program $one"
said "--program $two"
runs 0 ps --program "$two"
printed "spinner"
# One that was stopped is passed over when it is asked where it runs.
# The other has two seconds to answer, which a loaded machine may not give it.
tells_both() {
    ! "$PANDO" ps >"$out" 2>"$err" && grep -qF "the program $one does not answer" "$err" && grep -qF -- "--program $two" "$err"
}
kill -STOP "$one"
eventually tells_both
runs 1 ps --program x
said "the program $one does not answer"
said "no program of yours runs inside of a node 'x'"
kill -CONT "$one"
order crash
report=$work/two.err
report_has '^pando: process 3 "child" \(tree/worker\) crashed: failure: .* \(restart 1 of 3\)$'
# What is too much is counted: told and left out are a thousand. So many a second are told as PD_CRASH_RATE says, 20, however
# long a thousand crashes take here.
began=$SECONDS
order storm
printf 'quit\n' >&"$orders"
wait "$two" || fail "the second program ended with $?"
told=$(grep -c 'crashed: failure' "$report")
left_out=$(awk '/more crash reports were left out/ { sum += $2 } END { print sum + 0 }' "$report")
[ "$((told + left_out))" -eq 1001 ] || fail "$told told and $left_out left out are not 1001"
most=$((100 + 20 * (SECONDS - began + 2)))
[ "$told" -le "$most" ] || fail "$told reports of a storm were told, and $most at most may be"
[ ! -e "$sockets/$two.sock" ] || fail "the second program left its socket behind"

# --- A tree that gives up: each crash once, and the chain of reasons once ---------------------------------------
cat >"$work/app.yaml" <<APP
name: shop
supervisor: {strategy: one_for_one, max_restarts: 1, period: 60s}
children:
  - {id: bad, module: $guests/inside.wasm, function: fail}
APP
runs 1 run "$work/app.yaml"
said "  path       shop/bad"
said "  restart    1 of 1"
said "  restart    none: its supervisor gives up"
said "pando: process 1: supervisor shop gave up: more than 1 restarts in 60 s"
said_not "main ended"
[ "$(grep -c "crashed: failure" "$err")" -eq 2 ] || fail "two crashes are not two reports"
runs 1 run --crash-reports none "$work/app.yaml"
said "pando: main ended: failure: supervisor shop gave up"
said_not "crashed"
runs 2 run --crash-reports some "$work/app.yaml"

# --- One that dies without a word leaves a socket: it is found and removed ------------------------------------------------------
begin three --crash-reports none
kill -KILL "$program"
wait "$program" 2>/dev/null || true
[ -e "$sockets/$program.sock" ] || fail "a killed program cannot have removed its socket"
runs 0 ps
[ ! -e "$sockets/$program.sock" ] || fail "the dead program's socket is still there"

# --- A place that others can enter is not trusted ------------------------------------------------------------------------------------
chmod 755 "$sockets"
runs 1 ps
said "chmod 700"
chmod 700 "$sockets"

# --- The end: main is killed, its links and nothing else remain ------------------------------------------------------------------------
runs 0 kill main
code=0
wait "$one" || code=$?
[ "$code" -eq 1 ] || fail "the killed program ended with $code"
report=$work/one.err
report_has '^pando: process 1 "main" \(main\) was killed: killed by the operator$'
grep -q "main ended" "$report" && fail "the end of main is told twice"
[ -z "$(ls -A "$sockets")" ] || fail "left behind: $(ls -A "$sockets")"
exec {one_orders}>&- {one_replies}<&-
finish
