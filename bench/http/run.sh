#!/usr/bin/env bash
# bench/http/run.sh [SECONDS [ROUNDS [CONNECTIONS]]]
#
# One HTTP service, a process a connection, in C and in Rust on Pando, the same Rust module on Lunatic, and in Erlang/OTP;
# `wrk` loads one after the other, several rounds in turn. Printed are the medians of the requests a second and of the
# processor time that the service took for a request, which other work on the machine disturbs least; their ratios to
# Erlang's and Lunatic's, each the median of the ratios within a round; and the requests that failed. Who is not there
# costs a row, and the table says so. Exit code 1 when a request failed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${PANDO_BUILD_DIR:-$root/build}
seconds=${1:-4}
rounds=${2:-3}
connections=${3:-64}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pando
lunatic=$cache/lunatic-0.13.2/bin/lunatic # bench/actors/run.sh --install-lunatic puts it there
work=$(mktemp -d)
server=
cleanup() {
    if [ -n "$server" ]; then kill -KILL "$server" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

names=()
declare -A command there figures costs failures
row() { # row NAME COMMAND THERE: not empty when it can run
    names+=("$1") command[$1]=$2 there[$1]=$3 figures[$1]= costs[$1]= failures[$1]=0
}

# Processor time of a process until now, user and system, in microseconds: proc(5), fields 14 and 15; the name before them
# may hold spaces.
spent() { sed 's/.*) //' "/proc/$1/stat" | awk -v tick="$(getconf CLK_TCK)" '{ printf "%.0f", ($12 + $13) * 1e6 / tick }'; }

# Debian's rustc has a library for wasm32, and builds by its own cargo; the newer cargo that builds Wasmtime fetches the
# crates, as it asks for the few that are wanted.
rust_guest() {
    local vendor=$cache/bench-http-vendor target=$cache/bench-http-target
    [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] || { echo "cargo and rustc of Debian are wanted"; return 1; } >&2
    mkdir -p "$cache"
    (cd "$here/rust" && PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin" cargo vendor --locked "$vendor" >"$work/vendor.toml") || return 1
    (cd "$here/rust" && RUSTC=/usr/bin/rustc CARGO_TARGET_DIR=$target \
        CARGO_TARGET_WASM32_WASI_LINKER=$(command -v wasm-ld-14 || command -v wasm-ld) \
        /usr/bin/cargo build --config "$work/vendor.toml" --release --offline --locked --target wasm32-wasi) || return 1
}
rust=$cache/bench-http-target/wasm32-wasi/release/http_bench.wasm
if ! rust_guest >"$work/cargo.log" 2>&1; then
    echo "The Rust guest cannot be built:" >&2
    tail -n 5 "$work/cargo.log" >&2
    rust=
fi

row "Pando, C" "$build/bin/pando run --net local $build/share/examples/http_server.wasm 0" yes
row "Pando, Rust" "$build/bin/pando run --net local $rust" "${rust:+yes}"
row "Lunatic, Rust" "$lunatic run $rust" "$([ -x "$lunatic" ] && echo "${rust:+yes}")"
row "Erlang/OTP" "erl -noshell -pa $work -s http_bench" "$(command -v erlc || true)"
if command -v erlc >/dev/null; then erlc -o "$work" "$here/erlang/http_bench.erl"; fi

# measure NAME: one round of it.
measure() {
    local i before after port=
    : >"$work/out"
    # shellcheck disable=SC2086 # several words
    ${command[$1]} >"$work/out" 2>"$work/err" </dev/null &
    server=$!
    for ((i = 0; i < 600; i++)); do
        port=$(sed -n 's/^listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/out")
        if [ -n "$port" ] || ! kill -0 "$server" 2>/dev/null; then break; fi
        sleep 0.1
    done
    if [ -z "$port" ]; then
        echo "$1 does not listen:" >&2
        head -n 5 "$work/err" >&2
        exit 1
    fi
    before=$(spent "$server")
    wrk -t 1 -c "$connections" -d "${seconds}s" "http://127.0.0.1:$port/" >"$work/wrk"
    after=$(spent "$server")
    kill -KILL "$server"
    wait "$server" 2>/dev/null || true
    server=
    figures[$1]+="$(sed -n 's/^Requests\/sec: *//p' "$work/wrk") "
    costs[$1]+="$(awk -v spent="$((after - before))" '/ requests in / { print spent / ($1 ? $1 : 1) }' "$work/wrk") "
    failures[$1]=$((failures[$1] + $(failed_requests <"$work/wrk")))
}

# Of wrk's words: '  Socket errors: connect 0, read 0, write 0, timeout 0' and '  Non-2xx or 3xx responses: 0', each only
# when there are some.
failed_requests() {
    awk '/^ *Socket errors:/ { sum += $4 + $6 + $8 + $10 } /^ *Non-2xx or 3xx responses:/ { sum += $NF } END { print sum + 0 }'
}

for ((round = 0; round < rounds; round++)); do
    for name in "${names[@]}"; do
        [ -n "${there[$name]}" ] || continue
        measure "$name"
    done
done

median() { tr ' ' '\n' | sed '/^$/d' | sort -n | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'; }

# ratio MINE OTHERS: the median of the ratios of the rounds; '-' without the other.
ratio() {
    local median
    median=$(awk -v mine="$1" -v others="$2" 'BEGIN {
        split(mine, a, " ")
        count = split(others, b, " ")
        for (i = 1; i <= count; i++) if (b[i] > 0) print a[i] / b[i]
    }' | median)
    if [ -n "$median" ]; then printf '%.2f' "$median"; else printf -- '-'; fi
}

erlang=Erlang/OTP
peer='Lunatic, Rust'
printf '%d connections, %d rounds of %d s each; wrk on the same machine (%d cores)\n\n' \
    "$connections" "$rounds" "$seconds" "$(nproc)"
format='%-14s %11s %9s %10s %14s %9s %10s %7s\n'
# shellcheck disable=SC2059 # one format for all lines
{
    printf "$format" '' requests to to 'processor us' to to ''
    printf "$format" service 'a second' Erlang Lunatic 'a request' Erlang Lunatic failed
    for name in "${names[@]}"; do
        if [ -z "${there[$name]}" ]; then
            printf "$format" "$name" 'not here' - - - - - -
            continue
        fi
        printf "$format" "$name" "$(printf '%.0f' "$(median <<<"${figures[$name]}")")" \
            "$(ratio "${figures[$name]}" "${figures[$erlang]}")" "$(ratio "${figures[$name]}" "${figures[$peer]}")" \
            "$(printf '%.1f' "$(median <<<"${costs[$name]}")")" \
            "$(ratio "${costs[$name]}" "${costs[$erlang]}")" "$(ratio "${costs[$name]}" "${costs[$peer]}")" "${failures[$name]}"
    done
}
for name in "${names[@]}"; do
    if [ "${failures[$name]}" -gt 0 ]; then exit 1; fi
done
