#!/usr/bin/env bash
# scripts/rust_crates.sh [FOLDER]: published Rust crates, unmodified, on Pando.
#
# Builds the programs of tests/rust against the crates that its lock file names and runs them: the tests for each version
# of the crate `lunatic` under `pando test`, then a server on `submillisecond` whose handlers panic and never come back,
# then the examples and tests of submillisecond itself (rust_examples.sh).
# Debian's rustc has a library for wasm32 and builds by its own cargo; the newer cargo that builds Wasmtime fetches the
# crates. All lies in FOLDER (default: rust-crates in the build folder), so that later runs build nothing.
#
# PANDO_BUILD_DIR (default: build) holds the program. Ends with 'rust-crates: N passed, N failed'; exit code 1 when one
# failed or nothing could be built.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${PANDO_BUILD_DIR:-$root/build}
pando=$(cd "$build" && pwd)/bin/pando
mkdir -p "${1:-$build/rust-crates}"
folder=$(cd "${1:-$build/rust-crates}" && pwd)
versions=(v12 v13 v14)
# shellcheck source=scripts/rust_checks.sh
source "$root/scripts/rust_checks.sh"

# --- Building ----------------------------------------------------------------------------------------------------

fetch() {
    if cmp -s "$root/tests/rust/Cargo.lock" "$folder/fetched.lock"; then return; fi
    rm -f "$folder/fetched.lock"
    (cd "$root/tests/rust" && PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH" \
        timeout -k 5 300 cargo vendor --locked "$folder/vendor" >"$folder/vendor.toml") || return 1
    cp "$root/tests/rust/Cargo.lock" "$folder/fetched.lock"
}

# The programs, and beside that on submillisecond the examples and tests of its package, as they are.
gather() {
    rm -rf "$folder/source"
    cp -rp "$root/tests/rust" "$folder/source" &&
        cp -rp "$folder/vendor/submillisecond/static" "$folder/source/" &&
        cp -rp "$folder/vendor/submillisecond/"{examples,tests} "$folder/source/web/"
}

debian_cargo() {
    (cd "$folder/source" && RUSTC=/usr/bin/rustc CARGO_TARGET_DIR=$folder/target \
        CARGO_TARGET_WASM32_WASI_LINKER=$(command -v wasm-ld-14 || command -v wasm-ld) \
        /usr/bin/cargo "$@" --quiet --config "$folder/vendor.toml" --offline --locked --target wasm32-wasi)
}

# The module of each version's tests, whose name has a hash: as cargo tells it.
build_all() {
    debian_cargo test --no-run --message-format json "${versions[@]/#/-pcrates-}" >"$work/messages" &&
        debian_cargo test --no-run --message-format json -p crates-web --tests >>"$work/messages" &&
        debian_cargo build -p crates-web --bins --examples
}

module_of() {
    python3 - "$work/messages" "$@" <<'PY'
import json, sys
for line in open(sys.argv[1], encoding="utf-8"):
    message = json.loads(line)
    if message["reason"] == "compiler-artifact" and message["target"]["name"] in sys.argv[2:] and message["executable"]:
        print(message["executable"])
PY
}

if ! { fetch && gather && build_all; } >"$work/cargo.log" 2>&1; then
    echo "The programs of tests/rust cannot be built:" >&2
    tail -n 20 "$work/cargo.log" >&2
    exit 1
fi

# --- The crate lunatic -------------------------------------------------------------------------------------------

for version in "${versions[@]}"; do
    code=0
    pando_test "$(module_of "crates_$version" "crates-$version")" || code=$?
    if [ "$count" -lt 15 ]; then code=1; fi
    if [ "$code" -ne 0 ]; then cat "$work/out"; fi
    judge "$code" "lunatic $version: pando test"
    echo "lunatic $version: $count tests passed"
done

# --- submillisecond ----------------------------------------------------------------------------------------------

free_port() {
    python3 -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])'
}

name='submillisecond 0.4.1'
port=$(free_port)
"$pando" run --net local "$folder/target/wasm32-wasi/debug/web.wasm" "127.0.0.1:$port" >"$work/server" 2>&1 &
server=$!
curl --silent --output /dev/null --retry 600 --retry-connrefused --retry-delay 1 --max-time 60 "http://127.0.0.1:$port/name/x" || true

error='500 Internal Server Error'
get '200 name world' /name/world
get '200 <p>Hello &lt;you&gt;</p>' '/greeting?name=%3Cyou%3E'
get '200 {"sum":42}' '/query?a=40&b=2'
get '200 {"sum":-1}' /json --json '{"a":1,"b":-2}'
get '200 guarded' /guarded --header 'x-key: 1'
for _ in 1 2 3 4 5; do get "$error" /panic; done
for path in /stuck /stuck /wait /wait; do
    curl --silent --max-time 300 --output /dev/null "http://127.0.0.1:$port$path" &
    others+=("$!")
done
for _ in 1 2 3 4 5 6 7 8 9 10; do
    get '200 index' /
    get "$error" /panic
done
get '200 10' /total
all_run "$name: the server and its stuck handlers are there in the end" "$server" "${others[@]}"
if [ "$failed" -gt 0 ]; then tail -n 20 "$work/server"; fi

# --- The examples and tests of submillisecond --------------------------------------------------------------------

mapfile -t own_tests < <(module_of parsing_http_1_1 router websocket)
apart=(unshare --user --map-root-user --net)
if ! "${apart[@]}" true; then
    echo "SKIP submillisecond's examples: no network namespace of their own for their fixed ports"
else
    code=0
    "${apart[@]}" "$root/scripts/rust_examples.sh" "$pando" \
        "$folder/target/wasm32-wasi/debug/examples" "${own_tests[@]}" | tee "$work/examples" || code=$?
    counts=$(sed -n 's/^examples: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$work/examples")
    counts=${counts:-0 0}
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
    judge "$code" "submillisecond's examples"
fi

summary rust-crates
