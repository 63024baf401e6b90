#!/usr/bin/env bash
# Builds the stages into a folder, and the application file beside them.
#
#   build.sh FOLDER
#
# A language whose tools are not here is told on standard output ("without zig: ...") and its stage is left out of
# the file. A stage that does not compile is an error.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
sdk=$here/../../sdk
[ $# -eq 1 ] || { echo "usage: build.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
to=$(cd "$1" && pwd)

# without LANGUAGE STAGE REASON: the shop opens without this stage.
without() {
    echo "without $1: $3"
    sed -i "/module: $2\.wasm/d; s/\(args: .*\)\b$2\b,\{0,1\} */\1/" "$to/app.yaml"
}

build_c() {
    clang --target=wasm32-wasi --sysroot=/usr -std=c11 -O2 -Wall -Wextra -Werror -I"$sdk/c/include" \
        -Wl,--stack-first,-z,stack-size=32768 -o "$to/till.wasm" "$here/c/till.c"
}

# Debian's rustc with libstd-rust-dev-wasm32, or any other with the target.
build_rust() {
    local compiler target linker
    for compiler in /usr/bin/rustc rustc; do
        for target in wasm32-wasi wasm32-wasip1; do
            [ -d "$("$compiler" --print target-libdir --target "$target" 2>/dev/null)" ] || continue
            linker=()
            if [ "$compiler" != rustc ]; then
                linker=(-C "linker=$(command -v wasm-ld-14 || command -v wasm-ld)")
            fi
            "$compiler" --edition 2021 --target "$target" -O --crate-type rlib --crate-name pando \
                -o "$to/libpando.rlib" "$sdk/rust/src/lib.rs"
            "$compiler" --edition 2021 --target "$target" "${linker[@]}" -O -C strip=debuginfo \
                --extern "pando=$to/libpando.rlib" -o "$to/check.wasm" "$here/rust/check.rs"
            return
        done
    done
    without rust check "no rustc here has std for wasm32-wasi or wasm32-wasip1"
}

build_go() {
    local version
    version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || version=
    version=${version#go1.}
    version=${version%%[!0-9]*}
    if [ "${version:-0}" -lt 24 ]; then
        without go price "there is no Go 1.24 or newer"
        return
    fi
    (cd "$here/go" && GOOS=wasip1 GOARCH=wasm GOTOOLCHAIN=local GOWORK=off go build -trimpath -buildvcs=false \
        -buildmode=c-shared -ldflags='-s -w' -o "$to/price.wasm" .)
}

# In a folder of its own: npm puts the compiler beside the source.
build_assemblyscript() {
    local major
    major=$(node --version 2>/dev/null | sed 's/^v//; s/\..*//')
    if [ "${major:-0}" -lt 20 ]; then
        without assemblyscript discount "there is no Node 20 or newer"
        return
    fi
    mkdir -p "$to/assemblyscript/pando"
    for file in package.json package-lock.json; do
        sed 's/@NAME@/shop/' "$sdk/assemblyscript/template/$file" >"$to/assemblyscript/$file"
    done
    cp "$here"/assemblyscript/*.ts "$to/assemblyscript/"
    cp "$sdk"/assemblyscript/*.ts "$to/assemblyscript/pando/"
    cd "$to/assemblyscript"
    if [ ! -d node_modules/assemblyscript ] &&
        ! timeout 120 npm ci --no-audit --no-fund --ignore-scripts --prefer-offline >npm.log 2>&1; then
        without assemblyscript discount "npm cannot fetch its compiler"
        return
    fi
    node node_modules/assemblyscript/bin/asc.js discount.ts -o "$to/discount.wasm" -O --use abort=pandoAbort
}

build_zig() {
    local -a zig=()
    if command -v zig >/dev/null; then
        zig=(zig)
    elif python3 -m ziglang version >/dev/null 2>&1; then
        zig=(python3 -m ziglang)
    fi
    if [ "${#zig[@]}" -eq 0 ] || [[ $("${zig[@]}" version) != 0.1[3-7].* ]]; then
        without zig seal "there is no Zig 0.13 to 0.17"
        return
    fi
    "${zig[@]}" build-exe -target wasm32-wasi -O ReleaseSmall --stack 65536 -femit-bin="$to/seal.wasm" \
        --cache-dir "$to/zig" --dep pando -Mroot="$here/zig/seal.zig" -Mpando="$sdk/zig/pando.zig"
}

cp "$here/app.yaml" "$to/app.yaml"
build_c
build_rust
build_go
(build_assemblyscript)
build_zig
