# scripts/rust_checks.sh: what rust_crates.sh and rust_examples.sh share, for `source`: a folder for what they write, the
# processes that they started and end, and how they judge.
# shellcheck shell=bash
passed=0
failed=0
name=     # of the server that is asked
port=     # where it listens
server=   # its process
others=() # further processes
work=$(mktemp -d)

end() { # end PROCESS...
    local process
    for process; do
        kill -KILL "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
}

cleanup() {
    # shellcheck disable=SC2086 # there may be none
    end "${others[@]}" $server
    rm -rf "$work"
}
trap cleanup EXIT

judge() { # judge CODE WHAT
    if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $2"; fi
}

# get WANTED PATH CURL_ARGUMENT...: the status and body that a request must have within a minute.
get() {
    local wanted=$1 path=$2 code=0
    shift 2
    printf '%s' "$wanted" >"$work/wanted"
    : >"$work/body"
    curl --silent --max-time 60 --output "$work/body" --write-out '%{http_code} ' "$@" "http://127.0.0.1:$port$path" \
        >"$work/answer" 2>&1 || code=$?
    cat "$work/body" >>"$work/answer"
    cmp -s "$work/wanted" "$work/answer" || code=1
    if [ "$code" -ne 0 ]; then printf '%s answered ' "$name"; cat "$work/answer"; printf ', wanted %s\n' "$wanted"; fi
    judge "$code" "$name: $path"
}

all_run() { # all_run WHAT PROCESS...: none of them has ended
    local what=$1 process code=0
    shift
    for process; do kill -0 "$process" 2>/dev/null || code=1; done
    judge "$code" "$what"
}

# pando_test MODULE: its tests; how many passed is in $count, and what they wrote in $work/out.
pando_test() {
    local code=0
    timeout -k 5 300 "$pando" test "$1" >"$work/out" 2>&1 || code=$?
    count=$(grep -c '\.\.\. ok$' "$work/out" || true)
    return "$code"
}

# summary TITLE: 'TITLE: N passed, N failed', and the exit code.
summary() {
    echo "$1: $passed passed, $failed failed"
    exit $((failed > 0))
}
