# Sourced by the end-to-end tests: a folder and a cache of one's own, and words for what is expected. Each expectation
# that fails is told and counted; `finish` ends the test.
# shellcheck shell=bash
set -euo pipefail

guests=$PANDO_BUILD_DIR/tests/guests
examples=$PANDO_BUILD_DIR/share/examples
work=$(mktemp -d)
out=$work/out
err=$work/err
children=()
failures=0
export XDG_CACHE_HOME=$work/cache
export LC_ALL=C
export PANDO_STOP_GRACE=0 # nobody has to be told
export PANDO_SLOW_REQUEST=0 # a loaded machine is slow
export PYTHONDONTWRITEBYTECODE=1 # nothing is left beside the sources

cleanup() {
    local child
    for child in "${children[@]}"; do
        kill -KILL "$child" 2>/dev/null || true
    done
    chmod -R u+rwX "$work"
    rm -rf "$work"
}
trap cleanup EXIT

# effort WHOLE PART: what is looked at. As in tests/unit/support/effort.h, the builds with a sanitizer make a part.
effort() { if [ -n "${PANDO_SANITIZE-}" ]; then echo "$2"; else echo "$1"; fi; }

fail() {
    echo "FAIL $*"
    failures=$((failures + 1))
}

finish() {
    [ "$failures" -eq 0 ] && echo "OK $(basename "$0" .sh)"
    exit $((failures > 0))
}

skip() {
    echo "SKIP $1: $2"
}

# runs CODE ARGUMENT...: `pando ARGUMENT...` must end with this exit code, within what the slowest machine takes. Its
# output is in $out and $err for the checks that follow.
runs() {
    local wanted=$1 code=0
    shift
    shown="pando $*"
    timeout -k 5 240 "$PANDO" "$@" >"$out" 2>"$err" || code=$?
    if [ "$code" -ne "$wanted" ]; then
        fail "$shown: exit code $code instead of $wanted"
        head -n 12 "$out" "$err"
    fi
}

# eventually WORD...: until the command succeeds, two minutes at most. Each look costs a process or two.
eventually() {
    local end=$((SECONDS + 120))
    until "$@"; do
        if [ "$SECONDS" -ge "$end" ]; then
            fail "not within two minutes: $*"
            tail -n 5 "$work"/node-*.log 2>/dev/null || true
            finish
        fi
        sleep 0.05
    done
}

# What the last run must have said: a text in it, or all of it.
printed() { grep -qF -- "$1" "$out" || { fail "$shown: did not print '$1':"; head -n 12 "$out"; }; }
said() { grep -qF -- "$1" "$err" || { fail "$shown: did not say '$1':"; head -n 25 "$err"; }; }
said_not() { ! grep -qF -- "$1" "$err" || { fail "$shown: said '$1':"; head -n 25 "$err"; }; }
output_is() {
    [ "$(cat "$out")" = "$1" ] || { fail "$shown: printed"; head -n 25 "$out"; echo "instead of"; echo "$1"; }
}

# start_pando ARGUMENT...: in the background, its pid in $started, both streams in a pipe that wait_for_text reads, and which
# has room for what is said meanwhile. Ctrl-C must reach it, so it does not inherit the ignored SIGINT that background
# commands of a shell have.
start_pando() {
    shown="pando $*"
    : >"$out"
    rm -f "$work/pipe"
    mkfifo "$work/pipe"
    exec {stream}<>"$work/pipe" # read and write: opening does not wait
    python3 -c 'import contextlib, fcntl, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
with contextlib.suppress(OSError): # as much as one may have
    fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)
os.execv(sys.argv[1], sys.argv[1:])' "$PANDO" "$@" >"$work/pipe" 2>&1 {stream}>&- &
    started=$!
    children+=("$started")
}

# wait_for_text TEXT: until the program that was started has written a line with it.
wait_for_text() {
    local line
    while IFS= read -r -t 120 -u "$stream" line; do
        printf '%s\n' "$line" >>"$out"
        if [[ $line == *"$1"* ]]; then
            return
        fi
    done
    fail "$shown: did not write '$1', or nothing for 120 s:"
    head -n 25 "$out"
}

# wait_for_end CODE: of the program that was started; all that it wrote is in $out. A line that was begun when it was killed
# has no end: it is not waited for, and counts.
wait_for_end() {
    local code=0 line=
    wait "$started" || code=$?
    while IFS= read -r -t 0 -u "$stream" && { IFS= read -r -t 1 -u "$stream" line || [ -n "$line" ]; }; do
        printf '%s\n' "$line" >>"$out"
    done
    exec {stream}>&-
    [ "$code" -eq "$1" ] || { fail "$shown: exit code $code instead of $1"; head -n 25 "$out"; }
}
