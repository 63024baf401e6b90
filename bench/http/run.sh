#!/usr/bin/env bash
# bench/http/run.sh [SECONDS [ROUNDS [CONNECTIONS]]]
#
# One HTTP service, a process a connection, in C and in Rust on Pando, the same Rust module on Lunatic, and in Erlang/OTP;
# `wrk` loads one after the other, several rounds in turn, and the medians are printed with their ratios to Erlang's and
# Lunatic's, and the processor time that the service took for a request, which other work on the machine disturbs least.
# Who is not there costs a row, and the table says so.
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
declare -A command missing figures costs
row() { names+=("$1"); command[$1]=$2; missing[$1]=${3-}; figures[$1]=; costs[$1]=; }

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

row "Pando, C" "$build/bin/pando run --net local $build/share/examples/http_server.wasm 0"
row "Pando, Rust" "$build/bin/pando run --net local $rust" "${rust:+ }"
row "Lunatic, Rust" "$lunatic run $rust" "$([ -x "$lunatic" ] && echo "${rust:+ }")"
row "Erlang/OTP" "erl -noshell -pa $work -s http_bench" "$(command -v erlc >/dev/null && echo ' ')"
missing["Pando, C"]=' '
if command -v erlc >/dev/null; then erlc -o "$work" "$here/erlang/http_bench.erl"; fi

# measure NAME: requests a second, in $result, and microseconds of the service for each, in $cost.
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
    if grep -qE 'Non-2xx|Socket errors' "$work/wrk"; then
        echo "$1 failed requests:" >&2
        cat "$work/wrk" >&2
        exit 1
    fi
    result=$(sed -n 's/^Requests\/sec: *//p' "$work/wrk")
    cost=$(awk -v spent="$((after - before))" '/ requests in / { print spent / $1 }' "$work/wrk")
}

for ((round = 0; round < rounds; round++)); do
    for name in "${names[@]}"; do
        [ -n "${missing[$name]}" ] || continue
        measure "$name"
        figures[$name]+="$result"$'\n'
        costs[$name]+="$cost"$'\n'
    done
done

median() { printf '%s' "$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
erlang=$(median "${figures["Erlang/OTP"]}")
peer=$(median "${figures["Lunatic, Rust"]}")
ratio() { awk -v mine="$1" -v other="${2:-0}" 'BEGIN { printf "%s", (other > 0 ? sprintf("%.2f", mine / other) : "-") }'; }
printf '%d connections, %d rounds of %d s each; wrk on the same machine (%d cores)\n\n' \
    "$connections" "$rounds" "$seconds" "$(nproc)"
printf '%-16s %12s %10s %10s %22s\n' service "requests/s" "to Erlang" "to Lunatic" "processor us a request"
for name in "${names[@]}"; do
    if [ -z "${missing[$name]}" ]; then
        printf '%-16s %12s %10s %10s %22s\n' "$name" "not here" - - -
        continue
    fi
    mine=$(median "${figures[$name]}")
    printf '%-16s %12.0f %10s %10s %22.1f\n' "$name" "$mine" "$(ratio "$mine" "$erlang")" "$(ratio "$mine" "$peer")" \
        "$(median "${costs[$name]}")"
done
